use std::fmt;
use std::str::FromStr;

use super::{FileName, Printable};

/// The longest name of a peer, in bytes.
const MAX_BYTES: usize = 64;

/// The name under which a client is known to others: 1 to 64 bytes, one part of a file's name and
/// without white space. It stands in tables and in front of terminals, and needs no escaping there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerName(String);

impl PeerName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a client's name is 1 to 64 bytes without white space, '/' and control characters")]
pub struct PeerNameError;

impl FromStr for PeerName {
    type Err = PeerNameError;

    fn from_str(text: &str) -> Result<Self, PeerNameError> {
        let plain = text.len() <= MAX_BYTES && !text.chars().any(|c| c.is_whitespace() || c == '/');
        let shown_as_it_is = || Printable(text).to_string() == text;
        match plain && FileName::parse(text).is_ok() && shown_as_it_is() {
            true => Ok(PeerName(text.to_owned())),
            false => Err(PeerNameError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_can_be_typed_and_shown() {
        for text in ["B", "anna-2", "Jürgen", "a.b@c", &"n".repeat(64)] {
            assert_eq!(text.parse::<PeerName>().unwrap().as_str(), text);
        }
        for text in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "a\tb",
            "a\u{a0}b",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a\0",
            "a\u{200b}b",
            "u\u{308}",
            &"n".repeat(65),
        ] {
            assert!(text.parse::<PeerName>().is_err(), "{text:?}");
        }
    }
}
