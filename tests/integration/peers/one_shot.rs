//! The commands on the command line and in scripts.

use std::process::Command;

use super::{Desk, Running, becomes};
use crate::harness::{RunningServer, md5, noise, serve, serve_plaintext};

const INVALID: &str = "[Invalid Request]\n";

fn site() -> (tempfile::TempDir, RunningServer) {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    (root, server)
}

#[test]
fn one_client_offers_and_another_requests() {
    let (_root, server) = site();
    offers_and_requests(&server);
}

#[test]
fn plaintext_does_all_of_it_and_says_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    offers_and_requests(&server);
    let desk = Desk::new();
    let mut peer = desk.script(&server);
    peer.line("register P");
    peer.says("nothing between you and them is encrypted");
}

fn offers_and_requests(server: &RunningServer) {
    let (b, c) = (Desk::new(), Desk::new());
    let big = noise(7, 3_000_000);
    let files: [(&str, &[u8]); 3] = [("foo", b"hello"), ("big", &big), ("empty", b"")];
    let mut provider = b.offer(server, "B", &files);
    let (code, offers, _) = c.run(server, &["offers"]);
    assert_eq!(code, 0);
    let lines: Vec<Vec<&str>> = offers.lines().map(|l| l.split('\t').collect()).collect();
    assert_eq!(
        lines[0],
        ["FILENAME", "OWNER", "IP ADDRESS", "TCP PORT", "SIZE", "ID"]
    );
    let files: Vec<&str> = lines[1..].iter().map(|line| line[0]).collect();
    assert_eq!(files, ["big", "empty", "foo"]);
    let id = md5(&b.path().join("shelf/foo"));
    assert_eq!(lines[3][..3], ["foo", "B", "127.0.0.1"]);
    assert_eq!(lines[3][4..], ["5", &id]);

    let (code, said, _) = c.run(server, &["request", "foo", "B"]);
    assert_eq!(code, 0);
    assert_eq!(
        said,
        "< Connection with client B established. >\n\
         < Downloading foo... >\n\
         < foo downloaded successfully! >\n\
         < Connection with client B closed. >\n"
    );
    assert_eq!(c.read("foo"), b"hello");
    for line in [
        "< Accepting connection request from 127.0.0.1. >",
        "< Transferring foo... >",
        "< foo transferred successfully! >",
        "< Connection with client 127.0.0.1 closed. >",
    ] {
        provider.says(line);
    }
    assert_eq!(c.run(server, &["request", "big", "B", "-o", "in/"]).0, 0);
    assert!(c.read("in/big") == big);
    assert_eq!(c.run(server, &["request", "empty", "B", "-o", "e"]).0, 0);
    assert_eq!(c.read("e"), b"");
    let (code, content, said) = c.run(server, &["request", "foo", "B", "-o", "-"]);
    assert_eq!((code, content.as_str()), (0, "hello"));
    assert!(said.contains("< foo downloaded successfully! >"), "{said}");
    // Nothing is replaced unasked.
    std::fs::write(c.path().join("foo"), "mine").unwrap();
    let (code, _, said) = c.run(server, &["request", "foo", "B"]);
    assert_eq!(code, 6, "{said}");
    assert_eq!(c.read("foo"), b"mine");
    let arguments = ["request", "foo", "B", "--on-conflict", "overwrite"];
    assert_eq!(c.run(server, &arguments).0, 0);
    assert_eq!(c.read("foo"), b"hello");
}

#[test]
fn whatever_is_not_offered_is_an_invalid_request() {
    let (_root, server) = site();
    let (b, c) = (Desk::new(), Desk::new());
    std::fs::write(b.path().join("secret"), "secret").unwrap();
    let _provider = b.offer(&server, "B", &[("foo", b"hello")]);
    for (file, client) in [
        ("bar", "B"),
        ("foo", "Z"),
        ("foo", "b"),
        ("../secret", "B"),
        ("/etc/passwd", "B"),
        ("", "B"),
        ("foo", ""),
        ("a\u{1b}[2J", "B"),
        ("foo", "\u{1b}[2J"),
        ("FOO", "B"),
    ] {
        let (code, _, said) = c.run(&server, &["request", file, client]);
        assert_eq!(code, 4, "{file:?} {client:?}: {said}");
        assert!(said.contains(INVALID), "{said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn a_file_that_has_changed_is_not_passed_off() {
    let (_root, server) = site();
    let (b, c) = (Desk::new(), Desk::new());
    let mut provider = b.offer(&server, "B", &[("foo", b"hello")]);
    let path = b.path().join("shelf/foo");
    std::fs::write(&path, "other").unwrap();
    let (code, _, said) = c.run(&server, &["request", "foo", "B"]);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("changed since it was offered"), "{said}");
    assert!(!c.path().join("foo").exists());
    provider.says("< foo was not transferred: foo has changed since it was offered. >");
    std::fs::remove_file(&path).unwrap();
    let (code, _, _) = c.run(&server, &["request", "foo", "B"]);
    assert_eq!(code, 4);
    std::fs::write(&path, "hello").unwrap();
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
}

#[test]
fn names_and_ports_are_checked() {
    let (_root, server) = site();
    let (b, c) = (Desk::new(), Desk::new());
    let _provider = b.offer(&server, "B", &[("foo", b"hello")]);
    let (code, _, said) = c.run(&server, &["register", "B"]);
    assert_eq!(code, 6);
    let rejected = "[Registration rejected: Client username already in use.]\n";
    assert!(said.contains(rejected), "{said}");
    for port in [
        "--port=80",
        "--listen-port=0",
        "--listen-port=70000",
        "--port=x",
    ] {
        let (code, _, said) = c.run(&server, &["register", "D", port]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("[Invalid client TCP port]\n"), "{said}");
    }
    for name in ["a/b", "", "a b", "\u{1b}[2J"] {
        let (code, _, said) = c.run(&server, &["register", name]);
        assert_eq!(code, 2, "{name:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    let (code, _, said) = c.run(&server, &["dereg", "B"]);
    assert_eq!(code, 5, "{said}");
    let (code, _, said) = c.run(&server, &["offer", "--name", "D", "foo"]);
    assert_eq!(code, 2);
    let not_set = "Directory not set. Set directory using setdir command.\n";
    assert!(said.contains(not_set), "{said}");
    let missing = ["offer", "--name", "D", "--dir", "nowhere"];
    let (code, _, said) = c.run(&server, &missing);
    assert_eq!(code, 4);
    assert!(
        said.contains("[setdir failed: nowhere does not exist.]\n"),
        "{said}"
    );
}

#[test]
fn programs_get_objects() {
    let (_root, server) = site();
    let (b, c) = (Desk::new(), Desk::new());
    let (code, nothing, said) = c.run(&server, &["offers"]);
    assert_eq!((code, nothing.as_str()), (0, ""));
    let none = "[No files available for download at the moment.]\n";
    assert!(said.ends_with(none), "{said}");
    let shelf = b.shelf(&[("foo", b"hello")]);
    let shelf = shelf.to_str().unwrap();
    let arguments = ["--json", "offer", "--name", "B", "--dir", shelf, "foo"];
    let mut provider = super::Running::start(b.client(&server, &arguments));
    let id = md5(&b.path().join("shelf/foo"));
    let offered = provider.says("\"offer\"");
    assert!(offered.starts_with("{\"v\":1,\"type\":\"offer\",\"name\":\"foo\",\"owner\":\"B\",\"address\":\"127.0.0.1\",\"port\":"));
    let (_, offers, _) = c.run(&server, &["--json", "offers"]);
    assert_eq!(offers.trim_end(), offered);
    let (_, peers, _) = c.run(&server, &["--json", "peers"]);
    assert!(
        peers.starts_with("{\"v\":1,\"type\":\"peer\",\"name\":\"B\",\"address\":\"127.0.0.1\",")
    );
    assert!(peers.ends_with("\"online\":true}\n"), "{peers}");
    let (code, said, _) = c.run(&server, &["--json", "request", "foo", "B"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(code, 0);
    assert_eq!(
        lines[0],
        format!(
            "{{\"v\":1,\"type\":\"file\",\"action\":\"request\",\"name\":\"foo\",\"path\":\"foo\",\"id\":\"{id}\",\"size\":5,\"status\":\"done\"}}"
        )
    );
    let summary = "{\"v\":1,\"type\":\"summary\",\"action\":\"request\",\"files\":1,\"unchanged\":0,\"failed\":0,\"bytes\":5,\"sent\":5,";
    assert!(lines[1].starts_with(summary), "{said}");
    provider.says("\"action\":\"offer\",\"name\":\"foo\"");
    let (_, said, _) = c.run(&server, &["--json", "request", "bar", "B"]);
    assert!(said.contains("\"code\":\"not_found\""), "{said}");
}

#[test]
fn a_script_offers_serves_between_its_lines_and_takes_back() {
    let (root, server) = site();
    std::fs::write(root.path().join("stored"), "x").unwrap();
    let (b, c) = (Desk::new(), Desk::new());
    b.shelf(&[("foo", b"hello"), ("bar", b"bar")]);
    let other = b.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("baz"), "baz").unwrap();
    let mut peer = b.script(&server);
    peer.line("-offer foo");
    peer.says("Directory not set. Set directory using setdir command.");
    peer.line("register B");
    peer.says("[Welcome, You are registered.]");
    peer.line("setdir shelf");
    let shelf = b.path().canonicalize().unwrap().join("shelf");
    peer.says(&format!(
        "[Successfully set {} as the directory for searching offered files.]",
        shelf.display()
    ));
    peer.line("offer foo");
    peer.says("[Offer Message received by Server.]");
    peer.says("[Client table updated.]");
    // Between two lines of its script it serves.
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
    peer.says("< foo transferred successfully! >");
    // Earlier offers stay.
    peer.line("setdir other");
    peer.line("offer");
    peer.says("[Offer Message received by Server.]");
    assert_eq!(c.run(&server, &["request", "foo", "B", "-o", "2"]).0, 0);
    assert_eq!(c.run(&server, &["request", "baz", "B"]).0, 0);
    assert_eq!(c.run(&server, &["request", "bar", "B"]).0, 4);
    // Its own list shows them under the server's files.
    peer.line("list");
    peer.says("stored");
    peer.says("FILENAME\tOWNER\tIP ADDRESS\tTCP PORT\tSIZE\tID");
    peer.says("baz\tB\t");
    peer.says("foo\tB\t");
    peer.line("offer --withdraw foo");
    peer.says("[1 offer withdrawn.]");
    assert_eq!(c.run(&server, &["request", "foo", "B", "-o", "3"]).0, 4);
    assert_eq!(c.run(&server, &["request", "baz", "B", "-o", "3"]).0, 0);
    peer.line("-register C");
    peer.says("registered as B already");
    peer.line("dereg B");
    peer.says("[You are Offline. Bye.]");
    assert_eq!(c.run(&server, &["request", "baz", "B", "-o", "4"]).0, 4);
    let (_, peers, _) = c.run(&server, &["peers"]);
    assert!(
        peers
            .lines()
            .any(|line| line.starts_with("B\t") && line.ends_with("\toffline"))
    );
    peer.line("register C");
    peer.says("[Welcome, You are registered.]");
    peer.line("-dereg B");
    peer.says("B is not this client's name");
    let (status, _) = peer.end();
    assert!(status.success());
    becomes("its end takes it offline", || {
        let (_, peers, _) = c.run(&server, &["peers"]);
        peers
            .lines()
            .any(|line| line.starts_with("C\t") && line.ends_with("\toffline"))
    });
}

/// Three terminals of one user, with one home folder on one machine.
#[test]
fn clients_with_one_home_are_three_clients() {
    let (_root, server) = site();
    let desk = Desk::new();
    let providers: Vec<_> = ["A", "B", "C"]
        .map(|name| {
            let shelf = desk.path().join(name);
            std::fs::create_dir(&shelf).unwrap();
            std::fs::write(shelf.join("foo"), name).unwrap();
            let arguments = ["offer", "--name", name, "--dir", name];
            let mut provider = super::Running::start(desk.client(&server, &arguments));
            provider.says("[Offer Message received by Server.]");
            provider
        })
        .into();
    for name in ["A", "B", "C"] {
        let (code, content, _) = desk.run(&server, &["request", "foo", name, "-o", "-"]);
        assert_eq!((code, content.as_str()), (0, name));
    }
    // The same identity, but the one that has the name answers.
    let (code, _, said) = desk.run(&server, &["register", "A"]);
    assert_eq!(code, 6, "{said}");
    drop(providers);
}

/// Whose role does not allow offering any more is told so and goes offline, and may come back.
#[test]
fn who_may_not_offer_any_more_goes_offline() {
    let (root, server) = site();
    let b = Desk::new();
    let user = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fileshare-server"));
        command
            .arg("user")
            .args(arguments)
            .arg("--root")
            .arg(root.path());
        let done = command
            .env("FILESHARE_PASSWORD", "secret")
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    user(&["add", "bob", "--role", "contributor"]);
    let mut command = b.client(&server, &["--user", "bob"]);
    command.env("FILESHARE_PASSWORD", "secret");
    let mut bob = Running::start(command);
    bob.line("register B");
    bob.says("[Welcome, You are registered.]");
    user(&["role", "bob", "reader"]);
    bob.says("[You are Offline. Bye.]");
    user(&["role", "bob", "contributor"]);
    bob.line("register B");
    bob.says("[Welcome, You are registered.]");
}
