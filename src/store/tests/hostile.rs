use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Everything below a folder, with contents.
fn content(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn links_out_of_the_root_are_not_followed() {
    let shared = Shared::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), shared.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), shared.path().join("file")).unwrap();
    symlink(outside.path().join("new"), shared.path().join("dangling")).unwrap();
    let before = content(outside.path());
    for text in [
        "folder",
        "folder/secret",
        "file",
        "dangling",
        "folder/gone/x",
    ] {
        refused!(shared.stat(text), StoreError::NotFound(_));
        refused!(shared.store.open_file(&file(text)), StoreError::NotFound(_));
        refused!(shared.remove(text, true), StoreError::NotFound(_));
        refused!(shared.rename(text, "stolen"), StoreError::NotFound(_));
        for policy in [OnConflict::Error, OnConflict::Overwrite] {
            let onto = upload(&shared.store, with(text, policy), "evil");
            refused!(onto, StoreError::Conflict { .. });
        }
        refused!(
            shared
                .store
                .make_folder(&name(text), false, &Cause::default()),
            StoreError::Conflict { .. }
        );
    }
    shared.upload("mine", "1").unwrap();
    refused!(
        shared.rename("mine", "folder/x"),
        StoreError::Conflict { .. }
    );
    assert_eq!(shared.names(), ["mine"]);
    assert_eq!(content(outside.path()), before);
}

#[test]
fn a_link_swapped_in_meanwhile_is_not_followed() {
    let shared = Shared::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), "outside").unwrap();
    shared.upload("d/f", "inside").unwrap();
    let before = content(outside.path());
    let stop = AtomicBool::new(false);
    let (folder, aside) = (shared.path().join("d"), shared.path().join("aside"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // The store may have made a folder of that name in between.
                if std::fs::rename(&folder, &aside).is_ok() {
                    let _ = symlink(outside.path(), &folder);
                    let _ = std::fs::remove_file(&folder);
                    let _ = std::fs::remove_dir_all(&folder);
                    std::fs::rename(&aside, &folder).unwrap_or_default();
                }
            }
        });
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut number = 0;
        while Instant::now() < deadline {
            number += 1;
            if let Ok(mut stored) = shared.store.open_file(&file("d/f")) {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut stored, &mut text).unwrap();
                assert_ne!(text, "outside");
            }
            let _ = upload(&shared.store, with("d/f", OnConflict::Overwrite), "inside");
            let _ = shared.upload(&format!("d/{number}"), "inside");
            let _ = shared.rename(&format!("d/{number}"), "d/g");
            let _ = shared.remove("d/g", false);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(content(outside.path()), before);
}

#[test]
fn a_fifo_blocks_nobody() {
    let shared = Shared::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        shared.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    refused!(shared.stat("fifo"), StoreError::NotFound(_));
    refused!(
        shared.store.open_file(&file("fifo")),
        StoreError::NotFound(_)
    );
    let over = upload(&shared.store, with("fifo", OnConflict::Overwrite), "");
    refused!(over, StoreError::Conflict { .. });
    shared.let_listings_catch_up();
    assert_eq!(shared.names(), [""; 0]);
    assert_eq!(shared.store.facts().unwrap().left_out.special, 1);
}

#[test]
fn only_portable_names_are_created() {
    let shared = Shared::new();
    shared.upload("f", "").unwrap();
    for text in [
        "a:b",
        "a\\b",
        "what?",
        "a*",
        "\"a\"",
        "<a>",
        "a|b",
        "a.",
        "a ",
        "dir./a",
        "con",
        "NUL.txt",
        "docs/prn",
        "x/aux.c/y",
    ] {
        refused!(shared.upload(text, ""), StoreError::InvalidName { .. });
        refused!(
            shared
                .store
                .make_folder(&name(text), false, &Cause::default()),
            StoreError::InvalidName { .. }
        );
        refused!(shared.rename("f", text), StoreError::InvalidName { .. });
    }
    for text in [
        "-rf",
        "$(x)",
        ";x",
        ".hidden",
        "id:notes".replace(':', "-").as_str(),
        "漢字/é",
    ] {
        shared.upload(text, "").unwrap();
    }
    // What is there by hand is shared all the same, and files can be put into such folders.
    shared.write("by:hand/f", "1");
    shared.upload("by:hand/g", "2").unwrap();
    assert_eq!(shared.entry("by:hand/f").id, Some(id("1")));
    let other = std::fs::read_dir(shared.path()).unwrap().count();
    assert_eq!(other, 9);
}

#[test]
fn a_bad_pattern_is_an_error() {
    let shared = Shared::new();
    let query = ListQuery {
        folder: None,
        patterns: vec!["a[".into()],
    };
    refused!(
        shared.store.list(&query, None, 1),
        StoreError::BadPattern { .. }
    );
}
