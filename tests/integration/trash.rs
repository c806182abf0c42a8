//! Trash, undo and scrub with real programs: contract section 10.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{RunningServer, SERVER, clean, serve, stderr, stdout, text};

struct Setting {
    root: tempfile::TempDir,
    desk: tempfile::TempDir,
    server: RunningServer,
}

impl Setting {
    fn with(options: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = serve(root.path(), &[&["--anonymous", "editor"], options].concat());
        Setting {
            root,
            desk: tempfile::tempdir().unwrap(),
            server,
        }
    }

    fn restarted(self, between: impl FnOnce(&Path)) -> Self {
        let Setting { root, desk, server } = self;
        drop(server);
        between(root.path());
        Setting {
            server: serve(root.path(), &["--anonymous", "editor"]),
            root,
            desk,
        }
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.desk.path().join("file");
        std::fs::write(&path, content).unwrap();
        // A young file could have been changed again without anybody being able to tell.
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(old).unwrap();
        self.ok(&["put", "file", "--as", name, "--on-conflict", "overwrite"]);
    }

    fn stored(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.root.path().join(name)).ok()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.server.ok(self.desk.path(), arguments)
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        self.server.fails(self.desk.path(), arguments, code)
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self
            .server
            .run(self.desk.path(), &[arguments, &["--json"]].concat());
        lines(&output)
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = stdout(output);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_was_overwritten_comes_back() {
    let setting = Setting::with(&[]);
    setting.put("docs/a", "one");
    setting.put("docs/a", "two");
    setting.put("docs/a", "three");
    let listed = setting.ok(&["trash"]);
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert_eq!((rows[0][0], rows[0][1], rows[0][4]), ("1", "3", "docs/a"));
    assert_eq!((rows[1][0], rows[1][1]), ("2", "3"));
    setting.ok(&["restore", "docs/a", "--version", "2", "-n"]);
    assert_eq!(setting.stored("docs/a").unwrap(), "three");
    setting.ok(&["restore", "docs/a", "--version", "2"]);
    assert_eq!(setting.stored("docs/a").unwrap(), "one");
    let kept = setting.json(&["trash", "docs"]);
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0]["type"], "kept");
    assert!(setting.fails(&["restore", "docs/b"], 4).contains("trash"));
    setting.fails(&["trash", "no*"], 4);
    assert!(setting.ok(&["info"]).contains("trash         2 files"));
}

#[test]
fn a_whole_batch_that_was_removed_comes_back_after_a_restart_without_the_index() {
    let setting = Setting::with(&[]);
    for number in 0..20 {
        setting.put(&format!("docs/deep/{number}"), &number.to_string());
    }
    setting.put("single", "1");
    setting.ok(&["remove", "-r", "docs", "single"]);
    let setting = setting.restarted(|root| {
        for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = std::fs::remove_file(root.join(".fileshare").join(file));
        }
    });
    assert_eq!(setting.ok(&["trash"]).lines().count(), 21);
    assert_eq!(setting.ok(&["undo", "-n"]).lines().count(), 2);
    let undone = setting.json(&["undo"]);
    assert_eq!(undone.len(), 3);
    assert_eq!(undone[0]["status"], "restored");
    assert_eq!(undone[2]["type"], "summary");
    assert_eq!(setting.stored("docs/deep/17").unwrap(), "17");
    assert_eq!(setting.stored("single").unwrap(), "1");
    // The next undo takes the command before back.
    setting.ok(&["undo"]);
    assert_eq!(setting.stored("single"), None);
}

#[test]
fn undo_leaves_what_somebody_changed_meanwhile() {
    let setting = Setting::with(&[]);
    std::fs::write(setting.desk.path().join("a"), "mine").unwrap();
    std::fs::write(setting.desk.path().join("b"), "mine").unwrap();
    setting.ok(&["put", "a", "b"]);
    std::fs::write(setting.root.path().join("a"), "by hand").unwrap();
    let said = setting.fails(&["undo"], 9);
    assert!(said.contains("it was changed since"), "{said}");
    assert_eq!(setting.stored("a").unwrap(), "by hand");
    assert_eq!(setting.stored("b"), None);
    // As long as it is in the way, no earlier command is taken for the last one.
    assert!(setting.fails(&["undo"], 6).contains("it was changed since"));
    std::fs::remove_file(setting.root.path().join("a")).unwrap();
    setting.fails(&["undo"], 6);
    assert!(setting.fails(&["undo"], 4).contains("no command"));
}

#[test]
fn the_same_content_again_repairs_what_is_damaged() {
    let setting = Setting::with(&[]);
    let source = setting.desk.path().join("good");
    std::fs::write(&source, "as it was").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let age = |path: &std::path::Path| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    age(&source);
    setting.ok(&["put", "good", "--as", "aged"]);
    let aged = setting.root.path().join("aged");
    setting.ok(&["stat", "aged"]);
    std::fs::write(&aged, "as it Was").unwrap();
    age(&aged);
    let scrubbed = crate::harness::clean(crate::harness::SERVER)
        .args(["scrub", crate::harness::text(setting.root.path())])
        .output()
        .unwrap();
    assert_eq!(scrubbed.status.code(), Some(7));
    assert!(setting.ok(&["info"]).contains("aged"));
    setting.ok(&["put", "good", "--on-conflict", "overwrite", "--as", "aged"]);
    assert_eq!(std::fs::read(&aged).unwrap(), b"as it was");
    assert!(setting.ok(&["info"]).contains("nothing known"));
}

#[test]
fn contributors_undo_their_own_and_see_no_trash() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &["--anonymous", "contributor"]);
    std::fs::write(desk.path().join("a"), "1").unwrap();
    server.ok(desk.path(), &["put", "a"]);
    server.ok(desk.path(), &["rename", "a", "b"]);
    server.ok(desk.path(), &["undo"]);
    assert!(root.path().join("a").exists());
    server.ok(desk.path(), &["undo"]);
    assert!(!root.path().join("a").exists());
    let said = server.fails(desk.path(), &["trash"], 5);
    assert!(said.contains("editor"), "{said}");
    server.fails(desk.path(), &["restore", "a"], 5);
}

#[test]
fn remove_says_when_something_is_not_kept() {
    let setting = Setting::with(&["--keep-removed-size", "10"]);
    setting.put("small", "1");
    setting.put("large", "12345678901");
    let said = setting.ok(&["remove", "-n", "large"]);
    assert!(said.contains("would not be kept"), "{said}");
    assert!(setting.ok(&["remove", "large"]).contains("is not kept"));
    let removed = setting.json(&["remove", "small"]);
    assert_eq!(removed[0]["kept"], true);
    assert_eq!(setting.ok(&["trash"]).lines().count(), 1);
}

fn scrub(root: &Path, more: &[&str]) -> Output {
    clean(SERVER)
        .args(["scrub", text(root)])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn rot(path: &Path) {
    let modified = path.metadata().unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"X", 1).unwrap();
    file.set_modified(modified).unwrap();
}

#[test]
fn a_scrub_names_the_damage_while_serving_and_not_and_info_lists_it() {
    let setting = Setting::with(&[]);
    setting.put("docs/good", "good");
    setting.put("docs/bad", "good");
    let whole = scrub(setting.root.path(), &[]);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    rot(&setting.root.path().join("docs/bad"));
    let found = scrub(setting.root.path(), &["--json"]);
    assert_eq!(found.status.code(), Some(7), "{}", stderr(&found));
    let told = lines(&found);
    assert_eq!(told[0]["type"], "scrub");
    assert_eq!(told[0]["name"], "docs/bad");
    assert_eq!(told[0]["status"], "damaged");
    assert_eq!(
        (told[1]["action"].as_str(), told[1]["failed"].as_u64()),
        (Some("scrub"), Some(1))
    );
    assert!(setting.ok(&["info"]).contains("docs/bad"));
    assert_eq!(setting.json(&["info"])[0]["damaged"]["files"], 1);
    setting.fails(&["get", "docs/bad"], 7);
    let Setting { root, desk, server } = setting;
    drop(server);
    let found = scrub(root.path(), &[]);
    assert_eq!(found.status.code(), Some(7));
    assert!(stdout(&found).contains("damaged: docs/bad"));
    let setting = Setting {
        server: serve(root.path(), &["--anonymous", "editor"]),
        root,
        desk,
    };
    assert_eq!(setting.json(&["info"])[0]["damaged"]["files"], 1);
    setting.put("docs/bad", "good again");
    assert_eq!(setting.json(&["info"])[0]["damaged"]["files"], 0);
    assert_eq!(scrub(setting.root.path(), &[]).status.code(), Some(0));
}

#[test]
fn a_scrub_can_be_interrupted() {
    let setting = Setting::with(&[]);
    setting.put("a", &"x".repeat(4 << 20));
    let mut child = Command::new(SERVER)
        .args(["scrub", "--limit-rate", "1K", text(setting.root.path())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has caught signals once the file is being read; until then they would kill it.
    let pid = rustix::process::Pid::from_child(&child);
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0
    };
    while !caught() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_was_never_served_is_not_scrubbed() {
    let root = tempfile::tempdir().unwrap();
    let output = scrub(root.path(), &[]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("never served"));
}
