//! What to do next, for every kind of failure (contract section 6: "Every error line says what,
//! which file, and what to do next").

use crate::protocol::ErrorCode;

/// The next step after a failure of this kind, without a full stop.
pub fn next_step(code: ErrorCode) -> &'static str {
    use ErrorCode::*;
    match code {
        Internal => {
            "this is a fault in fileshare: run it again with --debug and report what it prints"
        }
        Io => {
            "look at the disk, the permissions and the network of the side that is named, then try again"
        }
        Usage => "see 'help COMMAND' or --help",
        InvalidName => "choose a name without '.', '..', empty parts or special characters",
        InvalidPort => "choose a port from 1 to 65535 (a server's own: 1024 to 65535, or 0)",
        Unreachable => {
            "check that fileshare-server runs there and that --server names its host and port"
        }
        Timeout => "try again, or wait longer with --timeout",
        Disconnected => "try again: what was complete is kept",
        Busy => "try again in a moment, or raise the server's --max-connections",
        NotFound => "see 'list' for what is there",
        AmbiguousId => "give more digits of the id",
        Unauthorized => "ask whoever runs the server what its --anonymous allows",
        Forbidden => "ask whoever runs the server for the role that is named",
        IdentityChanged => "ask whoever runs the server whether its key was changed",
        Untrusted => "ask whoever runs the server for its fingerprint",
        AlreadyExists => {
            "choose another name, or say --on-conflict overwrite, rename or skip (put, get)"
        }
        Conflict => "look at what stands there with 'stat', then decide",
        DigestMismatch => {
            "transfer it again; if it happens again, the copy at its source is damaged"
        }
        QuotaExceeded => "remove files on the server, or raise its --quota",
        DiskFull => "make room on that disk, then try again",
        TooLarge => "send something smaller, or raise the server's --max-file-size",
        Protocol => "check that a fileshare-server of the same version answers at that port",
        VersionMismatch => "install the same version of fileshare on both sides",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_next_step() {
        for code in ErrorCode::ALL {
            let step = next_step(*code);
            assert!(step.len() > 10, "{code}");
            assert!(!step.ends_with('.') && !step.contains('\n'), "{code}");
        }
    }
}
