use std::time::Duration;

use tokio::time::Instant;

use super::ClientOptions;
use crate::protocol::{ErrorCode, Failure};

/// For how long to go on by oneself without progress (contract section 4, `--retries`).
const TIME: Duration = Duration::from_secs(20);

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How often, and until when, to try again after a cut.
#[derive(Debug)]
pub(super) struct Retries {
    allowed: u32,
    used: u32,
    since: Instant,
}

impl Retries {
    pub(super) fn new(options: &ClientOptions) -> Self {
        Retries {
            allowed: options.retries,
            used: 0,
            since: Instant::now(),
        }
    }

    /// Something got done until now: the count begins anew.
    pub(super) fn progressed(&mut self) {
        self.used = 0;
        self.since = Instant::now();
    }

    /// How long to wait before the next try, which is counted; `None` when there is none.
    pub(super) fn next(&mut self) -> Option<Duration> {
        let pause = FIRST_PAUSE * 2u32.saturating_pow(self.used.min(6));
        if self.used >= self.allowed || self.since.elapsed() + pause > TIME {
            return None;
        }
        self.used += 1;
        Some(pause)
    }

    /// Waits before the next try, or returns the failure when there is none.
    pub(super) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        match self.next() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(failure),
        }
        Ok(())
    }

    /// What to tell the user before the try that was just counted.
    pub(super) fn note(&self, failure: &Failure) -> String {
        let (used, allowed) = (self.used, self.allowed);
        format!("{failure}; trying again ({used} of {allowed})")
    }
}

/// Whether the failure is a lost connection, which another try may mend.
pub(super) fn is_cut(failure: &Failure) -> bool {
    matches!(
        failure.code,
        ErrorCode::Disconnected | ErrorCode::Timeout | ErrorCode::Unreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_up_after_so_many_tries_or_so_long_and_begins_anew_after_progress() {
        let cut = || Failure::new(ErrorCode::Disconnected, "cut");
        let options = |retries| ClientOptions {
            retries,
            ..ClientOptions::default()
        };
        let mut retries = Retries::new(&options(2));
        assert!(retries.wait(cut()).await.is_ok());
        assert!(retries.wait(cut()).await.is_ok());
        assert!(retries.wait(cut()).await.is_err());
        retries.progressed();
        assert!(retries.wait(cut()).await.is_ok());
        let mut many = Retries::new(&options(1000));
        let started = Instant::now();
        while many.wait(cut()).await.is_ok() {}
        assert!(started.elapsed() <= TIME);
        assert!(Retries::new(&options(0)).wait(cut()).await.is_err());
    }
}
