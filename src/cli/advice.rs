//! What to do next, for every kind of failure (contract section 6: "Every error line says what,
//! which file, and what to do next").

use crate::protocol::ErrorCode;
use crate::types::OnConflict;

/// What was being done, as far as the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Getting files, by these rules.
    Getting(OnConflict),
    /// Getting a file from another client, by these rules.
    Requesting(OnConflict),
    /// Offering local files to other clients.
    Offering,
    /// Putting files, by these rules.
    Putting(OnConflict),
    /// Renaming, or making a folder: nothing there ever replaces anything.
    Naming,
    /// Removing without -r.
    RemovingFiles,
    /// Changing one version of a file only (--if-match).
    ToVersion,
    /// Making one folder like another.
    Syncing,
    /// Editing a file.
    Editing,
}

/// The next step after a failure of this kind, where it depends on what was being done.
pub fn next_step_of(doing: Doing, code: ErrorCode) -> Option<&'static str> {
    use ErrorCode::*;
    match (doing, code) {
        (Doing::Getting(_) | Doing::Requesting(_) | Doing::Putting(_), Disconnected) => {
            Some("try again: what was complete is kept, and the rest goes on where it stopped")
        }
        (Doing::Requesting(_), NotFound) => Some("see 'offers' for what there is"),
        (Doing::Requesting(_), Unreachable) => {
            Some("see 'peers' for who is online, then try again")
        }
        (Doing::Requesting(_), Conflict) => {
            Some("see 'offers' for what there is now, or ask its owner to offer it again")
        }
        (Doing::Offering, NotFound | InvalidName | Usage) => {
            Some("name plain files directly in the folder of 'setdir'")
        }
        (
            Doing::Getting(OnConflict::Error) | Doing::Requesting(OnConflict::Error),
            AlreadyExists,
        ) => Some("name another place with -o, or say --on-conflict overwrite, rename or skip"),
        (Doing::Putting(OnConflict::Error), AlreadyExists) => {
            Some("choose another name with --as, or say --on-conflict overwrite, rename or skip")
        }
        // The usual advice was followed already, and does not help.
        (Doing::Getting(_) | Doing::Requesting(_), AlreadyExists) => {
            Some("name another place with -o")
        }
        (Doing::Putting(_), AlreadyExists) => {
            Some("use exactly the name that is there, or give another one with --as")
        }
        (Doing::Getting(_), Conflict) => {
            Some("name another place with -o, or look at what stands there")
        }
        (Doing::Naming, AlreadyExists) => {
            Some("choose another name, or remove or rename what has this one")
        }
        (Doing::ToVersion, Usage) => Some("leave out --if-match: only files have versions"),
        (Doing::Syncing, Disconnected | Timeout | Unreachable | Busy) => {
            Some("run it again: what is equal by then is passed over, and the rest goes on")
        }
        (Doing::Syncing, AlreadyExists | Conflict) => {
            Some("look at both sides with --dry-run, then run it again")
        }
        (Doing::RemovingFiles, Usage) => Some("say -r to remove a folder with everything in it"),
        _ => None,
    }
}

/// The next step after a failure of this kind, without a full stop.
pub fn next_step(code: ErrorCode) -> &'static str {
    use ErrorCode::*;
    match code {
        Internal => {
            "this is a fault in fileshare: run it again with --debug and report what it prints"
        }
        Io => "look at the disk and the permissions of the side that is named, then try again",
        Usage => "see --help for how it is used",
        InvalidName => "choose another name; --as gives one for put",
        InvalidPort => "choose a port from 1 to 65535 (a server's own: 1024 to 65535, or 0)",
        Unreachable => {
            "check that fileshare-server runs there and that --server names its host and port"
        }
        Timeout => "try again, or wait longer with --timeout",
        Disconnected => "check the server and the network, then try again",
        Busy => "try again in a moment, or raise the server's --max-connections",
        NotFound => "see 'list' for what is there",
        AmbiguousId => "use a name; more digits help only where the ids differ",
        Unauthorized => {
            "log in with --user and the right password; whoever runs the server gives out accounts"
        }
        Forbidden => "ask whoever runs the server",
        IdentityChanged => {
            "somebody may be in between: compare with what 'fileshare-server identity' prints there, and only if the change is right correct the address or remove that line"
        }
        Untrusted => {
            "compare the key with what 'fileshare-server identity' prints there, and give it in the address: --server fileshare://HOST:PORT#sha256:…"
        }
        AlreadyExists => "choose another name",
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
