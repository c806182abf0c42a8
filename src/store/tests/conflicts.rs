use std::sync::Barrier;

use super::*;

#[test]
fn nothing_is_replaced_unasked() {
    let shared = Shared::new();
    shared.upload("a.txt", "1").unwrap();
    refused!(
        shared.upload("a.txt", "2"),
        StoreError::AlreadyExists {
            existing: Some(_),
            ..
        }
    );
    let skip = upload(&shared.store, with("a.txt", OnConflict::Skip), "2");
    refused!(skip, StoreError::AlreadyExists { .. });
    assert_eq!(shared.read("a.txt"), "1");
    let existing = shared.store.examine(&new("a.txt")).unwrap().unwrap();
    assert_eq!(existing.id, Some(id("1")));
    assert_eq!(shared.store.examine(&new("b.txt")).unwrap(), None);

    upload(&shared.store, with("a.txt", OnConflict::Overwrite), "22").unwrap();
    assert_eq!(shared.read("a.txt"), "22");
    let both = upload(&shared.store, with("a.txt", OnConflict::Rename), "3").unwrap();
    assert_eq!(both.name, name("a (1).txt"));
    let third = upload(&shared.store, with("A.txt", OnConflict::Rename), "4").unwrap();
    assert_eq!(third.name, name("A (2).txt"));
    assert_eq!(shared.names(), ["A (2).txt", "a (1).txt", "a.txt"]);
    let facts = shared.store.facts().unwrap();
    assert_eq!((facts.files, facts.bytes), (3, 4));
}

#[test]
fn the_conflict_is_decided_when_the_file_is_published() {
    let shared = Shared::new();
    let mut slow = shared.store.stage(new("a")).unwrap();
    slow.write(b"slow").unwrap();
    shared.upload("a", "quick").unwrap();
    refused!(publish(slow, id("slow")), StoreError::AlreadyExists { .. });
    let mut slow = shared.store.stage(new("b")).unwrap();
    slow.write(b"slow").unwrap();
    shared.write("b", "by hand");
    refused!(publish(slow, id("slow")), StoreError::AlreadyExists { .. });
    assert_eq!(
        (shared.read("a"), shared.read("b")),
        ("quick".into(), "by hand".into())
    );
    assert_eq!(shared.staged(), 0);
}

#[test]
fn files_and_folders_do_not_replace_each_other() {
    let shared = Shared::new();
    shared.upload("d/f", "1").unwrap();
    for policy in [OnConflict::Error, OnConflict::Overwrite, OnConflict::Skip] {
        let onto = upload(&shared.store, with("d", policy), "2");
        refused!(onto, StoreError::Conflict { .. });
        let below = upload(&shared.store, with("d/f/g", policy), "2");
        refused!(below, StoreError::Conflict { .. });
    }
    let beside = upload(&shared.store, with("d", OnConflict::Rename), "2").unwrap();
    assert_eq!(beside.name, name("d (1)"));
}

#[test]
fn numbered_names_stay_names() {
    let all = |text: &str| -> Vec<FileName> {
        super::super::names::numbered(&name(text)).take(2).collect()
    };
    assert_eq!(all("d/a.txt"), [name("d/a (1).txt"), name("d/a (2).txt")]);
    assert_eq!(all(".hidden")[0], name(".hidden (1)"));
    let long = format!("{}.txt", "é".repeat(125));
    assert!(all(&long)[0].as_str().ends_with("é (1).txt"));
}

/// Uploads all the names at once and tells what became of each.
fn race(shared: &Shared, names: &[&str]) -> Vec<Result<Entry, StoreError>> {
    let barrier = Barrier::new(names.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let content = number.to_string();
                    let mut upload = shared.store.stage(new(text))?;
                    upload.write(content.as_bytes())?;
                    barrier.wait();
                    publish(upload, id(&content))
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn of_many_uploads_of_one_name_exactly_one_wins() {
    for durability in [Durability::None, Durability::Fsync] {
        let shared = Shared::with(|options| options.durability = durability);
        let outcomes = race(&shared, &["d/a"; 64]);
        let winners: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(winners[0].id, Some(id(&shared.read("d/a"))));
        for outcome in &outcomes {
            assert!(matches!(
                outcome,
                Ok(_) | Err(StoreError::AlreadyExists { .. })
            ));
        }
    }
}

#[test]
fn of_many_twins_exactly_one_wins() {
    let shared = Shared::new();
    let twins = ["README", "readme", "Readme", "ReadMe", "READme", "rEADME"];
    let outcomes = race(&shared, &twins);
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert!(
        outcomes
            .iter()
            .all(|o| matches!(o, Ok(_) | Err(StoreError::Twin { .. })))
    );
    let outcomes = race(&shared, &["Straße/a", "STRASSE/b", "strasse/c"]);
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert_eq!(shared.names().len(), 2);
}

#[test]
fn native_names_may_be_twins() {
    let shared = Shared::with(|options| options.names = NameRules::Native);
    for text in ["README", "readme", "a:b", "con", "end."] {
        shared.upload(text, text).unwrap();
    }
    assert_eq!(shared.names().len(), 5);
    refused!(
        shared.rename("README", "readme"),
        StoreError::AlreadyExists { .. }
    );
}

#[test]
fn limits_hold() {
    let shared = Shared::with(|options| {
        options.max_file_size = Some(10);
        options.quota = Some(15);
    });
    let sized = |text, size| NewFile {
        size: Some(size),
        ..new(text)
    };
    refused!(
        shared.store.examine(&sized("a", 11)),
        StoreError::TooLarge { .. }
    );
    refused!(
        shared.upload("a", "01234567890"),
        StoreError::TooLarge { .. }
    );
    shared.upload("a", "0123456789").unwrap();
    refused!(
        shared.upload("b", "012345"),
        StoreError::QuotaExceeded { .. }
    );
    // What one upload was promised another cannot have.
    let mut promised = shared.store.stage(sized("c", 3)).unwrap();
    promised.write(b"0").unwrap();
    refused!(
        shared.store.stage(sized("d", 3)),
        StoreError::QuotaExceeded { .. }
    );
    drop(promised);
    let mut short = shared.store.stage(sized("d", 5)).unwrap();
    short.write(b"0123").unwrap();
    refused!(
        short.write(b"45"),
        StoreError::SizeMismatch { received: 6, .. }
    );
    refused!(
        publish(short, id("0123")),
        StoreError::SizeMismatch { received: 4, .. }
    );
    shared.upload("d", "01234").unwrap();
    refused!(shared.upload("e", "0"), StoreError::QuotaExceeded { .. });
    shared.remove("a", false).unwrap();
    shared.upload("e", "0").unwrap();
    assert_eq!(shared.names(), ["d", "e"]);
    assert_eq!(shared.staged(), 0);
}
