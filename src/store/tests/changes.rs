use super::*;

#[test]
fn what_is_published_is_there_under_its_name() {
    let shared = Shared::new();
    let new = NewFile {
        executable: true,
        size: Some(5),
        ..new("docs/a.txt")
    };
    let stored = upload(&shared.store, new, "hello").unwrap();
    assert_eq!(stored.id, Some(id("hello")));
    assert_eq!((stored.size, stored.modified), (5, old()));
    assert!(stored.executable);
    assert_eq!(shared.read("docs/a.txt"), "hello");
    assert_eq!(shared.entry("docs/a.txt"), stored);
    assert_eq!(shared.entry("id:5d4140"), stored);
    assert_eq!(shared.names(), ["docs/a.txt"]);
    assert_eq!(shared.staged(), 0);
}

#[test]
fn renames_files_and_folders() {
    let shared = Shared::new();
    shared.upload("a/b/f", "1").unwrap();
    shared.upload("a/ä/f", "2").unwrap();
    shared
        .store
        .make_folder(&name("a/empty"), false, &Cause::default())
        .unwrap();
    shared.rename("a/b/f", "x/y/g").unwrap();
    assert_eq!(shared.entry("x/y/g").id, Some(id("1")));
    refused!(shared.stat("a/b/f"), StoreError::NotFound(_));
    assert_eq!(
        shared.rename("a", "x/Ünïcode").unwrap(),
        Item::Folder(name("x/Ünïcode"))
    );
    let after = ["x/y/g", "x/Ünïcode/b/", "x/Ünïcode/empty/", "x/Ünïcode/ä/f"];
    assert_eq!(shared.names(), after);
    assert_eq!(shared.entry("x/Ünïcode/ä/f").id, Some(id("2")));
    refused!(shared.upload("x/üNÏCODE/new", ""), StoreError::Twin { .. });
    refused!(shared.upload("x/Ünïcode/Ä/f", ""), StoreError::Twin { .. });
    let shared = shared.reopened();
    assert_eq!(shared.names(), after);
    assert_eq!(shared.store.facts().unwrap().files, 2);
}

#[test]
fn a_rename_never_replaces_and_never_loses() {
    let shared = Shared::new();
    shared.upload("a", "1").unwrap();
    shared.upload("b", "2").unwrap();
    shared.upload("d/f", "3").unwrap();
    refused!(
        shared.rename("a", "b"),
        StoreError::AlreadyExists {
            existing: Some(_),
            ..
        }
    );
    refused!(shared.rename("a", "a"), StoreError::AlreadyExists { .. });
    refused!(
        shared.rename("a", "d"),
        StoreError::AlreadyExists { existing: None, .. }
    );
    refused!(shared.rename("d", "d/e"), StoreError::Conflict { .. });
    refused!(shared.rename("a", "b/c"), StoreError::Conflict { .. });
    refused!(shared.rename("gone", "new"), StoreError::NotFound(_));
    refused!(shared.rename("a", "a:b"), StoreError::InvalidName { .. });
    assert_eq!(
        (shared.read("a"), shared.read("b")),
        ("1".into(), "2".into())
    );
    assert_eq!(shared.names(), ["a", "b", "d/f"]);
}

#[test]
fn only_the_case_may_change() {
    let shared = Shared::new();
    shared.upload("docs/readme", "1").unwrap();
    shared.rename("docs/readme", "docs/README").unwrap();
    shared.rename("docs", "Docs").unwrap();
    assert_eq!(shared.names(), ["Docs/README"]);
    refused!(
        shared.rename("Docs/README", "docs/x"),
        StoreError::Twin { .. }
    );
}

#[test]
fn a_folder_s_new_name_must_not_make_names_too_long() {
    let shared = Shared::new();
    let part = "x".repeat(250);
    let deep = vec![part.as_str(); 16].join("/");
    shared.upload(&format!("d/{deep}"), "1").unwrap();
    refused!(
        shared.rename("d", &"y".repeat(200)),
        StoreError::InvalidName { .. }
    );
    shared.rename("d", "e").unwrap();
    assert_eq!(shared.names(), [format!("e/{deep}")]);
}

#[test]
fn removes_files_and_folders() {
    let shared = Shared::new();
    shared.upload("d/e/f", "1").unwrap();
    shared.upload("d/g", "2").unwrap();
    shared.upload("d0", "3").unwrap();
    assert_eq!(
        entry(shared.remove("d/g", false).unwrap()).id,
        Some(id("2"))
    );
    refused!(shared.remove("d/g", false), StoreError::NotFound(_));
    refused!(shared.remove("d", false), StoreError::IsFolder { .. });
    assert_eq!(shared.remove("d", true).unwrap(), Item::Folder(name("d")));
    assert!(!shared.path().join("d").exists());
    assert_eq!(shared.names(), ["d0"]);
    let facts = shared.store.facts().unwrap();
    assert_eq!((facts.files, facts.bytes), (1, 1));
    eventually(|| shared.staged() == 0);
}

#[test]
fn makes_folders() {
    let shared = Shared::new();
    shared
        .store
        .make_folder(&name("a/b"), false, &Cause::default())
        .unwrap();
    assert_eq!(shared.names(), ["a/b/"]);
    assert_eq!(shared.stat("a").unwrap(), Item::Folder(name("a")));
    let again = |text| {
        shared
            .store
            .make_folder(&name(text), false, &Cause::default())
    };
    refused!(
        again("a/b"),
        StoreError::AlreadyExists { existing: None, .. }
    );
    refused!(again("A"), StoreError::Twin { .. });
    shared.upload("f", "").unwrap();
    refused!(again("f/g"), StoreError::Conflict { .. });
    refused!(
        again("f"),
        StoreError::AlreadyExists {
            existing: Some(_),
            ..
        }
    );
}

#[test]
fn a_dry_run_finds_what_is_in_the_way_and_changes_nothing() {
    let shared = Shared::new();
    shared.upload("a", "1").unwrap();
    shared.upload("b", "2").unwrap();
    let any = Precondition::default();
    let rename = |to| {
        shared
            .store
            .rename(&file("a"), &name(to), any, true, &Cause::default())
    };
    rename("c/d").unwrap();
    refused!(rename("b"), StoreError::AlreadyExists { .. });
    shared
        .store
        .remove(&file("a"), false, any, true, &Cause::default())
        .unwrap();
    shared
        .store
        .make_folder(&name("c"), true, &Cause::default())
        .unwrap();
    refused!(
        shared
            .store
            .make_folder(&name("B"), true, &Cause::default()),
        StoreError::Twin { .. }
    );
    assert_eq!(shared.names(), ["a", "b"]);
    assert!(!shared.path().join("c").exists());
}

#[test]
fn changes_only_the_version_that_is_meant() {
    let shared = Shared::new();
    shared.write("a", "by hand");
    let only = |content| Precondition {
        if_match: Some(id(content)),
    };
    let remove = |content| {
        shared
            .store
            .remove(&file("a"), false, only(content), false, &Cause::default())
    };
    refused!(remove("other"), StoreError::PreconditionFailed { .. });
    let moved = |content| {
        let to = name("b");
        shared
            .store
            .rename(&file("a"), &to, only(content), false, &Cause::default())
    };
    refused!(moved("other"), StoreError::PreconditionFailed { .. });
    let replace = |content| NewFile {
        precondition: only(content),
        ..with("a", OnConflict::Overwrite)
    };
    let refused = upload(&shared.store, replace("other"), "new");
    refused!(refused, StoreError::PreconditionFailed { .. });
    upload(&shared.store, replace("by hand"), "new").unwrap();
    assert_eq!(shared.read("a"), "new");
    remove("new").unwrap();
    let gone = upload(&shared.store, replace("new"), "newer");
    refused!(gone, StoreError::PreconditionFailed { .. });
    assert_eq!(shared.names(), [""; 0]);
}

#[test]
fn an_id_must_mean_one_file_to_change_it() {
    let shared = Shared::new();
    shared.upload("a", "same").unwrap();
    shared.upload("b", "same").unwrap();
    let by_id = format!("id:{}", id("same"));
    refused!(shared.remove(&by_id, false), StoreError::Ambiguous { .. });
    assert_eq!(shared.entry(&by_id).name, name("a"));
    // The index may not have heard yet that one of them is another file by now.
    shared.write("b", "other");
    shared.remove(&by_id, false).unwrap();
    assert_eq!(shared.names(), ["b"]);
    refused!(shared.stat(&by_id), StoreError::NotFound(_));
}
