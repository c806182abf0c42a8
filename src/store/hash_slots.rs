//! How many files are hashed at a time while somebody waits for them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::StoreError;

/// More would only share one disk, and every one of them keeps a thread.
const SLOTS: usize = 2;

/// Where those who hash wait for their turn.
#[derive(Default)]
pub(super) struct HashSlots {
    // No I/O while it is held.
    state: Mutex<SlotState>,
    changed: Condvar,
}

#[derive(Default)]
struct SlotState {
    taken: usize,
    stopped: bool,
}

/// The right to hash one file; given back when it is dropped.
pub(super) struct HashSlot<'a>(&'a HashSlots);

impl HashSlots {
    /// Waits for a slot, however long it takes.
    pub(super) fn take(&self) -> Result<HashSlot<'_>, StoreError> {
        let state = self
            .changed
            .wait_while(self.lock(), |state| !state.stopped && state.taken >= SLOTS)
            .unwrap_or_else(PoisonError::into_inner);
        self.taken(state)
    }

    /// Waits for a slot, but not longer than `patience`; `None` when there was none.
    pub(super) fn take_within(
        &self,
        patience: Duration,
    ) -> Result<Option<HashSlot<'_>>, StoreError> {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while !state.stopped && state.taken >= SLOTS {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Ok(None);
            };
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        self.taken(state).map(Some)
    }

    /// Sends everybody who waits away.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn taken(&self, mut state: MutexGuard<'_, SlotState>) -> Result<HashSlot<'_>, StoreError> {
        if state.stopped {
            return Err(StoreError::Closed);
        }
        state.taken += 1;
        Ok(HashSlot(self))
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HashSlot<'_> {
    fn drop(&mut self) {
        self.0.lock().taken -= 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_hash_at_a_time_than_there_are_slots() {
        let slots = HashSlots::default();
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        let none = slots.take_within(Duration::from_millis(10)).unwrap();
        assert!(none.is_none());
        drop(first);
        let _third = slots.take_within(Duration::ZERO).unwrap().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| matches!(slots.take(), Err(StoreError::Closed)));
            slots.stop();
            assert!(waiting.join().unwrap());
        });
    }
}
