use std::fs;

use super::*;

fn replace(shared: &Shared, text: &str, content: &str) -> Entry {
    upload(&shared.store, with(text, OnConflict::Overwrite), content).unwrap()
}

fn kept(names: &[(&str, u32)]) -> Vec<(String, u32)> {
    let owned = names
        .iter()
        .map(|(name, version)| ((*name).to_owned(), *version));
    owned.collect()
}

#[test]
fn what_is_replaced_or_removed_is_kept_by_versions_and_comes_back() {
    let shared = Shared::with(|options| options.durability = Durability::Fsync);
    shared.upload("docs/a", "one").unwrap();
    replace(&shared, "docs/a", "two");
    replace(&shared, "docs/a", "three");
    assert!(
        shared
            .remove_for(&Cause::default(), "docs/a", false)
            .unwrap()
            .kept
    );
    assert_eq!(
        shared.kept(),
        kept(&[("docs/a", 1), ("docs/a", 2), ("docs/a", 3)])
    );
    assert!(
        shared
            .names()
            .iter()
            .all(|name| !name.contains("fileshare"))
    );
    refused!(
        shared.restore("docs/a", 4),
        StoreError::NotKept { versions: 3, .. }
    );
    refused!(
        shared.restore("docs/b", 1),
        StoreError::NotKept { versions: 0, .. }
    );
    let back = entry(shared.restore("docs/a", 1).unwrap());
    assert_eq!((back.id, back.modified), (Some(id("three")), old()));
    // What stands there goes to the trash in its turn.
    shared.restore("docs/a", 2).unwrap();
    assert_eq!(shared.read("docs/a"), "one");
    assert_eq!(shared.kept(), kept(&[("docs/a", 1), ("docs/a", 2)]));
    shared.restore("docs/a", 1).unwrap();
    assert_eq!(shared.read("docs/a"), "three");
    let facts = shared.store.facts().unwrap();
    assert_eq!((facts.trash_files, facts.trash_bytes), (2, 6));
}

#[test]
fn what_is_kept_survives_a_restart_and_a_lost_index() {
    let shared = Shared::new();
    shared.upload("d/e/f", "one").unwrap();
    shared.upload("d/g", "two").unwrap();
    assert!(
        shared
            .remove_for(&Cause::default(), "d", true)
            .unwrap()
            .kept
    );
    let shared = shared.reopened_after(|path| {
        for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = fs::remove_file(path.join(".fileshare").join(file));
        }
    });
    assert_eq!(shared.store.index_state(), IndexState::Lost);
    assert_eq!(shared.kept(), kept(&[("d/e/f", 1), ("d/g", 1)]));
    eventually(|| shared.store.facts().unwrap().trash_bytes == 6);
    shared.restore("d/e/f", 1).unwrap();
    assert_eq!(shared.read("d/e/f"), "one");
    assert_eq!(shared.names(), ["d/e/f"]);
}

#[test]
fn a_person_finds_it_with_ls() {
    let shared = Shared::new();
    shared.upload("docs/a", "one").unwrap();
    shared.remove("docs/a", false).unwrap();
    let trash = shared.path().join(".fileshare/trash");
    let whens: Vec<_> = fs::read_dir(&trash).unwrap().flatten().collect();
    assert_eq!(whens.len(), 1);
    assert_eq!(fs::read(whens[0].path().join("docs/a")).unwrap(), b"one");
    // Taking the last thing out leaves no empty folders behind.
    shared.restore("docs/a", 1).unwrap();
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
}

#[test]
fn pages_go_over_names_and_versions() {
    let shared = Shared::new();
    for text in ["a", "b/c", "d"] {
        for content in ["1", "22", "333"] {
            upload(&shared.store, with(text, OnConflict::Overwrite), content).unwrap();
        }
        shared.remove(text, false).unwrap();
    }
    let all = shared.kept();
    assert_eq!(all.len(), 9);
    for size in [1, 2, 4] {
        let mut paged: Vec<(FileName, u32)> = Vec::new();
        loop {
            let after = paged.last().map(|(name, version)| (name.clone(), *version));
            let after = after.as_ref().map(|(name, version)| (name, *version));
            let page = shared
                .store
                .trash(&ListQuery::default(), after, size)
                .unwrap();
            assert!(page.files.len() <= size);
            paged.extend(page.files.into_iter().map(|kept| (kept.name, kept.version)));
            if !page.more {
                break;
            }
        }
        let paged: Vec<_> = paged
            .into_iter()
            .map(|(name, version)| (name.as_str().to_owned(), version))
            .collect();
        assert_eq!(paged, all, "{size}");
    }
    let query = ListQuery {
        folder: Some(name("b")),
        patterns: vec!["c*".to_owned()],
    };
    let page = shared.store.trash(&query, None, 100).unwrap();
    assert!(page.files.iter().all(|kept| kept.name == name("b/c")));
    assert_eq!(
        page.files.iter().map(|kept| kept.size).collect::<Vec<_>>(),
        [3, 2, 1]
    );
}

#[test]
fn the_bound_drops_the_oldest_and_keeps_nothing_that_is_larger() {
    let shared = Shared::with(|options| options.keep_removed_size = 160);
    let large = "x".repeat(161);
    shared.upload("large", &large).unwrap();
    assert!(
        !shared
            .remove_for(&Cause::default(), "large", false)
            .unwrap()
            .kept
    );
    shared.upload("d/large", &large).unwrap();
    let folder = shared.store.remove(
        &file("d"),
        true,
        Precondition::default(),
        true,
        &Cause::default(),
    );
    assert!(!folder.unwrap().kept);
    for number in 0..10 {
        let text = format!("f{number}");
        shared.upload(&text, &"y".repeat(40)).unwrap();
        assert!(
            shared
                .remove_for(&Cause::default(), &text, false)
                .unwrap()
                .kept
        );
    }
    eventually(|| shared.store.facts().unwrap().trash_bytes <= 160);
    assert_eq!(
        shared.kept(),
        kept(&[("f6", 1), ("f7", 1), ("f8", 1), ("f9", 1)])
    );
}

#[test]
fn what_is_too_old_goes() {
    let shared = Shared::with(|options| options.keep_removed = Duration::from_secs(2));
    shared.upload("a", "1").unwrap();
    shared.remove("a", false).unwrap();
    assert_eq!(shared.kept(), kept(&[("a", 1)]));
    eventually(|| shared.kept().is_empty());
    eventually(|| shared.staged() == 0);
}

#[test]
fn nothing_is_kept_when_that_is_turned_off() {
    for off in [0, 1] {
        let shared = Shared::with(|options| match off {
            0 => options.keep_removed = Duration::ZERO,
            _ => options.keep_removed_size = 0,
        });
        shared.upload("a", "1").unwrap();
        replace(&shared, "a", "2");
        assert!(
            !shared
                .remove_for(&Cause::default(), "a", false)
                .unwrap()
                .kept
        );
        assert!(shared.kept().is_empty());
    }
}

#[test]
fn a_file_that_was_linked_and_not_replaced_is_not_kept() {
    let shared = Shared::new();
    shared.upload("docs/a", "one").unwrap();
    // As a server leaves it that dies between link and rename.
    let shared = shared.reopened_after(|path| {
        let place = path.join(".fileshare/trash/20260101T000000.000000001Z/docs");
        fs::create_dir_all(&place).unwrap();
        fs::hard_link(path.join("docs/a"), place.join("a")).unwrap();
    });
    eventually(|| shared.kept().is_empty());
    assert_eq!(shared.read("docs/a"), "one");
}

#[test]
fn names_that_get_in_each_other_s_way_are_all_kept() {
    let shared = Shared::new();
    for _ in 0..3 {
        shared.upload("a", "file").unwrap();
        shared.remove("a", false).unwrap();
        shared.upload("a/b", "inside").unwrap();
        shared.remove("a/b", false).unwrap();
        shared.remove("a", true).unwrap();
    }
    let all = shared.kept();
    assert_eq!(all.iter().filter(|(name, _)| name == "a").count(), 3);
    assert_eq!(all.iter().filter(|(name, _)| name == "a/b").count(), 3);
}
