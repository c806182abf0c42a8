use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;
use tracing::debug;

use super::retry::{self, Retries};
use super::{Client, ClientOptions, FileReport};
use crate::protocol::Failure;
use crate::transfer::Progress;

/// Who hears what became of each file.
pub(super) type Report<'a> = &'a mut (dyn FnMut(FileReport) + Send);

/// What to tell the user of a file that does not begin at its beginning.
pub(super) fn going_on(label: &str, offset: u64, size: Option<u64>) -> Option<String> {
    let size = size.filter(|_| offset > 0)?;
    let percent = u128::from(offset) * 100 / u128::from(size.max(1));
    Some(format!("{label}: going on at {percent} %"))
}

/// A file of a batch that is not finished.
pub(super) trait Unfinished: Send {
    /// How many bytes it has, as far as that is known.
    fn size(&self) -> u64;

    /// Whether it cannot be tried again: a stream that has begun to flow cannot be begun anew.
    fn is_spent(&self) -> bool;

    /// The report of its failure.
    fn fail(self, failure: Failure) -> FileReport;
}

/// What is done with the files of a batch.
pub(super) trait Transfer: Sync {
    type File: Unfinished;

    /// One try at all the files of this round, over one connection.
    fn round(
        &self,
        client: &mut Client,
        rounds: &mut Rounds<'_, Self::File>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Transfers files until every one is reported. Returns how much file content crossed the wire.
///
/// Several connections take shares of them, each the next one when it is through with its own. The
/// first of them is that of `client`; one that cannot be made is done without.
pub(super) async fn transfer<T: Transfer>(
    transfer: T,
    client: &mut Client,
    files: Vec<T::File>,
    progress: &Arc<dyn Progress>,
    report: Report<'_>,
) -> u64 {
    let connections = client.connections(files.len());
    let total = files.len() as u64;
    let announced = files.iter().map(T::File::size).fold(0, u64::saturating_add);
    progress.batch(total, announced);
    let batch = Batch {
        total,
        announced: AtomicU64::new(announced),
        state: Mutex::new(BatchState {
            queue: files.into(),
            connections,
            busy: 0,
        }),
        returned: Notify::new(),
        progress,
        report: Mutex::new(report),
    };
    let mut companions: Vec<_> = (1..connections).map(|_| client.companion()).collect();
    let clients = std::iter::once(client).chain(&mut companions);
    let working = clients.map(|client| Box::pin(work(&transfer, client, &batch)));
    all(working.collect()).await
}

/// Waits for all of them, and adds up what they come to.
async fn all<W: Future<Output = u64>>(mut working: Vec<Pin<Box<W>>>) -> u64 {
    let mut sum = 0;
    poll_fn(|context| {
        working.retain_mut(|work| match work.as_mut().poll(context) {
            Poll::Ready(moved) => {
                sum += moved;
                false
            }
            Poll::Pending => true,
        });
        match working.is_empty() {
            true => Poll::Ready(sum),
            false => Poll::Pending,
        }
    })
    .await
}

/// What one connection does; returns how much file content crossed the wire over it.
async fn work<'a, T: Transfer>(
    transfer: &T,
    client: &mut Client,
    batch: &'a Batch<'a, T::File>,
) -> u64 {
    let mut rounds = Rounds::new(batch, &client.options);
    while rounds.take_share().await {
        while !rounds.is_done() {
            let ended = transfer.round(client, &mut rounds).await;
            if !rounds.after(ended, client.was_connected()).await {
                return rounds.moved.total();
            }
        }
        rounds.end_share();
    }
    rounds.moved.total()
}

/// How much file content has crossed the wire; a cut after some of it is no lack of progress.
#[derive(Clone, Default)]
pub(super) struct Moved(Arc<AtomicU64>);

impl Moved {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A batch of files, and who works on it.
struct Batch<'a, F> {
    total: u64,
    announced: AtomicU64,
    state: Mutex<BatchState<F>>,
    /// A share has ended, or was given back.
    returned: Notify,
    progress: &'a Arc<dyn Progress>,
    report: Mutex<Report<'a>>,
}

struct BatchState<F> {
    /// What nobody has taken yet.
    queue: VecDeque<F>,
    /// How many connections work on it, and how many of them have a share.
    connections: usize,
    busy: usize,
}

/// What a file weighs besides its bytes.
const WEIGHT: u64 = 64 * 1024;

impl<F: Unfinished> BatchState<F> {
    /// The next files: all of them for who is alone, and else so many that all come to their end
    /// at about the same time.
    fn share(&mut self) -> Vec<Option<F>> {
        let weight = |file: &F| file.size().saturating_add(WEIGHT);
        let all: u64 = self.queue.iter().map(weight).fold(0, u64::saturating_add);
        let mut left = match self.connections {
            0 | 1 => u64::MAX,
            several => all / (2 * several as u64),
        };
        let mut share = Vec::new();
        while let Some(file) = self.queue.pop_front() {
            left = left.saturating_sub(weight(&file));
            share.push(Some(file));
            if left == 0 {
                break;
            }
        }
        share
    }
}

impl<F> Batch<'_, F> {
    fn state(&self) -> MutexGuard<'_, BatchState<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share of a batch that is tried until every file of it is reported: in rounds, one connection
/// each.
///
/// In a round, files are known by their place in it, which changes from round to round.
pub(super) struct Rounds<'a, F> {
    batch: &'a Batch<'a, F>,
    files: Vec<Option<F>>,
    left_before: usize,
    retries: Retries,
    moved: Moved,
    moved_before: u64,
    pub(super) progress: &'a Arc<dyn Progress>,
}

impl<'a, F: Unfinished> Rounds<'a, F> {
    fn new(batch: &'a Batch<'a, F>, options: &ClientOptions) -> Self {
        Rounds {
            batch,
            files: Vec::new(),
            left_before: 0,
            retries: Retries::new(options),
            moved: Moved::default(),
            moved_before: 0,
            progress: batch.progress,
        }
    }

    /// Takes the next share; waits while others may still give something back. Tells whether there
    /// is one.
    async fn take_share(&mut self) -> bool {
        loop {
            let mut returned = pin!(self.batch.returned.notified());
            returned.as_mut().enable();
            {
                let mut state = self.batch.state();
                if !state.queue.is_empty() {
                    self.files = state.share();
                    self.left_before = self.files.len();
                    state.busy += 1;
                    return true;
                }
                if state.busy == 0 {
                    return false;
                }
            }
            returned.await;
        }
    }

    /// All of the share is reported.
    fn end_share(&self) {
        self.batch.state().busy -= 1;
        self.batch.returned.notify_waiters();
    }

    /// Leaves the rest of the share to the other connections. Tells whether there are any.
    fn give_back(&mut self) -> bool {
        let mut state = self.batch.state();
        if state.connections <= 1 {
            return false;
        }
        state.connections -= 1;
        state.busy -= 1;
        for file in self.files.drain(..).rev().flatten() {
            state.queue.push_front(file);
        }
        drop(state);
        self.batch.returned.notify_waiters();
        true
    }

    /// Whether every file is reported.
    fn is_done(&self) -> bool {
        self.files.is_empty()
    }

    /// The files of this round, in order. Between rounds none is missing.
    pub(super) fn files(&self) -> impl Iterator<Item = &F> {
        self.files.iter().flatten()
    }

    /// A file of this round, unless it is reported.
    pub(super) fn get(&mut self, place: u32) -> Option<&mut F> {
        self.files.get_mut(place as usize)?.as_mut()
    }

    /// Takes a file out, to report it.
    pub(super) fn take(&mut self, place: u32) -> Option<F> {
        self.files.get_mut(place as usize)?.take()
    }

    /// Reports a file that was taken out.
    pub(super) fn tell(&mut self, report: FileReport) {
        self.progress.end(report.index);
        let report_to = &self.batch.report;
        (report_to.lock().unwrap_or_else(PoisonError::into_inner))(report);
    }

    /// After a round: when it was cut, waits for the next one; what cannot be tried again fails.
    /// Tells whether to go on.
    async fn after(&mut self, ended: Result<(), Failure>, was_connected: bool) -> bool {
        self.files.retain(Option::is_some);
        let moved = self.moved.total();
        if self.files.len() < self.left_before || moved > self.moved_before {
            self.retries.progressed();
        }
        self.left_before = self.files.len();
        self.moved_before = moved;
        let Err(failure) = ended else {
            return true;
        };
        debug!(%failure, left = self.left_before, "a round was cut short");
        // A connection more was worth a try, and the others go on without it.
        if !was_connected && self.give_back() {
            return false;
        }
        self.fail(&failure, F::is_spent);
        if self.is_done() {
            return true;
        }
        let is_cut = retry::is_cut(&failure);
        if let Some(pause) = is_cut.then(|| self.retries.next()).flatten() {
            self.progress.note(&self.retries.note(&failure));
            tokio::time::sleep(pause).await;
            return true;
        }
        if !is_cut {
            self.fail(&failure, |_| true);
        }
        if self.give_back() {
            return false;
        }
        // Nobody is left to do the rest.
        let rest = std::mem::take(&mut self.batch.state().queue);
        self.files.extend(rest.into_iter().map(Some));
        self.fail(&failure, |_| true);
        true
    }

    /// Adds the size of a file that was not known before to what the whole batch will take.
    pub(super) fn announce(&self, bytes: u64) {
        let before = self.batch.announced.fetch_add(bytes, Ordering::Relaxed);
        let announced = before.saturating_add(bytes);
        self.progress.batch(self.batch.total, announced);
    }

    /// Counts file content that crossed the wire.
    pub(super) fn moved(&self) -> Moved {
        self.moved.clone()
    }

    fn fail(&mut self, failure: &Failure, which: impl Fn(&F) -> bool) {
        for place in 0..self.files.len() {
            let slot = self.files.get_mut(place);
            if let Some(file) = slot.and_then(|slot| slot.take_if(|file| which(file))) {
                self.tell(file.fail(failure.clone()));
            }
        }
        self.files.retain(Option::is_some);
    }
}
