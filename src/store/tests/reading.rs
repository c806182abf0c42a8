use std::io::Read;

use super::*;
use crate::digest::{Block, BlockSize};
use crate::store::Signed;

#[test]
fn reads_what_was_stored() {
    let shared = Shared::new();
    shared.upload("a", "content").unwrap();
    let mut stored = shared.store.open_file(&file("a")).unwrap();
    assert_eq!(stored.entry.id, Some(id("content")));
    let mut text = String::new();
    stored.read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    stored.check_unchanged().unwrap();
    shared
        .store
        .make_folder(&name("d"), false, &Cause::default())
        .unwrap();
    refused!(
        shared.store.open_file(&file("d")),
        StoreError::IsFolder { .. }
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let shared = Shared::new();
    shared.upload("a", "content").unwrap();
    let stored = shared.store.open_file(&file("a")).unwrap();
    std::fs::write(shared.path().join("a"), "CONTENT").unwrap();
    refused!(
        stored.check_unchanged(),
        StoreError::ChangedMeanwhile { .. }
    );
}

#[test]
fn a_file_that_is_replaced_or_removed_is_read_to_its_end() {
    let shared = Shared::new();
    shared.upload("a", "old").unwrap();
    shared.upload("b", "gone").unwrap();
    let mut old = shared.store.open_file(&file("a")).unwrap();
    let mut gone = shared.store.open_file(&file("b")).unwrap();
    upload(&shared.store, with("a", OnConflict::Overwrite), "new").unwrap();
    shared.remove("b", false).unwrap();
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    gone.read_to_string(&mut text).unwrap();
    assert_eq!(text, "oldgone");
    old.check_unchanged().unwrap();
    gone.check_unchanged().unwrap();
}

#[test]
fn a_digest_seen_in_passing_is_remembered() {
    let shared = Shared::new();
    // Too large to be hashed at once, sparse so that it costs nothing to make.
    let path = shared.path().join("large");
    std::fs::File::create(&path)
        .unwrap()
        .set_len(65 << 20)
        .unwrap();
    make_old(&path);
    let stored = shared.store.open_file(&file("large")).unwrap();
    assert_eq!(stored.entry.id, None);
    let digest = id("whatever the reader computed");
    stored.digest_seen(digest);
    eventually(|| {
        shared
            .store
            .open_file(&file("large"))
            .unwrap()
            .entry
            .id
            .is_some()
    });
    assert_eq!(shared.entry("large").id, Some(digest));
}

#[test]
fn blocks_are_told_in_hops_and_only_of_one_version() {
    let shared = Shared::new();
    let content = "0123456789abcdef".repeat(400_000);
    shared.upload("a", &content).unwrap();
    let size = BlockSize::new(BlockSize::MIN).unwrap();
    let mut expected = Vec::new();
    size.cut(content.as_bytes(), true, &mut |block| {
        expected.push(Block::of(block));
    });
    let sign = || shared.store.sign(&file("a"), size).unwrap();
    let (mut signing, mut told, mut hops) = (sign(), Vec::new(), 0);
    loop {
        match signing.read_on().unwrap() {
            Signed::Blocks(blocks) => told.extend(blocks),
            Signed::Busy => unreachable!("nobody else hashes"),
            Signed::End => break,
        }
        hops += 1;
    }
    assert_eq!(told, expected);
    assert!(hops > 1);
    // Whoever changes the file in the middle is noticed at the end.
    let mut signing = sign();
    assert!(matches!(signing.read_on(), Ok(Signed::Blocks(_))));
    let changed = std::fs::File::options()
        .append(true)
        .open(shared.path().join("a"));
    std::io::Write::write_all(&mut changed.unwrap(), b"more").unwrap();
    let ended = loop {
        match signing.read_on() {
            Ok(Signed::Blocks(_)) => {}
            ended => break ended,
        }
    };
    refused!(ended, StoreError::ChangedMeanwhile { .. });
}
