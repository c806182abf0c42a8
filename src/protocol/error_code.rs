use std::fmt;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// What went wrong, as a number on the wire and a word for people and scripts
        /// (contract section 6, `error.code`).
        ///
        /// Numbers are never reused. A number that this version does not know reads as
        /// [`ErrorCode::Internal`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),+];

            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self { $(ErrorCode::$variant => $number,)+ }
            }

            /// The word in JSON output and in messages.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)+ }
            }
        }
    };
}

error_codes! {
    /// A fault in the program itself.
    Internal = 1, "internal";
    /// A disk or the operating system failed.
    Io = 2, "io";
    /// The command or request makes no sense.
    Usage = 10, "usage";
    /// A name that nobody may use.
    InvalidName = 11, "invalid_name";
    /// A port outside the allowed range.
    InvalidPort = 12, "invalid_port";
    /// No connection could be made.
    Unreachable = 20, "unreachable";
    /// The other side did not answer in time.
    Timeout = 21, "timeout";
    /// The connection was cut.
    Disconnected = 22, "disconnected";
    /// The server has no room for another connection or is shutting down.
    Busy = 23, "busy";
    /// No such file, folder or offer.
    NotFound = 30, "not_found";
    /// An id or prefix that stands for more than one file.
    AmbiguousId = 31, "ambiguous_id";
    /// Who are you? A login is needed or was wrong.
    Unauthorized = 40, "unauthorized";
    /// You may not: another role is needed.
    Forbidden = 41, "forbidden";
    /// The server's key is not the one that is known.
    IdentityChanged = 42, "identity_changed";
    /// The server's key is not known and may not be accepted.
    Untrusted = 43, "untrusted";
    /// The name is taken.
    AlreadyExists = 50, "already_exists";
    /// Something changed meanwhile, or a file stands where a folder must go.
    Conflict = 51, "conflict";
    /// The bytes that arrived are not the bytes that were sent.
    DigestMismatch = 60, "digest_mismatch";
    /// The server's quota is used up.
    QuotaExceeded = 70, "quota_exceeded";
    /// The disk is full.
    DiskFull = 71, "disk_full";
    /// The file is larger than the server takes.
    TooLarge = 72, "too_large";
    /// The other side broke the protocol, or speaks another one.
    Protocol = 80, "protocol";
    /// The two sides have no protocol version in common.
    VersionMismatch = 81, "version_mismatch";
}

impl ErrorCode {
    /// The code with this number on the wire; an unknown one is a fault we know nothing about.
    pub fn from_number(number: u16) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number() == number)
            .unwrap_or(ErrorCode::Internal)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_names_are_unique_and_read_back() {
        let numbers: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.number()).collect();
        let names: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), *code);
        }
        assert_eq!(ErrorCode::from_number(9999), ErrorCode::Internal);
    }
}
