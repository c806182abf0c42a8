use crate::protocol::ErrorCode;

/// Why the client could not do something: what happened and to which file, in a sentence without a
/// full stop, and the code that the exit code and the advice follow from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What happened, fit for a terminal: foreign text in it is escaped.
    pub message: String,
}

impl ClientError {
    /// An error of this kind. `message` must be fit for a terminal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ClientError {
            code,
            message: message.into(),
        }
    }
}
