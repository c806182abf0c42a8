use std::time::Duration;

use crate::protocol::limits::{MIN_RATE, RATE_WINDOW};

/// How much moved in one direction during how much waiting for the other side. Time in which this
/// side did not want anything to move does not count.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// In this window, and what moved in it.
    waited: Duration,
    bytes: u64,
    /// What was waited in this window when bytes last moved, and in silence before the window.
    moved_at: Duration,
    silent_before: Duration,
}

/// The other side is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooSlow {
    /// Nothing moved for a whole [`RATE_WINDOW`].
    Silent,
    /// Less than [`MIN_RATE`] moved in one.
    Slow,
}

impl Pace {
    /// How long to wait for the next bytes: until the window ends, and no longer than a window in
    /// silence, wherever that began.
    pub(super) fn allowed(&self) -> Duration {
        let window = RATE_WINDOW.saturating_sub(self.waited);
        window.min(RATE_WINDOW.saturating_sub(self.silent()))
    }

    /// Where waiting is counted.
    pub(super) fn waited(&mut self) -> &mut Duration {
        &mut self.waited
    }

    /// Notes that so many bytes moved, or none in all the time that was allowed.
    pub(super) fn add(&mut self, bytes: u64) -> Result<(), TooSlow> {
        if bytes > 0 {
            self.bytes += bytes;
            self.moved_at = self.waited;
            self.silent_before = Duration::ZERO;
        } else if self.silent() >= RATE_WINDOW {
            return Err(TooSlow::Silent);
        }
        if self.waited < RATE_WINDOW {
            return Ok(());
        }
        if self.bytes < MIN_RATE * RATE_WINDOW.as_secs() {
            return Err(TooSlow::Slow);
        }
        *self = Pace {
            silent_before: self.silent(),
            ..Pace::default()
        };
        Ok(())
    }

    fn silent(&self) -> Duration {
        self.silent_before + self.waited.saturating_sub(self.moved_at)
    }
}
