//! Keeps the index in step with what people do in the folder by hand.
//!
//! It walks the tree and compares; there is no inotify or the like. Those mechanisms miss changes
//! when their queues overflow, do not see other machines' changes on network file systems, need a
//! watch per folder and are different on every system, so a walk would be needed besides. One
//! mechanism that is right everywhere is enough while a walk takes a fraction of a second.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::index::Row;
use super::inner::Inner;
use super::names::fold_of_leaf;
use super::options::NameRules;
use super::publisher::{BATCH, Job};
use crate::disk::{FolderListing, LeftOut, Lookalike, Walk};
use crate::types::FileName;

/// A listing is made after a walk that began at most so long ago.
const FRESH: Duration = Duration::from_secs(1);

/// Between two walks that nobody asked for at least this time passes, …
const MIN_PAUSE: Duration = Duration::from_secs(2);

/// … and so many times what the last one took, so that walking costs at most 2 % of one core.
const PAUSE_FACTOR: u32 = 50;

/// What a walk left out, twins included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unshared {
    pub(super) left_out: LeftOut,
    pub(super) twins: u64,
}

/// Where callers meet the scanner.
#[derive(Default)]
pub(super) struct ScanGate {
    // No I/O while it is held.
    state: Mutex<ScanState>,
    changed: Condvar,
}

#[derive(Default)]
struct ScanState {
    /// Somebody waits for a walk that has not begun.
    wanted: bool,
    /// When the walk that goes on now began.
    running_since: Option<Instant>,
    /// When the last walk that was completed began.
    completed: Option<Instant>,
    stopped: bool,
    unshared: Unshared,
}

impl ScanGate {
    /// Waits until the index has everything that was in the folder a second ago.
    pub(super) fn ensure_fresh(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let fresh = |time: Option<Instant>| {
            time.is_some_and(|time| asked.saturating_duration_since(time) < FRESH)
        };
        let mut state = self.lock();
        loop {
            if fresh(state.completed) {
                return Ok(());
            }
            if state.stopped {
                return Err(StoreError::Closed);
            }
            if !state.wanted && !fresh(state.running_since) {
                state.wanted = true;
                self.changed.notify_all();
            }
            state = self.wait(state);
        }
    }

    /// Asks for a walk without waiting for it.
    pub(super) fn want(&self) {
        let mut state = self.lock();
        // What was walked before does not count any more.
        state.completed = None;
        state.wanted = true;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn unshared(&self) -> Unshared {
        self.lock().unshared
    }

    fn lock(&self) -> MutexGuard<'_, ScanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, ScanState>) -> MutexGuard<'a, ScanState> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a walk is wanted or due; `None` when the store is closing.
    fn begin(&self, due: Instant) -> Option<Instant> {
        let mut state = self.lock();
        while !state.stopped && !state.wanted {
            let Some(left) = due.checked_duration_since(Instant::now()) else {
                break;
            };
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if state.stopped {
            return None;
        }
        let now = Instant::now();
        state.wanted = false;
        state.running_since = Some(now);
        Some(now)
    }

    fn end(&self, unshared: Option<Unshared>) {
        let mut state = self.lock();
        let began = state.running_since.take();
        // A walk that failed is complete as well: waiting for another would not help.
        state.completed = began;
        if let Some(unshared) = unshared {
            state.unshared = unshared;
        }
        self.changed.notify_all();
    }
}

/// Walks again and again until the store closes.
pub(super) fn scan(inner: &Inner) {
    let mut due = Instant::now();
    while let Some(began) = inner.scan.begin(due) {
        let outcome = walk(inner);
        match &outcome {
            Ok(_) | Err(StoreError::Closed) => {}
            Err(error) => {
                tracing::warn!("the folder could not be compared with the index: {error}");
            }
        }
        inner.scan.end(outcome.ok());
        let pause = MIN_PAUSE.max(began.elapsed().saturating_mul(PAUSE_FACTOR));
        due = Instant::now() + pause;
    }
}

fn walk(inner: &Inner) -> Result<Unshared, StoreError> {
    let mut unshared = Unshared::default();
    let mut walk = Walk::new(&inner.root);
    while let Some(mut listing) = walk.next() {
        if inner.is_stopping() {
            return Err(StoreError::Closed);
        }
        unshared.left_out.add(&listing.left_out);
        let hidden = match inner.names {
            NameRules::Portable => {
                let twins = hide_twins(&mut listing, &mut walk);
                unshared.twins += twins.hidden.len() as u64 + twins.other_forms;
                unshared.left_out.names -= twins.other_forms;
                twins.hidden
            }
            NameRules::Native => {
                listing.lookalikes.clear();
                Vec::new()
            }
        };
        if listing.complete {
            remember_lookalikes(inner, &listing, &hidden)?;
        }
        compare(inner, &listing, hidden)?;
    }
    Ok(unshared)
}

struct Twins {
    /// Names that are not shared because an earlier one is.
    hidden: Vec<FileName>,
    /// How many things in another Unicode form there are beside a shared name.
    other_forms: u64,
}

/// Takes every name out of the listing that differs from an earlier one only in case or form.
fn hide_twins(listing: &mut FolderListing, walk: &mut Walk) -> Twins {
    let mut first: HashMap<String, FileName> = HashMap::new();
    let names = listing.files.iter().map(|(name, _)| name);
    for name in names.chain(&listing.folders) {
        first
            .entry(fold_of_leaf(name))
            .and_modify(|first| {
                if name < first {
                    *first = name.clone();
                }
            })
            .or_insert_with(|| name.clone());
    }
    let mut hidden = Vec::new();
    let mut is_first = |name: &FileName| {
        let shared = first.get(&fold_of_leaf(name)) == Some(name);
        if !shared {
            hidden.push(name.clone());
        }
        shared
    };
    listing.files.retain(|(name, _)| is_first(name));
    listing.folders.retain(|name| {
        let shared = is_first(name);
        if !shared {
            walk.leave_out(name);
        }
        shared
    });
    let beside_shared =
        |found: &&Lookalike| found.other_form && first.contains_key(&found.name.fold());
    let other_forms = listing.lookalikes.iter().filter(beside_shared).count() as u64;
    Twins {
        hidden,
        other_forms,
    }
}

/// Lets the index have what is in the folder and not shared, so that no twin of it is created.
fn remember_lookalikes(
    inner: &Inner,
    listing: &FolderListing,
    hidden: &[FileName],
) -> Result<(), StoreError> {
    let lookalikes = listing.lookalikes.iter();
    let mut found: Vec<(String, String)> = lookalikes
        .map(|found| (found.leaf.clone(), found.name.fold()))
        .chain(
            hidden
                .iter()
                .map(|name| (name.leaf().to_owned(), fold_of_leaf(name))),
        )
        .collect();
    found.sort_unstable();
    let known = inner.read(|rows| Ok(rows.lookalikes_in(listing.name.as_ref())?))?;
    if found.iter().map(|(leaf, _)| leaf).eq(&known) {
        return Ok(());
    }
    inner.ask(|answer| Job::Lookalikes {
        folder: listing.name.clone(),
        found,
        answer,
    })
}

/// Sends the publisher every name on which disk and index differ, and waits until it has looked.
fn compare(
    inner: &Inner,
    listing: &FolderListing,
    mut hidden: Vec<FileName>,
) -> Result<(), StoreError> {
    let folder = listing.name.as_ref();
    let (files, folders) =
        inner.read(|rows| Ok((rows.files_in(folder)?, rows.folders_in(folder)?)))?;
    hidden.retain(|name| {
        let is_name = |row: &Row| row.name.cmp(name);
        files.binary_search_by(is_name).is_ok() || folders.binary_search(name).is_ok()
    });
    let mut names = differences(
        &listing.files,
        &files,
        |(name, _)| name,
        |row| &row.name,
        |(_, facts), row| row.describes(facts) && row.executable == facts.executable,
        listing.complete,
    );
    names.extend(differences(
        &listing.folders,
        &folders,
        |name| name,
        |name| name,
        |_, _| true,
        listing.complete,
    ));
    // Not all at once: uploads that wait meanwhile get their turn in between.
    let mut chunks = names.chunks(BATCH);
    loop {
        let chunk = chunks.next().unwrap_or_default();
        if chunk.is_empty() && hidden.is_empty() {
            return Ok(());
        }
        inner.ask(|answer| Job::Look {
            folder: folder.cloned(),
            hidden: std::mem::take(&mut hidden),
            names: chunk.to_vec(),
            answer,
        })?;
    }
}

/// The names that two lists in the order of names do not agree upon. Those that only the index
/// has count when the disk was listed to its end.
fn differences<D, I>(
    disk: &[D],
    index: &[I],
    disk_name: impl Fn(&D) -> &FileName,
    index_name: impl Fn(&I) -> &FileName,
    agree: impl Fn(&D, &I) -> bool,
    complete: bool,
) -> Vec<FileName> {
    let mut names = Vec::new();
    let (mut disk, mut index) = (disk.iter().peekable(), index.iter().peekable());
    loop {
        let order = match (disk.peek(), index.peek()) {
            (Some(found), Some(known)) => disk_name(found).cmp(index_name(known)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return names,
        };
        let found = disk.next_if(|_| order != Ordering::Greater);
        let known = index.next_if(|_| order != Ordering::Less);
        match (found, known) {
            (Some(found), Some(known)) if agree(found, known) => {}
            (Some(found), _) => names.push(disk_name(found).clone()),
            (None, Some(known)) if complete => names.push(index_name(known).clone()),
            (None, _) => {}
        }
    }
}
