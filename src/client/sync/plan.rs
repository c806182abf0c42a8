use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::side::{Kind, Seen, Side};
use crate::types::FileName;

/// What makes one side like the other. Names are relative to the folder that is synchronised.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The files to transfer, in order of names.
    pub(super) transfers: Vec<Transfer>,
    /// The files that are there already, and their bytes.
    pub(super) equal: u64,
    pub(super) equal_bytes: u64,
    /// The empty folders to make.
    pub(super) make: Vec<FileName>,
    /// What is in the way of a transfer, and goes before it.
    pub(super) before: Removals,
    /// What else is not in the source, and goes last.
    pub(super) after: Removals,
    /// What cannot be done, and why.
    pub(super) clashes: Vec<Clash>,
}

/// A file that is new on the destination, or another one there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) name: FileName,
    /// What it is in the source.
    pub(super) source: Seen,
    /// What stands there, if it is to be replaced.
    pub(super) standing: Option<Seen>,
    /// Something that is removed before is in its way.
    pub(super) waits: bool,
}

/// What is to be removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Removals {
    pub(super) files: Vec<(FileName, Seen)>,
    /// Folders that have nothing in them.
    pub(super) empty: Vec<FileName>,
    /// Folders that have nothing in them once those files and folders are gone.
    pub(super) emptied: Vec<FileName>,
}

/// A name that is one thing in the source and another one in the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash {
    /// The file or empty folder of the source.
    pub(super) name: FileName,
    /// What is in its way, …
    pub(super) by: FileName,
    /// … and what that is.
    pub(super) kind: Kind,
}

impl Transfer {
    /// Whether the file may be the same but for who may execute it.
    pub(super) fn changes_permission(&self, standing: &Seen) -> bool {
        self.source.size == standing.size && self.source.executable != standing.executable
    }
}

impl Removals {
    /// How many files and folders are lost by them: a folder that only goes because all of its
    /// files do is not counted.
    pub(super) fn count(&self) -> u64 {
        (self.files.len() + self.empty.len()) as u64
    }
}

/// Rules of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Demands {
    /// What is not in the source is removed.
    pub(super) delete: bool,
    /// Times are not believed: what has the same size is read and compared.
    pub(super) checksum: bool,
}

/// Plans what makes `destination` like `source`.
pub(super) fn plan(source: &Side, destination: &Side, demands: Demands) -> Plan {
    let mut planner = Planner {
        destination,
        there: destination.all_folders(),
        kept: BTreeSet::new(),
        doomed: BTreeSet::new(),
        twins: HashSet::new(),
        plan: Plan::default(),
    };
    let wanted = source.all_folders();
    if demands.delete {
        planner.choose_what_goes(source, &wanted);
    }
    for (name, seen) in &source.files {
        planner.file(name, seen, demands);
    }
    for name in &source.empty {
        planner.empty_folder(name);
    }
    if demands.delete {
        planner.remove(source, &wanted);
    }
    planner.plan
}

struct Planner<'a> {
    destination: &'a Side,
    /// All folders of the destination.
    there: BTreeSet<FileName>,
    /// Those in which something stays.
    kept: BTreeSet<FileName>,
    /// What goes before the transfers, with everything in it.
    doomed: BTreeSet<FileName>,
    /// Those of them that a name of the source differs from in case or Unicode form only.
    twins: HashSet<String>,
    plan: Plan,
}

impl Planner<'_> {
    /// Finds what may stay, and what must go before anything comes.
    fn choose_what_goes(&mut self, source: &Side, wanted: &BTreeSet<FileName>) {
        let destination = self.destination;
        for name in destination.files.keys() {
            if protects(source, name) {
                self.kept.extend(name.ancestors());
            }
        }
        for name in &destination.untouched {
            self.kept.extend(name.ancestors());
        }
        for name in &self.there {
            if protects(source, name) {
                self.kept.insert(name.clone());
                self.kept.extend(name.ancestors());
            }
        }
        // Another kind of thing under the very name.
        for name in destination.files.keys() {
            if wanted.contains(name) {
                self.doomed.insert(name.clone());
            }
        }
        for name in source.files.keys() {
            if self.there.contains(name) && !self.kept.contains(name) {
                self.doomed.insert(name.clone());
            }
        }
        // The same name in another case or Unicode form, which not every server has room beside.
        let folded = destination.by_fold();
        for name in source.files.keys().chain(wanted) {
            let twins = folded.get(&name.fold()).into_iter().flatten();
            for twin in twins.filter(|twin| *twin != name) {
                let stays = source.files.contains_key(twin) || wanted.contains(twin);
                if !stays && !self.kept.contains(twin) && !destination.untouched.contains(twin) {
                    self.doomed.insert(twin.clone());
                    self.twins.insert(twin.fold());
                }
            }
        }
    }

    fn file(&mut self, name: &FileName, seen: &Seen, demands: Demands) {
        let mut transfer = Transfer {
            name: name.clone(),
            source: seen.clone(),
            standing: None,
            waits: self.replaces_twin(name),
        };
        if let Some((by, kind)) = self.in_the_way(name) {
            if self.is_doomed(&by) {
                transfer.waits = true;
                self.plan.transfers.push(transfer);
            } else {
                let name = name.clone();
                self.plan.clashes.push(Clash { name, by, kind });
            }
            return;
        }
        if let Some(standing) = self.destination.files.get(name) {
            let same = match (demands.checksum, seen.id, standing.id) {
                (true, Some(a), Some(b)) => seen.size == standing.size && a == b,
                (true, _, _) => false,
                (false, _, _) => seen.looks_like(standing),
            };
            if same {
                self.plan.equal += 1;
                self.plan.equal_bytes += seen.size;
                return;
            }
            transfer.standing = Some(standing.clone());
        }
        self.plan.transfers.push(transfer);
    }

    fn empty_folder(&mut self, name: &FileName) {
        if self.there.contains(name) && !self.is_doomed(name) {
            return;
        }
        let file = self.destination.files.contains_key(name);
        let clash = match file {
            true => Some((name.clone(), Kind::File)),
            false => self.in_the_way(name),
        };
        match clash {
            Some((by, kind)) if !self.is_doomed(&by) => {
                let name = name.clone();
                self.plan.clashes.push(Clash { name, by, kind });
            }
            _ => self.plan.make.push(name.clone()),
        }
    }

    /// What of the destination keeps a file from getting this name, unless it is a file itself.
    fn in_the_way(&self, name: &FileName) -> Option<(FileName, Kind)> {
        let destination = self.destination;
        for folder in name.ancestors() {
            if destination.untouched.contains(&folder) {
                return Some((folder, Kind::Untouched));
            }
            if destination.files.contains_key(&folder) {
                return Some((folder, Kind::File));
            }
        }
        if destination.untouched.contains(name) {
            return Some((name.clone(), Kind::Untouched));
        }
        let folder = self.there.contains(name);
        folder.then(|| (name.clone(), Kind::Folder))
    }

    /// Whether something has to go that differs from the name in case or Unicode form only.
    fn replaces_twin(&self, name: &FileName) -> bool {
        let is_twin = |name: &FileName| self.twins.contains(&name.fold());
        !self.twins.is_empty() && (is_twin(name) || name.ancestors().any(|above| is_twin(&above)))
    }

    /// Whether it goes before the transfers, by itself or with a folder that it is in.
    fn is_doomed(&self, name: &FileName) -> bool {
        self.doomed.contains(name) || name.ancestors().any(|folder| self.doomed.contains(&folder))
    }

    /// Plans the removal of what the source does not have.
    fn remove(&mut self, source: &Side, wanted: &BTreeSet<FileName>) {
        let destination = self.destination;
        let mut removals: BTreeMap<bool, Removals> = BTreeMap::new();
        for (name, seen) in &destination.files {
            let doomed = self.is_doomed(name);
            if (doomed || !source.files.contains_key(name)) && !protects(source, name) {
                let removals = removals.entry(doomed).or_default();
                removals.files.push((name.clone(), seen.clone()));
            }
        }
        for name in &self.there {
            let doomed = self.is_doomed(name);
            let stays = wanted.contains(name) && !doomed;
            if stays || self.kept.contains(name) {
                continue;
            }
            let removals = removals.entry(doomed).or_default();
            match destination.empty.contains(name) {
                true => removals.empty.push(name.clone()),
                false => removals.emptied.push(name.clone()),
            }
        }
        self.plan.before = removals.remove(&true).unwrap_or_default();
        self.plan.after = removals.remove(&false).unwrap_or_default();
    }
}

/// Whether the source has something under the name, or around it, of which it is not known what is
/// in it.
fn protects(source: &Side, name: &FileName) -> bool {
    let untouched = &source.untouched;
    untouched.contains(name) || name.ancestors().any(|folder| untouched.contains(&folder))
}
