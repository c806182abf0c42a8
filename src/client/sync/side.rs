use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::types::{Digest, FileName, Timestamp};

/// One of the two sides of a sync: names are relative to the folder that is synchronised.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    /// The files that are meant.
    pub(super) files: BTreeMap<FileName, Seen>,
    /// The folders that are known by themselves: on the server, those with nothing in them.
    pub(super) folders: BTreeSet<FileName>,
    /// The folders among them that have nothing in them that is meant.
    pub(super) empty: BTreeSet<FileName>,
    /// What is there and is neither sent, replaced nor removed, with everything in it: what cannot
    /// be sent, and what is excluded.
    pub(super) untouched: BTreeSet<FileName>,
}

/// A file as a listing or a walk has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    pub(super) executable: bool,
    /// Its id, where that is known without reading it.
    pub(super) id: Option<Digest>,
}

/// What stands under a name on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// Something that is left as it is.
    Untouched,
}

impl Side {
    /// Every folder that is there, those that only show by what is in them too.
    pub(super) fn all_folders(&self) -> BTreeSet<FileName> {
        let known = self.folders.iter().chain(&self.empty).cloned();
        let mut folders: BTreeSet<FileName> = known.collect();
        let contents = self.files.keys().chain(&self.untouched);
        for name in contents.chain(&self.folders).chain(&self.empty) {
            folders.extend(name.ancestors());
        }
        folders
    }

    /// The names by their folded form, so that those can be found that differ in case or Unicode
    /// form only.
    pub(super) fn by_fold(&self) -> HashMap<String, Vec<FileName>> {
        let mut folded: HashMap<String, Vec<FileName>> = HashMap::new();
        let folders = self.all_folders();
        for name in self.files.keys().chain(&self.untouched).chain(&folders) {
            folded.entry(name.fold()).or_default().push(name.clone());
        }
        folded
    }
}

impl Seen {
    /// Whether both are the same file as far as can be told without reading either.
    pub(super) fn looks_like(&self, other: &Seen) -> bool {
        self.size == other.size
            && is_same_time(self.modified, other.modified)
            // Where files have no such bit, it says nothing.
            && (self.executable == other.executable || cfg!(not(unix)))
    }
}

/// The units, in nanoseconds, in which file systems keep times: NTFS, then those with micro-,
/// milliseconds and seconds, and FAT.
const UNITS: [i128; 5] = [100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000];

/// Whether two times can be one: a file system that keeps times in coarse units cuts off the rest.
///
/// A time is taken for cut off only where the other one has such a rest. Two files that were given
/// different whole seconds differ: what is compared once too often costs time, and what is once
/// too often taken for the same costs a change.
fn is_same_time(a: Timestamp, b: Timestamp) -> bool {
    let (a, b) = (a.total_nanoseconds(), b.total_nanoseconds());
    let cut_off = |coarse: i128, fine: i128| {
        let units = UNITS.iter().filter(|unit| coarse % **unit == 0);
        units.into_iter().any(|unit| {
            let has_rest = fine % (*unit).min(1_000_000_000) != 0;
            has_rest && (fine - coarse).abs() < *unit
        })
    };
    a == b || cut_off(a, b) || cut_off(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64, nanoseconds: u32) -> Timestamp {
        Timestamp::new(seconds, nanoseconds).unwrap()
    }

    #[test]
    fn times_are_the_same_when_one_was_cut_off() {
        for (a, b) in [
            (time(10, 123_456_789), time(10, 123_456_789)),
            (time(10, 123_456_789), time(10, 123_456_700)),
            (time(10, 123_456_789), time(10, 123_456_000)),
            (time(10, 123_456_789), time(10, 123_000_000)),
            (time(11, 123_456_789), time(11, 0)),
            (time(11, 999_999_999), time(10, 0)),
            // FAT under Windows rounds up.
            (time(11, 1), time(12, 0)),
            (time(-3, 500_000_000), time(-4, 0)),
        ] {
            assert!(is_same_time(a, b) && is_same_time(b, a), "{a:?} {b:?}");
        }
    }

    #[test]
    fn other_times_are_other_times() {
        for (a, b) in [
            (time(10, 0), time(11, 0)),
            (time(10, 1), time(10, 2)),
            (time(10, 100), time(10, 200)),
            (time(11, 0), time(12, 500_000_000)),
            (time(10, 0), time(12, 500_000_000)),
            (time(10, 123_456_789), time(10, 123_456_788)),
            (time(10, 500_000_000), time(10, 600_000_000)),
        ] {
            assert!(!is_same_time(a, b) && !is_same_time(b, a), "{a:?} {b:?}");
        }
    }
}
