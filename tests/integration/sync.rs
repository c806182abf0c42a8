//! `sync`: one folder made like another one, here or on the server, and nothing lost by it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fileshare::client::{
    Client, ClientOptions, Direction, FileReport, Sync, SyncReport, WalkOptions,
};
use fileshare::digest::Hasher;
use fileshare::transfer::Silent;
use fileshare::types::FileName;

use crate::harness::{RunningServer, noise, serve, serve_plaintext, stderr, stdout, text};

/// A server that lets everybody change things, its root, and a folder of a user.
struct Scene {
    root: tempfile::TempDir,
    desk: tempfile::TempDir,
    server: RunningServer,
}

impl Scene {
    fn new() -> Self {
        Self::with(serve)
    }

    fn with(serve: fn(&Path, &[&str]) -> RunningServer) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = serve(root.path(), &["--anonymous", "editor"]);
        Scene {
            root,
            desk: tempfile::tempdir().unwrap(),
            server,
        }
    }

    /// Writes a file of the user's.
    fn here(&self, name: &str, content: impl AsRef<[u8]>) {
        write(&self.desk.path().join(name), content.as_ref());
    }

    /// Puts a file into the root by hand, and waits until it is listed so.
    fn there(&self, name: &str, content: impl AsRef<[u8]>) {
        write(&self.root.path().join(name), content.as_ref());
        let id = Hasher::digest_of(content.as_ref()).to_string();
        for _ in 0..100 {
            let listed = self.ok(&["list"]);
            let mut lines = listed.lines();
            if lines.any(|line| line.starts_with(&id) && line.ends_with(&format!("\t{name}"))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{name} is not listed");
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.server.ok(self.desk.path(), arguments)
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        self.server.fails(self.desk.path(), arguments, code)
    }

    /// That two folders are alike, as another program sees it.
    fn assert_alike(&self, here: &str, there: &str) {
        assert_alike(&self.desk.path().join(here), &self.root.path().join(there));
    }
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn assert_alike(a: &Path, b: &Path) {
    let mut diff = Command::new("diff");
    diff.args(["-r", "--no-dereference", "-x", ".fileshare*"]);
    let output = diff.arg(a).arg(b).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

/// The trees that a run of the local trash has kept.
fn kept(folder: &Path) -> Vec<std::path::PathBuf> {
    let trash = folder.join(".fileshare-trash");
    let runs = std::fs::read_dir(trash).into_iter().flatten();
    runs.map(|run| run.unwrap().path()).collect()
}

#[test]
fn only_what_differs_moves_in_both_directions() {
    let scene = Scene::new();
    scene.here("site/a.txt", "one");
    scene.here("site/deep/b.bin", noise(1, 300_000));
    std::fs::create_dir_all(scene.desk.path().join("site/empty/inside")).unwrap();
    let said = scene.ok(&["sync", "site", "server:www"]);
    assert!(
        said.contains("www/empty/inside/: an empty folder"),
        "{said}"
    );
    scene.assert_alike("site", "www");
    let said = scene.ok(&["sync", "site/", "server:www/"]);
    assert!(
        said.starts_with("2 files, 292.97 KiB, 2 unchanged, 0 B sent"),
        "{said}"
    );

    scene.here("site/a.txt", "two");
    scene.here("site/c", "new");
    let said = scene.ok(&["mirror", "site", "server:www"]);
    assert!(!said.contains("b.bin") && said.contains("www/c"), "{said}");
    scene.assert_alike("site", "www");

    scene.ok(&["sync", "server:www", "copy"]);
    scene.assert_alike("copy", "www");
    scene.there("www/c", "newer");
    scene.there("www/d", "by hand");
    let said = scene.ok(&["sync", "server:www", "copy"]);
    assert!(said.starts_with("www/c: "), "{said}");
    scene.assert_alike("copy", "www");
    let said = scene.ok(&["sync", "server:www", "copy", "--json"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains(r#""action":"sync","files":4,"unchanged":4,"failed":0"#),
        "{said}"
    );
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let scene = Scene::new();
    scene.here("a/new", "new");
    scene.here("a/same", "same");
    scene.ok(&["sync", "a", "server:b"]);
    scene.here("a/same", "other");
    scene.here("a/newer", "newer");
    std::fs::create_dir(scene.desk.path().join("a/folder")).unwrap();
    scene.there("b/extra", "extra");
    let plan = ["sync", "a", "server:b", "--delete", "--dry-run"];
    let said = scene.ok(&plan);
    for line in [
        "b/folder/: would make the folder",
        "b/newer: would transfer 5 B",
        "b/same: would transfer 5 B",
        "would remove b/extra",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let said = scene.ok(&[&plan[..], &["--json"]].concat());
    for line in [
        r#""action":"sync","name":"b/newer","path":"a/newer","id":null,"size":5,"status":"would_transfer""#,
        r#""action":"sync","name":"b/extra","size":5,"status":"would_remove","kept":true"#,
        r#""type":"folder","action":"sync","name":"b/folder","status":"would_make""#,
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(scene.root.path().join("b/extra").exists());
    assert_eq!(
        std::fs::read(scene.root.path().join("b/same")).unwrap(),
        b"same"
    );
    assert!(!scene.root.path().join("b/folder").exists());

    let said = scene.ok(&["sync", "server:b", "a", "--delete", "-n"]);
    for line in [
        "b/extra: would transfer",
        "would remove a/newer",
        "would remove a/folder/",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(scene.desk.path().join("a/newer").exists());
    scene.ok(&["sync", "server:b", "nowhere", "-n"]);
    assert!(!scene.desk.path().join("nowhere").exists());
}

#[test]
fn what_is_removed_is_kept_on_either_side() {
    let scene = Scene::new();
    for name in ["a/keep", "a/gone", "a/old/deep/file"] {
        scene.here(name, name);
    }
    scene.ok(&["sync", "a", "server:a"]);
    scene.ok(&["sync", "server:a", "b"]);
    std::fs::remove_file(scene.desk.path().join("a/gone")).unwrap();
    std::fs::remove_dir_all(scene.desk.path().join("a/old")).unwrap();
    // Without being asked to it removes nothing.
    scene.ok(&["sync", "a", "server:a"]);
    assert!(scene.root.path().join("a/gone").exists());
    let said = scene.ok(&["sync", "a", "server:a", "--delete"]);
    assert!(
        said.contains("removed a/old/deep/file") && said.contains("2 removed"),
        "{said}"
    );
    scene.assert_alike("a", "a");
    let said = scene.ok(&["trash"]);
    assert!(
        said.contains("a/gone") && said.contains("a/old/deep/file"),
        "{said}"
    );

    let output = scene
        .server
        .run(scene.desk.path(), &["sync", "server:a", "b", "--delete"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("what was removed is kept in b/.fileshare-trash/"));
    scene.assert_alike("b", "a");
    let runs = kept(&scene.desk.path().join("b"));
    assert_eq!(runs.len(), 1);
    assert_eq!(
        std::fs::read(runs[0].join("old/deep/file")).unwrap(),
        b"a/old/deep/file"
    );
    // The trash is neither sent nor spoken of.
    let output = scene
        .server
        .run(scene.desk.path(), &["sync", "b", "server:a", "--delete"]);
    assert!(
        stdout(&output).starts_with("1 file, "),
        "{}",
        stdout(&output)
    );
    assert_eq!(stderr(&output), "");

    // The whole command on the server is taken back as one.
    scene.ok(&["undo"]);
    assert!(scene.root.path().join("a/gone").exists());
    assert!(scene.root.path().join("a/old/deep/file").exists());
}

#[test]
fn too_many_removals_or_an_empty_source_change_nothing() {
    let scene = Scene::new();
    for name in ["a/1", "a/2", "a/3", "a/keep"] {
        scene.here(name, name);
    }
    scene.ok(&["sync", "a", "server:"]);
    for name in ["1", "2", "3"] {
        std::fs::remove_file(scene.desk.path().join("a").join(name)).unwrap();
    }
    scene.here("a/new", "new");
    let said = scene.fails(
        &["sync", "a", "server:", "--delete", "--max-delete", "2"],
        6,
    );
    assert!(
        said.contains("3 files and folders would be removed"),
        "{said}"
    );
    assert!(!scene.root.path().join("new").exists());
    let said = scene.fails(
        &[
            "sync",
            "a",
            "server:",
            "--delete",
            "--max-delete",
            "2",
            "-n",
        ],
        6,
    );
    assert!(
        said.contains("3 files and folders would be removed"),
        "{said}"
    );

    std::fs::create_dir(scene.desk.path().join("none")).unwrap();
    let said = scene.fails(&["sync", "none", "server:", "--delete"], 6);
    assert!(said.contains("there is no file in the source"), "{said}");
    let said = scene.fails(&["sync", "missing", "server:", "--delete"], 4);
    assert!(said.contains("missing"), "{said}");
    let said = scene.fails(&["sync", "server:missing", "a", "--delete"], 4);
    assert!(said.contains("missing"), "{said}");
    scene.ok(&["mkdir", "none"]);
    scene.fails(&["sync", "server:none", "a", "--delete"], 6);
    assert!(scene.desk.path().join("a/keep").exists());
    for name in ["1", "2", "3", "keep"] {
        assert!(scene.root.path().join(name).exists(), "{name}");
    }
    let said = scene.ok(&["sync", "a", "server:", "--delete", "--max-delete", "4"]);
    assert!(
        said.contains("3 removed") || said.contains("4 removed"),
        "{said}"
    );
}

#[test]
fn a_file_where_a_folder_must_go_fails_alone_or_gives_way() {
    let scene = Scene::new();
    scene.here("a/x", "a file");
    scene.here("a/y/in", "in a folder");
    scene.here("a/z", "z");
    scene.there("b/x/in", "in a folder");
    scene.there("b/y", "a file");
    let said = scene.fails(&["sync", "a", "server:b"], 9);
    assert!(
        said.contains("b/x is a folder") || said.contains("x is a folder on the server"),
        "{said}"
    );
    assert!(said.contains("y is a file on the server"), "{said}");
    assert!(scene.root.path().join("b/z").exists());
    scene.ok(&["sync", "a", "server:b", "--delete"]);
    scene.assert_alike("a", "b");

    scene.here("c/x/in", "in a folder");
    scene.here("c/y", "a file");
    let said = scene.fails(&["sync", "server:b", "c"], 9);
    assert!(said.contains("c/x is a folder here"), "{said}");
    scene.ok(&["sync", "server:b", "c", "--delete"]);
    scene.assert_alike("c", "b");
    assert_eq!(kept(&scene.desk.path().join("c")).len(), 1);
}

#[test]
fn a_name_that_only_changes_its_case_is_moved() {
    let scene = Scene::new();
    scene.here("a/Docs/readme", "text");
    scene.ok(&["sync", "a", "server:a"]);
    std::fs::rename(
        scene.desk.path().join("a/Docs"),
        scene.desk.path().join("a/docs"),
    )
    .unwrap();
    scene.fails(&["sync", "a", "server:a"], 6);
    scene.ok(&["sync", "a", "server:a", "--delete", "-n"]);
    scene.ok(&["sync", "a", "server:a", "--delete"]);
    scene.assert_alike("a", "a");
}

#[test]
fn what_is_excluded_is_left_alone_on_both_sides() {
    let scene = Scene::new();
    scene.here("a/keep.txt", "k");
    scene.here("a/skip.tmp", "here");
    scene.there("b/other.tmp", "there");
    scene.there("b/sub/other.tmp", "there");
    scene.there("b/sub/gone.txt", "gone");
    scene.ok(&["sync", "a", "server:b", "--delete", "--exclude", "*.tmp"]);
    assert!(!scene.root.path().join("b/skip.tmp").exists());
    assert!(scene.root.path().join("b/sub/other.tmp").exists());
    assert!(!scene.root.path().join("b/sub/gone.txt").exists());
    scene.here("c/mine.tmp", "mine");
    scene.here("c/sub/mine.tmp", "mine");
    scene.here("c/sub/gone.txt", "gone");
    scene.ok(&["sync", "server:b", "c", "--delete", "--exclude", "*.tmp"]);
    assert!(scene.desk.path().join("c/mine.tmp").exists());
    assert!(scene.desk.path().join("c/sub/mine.tmp").exists());
    assert!(!scene.desk.path().join("c/sub/gone.txt").exists());
    assert!(!scene.desk.path().join("c/other.tmp").exists());

    scene.here("d/.ignored", "build/\n*.o\n");
    scene.here("d/main.c", "int main;");
    scene.there("e/build/old", "made there");
    scene.there("e/x.o", "made there");
    scene.there("e/x.c", "gone");
    scene.ok(&[
        "sync",
        "d",
        "server:e",
        "--delete",
        "--ignore-file",
        ".ignored",
    ]);
    assert!(scene.root.path().join("e/build/old").exists());
    assert!(scene.root.path().join("e/x.o").exists());
    assert!(!scene.root.path().join("e/x.c").exists());
}

#[test]
fn times_are_believed_unless_one_asks_for_ids() {
    let scene = Scene::new();
    scene.here("a/f", "one");
    scene.ok(&["sync", "a", "server:a"]);
    let file = scene.desk.path().join("a/f");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    scene.here("a/f", "two");
    let opened = std::fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(before).unwrap();
    scene.ok(&["sync", "a", "server:a"]);
    assert_eq!(
        std::fs::read(scene.root.path().join("a/f")).unwrap(),
        b"one"
    );
    scene.ok(&["sync", "a", "server:a", "--checksum"]);
    assert_eq!(
        std::fs::read(scene.root.path().join("a/f")).unwrap(),
        b"two"
    );
    // Another time is no other content.
    let later = before + Duration::from_secs(100);
    opened.set_modified(later).unwrap();
    let said = scene.ok(&["sync", "a", "server:a"]);
    assert!(
        said.contains("a/f: unchanged") && said.contains("0 B sent"),
        "{said}"
    );
    // The times become alike where they can be set, so that nobody need look again.
    let said = scene.ok(&["sync", "server:a", "a"]);
    assert!(said.contains("a/f: unchanged"), "{said}");
    let said = scene.ok(&["sync", "server:a", "a"]);
    assert!(!said.contains("a/f"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_are_named_and_what_they_hide_is_not_removed() {
    let scene = Scene::new();
    scene.here("a/f", "f");
    scene.there("b/link", "a file there");
    std::os::unix::fs::symlink("f", scene.desk.path().join("a/link")).unwrap();
    let output = scene
        .server
        .run(scene.desk.path(), &["sync", "a", "server:b", "--delete"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("a/link: skipped, a symbolic link"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        std::fs::read(scene.root.path().join("b/link")).unwrap(),
        b"a file there"
    );
    // Down, the link is in the way.
    let said = scene.fails(&["sync", "server:b", "a"], 9);
    assert!(said.contains("a/link here is left as it is"), "{said}");
    assert!(scene.desk.path().join("a/link").is_symlink());
    scene.ok(&["sync", "a", "server:b", "--follow"]);
    assert_eq!(
        std::fs::read(scene.root.path().join("b/link")).unwrap(),
        b"f"
    );
}

#[test]
fn wrong_places_are_said() {
    let scene = Scene::new();
    scene.here("file", "f");
    scene.there("there", "f");
    for (arguments, code) in [
        (&["sync", ".", "."][..], 2),
        (&["sync", "server:a", "server:b"], 2),
        (&["sync", ".", "server:/"], 2),
        (&["sync", "file", "server:"], 6),
        (&["sync", ".", "server:there"], 6),
        (&["sync", "server:there", "."], 6),
        (&["sync", "server:", "file"], 6),
        (&["sync", "server:nothing", "."], 4),
        (&["sync", "nothing", "server:"], 4),
    ] {
        scene.fails(arguments, code);
    }
    let reader = serve(
        scene.root.path().join("sub").as_path(),
        &["--anonymous", "reader"],
    );
    let said = reader.fails(
        scene.desk.path(),
        &["sync", text(scene.desk.path()), "server:"],
        5,
    );
    assert!(said.contains("contributor"), "{said}");
}

/// How much file content crossed the wire, by the summary.
fn sent(said: &str) -> u64 {
    let summary = said.lines().last().unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert_eq!(summary["failed"], 0, "{said}");
    summary["sent"].as_u64().unwrap()
}

#[test]
fn what_was_moved_or_copied_does_not_cross_the_wire() {
    let scene = Scene::new();
    for number in 0..40 {
        let name = format!("a/photos/{number}.jpg");
        scene.here(&name, noise(number, 100_000));
    }
    scene.here("a/small", "small");
    assert_eq!(
        sent(&scene.ok(&["sync", "a", "server:a", "--json"])),
        4_000_005
    );
    scene.ok(&["sync", "server:a", "b"]);
    let path = |name: &str| scene.desk.path().join(name);
    std::fs::rename(path("a/photos"), path("a/pictures")).unwrap();
    std::fs::copy(path("a/pictures/7.jpg"), path("a/copy.jpg")).unwrap();
    scene.here("a/other.jpg", noise(99, 100_000));
    let said = scene.ok(&["sync", "a", "server:a", "--delete", "--json"]);
    assert_eq!(sent(&said), 100_000);
    scene.assert_alike("a", "a");
    let said = scene.ok(&["sync", "server:a", "b", "--delete", "--json"]);
    assert_eq!(sent(&said), 100_000);
    scene.assert_alike("b", "a");
    let said = scene.ok(&["sync", "server:a", "b", "--json"]);
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[cfg(unix)]
#[test]
fn the_executable_bit_alone_moves_without_the_content() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    scene.here("a/tool", noise(1, 200_000));
    scene.ok(&["sync", "a", "server:a"]);
    scene.ok(&["sync", "server:a", "b"]);
    let tool = scene.desk.path().join("a/tool");
    let is_executable = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o100 != 0;
    for executable in [true, false] {
        let mode = if executable { 0o755 } else { 0o644 };
        std::fs::set_permissions(&tool, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(sent(&scene.ok(&["sync", "a", "server:a", "--json"])), 0);
        assert_eq!(is_executable(&scene.root.path().join("a/tool")), executable);
        assert_eq!(sent(&scene.ok(&["sync", "server:a", "b", "--json"])), 0);
        assert_eq!(is_executable(&scene.desk.path().join("b/tool")), executable);
        let said = scene.ok(&["sync", "server:a", "b", "--json"]);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// Killed again and again in the middle, and run once more: what was complete does not come twice,
/// and nothing is left over.
#[test]
fn a_killed_sync_goes_on_where_it_stopped() {
    for up in [true, false] {
        let scene = Scene::new();
        for number in 0..60 {
            let content = noise(number, 50_000);
            match up {
                true => scene.here(&format!("a/{number}"), content),
                false => write(&scene.root.path().join(format!("a/{number}")), &content),
            }
        }
        let big = noise(100, 8 * 1024 * 1024);
        match up {
            true => scene.here("a/big", &big),
            false => scene.there("a/big", &big),
        }
        let arguments = match up {
            true => ["sync", "a", "server:a"],
            false => ["sync", "server:a", "a"],
        };
        for _ in 0..3 {
            let slowly = [&arguments[..], &["--limit-rate", "2M"]].concat();
            let mut child = scene
                .server
                .client(scene.desk.path(), &slowly)
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(1200));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let last = [&arguments[..], &["--json"]].concat();
        let moved = sent(&scene.ok(&last));
        assert!(moved < 8_000_000, "{up}: {moved} bytes in the last run");
        scene.assert_alike("a", "a");
        let mut names = std::fs::read_dir(scene.desk.path().join("a")).unwrap();
        let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
        assert!(names.all(|entry| !hidden(&entry.unwrap().file_name())));
        let said = scene.ok(&last);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// Somebody changes the destination while the sync is under way: that file alone is left alone.
#[test]
fn what_changes_meanwhile_is_a_conflict_of_that_file_alone() {
    for up in [true, false] {
        let scene = Scene::new();
        for name in ["first", "second"] {
            scene.here(&format!("a/{name}"), noise(1, 1_000_000));
        }
        scene.ok(&["sync", "a", "server:a"]);
        scene.ok(&["sync", "server:a", "b"]);
        for (number, name) in (10..).zip(["first", "second"]) {
            scene.here(&format!("a/{name}"), noise(number, 1_000_000));
        }
        if !up {
            scene.ok(&["sync", "a", "server:a"]);
        }
        let arguments = match up {
            true => ["sync", "a", "server:a"],
            false => ["sync", "server:a", "b"],
        };
        let slowly = [&arguments[..], &["--limit-rate", "500K"]].concat();
        let mut command = scene.server.client(scene.desk.path(), &slowly);
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        // The first one is under way, and takes two seconds.
        std::thread::sleep(Duration::from_millis(1000));
        let second = match up {
            true => scene.root.path().join("a/second"),
            false => scene.desk.path().join("b/second"),
        };
        std::fs::write(&second, "by somebody else").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(9), "{up}: {}", stderr(&output));
        assert!(stdout(&output).contains("a/first: "), "{}", stdout(&output));
        assert!(stderr(&output).contains("second"), "{}", stderr(&output));
        assert_eq!(std::fs::read(&second).unwrap(), b"by somebody else");
    }
}

/// Two desks and a server, edited at random and made alike in turn; another program compares them.
#[tokio::test]
async fn whatever_is_done_to_a_folder_the_others_become_like_it() {
    let rounds = std::env::var("SYNC_ROUNDS").map_or(25, |rounds| rounds.parse().unwrap());
    let scene = Scene::with(serve_plaintext);
    let options = ClientOptions {
        plaintext: true,
        ..ClientOptions::default()
    };
    let mut client = Client::new(scene.server.address().parse().unwrap(), options);
    let mut dice = Dice(0x5eed);
    for round in 0..rounds {
        // Alternately the one and the other is edited.
        let (from, to) = match round % 2 {
            0 => ("one", "two"),
            _ => ("two", "one"),
        };
        let from = scene.desk.path().join(from);
        let to = scene.desk.path().join(to);
        std::fs::create_dir_all(&from).unwrap();
        for _ in 0..dice.below(12) {
            edit_at_random(&from, &mut dice);
        }
        // An empty source is refused, and for that there are other tests.
        write(&from.join("always"), b"here");
        let mut sync = Sync {
            direction: Direction::Up,
            local: from.clone(),
            remote: Some(FileName::parse("shared").unwrap()),
            walk: WalkOptions::default(),
            checksum: dice.below(4) == 0,
            delete: true,
            max_delete: None,
            dry_run: false,
        };
        for (direction, local) in [(Direction::Up, &from), (Direction::Down, &to)] {
            sync.direction = direction;
            sync.local = local.clone();
            let mut failed = Vec::new();
            let mut report = |report| match report {
                SyncReport::File(FileReport {
                    outcome: Err(error),
                    ..
                })
                | SyncReport::Made {
                    outcome: Err(error),
                    ..
                }
                | SyncReport::Removed {
                    outcome: Err(error),
                    ..
                } => failed.push(error),
                _ => {}
            };
            let progress = Arc::new(Silent);
            client.sync(&sync, progress, &mut report).await.unwrap();
            assert!(
                failed.is_empty(),
                "round {round}, {direction:?}: {failed:?}"
            );
            assert_alike(local, &scene.root.path().join("shared"));
        }
        assert_eq!(listed(&from), listed(&to), "round {round}");
    }
}

/// Everything in a folder, with its permissions, as `find` sees it.
fn listed(folder: &Path) -> Vec<String> {
    let mut find = Command::new("find");
    find.current_dir(folder)
        .args([".", "-name", ".fileshare*", "-prune", "-o"]);
    find.args([
        "(",
        "-type",
        "f",
        "-printf",
        "%P %m %s\n",
        "-o",
        "-type",
        "d",
        "-printf",
        "%P/\n",
        ")",
    ]);
    let output = find.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Does something to a tree of few names, so that they are often in each other's way. What cannot
/// be done is not done.
fn edit_at_random(top: &Path, dice: &mut Dice) {
    const NAMES: [&str; 10] = [
        "a", "b", "a/b", "a/b/c", "b/ä", "c/d", "c/d/e f", "Ç", "c/-x", "d/e/f/g",
    ];
    let mut name = || top.join(NAMES[dice.below(NAMES.len() as u64) as usize]);
    let (one, other) = (name(), name());
    let size = [0, 10, 10, 40_000, 1_500_000][dice.below(5) as usize];
    let _ = match dice.below(8) {
        0..=2 => {
            let _ = std::fs::create_dir_all(one.parent().unwrap());
            std::fs::write(&one, noise(dice.below(50), size))
        }
        3 => std::fs::create_dir_all(&one),
        4 => std::fs::remove_file(&one),
        5 => std::fs::remove_dir_all(&one),
        6 => std::fs::rename(&one, &other),
        _ => {
            use std::os::unix::fs::PermissionsExt;
            let mode = if dice.below(2) == 0 { 0o644 } else { 0o755 };
            match one.is_file() {
                true => std::fs::set_permissions(&one, PermissionsExt::from_mode(mode)),
                false => Ok(()),
            }
        }
    };
}

/// `--if-match` on everything that has it: another version is left alone, and a folder has none.
#[test]
fn only_the_version_that_is_meant_is_changed() {
    let scene = Scene::new();
    scene.here("f", "new");
    scene.there("f", "old");
    scene.there("folder/in", "x");
    let other = format!("--if-match={}", Hasher::digest_of(b"other"));
    let right = format!("--if-match={}", Hasher::digest_of(b"old"));
    for arguments in [&["put", "f"][..], &["rename", "f", "g"], &["remove", "f"]] {
        scene.fails(&[arguments, &[&other]].concat(), 6);
        scene.fails(&[arguments, &[&other, "-n"]].concat(), 6);
    }
    scene.fails(&["put", "f", "--as", "none", &other], 6);
    for arguments in [&["rename", "folder", "g"][..], &["remove", "-r", "folder"]] {
        let said = scene.fails(&[arguments, &[&other]].concat(), 2);
        assert!(said.contains("only files have versions"), "{said}");
    }
    assert_eq!(std::fs::read(scene.root.path().join("f")).unwrap(), b"old");
    scene.ok(&["rename", "f", "g", &right]);
    scene.ok(&["put", "f", "--as", "g", &right]);
    assert_eq!(std::fs::read(scene.root.path().join("g")).unwrap(), b"new");
    scene.fails(&["remove", "g", &right], 6);
}

#[test]
fn of_a_large_file_only_the_changed_part_moves() {
    let scene = Scene::new();
    let mut content = noise(1, 6 * 1024 * 1024);
    scene.here("a/big", &content);
    scene.ok(&["sync", "a", "server:a"]);
    scene.ok(&["sync", "server:a", "b"]);
    content[3_000_000] ^= 1;
    content.splice(100..100, *b"inserted");
    scene.here("a/big", &content);
    // Of a file that has just changed the server does not know for sure what it is.
    let big = std::fs::File::options()
        .write(true)
        .open(scene.desk.path().join("a/big"))
        .unwrap();
    big.set_modified(SystemTime::now() - Duration::from_secs(3600))
        .unwrap();
    let moved = sent(&scene.ok(&["sync", "a", "server:a", "--json"]));
    assert!((1..1_500_000).contains(&moved), "{moved}");
    scene.assert_alike("a", "a");
    let before = std::fs::read(scene.desk.path().join("b/big")).unwrap();
    let said = scene.ok(&["sync", "server:a", "b", "-n"]);
    assert!(said.starts_with("a/big: would transfer"), "{said}");
    assert!(std::fs::read(scene.desk.path().join("b/big")).unwrap() == before);
    let moved = sent(&scene.ok(&["sync", "server:a", "b", "--json"]));
    assert!((1..1_500_000).contains(&moved), "{moved}");
    scene.assert_alike("b", "a");
}

/// Folders go only when nothing at all is in them: not what no listing shows, nor what came since.
#[test]
fn what_nobody_has_looked_at_stays() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    scene.here("a/kept", "kept");
    scene.there("a/full/x", "x");
    scene.there("a/gone/deep/y", "y");
    let full = scene.root.path().join("a/full");
    for odd in [&b"line\nbreak"[..], b"\xff"] {
        std::fs::write(full.join(OsStr::from_bytes(odd)), "precious").unwrap();
    }
    std::os::unix::fs::symlink("nowhere", full.join("link")).unwrap();
    scene.ok(&["sync", "a", "server:a", "--delete", "--max-delete", "2"]);
    assert!(!full.join("x").exists());
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 3);
    assert!(!scene.root.path().join("a/gone").exists());
    // All that was removed comes back.
    scene.ok(&["undo"]);
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 4);
    assert!(scene.root.path().join("a/gone/deep/y").exists());
}

/// An empty folder that goes comes back, too.
#[test]
fn undo_brings_empty_folders_back() {
    let scene = Scene::new();
    scene.here("a/kept", "kept");
    scene.ok(&["mkdir", "a/empty/deep"]);
    scene.ok(&["sync", "a", "server:a", "--delete"]);
    assert!(!scene.root.path().join("a/empty").exists());
    scene.ok(&["undo"]);
    assert!(scene.root.path().join("a/empty/deep").is_dir());
}
