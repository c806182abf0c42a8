//! The main job with real programs: contract sections 3 to 6, command by command.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{RunningServer, md5, noise, serve, stderr, stdout, text};

/// A server whose anonymous clients may do everything, and an empty folder to work in.
struct Setting {
    root: tempfile::TempDir,
    desk: tempfile::TempDir,
    server: RunningServer,
}

impl Setting {
    fn new() -> Self {
        Self::with(&["--anonymous", "editor"])
    }

    fn with(options: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = serve(root.path(), options);
        Setting {
            root,
            desk: tempfile::tempdir().unwrap(),
            server,
        }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.desk.path().join(name), content).unwrap();
    }

    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.path().join(name)).ok()
    }

    fn local(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.desk.path().join(name)).ok()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.server.ok(self.desk.path(), arguments)
    }

    fn fails(&self, arguments: &[&str], code: i32) -> String {
        self.server.fails(self.desk.path(), arguments, code)
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.server.run(self.desk.path(), &arguments);
        stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn every_size_goes_there_and_back() {
    let setting = Setting::new();
    let sizes = [
        0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1_048_575, 1_048_577, 5_000_000,
    ];
    let names: Vec<String> = sizes.iter().map(|size| format!("s{size}")).collect();
    for (name, size) in names.iter().zip(sizes) {
        setting.write(name, noise(size as u64, size));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    setting.ok(&[&["put"][..], &names].concat());
    setting.ok(&["verify"]);
    setting.ok(&[&["get", "-o", "back/"][..], &names].concat());
    for name in names {
        let sent = setting.local(name).unwrap();
        assert!(setting.stored(name).unwrap() == sent, "{name} there");
        let back = setting.local(&format!("back/{name}")).unwrap();
        assert!(back == sent, "{name} back");
    }
}

#[test]
fn a_listing_in_a_pipe_is_tab_separated_and_its_ids_are_what_md5sum_prints() {
    let setting = Setting::new();
    setting.write("b.txt", "bb");
    setting.write("a.txt", "a");
    let output = setting.server.run(setting.desk.path(), &["list"]);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("No files available at the moment."));
    setting.ok(&["put", "b.txt", "a.txt", "--to", "docs"]);
    setting.ok(&["mkdir", "empty/inside"]);
    let listing = setting.ok(&["LIST_FILES"]);
    let rows: Vec<Vec<&str>> = listing
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let id = md5(&setting.desk.path().join("a.txt"));
    assert_eq!(rows[0][..2], [id.as_str(), "1"]);
    assert_eq!(rows[0][3], "docs/a.txt");
    assert!(rows[0][2].ends_with('Z'));
    assert_eq!(rows[1][3], "docs/b.txt");
    assert_eq!(rows[2], ["-", "-", "-", "empty/inside/"]);
    let by_size = setting.ok(&["ls", "--sort", "size", "--reverse", "docs"]);
    assert!(by_size.lines().next().unwrap().ends_with("docs/b.txt"));
    setting.fails(&["list", "no*"], 4);
}

#[test]
fn names_are_never_replaced_unasked() {
    let setting = Setting::new();
    setting.write("a", "one");
    setting.ok(&["put", "a"]);
    assert!(setting.fails(&["put", "a"], 6).contains("same content"));
    setting.write("a", "two");
    assert!(setting.fails(&["put", "a"], 6).contains("other content"));
    assert_eq!(setting.stored("a").unwrap(), b"one");
    let skipped = setting.json(&["put", "a", "--on-conflict", "skip"]);
    assert_eq!(skipped[0]["status"], "skipped");
    setting.ok(&["put", "a", "--on-conflict", "rename"]);
    assert_eq!(setting.stored("a (1)").unwrap(), b"two");
    setting.ok(&["put", "a", "--on-conflict", "overwrite"]);
    assert_eq!(setting.stored("a").unwrap(), b"two");
    let unchanged = setting.json(&["put", "a", "--on-conflict", "overwrite"]);
    assert_eq!(unchanged[0]["status"], "unchanged");
    assert_eq!(unchanged[1]["sent"], 0);

    setting.write("a", "mine");
    setting.fails(&["get", "a"], 6);
    assert_eq!(setting.local("a").unwrap(), b"mine");
    setting.ok(&["get", "a", "--on-conflict", "rename"]);
    assert_eq!(setting.local("a (1)").unwrap(), b"two");
    setting.ok(&["get", "a", "--on-conflict", "overwrite"]);
    assert_eq!(setting.local("a").unwrap(), b"two");
    setting.fails(&["rename", "a", "a (1)"], 6);
}

#[test]
fn only_the_version_that_was_meant_is_touched() {
    let setting = Setting::new();
    setting.write("a", "one");
    setting.ok(&["put", "a"]);
    let one = md5(&setting.desk.path().join("a"));
    setting.write("a", "two");
    let two = md5(&setting.desk.path().join("a"));
    setting.fails(&["remove", "a", "--if-match", &two], 6);
    setting.fails(&["rename", "a", "b", "--if-match", &two], 6);
    setting.fails(&["put", "a", "--if-match", &two], 6);
    assert_eq!(setting.stored("a").unwrap(), b"one");
    setting.ok(&["put", "a", "--if-match", &one]);
    setting.ok(&["rename", "a", "b", "--if-match", &two]);
    setting.ok(&["remove", "b", "--if-match", &two]);
    assert_eq!(setting.stored("b"), None);
}

#[test]
fn a_dry_run_changes_nothing() {
    let setting = Setting::new();
    setting.write("a", "one");
    let lines = setting.json(&["put", "-n", "a"]);
    assert_eq!(lines[0]["status"], "would_transfer");
    assert_eq!(setting.stored("a"), None);
    setting.ok(&["put", "a"]);
    setting.ok(&["rename", "-n", "a", "b"]);
    setting.ok(&["mkdir", "--dry-run", "d"]);
    let lines = setting.json(&["rm", "-n", "a"]);
    assert_eq!(lines[0]["status"], "would_remove");
    let lines = setting.json(&["get", "-n", "a", "-o", "c"]);
    assert_eq!(lines[0]["status"], "would_transfer");
    assert_eq!(setting.ok(&["list"]).lines().count(), 1);
    assert_eq!(setting.local("c"), None);
    setting.fails(&["rename", "-n", "missing", "b"], 4);
}

#[test]
fn an_id_or_the_beginning_of_one_is_as_good_as_a_name() {
    let setting = Setting::new();
    setting.write("a", "one");
    setting.write("b", "two");
    setting.ok(&["put", "a", "b"]);
    let id = md5(&setting.desk.path().join("a"));
    let short = format!("id:{}", &id[..6]);
    assert_eq!(setting.ok(&["cat", &short]), "one");
    assert_eq!(setting.ok(&["cat", &format!("id:{id}")]), "one");
    assert!(setting.ok(&["stat", &short]).contains(&id));
    setting.ok(&["get", &short, "-o", "copy/"]);
    assert_eq!(setting.local("copy/a").unwrap(), b"one");
    setting.ok(&["rename", &short, "c"]);
    setting.ok(&["put", "a", "--as", "twin"]);
    assert!(
        setting
            .fails(&["remove", &short], 4)
            .contains("more than one")
    );
    setting.fails(&["cat", "id:ffffffffffff"], 4);
}

#[test]
fn standard_input_and_output_take_part() {
    let setting = Setting::new();
    let mut client = setting
        .server
        .client(setting.desk.path(), &["put", "-", "--as", "piped"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let content = noise(7, 700_001);
    let mut stdin = client.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &content).unwrap();
    drop(stdin);
    assert!(client.wait().unwrap().success());
    assert!(setting.stored("piped").unwrap() == content);
    let output = setting
        .server
        .run(setting.desk.path(), &["get", "piped", "-o", "-"]);
    assert!(output.stdout == content);
    setting.fails(&["put", "-"], 2);
    setting.fails(&["cat", "piped", "--json"], 2);
}

#[test]
fn names_that_could_do_harm_are_refused_and_odd_ones_work() {
    let setting = Setting::new();
    setting.write("x", "x");
    let long = "n".repeat(255);
    for name in [
        "-rf",
        "$(x)",
        ";x",
        "a b",
        "ü/漢字",
        "😀",
        "'\"`".replace('"', "").as_str(),
        &long,
    ] {
        setting.ok(&["put", "--as", name, "--", "x"]);
        assert_eq!(setting.stored(name).unwrap(), b"x", "{name}");
        assert_eq!(setting.ok(&["cat", "--", name]), "x");
    }
    let too_long = "n".repeat(256);
    for name in [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "./x",
        "C:\\x",
        "a\\b",
        "a:b",
        "a\nb",
        "a\u{1b}[2J",
        "nul.txt",
        "dot.",
        "space ",
        ".fileshare/index.sqlite",
        ".FILESHARE-x",
        &too_long,
    ] {
        let said = setting.fails(&["put", "x", "--as", name], 2);
        assert!(!said.contains('\u{1b}'), "{said:?}");
        setting.fails(&["rename", "-rf", name], 2);
    }
    let twin = setting.fails(&["put", "x", "--as", "A B"], 6);
    assert!(twin.contains("only in case"), "{twin}");
    setting.fails(&["put", "x", "--as", "a b/c"], 6);
    let outside = setting.root.path().parent().unwrap().join("x");
    assert!(!outside.exists());
}

#[test]
fn files_changed_by_hand_show_up_without_a_restart() {
    let setting = Setting::new();
    let path = setting.root.path().join("by hand");
    std::fs::write(&path, "one").unwrap();
    assert_eq!(setting.ok(&["cat", "by hand"]), "one");
    assert!(setting.ok(&["stat", "by hand"]).contains(&md5(&path)));
    std::fs::write(&path, "twoo").unwrap();
    assert_eq!(setting.ok(&["cat", "by hand"]), "twoo");
    assert!(setting.ok(&["stat", "by hand"]).contains(&md5(&path)));
    std::thread::sleep(Duration::from_secs(2));
    assert!(setting.ok(&["list"]).contains("by hand"));
    std::fs::remove_file(&path).unwrap();
    setting.fails(&["stat", "by hand"], 4);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(setting.ok(&["list"]), "");
}

#[cfg(unix)]
#[test]
fn links_and_pipes_in_the_root_are_not_shared_and_are_counted() {
    let setting = Setting::new();
    let root = setting.root.path();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("etc")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(root.join("pipe"))
        .status();
    assert!(fifo.unwrap().success());
    for name in ["link", "etc/passwd", "pipe"] {
        setting.fails(&["cat", name], 4);
    }
    assert_eq!(setting.ok(&["list"]), "");
    // Listings and counts lag at most 2 s.
    std::thread::sleep(Duration::from_secs(2));
    let info = &setting.json(&["info"])[0];
    assert_eq!(info["left_out"]["links"], 2);
    assert_eq!(info["left_out"]["special"], 1);
}

#[test]
fn a_batch_that_half_succeeds_says_so() {
    let setting = Setting::new();
    setting.write("a", "one");
    setting.write("b", "two");
    let said = setting.fails(&["put", "a", "missing", "b"], 9);
    assert!(said.contains("missing"));
    assert_eq!(setting.stored("b").unwrap(), b"two");
    setting.fails(&["get", "gone", "gone too"], 4);
    let lines = setting.json(&["get", "a", "gone", "-o", "in/"]);
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].clone()).collect();
    assert!(statuses.contains(&"done".into()) && statuses.contains(&"failed".into()));
    let summary = lines.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(
        (&summary["files"], &summary["failed"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn verify_tells_equal_different_and_missing_apart() {
    let setting = Setting::new();
    setting.write("a", "one");
    setting.write("b", "two");
    setting.ok(&["put", "a", "b"]);
    setting.ok(&["verify"]);
    setting.ok(&["verify", "a"]);
    setting.write("b", "2wo");
    setting.fails(&["verify"], 7);
    setting.write("c", "only here");
    setting.fails(&["verify", "c"], 4);
    setting.fails(&["verify"], 9);
}

#[cfg(unix)]
#[test]
fn times_and_the_executable_bit_travel() {
    use std::os::unix::fs::PermissionsExt;

    let setting = Setting::new();
    setting.write("run", "#!/bin/sh");
    let path = setting.desk.path().join("run");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    std::fs::File::open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    setting.ok(&["put", "run"]);
    setting.ok(&["get", "run", "-o", "back"]);
    for path in [
        setting.root.path().join("run"),
        setting.desk.path().join("back"),
    ] {
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!(metadata.modified().unwrap(), time);
        assert_eq!(metadata.permissions().mode() & 0o111, 0o111);
    }
}

#[test]
fn limits_are_kept() {
    let setting = Setting::with(&["--max-file-size", "1000", "--quota", "1500"]);
    setting.write("large", noise(1, 1001));
    setting.write("a", noise(2, 1000));
    assert!(setting.fails(&["put", "large"], 8).contains("1000 bytes"));
    setting.ok(&["put", "a"]);
    setting.fails(&["put", "a", "--as", "b"], 8);
    assert_eq!(setting.stored("b"), None);
    let mut client = setting
        .server
        .client(setting.desk.path(), &["put", "-", "--as", "stream"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = std::io::Write::write_all(&mut client.stdin.take().unwrap(), &noise(3, 100_000));
    assert_eq!(client.wait().unwrap().code(), Some(8));
}

#[cfg(unix)]
#[test]
fn a_signal_stops_the_server_and_the_next_one_finds_everything() {
    let mut setting = Setting::new();
    setting.write("a", "one");
    setting.ok(&["put", "a"]);
    setting.server.signal(rustix::process::Signal::TERM);
    assert_eq!(setting.server.wait().code(), Some(0));
    setting.server = serve(setting.root.path(), &[]);
    assert_eq!(setting.ok(&["cat", "a"]), "one");
    setting.server.signal(rustix::process::Signal::KILL);
    setting.server.wait();
    setting.server = serve(setting.root.path(), &[]);
    assert_eq!(setting.ok(&["cat", "a"]), "one");
}

#[test]
fn a_second_server_on_the_same_root_is_refused() {
    let setting = Setting::new();
    let second = crate::harness::clean(crate::harness::SERVER)
        .args(["--port", "0", text(setting.root.path())])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("already being served"));
}

#[test]
fn the_index_can_be_deleted_and_the_next_start_says_what_that_costs() {
    let mut setting = Setting::new();
    setting.write("a", "one");
    setting.ok(&["put", "a"]);
    let address = setting.server.address();
    let stopped = tempfile::tempdir().unwrap();
    let first = std::mem::replace(&mut setting.server, serve(stopped.path(), &[]));
    drop(first);
    for entry in std::fs::read_dir(setting.root.path().join(".fileshare")).unwrap() {
        let path = entry.unwrap().path();
        if text(&path).contains("index") {
            std::fs::remove_file(path).unwrap();
        }
    }
    setting.server = serve(setting.root.path(), &[]);
    assert_ne!(setting.server.address(), address);
    // Waits for the line, and fails when none comes any more.
    while !setting.server.line().contains("index was lost") {}
    assert_eq!(setting.ok(&["cat", "a"]), "one");
}

#[test]
fn many_clients_at_once_have_exactly_one_winner_for_each_name() {
    let setting = Setting::new();
    let clients: Vec<_> = (0..8)
        .map(|number| {
            setting.write(&format!("from{number}"), noise(number, 200_000));
            let own = format!("from{number}");
            let arguments = ["put", "--as", "prize", &own];
            let mut command = setting.server.client(setting.desk.path(), &arguments);
            command.stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let codes: Vec<_> = clients
        .into_iter()
        .map(|mut client| client.wait().unwrap().code().unwrap())
        .collect();
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(
        codes.iter().filter(|code| **code == 6).count(),
        7,
        "{codes:?}"
    );
    let winner = codes.iter().position(|code| *code == 0).unwrap();
    assert!(setting.stored("prize").unwrap() == noise(winner as u64, 200_000));
}

/// No side holds more than a few buffers of a file, whatever its size: contract, performance goals.
#[cfg(target_os = "linux")]
#[test]
fn a_large_file_needs_no_more_memory_than_a_small_one() {
    let setting = Setting::new();
    let large = setting.desk.path().join("large");
    std::fs::File::create(&large)
        .unwrap()
        .set_len(1 << 28)
        .unwrap();
    let peak = |arguments: &[&str]| {
        let mut client = setting
            .server
            .client(setting.desk.path(), arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut peak = 0;
        while client.try_wait().unwrap().is_none() {
            peak = peak.max(peak_memory(client.id()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(client.wait().unwrap().success());
        peak
    };
    let up = peak(&["put", "large"]);
    let down = peak(&["get", "large", "-o", "back"]);
    let server = peak_memory(setting.server.id()).unwrap();
    for (who, kib) in [("upload", up), ("download", down), ("server", server)] {
        assert!(kib > 0 && kib <= 32 * 1024, "{who}: {kib} KiB");
    }
    std::fs::remove_file(large).unwrap();
}

/// The most memory that a process ever had in use, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn whatever_else_is_said_at_the_port_is_answered_at_once() {
    use std::io::{Read, Write};

    let setting = Setting::with(&["--plaintext"]);
    for (said, answer) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], "HTTP/1.1 400"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "This is a fileshare server"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "\x15\x03\x03",
        ),
        (b"nonsense", "FSHR"),
    ] {
        let mut stream = std::net::TcpStream::connect(setting.server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(said).unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        assert!(heard.starts_with(answer.as_bytes()), "{heard:?}");
    }
    setting.ok(&["ping"]);
}

#[test]
fn a_port_where_something_else_listens_is_told_apart() {
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 100]);
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let output = crate::harness::clean(crate::harness::CLIENT)
        .args(["--plaintext", "--server", &address, "list"])
        .current_dir(Path::new("."))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert!(stderr(&output).contains("HTTP"));
    web.join().unwrap();
}

#[test]
fn a_dry_run_of_put_finds_what_the_real_one_would() {
    let setting = Setting::with(&["--max-file-size", "10"]);
    setting.write("a", "one");
    setting.write("large", noise(1, 11));
    setting.ok(&["put", "a"]);
    setting.write("b", "two");
    let id = md5(&setting.desk.path().join("b"));
    for (arguments, code) in [
        (&["a", "--as", "q?"][..], 2),
        (&["b", "--as", "A"], 6),
        (&["b", "--as", "a/x"], 6),
        (&["b", "--as", "a", "--if-match", &id], 6),
        (&["b", "--as", "a", "--on-conflict", "overwrite"], 5),
        (&["large"], 8),
    ] {
        setting.fails(&[&["put", "-n"], arguments].concat(), code);
        setting.fails(&[&["put"], arguments].concat(), code);
    }
    let skipped = &setting.json(&["put", "-n", "b", "--as", "a", "--on-conflict", "skip"])[0];
    assert_eq!(skipped["status"], "skipped");
    assert_eq!(setting.stored("a").unwrap(), b"one");
    assert_eq!(setting.stored("b"), None);
}

#[test]
fn verify_names_what_is_on_neither_side() {
    let setting = Setting::new();
    setting.write("a", "one");
    setting.ok(&["put", "a"]);
    assert!(setting.fails(&["verify", "a", "nope"], 4).contains("nope"));
    assert!(setting.fails(&["verify", "nope"], 4).contains("nope"));
    setting.fails(&["verify", "a", "*.txt"], 4);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_client_whose_results_nobody_reads() {
    use rustix::process::{Pid, Signal, kill_process};

    let setting = Setting::new();
    std::fs::write(setting.root.path().join("large"), vec![b'x'; 8 << 20]).unwrap();
    // Has something to say at the first contact, and nothing from then on.
    setting.ok(&["ping"]);
    for number in 0..2000 {
        let name = format!("a file with a rather long name {number}");
        std::fs::write(setting.root.path().join(name), "").unwrap();
    }
    // The server is known from here on: nothing is said of a first contact.
    setting.ok(&["ping"]);
    for (arguments, signal, code, word) in [
        (
            &["get", "large", "-o", "-"][..],
            Signal::INT,
            130,
            "interrupted",
        ),
        (
            &["get", "large", "-o", "-"],
            Signal::TERM,
            143,
            "terminated",
        ),
        (&["list"], Signal::INT, 130, "interrupted"),
        (&["list", "--reverse"], Signal::HUP, 129, "hung up"),
    ] {
        if signal == Signal::HUP && hangups_are_ignored() {
            eprintln!("SKIPPED: SIGHUP is ignored here (nohup), and children inherit that");
            continue;
        }
        let mut child = setting
            .server
            .client(setting.desk.path(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(child.try_wait().unwrap().is_none(), "{arguments:?}");
        let started = Instant::now();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{arguments:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            stderr(&output),
            format!("{word}: what was complete is kept, and what had begun goes on next time\n")
        );
    }
}

/// Whether this process, and so its children, were started with SIGHUP ignored.
#[cfg(unix)]
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn a_slash_behind_a_folder_says_that_it_is_one() {
    let setting = Setting::new();
    setting.write("a", "a");
    setting.ok(&["mkdir", "u/"]);
    assert!(setting.ok(&["list"]).ends_with("\tu/\n"));
    assert!(setting.ok(&["list", "u/"]).ends_with("\tu/\n"));
    assert!(setting.ok(&["stat", "u/"]).contains("folder"));
    setting.ok(&["put", "a", "--to", "u/"]);
    setting.ok(&["rename", "u/", "v/"]);
    assert_eq!(setting.stored("v/a").as_deref(), Some(&b"a"[..]));
    for arguments in [
        &["stat", "v/a/"][..],
        &["remove", "v/a/"],
        &["remove", "-r", "v/a/"],
        &["rename", "v/a/", "b"],
    ] {
        let errors = setting.fails(arguments, 6);
        assert!(errors.contains("v/a is a file, not a folder"), "{errors}");
    }
    setting.fails(&["rename", "v/a", "b/"], 2);
    for arguments in [
        &["cat", "v/a/"][..],
        &["put", "a", "--as", "b/"],
        &["list", "v//"],
    ] {
        setting.fails(arguments, 2);
    }
    assert!(setting.fails(&["remove", "v/"], 2).contains("say -r"));
    setting.ok(&["remove", "-r", "v/"]);
    assert!(setting.stored("v/a").is_none());
}

#[test]
fn programs_are_told_of_every_change_and_of_every_failure_alike() {
    let setting = Setting::new();
    setting.write("a", "12345");
    setting.write("b", "1");
    setting.ok(&["put", "a", "b"]);
    for arguments in [
        &["mkdir", "a"][..],
        &["rename", "b", "a"],
        &["rename", "x", "y"],
    ] {
        let lines = setting.json(arguments);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["type"], "file");
        assert_eq!(lines[0]["action"], arguments[0]);
        assert_eq!(lines[0]["name"], arguments[1]);
        assert_eq!(lines[0]["status"], "failed");
        assert!(lines[0]["error"]["code"].is_string());
    }
    let dry = setting.json(&["put", "b", "--as", "new", "-n"]);
    assert_eq!(dry[0]["status"], "would_transfer");
    assert!(dry[0].as_object().unwrap().contains_key("id"));
    let lines = setting.json(&["remove", "a", "x", "b"]);
    assert_eq!(lines.len(), 4);
    let summary = &lines[3];
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["action"], "remove");
    assert_eq!(
        (&summary["files"], &summary["failed"], &summary["bytes"]),
        (&3.into(), &1.into(), &6.into())
    );
    setting.ok(&["put", "a", "b"]);
    assert!(
        setting
            .ok(&["remove", "a", "b"])
            .contains("removed 2 of 2, 6 B")
    );
    let output = setting.server.run(setting.desk.path(), &["--json", "help"]);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("Usage:"));
}

#[test]
fn what_to_do_next_fits_what_was_done() {
    let setting = Setting::new();
    setting.write("a", "a");
    setting.write("A", "A");
    setting.ok(&["put", "a"]);
    setting.ok(&["mkdir", "d"]);
    for (arguments, code, advice) in [
        (
            &["put", "A", "--on-conflict", "overwrite"][..],
            6,
            "exactly the name that is there",
        ),
        (&["remove", "d"], 2, "say -r"),
        (&["mkdir", "a"], 6, "or remove or rename what has this one"),
        (
            &["rename", "d", "a"],
            6,
            "or remove or rename what has this one",
        ),
        (&["put", "a", "--as", "CON"], 2, "choose another name; --as"),
        (&["cat", "id:b0263"], 4, "an id needs 6 to 32 hex digits"),
        (&["get", "id:zzz"], 4, "an id needs 6 to 32 hex digits"),
    ] {
        let errors = setting.fails(arguments, code);
        assert!(errors.contains(advice), "{arguments:?}: {errors}");
    }
    let output = setting
        .server
        .run(setting.desk.path(), &["get", "-n", "a", "-o", "-"]);
    assert_eq!(stdout(&output), "");
    assert_eq!(stderr(&output), "a: would transfer 1 B\n");
}

#[test]
fn debugging_says_what_the_client_does() {
    let setting = Setting::new();
    setting.write("a", "a");
    let output = setting
        .server
        .run(setting.desk.path(), &["put", "a", "--debug"]);
    for word in ["started", "connected", "putting", "done", "ends"] {
        assert!(
            stderr(&output).contains(word),
            "{word}\n{}",
            stderr(&output)
        );
    }
}
