//! The server goes and comes back while many clients are registered: real processes.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{RunningServer, serve, serve_in, text};

const CLIENTS: usize = 12;

/// How long the server is gone: longer than a client waits for an acknowledgement.
const GONE: Duration = Duration::from_secs(3);

/// A client that has registered, offers a file, and waits for more lines until it is dropped.
struct Offering(Child);

impl Offering {
    fn start(server: &RunningServer, desk: &Path, name: &str) -> Self {
        let mut command = server.client(desk, &[]);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = format!("register {name}\nsetdir .\noffer file\n");
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        Offering(child)
    }
}

impl Drop for Offering {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the server's table has so many offers; returns how long that took.
fn until_offered(server: &RunningServer, config: &Path, desk: &Path, many: usize) -> Duration {
    let start = Instant::now();
    loop {
        let mut asking = server.client(desk, &["--json", "offers"]);
        let output = asking.env("XDG_CONFIG_HOME", config).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let offers = lines.matches(r#""type":"offer""#).count();
        if offers == many {
            return start.elapsed();
        }
        let waited = start.elapsed();
        assert!(
            waited < Duration::from_secs(40),
            "{offers} of {many}: {lines}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn desk() -> TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("file"), "content\n").unwrap();
    desk
}

#[test]
fn who_was_registered_is_back_by_himself_within_10_s() {
    let (root, desk) = (tempfile::tempdir().unwrap(), desk());
    let mut server = serve(root.path(), &[]);
    let config = server.config().to_owned();
    let _offering: Vec<Offering> = (0..CLIENTS)
        .map(|number| Offering::start(&server, desk.path(), &format!("p{number}")))
        .collect();
    until_offered(&server, &config, desk.path(), CLIENTS);
    // Their clients' settings are there until the end.
    let mut gone = Vec::new();
    // Killed, and told to stop: both are an end.
    for signal in [Signal::KILL, Signal::TERM] {
        let port = server.port.to_string();
        server.signal(signal);
        server.wait();
        std::thread::sleep(GONE);
        let again = serve_in(Path::new("."), &["--port", &port, text(root.path())]);
        gone.push(std::mem::replace(&mut server, again));
        let back = until_offered(&server, &config, desk.path(), CLIENTS);
        assert!(back <= Duration::from_secs(11), "{back:?}");
    }
}
