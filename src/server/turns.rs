use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

/// How many may wait before those who gave up are cleared away.
const CLEARED_AT: usize = 64;

/// One at a time, and of those who wait the one that came last.
///
/// Everybody here waits against a deadline. In the order of coming, a crowd that is too large would
/// have everybody wait for nothing, for as long as it goes on; this way whoever comes is served at
/// once or soon, and the crowd waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    taken: bool,
    waiting: Vec<oneshot::Sender<Turn>>,
    clear_at: usize,
}

/// The right to go on, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// `None` when it was handed on.
    turns: Option<Turns>,
}

impl Turns {
    /// Waits for a turn. Dropping the future gives the place up.
    pub(super) async fn take(&self) -> Turn {
        loop {
            let mine = {
                let mut queue = self.queue();
                if !queue.taken {
                    queue.taken = true;
                    return Turn::of(self);
                }
                queue.wait()
            };
            // Nobody drops a sender without sending, but then waiting again is right too.
            if let Ok(turn) = mine.await {
                return turn;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Queue {
    fn wait(&mut self) -> oneshot::Receiver<Turn> {
        if self.waiting.len() >= self.clear_at.max(CLEARED_AT) {
            self.waiting.retain(|waiting| !waiting.is_closed());
            self.clear_at = 2 * self.waiting.len();
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    /// Whoever is next; the turn is free when there is nobody.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let next = self.waiting.pop();
        self.taken = next.is_some();
        next
    }
}

impl Turn {
    fn of(turns: &Turns) -> Self {
        Turn {
            turns: Some(turns.clone()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else {
            return;
        };
        loop {
            let next = turns.queue().next();
            let Some(next) = next else {
                return;
            };
            match next.send(Turn::of(&turns)) {
                Ok(()) => return,
                // That one has given up: this turn goes to the one before.
                Err(mut turn) => turn.turns = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn the_last_one_is_next_and_whoever_gave_up_is_passed_over() {
        let turns = Turns::default();
        let first = turns.take().await;
        let mut old = pin!(turns.take());
        let mut new = pin!(turns.take());
        assert!(poll(old.as_mut()).is_pending());
        assert!(poll(new.as_mut()).is_pending());
        {
            let mut gone = pin!(turns.take());
            assert!(poll(gone.as_mut()).is_pending());
        }
        drop(first);
        assert!(poll(old.as_mut()).is_pending());
        let second = new.await;
        drop(second);
        drop(old.await);
        drop(turns.take().await);
    }

    #[tokio::test]
    async fn a_turn_that_was_given_to_somebody_who_left_goes_on() {
        let turns = Turns::default();
        let first = turns.take().await;
        let mut old = pin!(turns.take());
        assert!(poll(old.as_mut()).is_pending());
        {
            let mut gone = pin!(turns.take());
            assert!(poll(gone.as_mut()).is_pending());
            // Given, and never fetched.
            drop(first);
            assert!(poll(old.as_mut()).is_pending());
        }
        drop(old.await);
    }

    #[tokio::test]
    async fn those_who_gave_up_are_cleared_away() {
        let turns = Turns::default();
        let first = turns.take().await;
        for _ in 0..10_000 {
            let mut gone = pin!(turns.take());
            assert!(poll(gone.as_mut()).is_pending());
        }
        assert!(turns.queue().waiting.len() <= CLEARED_AT);
        drop(first);
        drop(turns.take().await);
    }
}
