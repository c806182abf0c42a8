//! What needs a file system of its own. Without the right to mount one, a test says SKIPPED.

use std::process::Command;

use super::*;

/// A small file system in memory, or a second view of a folder; gone when dropped.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(arguments: &[&str], at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Mount(at));
        }
        eprintln!("SKIPPED: file systems cannot be mounted here");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

const SMALL: [&str; 5] = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];

#[test]
fn a_full_disk_fails_one_upload_and_takes_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(&SMALL, directory.path()) else {
        return;
    };
    let store = Store::open(StoreOptions::new(directory.path())).unwrap();
    upload(&store, new("small"), "1").unwrap();
    let announced = NewFile {
        size: Some(5 << 20),
        ..new("large")
    };
    refused!(store.stage(announced), StoreError::DiskFull { .. });
    let mut large = store.stage(new("large")).unwrap();
    let piece = vec![0; 256 * 1024];
    let written = (0..20).try_for_each(|_| large.write(&piece));
    refused!(written, StoreError::DiskFull { .. });
    drop(large);
    upload(&store, new("medium"), &"x".repeat(1 << 20)).unwrap();
    let any = Precondition::default();
    store
        .remove(&file("medium"), false, any, false, &Cause::default())
        .unwrap();
    assert!(matches!(store.stat(&file("small")), Ok(Item::File(_))));
}

#[test]
fn what_is_kept_of_uploads_gives_way_on_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(&SMALL, directory.path()) else {
        return;
    };
    // What is removed makes room at once.
    let options = StoreOptions {
        keep_removed: std::time::Duration::ZERO,
        ..StoreOptions::new(directory.path())
    };
    let store = Store::open(options).unwrap();
    let cut = NewFile {
        size: Some(3 << 20),
        partial: PartialKey::new(None, 7, &name("cut")),
        ..new("cut")
    };
    let key = cut.partial.clone().unwrap();
    let mut upload_cut = store.stage(cut.clone()).unwrap();
    upload_cut.write(&vec![0; 2 << 20]).unwrap();
    upload_cut.keep();
    // Of a file that was announced, and of one that was not.
    let announced = NewFile {
        size: Some(3 << 20),
        ..new("announced")
    };
    upload(&store, announced, &"x".repeat(3 << 20)).unwrap();
    let gone = store.find_partial(&key, None).unwrap();
    assert!(matches!(gone, Found::Nothing));
    let any = Precondition::default();
    store
        .remove(&file("announced"), false, any, false, &Cause::default())
        .unwrap();
    eventually(|| store.facts().unwrap().free_space > Some(3 << 20));
    let mut upload_cut = store.stage(cut).unwrap();
    upload_cut.write(&vec![0; 2 << 20]).unwrap();
    upload_cut.keep();
    upload(&store, new("stream"), &"x".repeat(3 << 20)).unwrap();
    let gone = store.find_partial(&key, None).unwrap();
    assert!(matches!(gone, Found::Nothing));
}

#[test]
fn another_file_system_is_neither_shared_nor_removed() {
    let shared = Shared::new();
    shared.write("d/mine", "1");
    let inside = shared.path().join("d/mounted");
    std::fs::create_dir(&inside).unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("foreign"), "x").unwrap();
    let bind = ["--bind", other.path().to_str().unwrap()];
    for arguments in [&SMALL[..], &bind] {
        let Some(_mount) = Mount::new(arguments, &inside) else {
            return;
        };
        std::fs::write(inside.join("foreign"), "x").unwrap();
        refused!(shared.remove("d", true), StoreError::Conflict { .. });
        assert!(inside.join("foreign").exists());
        assert!(shared.path().join("d/mine").exists());
        refused!(
            shared.upload("d/mounted/new", "1"),
            StoreError::Conflict { .. }
        );
        if arguments.len() == SMALL.len() {
            shared.let_listings_catch_up();
            assert_eq!(shared.names(), ["d/mine"]);
            assert_eq!(shared.store.facts().unwrap().left_out.mounts, 1);
            refused!(shared.stat("d/mounted/foreign"), StoreError::NotFound(_));
        }
    }
    shared.remove("d", true).unwrap();
    assert!(other.path().join("foreign").exists());
}

#[test]
fn a_root_that_cannot_be_written_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), "1").unwrap();
    make_old(&directory.path().join("a"));
    let bind = ["--bind", "-o", "ro", directory.path().to_str().unwrap()];
    let Some(_mount) = Mount::new(&bind, directory.path()) else {
        return;
    };
    let mut options = StoreOptions::new(directory.path());
    options.state_dir = Some(state.path().to_owned());
    let store = Store::open(options).unwrap();
    assert_eq!(entry(store.stat(&file("a")).unwrap()).id, Some(id("1")));
    let any = Precondition::default();
    refused!(upload(&store, new("b"), ""), StoreError::ReadOnly { .. });
    refused!(
        store.remove(&file("a"), false, any, false, &Cause::default()),
        StoreError::ReadOnly { .. }
    );
    refused!(
        store.make_folder(&name("d"), false, &Cause::default()),
        StoreError::ReadOnly { .. }
    );
}

#[test]
fn the_trash_gives_way_before_an_upload_fails_and_removing_works_on_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(&SMALL, directory.path()) else {
        return;
    };
    let store = Store::open(StoreOptions::new(directory.path())).unwrap();
    let cause = Cause::default();
    let any = Precondition::default();
    let mebibyte = "x".repeat(1 << 20);
    // Announced and not announced, both more than is free beside what is kept.
    for size in [Some(3 << 20), None] {
        upload(&store, new("old"), &mebibyte.repeat(2)).unwrap();
        assert!(
            store
                .remove(&file("old"), false, any, false, &cause)
                .unwrap()
                .kept
        );
        assert_eq!(store.facts().unwrap().trash_files, 1);
        let large = NewFile {
            size,
            ..new("large")
        };
        upload(&store, large, &mebibyte.repeat(3)).unwrap();
        assert_eq!(store.facts().unwrap().trash_files, 0);
        store
            .remove(&file("large"), false, any, false, &cause)
            .unwrap();
        store.make_folder(&name("d"), false, &cause).unwrap();
        store.remove(&file("d"), true, any, false, &cause).unwrap();
    }
    // Nothing is given up for what would not fit all the same.
    let kept = store.facts().unwrap().trash_bytes;
    assert!(kept > 0);
    let hopeless = NewFile {
        size: Some(100 << 20),
        ..new("hopeless")
    };
    refused!(store.stage(hopeless), StoreError::DiskFull { .. });
    assert_eq!(store.facts().unwrap().trash_bytes, kept);
    upload(&store, new("stays"), "1").unwrap();
    std::fs::write(directory.path().join("fills"), vec![0; 8 << 20]).unwrap_err();
    store
        .remove(&file("stays"), false, any, false, &cause)
        .unwrap();
    store
        .remove(&file("fills"), false, any, false, &cause)
        .unwrap();
}
