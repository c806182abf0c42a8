//! Clients that fetch files from each other (contract section 8), as real processes.

mod evil;
#[cfg(target_os = "linux")]
mod networks;
mod one_shot;
#[cfg(unix)]
mod outages;
mod strangers;
#[cfg(unix)]
mod terminals;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::harness::RunningServer;

/// How long anything may take that is to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder to work in, with a home of its own.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder of files to offer.
    fn shelf(&self, files: &[(&str, &[u8])]) -> PathBuf {
        let shelf = self.path().join("shelf");
        std::fs::create_dir_all(&shelf).unwrap();
        for (name, content) in files {
            std::fs::write(shelf.join(name), content).unwrap();
        }
        shelf
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// A client of this desk, not started yet.
    fn client(&self, server: &RunningServer, arguments: &[&str]) -> Command {
        let mut command = server.client(self.path(), arguments);
        command.env("XDG_STATE_HOME", self.path().join("state"));
        command
    }

    /// Runs a client to its end; returns its exit code, what it printed and what it said.
    fn run(&self, server: &RunningServer, arguments: &[&str]) -> (i32, String, String) {
        let output = self.client(server, arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            crate::harness::stdout(&output),
            crate::harness::stderr(&output),
        )
    }

    /// A client that goes on: its commands come from a pipe.
    fn script(&self, server: &RunningServer) -> Running {
        Running::start(self.client(server, &[]))
    }

    /// A client that offers its shelf until it is ended.
    fn offer(&self, server: &RunningServer, name: &str, files: &[(&str, &[u8])]) -> Running {
        let shelf = self.shelf(files);
        let arguments = ["offer", "--name", name, "--dir", shelf.to_str().unwrap()];
        let mut provider = Running::start(self.client(server, &arguments));
        provider.says("[Offer Message received by Server.]");
        provider
    }
}

/// A client that runs; ended by its process id when dropped.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.try_for_each(|line| sender.send(line))
            });
        }
        Running {
            input: child.stdin.take(),
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// Gives it a line of its script.
    fn line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Waits until it says a line with this in it, and returns that.
    fn says(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("{error}: {text:?} not among {:#?}", self.heard),
            }
        }
    }

    /// Its script is over; waits for its end.
    fn end(mut self) -> (ExitStatus, Vec<String>) {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        (status, self.lines.iter().collect())
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
fn becomes(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "too late: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
