//! Disks that are full, read-only, or out of descriptors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fileshare::client::Client;
use fileshare::protocol::ErrorCode;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::ledger::{Content, Ledger};
use super::operations::{Operation, perform};
use super::site::{Server, Site};
use super::{oracle, runtime, skipped};

/// A small file system in memory; unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where nothing can be mounted.
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes},mode=755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "fileshare-faults"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Tmpfs(at.to_owned()))
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let remounted = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status();
        assert!(remounted.unwrap().success(), "{options}");
    }

    fn free(&self) -> u64 {
        let facts = rustix::fs::statvfs(&self.0).unwrap();
        facts.f_bavail * facts.f_frsize
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.unwrap().success() || std::thread::panicking());
    }
}

/// Does it, and returns the code of its failure.
async fn refused(
    client: &mut Client,
    site: &Site,
    ledger: &mut Ledger,
    operation: &Operation,
) -> Option<ErrorCode> {
    let done = perform(client, &site.desk(), ledger, operation).await;
    if done.is_err() {
        ledger.settle(&oracle::look(&site.root())).unwrap();
    }
    done.err().map(|failure| failure.code)
}

fn put(name: &str, content: &Content) -> Operation {
    Operation::Put(vec![(name.to_owned(), content.clone())])
}

#[test]
fn a_disk_that_fills_up_at_any_byte_refuses_that_upload_and_nothing_else() {
    let site = Site::new();
    let Some(disk) = Tmpfs::mount(&site.root(), 6 << 20) else {
        return skipped("nothing can be mounted here: full disks");
    };
    let server = site.serve(&[]);
    let filler = site.root().join(".fileshare/filler");
    let fill = |leave: u64| {
        let _ = std::fs::remove_file(&filler);
        // The index may take a page at the same time.
        let mut bytes = disk.free().saturating_sub(leave);
        while std::fs::write(&filler, vec![0; bytes as usize]).is_err() {
            bytes = bytes.checked_sub(4096).expect("room for a filler");
        }
    };
    runtime().block_on(async {
        let (mut client, mut other) = (server.client(), server.client());
        let mut ledger = Ledger::default();
        let steady = put("steady", &Content::new(1, 100_000));
        let smaller: Vec<_> = (0..12)
            .map(|n| (format!("small{n}"), Content::new(n, 5000)))
            .collect();
        for operation in [steady, Operation::Put(smaller)] {
            let outcome = refused(&mut client, &site, &mut ledger, &operation).await;
            assert_eq!(outcome, None);
        }
        let (small, large) = (Content::new(2, 500_000), Content::new(3, 2_500_000));
        // Pages of 4 KiB: in between nothing differs.
        for (spare, pages) in [0, 1, 2, 3, 8, 15, 40, 60, 100, 115]
            .into_iter()
            .enumerate()
        {
            let leave = pages * 4096;
            for content in [&small, &large] {
                fill(leave);
                let known = put("new", content);
                let stream = Operation::Stream("new".to_owned(), content.clone());
                for operation in [known, stream] {
                    let outcome = refused(&mut client, &site, &mut ledger, &operation).await;
                    assert_eq!(outcome, Some(ErrorCode::DiskFull), "{leave} {operation:?}");
                    // Nothing is left behind that takes the room: only the index may have grown.
                    staging_becomes_empty(&site.root());
                    let observed = oracle::look(&site.root());
                    let name = "steady".to_owned();
                    oracle::download(&mut other, &observed, &[&name]).await;
                }
            }
            // Removing works on the full disk.
            let remove = Operation::Remove(format!("small{spare}"));
            let outcome = refused(&mut other, &site, &mut ledger, &remove).await;
            assert_eq!(outcome, None, "{leave}");
        }
        std::fs::remove_file(&filler).unwrap();
        let outcome = refused(&mut client, &site, &mut ledger, &put("new", &large)).await;
        assert_eq!(outcome, None);
        let observed = oracle::examine(&mut other, &site.root()).await;
        ledger.settle(&observed).unwrap();
    });
    server.stop();
}

/// What was refused is cleaned up after it was answered at the latest a moment later.
fn staging_becomes_empty(root: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    let staging = root.join(".fileshare/staging");
    while std::fs::read_dir(&staging).is_ok_and(|mut left| left.next().is_some()) {
        assert!(Instant::now() < deadline, "something stays in staging");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_disk_that_turns_read_only_is_still_read() {
    let site = Site::new();
    let Some(disk) = Tmpfs::mount(&site.root(), 8 << 20) else {
        return skipped("nothing can be mounted here: read-only disks");
    };
    let state = site.path("state");
    let server = site.serve(&["--state-dir", state.to_str().unwrap()]);
    runtime().block_on(async {
        let mut client = server.client();
        let mut ledger = Ledger::default();
        let content = Content::new(1, 100_000);
        let first = put("a", &content);
        let outcome = refused(&mut client, &site, &mut ledger, &first).await;
        assert_eq!(outcome, None);
        disk.remount("ro");
        for operation in [
            put("b", &content),
            put("a", &Content::new(2, 10)),
            Operation::Rename("a".to_owned(), "c".to_owned()),
            Operation::Remove("a".to_owned()),
            Operation::MakeFolder("folder".to_owned()),
        ] {
            let done = perform(&mut client, &site.desk(), &mut ledger, &operation).await;
            let failure = done.expect_err("the disk is read-only");
            assert_eq!(failure.code, ErrorCode::Io, "{operation:?}");
            assert!(failure.to_string().contains("read-only"), "{failure}");
            ledger.settle(&oracle::look(&site.root())).unwrap();
        }
        let observed = oracle::examine(&mut client, &site.root()).await;
        let all: Vec<&String> = observed.files.keys().collect();
        oracle::download(&mut client, &observed, &all).await;
        disk.remount("rw");
        let outcome = refused(&mut client, &site, &mut ledger, &put("b", &content)).await;
        assert_eq!(outcome, None);
        let observed = oracle::examine(&mut client, &site.root()).await;
        ledger.settle(&observed).unwrap();
    });
    server.stop();
}

/// The number that the next descriptor of a process would get.
fn next_descriptor(pid: Pid) -> u64 {
    let pid = pid.as_raw_nonzero();
    let taken = |number: &u64| Path::new(&format!("/proc/{pid}/fd/{number}")).is_symlink();
    (0..).find(|number| !taken(number)).unwrap()
}

/// The limit that it has, which needs no privilege to be lowered and raised again.
fn server_limit(pid: Pid) -> Rlimit {
    let pid = pid.as_raw_nonzero();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut numbers = line
        .unwrap()
        .split_whitespace()
        .filter_map(|w| w.parse().ok());
    Rlimit {
        current: numbers.next(),
        maximum: numbers.next(),
    }
}

fn limit(server: &Server, descriptors: u64) {
    let mut limit = server_limit(server.pid());
    limit.current = Some(descriptors);
    prlimit(Some(server.pid()), Resource::Nofile, limit).unwrap();
}

#[test]
fn without_descriptors_an_upload_says_busy_and_the_next_one_works() {
    let site = Site::new();
    let server = site.serve(&[]);
    runtime().block_on(async {
        let mut client = server.client();
        let mut ledger = Ledger::default();
        let content = Content::new(1, 50_000);
        let outcome = refused(&mut client, &site, &mut ledger, &put("a", &content)).await;
        assert_eq!(outcome, None);
        // Descriptors that are closed in the background are counted once they are closed.
        for more in 0..8 {
            limit(&server, next_descriptor(server.pid()) + more);
            let mut failed = 0;
            for number in 0..4 {
                let operation = put(&format!("b{more}-{number}"), &content);
                match refused(&mut client, &site, &mut ledger, &operation).await {
                    None => {}
                    Some(code) => {
                        assert_eq!(code, ErrorCode::Busy, "{more}");
                        failed += 1;
                    }
                }
            }
            assert!(failed > 0 || more > 0, "there were enough descriptors");
        }
        limit(&server, next_descriptor(server.pid()));
        let asked = Instant::now();
        let strangers: Vec<_> = (0..5)
            .map(|_| std::net::TcpStream::connect(server.address()).unwrap())
            .collect();
        limit(&server, 4096);
        drop(strangers);
        let mut late = server.client();
        late.ping().await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(10));
        let outcome = refused(&mut late, &site, &mut ledger, &put("c", &content)).await;
        assert_eq!(outcome, None);
        let observed = oracle::examine(&mut client, &site.root()).await;
        ledger.settle(&observed).unwrap();
    });
    server.stop();
}
