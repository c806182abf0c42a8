//! Folders and globs: whole trees there and back, compared by tools that are not ours.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use fileshare::client::{Client, ClientOptions, Source, Tree, Upload, WalkOptions};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Progress;
use fileshare::types::{OnConflict, Precondition};
use serde_json::Value;

use crate::harness::{CLIENT, RunningServer, noise, serve, serve_plaintext, stderr, stdout};
use crate::tools::proxy::{Direction, Fault, Proxy};

/// A server whose anonymous clients may do everything, and a folder to work in.
struct Site {
    root: tempfile::TempDir,
    desk: tempfile::TempDir,
    server: RunningServer,
}

impl Site {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = serve(root.path(), &[&["--anonymous", "editor"], options].concat());
        Site {
            root,
            desk: tempfile::tempdir().unwrap(),
            server,
        }
    }

    fn desk(&self) -> &Path {
        self.desk.path()
    }

    /// Writes local files, each with its own name in it; a slash at the end makes a folder.
    fn write(&self, names: &[&str]) {
        for name in names {
            let path = self.desk().join(name);
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap();
                continue;
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.server.ok(self.desk(), arguments)
    }

    /// What a client that must fail with this code says of it.
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let said = self.server.fails(self.desk(), arguments, code);
        let errors = said
            .lines()
            .filter(|line| !line.starts_with("First contact"));
        errors.collect::<Vec<_>>().join("\n")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.server.run(self.desk(), arguments)
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--json"]].concat());
        let lines = stdout(&output);
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The names on the server.
    fn stored(&self) -> Vec<String> {
        let lines = self.ok(&["list"]);
        let names = lines
            .lines()
            .map(|line| line.split('\t').nth(3).unwrap().to_owned());
        names.collect()
    }
}

/// Names, kinds, sizes, times to the nanosecond, and executable bits of all that is in a folder, as
/// `find` tells them.
fn found(folder: &Path) -> String {
    let output = Command::new("find")
        .arg(folder)
        .args(["-mindepth", "1", "-name", ".fileshare", "-prune", "-o"])
        .args([
            "-mindepth",
            "1",
            "-type",
            "f",
            "-printf",
            "%P %y %s %T@ %M\\0",
            "-o",
        ])
        .args(["-mindepth", "1", "-printf", "%P %y\\0"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<&str> = text.split('\0').filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Whether `diff -r` finds the trees to be the same.
fn differ(one: &Path, other: &Path) -> String {
    let output = Command::new("diff")
        .args(["-r", "--no-dereference", "-x", ".fileshare"])
        .args([one, other])
        .output()
        .unwrap();
    format!("{}{}", stdout(&output), stderr(&output))
}

fn assert_same(one: &Path, other: &Path) {
    assert_eq!(differ(one, other), "");
    assert_eq!(found(one), found(other));
}

#[test]
fn a_tree_goes_there_and_back_as_it_is() {
    let site = Site::with(&["--names", "native"]);
    site.write(&[
        "tree/a.txt",
        "tree/docs/deep/b.txt",
        "tree/docs/-rf",
        "tree/docs/--help",
        "tree/it's \"quoted\" $(x) `y` & ; |",
        "tree/\u{1f680} caf\u{e9} \u{6f22}\u{5b57}",
        "tree/ space /  ",
        "tree/*/?[x]",
        "tree/back\\slash",
        "tree/empty/",
        "tree/docs/none/at/all/",
        "tree/.hidden/.file",
    ]);
    let tree = site.desk().join("tree");
    fs::write(tree.join("zero"), "").unwrap();
    fs::write(tree.join("large"), noise(1, 3 << 20)).unwrap();
    fs::set_permissions(tree.join("docs/-rf"), fs::Permissions::from_mode(0o755)).unwrap();
    let old = fs::File::options()
        .append(true)
        .open(tree.join("a.txt"))
        .unwrap();
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(981_173_106, 789_000_001))
        .unwrap();
    site.ok(&["put", "tree", "-q"]);
    assert_same(&tree, &site.root.path().join("tree"));
    // As the new name, and into a folder.
    site.ok(&["get", "tree", "-o", "new", "-q"]);
    assert_same(&tree, &site.desk().join("new"));
    site.ok(&["get", "tree", "-o", "into/", "-q"]);
    assert_same(&tree, &site.desk().join("into/tree"));
    site.ok(&["get", "tree", "-o", "new", "-q"]);
    assert_same(&tree, &site.desk().join("new/tree"));
    // The same again is not sent again.
    let lines = site.json(&["put", "tree", "--on-conflict", "overwrite"]);
    let summary = lines.last().unwrap();
    assert_eq!(summary["unchanged"], summary["files"]);
    assert_eq!(summary["sent"], 0);
    let lines = site.json(&["get", "tree", "-o", "into", "--on-conflict", "overwrite"]);
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["unchanged"], &summary["sent"]),
        (&summary["files"], &0.into())
    );
}

#[test]
fn a_folder_has_its_base_name_a_new_one_or_none() {
    let site = Site::new();
    site.write(&["dir/sub/f", "dir/sub/none/"]);
    for (arguments, expected) in [
        (&["put", "dir/sub"][..], ["sub/f", "sub/none/"]),
        (
            &["put", "dir/sub/", "--to", "a"],
            ["a/sub/f", "a/sub/none/"],
        ),
        (&["put", "dir/sub", "--as", "b/c"], ["b/c/f", "b/c/none/"]),
        (&["put", "dir/sub/.", "--to", "d"], ["d/f", "d/none/"]),
    ] {
        let before = site.stored();
        site.ok(arguments);
        let mut new = site.stored();
        new.retain(|name| !before.contains(name));
        assert_eq!(new, expected, "{arguments:?}");
    }
    let root = Site::new();
    root.write(&["f", "none/"]);
    root.ok(&["put", "."]);
    assert_eq!(root.stored(), ["f", "none/"]);
    root.write(&["bare/"]);
    root.ok(&["put", "bare"]);
    assert_eq!(root.stored(), ["bare/", "f", "none/"]);
}

#[test]
fn globs_mean_the_same_on_both_sides() {
    let site = Site::new();
    site.write(&[
        "a.txt",
        "b.txt",
        "c.pdf",
        ".d.txt",
        "docs/e.txt",
        "docs/deep/f.txt",
        "docs/deep/g",
    ]);
    site.ok(&["put", "*.txt", "?.pdf", "-q"]);
    assert_eq!(site.stored(), ["a.txt", "b.txt", "c.pdf"]);
    assert!(
        site.fails(&["put", "*.jpg"], 4)
            .contains("nothing here matches '*.jpg'")
    );
    site.ok(&["put", "docs", "-q"]);
    let landed = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let output = site.server.run(folder.path(), arguments);
        let mut paths: Vec<String> = found(folder.path())
            .lines()
            .filter_map(|line| line.split_once(" f ").map(|(path, _)| path.to_owned()))
            .collect();
        paths.sort();
        (output.status.code().unwrap(), paths.join(" "))
    };
    for (arguments, code, expected) in [
        (&["get", "*.txt"][..], 0, "a.txt b.txt"),
        (&["get", "*.txt", "c.*"], 0, "a.txt b.txt c.pdf"),
        (&["get", "[ab].txt", "-o", "x"], 0, "x/a.txt x/b.txt"),
        (&["get", "docs/*"], 0, "deep/f.txt deep/g e.txt"),
        (&["get", "docs/**"], 0, "deep/f.txt deep/g e.txt"),
        (&["get", "**/*.txt"], 0, "a.txt b.txt e.txt f.txt"),
        (&["get", "d*s"], 0, "docs/deep/f.txt docs/deep/g docs/e.txt"),
        (
            &["get", "docs", "--include", "*.txt"],
            0,
            "docs/deep/f.txt docs/e.txt",
        ),
        (&["get", "docs", "--exclude", "/deep"], 0, "docs/e.txt"),
        (
            &["get", "*", "--exclude", "deep", "--exclude", "*.pdf"],
            0,
            "a.txt b.txt docs/e.txt",
        ),
        (
            &["get", "docs/", "-o", "y/z"],
            0,
            "y/z/deep/f.txt y/z/deep/g y/z/e.txt",
        ),
        (&["get", "a.txt/"], 4, ""),
        (&["get", "*.jpg", "a.txt"], 9, "a.txt"),
        (&["get", "docs", "a.txt", "-o", "-"], 9, ""),
        (
            &["get", "docs", "no", "a.txt"],
            9,
            "a.txt docs/deep/f.txt docs/deep/g docs/e.txt",
        ),
    ] {
        assert_eq!(
            landed(arguments),
            (code, expected.to_owned()),
            "{arguments:?}"
        );
    }
    assert_eq!(site.ok(&["get", "[ab].txt", "-o", "-"]), "a.txtb.txt");
    // A name that is there is no glob.
    site.write(&["[ab].txt"]);
    site.ok(&["put", "[ab].txt", "--as", "x[1]"]);
    site.write(&["x1"]);
    site.ok(&["put", "x1", "-q"]);
    assert!(!site.ok(&["remove", "x[1]"]).contains("x1"));
    site.ok(&["remove", "*.txt", "-q"]);
    assert_eq!(
        site.stored(),
        [
            "c.pdf",
            "docs/deep/f.txt",
            "docs/deep/g",
            "docs/e.txt",
            "x1"
        ]
    );
    assert!(
        site.fails(&["remove", "d*", "x*"], 9)
            .contains("-r to remove a folder")
    );
    site.ok(&["remove", "-r", "d*"]);
    assert_eq!(site.stored(), ["c.pdf"]);
}

#[test]
fn prompt_script_and_one_shot_read_the_same() {
    let site = Site::new();
    site.write(&["tree/a b.txt", "tree/c.txt", "tree/d/e.txt"]);
    fs::write(
        site.desk().join("script"),
        "put tree/*.txt --to \"in here\"\nput 'tree/d' --exclude x\ncd 'in here'\nget '*' -o \"back to\"\nlist --exclude 'a*'\n",
    )
    .unwrap();
    let script = fs::File::open(site.desk().join("script")).unwrap();
    let output = site
        .server
        .client(site.desk(), &[])
        .stdin(script)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        site.stored(),
        ["d/e.txt", "in here/a b.txt", "in here/c.txt"]
    );
    assert!(site.desk().join("back to/a b.txt").exists());
    let listed = stdout(&output);
    assert_eq!(
        listed
            .lines()
            .filter(|line| line.contains("\tin here/"))
            .count(),
        1
    );
}

#[test]
fn links_and_pipes_are_skipped_and_named() {
    let site = Site::new();
    site.write(&["tree/a", "outside"]);
    let tree = site.desk().join("tree");
    symlink("a", tree.join("in")).unwrap();
    symlink("../outside", tree.join("out")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    symlink(".", tree.join("loop")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(tree.join("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let said = site.ok(&["put", "tree"]);
    for name in ["in", "out", "dangling", "loop"] {
        let line = format!("tree/{name}: skipped, a symbolic link (--follow follows it)");
        assert!(said.contains(&line), "{said}");
    }
    assert!(
        said.contains("tree/fifo: skipped, not a regular file"),
        "{said}"
    );
    assert!(said.contains("1 file, 6 B, 5 skipped"), "{said}");
    assert_eq!(site.stored(), ["tree/a"]);
    let lines = site.json(&["put", "tree", "--as", "followed", "--follow"]);
    let status = |name: &str| {
        let line = lines
            .iter()
            .find(|line| line["name"] == format!("followed/{name}"));
        line.map(|line| line["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(status("in").as_deref(), Some("done"));
    for name in ["out", "dangling", "loop", "fifo"] {
        assert_eq!(status(name).as_deref(), Some("skipped"), "{name}");
    }
    let line = lines
        .iter()
        .find(|line| line["name"] == "followed/out")
        .unwrap();
    assert_eq!(line["reason"], "a symbolic link that leads out of the tree");
    assert_eq!(site.stored(), ["followed/a", "followed/in", "tree/a"]);
}

#[test]
fn what_is_in_the_way_fails_alone() {
    let site = Site::new();
    site.write(&[
        "t/a/x",
        "t/b",
        "t/c",
        "t/README",
        "t/readme",
        "clash/t/a",
        "clash/t/b/y",
    ]);
    fs::write(site.desk().join("t").join(OsStr::from_bytes(b"\xff")), "").unwrap();
    fs::write(site.desk().join("t/e\u{301}"), "decomposed").unwrap();
    fs::write(site.desk().join("t/\u{e9}"), "composed").unwrap();
    let said = site.fails(&["put", "t"], 9);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(said.contains("its name is not UTF-8"), "{said}");
    assert!(said.contains("in its Unicode form only"), "{said}");
    assert!(said.contains("differs"), "{said}");
    let stored = site.stored();
    assert_eq!(stored.len(), 5, "{stored:?}");
    assert!(stored.contains(&"t/\u{e9}".to_owned()));
    // A file where a folder must go, and the reverse, there and here.
    let said = site.fails(&["put", "clash/t"], 6);
    assert_eq!(said.lines().count(), 2, "{said}");
    site.write(&["here/t/a", "here/t/b/y"]);
    let said = site.fails(&["get", "t", "-o", "here", "--exclude", "[Rr]*"], 9);
    assert!(
        said.contains("here/t/a/x: a file or a link is where a folder must go")
            || said.contains("here/t/a: a file or a link is where a folder must go"),
        "{said}"
    );
    assert!(said.contains("here/t/b is a folder, not a file"), "{said}");
    assert!(site.desk().join("here/t/c").exists());
    assert!(site.desk().join("here/t/b/y").exists());
    site.write(&["file"]);
    assert!(
        site.fails(&["get", "t", "-o", "file"], 6)
            .contains("a file is where a folder must go")
    );
    assert!(
        site.fails(&["get", "t", "-o", "file/"], 6)
            .contains("a folder must go there")
    );
}

#[test]
fn nothing_is_written_through_a_link_in_the_target() {
    let site = Site::new();
    site.write(&["t/a/x", "t/f", "elsewhere/"]);
    site.ok(&["put", "t", "-q"]);
    let elsewhere = site.desk().join("elsewhere");
    fs::create_dir_all(site.desk().join("in/t")).unwrap();
    symlink(&elsewhere, site.desk().join("in/t/a")).unwrap();
    symlink(elsewhere.join("f"), site.desk().join("in/t/f")).unwrap();
    let arguments = [
        "get",
        "t",
        "-o",
        "in",
        "--on-conflict",
        "overwrite",
        "--failed",
        "list",
    ];
    let said = site.fails(&arguments, 9);
    assert!(said.contains("a link"), "{said}");
    let again = ["get", "--retry-from", "list", "--on-conflict", "overwrite"];
    assert!(site.fails(&again, 6).contains("a link"));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!(fs::read(site.desk().join("in/t/f")).unwrap(), b"t/f");
    assert!(
        fs::symlink_metadata(site.desk().join("in/t/a"))
            .unwrap()
            .is_symlink()
    );
    // The user's own way to the folder may be a link.
    symlink("in", site.desk().join("way")).unwrap();
    site.ok(&["get", "t/f", "-o", "way/new/", "-q"]);
    assert!(site.desk().join("in/new/f").exists());
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let site = Site::new();
    site.write(&["t/a", "t/deep/b", "t/none/", "t/c"]);
    site.write(&["other/c"]);
    site.ok(&["put", "other/c", "--to", "t"]);
    let before = found(site.root.path());
    let lines = site.json(&["put", "t", "-n"]);
    let statuses: Vec<_> = lines
        .iter()
        .filter_map(|line| line["status"].as_str())
        .collect();
    let count = |status: &str| statuses.iter().filter(|it| **it == status).count();
    assert_eq!(
        (
            count("would_transfer"),
            count("failed"),
            count("would_make")
        ),
        (2, 1, 1)
    );
    assert_eq!(found(site.root.path()), before);
    site.ok(&["put", "t", "--on-conflict", "overwrite"]);
    let before = found(site.desk());
    for place in ["t", "new", "new/", "no/such/"] {
        let output = site.run(&["get", "t", "-o", place, "-n"]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{place}: {}",
            stderr(&output)
        );
        assert_eq!(
            stdout(&output).matches("would transfer").count(),
            3,
            "{place}"
        );
        assert_eq!(stdout(&output).matches("would make").count(), 1);
    }
    assert_eq!(found(site.desk()), before);
    assert!(
        site.fails(&["get", "t/*", "-o", "t", "-n"], 6)
            .contains("with the same content")
    );
}

#[test]
fn a_list_of_what_failed_is_taken_up_again() {
    let site = Site::new();
    let odd = OsStr::from_bytes(b"bad\xff\n\tname");
    site.write(&["t/a", "t/with\\slash", "t/deep/c", "taken/a"]);
    fs::write(site.desk().join("t").join(odd), "odd").unwrap();
    site.ok(&["put", "taken/a", "--to", "t"]);
    // Not portable, not UTF-8, and taken.
    site.fails(&["put", "t", "--failed", "list"], 9);
    let list = fs::read_to_string(site.desk().join("list")).unwrap();
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains("t/with\\\\slash\t"), "{list}");
    assert!(list.contains("/t/./bad\\xff\\n\\tname"), "{list}");
    site.fails(&["put", "--retry-from", "list", "--failed", "list"], 9);
    let same = fs::read_to_string(site.desk().join("list")).unwrap();
    assert_eq!(same, list);
    let again = [
        "put",
        "--retry-from",
        "list",
        "--on-conflict",
        "overwrite",
        "--failed",
        "list",
    ];
    site.fails(&again, 9);
    let list = fs::read_to_string(site.desk().join("list")).unwrap();
    assert_eq!(list.lines().count(), 3, "{list}");
    assert_eq!(fs::read(site.root.path().join("t/a")).unwrap(), b"t/a");
    // The same for downloads, with a list made by hand, too.
    fs::create_dir_all(site.desk().join("in/t")).unwrap();
    fs::write(site.desk().join("in/t/a"), "mine").unwrap();
    site.fails(&["get", "t", "-o", "in", "--failed", "list"], 9);
    fs::remove_file(site.desk().join("in/t/a")).unwrap();
    site.ok(&["get", "--retry-from", "list", "--failed", "list"]);
    assert_eq!(fs::read(site.desk().join("in/t/a")).unwrap(), b"t/a");
    let list = fs::read_to_string(site.desk().join("list")).unwrap();
    assert_eq!(list.lines().count(), 0, "{list}");
    fs::write(
        site.desk().join("mine"),
        "# mine\nt/deep/c\n\nt/a\tinto/new\n",
    )
    .unwrap();
    site.ok(&["get", "--retry-from", "mine"]);
    assert!(site.desk().join("c").exists() && site.desk().join("into/new").exists());
    fs::write(site.desk().join("broken"), "t/a\\q\n").unwrap();
    assert!(
        site.fails(&["get", "--retry-from", "broken"], 2)
            .contains("line 1")
    );
    site.fails(&["get", "t", "--retry-from", "mine"], 2);
    site.fails(&["put"], 2);
    // When nobody can be reached, everything is still to be done.
    let address = "127.0.0.1:9";
    let mut lost = site
        .server
        .client_by(address, site.desk(), &["put", "t", "--failed", "lost"]);
    assert_eq!(lost.output().unwrap().status.code(), Some(3));
    let list = fs::read_to_string(site.desk().join("lost")).unwrap();
    assert_eq!(list.lines().count(), 5, "{list}");
}

#[test]
fn ignore_files_and_filters_are_heeded_by_put_list_and_verify() {
    let site = Site::new();
    site.write(&["p/src/main.c", "p/src/main.o", "p/build/x", "p/notes"]);
    fs::write(site.desk().join("p/.gitignore"), "/build\n*.o\n").unwrap();
    site.ok(&[
        "put",
        "p",
        "--ignore-file",
        ".gitignore",
        "--exclude",
        "notes",
        "-q",
    ]);
    assert_eq!(site.stored(), ["p/.gitignore", "p/src/main.c"]);
    let rest = [
        "verify",
        "p",
        "--exclude",
        "notes",
        "--exclude",
        "build",
        "--exclude",
        "*.o",
    ];
    site.ok(&rest);
    site.fails(&["verify", "p"], 4);
    let listed = site.ok(&["list", "--include", "*.c"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let listed = site.ok(&["list", "p", "--exclude", "/p/src"]);
    assert!(
        listed.contains(".gitignore") && listed.lines().count() == 1,
        "{listed}"
    );
    assert!(
        site.fails(&["put", "p", "--exclude", "[a"], 2)
            .contains("[a")
    );
    site.fails(&["put", "p", "--ignore-file", "a/b"], 2);
}

/// What cannot be read keeps nothing else from going. The tests run as root, whom permissions do
/// not stop: so the client runs as nobody, where the system allows that.
#[test]
fn unreadable_things_fail_alone() {
    if !rustix::process::geteuid().is_root() {
        return unreadable(&Site::new(), &[]);
    }
    unreadable(
        &Site::new(),
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ],
    );
}

fn unreadable(site: &Site, way: &[&str]) {
    site.write(&["t/a", "t/secret", "t/locked/b"]);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for open in [site.desk(), site.server.config()] {
        mode(open, 0o777);
    }
    mode(&site.desk().join("t/secret"), 0);
    mode(&site.desk().join("t/locked"), 0);
    // The client is copied to where anybody may run it.
    let program = site.desk().join("client");
    fs::copy(CLIENT, &program).unwrap();
    let mut command = match way {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    let address = site.server.address();
    let output = command
        .args(["--server", &address, "put", "t"])
        .env("XDG_CONFIG_HOME", site.server.config())
        .env("XDG_STATE_HOME", site.server.config())
        .current_dir(site.desk())
        .output()
        .unwrap();
    let said = stderr(&output);
    mode(&site.desk().join("t/locked"), 0o755);
    assert_eq!(output.status.code(), Some(9), "{said}");
    assert!(said.contains("t/secret: Permission denied"), "{said}");
    assert!(said.contains("t/locked: Permission denied"), "{said}");
    assert_eq!(said.matches("check the permissions").count(), 2, "{said}");
    assert_eq!(site.stored(), ["t/a"]);
}

/// Thousands of files are one batch, and what a listing has told of is not asked for again.
#[test]
fn thousands_of_small_files_are_one_batch() {
    let root = tempfile::tempdir().unwrap();
    let options = ["--anonymous", "editor", "--durability", "none"];
    let server = serve_plaintext(root.path(), &options);
    let desk = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        let folder = desk.path().join(format!("many/{:02}", number % 50));
        fs::create_dir_all(folder.join(format!("empty-{}", number % 7))).unwrap();
        fs::write(folder.join(format!("{number}.txt")), number.to_string()).unwrap();
    }
    let run = |arguments: &[&str]| {
        let proxy = Proxy::start(server.address(), |_, _| Fault::None);
        let mut client = server.client_by(proxy.address(), desk.path(), arguments);
        let output = client.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        proxy.seen(Direction::ToServer).len()
    };
    run(&["put", "many", "-q"]);
    assert_same(&desk.path().join("many"), &root.path().join("many"));
    run(&["get", "many", "-o", "back", "-q"]);
    assert_same(&desk.path().join("many"), &desk.path().join("back"));
    // Each of them exists here already, and none is named to the server for that.
    let skipping = ["get", "many/*", "-o", "back", "--on-conflict", "skip", "-q"];
    let said = run(&[&skipping[..], &["-n"]].concat());
    assert!(said < 1000, "{said} bytes");
    let said = run(&skipping);
    assert!(said < 1000, "{said} bytes");
}

/// What vanishes or changes between the walk and its turn fails alone, and says so.
#[tokio::test]
async fn what_vanishes_or_changes_meanwhile_fails_alone() {
    let site = Site::with(&["--plaintext"]);
    site.write(&["t/a", "t/gone", "t/link", "outside"]);
    fs::write(site.desk().join("t/grows"), noise(3, 8 << 20)).unwrap();
    let top = site.desk().join("t");
    let tree = Tree::read(&top, &WalkOptions::default()).await.unwrap();
    fs::remove_file(top.join("gone")).unwrap();
    fs::remove_file(top.join("link")).unwrap();
    symlink("../outside", top.join("link")).unwrap();
    let options = ClientOptions {
        plaintext: true,
        ..ClientOptions::default()
    };
    let mut client = Client::new(site.server.address().parse().unwrap(), options);
    let uploads = tree.files.iter().map(|file| Upload {
        source: Source::Tree(tree.top.clone(), file.place.clone()),
        name: file.name.clone(),
        on_conflict: OnConflict::Error,
        precondition: Precondition::default(),
        basis: None,
    });
    let mut codes = Vec::new();
    let grower = Arc::new(Grows(top.join("grows")));
    client
        .put(uploads.collect(), false, grower, &mut |file| {
            let code = file.outcome.map(|_| ()).map_err(|failure| failure.code);
            codes.push((file.name.to_string(), code));
        })
        .await
        .unwrap();
    codes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        codes,
        [
            ("a".to_owned(), Ok(())),
            ("gone".to_owned(), Err(ErrorCode::NotFound)),
            ("grows".to_owned(), Err(ErrorCode::Conflict)),
            ("link".to_owned(), Err(ErrorCode::Usage)),
        ]
    );
    assert_eq!(site.stored(), ["a"]);
}

/// Appends to a file as soon as something of it has gone.
struct Grows(PathBuf);

impl Progress for Grows {
    fn batch(&self, _files: u64, _bytes: u64) {}
    fn begin(&self, _index: u32, _label: &str, _size: Option<u64>, _offset: u64) {}
    fn advance(&self, _index: u32, bytes: u64) {
        if bytes > 1000 {
            let mut file = fs::File::options().append(true).open(&self.0).unwrap();
            file.write_all(b"more").unwrap();
        }
    }
    fn end(&self, _index: u32) {}
    fn note(&self, _text: &str) {}
}
