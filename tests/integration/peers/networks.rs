//! Clients on machines of their own: network namespaces with a server between them.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Desk, Running};
use crate::faults::skipped;
use crate::harness::{RunningServer, SERVER, clean, noise, start, text};
use crate::tools::namespace::Namespace;

/// Three machines: the server's, which has a wire to each of the two others and forwards.
struct Site {
    server: Namespace,
    a: Namespace,
    b: Namespace,
}

/// Where each of them is. The server is in both networks.
const SERVER_FOR_A: &str = "10.77.1.1";
const A: &str = "10.77.1.2";
const SERVER_FOR_B: &str = "10.77.2.1";
const B: &str = "10.77.2.2";

impl Site {
    fn make(what: &str) -> Option<Self> {
        let site = Site {
            server: Namespace::make(&format!("{what}-server"))?,
            a: Namespace::make(&format!("{what}-a"))?,
            b: Namespace::make(&format!("{what}-b"))?,
        };
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        let wired = site.server.wire("to-a", SERVER_FOR_A, &site.a, A)
            && site.server.wire("to-b", SERVER_FOR_B, &site.b, B)
            && site.server.run("sh", &["-c", forward]);
        wired.then_some(site)
    }

    fn serve(&self, root: &Path, options: &[&str]) -> RunningServer {
        let mut command = clean(SERVER);
        let own = ["--port", "0", text(root)];
        command.args(options).args(own).env("RUST_LOG", "warn");
        start(self.server.inside(&command))
    }
}

/// Runs a client on a machine, with the server at an address.
fn run(
    machine: &Namespace,
    address: &str,
    server: &RunningServer,
    desk: &Desk,
    arguments: &[&str],
) -> (i32, String, String) {
    let output = machine
        .inside(&at(address, server, desk, arguments))
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        crate::harness::stdout(&output),
        crate::harness::stderr(&output),
    )
}

fn at(
    address: &str,
    server: &RunningServer,
    desk: &Desk,
    arguments: &[&str],
) -> std::process::Command {
    let address = format!("{address}:{}", server.port);
    let mut command = server.client_by(&address, desk.path(), arguments);
    command.env("XDG_STATE_HOME", desk.path().join("state"));
    command
}

fn offer(
    machine: &Namespace,
    address: &str,
    server: &RunningServer,
    desk: &Desk,
    files: &[(&str, &[u8])],
) -> Running {
    let shelf = desk.shelf(files);
    let arguments = ["offer", "--name", "B", "--dir", shelf.to_str().unwrap()];
    let mut provider = Running::start(machine.inside(&at(address, server, desk, &arguments)));
    provider.says("[Offer Message received by Server.]");
    provider
}

#[test]
fn a_firewall_between_two_clients_is_gone_around() {
    let Some(site) = Site::make("relay") else {
        return skipped("no network namespaces here: the relay");
    };
    let root = tempfile::tempdir().unwrap();
    let server = site.serve(root.path(), &[]);
    let (a, b) = (Desk::new(), Desk::new());
    let large = noise(5, 4_000_000);
    let files: [(&str, &[u8]); 2] = [("foo", b"hello-canary"), ("large", &large)];
    let mut provider = offer(&site.b, SERVER_FOR_B, &server, &b, &files);
    let ask = |arguments: &[&str]| run(&site.a, SERVER_FOR_A, &server, &a, arguments);
    let (_, offers, _) = ask(&["offers"]);
    assert!(offers.contains(&format!("foo\tB\t{B}\t")), "{offers}");
    let (code, said, errors) = ask(&["request", "foo", "B"]);
    assert_eq!(code, 0, "{errors}");
    assert!(
        said.starts_with("< Connection with client B established. >\n"),
        "{said}"
    );
    provider.says(&format!("< Accepting connection request from {A}. >"));
    for (rule, least) in [("drop", 2), ("reject", 0)] {
        let rule = format!("ip saddr 10.77.1.0/24 {rule}");
        if !site.b.rule(&rule) {
            return skipped("nftables does not work here: the relay");
        }
        let started = Instant::now();
        let (code, said, errors) = ask(&[
            "request",
            "large",
            "B",
            "-o",
            "got",
            "--on-conflict",
            "rename",
        ]);
        assert_eq!(code, 0, "{errors}");
        assert!(
            said.starts_with("< Connection with client B established. > (relayed)\n"),
            "{said}"
        );
        assert!(
            said.contains("< large downloaded successfully! >"),
            "{said}"
        );
        assert!(started.elapsed() >= Duration::from_secs(least));
        provider.says(&format!(
            "< Accepting connection request from {A}. > (relayed)"
        ));
        provider.says("< large transferred successfully! >");
        provider.says(&format!("< Connection with client {A} closed. >"));
    }
    assert!(a.read("got") == large);
    // The other way there is no firewall: what the one offers the other can have directly.
    let (code, _, errors) = run(
        &site.b,
        SERVER_FOR_B,
        &server,
        &a,
        &["request", "foo", "B", "-o", "x"],
    );
    assert_eq!(code, 0, "{errors}");
}

#[test]
fn a_server_that_relays_nothing_says_so() {
    let Some(site) = Site::make("norelay") else {
        return skipped("no network namespaces here: no relay");
    };
    let root = tempfile::tempdir().unwrap();
    let server = site.serve(root.path(), &["--no-relay"]);
    let (a, b) = (Desk::new(), Desk::new());
    let _provider = offer(&site.b, SERVER_FOR_B, &server, &b, &[("foo", b"hello")]);
    if !site.b.rule("ip saddr 10.77.1.0/24 reject") {
        return skipped("nftables does not work here: no relay");
    }
    let (code, _, said) = run(&site.a, SERVER_FOR_A, &server, &a, &["request", "foo", "B"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("--no-relay"), "{said}");
}

/// It says 127.0.0.1, and is given out as where each of the others has reached the server.
#[test]
fn a_client_on_the_servers_own_machine_is_where_the_server_is() {
    let Some(site) = Site::make("own") else {
        return skipped("no network namespaces here: the server's own machine");
    };
    let root = tempfile::tempdir().unwrap();
    let server = site.serve(root.path(), &[]);
    let (desk, own) = (Desk::new(), Desk::new());
    let mut provider = offer(
        &site.server,
        "127.0.0.1",
        &server,
        &own,
        &[("foo", b"hello")],
    );
    for (machine, address, from) in [
        (&site.a, SERVER_FOR_A, A),
        (&site.b, SERVER_FOR_B, B),
        (&site.server, "127.0.0.1", "127.0.0.1"),
    ] {
        let (_, offers, _) = run(machine, address, &server, &desk, &["offers"]);
        assert!(offers.contains(&format!("foo\tB\t{address}\t")), "{offers}");
        let arguments = ["request", "foo", "B", "-o", "-"];
        let (code, content, said) = run(machine, address, &server, &desk, &arguments);
        assert_eq!((code, content.as_str()), (0, "hello"), "{said}");
        assert!(!said.contains("(relayed)"), "{said}");
        provider.says(&format!("< Accepting connection request from {from}. >"));
    }
}
