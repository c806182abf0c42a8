use std::fmt;
use std::io;
use std::path::Path;

use super::advice::{self, Doing};
use crate::client::ClientError;
use crate::protocol::ErrorCode;
use crate::types::{FileRef, NameError, Printable};

const LOCAL_PERMISSIONS: &str = "check the permissions of that local file and its folder";

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
        let failure = Self::new(code, format!("{what}: {error}"));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failure.advise(LOCAL_PERMISSIONS),
            _ => failure,
        }
    }

    /// A text that is not a name; `text` is escaped here.
    pub fn name(text: &str, error: NameError) -> Self {
        let shown = Printable(text);
        Self::new(
            ErrorCode::InvalidName,
            format!("invalid name '{shown}': {error}"),
        )
    }

    /// The same failure with the next step that fits what was being done, unless it has its own.
    pub fn while_doing(mut self, doing: Doing) -> Self {
        if self.advice.is_none() {
            self.advice = advice::next_step_of(doing, self.code).map(str::to_owned);
        }
        self
    }

    /// The same failure of a command that was given `file`: who meant an id learns how one is
    /// written.
    pub fn about(self, file: &FileRef) -> Self {
        match file {
            FileRef::Name(name)
                if self.code == ErrorCode::NotFound && name.leaf().starts_with("id:") =>
            {
                self.advise("an id needs 6 to 32 hex digits behind 'id:'; see 'list'")
            }
            _ => self,
        }
    }

    /// The same failure of a file that lies at `path` on this side: an error of a disk is about the
    /// side that is named.
    pub fn beside(self, path: Option<&Path>) -> Self {
        // What the system itself says of a name is about a file where a folder must go.
        if self.code == ErrorCode::AlreadyExists && self.message.contains("(os error") {
            return self.advise("a file stands where a folder must go: name another place with -o");
        }
        if self.code != ErrorCode::Io || self.advice.is_some() {
            return self;
        }
        let local = path.is_some_and(|path| {
            let path = path.to_string_lossy();
            let shown = Printable(&path).to_string();
            self.message.starts_with(&format!("{shown}:"))
        });
        let denied = self.message.contains("Permission denied");
        match (local, denied) {
            (true, true) => self.advise(LOCAL_PERMISSIONS),
            (false, true) => {
                self.advise("ask the server's operator to check the permissions there")
            }
            _ => self,
        }
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
        let failure = Failure::new(error.code, error.message);
        match failure.message.ends_with("--plaintext") {
            // The message is its own advice.
            true => failure.advise("both sides must say it, or neither"),
            false => failure,
        }
    }
}
