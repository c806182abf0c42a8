//! What goes wrong on one machine, made to go wrong: docs/RELIABILITY.md lists the tests.
//!
//! All of them share one oracle ([`oracle`]): what was acknowledged is there, whole, with its id;
//! what was acknowledged as removed is gone; the rest is absent or whole; nothing else is there.

mod dice;
mod disk_calls;
mod disk_model;
mod disks;
mod kill_loop;
mod killed_clients;
mod ledger;
mod links;
mod model;
mod operations;
mod oracle;
mod power;
mod races;
mod site;
mod strace;
mod sweep;

use std::io::Write;

/// Says that a test cannot run here. Where `FILESHARE_FAULTS=required` stands in the environment
/// (as in `.ci/run`) that is a failure.
pub fn skipped(why: &str) {
    assert!(
        std::env::var("FILESHARE_FAULTS").as_deref() != Ok("required"),
        "cannot be skipped: {why}"
    );
    say(&format!("SKIPPED: {why}"));
}

/// A line on standard error, where no test harness swallows it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A number from the environment, for the long forms.
fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => otherwise,
    }
}

/// What runs the clients of a test.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
