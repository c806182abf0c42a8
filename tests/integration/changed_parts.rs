//! Of a file that resembles one on the other side only what differs crosses the wire.

use std::fs::File;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::harness::{RunningServer, noise, serve, stderr, stdout};
use crate::tools::proxy::{Direction, Fault, Proxy};

const MIB: usize = 1024 * 1024;

/// The size of the file that is changed.
const SIZE: usize = 64 * MIB;

/// What an edit costs at the most besides the bytes that are new: the blocks around both of its
/// ends, at their largest, and a few more until the cuts are the same again.
const AROUND: usize = 2 * MIB;

/// What everything that is not content costs at the most: the handshake, and the list of blocks.
const TALK: usize = 256 * 1024;

/// What is done to a file, and how many bytes of it are new.
fn edits() -> Vec<(&'static str, Vec<u8>, usize)> {
    let before = noise(1, SIZE);
    let with = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut after = before.clone();
        edit(&mut after);
        after
    };
    let middle = SIZE / 2;
    vec![
        (
            "1 MiB changed in the middle",
            with(&|file| file[middle..middle + MIB].copy_from_slice(&noise(2, MIB))),
            MIB,
        ),
        (
            "1 byte inserted at the front",
            with(&|file| file.insert(0, 7)),
            1,
        ),
        ("appended to", with(&|file| file.extend(noise(3, MIB))), MIB),
        (
            "truncated",
            with(&|file| file.truncate(SIZE - 3 * MIB - 1)),
            0,
        ),
        (
            "halves exchanged",
            with(&|file| file.rotate_left(middle - 12_345)),
            0,
        ),
    ]
}

/// Writes a file that nobody takes for a young one, whose id need not be believed.
fn write(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
    let hour = Duration::from_secs(3600);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - hour).unwrap();
}

/// A server that can be reached through a wire that counts.
struct Setting {
    root: TempDir,
    desk: TempDir,
    server: RunningServer,
    wire: Proxy,
}

impl Setting {
    fn new(options: &[&str]) -> Self {
        Self::with(options, |_, _| Fault::None)
    }

    fn with(options: &[&str], faults: impl Fn(usize, Direction) -> Fault + Send + 'static) -> Self {
        let root = tempfile::tempdir().unwrap();
        let options = [&["--anonymous", "editor"], options].concat();
        let server = serve(root.path(), &options);
        Setting {
            wire: Proxy::start(server.address(), faults),
            root,
            desk: tempfile::tempdir().unwrap(),
            server,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (wire, desk) = (self.wire.address(), self.desk.path());
        let mut client = self.server.client_by(wire, desk, arguments);
        client.env("XDG_STATE_HOME", desk.join(".state"));
        client.output().unwrap()
    }

    /// Runs a client that must succeed; returns what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        stdout(&output)
    }

    /// What crossed the wire, both ways, since this was asked last.
    fn passed(&self) -> usize {
        Direction::BOTH
            .map(|way| self.wire.passed(way))
            .iter()
            .sum()
    }

    fn remote(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root.path().join(name)).unwrap()
    }
}

/// The number after `"sent":` in the summary.
fn sent(json: &str) -> usize {
    let (_, rest) = json.rsplit_once("\"sent\":").unwrap();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
    rest[..digits].parse().unwrap()
}

#[test]
fn an_upload_sends_what_differs_over_tls() {
    uploads(&[]);
}

#[test]
fn an_upload_sends_what_differs_in_plaintext() {
    uploads(&["--plaintext"]);
}

fn uploads(options: &[&str]) {
    let setting = Setting::new(options);
    let (local, remote) = (setting.desk.path().join("f"), setting.root.path().join("f"));
    for (what, after, new) in edits() {
        write(&remote, &noise(1, SIZE));
        setting.ok(&["stat", "f"]);
        write(&local, &after);
        setting.passed();
        let json = setting.ok(&["put", "f", "--on-conflict", "overwrite", "--json"]);
        let passed = setting.passed();
        assert!(setting.remote("f") == after, "{what}");
        assert!(sent(&json) <= new + AROUND, "{what}: {json}");
        assert!(sent(&json) >= new, "{what}: {json}");
        assert!(passed <= sent(&json) + TALK, "{what}: {passed} bytes");
    }
}
