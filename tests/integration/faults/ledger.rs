//! What a client knows of the server's folder: what was acknowledged, and what may have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use fileshare::digest::Hasher;
use fileshare::types::Digest;

use crate::harness::noise;

/// The bytes of a file.
#[derive(Clone)]
pub struct Content {
    pub bytes: Arc<Vec<u8>>,
    pub id: Digest,
}

impl Content {
    /// Bytes that no other seed has, unless they are very few.
    pub fn new(seed: u64, length: usize) -> Self {
        Self::of(noise(seed, length))
    }

    pub fn of(bytes: Vec<u8>) -> Self {
        Content {
            id: Hasher::digest_of(&bytes),
            bytes: Arc::new(bytes),
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes {}", self.bytes.len(), self.id)
    }
}

/// What one request does to the folder, all at once or not at all.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What is under these names afterwards.
    pub files: Vec<(String, Option<Content>)>,
    pub made: Vec<String>,
    pub gone: Vec<String>,
}

/// A change that was asked for.
#[derive(Debug, Clone)]
pub struct Step {
    pub began: SystemTime,
    /// When the client knew that it was done.
    pub acknowledged: Option<SystemTime>,
    pub change: Change,
}

/// Everything that one client did to names that nobody else uses.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Files that must be there.
    pub files: BTreeMap<String, Content>,
    /// Folders that must be there.
    pub folders: BTreeSet<String>,
    /// What was asked for since the last look.
    pub steps: Vec<Step>,
}

/// What is in the folder.
#[derive(Debug, Default)]
pub struct Observed {
    pub files: BTreeMap<String, Vec<u8>>,
    pub folders: BTreeSet<String>,
}

impl Change {
    pub fn put(name: &str, content: &Content) -> Self {
        Change {
            files: vec![(name.to_owned(), Some(content.clone()))],
            made: ancestors(name),
            gone: Vec::new(),
        }
    }

    pub fn make_folder(name: &str) -> Self {
        let mut made = ancestors(name);
        made.push(name.to_owned());
        Change {
            made,
            ..Change::default()
        }
    }

    /// A file or folder of the ledger goes, or gets another name.
    pub fn take(ledger: &Ledger, from: &str, to: Option<&str>) -> Self {
        let mut change = Change::default();
        let moved = |name: &str| {
            let rest = name.strip_prefix(from)?;
            let whole = rest.is_empty() || rest.starts_with('/');
            whole.then(|| rest.to_owned())
        };
        for (name, content) in &ledger.files {
            if let Some(rest) = moved(name) {
                change.files.push((name.clone(), None));
                if let Some(to) = to {
                    let new = format!("{to}{rest}");
                    change.files.push((new, Some(content.clone())));
                }
            }
        }
        for name in &ledger.folders {
            if let Some(rest) = moved(name) {
                change.gone.push(name.clone());
                if let Some(to) = to {
                    change.made.push(format!("{to}{rest}"));
                }
            }
        }
        change.made.extend(to.map(ancestors).unwrap_or_default());
        change
    }
}

fn ancestors(name: &str) -> Vec<String> {
    let cuts = name.match_indices('/');
    cuts.map(|(at, _)| name[..at].to_owned()).collect()
}

impl Ledger {
    /// Notes what is about to be asked for.
    pub fn begin(&mut self, change: Change) -> usize {
        self.steps.push(Step {
            began: SystemTime::now(),
            acknowledged: None,
            change,
        });
        self.steps.len() - 1
    }

    /// Notes that it was done.
    pub fn acknowledge(&mut self, step: usize) {
        self.steps[step].acknowledged = Some(SystemTime::now());
        let change = self.steps[step].change.clone();
        self.apply(&change);
    }

    fn apply(&mut self, change: &Change) {
        for name in &change.gone {
            self.folders.remove(name);
        }
        self.folders.extend(change.made.iter().cloned());
        for (name, content) in &change.files {
            match content {
                Some(content) => self.files.insert(name.clone(), content.clone()),
                None => self.files.remove(name),
            };
        }
    }

    /// What this client knew at a time: `start` is the ledger before the steps.
    pub fn at(start: &Ledger, steps: &[Step], time: SystemTime) -> Ledger {
        let mut ledger = start.clone();
        for step in steps.iter().filter(|step| step.began < time) {
            match step.acknowledged {
                Some(known) if known < time => ledger.apply(&step.change),
                _ => ledger.steps.push(Step {
                    acknowledged: None,
                    ..step.clone()
                }),
            }
        }
        ledger
    }

    /// Compares with what is there, of the names that are this client's, and goes on from that:
    /// each change that was not acknowledged has happened as a whole or not at all.
    pub fn settle(&mut self, observed: &Observed) -> Result<(), String> {
        let open: Vec<Change> = std::mem::take(&mut self.steps)
            .into_iter()
            .filter(|step| step.acknowledged.is_none())
            .map(|step| step.change)
            .collect();
        let mut may: BTreeSet<String> = BTreeSet::new();
        for change in &open {
            let there = |name: &str| observed.files.get(name).map(Vec::as_slice);
            let known = |content: Option<&Content>, name: &str| {
                content.map(|content| content.bytes.as_slice()) == there(name)
            };
            let after = |(name, content): &(String, Option<Content>)| known(content.as_ref(), name);
            let before = |(name, _): &(String, _)| known(self.files.get(name), name);
            may.extend(change.made.iter().chain(&change.gone).cloned());
            if !change.files.is_empty() && change.files.iter().all(after) {
                self.apply(change);
            } else if !change.files.iter().all(before) {
                let names: Vec<_> = change.files.iter().map(|(name, _)| name).collect();
                return Err(format!("half done: {names:?}"));
            }
        }
        for (name, content) in &self.files {
            match observed.files.get(name) {
                None => return Err(format!("acknowledged and lost: {name} ({content:?})")),
                Some(bytes) if *bytes != *content.bytes => {
                    let length = bytes.len();
                    return Err(format!(
                        "acknowledged and changed: {name} ({content:?}), now {length} bytes"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = observed.files.keys().find(|n| !self.files.contains_key(*n)) {
            return Err(format!("there and never acknowledged, or removed: {name}"));
        }
        let lost = self.folders.difference(&observed.folders);
        if let Some(name) = lost.into_iter().find(|name| !may.contains(*name)) {
            return Err(format!("an acknowledged folder was lost: {name}"));
        }
        let more = observed.folders.difference(&self.folders);
        if let Some(name) = more.into_iter().find(|name| !may.contains(*name)) {
            return Err(format!("a folder that nobody made: {name}"));
        }
        self.folders.clone_from(&observed.folders);
        Ok(())
    }
}

impl Observed {
    /// Those that begin with `prefix`, taken out.
    pub fn split(&mut self, prefix: &str) -> Observed {
        let (files, rest) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|(name, _)| name.starts_with(prefix));
        self.files = rest;
        let (folders, rest) = std::mem::take(&mut self.folders)
            .into_iter()
            .partition(|name| name.starts_with(prefix));
        self.folders = rest;
        Observed { files, folders }
    }
}

#[test]
fn the_ledger_tells_lost_and_half_from_right() {
    let [old, new] = [1, 2].map(|seed| Content::new(seed, 100));
    let folder = |files: &[(&str, &[u8])]| Observed {
        files: files
            .iter()
            .map(|(name, bytes)| (name.to_string(), bytes.to_vec()))
            .collect(),
        folders: BTreeSet::new(),
    };
    let mut ledger = Ledger::default();
    let step = ledger.begin(Change::put("a", &old));
    ledger.acknowledge(step);
    let known = ledger.clone();
    ledger.begin(Change::put("a", &new));
    let overwritten = ledger.clone();
    ledger = known.clone();
    ledger.begin(Change::take(&known, "a", Some("b")));
    let renamed = ledger;
    for (state, ledger, right) in [
        (folder(&[("a", &old.bytes)]), &known, true),
        (folder(&[]), &known, false),
        (folder(&[("a", &new.bytes)]), &known, false),
        (folder(&[("a", &old.bytes), ("x", b"")]), &known, false),
        (folder(&[("a", &old.bytes)]), &overwritten, true),
        (folder(&[("a", &new.bytes)]), &overwritten, true),
        (folder(&[("a", &new.bytes[..50])]), &overwritten, false),
        (folder(&[]), &overwritten, false),
        (folder(&[("a", &old.bytes)]), &renamed, true),
        (folder(&[("b", &old.bytes)]), &renamed, true),
        (folder(&[]), &renamed, false),
        (
            folder(&[("a", &old.bytes), ("b", &old.bytes)]),
            &renamed,
            false,
        ),
    ] {
        let settled = ledger.clone().settle(&state);
        assert_eq!(settled.is_ok(), right, "{state:?} {settled:?}");
    }
}
