//! Transfers go on where they stopped: after cuts, kills and restarts, of either side.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{RunningServer, noise, serve, serve_in, stderr, stdout, text};

const MIB: usize = 1024 * 1024;

/// The size of the file that is moved, no whole segments.
const SIZE: usize = 12 * MIB + 12_345;

/// What crosses the wire besides content, and what is lost at a cut: less than a data frame.
const SLACK: usize = 512 * 1024;

/// How much the system takes from a sender at the most before the other side has read it: the
/// buffers of both ends, twice, because of the relay.
const SENT_AHEAD: usize = 4 * MIB;

/// What a relay does to a connection, once so many bytes went through it in one direction.
#[derive(Clone, Copy)]
enum Fault {
    Cut(usize),
    /// Nothing goes on in this direction, and nothing ends.
    Stall(usize),
}

/// Passes everything on between clients and a server, and counts it; to the first connections it
/// does what it was told.
struct Relay {
    address: String,
    passed: Arc<Mutex<[usize; 2]>>,
    stalls: Receiver<()>,
}

impl Relay {
    fn to(server: String, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let passed = Arc::default();
        let (stalled, stalls) = mpsc::channel();
        let relay = Relay {
            address,
            passed: Arc::clone(&passed),
            stalls,
        };
        let faults = faults.to_vec();
        std::thread::spawn(move || {
            let mut faults = faults.into_iter();
            for client in listener.incoming() {
                // Without a server the client is closed at once.
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                    continue;
                };
                let fault = faults.next();
                for (way, from, to) in [(0, &client, &server), (1, &server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (passed, stalled) = (Arc::clone(&passed), stalled.clone());
                    std::thread::spawn(move || pass(from, to, fault, way, &passed, &stalled));
                }
            }
        });
        relay
    }

    /// Waits until a connection has stalled.
    fn wait_for_stall(&self) {
        self.stalls.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// How many bytes went from clients to the server, and back, since this was asked last.
    fn passed(&self) -> [usize; 2] {
        std::mem::take(&mut *self.passed.lock().unwrap())
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    fault: Option<Fault>,
    way: usize,
    passed: &Mutex<[usize; 2]>,
    stalled: &Sender<()>,
) {
    let mut through = 0;
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        match fault {
            Some(Fault::Cut(after)) if through + bytes > after => break,
            // Whoever reads the other direction ends this one.
            Some(Fault::Stall(after)) if through + bytes > after => {
                let _ = stalled.send(());
                return;
            }
            _ => {}
        }
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
        through += bytes;
        passed.lock().unwrap()[way] += bytes;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// A server, and a desk to work at, with a large file on one of them.
struct Setting {
    root: TempDir,
    desk: TempDir,
    state: TempDir,
    server: RunningServer,
    content: Vec<u8>,
}

impl Setting {
    /// The file `large` is where `command` takes it from.
    fn new(command: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let setting = Setting {
            server: serve(root.path(), &[]),
            root,
            desk: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            content: noise(1, SIZE),
        };
        let from = match command {
            "get" => setting.root.path(),
            _ => setting.desk.path(),
        };
        std::fs::write(from.join("large"), &setting.content).unwrap();
        setting
    }

    fn relay(&self, faults: &[Fault]) -> Relay {
        Relay::to(self.server.address(), faults)
    }

    fn client(&self, relay: &Relay, arguments: &[&str]) -> Command {
        let mut command = self
            .server
            .client_by(&relay.address, self.desk.path(), arguments);
        command.env("XDG_STATE_HOME", self.state.path());
        command
    }

    fn run(&self, relay: &Relay, arguments: &[&str]) -> Output {
        self.client(relay, arguments).output().unwrap()
    }

    /// Runs a client that must succeed.
    fn ok(&self, relay: &Relay, arguments: &[&str]) -> Output {
        let output = self.run(relay, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        output
    }

    /// Runs a client that is cut and may not try again.
    fn cut(&self, relay: &Relay, command: &str) {
        let output = self.run(relay, &["--retries", "0", command, "large"]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    }

    fn start(&self, relay: &Relay, arguments: &[&str]) -> Child {
        let mut command = self.client(relay, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Where the file gets to.
    fn target(&self, command: &str) -> PathBuf {
        match command {
            "get" => self.desk.path().join("large"),
            _ => self.root.path().join("large"),
        }
    }

    /// The partial file of the receiving side.
    fn partial(&self, command: &str) -> Option<PathBuf> {
        match command {
            "get" => Some(self.desk.path().join(".fileshare-large.part")),
            _ => {
                let folder = self.root.path().join(".fileshare/partial");
                let mut entries = std::fs::read_dir(folder).unwrap();
                entries.next().map(|entry| entry.unwrap().path())
            }
        }
        .filter(|path| path.exists())
    }

    /// Waits until so much of the file is in the partial one.
    fn wait_for_partial(&self, command: &str, size: usize) {
        let began = Instant::now();
        let length = |path: PathBuf| path.metadata().map_or(0, |facts| facts.len() as usize);
        while self.partial(command).map_or(0, length) < size {
            assert!(began.elapsed() < Duration::from_secs(60), "never came");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn assert_arrived(&self, command: &str) {
        let arrived = std::fs::read(self.target(command)).unwrap();
        assert!(arrived == self.content, "{command}: other content");
        assert_eq!(self.partial(command), None, "{command}");
    }
}

/// In which direction content goes.
fn way(command: &str) -> usize {
    usize::from(command == "get")
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[500_000] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn after_cuts_only_the_rest_crosses_the_wire() {
    for command in ["get", "put"] {
        let setting = Setting::new(command);
        let faults = [2 * MIB, 3 * MIB, 100, 4 * MIB].map(Fault::Cut);
        let relay = setting.relay(&faults);
        let output = setting.ok(&relay, &["--json", "--retries", "5", command, "large"]);
        setting.assert_arrived(command);
        let passed = relay.passed()[way(command)];
        eprintln!("{command}: {SIZE} bytes, 4 cuts, {passed} over the wire");
        assert!(passed < SIZE + 4 * SLACK, "{command}: {passed}");
        let said = stderr(&output);
        assert!(said.contains("large: going on at "), "{said}");
        // Of the file and of the whole, only what crossed the wire is counted as sent.
        let summary = stdout(&output);
        let sent = summary.rsplit_once("\"sent\":").unwrap().1;
        let sent: usize = sent.split_once(',').unwrap().0.parse().unwrap();
        // What the system has taken from the sender counts, though a cut may have lost it there.
        let ahead = if command == "put" { SENT_AHEAD } else { 0 };
        assert!(sent < SIZE + 4 * (SLACK + ahead), "{sent}");
    }
}

#[test]
fn another_run_goes_on_after_a_cut_and_nobody_sees_the_partial_file() {
    for command in ["get", "put"] {
        let setting = Setting::new(command);
        let relay = setting.relay(&[Fault::Cut(8 * MIB)]);
        setting.cut(&relay, command);
        assert!(!setting.target(command).exists());
        setting.wait_for_partial(command, 8 * MIB - SLACK);
        let listed = stdout(&setting.ok(&relay, &["list"]));
        assert_eq!(listed.contains("large"), command == "get", "{listed}");
        assert!(!listed.contains("part"), "{listed}");
        relay.passed();
        setting.ok(&relay, &[command, "large"]);
        setting.assert_arrived(command);
        let passed = relay.passed()[way(command)];
        eprintln!("{command}: {SIZE} bytes, the rest after 8 MiB: {passed} over the wire");
        assert!(passed < SIZE - 8 * MIB + SLACK, "{command}: {passed}");
    }
}

#[test]
fn a_killed_client_goes_on_in_its_next_run() {
    for command in ["get", "put"] {
        let setting = Setting::new(command);
        let relay = setting.relay(&[Fault::Stall(8 * MIB)]);
        let child = setting.start(&relay, &[command, "large"]);
        relay.wait_for_stall();
        setting.wait_for_partial(command, 7 * MIB);
        kill(child);
        assert!(!setting.target(command).exists());
        relay.passed();
        setting.ok(&relay, &[command, "large"]);
        setting.assert_arrived(command);
        let passed = relay.passed()[way(command)];
        eprintln!("{command}: client killed after 8 MiB: {passed} over the wire");
        assert!(passed < SIZE - 7 * MIB + SLACK, "{command}: {passed}");
    }
}

#[test]
fn after_a_kill_of_the_server_the_client_goes_on_by_itself() {
    for command in ["get", "put"] {
        let mut setting = Setting::new(command);
        let relay = setting.relay(&[Fault::Stall(8 * MIB)]);
        let child = setting.start(&relay, &["--retries", "20", command, "large"]);
        relay.wait_for_stall();
        setting.wait_for_partial(command, 7 * MIB);
        relay.passed();
        let port = setting.server.port.to_string();
        setting.server.signal(rustix::process::Signal::KILL);
        setting.server.wait();
        let arguments = ["--port", &port, text(setting.root.path())];
        setting.server = serve_in(Path::new("."), &arguments);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}: {}", stderr(&output));
        setting.assert_arrived(command);
        let passed = relay.passed()[way(command)];
        eprintln!("{command}: server killed after 8 MiB: {passed} over the wire");
        assert!(passed < SIZE - 7 * MIB + SLACK, "{command}: {passed}");
    }
}

#[test]
fn what_changed_meanwhile_starts_over() {
    for command in ["get", "put"] {
        let mut setting = Setting::new(command);
        let relay = setting.relay(&[Fault::Cut(8 * MIB)]);
        setting.cut(&relay, command);
        let source = match command {
            "get" => setting.root.path().join("large"),
            _ => setting.desk.path().join("large"),
        };
        setting.content = noise(2, SIZE);
        std::fs::write(source, &setting.content).unwrap();
        relay.passed();
        setting.ok(&relay, &[command, "large"]);
        let arrived = std::fs::read(setting.target(command)).unwrap();
        assert!(arrived == setting.content, "{command}");
        assert!(relay.passed()[way(command)] > SIZE, "{command}");
    }
}

#[test]
fn a_partial_file_that_was_damaged_is_not_gone_on_with() {
    for command in ["get", "put"] {
        let setting = Setting::new(command);
        let relay = setting.relay(&[Fault::Cut(8 * MIB)]);
        setting.cut(&relay, command);
        setting.wait_for_partial(command, 8 * MIB - SLACK);
        flip_a_byte(&setting.partial(command).unwrap());
        relay.passed();
        setting.ok(&relay, &[command, "large"]);
        setting.assert_arrived(command);
        assert!(relay.passed()[way(command)] > SIZE, "{command}");
    }
}

#[test]
fn a_stream_that_has_begun_to_flow_goes_on_after_cuts() {
    let setting = Setting::new("get");
    let relay = setting.relay(&[2 * MIB, 5 * MIB].map(Fault::Cut));
    let output = setting.ok(&relay, &["get", "large", "-o", "-"]);
    assert!(output.stdout == setting.content);
    let passed = relay.passed()[1];
    eprintln!("get -o -: 2 cuts, {passed} over the wire");
    assert!(passed < SIZE + 2 * SLACK, "{passed}");
}

#[test]
fn a_stream_cannot_go_on_with_another_file() {
    let setting = Setting::new("get");
    let relay = setting.relay(&[Fault::Stall(5 * MIB)]);
    let mut child = setting.start(&relay, &["--retries", "20", "get", "large", "-o", "-"]);
    let mut output = child.stdout.take().unwrap();
    let mut begun = vec![0; 2 * MIB];
    output.read_exact(&mut begun).unwrap();
    assert!(begun == setting.content[..begun.len()]);
    std::fs::write(setting.root.path().join("large"), noise(2, SIZE)).unwrap();
    let port = setting.server.port.to_string();
    let mut setting = setting;
    setting.server.signal(rustix::process::Signal::KILL);
    setting.server.wait();
    let arguments = ["--port", &port, text(setting.root.path())];
    setting.server = serve_in(Path::new("."), &arguments);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(6), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("cannot be taken back"));
    assert!(rest == setting.content[2 * MIB..2 * MIB + rest.len()]);
}

#[test]
fn of_two_clients_with_one_target_the_second_is_told() {
    let setting = Setting::new("get");
    let relay = setting.relay(&[Fault::Stall(8 * MIB)]);
    let child = setting.start(&relay, &["get", "large"]);
    relay.wait_for_stall();
    setting.wait_for_partial("get", 7 * MIB);
    let second = setting.run(&relay, &["get", "large"]);
    assert_eq!(second.status.code(), Some(6), "{}", stderr(&second));
    assert!(stderr(&second).contains("another process"));
    kill(child);
    relay.passed();
    setting.ok(&relay, &["get", "large"]);
    setting.assert_arrived("get");
    assert!(relay.passed()[1] < SIZE - 7 * MIB + SLACK);
}

#[test]
fn of_two_uploads_of_one_file_both_end_well_and_one_wins() {
    let setting = Setting::new("put");
    let relay = setting.relay(&[Fault::Stall(8 * MIB)]);
    let child = setting.start(&relay, &["put", "large"]);
    relay.wait_for_stall();
    setting.wait_for_partial("put", 7 * MIB);
    // What the first one sent is its own as long as it is there.
    setting.ok(&relay, &["put", "large"]);
    assert!(std::fs::read(setting.target("put")).unwrap() == setting.content);
    kill(child);
}

#[test]
fn a_signal_keeps_what_came_and_says_so() {
    for command in ["get", "put"] {
        let setting = Setting::new(command);
        let relay = setting.relay(&[Fault::Stall(8 * MIB)]);
        let child = setting.start(&relay, &[command, "large"]);
        relay.wait_for_stall();
        setting.wait_for_partial(command, 7 * MIB);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(143), "{command}");
        assert!(stderr(&output).contains("goes on next time"));
        relay.passed();
        setting.ok(&relay, &[command, "large"]);
        setting.assert_arrived(command);
        let passed = relay.passed()[way(command)];
        assert!(passed < SIZE - 7 * MIB + SLACK, "{command}: {passed}");
    }
}

#[test]
fn without_a_place_for_its_secret_an_upload_goes_on_in_the_same_run_only() {
    let setting = Setting::new("put");
    let relay = setting.relay(&[4 * MIB, 6 * MIB].map(Fault::Cut));
    let no_folder = setting.desk.path().join("large");
    let run = |retries: &str| {
        let mut client = setting.client(&relay, &["--retries", retries, "put", "large"]);
        client.env("XDG_STATE_HOME", &no_folder).output().unwrap()
    };
    assert_eq!(run("0").status.code(), Some(3));
    relay.passed();
    let output = run("3");
    assert!(output.status.success(), "{}", stderr(&output));
    let passed = relay.passed()[0];
    assert!(passed > SIZE && passed < SIZE + SLACK, "{passed}");
}
