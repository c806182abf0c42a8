use std::fmt;
use std::path::PathBuf;

use crate::protocol::ErrorCode;
use crate::types::{FileName, NameError};

/// Something in a local tree that is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is below the top of the tree, as the disk spells it.
    pub place: PathBuf,
    /// The name that it would have, where it could have one.
    pub name: Option<FileName>,
    /// Why it is not sent.
    pub reason: Reason,
}

impl Skipped {
    /// The kind of failure that it is; `None` for what is left out by design.
    pub fn code(&self) -> Option<ErrorCode> {
        match self.reason {
            Reason::Link | Reason::Special | Reason::OtherFileSystem => None,
            Reason::LeadsOut | Reason::LeadsNowhere | Reason::Loop => None,
            Reason::Name(_) | Reason::NotUtf8 => Some(ErrorCode::InvalidName),
            Reason::Twin(_) => Some(ErrorCode::AlreadyExists),
            Reason::Unreadable(_) => Some(ErrorCode::Io),
        }
    }
}

/// Why something is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is a symbolic link, and links are not followed.
    Link,
    /// It is a link to something outside of the tree.
    LeadsOut,
    /// It is a link to something that is not there.
    LeadsNowhere,
    /// It is a folder that it is in itself, by way of a link.
    Loop,
    /// It is a FIFO, a socket or a device.
    Special,
    /// It is on another file system.
    OtherFileSystem,
    /// Its name cannot be one.
    Name(NameError),
    /// Its name is not UTF-8.
    NotUtf8,
    /// Its name is the same, in another Unicode form, as that of this one beside it.
    Twin(PathBuf),
    /// The folder cannot be read, and what the system says of that.
    Unreadable(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Link => f.write_str("a symbolic link (--follow follows it)"),
            Reason::LeadsOut => f.write_str("a symbolic link that leads out of the tree"),
            Reason::LeadsNowhere => f.write_str("a symbolic link that leads nowhere"),
            Reason::Loop => f.write_str("a folder that is in itself, by way of a symbolic link"),
            Reason::Special => f.write_str("not a regular file"),
            Reason::OtherFileSystem => f.write_str("on another file system"),
            Reason::Name(error) => error.fmt(f),
            Reason::NotUtf8 => f.write_str("its name is not UTF-8"),
            Reason::Twin(_) => {
                f.write_str("a name that differs from another one in its Unicode form only")
            }
            Reason::Unreadable(why) => f.write_str(why),
        }
    }
}
