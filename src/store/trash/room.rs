use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::{Amount, Trash, When};
use crate::disk::{Folder, Walk, remove_tree};
use crate::store::content::now;
use crate::store::inner::Inner;
use crate::store::own_folder::unused_leaf;

/// How often it is looked whether something has been kept long enough: at most, and at least.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(60)];

impl Trash {
    /// How long the sweeper may sleep before something may be too old.
    pub(in crate::store) fn pause(&self) -> Duration {
        let [least, most] = PAUSES;
        (self.time / 10).clamp(least, most)
    }

    /// The folder to empty next because of the bounds, if any.
    fn over_bound(&self) -> Option<When> {
        let state = self.lock();
        let (oldest, _) = state.folders.first_key_value()?;
        let age = now().total_nanoseconds() - oldest.time().total_nanoseconds();
        let too_old = age >= i128::try_from(self.time.as_nanos()).unwrap_or(i128::MAX);
        let too_much = state.uncounted.is_empty() && state.total.bytes > self.size;
        (too_old || too_much || self.size == 0).then_some(*oldest)
    }

    fn oldest(&self) -> Option<When> {
        let state = self.lock();
        state.folders.first_key_value().map(|(when, _)| *when)
    }
}

impl Inner {
    /// Counts what earlier runs have kept. A file that is also under its own name (its name was
    /// about to be given to another one when the server died) was never replaced and is not kept.
    pub(in crate::store) fn count_trash(&self) {
        loop {
            let next = self.trash.lock().uncounted.last().copied();
            let Some(when) = next.filter(|_| !self.is_stopping()) else {
                return;
            };
            let amount = self.count_folder(when);
            let mut state = self.trash.lock();
            state.uncounted.pop();
            match amount {
                Ok(amount) => {
                    if let Some(known) = state.folders.get_mut(&when) {
                        known.add(amount);
                        state.total.add(amount);
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => state.forget(when),
                Err(error) => tracing::warn!("a part of the trash cannot be read: {error}"),
            }
        }
    }

    fn count_folder(&self, when: When) -> io::Result<Amount> {
        let trash = self.trash.place.existing().ok_or(ErrorKind::NotFound)?;
        let folder = trash.subfolder(&when.leaf())?;
        let mut amount = Amount::default();
        for listing in Walk::new(&folder) {
            let here = listing.name.as_ref();
            let open = |top: &Folder| match here {
                Some(name) => top.folder(name),
                None => Ok(top.clone()),
            };
            let shared = open(&self.root).ok();
            for (name, facts) in &listing.files {
                let standing = shared
                    .as_ref()
                    .and_then(|folder| folder.facts(name.leaf()).ok());
                if standing.is_some_and(|standing| standing.inode == facts.inode) {
                    open(&folder)?.remove_file(name.leaf())?;
                    continue;
                }
                amount.add(Amount {
                    files: 1,
                    bytes: facts.size,
                });
            }
        }
        Ok(amount)
    }

    /// Empties the trash as far as its bounds say.
    pub(in crate::store) fn trim_trash(&self) {
        // Each is tried once: what cannot be deleted must not keep the thread busy.
        let mut tried = BTreeSet::new();
        while let Some(when) = self.trash.over_bound().filter(|_| !self.is_stopping()) {
            if !tried.insert(when) {
                return;
            }
            if let Err(error) = self.empty(when) {
                tracing::warn!("the trash cannot be emptied: {error}");
                return;
            }
        }
    }

    /// Empties the trash, oldest first, until the disk has room for so many bytes; at least one
    /// folder of it, because there may be other kinds of room that are short. Tells whether that
    /// was any use.
    pub(in crate::store) fn make_room(&self, bytes: u64) -> bool {
        let mut made = false;
        while let Some(when) = self.trash.oldest() {
            if let Err(error) = self.empty(when) {
                tracing::warn!("the trash cannot be emptied: {error}");
                return made;
            }
            tracing::info!(since = when.leaf(), "what was kept has given way");
            made = true;
            if self.root.free_space().is_none_or(|free| free >= bytes) {
                break;
            }
        }
        made
    }

    /// Deletes what came into the trash at one time.
    fn empty(&self, when: When) -> io::Result<()> {
        let Some(trash) = self.trash.place.existing() else {
            return Ok(());
        };
        let taken = {
            // Under the lock, so that nothing is put into it any more.
            let mut state = self.trash.lock();
            state.forget(when);
            self.staging.take_away(&trash, &when.leaf())
        };
        let leaf = match taken {
            // Somebody else was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            taken => taken?,
        };
        remove_tree(&self.staging.folder()?, &leaf, unused_leaf, || {
            self.is_stopping()
        })
        .or_else(|error| match error.kind() {
            // The rest is deleted after the next start.
            ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        })
    }
}
