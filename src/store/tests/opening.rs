use super::*;

fn open_with_state(root: &Path, state: &Path) -> Result<Store, OpenError> {
    let mut options = StoreOptions::new(root);
    options.durability = Durability::None;
    options.state_dir = Some(state.to_owned());
    Store::open(options)
}

#[test]
fn state_and_root_are_never_inside_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("shared");
    std::fs::create_dir(&root).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    for state in [
        root.clone(),
        root.join("state"),
        root.join(".fileshare/state"),
        root.join(".fileshare-state"),
        link.join("state"),
        directory.path().join("missing/../shared/state"),
        directory.path().to_owned(),
    ] {
        let error = open_with_state(&root, &state).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::StateInRoot { .. }), "{state:?}");
        let text = error.to_string();
        assert!(text.contains("must not be inside one another"), "{text}");
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    for state in [
        root.join(".fileshare"),
        link.join(".fileshare"),
        directory.path().join("shared-state/deep"),
    ] {
        open_with_state(&root, &state).unwrap().close();
    }
}

#[test]
fn a_root_that_is_a_file_is_called_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(StoreOptions::new(&file)).map(|_| ());
    let text = error.unwrap_err().to_string();
    assert_eq!(text, format!("{} is not a folder", file.display()));
    let error = open_with_state(&directory.path().join("root"), &file).map(|_| ());
    let text = error.unwrap_err().to_string();
    assert_eq!(text, format!("{} is not a folder", file.display()));
}

#[test]
fn closing_does_not_wait_for_hashes() {
    let shared = Shared::new();
    let path = shared.path().join("huge");
    // Hashing it takes many times as long as the test.
    let huge = std::fs::File::create(&path).unwrap();
    huge.set_len(100 << 30).unwrap();
    make_old(&path);
    let precondition = Precondition {
        if_match: Some(id("x")),
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let store = shared.store.clone();
                scope.spawn(move || {
                    store.remove(&file("huge"), false, precondition, false, &Cause::default())
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        shared.store.close();
        for asked in asked {
            refused!(asked.join().unwrap(), StoreError::Closed);
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn whoever_closes_second_waits_for_the_first() {
    for _ in 0..20 {
        let shared = Shared::new();
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                shared.store.close();
            });
            both.wait();
            shared.store.close();
            let again = Store::open(StoreOptions::new(shared.path()));
            again.unwrap().close();
        });
    }
}
