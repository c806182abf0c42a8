use std::fs;

use super::*;

fn cause(owner: Option<&str>, command: u64) -> Cause {
    Cause {
        owner: owner.map(str::to_owned),
        command,
    }
}

fn put(shared: &Shared, text: &str, content: &str, cause: &Cause) {
    let new = NewFile {
        cause: cause.clone(),
        ..with(text, OnConflict::Overwrite)
    };
    upload(&shared.store, new, content).unwrap();
}

fn done(undone: Vec<(String, Result<TakenBack, StoreError>)>) -> Vec<(String, TakenBack)> {
    undone
        .into_iter()
        .map(|(name, outcome)| (name, outcome.unwrap()))
        .collect()
}

#[test]
fn a_whole_command_is_taken_back_in_reverse() {
    use TakenBack::*;

    let shared = Shared::with(|options| options.durability = Durability::Fsync);
    shared.upload("b", "old b").unwrap();
    let command = cause(Some("anna"), 7);
    put(&shared, "new/deep/a", "a", &command);
    put(&shared, "b", "new b", &command);
    let renamed = shared.store.rename(
        &file("b"),
        &name("c"),
        Precondition::default(),
        false,
        &command,
    );
    renamed.unwrap();
    let undone = done(shared.undo(Some("anna")));
    let expected = [
        ("b", Renamed),
        ("b", Restored),
        ("new/deep/a", Removed),
        ("new/deep", Removed),
        ("new", Removed),
    ];
    assert_eq!(undone, expected.map(|(name, how)| (name.to_owned(), how)));
    assert_eq!(shared.names(), ["b"]);
    assert_eq!(shared.read("b"), "old b");
    // What was displaced is kept.
    assert_eq!(
        shared.kept(),
        [("b".to_owned(), 1), ("new/deep/a".to_owned(), 1)]
    );
    assert!(shared.undo(Some("anna")).is_empty());
}

#[test]
fn one_s_undo_does_not_touch_another_s_and_survives_restarts_and_a_lost_index() {
    let shared = Shared::new();
    put(&shared, "anna", "1", &cause(Some("anna"), 1));
    put(&shared, "nobody", "1", &cause(None, 1));
    shared
        .remove_for(&cause(Some("anna"), 2), "nobody", false)
        .unwrap();
    put(&shared, "bert", "1", &cause(Some("bert"), 1));
    let shared = shared.reopened_after(|path| {
        for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = fs::remove_file(path.join(".fileshare").join(file));
        }
    });
    assert_eq!(done(shared.undo(Some("anna"))).len(), 1);
    assert_eq!(shared.names(), ["anna", "bert", "nobody"]);
    assert_eq!(done(shared.undo(Some("anna"))).len(), 1);
    assert_eq!(shared.names(), ["bert", "nobody"]);
    assert_eq!(done(shared.undo(None)).len(), 1);
    assert_eq!(shared.names(), ["bert"]);
}

#[test]
fn a_command_goes_on_across_connections_and_restarts() {
    let shared = Shared::new();
    put(&shared, "a", "1", &cause(None, 9));
    let shared = shared.reopened();
    put(&shared, "b", "1", &cause(None, 9));
    assert_eq!(done(shared.undo(None)).len(), 2);
    assert!(shared.names().is_empty());
}

#[test]
fn what_was_changed_since_stays() {
    let shared = Shared::new();
    let first = cause(None, 1);
    put(&shared, "a", "1", &first);
    put(&shared, "b", "1", &first);
    shared.upload("c", "1").unwrap();
    shared.remove_for(&first, "c", false).unwrap();
    put(&shared, "a", "other", &cause(Some("bert"), 1));
    put(&shared, "c", "other", &cause(Some("bert"), 1));
    let undone = shared.undo(None);
    let failed: Vec<_> = undone
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Err(StoreError::Conflict { .. })))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(failed, ["c", "a"]);
    assert_eq!(shared.names(), ["a", "c"]);
    assert_eq!(
        (shared.read("a"), shared.read("c")),
        ("other".into(), "other".into())
    );
}

#[test]
fn what_is_not_kept_any_more_says_so() {
    let shared = Shared::new();
    shared.upload("a", "1").unwrap();
    shared.remove_for(&cause(Some("x"), 1), "a", false).unwrap();
    fs::remove_dir_all(shared.path().join(".fileshare/trash")).unwrap();
    let undone = shared.undo(Some("x"));
    let error = undone[0].1.as_ref().unwrap_err();
    assert!(error.to_string().contains("not kept any more"), "{error}");
    // The folder that somebody removed by hand is made again.
    shared.upload("b", "1").unwrap();
    assert!(
        shared
            .remove_for(&Cause::default(), "b", false)
            .unwrap()
            .kept
    );
}

#[test]
fn a_dry_run_takes_nothing_back() {
    let shared = Shared::new();
    put(&shared, "d/a", "1", &cause(None, 1));
    let page = shared.store.undo(None, None, true).unwrap();
    assert_eq!(page.changes.len(), 2);
    assert!(page.changes.iter().all(|undone| undone.outcome.is_ok()));
    assert_eq!(shared.names(), ["d/a"]);
    assert_eq!(done(shared.undo(None)).len(), 2);
}

#[test]
fn a_damaged_journal_fails_nothing() {
    let shared = Shared::new();
    put(&shared, "a", "1", &cause(None, 1));
    let shared = shared.reopened_after(|path| {
        fs::write(path.join(".fileshare/undo.db"), "no database at all").unwrap();
    });
    assert!(shared.undo(None).is_empty());
    put(&shared, "b", "1", &cause(None, 2));
    assert_eq!(done(shared.undo(None)).len(), 1);
    assert_eq!(shared.names(), ["a"]);
}

#[test]
fn ten_thousand_removed_files_come_back_quickly() {
    const FILES: usize = 10_000;
    let shared = Shared::new();
    for number in 0..FILES {
        let below = format!("{}/{number}", number % 10);
        let path = shared.path().join("many").join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, number.to_string()).unwrap();
    }
    shared.let_listings_catch_up();
    assert_eq!(shared.names().len(), FILES);
    let by_folder = cause(None, 1);
    shared.remove_for(&by_folder, "many", true).unwrap();
    assert!(shared.names().is_empty());
    assert_eq!(done(shared.undo(None)).len(), 1);
    assert_eq!(shared.names().len(), FILES);
    let one_by_one = cause(None, 2);
    for number in 0..FILES {
        let text = format!("many/{}/{number}", number % 10);
        shared.remove_for(&one_by_one, &text, false).unwrap();
    }
    assert_eq!(done(shared.undo(None)).len(), FILES);
    assert_eq!(shared.names().len(), FILES);
    assert_eq!(shared.read("many/7/1237"), "1237");
}
