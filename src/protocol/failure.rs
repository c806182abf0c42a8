use super::ErrorCode;
use super::limits::MAX_DETAIL;
use crate::types::Printable;

/// What went wrong and with which file: a sentence without a full stop, fit for a terminal, and
/// the code that exit codes and advice follow from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What happened; foreign text in it is escaped.
    pub message: String,
}

impl Failure {
    /// A failure of this kind. `message` must be fit for a terminal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
        }
    }

    /// Reads what the other side said, and escapes it.
    pub fn from_wire(code: u16, detail: &str) -> Self {
        let detail = shortened(detail);
        Failure::new(ErrorCode::from_number(code), Printable(detail).to_string())
    }

    /// Code and text as they go over the wire, the text cut to its limit.
    pub fn to_wire(&self) -> (u16, String) {
        (self.code.number(), shortened(&self.message).to_owned())
    }
}

/// The beginning of the text that has at most [`MAX_DETAIL`] bytes.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_DETAIL))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_other_side_says_is_cut_and_escaped() {
        let hostile = format!("\u{1b}[2J{}", "é".repeat(MAX_DETAIL));
        let failure = Failure::from_wire(30, &hostile);
        assert_eq!(failure.code, ErrorCode::NotFound);
        assert!(failure.message.starts_with("\\u{1b}[2Jé"));
        assert!(failure.message.len() <= MAX_DETAIL + 16);
        assert_eq!(Failure::new(ErrorCode::Io, "x").to_wire(), (2, "x".into()));
    }
}
