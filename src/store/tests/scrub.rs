use std::fs;
use std::os::unix::fs::FileExt;

use super::*;

#[derive(Default)]
struct Found {
    damaged: Vec<String>,
    others: Vec<String>,
    whole: usize,
}

impl ScrubWatch for Found {
    fn begin(&mut self, _: u32, _: &FileName, _: u64) {}

    fn read(&mut self, _: u32, _: u64) {}

    fn end(&mut self, _: u32, name: &FileName, _: u64, finding: Finding) {
        match finding {
            Finding::Whole => self.whole += 1,
            Finding::Damaged { .. } => self.damaged.push(name.as_str().to_owned()),
            Finding::Changed | Finding::Unreadable(_) => self.others.push(name.as_str().to_owned()),
        }
    }

    fn stops(&self) -> bool {
        false
    }
}

fn scrub(shared: &Shared) -> Found {
    let mut found = Found::default();
    let scrub = Scrub::open(shared.path(), None, None).unwrap();
    scrub.run(&mut found).unwrap();
    found
}

/// Changes bytes of a file so that nothing but its content tells.
fn rot(shared: &Shared, below: &str, change: impl FnOnce(&fs::File)) {
    let path = shared.path().join(below);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let file = fs::File::options()
        .write(true)
        .read(true)
        .open(path)
        .unwrap();
    change(&file);
    file.set_modified(modified).unwrap();
}

#[test]
fn damage_is_found_told_and_gone_with_a_new_upload() {
    let shared = Shared::new();
    for text in ["d/flipped", "d/swapped", "d/whole", "changed"] {
        shared.upload(text, "0123456789").unwrap();
    }
    assert_eq!(scrub(&shared).whole, 4);
    rot(&shared, "d/flipped", |file| {
        file.write_all_at(b"x", 5).unwrap()
    });
    rot(&shared, "d/swapped", |file| {
        file.write_all_at(b"10", 0).unwrap()
    });
    shared.write("changed", "by hand");
    // While it is being served.
    let found = scrub(&shared);
    assert_eq!(found.damaged, ["d/flipped", "d/swapped"]);
    let facts = shared.store.facts().unwrap();
    assert_eq!(facts.damaged, [name("d/flipped"), name("d/swapped")]);
    assert_eq!(facts.damaged_files, 2);
    // It goes along with the file, …
    shared.rename("d", "e").unwrap();
    let shared = shared.reopened();
    assert_eq!(
        shared.store.facts().unwrap().damaged,
        [name("e/flipped"), name("e/swapped")]
    );
    // … and goes with an upload, a removal, or when the bytes are right again.
    upload(
        &shared.store,
        with("e/flipped", OnConflict::Overwrite),
        "0123456789",
    )
    .unwrap();
    assert_eq!(shared.store.facts().unwrap().damaged, [name("e/swapped")]);
    rot(&shared, "e/swapped", |file| {
        file.write_all_at(b"01", 0).unwrap()
    });
    assert!(scrub(&shared).damaged.is_empty());
    assert!(shared.store.facts().unwrap().damaged.is_empty());
}

#[test]
fn a_file_that_was_cut_by_hand_is_changed_and_not_damaged() {
    let shared = Shared::new();
    shared.upload("a", "0123456789").unwrap();
    rot(&shared, "a", |file| file.set_len(3).unwrap());
    let found = scrub(&shared);
    assert!(found.damaged.is_empty());
}

#[test]
fn what_was_never_served_cannot_be_compared() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Scrub::open(directory.path(), None, None);
    assert!(matches!(opened, Err(OpenError::NeverServed { .. })));
    let gone = Scrub::open(&directory.path().join("gone"), None, None);
    assert!(matches!(gone, Err(OpenError::NotFolder { .. })));
    assert!(!directory.path().join("gone").exists());
}
