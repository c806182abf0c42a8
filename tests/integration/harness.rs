//! The programs, run as a user runs them.
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

pub const CLIENT: &str = env!("CARGO_BIN_EXE_fileshare-client");
pub const SERVER: &str = env!("CARGO_BIN_EXE_fileshare-server");

/// An address where nobody listens: the discard service is long gone.
pub const NOBODY: &str = "127.0.0.1:9";

/// A program without what the tester's own environment says, and away from the tester's own files:
/// what a client remembers of servers goes to a folder of this test run. Clients of a
/// [`RunningServer`] have one of that server's own.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    let config = format!(
        "{}/config-{}",
        env!("CARGO_TARGET_TMPDIR"),
        std::process::id()
    );
    command.env("XDG_CONFIG_HOME", config);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FILESHARE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server process on a port that the system chose; ended by its process id when dropped.
pub struct RunningServer {
    child: Child,
    /// The port that it listens on.
    pub port: u16,
    /// What it said on standard output besides its first line.
    said: Receiver<String>,
    /// Whether it was started with `--plaintext`; its clients say it too.
    pub plaintext: bool,
    /// Where its clients keep their settings: the key of another server that had the same port
    /// never looks like a changed one, and no tester's own list of servers is touched.
    config: tempfile::TempDir,
}

/// A server of `root` with these options more.
pub fn serve(root: &Path, options: &[&str]) -> RunningServer {
    serve_in(
        Path::new("."),
        &[&["--port", "0"], options, &[text(root)]].concat(),
    )
}

/// A server without TLS: for tests that speak raw bytes, or look at or change them on the way.
pub fn serve_plaintext(root: &Path, options: &[&str]) -> RunningServer {
    serve(root, &[&["--plaintext"], options].concat())
}

/// A server run in a folder with exactly these arguments, one of which makes it choose a port.
pub fn serve_in(folder: &Path, arguments: &[&str]) -> RunningServer {
    let mut command = clean(SERVER);
    command
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "warn");
    start(command)
}

/// A server run in a way of its own; the command must become the server and not only start it.
pub fn start(mut command: Command) -> RunningServer {
    let plaintext = command.get_args().any(|argument| argument == "--plaintext");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().expect("a first line").unwrap();
    let address = first
        .strip_prefix("fileshare-server listening on ")
        .unwrap_or_else(|| panic!("{first:?}"));
    let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let (sender, said) = mpsc::channel();
    // Reads to the end, so that the server never waits for somebody to listen.
    std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    RunningServer {
        child,
        port,
        said,
        plaintext,
        config: tempfile::tempdir().unwrap(),
    }
}

impl RunningServer {
    /// A client of this server with these arguments, not started yet.
    pub fn client(&self, folder: &Path, arguments: &[&str]) -> Command {
        self.client_by(&self.address(), folder, arguments)
    }

    /// A client that reaches this server by another address, as through a proxy.
    pub fn client_by(&self, address: &str, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = clean(CLIENT);
        if self.plaintext {
            command.arg("--plaintext");
        }
        command
            .args(["--server", address])
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.config())
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    /// The folder where its clients keep their settings, `XDG_CONFIG_HOME` to them.
    pub fn config(&self) -> &Path {
        self.config.path()
    }

    /// Runs a client in a folder.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> Output {
        self.client(folder, arguments).output().unwrap()
    }

    /// Runs a client that must succeed, and returns what it printed.
    pub fn ok(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.run(folder, arguments);
        let errors = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        stdout(&output)
    }

    /// Runs a client that must fail with this exit code, and returns what it said of it.
    pub fn fails(&self, folder: &Path, arguments: &[&str], code: i32) -> String {
        let output = self.run(folder, arguments);
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        errors
    }

    /// Where it listens, to be typed after `--server`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output after the first.
    pub fn line(&self) -> String {
        self.said.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    /// Sends a signal to it.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        for _ in 0..1500 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server did not end");
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The MD5 of a file as hex digits.
pub fn md5(path: &Path) -> String {
    fileshare::digest::Hasher::digest_of(&std::fs::read(path).unwrap()).to_string()
}

/// Bytes that do not compress, other ones for every seed (xorshift).
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
