//! The server confined to its own folders (Landlock): that it is, and that it does all its work so.
//!
//! What a confined process cannot do is tested beside the code, in `cli/server/confine.rs`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{RunningServer, SERVER, clean, noise, start, text};

/// Whether this kernel can confine a server. Says so when it cannot.
fn kernel_confines() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let can = ruleset.handle_access(AccessFs::from_all(ABI::V2)).is_ok();
    if !can {
        eprintln!("SKIPPED: this kernel has no Landlock with REFER");
    }
    can
}

/// A server whose log goes to a file.
fn serve_logging(log: &Path, arguments: &[&str]) -> RunningServer {
    let mut command: Command = clean(SERVER);
    command
        .args(["--port", "0"])
        .args(arguments)
        .env("RUST_LOG", "debug")
        .stderr(File::options().create(true).append(true).open(log).unwrap());
    start(command)
}

#[test]
fn every_thread_of_a_server_is_confined_and_info_says_so() {
    let confines = kernel_confines();
    let (root, desk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve_logging(&desk.path().join("log"), &[text(root.path())]);
    fs::write(desk.path().join("file"), noise(1, 3_000_000)).unwrap();
    server.ok(desk.path(), &["put", "file"]);
    let info = server.ok(desk.path(), &["info", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["confined"], confines);
    assert!(info["free"].is_number());
    let said = server.ok(desk.path(), &["info"]);
    assert!(
        said.contains("confined      to its own folders\n") == confines,
        "{said}"
    );
    if !confines {
        return;
    }
    // Confinement comes with this mark, and threads inherit both: one that was started before
    // would have neither.
    for thread in fs::read_dir(format!("/proc/{}/task", server.id())).unwrap() {
        let status = thread.unwrap().path().join("status");
        // A thread may have ended meanwhile.
        let Ok(status) = fs::read_to_string(status) else {
            continue;
        };
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
}

/// Everything that the store does, with a look at the log for whatever was denied.
fn a_whole_life(root: &Path, state: Option<&Path>) {
    let desk = tempfile::tempdir().unwrap();
    let log = desk.path().join("log");
    let mut options = vec!["--anonymous", "editor", "--quota", "20M"];
    if let Some(state) = state {
        options.extend(["--state-dir", text(state)]);
    }
    options.push(text(root));
    let mut server = serve_logging(&log, &options);
    let here = desk.path();
    for (name, size) in [
        ("empty", 0),
        ("small", 10),
        ("large", 5_000_000),
        ("three", 300_000),
    ] {
        fs::write(here.join(name), noise(size as u64, size)).unwrap();
    }
    server.ok(here, &["put", "empty", "small", "large"]);
    server.ok(here, &["put", "three", "--to", "tree/deep/deeper/deepest"]);
    server.ok(
        here,
        &[
            "put",
            "small",
            "--as",
            "large",
            "--on-conflict",
            "overwrite",
        ],
    );
    server.ok(here, &["put", "large", "--on-conflict", "overwrite"]);
    server.ok(here, &["mkdir", "made/by/hand"]);
    server.ok(here, &["rename", "small", "made/small"]);
    server.ok(here, &["rename", "tree/deep", "made/deep"]);
    let moved = "made/deep/deeper/deepest/three";
    server.ok(here, &["get", "made/small", "large", moved, "-o", "back/"]);
    for name in ["small", "large", "three"] {
        let back = fs::read(here.join("back").join(name)).unwrap();
        assert!(back == fs::read(here.join(name)).unwrap(), "{name}");
    }
    server.ok(here, &["verify", "large"]);
    fs::write(here.join("huge"), noise(9, 21_000_000)).unwrap();
    server.fails(here, &["put", "huge"], 8);
    // A tree with things in it that the server does not share goes away whole.
    let fifo = root.join("made/fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    std::os::unix::fs::symlink("/etc", root.join("made/link")).unwrap();
    server.ok(here, &["remove", "-r", "made"]);
    assert!(!root.join("made").exists());
    // By hand, and a hidden state folder removed and made again.
    fs::write(root.join("by hand"), "by hand").unwrap();
    assert_eq!(server.ok(here, &["cat", "by hand"]), "by hand");
    if state.is_none() {
        fs::remove_dir_all(root.join(".fileshare/staging")).unwrap();
        server.ok(here, &["put", "small"]);
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());

    // The index damaged: made anew, and the file hashed again.
    let state = state.map_or(root.join(".fileshare"), Path::to_owned);
    fs::write(state.join("index.sqlite"), noise(7, 100_000)).unwrap();
    let server = serve_logging(&log, &options);
    let listed = server.ok(here, &["list", "large"]);
    assert!(listed.contains("\t5000000\t"), "{listed}");
    server.ok(here, &["verify", "large"]);
    server.ok(here, &["put", "small", "--as", "after"]);
    drop(server);

    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("stored"), "{log}");
    assert!(!log.contains("denied"), "{log}");
    assert!(!log.contains("WARN") || log.contains("damaged"), "{log}");
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_confined_server_does_all_its_work_with_its_state_in_the_root() {
    kernel_confines();
    a_whole_life(folder().path(), None);
}

#[test]
fn a_confined_server_does_all_its_work_with_its_state_elsewhere() {
    kernel_confines();
    let (root, state) = (folder(), folder());
    a_whole_life(root.path(), Some(&state.path().join("made")));
}

#[test]
fn a_confined_server_does_all_its_work_between_two_file_systems() {
    kernel_confines();
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("SKIPPED: there is no second file system at /dev/shm");
        return;
    };
    a_whole_life(folder().path(), Some(memory.path()));
    let (root, state) = (tempfile::tempdir_in("/dev/shm").unwrap(), folder());
    a_whole_life(root.path(), Some(state.path()));
}

/// The file that `--config` names may be anywhere, and so may the folder in which it starts.
#[test]
fn a_confined_server_may_have_been_told_everything_by_paths_from_elsewhere() {
    kernel_confines();
    let (place, desk) = (folder(), folder());
    fs::create_dir(place.path().join("etc")).unwrap();
    fs::write(
        place.path().join("etc/conf.toml"),
        "max-file-size = \"1K\"\n",
    )
    .unwrap();
    std::os::unix::fs::symlink("real", place.path().join("root")).unwrap();
    fs::create_dir(place.path().join("real")).unwrap();
    let mut command = clean(SERVER);
    command
        .args(["--port", "0", "--config", "../etc/conf.toml", "../root"])
        .args(["--state-dir", "../state"])
        .env("RUST_LOG", "warn")
        .current_dir(place.path().join("real"));
    let server = start(command);
    fs::write(desk.path().join("small"), noise(1, 1024)).unwrap();
    fs::write(desk.path().join("large"), noise(1, 1025)).unwrap();
    server.ok(desk.path(), &["put", "small"]);
    server.fails(desk.path(), &["put", "large"], 8);
    assert!(place.path().join("real/small").exists());
    assert!(place.path().join("state/index.sqlite").exists());
}
