//! The client's program is killed in mid-transfer: no half file under a real name, and the rerun
//! ends right.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::dice::Dice;
use super::ledger::Content;
use super::site::{Server, Site};
use super::strace;
use super::sweep::{CALLS, Stride};
use super::{number, oracle, runtime, skipped};
use crate::harness::{CLIENT, clean};

#[test]
fn a_killed_client_leaves_no_half_file() {
    killed_clients(8);
}

/// The long form: `FILESHARE_KILLS=1000 cargo test --release --test integration
/// many_killed_clients -- --ignored --nocapture`.
#[test]
#[ignore = "takes as long as FILESHARE_KILLS says"]
fn many_killed_clients() {
    killed_clients(number("FILESHARE_KILLS", 200));
}

/// Row “kill -9 of the client”, at the k-th system call.
#[test]
fn a_client_killed_at_some_calls_leaves_no_half_file() {
    killed_at_calls(Stride::Wide);
}

/// The long form: `cargo test --release --test integration a_client_killed_at_every_call -- --ignored
/// --nocapture`.
#[test]
#[ignore = "takes many minutes"]
fn a_client_killed_at_every_call_leaves_no_half_file() {
    killed_at_calls(Stride::Every);
}

fn killed_at_calls(stride: Stride) {
    if !strace::works() {
        return skipped("strace cannot trace here: the sweep of killed clients");
    }
    let site = Site::new();
    let server = site.serve(&[]);
    let desk = site.desk();
    // Large enough that what arrived is kept to go on with.
    let content = Content::new(7, 1_200_000);
    std::fs::write(desk.join("source"), &*content.bytes).unwrap();
    std::fs::write(site.root().join("down"), &*content.bytes).unwrap();
    let put = ["put", "source", "--as", "up"];
    let get = ["get", "down"];
    let mut kills = 0;
    for call in CALLS {
        for (command, at) in [
            (&put[..], site.root().join("up")),
            (&get[..], desk.join("down")),
        ] {
            let mut nth = 1;
            while killed_at(&server, &desk, (call, nth), command, &at, &content) {
                kills += 1;
                nth = stride.after(nth);
            }
        }
    }
    assert!(kills > 10, "{kills}");
    super::say(&format!("killed clients: {kills} at a system call"));
    server.stop();
}

/// Runs the command until the `nth` call of a thread, looks what is there, and runs it again to its
/// end. Whether it was killed.
fn killed_at(
    server: &Server,
    desk: &Path,
    (call, nth): (&str, u64),
    command: &[&str],
    at: &Path,
    content: &Content,
) -> bool {
    let mut traced = strace::killing(CLIENT, call, nth);
    let status = to(server, desk, &mut traced, command).status().unwrap();
    let killed = status.signal() == Some(9);
    assert!(
        killed || status.success(),
        "{call} {nth} {command:?}: {status}"
    );
    if let Ok(bytes) = std::fs::read(at) {
        assert!(bytes == *content.bytes, "{call} {nth} {command:?}: half");
    }
    nothing_else(desk, &["source", "down", ".fileshare"]);
    let again = [command, &["--on-conflict", "overwrite"]].concat();
    let status = client(server, desk, &again).status().unwrap();
    assert!(status.success(), "{call} {nth} {again:?}: {status}");
    assert!(std::fs::read(at).unwrap() == *content.bytes, "{again:?}");
    nothing_else(desk, &["source", "down"]);
    std::fs::remove_file(at).unwrap();
    killed
}

fn client(server: &Server, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = clean(CLIENT);
    to(server, folder, &mut command, arguments);
    command
}

fn to<'a>(
    server: &Server,
    folder: &Path,
    command: &'a mut Command,
    arguments: &[&str],
) -> &'a mut Command {
    command
        .args(["--plaintext", "--server", &server.address()])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

fn killed_clients(kills: u64) {
    let (mut dice, seed) = Dice::from_environment();
    let site = Site::new();
    let server = site.serve(&[]);
    let desk = site.desk();
    let (mut whole, mut cut) = (0, 0);
    for kill in 0..kills {
        let content = Content::new(seed ^ kill, 3_000_000);
        let [source, up, down] = ["source", "up", "down"].map(|what| format!("{what}{kill}"));
        std::fs::write(desk.join(&source), &*content.bytes).unwrap();
        std::fs::write(site.root().join(&down), &*content.bytes).unwrap();
        let overwrite = ["--on-conflict", "overwrite"];
        let put = ["put", &source, "--as", &up];
        let get = ["get", &down];
        for (command, at) in [
            (&put[..], site.root().join(&up)),
            (&get[..], desk.join(&down)),
        ] {
            let slowly = [&["--limit-rate", "20M"], command].concat();
            let mut child = client(&server, &desk, &slowly).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(dice.next() % 250_000));
            child.kill().unwrap();
            child.wait().unwrap();
            match std::fs::read(&at) {
                Ok(bytes) => {
                    assert!(
                        bytes == *content.bytes,
                        "{command:?}, seed {seed}: half a file"
                    );
                    whole += 1;
                }
                Err(_) => cut += 1,
            }
            nothing_else(&desk, &["source", "down", ".fileshare"]);
            nothing_else(&site.root(), &["up", "down", ".fileshare"]);
            let again = [command, &overwrite].concat();
            let status = client(&server, &desk, &again).status().unwrap();
            assert!(status.success(), "{again:?}, seed {seed}: {status}");
            assert!(std::fs::read(&at).unwrap() == *content.bytes, "{again:?}");
            // The rerun has taken over or removed what was left.
            nothing_else(&desk, &["source", "down"]);
        }
        for path in [desk.join(&source), desk.join(&down), site.root().join(&up)] {
            std::fs::remove_file(path).unwrap();
        }
        std::fs::remove_file(site.root().join(&down)).unwrap();
    }
    assert!(cut > 0, "{whole} whole, {cut} cut");
    runtime().block_on(async {
        let observed = oracle::examine(&mut server.client(), &site.root()).await;
        assert!(observed.files.is_empty());
    });
    super::say(&format!(
        "killed clients: {kills} rounds, {cut} cut in the middle, {whole} done before"
    ));
    server.stop();
}

fn nothing_else(folder: &Path, beginnings: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let leaf = entry.unwrap().file_name().into_string().unwrap();
        let known = beginnings
            .iter()
            .any(|beginning| leaf.starts_with(beginning));
        assert!(known, "{leaf} in {}", folder.display());
    }
}
