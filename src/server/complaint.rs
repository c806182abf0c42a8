use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Something that is worth a line in the log, but not a line each time: what strangers cause by the
/// thousand must not fill a disk, nor hide everything else.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    // No await while it is held.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: u64,
}

/// How long to be quiet after each line.
const QUIET: Duration = Duration::from_secs(10);

impl Complaint {
    /// Notes that it happened once more. `Some` when that is to be said now: how often it happened
    /// since it was said last.
    pub(super) fn note(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsaid += 1;
        if state.said.is_some_and(|said| said.elapsed() < QUIET) {
            return None;
        }
        state.said = Some(Instant::now());
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_said_at_once_and_then_now_and_then_with_a_number() {
        let complaint = Complaint::default();
        let mut said = Vec::new();
        for _ in 0..25 {
            said.extend(complaint.note());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(said, [1, 10, 10]);
    }
}
