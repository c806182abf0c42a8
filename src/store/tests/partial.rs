//! Uploads that were cut, and go on.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::*;

const MIB: usize = 1024 * 1024;

fn key(token: u64, text: &str) -> PartialKey {
    PartialKey::new(None, token, &name(text)).unwrap()
}

fn keyed(text: &str, token: u64, size: usize) -> NewFile {
    NewFile {
        size: Some(size as u64),
        partial: Some(key(token, text)),
        ..new(text)
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

fn digest_of(content: &[u8]) -> Digest {
    Hasher::digest_of(content)
}

/// What is in the folder of partials: sizes, the smallest first.
fn kept(shared: &Shared) -> Vec<usize> {
    let folder = shared.path().join(".fileshare/partial");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut sizes: Vec<_> = entries
        .map(|entry| entry.unwrap().metadata().unwrap().len() as usize)
        .collect();
    sizes.sort_unstable();
    sizes
}

/// Uploads the first bytes of a file, and is cut.
fn cut(store: &Store, new: NewFile, content: &[u8]) {
    let mut upload = store.stage(new).unwrap();
    content
        .chunks(MIB)
        .for_each(|chunk| upload.write(chunk).unwrap());
    upload.keep();
}

fn found(shared: &Shared, token: u64, text: &str) -> Option<Box<Partial>> {
    match shared.store.find_partial(&key(token, text), None).unwrap() {
        Found::Partial(partial) => Some(partial),
        Found::Nothing => None,
        Found::InUse => panic!("in use"),
    }
}

fn read_again(partial: &mut Partial) {
    while partial.read_on().unwrap() != Reread::Done {}
}

#[test]
fn a_cut_upload_goes_on_from_whole_segments_and_is_verified_as_a_whole() {
    let mut shared = Shared::new();
    let content = content(5 * MIB);
    for reopened in [false, true] {
        cut(
            &shared.store,
            keyed("a", 7, content.len()),
            &content[..3 * MIB + 70_000],
        );
        assert_eq!(shared.names(), [""; 0]);
        assert_eq!(kept(&shared), [3 * MIB + 65_536]);
        if reopened {
            shared = shared.reopened();
        }
        let mut partial = found(&shared, 7, "a").unwrap();
        read_again(&mut partial);
        let length = partial.length() as usize;
        assert_eq!(length, 3 * MIB + 65_536);
        assert_eq!(partial.digest(), digest_of(&content[..length]));
        let (mut upload, hasher) = shared
            .store
            .go_on(keyed("a", 7, content.len()), *partial)
            .unwrap();
        assert_eq!(hasher.finish(), digest_of(&content[..length]));
        upload.write(&content[length..]).unwrap();
        let stored = publish(upload, digest_of(&content)).unwrap();
        assert_eq!(stored.size, content.len() as u64);
        let mut there = Vec::new();
        let mut file = shared.store.open_file(&file("a")).unwrap();
        file.read_to_end(&mut there).unwrap();
        assert!(there == content);
        assert_eq!(kept(&shared), [0; 0]);
        assert!(found(&shared, 7, "a").is_none());
        shared.remove("a", false).unwrap();
    }
}

#[test]
fn what_a_kill_leaves_is_cut_to_whole_segments_and_its_room_given_back() {
    let shared = Shared::new();
    let content = content(2 * MIB + 100);
    let mut upload = shared.store.stage(keyed("a", 7, 50 * MIB)).unwrap();
    upload.write(&content).unwrap();
    // As after a kill: nothing of this process cleans up.
    std::mem::forget(upload);
    let mut small = shared.store.stage(keyed("b", 7, 50 * MIB)).unwrap();
    small.write(&content[..MIB - 1]).unwrap();
    std::mem::forget(small);
    assert_eq!(kept(&shared).len(), 2);
    let options = StoreOptions::new(shared.path());
    shared.store.close();
    let shared = Shared {
        store: Store::open(options).unwrap(),
        directory: shared.directory,
    };
    assert_eq!(kept(&shared), [2 * MIB]);
    let folder = shared.path().join(".fileshare/partial");
    let left = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    assert!(left.metadata().unwrap().blocks() * 512 < 3 * MIB as u64);
    // The lock of an upload that was killed is gone, that of one that was forgotten is not.
    let copy = shared.path().join("copy");
    std::fs::copy(left.path(), &copy).unwrap();
    std::fs::rename(&copy, left.path()).unwrap();
    let mut partial = found(&shared, 7, "a").unwrap();
    read_again(&mut partial);
    assert_eq!(partial.digest(), digest_of(&content[..2 * MIB]));
}

#[test]
fn only_the_same_user_token_and_name_find_it_and_one_at_a_time() {
    let shared = Shared::new();
    cut(&shared.store, keyed("a", 7, 3 * MIB), &content(2 * MIB));
    let others = [
        PartialKey::new(Some("anna"), 7, &name("a")),
        PartialKey::new(None, 8, &name("a")),
        PartialKey::new(None, 7, &name("b")),
    ];
    for other in others.into_iter().flatten() {
        let nothing = shared.store.find_partial(&other, None).unwrap();
        assert!(matches!(nothing, Found::Nothing));
    }
    assert!(PartialKey::new(None, 0, &name("a")).is_none());
    let held = found(&shared, 7, "a").unwrap();
    let again = shared.store.find_partial(&key(7, "a"), None).unwrap();
    assert!(matches!(again, Found::InUse));
    // Who begins anew meanwhile does so elsewhere, and is not kept.
    cut(&shared.store, keyed("a", 7, 3 * MIB), &content(2 * MIB));
    assert_eq!(kept(&shared), [2 * MIB]);
    assert_eq!(shared.staged(), 0);
    drop(held);
    assert!(found(&shared, 7, "a").is_some());
    // A file that is smaller has other bytes.
    let smaller = shared.store.find_partial(&key(7, "a"), Some(MIB as u64));
    assert!(matches!(smaller.unwrap(), Found::Nothing));
    assert_eq!(kept(&shared), [0; 0]);
}

#[test]
fn beginning_anew_throws_away_what_there_was_and_failing_leaves_nothing() {
    let shared = Shared::new();
    cut(&shared.store, keyed("a", 7, 5 * MIB), &content(4 * MIB));
    cut(&shared.store, keyed("a", 7, 5 * MIB), &content(2 * MIB));
    assert_eq!(kept(&shared), [2 * MIB]);
    // Too little to be worth it, without a key, and dropped because it failed.
    cut(&shared.store, keyed("a", 7, 5 * MIB), &content(MIB - 1));
    cut(&shared.store, new("b"), &content(2 * MIB));
    let mut failed = shared.store.stage(keyed("c", 7, 5 * MIB)).unwrap();
    failed.write(&content(2 * MIB)).unwrap();
    drop(failed);
    assert_eq!(kept(&shared), [0; 0]);
    assert_eq!(shared.staged(), 0);
    // A small file does not come here at all.
    let small = shared.store.stage(keyed("d", 7, MIB - 1)).unwrap();
    assert_eq!((kept(&shared).len(), shared.staged()), (0, 1));
    drop(small);
}

#[test]
fn what_is_kept_has_limits_in_number_and_age() {
    let shared = Shared::new();
    for token in 1..=66 {
        cut(&shared.store, keyed("a", token, 3 * MIB), &content(MIB));
    }
    assert_eq!(kept(&shared).len(), 64);
    assert!(found(&shared, 2, "a").is_none());
    assert!(found(&shared, 3, "a").is_some());
    let held = found(&shared, 66, "a");
    let hours = |hours: u64| Timestamp::from(SystemTime::now() + Duration::from_secs(hours * 3600));
    let partials = &shared.store.inner().partials;
    partials.sweep(hours(23));
    assert_eq!(kept(&shared).len(), 64);
    partials.sweep(hours(25));
    assert_eq!(kept(&shared).len(), 1, "what is in use stays");
    drop(held);
    partials.sweep(hours(25));
    assert_eq!(kept(&shared), [0; 0]);
}

#[test]
fn what_is_kept_gives_way_to_what_needs_the_quota() {
    let shared = Shared::with(|options| options.quota = Some(16 * MIB as u64));
    cut(&shared.store, keyed("a", 1, 8 * MIB), &content(4 * MIB));
    cut(&shared.store, keyed("a", 2, 8 * MIB), &content(3 * MIB));
    cut(&shared.store, keyed("a", 3, 8 * MIB), &content(5 * MIB));
    assert_eq!(kept(&shared), [3 * MIB, 4 * MIB, 5 * MIB]);
    // What is promised to another one counts; the oldest goes first.
    let mut upload = shared.store.stage(new("b")).unwrap();
    let whole = content(16 * MIB);
    upload.write(&whole[..4 * MIB]).unwrap();
    assert_eq!(kept(&shared), [3 * MIB, 5 * MIB]);
    // In the end it may have all of the quota.
    whole[4 * MIB..]
        .chunks(MIB)
        .for_each(|chunk| upload.write(chunk).unwrap());
    assert_eq!(kept(&shared), [0; 0]);
    publish(upload, digest_of(&whole)).unwrap();
    refused!(
        shared.store.stage(keyed("c", 1, 8 * MIB)),
        StoreError::QuotaExceeded { .. }
    );
}

#[test]
fn a_partial_counts_once_for_the_quota() {
    let shared = Shared::with(|options| options.quota = Some(5 * MIB as u64));
    let whole = content(5 * MIB);
    cut(&shared.store, keyed("a", 1, whole.len()), &whole[..4 * MIB]);
    let mut partial = found(&shared, 1, "a").unwrap();
    read_again(&mut partial);
    let (mut upload, _) = shared
        .store
        .go_on(keyed("a", 1, whole.len()), *partial)
        .unwrap();
    refused!(
        shared.upload("other", &"x".repeat(2 * MIB)),
        StoreError::QuotaExceeded { .. }
    );
    upload.write(&whole[4 * MIB..]).unwrap();
    publish(upload, digest_of(&whole)).unwrap();
}
