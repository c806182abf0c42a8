//! Rows “certificate pinned but signature not checked” and “stripping TLS” of identity and
//! secrets: whoever stands between a client and its server, or in the server's place.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;

use fileshare::protocol::message::ServerBody;

use crate::harness::{CLIENT, RunningServer, clean, serve_plaintext, stderr, text};
use crate::tools::evil_server::{EvilServer, say};
use crate::tools::proxy::{Direction, Fault, Proxy};
use crate::tools::transport::{Transport, acceptor, new_identity};

const CANARY: &str = "canary-71b4e0-password";

/// Row “certificate pinned but signature not checked”: the pinned certificate and another key.
#[test]
fn a_pinned_certificate_without_its_key_is_refused() {
    let desk = tempfile::tempdir().unwrap();
    let (certificate, key) = new_identity();
    let pong = |_: &_| vec![say(ServerBody::Pong)];
    let honest = EvilServer::start_as(Transport::Tls, acceptor(certificate.clone(), key), pong);
    let output = honest.run(desk.path(), &["ping"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let known = honest.config().join("fileshare/known_servers");
    let line = std::fs::read_to_string(known).unwrap();
    let key = line.split_whitespace().last().unwrap();

    let (_, other_key) = new_identity();
    let impostor = EvilServer::start_as(Transport::Tls, acceptor(certificate, other_key), pong);
    let list = impostor.config().join("fileshare/known_servers");
    std::fs::create_dir(list.parent().unwrap()).unwrap();
    let pinned = format!("{} {key}\n", impostor.address());
    std::fs::write(&list, &pinned).unwrap();
    let address = format!("fileshare://{}#{key}", impostor.address());
    for server in [impostor.address(), &address] {
        let mut client = clean(CLIENT);
        client
            .args(["--server", server, "--user", "bob", "ping"])
            .env("XDG_CONFIG_HOME", impostor.config())
            .current_dir(desk.path());
        let output = client.env("FILESHARE_PASSWORD", CANARY).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("does not hold the key"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&list).unwrap(), pinned);
}

/// Logs in through a proxy, as a client that was not told to speak plaintext.
fn log_in(server: &RunningServer, proxy: &str) -> Output {
    let desk = tempfile::tempdir().unwrap();
    let mut client = clean(CLIENT);
    client
        .args(["--server", proxy, "--retries", "0", "--user", "bob", "list"])
        .current_dir(desk.path())
        .env("XDG_CONFIG_HOME", server.config())
        .env("FILESHARE_PASSWORD", CANARY);
    client.output().unwrap()
}

fn contains(bytes: &[u8], what: &str) -> bool {
    bytes
        .windows(what.len())
        .any(|window| window == what.as_bytes())
}

/// Row “stripping TLS”: on the way to the client's server, something answers in plaintext. What
/// left the client is searched for what must not.
#[test]
fn a_client_never_leaves_tls_and_no_password_leaves_it() {
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    let proxy = Proxy::start(server.address(), |_, _| Fault::None);
    let output = log_in(&server, proxy.address());
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert!(stderr(&output).contains("speaks plaintext"));
    let left = proxy.seen(Direction::ToServer);
    assert!(!left.is_empty());
    assert!(!contains(&left, CANARY) && !contains(&left, "bob"));

    // Somebody who does not wait for the handshake, and welcomes the client in plaintext.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stripper = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"FSHR\x01\x01\0\0").unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    let output = log_in(&server, &address);
    assert!(!output.status.success());
    let left = stripper.join().unwrap();
    assert!(!contains(&left, CANARY) && !contains(&left, "bob"));
}

/// The same row: over TLS nothing that travels can be read on the way, names and passwords least.
#[test]
fn nothing_can_be_read_on_the_way() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let added = clean(crate::harness::SERVER)
        .args([
            "user",
            "add",
            "bob",
            "--role",
            "editor",
            "--root",
            text(root.path()),
        ])
        .env("FILESHARE_PASSWORD", CANARY)
        .output()
        .unwrap();
    assert!(added.status.success(), "{}", stderr(&added));
    std::fs::write(
        desk.path().join("plan-of-bob.txt"),
        "canary content ".repeat(100),
    )
    .unwrap();
    let server = Transport::Tls.serve(root.path(), &[]);
    let proxy = Proxy::start(server.address(), |_, _| Fault::None);
    for arguments in [
        &["--user", "bob", "put", "plan-of-bob.txt"][..],
        &["--user", "bob", "get", "plan-of-bob.txt", "-o", "back"],
    ] {
        let mut client = server.client_by(proxy.address(), desk.path(), arguments);
        let output = client.env("FILESHARE_PASSWORD", CANARY).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    for direction in Direction::BOTH {
        let passed = proxy.seen(direction);
        assert!(passed.len() > 1500);
        for secret in [CANARY, "bob", "canary content", "fileshare/0"] {
            assert!(!contains(&passed, secret), "{direction:?} {secret}");
        }
    }
}
