use super::*;
use crate::store::OpenError;

#[test]
fn many_small_files_are_stored_for_good() {
    let shared = Shared::with(|options| options.durability = Durability::Fsync);
    let (sender, receiver) = mpsc::channel();
    const FILES: usize = 10_000;
    for number in 0..FILES {
        let content = number.to_string();
        let mut upload = shared
            .store
            .stage(new(&format!("{}/{number}", number % 10)))
            .unwrap();
        upload.write(content.as_bytes()).unwrap();
        let sender = sender.clone();
        upload.publish(
            id(&content),
            Box::new(move |outcome| sender.send(outcome.map(|_| ())).unwrap()),
        );
    }
    drop(sender);
    let stored = receiver.iter().map(Result::unwrap).count();
    assert_eq!(stored, FILES);
    assert_eq!(shared.names().len(), FILES);
    let shared = shared.reopened();
    assert_eq!(shared.store.index_state(), IndexState::Opened);
    assert_eq!(shared.store.facts().unwrap().files, FILES as u64);
    assert_eq!(shared.entry("7/1237").id, Some(id("1237")));
}

#[test]
fn what_was_being_published_is_answered_when_the_store_closes() {
    let shared = Shared::new();
    let mut late = shared.store.stage(new("late")).unwrap();
    late.write(b"late").unwrap();
    let (sender, receiver) = mpsc::channel();
    for number in 0..200 {
        let content = number.to_string();
        let mut upload = shared.store.stage(new(&content)).unwrap();
        upload.write(content.as_bytes()).unwrap();
        let sender = sender.clone();
        let done = move |outcome: Result<Entry, _>| sender.send(outcome.is_ok()).unwrap();
        upload.publish(id(&content), Box::new(done));
    }
    drop(sender);
    shared.store.close();
    assert_eq!(receiver.iter().filter(|stored| *stored).count(), 200);
    refused!(publish(late, id("late")), StoreError::Closed);
    refused!(shared.stat("1"), StoreError::Closed);
    refused!(shared.rename("1", "x"), StoreError::Closed);
    refused!(
        shared.store.list(&ListQuery::default(), None, 1),
        StoreError::Closed
    );
    shared.store.close();
    assert!(!shared.path().join("late").exists());
    assert_eq!(shared.staged(), 0);
    assert_eq!(shared.reopened().names().len(), 200);
}

#[test]
fn the_last_handle_may_be_dropped_by_an_answer() {
    let shared = Shared::new();
    let mut upload = shared.store.stage(new("a")).unwrap();
    upload.write(b"a").unwrap();
    let (sender, receiver) = mpsc::channel();
    let Shared { store, directory } = shared;
    let handle = store.clone();
    let done = move |outcome: Result<Entry, _>| {
        drop(handle);
        sender.send(outcome.is_ok()).unwrap();
    };
    drop(store);
    upload.publish(id("a"), Box::new(done));
    assert!(receiver.recv().unwrap());
    drop(directory);
}

#[test]
fn staging_is_emptied_when_the_store_opens() {
    let shared = Shared::new();
    shared.store.close();
    let staging = shared.path().join(".fileshare/staging");
    std::fs::write(staging.join("left"), "over").unwrap();
    std::fs::create_dir_all(staging.join("tree/deep")).unwrap();
    std::fs::write(staging.join("tree/deep/f"), "").unwrap();
    let shared = shared.reopened();
    assert!(!staging.join("left").exists());
    eventually(|| shared.staged() == 0);
}

#[test]
fn a_dropped_upload_leaves_nothing() {
    let shared = Shared::new();
    let mut upload = shared.store.stage(new("a")).unwrap();
    upload.write(b"half").unwrap();
    assert_eq!(shared.staged(), 1);
    assert_eq!(shared.names(), [""; 0]);
    drop(upload);
    assert_eq!(shared.staged(), 0);
}

#[test]
fn a_root_is_served_once() {
    let shared = Shared::new();
    match Store::open(StoreOptions::new(shared.path())) {
        Err(OpenError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{:?}", other.map(|_| "opened")),
    }
    // Not even when its state is kept elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(shared.path());
    options.state_dir = Some(elsewhere.path().join("state"));
    refused!(Store::open(options), OpenError::InUse { .. });
    let Shared { store, directory } = shared;
    drop(store);
    Store::open(StoreOptions::new(directory.path())).unwrap();
}

#[test]
fn a_lost_index_is_made_anew_and_said_so() {
    let shared = Shared::new();
    assert_eq!(shared.store.index_state(), IndexState::Created);
    shared.upload("d/a", "1").unwrap();
    let shared = shared.reopened();
    assert_eq!(shared.store.index_state(), IndexState::Opened);
    let index = shared.path().join(".fileshare/index.sqlite");
    for damage in 0..4 {
        shared.store.close();
        match damage {
            0 => std::fs::remove_file(&index).unwrap(),
            1 => std::fs::write(&index, "garbage").unwrap(),
            2 => std::fs::write(&index, vec![0x55; 100_000]).unwrap(),
            _ => {
                let length = std::fs::metadata(&index).unwrap().len();
                let file = std::fs::File::options().write(true).open(&index).unwrap();
                file.set_len(length / 2).unwrap();
            }
        }
        let mut options = StoreOptions::new(shared.path());
        options.durability = Durability::None;
        let store = Store::open(options).unwrap();
        assert_eq!(store.index_state(), IndexState::Lost, "damage {damage}");
        let page = store.list(&ListQuery::default(), None, 10).unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(entry(store.stat(&file("d/a")).unwrap()).id, Some(id("1")));
        assert_eq!(store.facts().unwrap().files, 1);
    }
}

#[test]
fn an_index_that_is_damaged_while_it_is_used_is_made_anew() {
    let shared = Shared::new();
    for number in 0..2000 {
        shared.write(&format!("d/{number}"), "");
    }
    shared.let_listings_catch_up();
    assert_eq!(shared.names().len(), 2000);
    eventually(|| shared.store.facts().unwrap().unhashed_files == 0);
    shared.store.close();
    let index = shared.path().join(".fileshare/index.sqlite");
    let store = Store::open(StoreOptions::new(shared.path())).unwrap();
    store.list(&ListQuery::default(), None, 10).unwrap();
    let length = std::fs::metadata(&index).unwrap().len();
    let mut file = std::fs::File::options().write(true).open(&index).unwrap();
    std::io::Write::write_all(&mut file, &vec![0x55; length as usize]).unwrap();
    eventually(|| {
        std::thread::sleep(Duration::from_millis(500));
        let page = store.list(&ListQuery::default(), None, 10_000);
        page.is_ok_and(|page| page.items.len() == 2000) && {
            upload(&store, with("new", OnConflict::Overwrite), "1").is_ok()
        }
    });
    assert!(index.with_extension("damaged").exists());
}

#[test]
fn state_may_be_kept_elsewhere() {
    let state = tempfile::tempdir().unwrap();
    let shared = Shared::with(|options| {
        options.state_dir = Some(state.path().join("deep/state"));
    });
    shared.upload("a", "1").unwrap();
    assert_eq!(shared.names(), ["a"]);
    assert!(state.path().join("deep/state/index.sqlite").exists());
    let left: Vec<_> = std::fs::read_dir(shared.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

/// On another file system, staging must be beside the files; `/dev/shm` is one on Linux.
#[test]
fn state_may_be_on_another_file_system() {
    let Ok(state) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let shared = Shared::with(|options| {
        options.state_dir = Some(state.path().to_owned());
    });
    assert!(!shared.path().join(".fileshare").exists());
    shared.upload("d/a", "1").unwrap();
    shared.upload("b", "2").unwrap();
    shared.remove("d", true).unwrap();
    assert_eq!(shared.names(), ["b"]);
    eventually(|| shared.staged() == 0);
}
