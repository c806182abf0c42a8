//! The table "Who may know whom" of docs/ARCHITECTURE.md, kept: the `use` lines are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every room and what it may import, from the table in the document.
fn floors() -> BTreeMap<String, usize> {
    let document = std::fs::read_to_string("docs/ARCHITECTURE.md").unwrap();
    let (_, rest) = document.split_once("## Who may know whom").unwrap();
    let (_, rest) = rest.split_once("```text\n").unwrap();
    let (table, _) = rest.split_once("```").unwrap();
    let mut floors = BTreeMap::new();
    for line in table.lines() {
        let (floor, rooms) = line.split_once("  ").unwrap();
        let rooms = rooms.trim().split("  ").next().unwrap();
        for room in rooms.split([' ', '·']).filter(|room| !room.is_empty()) {
            floors.insert(room.to_owned(), floor.trim().parse().unwrap());
        }
    }
    floors
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The room that a file below `src` belongs to.
fn room(file: &Path) -> String {
    let first = file.strip_prefix("src").unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names with `crate::ROOM` or, in a program, `fileshare::ROOM`.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for root in ["crate::", "fileshare::"] {
        for (at, _) in text.match_indices(root) {
            let rest = &text[at + root.len()..];
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            rooms.push(rest[..end].to_owned());
        }
    }
    rooms
}

#[test]
fn imports_go_down_and_never_up_or_sideways() {
    let floors = floors();
    let mut seen = BTreeMap::new();
    for file in rust_files(Path::new("src")) {
        let from = room(&file);
        if from == "lib" {
            continue;
        }
        let floor = floors.get(&from);
        let floor = floor.unwrap_or_else(|| panic!("{from} is not in the table"));
        seen.insert(from.clone(), ());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains("crate::{"),
            "{}: one room a line",
            file.display()
        );
        for to in imports(&text) {
            let Some(below) = floors.get(&to) else {
                continue;
            };
            assert!(
                to == from || below < floor || (from == "bin" && to == "cli"),
                "{} (floor {floor}) imports {to} (floor {below})",
                file.display()
            );
        }
    }
    for room in floors.keys() {
        assert!(
            seen.contains_key(room),
            "{room} is in the table and not in src"
        );
    }
}

/// What must not be named where, with the reason in docs/ARCHITECTURE.md, "Absences".
#[test]
fn what_is_absent_stays_absent() {
    let only_in = [
        ("bincode::", &["src/protocol/codec.rs"][..]),
        ("clap::", &["src/cli/", "src/bin/"]),
        ("rustyline::", &["src/cli/"]),
        ("indicatif::", &["src/cli/"]),
        ("anyhow::", &["src/cli/", "src/bin/"]),
        ("println!", &["src/cli/", "src/bin/"]),
        ("print!", &["src/cli/", "src/bin/"]),
        ("rusqlite::", &["src/store/"]),
        ("md5::", &["src/digest/"]),
        (
            "serde::",
            &["src/protocol/", "src/net/", "src/cli/", "src/server/"],
        ),
        (
            "tokio::",
            &[
                "src/net/",
                "src/transfer/",
                "src/server/",
                "src/client/",
                "src/cli/",
                "src/bin/",
            ],
        ),
        ("StoreError", &["src/store/", "src/server/"]),
    ];
    for file in rust_files(Path::new("src")) {
        let path = file.to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for (word, places) in only_in {
            let allowed = places.iter().any(|place| path.starts_with(place));
            let used = text.lines().any(|line| {
                let line = line.trim_start();
                let at = line.find(word);
                // Part of a longer word (`eprintln!`), or only mentioned in a comment.
                let whole = at.is_some_and(|at| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                });
                whole && !line.starts_with("//")
            });
            assert!(allowed || !used, "{path} names {word}");
        }
        assert!(
            path == "src/digest/lanes.rs" || !text.contains("unsafe ") || text.contains("`unsafe"),
            "{path} has unsafe code"
        );
    }
}

#[test]
fn there_are_no_rooms_without_a_subject() {
    for file in rust_files(Path::new("src")) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "helpers", "helper", "common", "misc"].contains(&stem),
            "{}: a homeless function is a missing type",
            file.display()
        );
    }
}
