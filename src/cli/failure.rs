use std::fmt;
use std::io;

use crate::client::ClientError;
use crate::protocol::ErrorCode;
use crate::types::{NameError, Printable};

/// Why a command of the terminal failed: what happened and to which file, in a sentence without a
/// full stop and fit for a terminal, and the code that exit code and advice follow from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What happened; foreign text in it is escaped.
    pub message: String,
    /// What to do next, where that is more than what the code alone can say.
    pub advice: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
            advice: None,
        }
    }

    /// A command that makes no sense as it was typed.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Usage, message)
    }

    /// What the operating system said when `what` was tried.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => ErrorCode::NotFound,
            io::ErrorKind::StorageFull => ErrorCode::DiskFull,
            _ => ErrorCode::Io,
        };
        Self::new(code, format!("{what}: {error}"))
    }

    /// A text that is not a name; `text` is escaped here.
    pub fn name(text: &str, error: NameError) -> Self {
        let shown = Printable(text);
        Self::new(
            ErrorCode::InvalidName,
            format!("invalid name '{shown}': {error}"),
        )
    }

    /// The same failure with its own next step.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::new(error.code, error.message)
    }
}
