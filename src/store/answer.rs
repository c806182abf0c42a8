use std::sync::mpsc::{self, Receiver};

use super::error::StoreError;

/// Called exactly once with what became of a change.
///
/// It runs on the thread that makes all changes: it must not block, and not call the store.
pub type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// The duty to answer once. Whoever drops it without answering has answered `Closed`, so that no
/// caller waits for ever, whichever queue a request was in when the store stopped.
pub(super) struct Answer<T>(Option<Done<T>>);

impl<T: Send + 'static> Answer<T> {
    pub(super) fn to(done: Done<T>) -> Self {
        Answer(Some(done))
    }

    /// An answer that a thread waits for.
    pub(super) fn awaited() -> (Self, Receiver<Result<T, StoreError>>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = move |outcome| {
            let _ = sender.send(outcome);
        };
        (Self::to(Box::new(done)), receiver)
    }

    /// An answer that nobody waits for.
    pub(super) fn unheard() -> Self {
        Answer(None)
    }

    pub(super) fn give(mut self, outcome: Result<T, StoreError>) {
        if let Some(done) = self.0.take() {
            done(outcome);
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(StoreError::Closed));
        }
    }
}
