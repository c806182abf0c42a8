use std::fs;
use std::io::{ErrorKind, Write};

use super::*;
use crate::types::{FileName, Timestamp};

fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

fn temporary() -> (tempfile::TempDir, Folder) {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::open(directory.path()).unwrap();
    (directory, folder)
}

fn kind_of<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_leaf_cannot_lead_elsewhere() {
    let (_directory, folder) = temporary();
    for leaf in ["", ".", "..", "a/b", "/etc", "../a", "a\0"] {
        assert_eq!(
            kind_of(folder.facts(leaf)),
            ErrorKind::InvalidInput,
            "{leaf:?}"
        );
        assert_eq!(kind_of(folder.create_file(leaf)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(folder.subfolder(leaf)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(folder.remove_file(leaf)), ErrorKind::InvalidInput);
        let renamed = folder.rename("a", &folder, leaf, Replace::Never);
        assert_eq!(kind_of(renamed), ErrorKind::InvalidInput);
    }
}

#[test]
fn makes_what_is_missing_and_tells_what() {
    let (directory, folder) = temporary();
    fs::create_dir(directory.path().join("a")).unwrap();
    let (deep, made) = folder.make_folders(&name("a/b/c")).unwrap();
    assert_eq!(made, [name("a/b"), name("a/b/c")]);
    deep.create_file("f").unwrap();
    assert!(directory.path().join("a/b/c/f").exists());
    assert!(folder.make_folders(&name("a/b/c")).unwrap().1.is_empty());
    assert_eq!(
        kind_of(folder.make_folders(&name("a/b/c/f/d"))),
        ErrorKind::NotADirectory
    );
    deep.sync().unwrap();
    assert!(folder.free_space().is_some());
}

#[cfg(unix)]
#[test]
fn never_follows_a_link() {
    let (directory, folder) = temporary();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();
    let link = |to: &std::path::Path, at: &str| {
        std::os::unix::fs::symlink(to, directory.path().join(at)).unwrap();
    };
    link(outside.path(), "folder");
    link(&outside.path().join("secret"), "file");
    link(&outside.path().join("new"), "dangling");
    assert_eq!(
        kind_of(folder.folder(&name("folder"))),
        ErrorKind::NotADirectory
    );
    assert_eq!(
        kind_of(folder.make_folders(&name("folder/x"))),
        ErrorKind::NotADirectory
    );
    assert_eq!(kind_of(folder.open_file("file")), ErrorKind::InvalidInput);
    assert_eq!(
        kind_of(folder.create_file("dangling")),
        ErrorKind::AlreadyExists
    );
    for leaf in ["file", "dangling"] {
        assert!(StagedFile::create_or_take(&folder, leaf).is_err());
    }
    assert_eq!(folder.facts("folder").unwrap().kind, FileKind::Link);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"x");
    assert!(!outside.path().join("new").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_fifo_does_not_block() {
    let (directory, folder) = temporary();
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(kind_of(folder.open_file("fifo")), ErrorKind::InvalidInput);
    assert_eq!(
        kind_of(StagedFile::create_or_take(&folder, "fifo")),
        ErrorKind::InvalidInput
    );
    assert_eq!(folder.facts("fifo").unwrap().kind, FileKind::Special);
}

#[test]
fn a_rename_replaces_only_when_it_may() {
    let (directory, folder) = temporary();
    fs::write(directory.path().join("a"), "a").unwrap();
    fs::write(directory.path().join("b"), "b").unwrap();
    let refused = folder.rename("a", &folder, "b", Replace::Never);
    assert_eq!(kind_of(refused), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(directory.path().join("b")).unwrap(), b"b");
    folder.rename("a", &folder, "b", Replace::Allowed).unwrap();
    assert_eq!(fs::read(directory.path().join("b")).unwrap(), b"a");
}

#[test]
fn a_staged_file_appears_whole_or_not_at_all() {
    let (directory, folder) = temporary();
    let mut staged = StagedFile::create(&folder, "temporary").unwrap();
    staged.write_all(b"content").unwrap();
    staged.reserve(1 << 20).unwrap();
    let modified = Timestamp::new(1_000_000_000, 123_456_789).unwrap();
    staged.set_modified(modified).unwrap();
    staged.set_permissions(true).unwrap();
    staged.sync().unwrap();
    fs::write(directory.path().join("taken"), "old").unwrap();
    let refused = staged
        .publish(&folder, "taken", Replace::Never)
        .unwrap_err();
    assert_eq!(refused.source.kind(), ErrorKind::AlreadyExists);
    let facts = refused
        .staged
        .publish(&folder, "free", Replace::Never)
        .unwrap();
    assert_eq!((facts.size, facts.modified), (7, modified));
    assert!(facts.same_file(&folder.facts("free").unwrap()));
    assert!(folder.facts("free").unwrap().executable);
    assert_eq!(kind_of(folder.facts("temporary")), ErrorKind::NotFound);

    drop(StagedFile::create(&folder, "dropped").unwrap());
    assert_eq!(kind_of(folder.facts("dropped")), ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn staged_files_are_private_until_they_are_published() {
    use std::os::unix::fs::PermissionsExt;

    let (directory, folder) = temporary();
    let staged = StagedFile::create(&folder, "t").unwrap();
    let mode = |leaf| {
        let metadata = fs::metadata(directory.path().join(leaf)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("t"), 0o600);
    staged.set_permissions(false).unwrap();
    staged.publish(&folder, "f", Replace::Never).unwrap();
    fs::write(directory.path().join("ordinary"), "").unwrap();
    assert_eq!(mode("f"), mode("ordinary"));
}

#[test]
fn a_partial_file_in_use_is_exclusive_and_an_old_one_is_taken_over() {
    let (directory, folder) = temporary();
    fs::write(directory.path().join("part"), "left behind").unwrap();
    let first = StagedFile::create_or_take(&folder, "part").unwrap();
    let second = StagedFile::create_or_take(&folder, "part");
    assert_eq!(kind_of(second), ErrorKind::WouldBlock);
    assert_eq!(folder.facts("part").unwrap().size, 0);
    drop(first);
    assert!(!directory.path().join("part").exists());

    // The name of a partial file must not be a way to empty another file.
    fs::write(directory.path().join("whole"), "whole").unwrap();
    fs::hard_link(
        directory.path().join("whole"),
        directory.path().join("part"),
    )
    .unwrap();
    drop(StagedFile::create_or_take(&folder, "part").unwrap());
    assert_eq!(fs::read(directory.path().join("whole")).unwrap(), b"whole");
}

#[test]
fn a_lock_is_held_once_and_free_after_drop() {
    let (_directory, folder) = temporary();
    let lock = FileLock::acquire(&folder, "lock").unwrap();
    match FileLock::acquire(&folder, "lock") {
        Err(LockError::Held { pid }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(lock);
    FileLock::acquire(&folder, "lock").unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_walk_lists_what_is_shared_and_counts_the_rest() {
    use std::os::unix::ffi::OsStrExt;

    let (directory, folder) = temporary();
    let at = |below: &str| directory.path().join(below);
    fs::create_dir_all(at("b/deep")).unwrap();
    fs::create_dir_all(at("a")).unwrap();
    fs::create_dir_all(at(".fileshare/staging")).unwrap();
    fs::create_dir(at("b/.fileshare")).unwrap();
    fs::create_dir(at(".FILESHARE-x")).unwrap();
    for file in [
        "z",
        "b/deep/f",
        "b/.fileshare-x.part",
        "b/.fileshare/k",
        ".fileshare/k",
        ".FILESHARE-x/k",
        "a-b",
    ] {
        fs::write(at(file), file).unwrap();
    }
    std::os::unix::fs::symlink("/", at("b/link")).unwrap();
    fs::write(at("").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    fs::write(at("line\nbreak"), "").unwrap();
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

    let listings: Vec<_> = Walk::new(&folder).collect();
    let names: Vec<_> = listings
        .iter()
        .map(|listing| listing.name.as_ref().map_or("", |name| name.as_str()))
        .collect();
    assert_eq!(names, ["", "a", "b", "b/deep"]);
    let files: Vec<_> = listings
        .iter()
        .flat_map(|listing| &listing.files)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(files, ["a-b", "z", "b/deep/f"]);
    let mut left_out = LeftOut::default();
    listings.iter().for_each(|l| left_out.add(&l.left_out));
    let expected = LeftOut {
        links: 1,
        special: 1,
        names: 5,
        ..LeftOut::default()
    };
    assert_eq!(left_out, expected);
    assert!(listings.iter().all(|listing| listing.complete));
}

#[test]
fn a_tree_of_any_depth_is_removed_and_links_are_not_followed() {
    let (directory, folder) = temporary();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("kept"), "x").unwrap();
    let mut deepest = folder.clone();
    for depth in 0..600 {
        let leaf = if depth == 0 { "tree" } else { "d" };
        deepest.make_folder(leaf).unwrap();
        deepest = deepest.subfolder(leaf).unwrap();
        if depth % 200 == 0 {
            deepest.create_file("f").unwrap();
        }
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), directory.path().join("tree/link")).unwrap();
    assert!(contents(&folder, "tree").unwrap().is_some());
    let mut number = 0;
    let unused = || {
        number += 1;
        format!("moved-{number}")
    };
    remove_tree(&folder, "tree", unused, || false).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(outside.path().join("kept").exists());
}
