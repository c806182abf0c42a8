use std::fs;
use std::path::Path;

use super::*;
use crate::protocol::ErrorCode;

/// A tree with these files, each with its own name in it; a slash at the end makes a folder.
fn tree_of(files: &[&str]) -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    for name in files {
        let path = top.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    top
}

async fn read(top: &Path, options: &WalkOptions) -> Tree {
    Tree::read(top, options).await.unwrap()
}

fn files(tree: &Tree) -> Vec<&str> {
    tree.files.iter().map(|file| file.name.as_str()).collect()
}

fn names(names: &[FileName]) -> Vec<&str> {
    names.iter().map(FileName::as_str).collect()
}

fn options(include: &[&str], exclude: &[&str]) -> WalkOptions {
    WalkOptions {
        filter: Filter::parse(include, exclude).unwrap(),
        ..WalkOptions::default()
    }
}

const FOLLOW: fn() -> WalkOptions = || WalkOptions {
    follow: true,
    ..WalkOptions::default()
};

#[tokio::test]
async fn tells_files_and_folders_in_order_and_which_are_empty() {
    let top = tree_of(&["b/deep/f", "a", "none/", "b/no/ne/", "b-c"]);
    let tree = read(top.path(), &WalkOptions::default()).await;
    assert_eq!(files(&tree), ["a", "b-c", "b/deep/f"]);
    assert_eq!(
        names(&tree.folders),
        ["b", "b/deep", "b/no", "b/no/ne", "none"]
    );
    assert_eq!(names(&tree.empty), ["b/no/ne", "none"]);
    assert!(tree.is_complete() && tree.skipped.is_empty());
    assert_eq!(tree.files[2].facts.size, 8);
    assert_eq!(tree.files[2].place, Path::new("b/deep/f"));
}

#[tokio::test]
async fn what_the_programs_keep_there_is_passed_over() {
    let top = tree_of(&["a", ".fileshare/x", "b/.fileshare-a.part", "b/.fileshare/y"]);
    let tree = read(top.path(), &WalkOptions::default()).await;
    assert_eq!(files(&tree), ["a"]);
    assert!(tree.skipped.is_empty());
    // What only looks like it is somebody's file, and cannot be sent.
    let top = tree_of(&[".fileshare-notes.txt", ".FILESHARE/x"]);
    let tree = read(top.path(), &WalkOptions::default()).await;
    assert_eq!(tree.skipped.len(), 2);
    assert!(
        tree.skipped
            .iter()
            .all(|it| it.code() == Some(ErrorCode::InvalidName))
    );
}

#[tokio::test]
async fn filters_prune_what_they_exclude() {
    let top = tree_of(&["src/a.c", "src/a.o", "target/deep/b.c", "empty/", "x.jpg"]);
    let tree = read(top.path(), &options(&[], &["*.o", "/target"])).await;
    assert_eq!(files(&tree), ["src/a.c", "x.jpg"]);
    assert_eq!(names(&tree.folders), ["empty", "src"]);
    assert!(
        !tree
            .rules
            .takes(&FileName::parse("target/new").unwrap(), false)
    );
    let tree = read(top.path(), &options(&["*.c"], &[])).await;
    assert_eq!(files(&tree), ["src/a.c", "target/deep/b.c"]);
    assert_eq!(names(&tree.empty), [] as [&str; 0]);
}

#[tokio::test]
async fn ignore_files_are_heeded_on_request_as_git_does() {
    let top = tree_of(&[
        "a.o",
        "keep.o",
        "build/x",
        "src/a.o",
        "src/local.txt",
        "src/build",
        "lib/local.txt",
        "lib/out/y",
        "logs/1.log",
        "logs/none/",
    ]);
    let write = |name: &str, text: &str| fs::write(top.path().join(name), text).unwrap();
    write(
        ".gitignore",
        "# objects\n*.o\n!keep.o\n/build/\nout/\nlogs/*\n",
    );
    write("src/.gitignore", "local.txt\n!a.o\n");
    let heeding = WalkOptions {
        ignore_file: Some(".gitignore".to_owned()),
        ..WalkOptions::default()
    };
    let tree = read(top.path(), &heeding).await;
    let expected = [
        ".gitignore",
        "keep.o",
        "lib/local.txt",
        "src/.gitignore",
        "src/a.o",
        "src/build",
    ];
    assert_eq!(files(&tree), expected);
    assert_eq!(names(&tree.empty), ["logs"]);
    let takes = |name: &str| tree.rules.takes(&FileName::parse(name).unwrap(), false);
    assert!(
        !takes("build/new/file") && !takes("new.o") && !takes("src/new.o") && takes("src/x/a.o")
    );
    assert_eq!(
        read(top.path(), &WalkOptions::default()).await.files.len(),
        11
    );
    // What is looked at alone is ignored by what stands above it.
    let some = vec![
        FileName::parse("src").unwrap(),
        FileName::parse("a.o").unwrap(),
    ];
    let tree = Tree::read_within(top.path(), Some(some), &heeding)
        .await
        .unwrap();
    assert_eq!(files(&tree), ["src/.gitignore", "src/a.o", "src/build"]);
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_skipped_or_followed_and_never_lead_out() {
    use std::os::unix::fs::symlink;

    let outside = tree_of(&["secret", "folder/secret"]);
    let top = tree_of(&["docs/a", "docs/deep/b"]);
    let link = |to: &Path, at: &str| symlink(to, top.path().join(at)).unwrap();
    link(Path::new("docs/a"), "file");
    link(&top.path().join("docs/deep"), "absolute");
    link(Path::new("../../docs"), "docs/deep/loop");
    link(Path::new("file"), "twice");
    link(Path::new("nowhere"), "dangling");
    link(Path::new("self"), "self");
    link(outside.path(), "out");
    link(&outside.path().join("secret"), "out-file");
    link(Path::new(".."), "up");
    let tree = read(top.path(), &WalkOptions::default()).await;
    assert_eq!(files(&tree), ["docs/a", "docs/deep/b"]);
    assert_eq!(tree.skipped.len(), 9);
    assert!(tree.skipped.iter().all(|it| it.reason == Reason::Link) && tree.is_complete());

    let tree = read(top.path(), &FOLLOW()).await;
    let found = [
        "absolute/b",
        "absolute/loop/a",
        "docs/a",
        "docs/deep/b",
        "file",
        "twice",
    ];
    assert_eq!(files(&tree), found);
    assert_eq!(tree.files[0].place, Path::new("docs/deep/b"));
    let skipped: Vec<_> = tree
        .skipped
        .iter()
        .map(|it| (it.place.to_str().unwrap(), it.reason.clone()))
        .collect();
    for (place, reason) in [
        ("dangling", Reason::LeadsNowhere),
        ("docs/deep/loop", Reason::Loop),
        ("out", Reason::LeadsOut),
        ("out-file", Reason::LeadsOut),
        ("up", Reason::LeadsOut),
    ] {
        assert!(skipped.contains(&(place, reason)), "{place} {skipped:?}");
    }
    assert!(skipped.iter().any(|(place, _)| *place == "self"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_put_in_a_folder_s_place_is_not_followed_out() {
    let outside = tree_of(&["f"]);
    let top = tree_of(&["docs/f"]);
    let tree = read(top.path(), &WalkOptions::default()).await;
    fs::remove_dir_all(top.path().join("docs")).unwrap();
    std::os::unix::fs::symlink(outside.path(), top.path().join("docs")).unwrap();
    assert!(tree.top.folder.file_below(&tree.files[0].place).is_err());
    fs::remove_file(top.path().join("docs")).unwrap();
    fs::create_dir(top.path().join("docs")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("f"), top.path().join("docs/f")).unwrap();
    assert!(tree.top.folder.file_below(&tree.files[0].place).is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_has_no_name_is_told_of_and_twins_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let top = tree_of(&["caf\u{e9}", "cafe\u{301}", "e\u{301}/f", "a"]);
    for bytes in [&b"\xff"[..], b"new\nline", b"skip\xff.o"] {
        fs::write(top.path().join(OsStr::from_bytes(bytes)), "").unwrap();
    }
    std::os::unix::net::UnixListener::bind(top.path().join("socket")).unwrap();
    let tree = read(top.path(), &options(&[], &["*.o"])).await;
    // The first in byte order is the one: what the disk has in the decomposed form.
    assert_eq!(files(&tree), ["a", "caf\u{e9}", "\u{e9}/f"]);
    assert_eq!(tree.files[1].place, Path::new("cafe\u{301}"));
    let codes: Vec<_> = tree.skipped.iter().map(Skipped::code).collect();
    let invalid = Some(ErrorCode::InvalidName);
    assert_eq!(
        codes,
        [Some(ErrorCode::AlreadyExists), invalid, None, invalid]
    );
    assert!(!tree.is_complete());
    let (file, _) = tree.top.folder.file_below(&tree.files[2].place).unwrap();
    drop(file);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn links_that_lead_round_and_round_come_to_an_end() {
    let top = tree_of(&["a/f", "b/f", "c/f"]);
    for (at, to) in [
        ("a/b", "../b"),
        ("b/c", "../c"),
        ("c/a", "../a"),
        ("a/here", "."),
        ("b/top", ".."),
    ] {
        std::os::unix::fs::symlink(to, top.path().join(at)).unwrap();
    }
    let tree = read(top.path(), &FOLLOW()).await;
    assert!(files(&tree).contains(&"a/b/c/f"));
    assert!(!files(&tree).contains(&"a/b/c/a/f"));
    assert!(tree.files.len() < 20, "{:?}", files(&tree));
}
