use super::*;
use crate::disk::Folder;

#[test]
fn named_files_are_seen_at_once_as_they_are() {
    let shared = Shared::new();
    shared.names();
    shared.write("a", "one");
    assert_eq!(shared.entry("a").id, Some(id("one")));
    shared.write("a", "other");
    assert_eq!(shared.entry("a").id, Some(id("other")));
    // The same size and, as backups do it, the same time: another inode.
    let inode = shared.path().join("b");
    std::fs::write(&inode, "OTHER").unwrap();
    make_old(&inode);
    std::fs::rename(&inode, shared.path().join("a")).unwrap();
    assert_eq!(shared.entry("a").id, Some(id("OTHER")));
    std::fs::remove_file(shared.path().join("a")).unwrap();
    refused!(shared.stat("a"), StoreError::NotFound(_));
    refused!(shared.store.open_file(&file("a")), StoreError::NotFound(_));
}

#[test]
fn listings_lag_at_most_two_seconds() {
    let shared = Shared::new();
    shared.upload("gone/f", "1").unwrap();
    assert_eq!(shared.names(), ["gone/f"]);
    shared.write("d/new", "2");
    std::fs::remove_dir_all(shared.path().join("gone")).unwrap();
    std::fs::create_dir(shared.path().join("empty")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(shared.names(), ["d/new", "empty/"]);
    // A file that becomes a folder, and the reverse.
    std::fs::remove_file(shared.path().join("d/new")).unwrap();
    std::fs::create_dir(shared.path().join("d/new")).unwrap();
    std::fs::remove_dir(shared.path().join("empty")).unwrap();
    shared.write("empty", "3");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(shared.names(), ["d/new/", "empty"]);
    assert_eq!(shared.store.facts().unwrap().files, 1);
}

#[test]
fn the_background_hashes_what_nobody_hashed() {
    let shared = Shared::new();
    // Many small ones, and some that take several reads.
    let content = |name: &str| name.repeat(if name.ends_with('7') { 300_000 } else { 1 });
    for number in 0..100 {
        let name = number.to_string();
        shared.write(&format!("d/{name}"), &content(&name));
    }
    let page = || {
        let query = ListQuery::default();
        shared.store.list(&query, None, 1000).unwrap().items
    };
    eventually(|| {
        let items = page();
        items.len() == 100 && items.into_iter().all(|item| entry(item).id.is_some())
    });
    for item in page() {
        let entry = entry(item);
        assert_eq!(entry.id, Some(id(&content(entry.name.leaf()))));
    }
    assert_eq!(shared.store.facts().unwrap().unhashed_files, 0);
}

#[test]
fn a_young_file_s_id_is_not_trusted_until_it_settles() {
    let shared = Shared::new();
    let young = NewFile {
        modified: None,
        ..new("a")
    };
    let stored = upload(&shared.store, young, "one").unwrap();
    assert_eq!(stored.id, Some(id("one")));
    let listed = |shared: &Shared| {
        let page = shared.store.list(&ListQuery::default(), None, 1).unwrap();
        entry(page.items.into_iter().next().unwrap()).id
    };
    assert_eq!(listed(&shared), Some(id("one")));
    assert_eq!(shared.store.open_file(&file("a")).unwrap().entry.id, None);

    // A change that leaves size, time and inode as they were, as it can within one tick.
    let path = shared.path().join("a");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "two").unwrap();
    std::fs::File::open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(shared.entry("a").id, Some(id("two")));
    eventually(|| shared.store.open_file(&file("a")).unwrap().entry.id == Some(id("two")));
    assert_eq!(listed(&shared), Some(id("two")));
}

#[test]
fn twins_made_by_hand_are_hidden_but_for_the_first() {
    let shared = Shared::new();
    shared.write("readme", "later");
    shared.write("README", "first");
    shared.write("dir/f", "hidden");
    shared.write("Dir/f", "shared");
    shared.let_listings_catch_up();
    assert_eq!(shared.names(), ["Dir/f", "README"]);
    assert_eq!(shared.store.facts().unwrap().left_out.twins, 2);
    refused!(shared.stat("readme"), StoreError::NotFound(_));
    refused!(shared.stat("dir/f"), StoreError::NotFound(_));
    refused!(
        shared.store.open_file(&file("dir/f")),
        StoreError::NotFound(_)
    );
    refused!(shared.remove("readme", false), StoreError::NotFound(_));
    refused!(shared.upload("dir/g", ""), StoreError::Twin { .. });
    let over = upload(&shared.store, with("readme", OnConflict::Overwrite), "");
    refused!(over, StoreError::Twin { .. });
    assert_eq!(shared.read("readme"), "later");
    // When the first goes, the next is shared.
    shared.remove("README", false).unwrap();
    assert_eq!(shared.entry("readme").id, Some(id("later")));
    // One that comes before the shared one takes its place.
    shared.write("Readme", "now first");
    shared.let_listings_catch_up();
    assert_eq!(shared.names(), ["Dir/f", "Readme"]);
}

#[test]
fn what_is_not_shared_is_counted() {
    use std::os::unix::ffi::OsStrExt;

    let shared = Shared::new();
    std::os::unix::fs::symlink("/etc", shared.path().join("link")).unwrap();
    std::os::unix::net::UnixListener::bind(shared.path().join("socket")).unwrap();
    let strange = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    std::fs::write(shared.path().join(strange), "").unwrap();
    shared.write("f", "1");
    shared.let_listings_catch_up();
    let facts = shared.store.facts().unwrap();
    let expected = LeftOut {
        links: 1,
        special: 1,
        names: 1,
        ..LeftOut::default()
    };
    assert_eq!(facts.left_out, expected);
    assert_eq!((facts.files, facts.bytes), (1, 1));
    assert!(facts.free_space.is_some());
}

#[test]
fn no_name_is_created_beside_another_form_of_it() {
    let shared = Shared::new();
    // Decomposed, as some systems' file managers write names.
    shared.write("u\u{308}.txt", "decomposed");
    shared.write("o\u{308}/f", "in a decomposed folder");
    shared.write("a\u{308}", "decomposed");
    shared.write("\u{e4}", "composed");
    std::os::unix::fs::symlink("/etc", shared.path().join("LINK")).unwrap();
    shared.let_listings_catch_up();
    assert_eq!(shared.names(), ["\u{e4}"]);
    let left_out = shared.store.facts().unwrap().left_out;
    assert_eq!((left_out.names, left_out.twins, left_out.links), (2, 1, 1));

    for text in ["\u{fc}.txt", "\u{dc}.TXT", "\u{f6}/g", "\u{d6}", "link"] {
        refused!(shared.upload(text, "x"), StoreError::Twin { .. });
        refused!(
            shared
                .store
                .make_folder(&name(text), false, &Cause::default()),
            StoreError::Twin { .. }
        );
        refused!(shared.rename("\u{e4}", text), StoreError::Twin { .. });
    }
    let numbered = upload(&shared.store, with("\u{fc}.txt", OnConflict::Rename), "x");
    assert_eq!(numbered.unwrap().name, name("\u{fc} (1).txt"));
    // What is shared beside its other form can be replaced as ever.
    upload(&shared.store, with("\u{e4}", OnConflict::Overwrite), "new").unwrap();
    assert_eq!(shared.read("a\u{308}"), "decomposed");

    // A folder's new name changes nothing, and what is gone is in nobody's way.
    shared.write("d/e\u{301}", "decomposed");
    shared.let_listings_catch_up();
    shared.names();
    shared.rename("d", "e").unwrap();
    refused!(shared.upload("e/\u{e9}", ""), StoreError::Twin { .. });
    std::fs::remove_file(shared.path().join("e/e\u{301}")).unwrap();
    shared.upload("e/\u{e9}", "").unwrap();
}

#[test]
fn reserved_names_are_counted_but_for_the_server_s_own_folder() {
    let shared = Shared::new();
    shared.write(".fileshare-x", "1");
    shared.write("sub/.fileshare/k", "2");
    shared.write("sub/.fileshare-y", "3");
    shared.let_listings_catch_up();
    assert_eq!(shared.names(), ["sub/"]);
    assert_eq!(shared.store.facts().unwrap().left_out.names, 3);
}

#[test]
fn trees_too_deep_to_be_named_are_not_entered() {
    let shared = Shared::new();
    let folder = Folder::open(shared.path()).unwrap();
    let part = "x".repeat(250);
    let mut deepest = folder;
    for _ in 0..40 {
        deepest.make_folder(&part).unwrap();
        deepest = deepest.subfolder(&part).unwrap();
    }
    deepest.create_file("f").unwrap();
    shared.let_listings_catch_up();
    let names = shared.names();
    assert_eq!(names.len(), 1);
    assert!(names[0].len() <= FileName::MAX_BYTES);
    let facts = shared.store.facts().unwrap();
    assert_eq!((facts.files, facts.left_out.names), (0, 1));
}

/// Nothing keeps root from reading a file, so root runs the test without that privilege.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_be_read_is_counted_and_not_waited_for() {
    use std::os::unix::fs::PermissionsExt;

    const AGAIN: &str = "FILESHARE_TEST_UNPRIVILEGED";
    const UNPRIVILEGED: &str = concat!(
        "store::tests::hand_made::",
        "a_file_that_may_not_be_read_is_counted_and_not_waited_for"
    );
    let shared = Shared::new();
    shared.write("forbidden", "secret");
    shared.write("f", "1");
    let path = shared.path().join("forbidden");
    let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    allow(0).unwrap();
    if std::fs::File::open(&path).is_ok() {
        assert!(std::env::var_os(AGAIN).is_none());
        let outcome = std::process::Command::new("setpriv")
            .arg("--bounding-set=-dac_override,-dac_read_search")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", UNPRIVILEGED])
            .env(AGAIN, "1")
            .output();
        let Ok(output) = outcome else {
            eprintln!("skipped: there is no setpriv");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("test result: ok. 1 passed"), "{output:?}");
        return;
    }
    let told = || {
        let facts = shared.store.facts().unwrap();
        (facts.unhashed_files, facts.left_out.unreadable, facts.files)
    };
    eventually(|| told() == (0, 1, 2));
    assert_eq!(shared.names(), ["f", "forbidden"]);
    assert_eq!(shared.entry("forbidden").id, None);
    // It changes and may be read now, so nobody waits for minutes.
    allow(0o600).unwrap();
    std::fs::write(&path, "public").unwrap();
    eventually(|| told() == (0, 0, 2));
}
