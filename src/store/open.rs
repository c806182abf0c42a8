use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::damage::Damage;
use super::error::OpenError;
use super::hash_slots::HashSlots;
use super::hasher::{HashGate, hash_files};
use super::index::{IndexFile, Readers};
use super::inner::Inner;
use super::journal::Journal;
use super::ledger::Ledger;
use super::options::StoreOptions;
use super::own_folder::Home;
use super::partial::Partials;
use super::places::{Places, at};
use super::publisher::{BATCH, Job, Publisher, sync_files};
use super::scanner::{ScanGate, scan};
use super::staging::Staging;
use super::sweeper::{Sweep, sweep};
use super::trash::Trash;
use crate::disk::{FileLock, Folder, LockError};

/// How often, and after which pauses, to try again when the lock is held.
const PROBED: u32 = 3;
const PROBE: Duration = Duration::from_millis(20);

/// How many files are synced at a time: so many share the disk's journal commits.
const SYNCERS: usize = 8;

/// An open store and its threads.
pub(super) struct Running {
    inner: Arc<Inner>,
    // Held while closing, so that a second close returns when the first has ended.
    parts: Mutex<Option<Parts>>,
}

/// What ends with the store.
struct Parts {
    watchers: Vec<JoinHandle<()>>,
    syncers: Vec<JoinHandle<()>>,
    publisher: JoinHandle<()>,
    sweeper: JoinHandle<()>,
    _locks: Locks,
}

/// Both are needed: two servers may share a root or, by mistake, a state folder.
struct Locks {
    _state: FileLock,
    #[cfg(unix)]
    _root: std::fs::File,
}

impl Running {
    pub(super) fn start(options: StoreOptions) -> Result<Self, OpenError> {
        let places = Places::open(&options.root, options.state_dir.as_deref())?;
        let Places {
            root_path,
            root,
            state_path,
            state,
        } = places;
        // The state folder may have been made for accounts or keys; a lock is left by serving only.
        let served_before = state.facts("lock").is_ok();
        let locks = lock(&root_path, &root, &state_path, &state)?;
        let home = Home::find(&root, &state);
        let (staging, left_over) = Staging::open(&home).map_err(at(&state_path.join("staging")))?;
        let partials = Partials::open(&home).map_err(at(&state_path.join("partial")))?;
        let trash = Trash::open(&home, options.keep_removed, options.keep_removed_size)
            .map_err(at(&state_path.join("trash")))?;
        let file = IndexFile::in_folder(&state_path);
        let index = |source| OpenError::Index {
            path: state_path.clone(),
            source,
        };
        let (writer, index_state) = file.open(served_before).map_err(index)?;

        let ledger = Arc::new(Ledger::default());
        ledger.set_stored(writer.totals());
        let (jobs, job_queue) = mpsc::sync_channel(BATCH);
        let (to_sync, sync_queue) = mpsc::sync_channel(BATCH);
        let (to_sweep, sweep_queue) = mpsc::channel();
        let inner = Arc::new(Inner {
            root,
            root_path,
            names: options.names,
            durability: options.durability,
            max_file_size: options.max_file_size,
            quota: options.quota,
            index_state,
            staging,
            partials: Arc::new(partials),
            trash,
            damage: Damage::in_folder(&state_path),
            readers: Readers::new(file),
            ledger,
            jobs,
            to_sync,
            to_sweep,
            scan: ScanGate::default(),
            hashing: HashGate::default(),
            hash_slots: HashSlots::default(),
            stopping: AtomicBool::new(false),
        });
        inner.fit_partials();
        for leaf in left_over {
            let _ = inner.to_sweep.send(Sweep::Delete(leaf));
        }

        let publisher = Publisher::new(Arc::clone(&inner), writer, Journal::open(&state_path));
        let sync_queue = Arc::new(Mutex::new(sync_queue));
        let run = |name: &str, work: Box<dyn FnOnce(&Inner) + Send>| {
            let inner = Arc::clone(&inner);
            let thread = thread::Builder::new().name(name.into());
            thread.spawn(move || work(&inner)).map_err(at(&state_path))
        };
        let parts = Parts {
            publisher: run("publisher", Box::new(move |_| publisher.run(&job_queue)))?,
            syncers: (0..SYNCERS)
                .map(|_| {
                    let queue = Arc::clone(&sync_queue);
                    run("syncer", Box::new(move |inner| sync_files(inner, &queue)))
                })
                .collect::<Result<_, _>>()?,
            sweeper: run("sweeper", Box::new(move |inner| sweep(inner, &sweep_queue)))?,
            watchers: vec![
                run("scanner", Box::new(scan))?,
                run("hasher", Box::new(hash_files))?,
            ],
            _locks: locks,
        };
        Ok(Running {
            inner,
            parts: Mutex::new(Some(parts)),
        })
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(super) fn close(&self) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = parts.take() {
            parts.stop(&self.inner);
        }
    }

    fn take_parts(&self) -> Option<Parts> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(parts) = self.take_parts() else {
            return;
        };
        // An answer may drop the last handle. It runs on one of the threads, which cannot wait for
        // the others, as they may be waiting for it.
        let current = thread::current().id();
        if parts
            .threads()
            .any(|thread| thread.thread().id() == current)
        {
            let inner = Arc::clone(&self.inner);
            thread::spawn(move || parts.stop(&inner));
        } else {
            parts.stop(&self.inner);
        }
    }
}

impl Parts {
    fn threads(&self) -> impl Iterator<Item = &JoinHandle<()>> {
        let ends = [&self.publisher, &self.sweeper];
        ends.into_iter().chain(&self.syncers).chain(&self.watchers)
    }

    /// Stops the threads in the order in which they hand work on, so that all of it is done.
    fn stop(self, inner: &Inner) {
        inner.stopping.store(true, Ordering::Release);
        inner.scan.stop();
        inner.hashing.stop();
        inner.hash_slots.stop();
        self.watchers.into_iter().for_each(join);
        for _ in &self.syncers {
            let _ = inner.to_sync.send(None);
        }
        self.syncers.into_iter().for_each(join);
        inner.send(Job::Stop);
        join(self.publisher);
        let _ = inner.to_sweep.send(Sweep::Stop);
        join(self.sweeper);
        inner.readers.renew();
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}

fn lock(
    root_path: &Path,
    root: &Folder,
    state_path: &Path,
    state: &Folder,
) -> Result<Locks, OpenError> {
    let mut acquired = FileLock::acquire(state, "lock");
    for _ in 0..PROBED {
        // Somebody may only be looking whether it is held.
        if let Err(LockError::Held { .. }) = acquired {
            thread::sleep(PROBE);
            acquired = FileLock::acquire(state, "lock");
        }
    }
    let state = acquired.map_err(|error| match error {
        LockError::Held { pid } => OpenError::InUse {
            root: root_path.to_owned(),
            pid,
        },
        LockError::Io(source) => at(&state_path.join("lock"))(source),
    })?;
    Ok(Locks {
        _state: state,
        #[cfg(unix)]
        _root: root.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse {
                root: root_path.to_owned(),
                pid: None,
            },
            _ => at(root_path)(error),
        })?,
    })
}
