//! The k-th system call is the last one, or fails, for every k.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fileshare::client::ClientError;
use fileshare::protocol::ErrorCode;

use super::ledger::Ledger;
use super::operations::{Operation, fixed, is_cut, perform};
use super::site::Site;
use super::strace::{self, Faults};
use super::{number, oracle, runtime, say, skipped};
use crate::harness::SERVER;

/// All that a program may do to the disk.
pub const CALLS: [&str; 26] = [
    "write",
    "writev",
    "pwrite64",
    "copy_file_range",
    "sendfile",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "truncate",
    "ftruncate",
    "fallocate",
    "open",
    "openat",
    "openat2",
    "utimensat",
    "fchmod",
    "flock",
];

/// Which k to try.
#[derive(Clone, Copy)]
pub enum Stride {
    Every,
    /// 1, 4, 16 …, which is enough to see that the machinery works.
    Wide,
}

impl Stride {
    pub fn after(self, nth: u64) -> u64 {
        match self {
            Stride::Every => nth + 1,
            Stride::Wide => nth * 4,
        }
    }
}

#[test]
fn killed_at_some_calls() {
    killed_at_calls(Stride::Wide);
}

/// The long form: `cargo test --release --test integration killed_at_every_call -- --ignored
/// --nocapture`.
#[test]
#[ignore = "takes about an hour"]
fn killed_at_every_call() {
    killed_at_calls(Stride::Every);
}

#[test]
fn failing_at_some_calls() {
    failing_calls(Stride::Wide);
}

/// The long form: `cargo test --release --test integration failing_at_every_call -- --ignored
/// --nocapture`.
#[test]
#[ignore = "takes about an hour"]
fn failing_at_every_call() {
    failing_calls(Stride::Every);
}

/// A folder in which a server was killed during an upload, and what was acknowledged in it.
fn left_by_a_kill() -> (Site, Ledger) {
    let site = Site::new();
    let server = site.serve(&[]);
    let desk = site.desk();
    let mut ledger = Ledger::default();
    runtime().block_on(async {
        let mut client = server.client();
        for operation in fixed("old-") {
            perform(&mut client, &desk, &mut ledger, &operation)
                .await
                .unwrap();
        }
    });
    server.kill();
    let staging = site.root().join(".fileshare/staging");
    std::fs::write(staging.join("0123456789abcdef0123456789abcdef"), "half").unwrap();
    let attic = staging.join("fedcba9876543210fedcba9876543210");
    std::fs::create_dir_all(attic.join("removed/before")).unwrap();
    std::fs::write(attic.join("removed/before/file"), "gone").unwrap();
    ledger.settle(&oracle::look(&site.root())).unwrap();
    (site, ledger)
}

fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn killed_at_calls(stride: Stride) {
    if !strace::works() {
        return skipped("strace cannot trace here: the sweep of killed calls");
    }
    let started = Instant::now();
    let (template, known) = left_by_a_kill();
    let mut all = 0;
    for call in used_calls(&template) {
        let mut nth = 1;
        let mut kills = 0;
        loop {
            let site = Site::new();
            copy(&template.root(), &site.root());
            if !killed_at(&site, known.clone(), call, nth) {
                break;
            }
            kills += 1;
            nth = stride.after(nth);
            assert!(nth < 100_000, "{call}: it never ends");
        }
        all += kills;
        if matches!(stride, Stride::Every) {
            let seconds = started.elapsed().as_secs();
            say(&format!(
                "sweep: {call}: {kills} calls, {all} in all, {seconds} s"
            ));
        }
    }
    let seconds = started.elapsed().as_secs();
    say(&format!(
        "sweep of killed calls: {all} kills in {seconds} s"
    ));
    assert!(all >= 24, "only {all} kills");
}

/// Those that a server uses for the fixed requests.
fn used_calls(template: &Site) -> Vec<&'static str> {
    let site = Site::new();
    copy(&template.root(), &site.root());
    let trace = site.path("trace");
    let starter = strace::recording(&CALLS, &trace);
    let server = site.serve_by(starter, &[]).unwrap();
    let desk = site.desk();
    runtime().block_on(async {
        let mut client = server.client();
        for operation in fixed("new-") {
            perform(&mut client, &desk, &mut Ledger::default(), &operation)
                .await
                .unwrap();
        }
    });
    server.stop();
    let (calls, _) = strace::read(&std::fs::read_to_string(trace).unwrap());
    let used = |name: &&str| calls.iter().any(|call| call.name == *name);
    CALLS.into_iter().filter(used).collect()
}

/// Whether the server, from its start to its end, made the call so often.
fn killed_at(site: &Site, mut ledger: Ledger, call: &str, nth: u64) -> bool {
    let (runtime, desk) = (runtime(), site.desk());
    let mut killed = false;
    // A start that is killed is tried once more: recovery of a recovery.
    for _ in 0..2 {
        let Some(server) = site.serve_by(strace::killing(SERVER, call, nth), &[]) else {
            killed = true;
            continue;
        };
        runtime.block_on(async {
            let mut client = server.client();
            for operation in fixed("new-") {
                match perform(&mut client, &desk, &mut ledger, &operation).await {
                    Ok(()) => {}
                    Err(failure) if is_cut(&failure) => break,
                    Err(failure) => panic!("{call} {nth}: {operation:?}: {failure}"),
                }
            }
        });
        killed |= server.stopped().signal() == Some(9);
        break;
    }
    let server = site.serve(&[]);
    runtime.block_on(async {
        let mut client = server.client();
        let observed = oracle::examine(&mut client, &site.root()).await;
        let all: Vec<&String> = observed.files.keys().collect();
        oracle::download(&mut client, &observed, &all).await;
        if let Err(wrong) = ledger.settle(&observed) {
            panic!("killed at {call} {nth}: {wrong}");
        }
    });
    killed
}

/// Which calls fail how, and what the client must be told. Not `write`: threads wake each other up
/// with it, and strace cannot tell that from a file; the full disk of `disks` makes it fail.
const FAILURES: [(&str, &str, ErrorCode); 14] = [
    // Of the index, where it fails nothing, and of what is kept of a cut upload.
    ("ftruncate", "ENOSPC", ErrorCode::DiskFull),
    ("fsync", "EIO", ErrorCode::Io),
    ("fsync", "ENOSPC", ErrorCode::DiskFull),
    ("renameat2", "EIO", ErrorCode::Io),
    ("renameat2", "EROFS", ErrorCode::Io),
    ("renameat", "EIO", ErrorCode::Io),
    ("unlinkat", "EIO", ErrorCode::Io),
    ("mkdirat", "ENOSPC", ErrorCode::DiskFull),
    ("mkdirat", "EROFS", ErrorCode::Io),
    ("fallocate", "ENOSPC", ErrorCode::DiskFull),
    ("utimensat", "EIO", ErrorCode::Io),
    ("fchmod", "EIO", ErrorCode::Io),
    ("openat2", "EMFILE", ErrorCode::Busy),
    ("openat2", "ENFILE", ErrorCode::Busy),
];

/// What only the index may do, so that no request may fail for it.
const INDEX_FAILURES: [(&str, &str); 3] = [
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("fdatasync", "EIO"),
];

fn failing_calls(stride: Stride) {
    if !strace::works() {
        return skipped("strace cannot trace here: the sweep of failing calls");
    }
    let started = Instant::now();
    let longest = match stride {
        Stride::Every => number("FILESHARE_K", 400),
        Stride::Wide => 5,
    };
    let mut all = 0;
    let told = FAILURES.map(|(call, error, code)| (call, error, Some(code)));
    let untold = INDEX_FAILURES.map(|(call, error)| (call, error, None));
    for (call, error, code) in told.into_iter().chain(untold) {
        let site = Site::new();
        let server = site.serve(&[]);
        let mut nth = 1;
        let mut failures = 0;
        while nth < longest {
            let hit = failing_at(&site, &server, (call, error), nth, code);
            if !hit {
                break;
            }
            failures += 1;
            nth = stride.after(nth);
        }
        server.stop();
        all += failures;
        if matches!(stride, Stride::Every) {
            say(&format!("sweep: {call} {error}: {failures} failures"));
        }
    }
    let seconds = started.elapsed().as_secs();
    say(&format!("sweep of failing calls: {all} in {seconds} s"));
}

/// Does the fixed requests while the `nth` call of each thread fails. Whether any did.
fn failing_at(
    site: &Site,
    server: &super::site::Server,
    (call, error): (&str, &str),
    nth: u64,
    code: Option<ErrorCode>,
) -> bool {
    let prefix = format!("{call}-{error}-{nth}-");
    let mut ledger = Ledger::default();
    let (runtime, desk) = (runtime(), site.desk());
    let settle = |ledger: &mut Ledger, when: &str| {
        let own = oracle::look(&site.root()).split(&prefix);
        if let Err(wrong) = ledger.settle(&own) {
            panic!("{call} {error} {nth}, {when}: {wrong}");
        }
    };
    let when = nth.to_string();
    let faults = Faults::of(server.pid(), call, error, &when, &site.path("trace"));
    let mut failed: Vec<(Operation, ClientError)> = Vec::new();
    runtime.block_on(async {
        let mut client = server.client();
        for operation in fixed(&prefix) {
            if !is_possible(&ledger, &operation) {
                continue;
            }
            let done = perform(&mut client, &desk, &mut ledger, &operation).await;
            if let Err(failure) = done {
                settle(&mut ledger, "after the failure");
                failed.push((operation, failure));
            }
        }
    });
    let trace = faults.end();
    let hit = trace.contains("INJECTED");
    never_synced_again(&trace);
    for (operation, failure) in &failed {
        let allowed = code == Some(failure.code);
        assert!(
            allowed,
            "{call} {error} {nth}: {operation:?}: {failure}\n{trace}"
        );
    }
    // Without faults everything works again, and is told as it is.
    runtime.block_on(async {
        let mut client = server.client();
        let content = super::ledger::Content::new(nth, 5000);
        let again = Operation::Put(vec![(format!("{prefix}again"), content)]);
        perform(&mut client, &desk, &mut ledger, &again)
            .await
            .unwrap();
        oracle::examine(&mut client, &site.root()).await;
        settle(&mut ledger, "without faults");
        let left: Vec<String> = ledger
            .files
            .keys()
            .chain(&ledger.folders)
            .cloned()
            .collect();
        for name in left {
            if ledger.files.contains_key(&name) || ledger.folders.contains(&name) {
                let remove = Operation::Remove(name);
                perform(&mut client, &desk, &mut ledger, &remove)
                    .await
                    .unwrap();
            }
        }
        let rest = oracle::look(&site.root()).split(&prefix);
        assert!(rest.files.is_empty() && rest.folders.is_empty());
    });
    hit
}

/// Whether the state in the ledger allows the request: an earlier one may have failed.
fn is_possible(ledger: &Ledger, operation: &Operation) -> bool {
    match operation {
        Operation::Rename(from, _) | Operation::Remove(from) => {
            ledger.files.contains_key(from) || ledger.folders.contains(from)
        }
        Operation::MakeFolder(name) => !ledger.folders.contains(name),
        Operation::Put(_) | Operation::Stream(..) => true,
    }
}

/// That no staged file is synced again after its sync has failed.
fn never_synced_again(trace: &str) {
    let (calls, _) = strace::read(trace);
    let mut failed = Vec::new();
    for call in calls.iter().filter(|call| call.name == "fsync") {
        let path = strace::descriptor(&call.arguments).and_then(|(_, path)| path);
        let Some(path) = path.filter(|path| path.contains("/.fileshare/staging/")) else {
            continue;
        };
        assert!(!failed.contains(&path), "synced again: {path}");
        if call.result.contains("INJECTED") {
            failed.push(path);
        }
    }
}
