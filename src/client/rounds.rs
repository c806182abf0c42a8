use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::debug;

use super::retry::{self, Retries};
use super::{ClientOptions, FileReport};
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
pub(super) trait Unfinished {
    /// Whether it cannot be tried again: a stream that has begun to flow cannot be begun anew.
    fn is_spent(&self) -> bool;

    /// The report of its failure.
    fn fail(self, failure: Failure) -> FileReport;
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

/// A batch that is tried until every file of it is reported: in rounds, one connection each.
///
/// In a round, files are known by their place in it, which changes from round to round.
pub(super) struct Rounds<'a, F> {
    files: Vec<Option<F>>,
    left_before: usize,
    retries: Retries,
    moved: Moved,
    moved_before: u64,
    total: u64,
    announced: u64,
    pub(super) progress: &'a Arc<dyn Progress>,
    report: Report<'a>,
}

impl<'a, F: Unfinished> Rounds<'a, F> {
    pub(super) fn new(
        files: Vec<F>,
        options: &ClientOptions,
        progress: &'a Arc<dyn Progress>,
        report: Report<'a>,
    ) -> Self {
        Rounds {
            total: files.len() as u64,
            announced: 0,
            left_before: files.len(),
            files: files.into_iter().map(Some).collect(),
            retries: Retries::new(options),
            moved: Moved::default(),
            moved_before: 0,
            progress,
            report,
        }
    }

    /// Whether every file is reported.
    pub(super) fn is_done(&self) -> bool {
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
        (self.report)(report);
    }

    /// After a round: when it was cut, waits for the next one; what cannot be tried again fails.
    pub(super) async fn after(&mut self, ended: Result<(), Failure>) {
        self.files.retain(Option::is_some);
        let moved = self.moved.total();
        if self.files.len() < self.left_before || moved > self.moved_before {
            self.retries.progressed();
        }
        self.left_before = self.files.len();
        self.moved_before = moved;
        let Err(failure) = ended else {
            return;
        };
        debug!(%failure, left = self.left_before, "a round was cut short");
        self.fail(&failure, F::is_spent);
        if self.is_done() {
            return;
        }
        let pause = match retry::is_cut(&failure) {
            true => self.retries.next(),
            false => None,
        };
        match pause {
            Some(pause) => {
                self.progress.note(&self.retries.note(&failure));
                tokio::time::sleep(pause).await;
            }
            None => self.fail(&failure, |_| true),
        }
    }

    /// Adds the size of a file that was not known before to what the whole batch will take.
    pub(super) fn announce(&mut self, bytes: u64) {
        self.announced = self.announced.saturating_add(bytes);
        self.progress.batch(self.total, self.announced);
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
