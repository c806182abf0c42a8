use std::os::unix::fs::MetadataExt;

use super::*;

fn announced(text: &str, size: u64) -> NewFile {
    NewFile {
        size: Some(size),
        ..new(text)
    }
}

fn staged_bytes(shared: &Shared) -> u64 {
    let staging = std::fs::read_dir(shared.path().join(".fileshare/staging")).unwrap();
    staging
        .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

#[test]
fn who_announces_much_and_sends_little_holds_little() {
    const MIB: u64 = 1024 * 1024;
    let shared = Shared::with(|options| options.quota = Some(100 * MIB));
    let mut silent = shared.store.stage(announced("silent", 90 * MIB)).unwrap();
    let other = shared.store.stage(announced("other", 90 * MIB)).unwrap();
    assert_eq!(staged_bytes(&shared), 0);
    silent.write(b"x").unwrap();
    let held = staged_bytes(&shared);
    assert!(held <= 8 * MIB, "{held}");
    drop(other);
    // What nobody could ever store fails before a byte is sent.
    refused!(
        shared.store.stage(announced("hopeless", 101 * MIB)),
        StoreError::QuotaExceeded { .. }
    );
    // The announced room is still there for others, and what is taken is taken from the first.
    let block = vec![0; MIB as usize];
    let mut real = shared.store.stage(announced("real", 60 * MIB)).unwrap();
    for _ in 0..60 {
        real.write(&block).unwrap();
    }
    let stored = publish(real, Digest::Md5([1; 16])).unwrap();
    assert_eq!(stored.size, 60 * MIB);
    let mut written = 0;
    let refused = loop {
        match silent.write(&block) {
            Ok(()) => written += MIB,
            refused => break refused,
        }
    };
    refused!(refused, StoreError::QuotaExceeded { .. });
    assert!(written > 30 * MIB && written < 90 * MIB, "{written}");
    drop(silent);
    assert_eq!(staged_bytes(&shared), 0);
    upload(&shared.store, announced("last", 3), "abc").unwrap();
}

#[test]
fn a_staging_folder_that_somebody_removed_is_made_again() {
    let shared = Shared::new();
    shared.upload("d/a", "1").unwrap();
    let own = shared.path().join(".fileshare");
    std::fs::remove_dir_all(own.join("staging")).unwrap();
    shared.upload("b", "2").unwrap();
    assert_eq!(shared.read("b"), "2");
    std::fs::remove_dir_all(own.join("staging")).unwrap();
    shared.remove("d", true).unwrap();
    assert_eq!(shared.names(), ["b"]);
}

#[test]
fn a_large_file_s_id_is_told_to_who_asks_again() {
    let shared = Shared::new();
    let path = shared.path().join("large");
    let large = std::fs::File::create(&path).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    make_old(&path);
    assert_eq!(shared.entry("large").id, None);
    eventually(|| shared.entry("large").id.is_some());
}
