//! Networks that cut, stall, drip, lose packets, or go silent. (Flipped bits: `flips`; clients that
//! are too slow or deaf: `deadlines`.)

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fileshare::protocol::ErrorCode;
use fileshare::types::OnConflict;
use rustix::process::{Pid, Signal};

use super::ledger::{Content, Ledger};
use super::operations::{fixed, is_cut, perform};
use super::races::{get, put};
use super::site::{Server, Site, client};
use super::{oracle, runtime, skipped};
use crate::harness::{CLIENT, SERVER};
use crate::tools::namespace::Namespace;
use crate::tools::proxy::{Fault, Proxy};

#[test]
fn bytes_that_come_one_at_a_time_come_right() {
    let site = Site::new();
    let server = site.serve(&[]);
    let proxy = Proxy::start(server.address(), |_, _| Fault::OneByOne);
    runtime().block_on(async {
        let mut dripping = client(proxy.address());
        for length in [0, 1, 12_000] {
            let content = Content::new(1, length);
            let file = format!("file{length}");
            let stored = put(&mut dripping, &file, &content, OnConflict::Error);
            stored.await.unwrap();
            assert!(get(&mut dripping, &file).await.unwrap() == *content.bytes);
        }
        oracle::examine(&mut server.client(), &site.root()).await;
    });
}

#[test]
fn a_cut_at_any_byte_leaves_all_or_nothing() {
    let site = Site::new();
    let server = site.serve(&[]);
    let desk = site.desk();
    runtime().block_on(async {
        let mut cuts = 0;
        for after in (0..16).map(|step| step * 90_000) {
            let proxy = Proxy::start(server.address(), move |_, _| Fault::CutAfter(after));
            let prefix = format!("after{after}-");
            let mut ledger = Ledger::default();
            let mut cut = client(proxy.address());
            for operation in fixed(&prefix) {
                match perform(&mut cut, &desk, &mut ledger, &operation).await {
                    Ok(()) => {}
                    Err(failure) if is_cut(&failure) => {
                        cuts += 1;
                        break;
                    }
                    Err(failure) => panic!("{after}: {operation:?}: {failure}"),
                }
            }
            // The server may be about to do what was asked for: a request behind it waits for that.
            settles(&site, &prefix, &ledger);
        }
        assert!(cuts > 10, "{cuts}");
        oracle::examine(&mut server.client(), &site.root()).await;
    });
    server.stop();
}

/// The ledger holds now and after a moment.
fn settles(site: &Site, prefix: &str, ledger: &Ledger) {
    for _ in 0..3 {
        let own = oracle::look(&site.root()).split(prefix);
        ledger.clone().settle(&own).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many sockets a process has.
fn sockets(pid: Pid) -> usize {
    let pid = pid.as_raw_nonzero();
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

fn becomes(what: &str, deadline: Instant, mut holds: impl FnMut() -> bool) {
    while !holds() {
        assert!(Instant::now() < deadline, "too late: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A cut is noticed after this time (contract section 4, and the deadlines of data streams), with
/// something on top for a machine that has other things to do.
const NOTICED: Duration = Duration::from_secs(30 + 10);

#[test]
fn a_connection_that_stalls_is_given_up_by_both_sides() {
    let site = Site::new();
    let server = site.serve(&[]);
    let idle = sockets(server.pid());
    let content = Content::new(1, 30_000_000);
    std::fs::write(site.root().join("large"), &*content.bytes).unwrap();
    let proxy = Proxy::start(server.address(), |_, _| Fault::StallAfter(1_000_000));
    // A server that hangs: its machine answers, and takes bytes until its buffers are full.
    let other = Site::new();
    let hanging = other.serve(&[]);
    runtime().block_on(async {
        let [mut sender, mut receiver] = [0; 2].map(|_| client(proxy.address()));
        let mut late = hanging.client();
        late.ping().await.unwrap();
        hanging.signal(Signal::STOP);
        let started = Instant::now();
        let (sent, received, hung) = tokio::join!(
            put(&mut sender, "new", &content, OnConflict::Error),
            get(&mut receiver, "large"),
            put(&mut late, "new", &content, OnConflict::Error),
        );
        for outcome in [sent, received.map(drop), hung] {
            let given_up = [ErrorCode::Timeout, ErrorCode::Disconnected];
            assert!(given_up.contains(&outcome.unwrap_err()));
        }
        assert!(started.elapsed() < NOTICED, "{:?}", started.elapsed());
        becomes("the server lets go", started + NOTICED, || {
            sockets(server.pid()) == idle
        });
    });
    hanging.signal(Signal::CONT);
    hanging.stop();
    server.stop();
    for site in [site, other] {
        assert!(!site.root().join("new").exists());
    }
}

fn client_in(network: &Namespace, server: &Server, folder: &Path, arguments: &[&str]) -> Child {
    network
        .command(CLIENT)
        .args([
            "--plaintext",
            "--retries",
            "0",
            "--server",
            &server.address(),
        ])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_network_that_goes_silent_is_noticed_by_both_sides() {
    let Some(network) = Namespace::make("silent") else {
        return skipped("no network namespaces here: the silent network");
    };
    let site = Site::new();
    let server = site.serve_by(network.command(SERVER), &[]).unwrap();
    let idle = sockets(server.pid());
    let content = Content::new(1, 20_000_000);
    std::fs::write(site.desk().join("up"), &*content.bytes).unwrap();
    std::fs::write(site.root().join("down"), &*content.bytes).unwrap();
    let slowly = ["--limit-rate", "2M"];
    let clients = [["put", "up"], ["get", "down"]].map(|command| {
        let arguments = [&slowly[..], &command].concat();
        client_in(&network, &server, &site.desk(), &arguments)
    });
    let soon = Instant::now() + Duration::from_secs(20);
    becomes("both are connected", soon, || {
        sockets(server.pid()) >= idle + 2
    });
    std::thread::sleep(Duration::from_millis(500));
    if !network.rule("drop") {
        return skipped("nftables does not work here: the silent network");
    }
    let silent = Instant::now();
    for mut client in clients {
        let status = client.wait().unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    }
    becomes("the server lets go", silent + NOTICED, || {
        sockets(server.pid()) == idle
    });
    assert!(!site.root().join("up").exists());
    assert!(!site.desk().join("down").exists());
    // The same rule for nothing: everything works again.
    assert!(network.rule("accept"));
    let mut again = client_in(&network, &server, &site.desk(), &["put", "up"]);
    assert!(again.wait().unwrap().success());
    assert!(std::fs::read(site.root().join("up")).unwrap() == *content.bytes);
}

#[test]
fn a_network_that_loses_packets_is_slow_and_right() {
    let Some(network) = Namespace::make("lossy") else {
        return skipped("no network namespaces here: the lossy network");
    };
    // Without netem in the kernel packets are only lost, and not late or in another order.
    let netem = "qdisc add dev lo root netem delay 5ms 3ms loss 2% reorder 20% 50%";
    let netem: Vec<&str> = netem.split(' ').collect();
    if !network.run("tc", &netem) && !network.rule("numgen random mod 100 < 3 drop") {
        return skipped("neither netem nor nftables work here: the lossy network");
    }
    let site = Site::new();
    let server = site.serve_by(network.command(SERVER), &[]).unwrap();
    let content = Content::new(1, 2_000_000);
    std::fs::write(site.desk().join("file"), &*content.bytes).unwrap();
    for arguments in [&["put", "file"][..], &["get", "file", "-o", "back"]] {
        let mut client = client_in(&network, &server, &site.desk(), arguments);
        let deadline = Instant::now() + Duration::from_secs(120);
        let status = loop {
            if let Some(status) = client.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                client.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{arguments:?}: {status}");
    }
    for path in [site.root().join("file"), site.desk().join("back")] {
        assert!(std::fs::read(path).unwrap() == *content.bytes);
    }
}
