//! Servers that stop, die and come back under registered clients; acknowledgements that are lost.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Desk, Running, becomes};
use crate::harness::{RunningServer, noise, serve, serve_in, serve_plaintext, text};
use crate::tools::proxy::{Direction, Fault, Proxy};

fn again(root: &Path, port: u16) -> RunningServer {
    serve_in(Path::new("."), &["--port", &port.to_string(), text(root)])
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_its_clients_back() {
    let root = tempfile::tempdir().unwrap();
    let mut server = serve(root.path(), &[]);
    let (b, c) = (Desk::new(), Desk::new());
    b.shelf(&[("foo", b"hello")]);
    let mut peer = b.script(&server);
    for line in ["register B", "setdir shelf", "offer foo"] {
        peer.line(line);
    }
    peer.says("[Offer Message received by Server.]");
    peer.says("[Client table updated.]");
    server.signal(Signal::KILL);
    server.wait();
    for line in [
        "Retrying 1 times",
        "Retrying 2 times",
        "Retrying 3 times",
        "[Server not responding]",
    ] {
        peer.says(line);
    }
    // The last table is shown, and said to be old. That is no failure: the script goes on.
    peer.line("offers");
    peer.says("foo\tB\t");
    peer.has_said("The server does not respond: this is the table of");
    let back = Instant::now();
    let revived = again(root.path(), server.port);
    peer.says("[Welcome, You are registered.]");
    assert!(back.elapsed() < Duration::from_secs(10));
    becomes("the offers are there", || {
        c.run(&server, &["offers"]).1.contains("foo\tB\t")
    });
    assert!(back.elapsed() < Duration::from_secs(12));
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
    peer.line("dereg");
    peer.says("[You are Offline. Bye.]");
    let (status, _) = peer.end();
    assert!(status.success());
    drop(revived);
}

#[test]
fn a_one_shot_offer_gives_up_with_the_server() {
    let root = tempfile::tempdir().unwrap();
    let mut server = serve(root.path(), &[]);
    let b = Desk::new();
    let mut provider = b.offer(&server, "B", &[("foo", b"hello")]);
    server.signal(Signal::KILL);
    server.wait();
    provider.says("[Server not responding]");
    let (status, _) = provider.end();
    assert_eq!(status.code(), Some(3));
}

/// A server that hangs acknowledges nothing, and then everything at once, what was said again
/// included.
#[test]
fn what_is_not_acknowledged_is_said_again_and_done_once() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let (b, c) = (Desk::new(), Desk::new());
    b.shelf(&[("foo", b"hello")]);
    let mut peer = b.script(&server);
    for line in ["register B", "setdir shelf"] {
        peer.line(line);
    }
    peer.says("[Successfully set");
    server.signal(Signal::STOP);
    peer.line("offer");
    peer.says("Retrying 2 times");
    server.signal(Signal::CONT);
    peer.says("[Offer Message received by Server.]");
    peer.says("[Client table updated.]");
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
    // It goes on: answers that nobody waits for any more disturb nothing.
    peer.line("offers");
    peer.says("foo\tB\t");
    // Longer, and it is offline until the server is back.
    server.signal(Signal::STOP);
    peer.line("-offer --withdraw");
    peer.says("Retrying 3 times");
    peer.says("[Server not responding]");
    peer.has_said("error: the server does not respond");
    peer.line("offers");
    peer.has_said("The server does not respond: this is the table of");
    server.signal(Signal::CONT);
    peer.says("[Welcome, You are registered.]");
    peer.line("peers");
    peer.says("B\t127.0.0.1\t");
    let (status, _) = peer.end();
    assert!(status.success());
}

#[test]
fn a_client_that_registers_at_a_server_that_hangs_says_so_and_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let b = Desk::new();
    // It is killed and its connection lives on: the same client gets its name all the same.
    let mut first = b.script(&server);
    first.line("register B");
    first.says("[Welcome, You are registered.]");
    first.signal(Signal::STOP);
    let started = Instant::now();
    let mut second = b.script(&server);
    second.line("register B");
    second.says("[Welcome, You are registered.]");
    assert!(started.elapsed() < Duration::from_secs(10));
    second.line("peers");
    second.says("\tonline");
    first.signal(Signal::CONT);
    first.says("has registered again");
    let other = Desk::new();
    let (code, _, _) = other.run(&server, &["register", "B"]);
    assert_eq!(code, 6);
}

/// What came of a file before its owner was killed need not come again.
#[test]
fn a_download_goes_on_where_its_owner_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let (b, c) = (Desk::new(), Desk::new());
    let large = noise(9, 12_000_000);
    let shelf = b.shelf(&[("large", &large)]);
    let slowly = ["--limit-rate", "3M", "offer", "--name", "B", "--dir"];
    let arguments = [&slowly[..], &[shelf.to_str().unwrap()]].concat();
    let mut provider = Running::start(b.client(&server, &arguments));
    provider.says("[Offer Message received by Server.]");
    let request = ["--retries", "0", "request", "large", "B"];
    let mut first = Running::start(c.client(&server, &request));
    first.says("< Downloading large... >");
    let part = c.path().join(".fileshare-large.part");
    becomes("some of it is there", || {
        std::fs::metadata(&part).is_ok_and(|part| part.len() > 3_000_000)
    });
    drop(provider);
    let (status, _) = first.end();
    assert_eq!(status.code(), Some(3));
    assert!(!c.path().join("large").exists());
    let _provider = b.offer(&server, "B", &[]);
    let (code, _, said) = c.run(&server, &["request", "large", "B"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("large: going on at "), "{said}");
    assert!(c.read("large") == large);
    assert!(!part.exists());
}

/// The way back from the server falls silent: what was sent arrives, and no acknowledgement comes.
#[test]
fn lost_acknowledgements_are_noticed_and_the_client_comes_back_another_way() {
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    let through = |proxy: &Proxy, desk: &Desk, name: &str| {
        let mut command = server.client_by(proxy.address(), desk.path(), &[]);
        command.env("XDG_STATE_HOME", desk.path().join("state"));
        let mut peer = Running::start(command);
        peer.line(&format!("register {name}"));
        peer.says("[Welcome, You are registered.]");
        peer
    };
    // How much the server says until a client is registered.
    let whole = Proxy::start(server.address(), |_, _| Fault::None);
    let first = through(&whole, &Desk::new(), "A");
    let registered = whole.passed(Direction::ToClient);
    drop(first);
    let proxy = Proxy::start(server.address(), move |number, direction| {
        match (number, direction) {
            (0, Direction::ToClient) => Fault::StallAfter(registered),
            _ => Fault::None,
        }
    });
    let (b, c) = (Desk::new(), Desk::new());
    b.shelf(&[("foo", b"hello")]);
    let mut peer = through(&proxy, &b, "B");
    peer.line("setdir shelf");
    peer.line("-offer foo");
    for line in [
        "Retrying 1 times",
        "Retrying 2 times",
        "Retrying 3 times",
        "[Server not responding]",
        "[Welcome, You are registered.]",
    ] {
        peer.says(line);
    }
    peer.line("offer foo");
    peer.says("[Offer Message received by Server.]");
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
}
