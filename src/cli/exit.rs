//! Exit codes (contract section 6). Nothing else decides one.

use std::collections::BTreeSet;

use super::failure::Failure;
use super::signals::Received;
use crate::protocol::ErrorCode;

/// All done.
pub const DONE: u8 = 0;
/// Some files done, some failed; or failures of several kinds.
const MIXED: u8 = 9;
/// Ended by SIGHUP.
const HUNG_UP: u8 = 129;
/// Ended by SIGINT.
const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
const TERMINATED: u8 = 143;

/// What a command came to. Whatever failed has already been reported.
#[derive(Debug)]
pub enum Verdict {
    /// All done.
    Done,
    /// A batch of files, of which some may have failed.
    Batch(Tally),
    /// A comparison of files, of which some may differ.
    Compared(Tally),
    /// Leave the prompt or the script.
    Leave,
}

/// How many files of a command are done, and for which reasons the others are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    done: u64,
    failed: u64,
    reasons: BTreeSet<u8>,
}

/// How the run of a command, or of the program, ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Finished(Result<Verdict, Failure>),
    /// By SIGINT (Ctrl-C).
    Interrupted,
    /// By SIGTERM.
    Terminated,
    /// By SIGHUP: the terminal has gone.
    HungUp,
    /// Nobody reads standard output any more.
    Closed,
}

impl From<Received> for Ended {
    fn from(received: Received) -> Self {
        match received {
            Received::Interrupt => Ended::Interrupted,
            Received::Terminate => Ended::Terminated,
            Received::HangUp => Ended::HungUp,
        }
    }
}

/// The exit code for a failure of this kind.
pub fn of_error(code: ErrorCode) -> u8 {
    use ErrorCode::*;
    match code {
        Internal | Io => 1,
        Usage | InvalidName | InvalidPort => 2,
        Unreachable | Timeout | Disconnected | Busy => 3,
        NotFound | AmbiguousId => 4,
        Unauthorized | Forbidden | IdentityChanged | Untrusted => 5,
        AlreadyExists | Conflict => 6,
        DigestMismatch => 7,
        QuotaExceeded | DiskFull | TooLarge => 8,
        Protocol | VersionMismatch => 10,
    }
}

/// The exit code for what a command came to.
pub fn of_verdict(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Done | Verdict::Leave => DONE,
        Verdict::Batch(tally) if tally.done > 0 && tally.failed > 0 => MIXED,
        // What is equal takes nothing away from the one reason why the rest is not.
        Verdict::Batch(tally) | Verdict::Compared(tally) => tally.one_reason(),
    }
}

/// The exit code for how something ended.
pub fn of_end(ended: &Ended) -> u8 {
    match ended {
        Ended::Finished(Ok(verdict)) => of_verdict(verdict),
        Ended::Finished(Err(failure)) => of_error(failure.code),
        Ended::Interrupted => INTERRUPTED,
        Ended::Terminated => TERMINATED,
        Ended::HungUp => HUNG_UP,
        // Whoever closed the pipe had all they wanted.
        Ended::Closed => DONE,
    }
}

impl Tally {
    /// One more file is as it should be.
    pub fn done(&mut self) {
        self.done += 1;
    }

    /// One more file failed.
    pub fn failed(&mut self, code: ErrorCode) {
        self.failed += 1;
        self.reasons.insert(of_error(code));
    }

    /// How many files failed.
    pub fn failures(&self) -> u64 {
        self.failed
    }

    /// How many files there were.
    pub fn files(&self) -> u64 {
        self.done + self.failed
    }

    fn one_reason(&self) -> u8 {
        let mut reasons = self.reasons.iter();
        match (reasons.next(), reasons.next()) {
            (None, _) => DONE,
            (Some(reason), None) => *reason,
            (Some(_), Some(_)) => MIXED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorCode::*;

    fn tally(done: u64, failures: &[ErrorCode]) -> Tally {
        let mut tally = Tally::default();
        (0..done).for_each(|_| tally.done());
        failures.iter().for_each(|code| tally.failed(*code));
        tally
    }

    #[test]
    fn a_batch_exits_with_its_one_reason_or_9() {
        for (done, failures, exit) in [
            (2, &[][..], 0),
            (0, &[NotFound], 4),
            (0, &[NotFound, NotFound], 4),
            (0, &[Unreachable, Timeout], 3),
            (1, &[NotFound], 9),
            (0, &[NotFound, AlreadyExists], 9),
            (0, &[], 0),
        ] {
            let verdict = Verdict::Batch(tally(done, failures));
            assert_eq!(of_verdict(&verdict), exit, "{done} {failures:?}");
        }
    }

    #[test]
    fn a_comparison_exits_with_its_one_reason_however_much_is_equal() {
        for (done, failures, exit) in [
            (2, &[][..], 0),
            (3, &[DigestMismatch], 7),
            (0, &[DigestMismatch, DigestMismatch], 7),
            (1, &[NotFound], 4),
            (1, &[NotFound, DigestMismatch], 9),
        ] {
            let verdict = Verdict::Compared(tally(done, failures));
            assert_eq!(of_verdict(&verdict), exit, "{done} {failures:?}");
        }
    }

    #[test]
    fn every_code_has_the_exit_code_of_the_contract() {
        for (exit, codes) in [
            (1, &[Internal, Io][..]),
            (2, &[Usage, InvalidName, InvalidPort]),
            (3, &[Unreachable, Timeout, Disconnected, Busy]),
            (4, &[NotFound, AmbiguousId]),
            (5, &[Unauthorized, Forbidden, IdentityChanged, Untrusted]),
            (6, &[AlreadyExists, Conflict]),
            (7, &[DigestMismatch]),
            (8, &[QuotaExceeded, DiskFull, TooLarge]),
            (10, &[Protocol, VersionMismatch]),
        ] {
            for code in codes {
                assert_eq!(of_error(*code), exit, "{code}");
            }
        }
    }

    #[test]
    fn signals_and_closed_pipes() {
        assert_eq!(of_end(&Ended::Interrupted), 130);
        assert_eq!(of_end(&Ended::Terminated), 143);
        assert_eq!(of_end(&Ended::HungUp), 129);
        assert_eq!(of_end(&Ended::Closed), 0);
        assert_eq!(of_end(&Ended::Finished(Err(Failure::usage("x")))), 2);
        assert_eq!(of_end(&Ended::Finished(Ok(Verdict::Leave))), 0);
    }
}
