use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::index::Totals;

/// How much room the shared files take and how much running uploads have been promised.
#[derive(Default)]
pub(super) struct Ledger {
    files: AtomicU64,
    bytes: AtomicU64,
    reserved: AtomicU64,
}

impl Ledger {
    /// Takes over what the index counts.
    pub(super) fn set_stored(&self, totals: Totals) {
        self.files.store(totals.files, Ordering::Relaxed);
        self.bytes.store(totals.bytes, Ordering::Relaxed);
    }

    pub(super) fn stored(&self) -> Totals {
        Totals {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Whether `more` bytes fit into the quota beside all that is stored and promised.
    pub(super) fn has_room(&self, more: u64, quota: Option<u64>) -> bool {
        let reserved = self.reserved.load(Ordering::Relaxed);
        quota.is_none_or(|quota| self.fits(reserved, more, quota))
    }

    /// How many bytes the quota has left.
    pub(super) fn room(&self, quota: u64) -> u64 {
        let reserved = self.reserved.load(Ordering::Relaxed);
        let taken = self.bytes.load(Ordering::Relaxed).saturating_add(reserved);
        quota.saturating_sub(taken)
    }

    fn fits(&self, reserved: u64, more: u64, quota: u64) -> bool {
        let taken = self.bytes.load(Ordering::Relaxed).saturating_add(reserved);
        taken.saturating_add(more) <= quota
    }
}

/// Room that was promised to one upload; given back when it is dropped.
pub(super) struct Reservation {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Reservation {
    pub(super) fn none(ledger: &Arc<Ledger>) -> Self {
        Reservation {
            ledger: Arc::clone(ledger),
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the promise `bytes` large, or leaves it as it is and says `false`.
    pub(super) fn grow_to(&mut self, bytes: u64, quota: Option<u64>) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return true;
        };
        let grown =
            self.ledger
                .reserved
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                    let fits = quota.is_none_or(|quota| self.ledger.fits(reserved, more, quota));
                    fits.then(|| reserved.saturating_add(more))
                });
        if grown.is_ok() {
            self.bytes = bytes;
        }
        grown.is_ok()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger
            .reserved
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
