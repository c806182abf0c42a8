//! Real servers on real folders, to be ended at any moment.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fileshare::client::{Client, ClientOptions, ServerAddress};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{SERVER, clean};

/// A folder to serve, and one that is the clients'.
pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        let site = Site {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(site.root()).unwrap();
        std::fs::create_dir(site.desk()).unwrap();
        site
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Where the clients have their files.
    pub fn desk(&self) -> PathBuf {
        self.folder.path().join("desk")
    }

    /// Where the server's log goes.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Whatever a test needs besides.
    pub fn path(&self, leaf: &str) -> PathBuf {
        self.folder.path().join(leaf)
    }

    /// A server of the root, ready.
    pub fn serve(&self, options: &[&str]) -> Server {
        Server::start(clean(SERVER), &self.root(), &self.log(), options).unwrap_or_else(|| {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            panic!("the server did not start:\n{log}")
        })
    }

    /// The same by a command that ends with the server's own; `None` when it ended before it was
    /// ready.
    pub fn serve_by(&self, command: Command, options: &[&str]) -> Option<Server> {
        Server::start(command, &self.root(), &self.log(), options)
    }

    /// Starts a server and does not wait for it.
    pub fn launch(&self, options: &[&str]) -> Child {
        command(clean(SERVER), &self.root(), &self.log(), options)
            .spawn()
            .unwrap()
    }
}

fn command(mut command: Command, root: &Path, log: &Path, options: &[&str]) -> Command {
    let log = File::options().create(true).append(true).open(log).unwrap();
    command
        .args(["--plaintext", "-q", "--port", "0", "--bind", "127.0.0.1"])
        .args(["--anonymous", "editor"])
        .args(options)
        .arg(root)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    command
}

/// A server process, perhaps below another one that watches it; ended when dropped.
pub struct Server {
    /// The server itself or what started it.
    child: Child,
    _said: BufReader<ChildStdout>,
    pub port: u16,
}

impl Server {
    fn start(starter: Command, root: &Path, log: &Path, options: &[&str]) -> Option<Self> {
        let mut child = command(starter, root, log, options).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        said.read_line(&mut first).unwrap();
        let port = first
            .strip_prefix("fileshare-server listening on 127.0.0.1:")
            .and_then(|port| port.trim().parse().ok());
        let Some(port) = port else {
            assert!(first.is_empty(), "{first:?}");
            end(&mut child);
            return None;
        };
        Some(Server {
            child,
            _said: said,
            port,
        })
    }

    /// The process id of the server itself.
    pub fn pid(&self) -> Pid {
        let starter = Pid::from_child(&self.child);
        children(starter).first().copied().unwrap_or(starter)
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// Ends it as the power does.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// Asks it to end, and waits; it must end well.
    pub fn stop(self) {
        let status = self.stopped();
        assert!(status.success(), "{status}");
    }

    /// Asks it to end, unless it has, and waits.
    pub fn stopped(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client that takes a cut for an answer.
    pub fn client(&self) -> Client {
        client(&self.address())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A client of this address that takes a cut for an answer.
pub fn client(address: &str) -> Client {
    let options = ClientOptions {
        retries: 0,
        timeout: Duration::from_secs(20),
        plaintext: true,
        ..ClientOptions::default()
    };
    let address: ServerAddress = address.parse().unwrap();
    Client::new(address, options)
}

/// Kills a process and those that it started. What traces another process is ended by the end of
/// that process; killed itself, it would set it free.
fn end(child: &mut Child) {
    let below = children(Pid::from_child(child));
    if below.is_empty() {
        let _ = child.kill();
    }
    for pid in below {
        let _ = kill_process(pid, Signal::KILL);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The processes that a process started and that run.
fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}
