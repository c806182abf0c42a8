use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::plan::{Demands, Plan, Removals, plan};
use super::side::{Kind, Seen, Side};
use crate::types::{FileName, Timestamp};

fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

fn seen(size: u64) -> Seen {
    Seen {
        size,
        modified: Timestamp::new(1_000_000_000, 0).unwrap(),
        executable: false,
        id: None,
    }
}

/// A side with these things: `f` and its size is a file, `d` a folder, `u` what is left alone.
fn side(things: &[(char, &str, u64)]) -> Side {
    let mut side = Side::default();
    for (kind, text, size) in things {
        let name = name(text);
        if taken(&side, &name) {
            continue;
        }
        match kind {
            'f' => drop(side.files.insert(name, seen(*size))),
            'd' => drop(side.empty.insert(name)),
            _ => drop(side.untouched.insert(name)),
        }
    }
    // What has something in it is not empty.
    let inner = side.files.keys().chain(&side.untouched).chain(&side.empty);
    let outer: BTreeSet<FileName> = inner.flat_map(|name| name.ancestors()).collect();
    side.empty.retain(|name| !outer.contains(name));
    side
}

/// Whether nothing more can be put there, as on a disk.
fn taken(side: &Side, name: &FileName) -> bool {
    let is_leaf = |name: &FileName| side.files.contains_key(name) || side.untouched.contains(name);
    let names = || side.files.keys().chain(&side.untouched).chain(&side.empty);
    is_leaf(name)
        || name.ancestors().any(|above| is_leaf(&above))
        || side.empty.contains(name)
        || names().any(|other| other.relative_to(name).is_some())
}

const DELETE: Demands = Demands {
    delete: true,
    checksum: false,
};

#[test]
fn what_differs_is_transferred_and_what_stands_there_is_known() {
    let source = side(&[('f', "same", 1), ('f', "other", 2), ('f', "new/one", 3)]);
    let there = side(&[('f', "same", 1), ('f', "other", 9), ('f', "extra", 4)]);
    let made = plan(&source, &there, Demands::default());
    let transfers: Vec<_> = made.transfers.iter().collect();
    assert_eq!(transfers.len(), 2);
    assert_eq!(transfers[0].name, name("new/one"));
    assert_eq!(transfers[0].standing, None);
    assert_eq!(transfers[1].standing, Some(seen(9)));
    assert_eq!((made.equal, made.equal_bytes), (1, 1));
    assert_eq!(made.before, Removals::default());
    assert_eq!(made.after, Removals::default());
    // Times are not believed, or nothing else is.
    let checked = Demands {
        checksum: true,
        ..Demands::default()
    };
    assert_eq!(plan(&source, &there, checked).transfers.len(), 3);
}

#[test]
fn a_folder_that_is_emptied_goes_and_is_not_counted() {
    let source = side(&[('f', "keep/a", 1)]);
    let there = side(&[('f', "keep/a", 1), ('f', "old/deep/b", 1), ('d', "none", 0)]);
    let made = plan(&source, &there, DELETE);
    assert_eq!(made.after.files.len(), 1);
    assert_eq!(made.after.empty, [name("none")]);
    assert_eq!(made.after.emptied, [name("old"), name("old/deep")]);
    assert_eq!(made.after.count(), 2);
}

#[test]
fn another_kind_of_thing_is_a_clash_or_gives_way() {
    let source = side(&[('f', "a", 1), ('f', "b/in", 1), ('d', "c", 0)]);
    let there = side(&[('f', "a/in", 1), ('f', "b", 1), ('f', "c", 1)]);
    let made = plan(&source, &there, Demands::default());
    let clashes: Vec<_> = made.clashes.iter().map(|clash| clash.kind).collect();
    assert_eq!(clashes, [Kind::Folder, Kind::File, Kind::File]);
    assert_eq!((made.transfers.len(), made.make.len()), (0, 0));
    let made = plan(&source, &there, DELETE);
    assert!(made.clashes.is_empty());
    assert!(made.transfers.iter().all(|transfer| transfer.waits));
    assert_eq!(made.before.files.len(), 3);
    assert_eq!(made.after, Removals::default());
}

#[test]
fn a_name_in_another_case_goes_before() {
    let source = side(&[('f', "Docs/Readme", 1)]);
    let there = side(&[('f', "docs/readme", 1)]);
    let made = plan(&source, &there, DELETE);
    assert_eq!(made.before.files.len(), 1);
    assert_eq!(made.before.emptied, [name("docs")]);
    assert!(made.transfers[0].waits);
}

/// What a plan makes of a destination, or what is wrong with the plan.
fn carried_out(plan: &Plan, there: &Side) -> Side {
    let mut files = there.files.clone();
    let mut folders = there.all_folders();
    let remove = |removals: &Removals, files: &mut BTreeMap<_, _>, folders: &mut BTreeSet<_>| {
        for (name, _) in &removals.files {
            assert!(files.remove(name).is_some(), "{name} is not there");
        }
        let gone: BTreeSet<&FileName> = removals.empty.iter().chain(&removals.emptied).collect();
        for name in gone.into_iter().rev() {
            let is_below = |other: &FileName| other.relative_to(name).is_some();
            assert!(!files.keys().any(is_below), "{name} is not empty");
            assert!(!there.untouched.iter().any(is_below), "{name} is not empty");
            assert!(!folders.iter().any(is_below), "{name} is not empty");
            assert!(folders.remove(name), "{name} is not there");
        }
    };
    remove(&plan.before, &mut files, &mut folders);
    let transfers = plan.transfers.iter().map(|transfer| &transfer.name);
    for name in plan.make.iter().chain(transfers) {
        let mut outer = name.ancestors();
        assert!(!outer.any(|outer| files.contains_key(&outer)), "{name}");
        assert!(!there.untouched.contains(name), "{name}");
        folders.extend(name.ancestors());
    }
    for name in &plan.make {
        assert!(!files.contains_key(name), "{name} is a file");
        folders.insert(name.clone());
    }
    for transfer in &plan.transfers {
        assert!(!folders.contains(&transfer.name), "{}", transfer.name);
        let standing = files.insert(transfer.name.clone(), transfer.source.clone());
        assert_eq!(standing, transfer.standing);
    }
    remove(&plan.after, &mut files, &mut folders);
    Side {
        files,
        folders,
        ..Side::default()
    }
}

fn things() -> impl Strategy<Value = Vec<(char, &'static str, u64)>> {
    let kind = prop_oneof![4 => Just('f'), 1 => Just('d'), 1 => Just('u')];
    let names = [
        "a", "a/x", "a/x/y", "a/z", "b", "B", "b/x", "b/X", "c/d/e", "c/d", "c", "e",
    ];
    let thing = (kind, proptest::sample::select(names.to_vec()), 0..3_u64);
    proptest::collection::vec(thing, 0..12)
}

proptest! {
    #[test]
    fn a_plan_can_be_carried_out_and_loses_nothing_that_is_not_meant(
        source in things(),
        there in things(),
        delete: bool,
    ) {
        let (source, there) = (side(&source), side(&there));
        let demands = Demands { delete, checksum: false };
        let made = plan(&source, &there, demands);
        let after = carried_out(&made, &there);
        let clashes: BTreeSet<&FileName> = made.clashes.iter().map(|clash| &clash.name).collect();
        for (name, seen) in &source.files {
            prop_assert!(clashes.contains(name) || after.files.get(name) == Some(seen));
        }
        for name in &source.empty {
            prop_assert!(clashes.contains(name) || after.folders.contains(name));
        }
        let is_below = |name: &FileName, outer: &FileName| name == outer || name.relative_to(outer).is_some();
        for name in there.files.keys() {
            let hidden = source.untouched.iter().any(|outer| is_below(name, outer));
            if !delete || hidden {
                prop_assert!(after.files.contains_key(name), "{name} is lost");
            }
        }
        if delete && source.untouched.is_empty() && there.untouched.is_empty() {
            prop_assert!(made.clashes.is_empty());
            prop_assert_eq!(&after.files, &source.files);
            prop_assert_eq!(after.folders, source.all_folders());
        }
        if !delete {
            prop_assert_eq!(made.before.count() + made.after.count(), 0);
        }
    }
}
