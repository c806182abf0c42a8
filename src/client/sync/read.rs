use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::side::{Seen, Side};
use super::{Direction, Sync};
use crate::client::link::broken;
use crate::client::local::{self, LocalFolder};
use crate::client::tree::LocalEntry;
use crate::client::{Client, ListQuery, Listing, Reason, Rules, Tree, WalkOptions};
use crate::protocol::{ErrorCode, Failure};
use crate::types::{Entry, FileName, FileRef, Item};

/// A folder that somebody has just made in the root by hand is there, and is listed within 2 s: how
/// often to look for it, …
const LOOKS: u32 = 6;

/// … and how long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Both sides as they were when the sync began.
pub(super) struct Sides {
    pub(super) here: Side,
    pub(super) there: Side,
    /// The local tree; `None` when the destination is not there yet.
    pub(super) tree: Option<Tree>,
    /// Its files, by name.
    pub(super) local: BTreeMap<FileName, LocalEntry>,
    /// The server's files, by their names below the folder.
    pub(super) remote: BTreeMap<FileName, Entry>,
    /// Why not all of the source is known, if so.
    pub(super) incomplete: Option<Failure>,
}

/// Looks at both sides.
pub(super) async fn read(client: &mut Client, sync: &Sync) -> Result<Sides, Failure> {
    let up = sync.direction == Direction::Up;
    let tree = match Tree::read(&sync.local, &sync.walk).await {
        Err(failure) if failure.code == ErrorCode::NotFound && !up => None,
        Err(failure) if failure.code == ErrorCode::Conflict => {
            let message = format!("{} is not a folder", local::shown(&sync.local));
            return Err(Failure::new(ErrorCode::Conflict, message));
        }
        other => Some(other?),
    };
    let mut here = Side::default();
    let mut local = BTreeMap::new();
    let no_rules = Rules::default();
    let rules = tree.as_ref().map_or(&no_rules, |tree| &tree.rules);
    if let Some(tree) = &tree {
        see_local(tree, &mut here, &mut local);
    }
    let mut there = Side::default();
    let mut remote = BTreeMap::new();
    let listing = list(client, sync).await?;
    for entry in listing.files {
        let name = below(sync, &entry.name)?;
        if sync.walk.takes(rules, &name, false) {
            there.files.insert(name.clone(), Seen::from(&entry));
            remote.insert(name, entry);
        } else {
            there.untouched.insert(name);
        }
    }
    for folder in listing.empty {
        let name = below(sync, &folder)?;
        match sync.walk.takes(rules, &name, true) {
            true => there.empty.insert(name),
            false => there.untouched.insert(name),
        };
    }
    let incomplete = match up {
        true => tree.as_ref().and_then(unreadable),
        false if sync.delete => unreadable_there(client).await?,
        false => None,
    };
    Ok(Sides {
        here,
        there,
        tree,
        local,
        remote,
        incomplete,
    })
}

impl WalkOptions {
    /// Whether a name on the server is meant: the local tree may not be there, and has no rules
    /// then.
    fn takes(&self, rules: &Rules, name: &FileName, is_folder: bool) -> bool {
        self.filter.takes(name) && rules.takes(name, is_folder)
    }
}

impl From<&Entry> for Seen {
    fn from(entry: &Entry) -> Self {
        Seen {
            size: entry.size,
            modified: entry.modified,
            executable: entry.executable,
            id: entry.id,
        }
    }
}

fn see_local(tree: &Tree, here: &mut Side, local: &mut BTreeMap<FileName, LocalEntry>) {
    for file in &tree.files {
        let seen = Seen {
            size: file.facts.size,
            modified: file.facts.modified,
            executable: file.facts.executable,
            id: None,
        };
        here.files.insert(file.name.clone(), seen);
        local.insert(file.name.clone(), file.clone());
    }
    here.folders = tree.folders.iter().cloned().collect();
    here.empty = tree.empty.iter().cloned().collect();
    let skipped = tree.skipped.iter().filter(|skipped| match skipped.reason {
        // The other one has the name.
        Reason::Twin(_) => false,
        _ => true,
    });
    here.untouched = skipped.filter_map(|skipped| skipped.name.clone()).collect();
    let untouched: BTreeSet<&FileName> = here.untouched.iter().collect();
    here.folders.retain(|folder| !untouched.contains(folder));
}

/// A name of the listing as it is below the folder.
fn below(sync: &Sync, full: &FileName) -> Result<FileName, Failure> {
    let name = match &sync.remote {
        Some(folder) => full.relative_to(folder),
        None => Some(full.clone()),
    };
    name.ok_or_else(|| broken("a listing of another folder"))
}

/// What is below the server's folder. One that is not there is empty, unless it is the source.
async fn list(client: &mut Client, sync: &Sync) -> Result<Listing, Failure> {
    if let Some(folder) = &sync.remote {
        match client.stat(&FileRef::Name(folder.clone())).await {
            Ok(Item::Folder(_)) => {}
            Ok(Item::File(_)) => {
                let message = format!("{folder} is not a folder on the server");
                return Err(Failure::new(ErrorCode::Conflict, message));
            }
            Err(failure)
                if failure.code == ErrorCode::NotFound && sync.direction == Direction::Up =>
            {
                return Ok(Listing::default());
            }
            Err(failure) => return Err(failure),
        }
    }
    let query = ListQuery {
        folder: sync.remote.clone(),
        ..ListQuery::default()
    };
    for _ in 0..LOOKS {
        match client.list_all(&query).await {
            Err(failure) if failure.code == ErrorCode::NotFound => {}
            other => return other,
        }
        tokio::time::sleep(PAUSE).await;
    }
    client.list_all(&query).await
}

/// The first folder of the local source that could not be read.
fn unreadable(tree: &Tree) -> Option<Failure> {
    tree.skipped.iter().find_map(|skipped| {
        let Reason::Unreadable(why) = &skipped.reason else {
            return None;
        };
        let path = local::shown(&tree.top.path.join(&skipped.place));
        Some(Failure::new(ErrorCode::Conflict, format!("{path}: {why}")))
    })
}

/// Whether there are folders that the server itself cannot read: what is in them is not listed.
async fn unreadable_there(client: &mut Client) -> Result<Option<Failure>, Failure> {
    let folders = client.info().await?.left_out_unreadable;
    let message = || format!("the server cannot read {folders} of its folders");
    Ok((folders > 0).then(|| Failure::new(ErrorCode::Conflict, message())))
}

/// Opens the local folder, which is made when it is missing.
pub(super) async fn open_local(path: &Path) -> Result<LocalFolder, Failure> {
    let path = path.to_owned();
    local::blocking(move || LocalFolder::create(&path)).await
}
