//! Of a file that resembles one on the other side only what differs crosses the wire.

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fileshare::client::{Client, ClientOptions, FileReport, Source, Status, Upload};
use fileshare::digest::{Block, BlockSize, Hasher};
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, UploadResult, WireBlock, WireRange,
};
use fileshare::protocol::{ErrorCode, WireDigest, WireItem};
use fileshare::transfer::Silent;
use fileshare::types::{Digest, FileName, OnConflict, Precondition};
use tempfile::TempDir;

use crate::guest::{self, Guest};
use crate::harness::{RunningServer, noise, serve, stderr, stdout};
use crate::tools::evil_server::{EvilServer, Say, begin, end as ends, entry, say};
use crate::tools::proxy::{Direction, Fault, Proxy};
use crate::tools::transport::Transport;
use crate::wire::{end, upload_file};

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

#[test]
fn a_download_fetches_what_differs_over_tls() {
    downloads(&[]);
}

#[test]
fn a_download_fetches_what_differs_in_plaintext() {
    downloads(&["--plaintext"]);
}

fn downloads(options: &[&str]) {
    let setting = Setting::new(options);
    let (local, remote) = (setting.desk.path().join("f"), setting.root.path().join("f"));
    for (what, after, new) in edits() {
        write(&local, &noise(1, SIZE));
        write(&remote, &after);
        setting.ok(&["stat", "f"]);
        setting.wait_for_id("f");
        setting.passed();
        let json = setting.ok(&["get", "f", "--on-conflict", "overwrite", "--json"]);
        let passed = setting.passed();
        assert!(std::fs::read(&local).unwrap() == after, "{what}");
        assert!(sent(&json) <= new + AROUND, "{what}: {json}");
        assert!(sent(&json) >= new, "{what}: {json}");
        assert!(passed <= sent(&json) + TALK, "{what}: {passed} bytes");
        assert_eq!(setting.parts(), [] as [String; 0], "{what}");
    }
}

#[test]
fn what_resembles_nothing_costs_hardly_more_than_sending_it() {
    let size = 16 * MIB;
    let setting = Setting::new(&["--plaintext"]);
    let (local, remote) = (setting.desk.path().join("f"), setting.root.path().join("f"));
    for command in ["put", "get"] {
        let (mine, theirs) = (noise(5, size + 1), noise(6, size));
        write(&local, &mine);
        write(&remote, &theirs);
        setting.wait_for_id("f");
        setting.passed();
        let json = setting.ok(&[command, "f", "--on-conflict", "overwrite", "--json"]);
        let passed = setting.passed();
        assert!(std::fs::read(&local).unwrap() == setting.remote("f"));
        let whole = if command == "put" { size + 1 } else { size };
        assert_eq!(sent(&json), whole, "{command}: {json}");
        // 20 bytes for each block, and 5 for each frame.
        assert!(passed < whole + whole / 500 + 4096, "{command}: {passed}");
    }
}

#[test]
fn what_is_the_same_is_not_touched() {
    let setting = Setting::new(&["--plaintext"]);
    for place in [&setting.desk, &setting.root] {
        write(&place.path().join("f"), &noise(5, 4 * MIB));
    }
    setting.wait_for_id("f");
    for command in ["put", "get"] {
        setting.passed();
        let json = setting.ok(&[command, "f", "--on-conflict", "overwrite", "--json"]);
        assert!(json.contains("unchanged"), "{json}");
        assert_eq!(sent(&json), 0);
        assert!(setting.passed() < 4096);
    }
}

#[test]
fn a_file_of_one_byte_over_and_over_goes_as_copies() {
    let setting = Setting::new(&["--plaintext"]);
    let before = vec![0; 8 * MIB];
    let mut after = before.clone();
    after[4 * MIB] = 1;
    for command in ["put", "get"] {
        let (from, to) = match command {
            "put" => (&setting.desk, &setting.root),
            _ => (&setting.root, &setting.desk),
        };
        write(&from.path().join("f"), &after);
        write(&to.path().join("f"), &before);
        setting.wait_for_id("f");
        let json = setting.ok(&[command, "f", "--on-conflict", "overwrite", "--json"]);
        assert!(std::fs::read(to.path().join("f")).unwrap() == after);
        assert!(sent(&json) <= MIB, "{command}: {json}");
    }
}

#[test]
fn a_cut_upload_of_changed_parts_loses_little() {
    cut_in_the_middle("put");
}

#[test]
fn a_cut_download_of_changed_parts_loses_little() {
    cut_in_the_middle("get");
}

/// 8 MiB are new, in four places, and the wire is cut after 5: the rest follows, in the same run and
/// in another one.
fn cut_in_the_middle(command: &'static str) {
    const NEW: usize = 8 * MIB;
    let before = noise(1, 32 * MIB);
    let mut after = before.clone();
    for part in 0..4 {
        let at = part * 8 * MIB + MIB;
        after.splice(at..at + MIB, noise(20 + part as u64, NEW / 4));
    }
    let from_sender = match command {
        "put" => Direction::ToServer,
        _ => Direction::ToClient,
    };
    for retries in ["0", "3"] {
        let setting =
            Setting::with(&["--plaintext"], move |connection, direction| {
                match connection == 0 && direction == from_sender {
                    true => Fault::CutAfter(5 * MIB),
                    false => Fault::None,
                }
            });
        let (from, to) = match command {
            "put" => (&setting.desk, &setting.root),
            _ => (&setting.root, &setting.desk),
        };
        write(&from.path().join("f"), &after);
        write(&to.path().join("f"), &before);
        setting.server.ok(setting.desk.path(), &["stat", "f"]);
        setting.wait_for_id("f");
        let arguments = [
            "--retries",
            retries,
            command,
            "f",
            "--on-conflict",
            "overwrite",
        ];
        let output = setting.run(&arguments);
        if retries == "0" {
            assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
            assert!(std::fs::read(to.path().join("f")).unwrap() == before);
            setting.ok(&arguments);
        } else {
            assert!(output.status.success(), "{}", stderr(&output));
        }
        assert!(std::fs::read(to.path().join("f")).unwrap() == after);
        // Around each of the four places, and what was on its way.
        let passed = setting.passed();
        let most = NEW + AROUND + 2 * TALK + MIB;
        assert!(passed <= most, "{command} {retries}: {passed} of {most}");
        assert_eq!(setting.parts(), [] as [String; 0]);
    }
}

impl Setting {
    /// Waits until the server knows the file's id.
    fn wait_for_id(&self, name: &str) {
        for _ in 0..600 {
            let json = self.server.ok(self.desk.path(), &["stat", name, "--json"]);
            if !json.contains("\"id\":null") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} is never hashed");
    }

    /// What is left of downloads.
    fn parts(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.desk.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".part")).collect()
    }

    /// How much there is of the file `f` that is on its way.
    fn partial_bytes(&self, command: &str) -> u64 {
        let length = |path: &Path| path.metadata().map_or(0, |facts| facts.len());
        match command {
            "get" => length(&self.desk.path().join(".fileshare-f.part")),
            _ => {
                let partials = std::fs::read_dir(self.root.path().join(".fileshare/partial"));
                let partials = partials.into_iter().flatten();
                partials.map(|entry| length(&entry.unwrap().path())).sum()
            }
        }
    }

    fn client(&self) -> Client {
        let options = ClientOptions {
            plaintext: true,
            ..ClientOptions::default()
        };
        Client::new(self.wire.address().parse().unwrap(), options)
    }

    /// Uploads the local file `f` as this, from a file that the server has.
    fn put_from(&self, name: &str, on_conflict: OnConflict, basis: Digest) -> FileReport {
        let upload = Upload {
            source: Source::Path(self.desk.path().join("f")),
            name: FileName::parse(name).unwrap(),
            on_conflict,
            precondition: Precondition::default(),
            basis: Some(basis),
        };
        let mut client = self.client();
        let mut reports = Vec::new();
        runtime().block_on(async {
            let report = &mut |file: FileReport| reports.push(file);
            let silent = Arc::new(Silent);
            client
                .put(vec![upload], false, silent, report)
                .await
                .unwrap();
        });
        assert_eq!(reports.len(), 1);
        reports.pop().unwrap()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().worker_threads(1).build().unwrap()
}

#[test]
fn what_the_server_has_under_another_name_is_copied_there() {
    let setting = Setting::new(&["--plaintext"]);
    for (name, content) in [("large", noise(7, 3 * MIB)), ("small", b"small".to_vec())] {
        write(&setting.root.path().join(name), &content);
        write(&setting.desk.path().join("f"), &content);
        setting.wait_for_id(name);
        setting.passed();
        let copy = format!("moved/{name}");
        let basis = Hasher::digest_of(&content);
        let done = setting
            .put_from(&copy, OnConflict::Error, basis)
            .outcome
            .unwrap();
        assert_eq!((done.status, done.sent), (Status::Done, 0));
        assert_eq!(done.entry.unwrap().id, Some(basis));
        assert!(setting.remote(&copy) == content);
        assert!(setting.passed() < 4096);
    }
    // A name that is taken stays taken.
    let basis = Hasher::digest_of(b"small");
    let refused = setting.put_from("moved/large", OnConflict::Error, basis);
    assert_eq!(refused.outcome.unwrap_err().code, ErrorCode::AlreadyExists);
}

#[test]
fn what_the_server_has_not_is_sent() {
    let setting = Setting::new(&["--plaintext"]);
    let content = noise(8, 2 * MIB);
    write(&setting.desk.path().join("f"), &content);
    let nowhere = Hasher::digest_of(b"nowhere");
    let done = setting
        .put_from("new", OnConflict::Error, nowhere)
        .outcome
        .unwrap();
    assert_eq!(
        (done.status, done.sent),
        (Status::Done, content.len() as u64)
    );
    assert!(setting.remote("new") == content);
    // One that is there, and is something else.
    write(&setting.root.path().join("other"), &noise(9, 2 * MIB));
    setting.wait_for_id("other");
    let other = Hasher::digest_of(&noise(9, 2 * MIB));
    let done = setting
        .put_from("newer", OnConflict::Error, other)
        .outcome
        .unwrap();
    assert_eq!(
        (done.status, done.sent),
        (Status::Done, content.len() as u64)
    );
}

#[test]
fn a_contributor_may_copy_what_is_read_and_overwrite_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &["--plaintext"]);
    let wire = Proxy::start(server.address(), |_, _| Fault::None);
    let desk = tempfile::tempdir().unwrap();
    let setting = Setting {
        root,
        desk,
        server,
        wire,
    };
    let content = noise(7, 2 * MIB);
    write(&setting.root.path().join("a"), &content);
    write(&setting.root.path().join("b"), b"b");
    write(&setting.desk.path().join("f"), &content);
    setting.wait_for_id("a");
    let basis = Hasher::digest_of(&content);
    let done = setting
        .put_from("c", OnConflict::Error, basis)
        .outcome
        .unwrap();
    assert_eq!(done.sent, 0);
    let refused = setting.put_from("b", OnConflict::Overwrite, basis);
    assert_eq!(refused.outcome.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(setting.remote("b"), b"b");
}

/// Begins an upload of one file that is put together from `basis`.
async fn begin_patch(guest: &mut Guest, name: &str, size: Option<u64>, basis: WireDigest) {
    guest.ask(ClientBody::Upload { files: 1 }).await.unwrap();
    let files = vec![upload_file(name, size)];
    guest.tell(ClientBody::UploadPage { files }).await.unwrap();
    assert!(matches!(
        guest.hear().await.unwrap(),
        ServerBody::UploadReady { .. }
    ));
    let patch = FileMessage::Patch {
        index: 0,
        offset: 0,
        basis,
    };
    guest.tell(ClientBody::File(patch)).await.unwrap();
}

fn copy(offset: u64, length: u64) -> ClientBody {
    ClientBody::File(FileMessage::Copy(WireRange { offset, length }))
}

/// How the server ends the upload of one file.
async fn ended(guest: &mut Guest) -> Result<(), ErrorCode> {
    let results = match guest.hear().await.unwrap() {
        ServerBody::UploadResults { results } => results,
        other => panic!("{other:?}"),
    };
    assert_eq!(guest.hear().await.unwrap(), ServerBody::UploadEnd);
    match &results[..] {
        [UploadResult::Stored { .. }] => Ok(()),
        [UploadResult::Failed { code, .. }] => Err(ErrorCode::from_number(*code)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hostile_patch_fails_alone() {
    let setting = Setting::new(&["--plaintext"]);
    let content = noise(7, MIB);
    write(&setting.root.path().join("a"), &content);
    setting.wait_for_id("a");
    let id = WireDigest::from(Hasher::digest_of(&content));
    let whole = Hasher::digest_of(&content);
    runtime().block_on(async {
        let address = setting.server.address();
        let mut guest = guest::visit(Transport::Plaintext, &address).await.unwrap();
        let size = content.len() as u64;
        let unknown = WireDigest::from(Hasher::digest_of(b"nowhere"));
        let short = WireDigest::new(1, &id.bytes()[..6]).unwrap();
        let foreign = WireDigest::new(9, id.bytes()).unwrap();
        for (basis, part, announced, expected) in [
            (unknown, copy(0, size), Some(size), ErrorCode::NotFound),
            (short, copy(0, size), Some(size), ErrorCode::Protocol),
            (foreign, copy(0, size), Some(size), ErrorCode::Protocol),
            (id.clone(), copy(1, size), Some(size), ErrorCode::Conflict),
            (id.clone(), copy(u64::MAX - 5, 5), None, ErrorCode::Conflict),
            (
                id.clone(),
                copy(0, size - 1),
                Some(size - 1),
                ErrorCode::DigestMismatch,
            ),
            (
                id.clone(),
                copy(0, size - 1),
                Some(size),
                ErrorCode::DigestMismatch,
            ),
            (
                id.clone(),
                copy(0, size),
                Some(size - 1),
                ErrorCode::Protocol,
            ),
        ] {
            begin_patch(&mut guest, "new", announced, basis).await;
            guest.tell(part).await.unwrap();
            guest.tell(end(whole)).await.unwrap();
            assert_eq!(ended(&mut guest).await, Err(expected));
            guest.ping().await.unwrap();
        }
        // Every byte on its own, which is allowed and costs whoever does it.
        begin_patch(&mut guest, "new", Some(20_000), id.clone()).await;
        let mut bytes = Vec::new();
        for offset in 0..20_000 {
            let (number, body) = (guest.number(), copy(offset, 1));
            bytes.extend(guest::frame(&ClientMessage { number, body }));
        }
        guest.write(&bytes).await.unwrap();
        guest
            .tell(end(Hasher::digest_of(&content[..20_000])))
            .await
            .unwrap();
        assert_eq!(ended(&mut guest).await, Ok(()));
        // The basis is replaced and removed in the middle: what was opened is copied on.
        begin_patch(&mut guest, "newer", Some(size), id.clone()).await;
        guest.tell(copy(0, 1000)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::remove_file(setting.root.path().join("a")).unwrap();
        guest.tell(copy(1000, size - 1000)).await.unwrap();
        guest.tell(end(whole)).await.unwrap();
        assert_eq!(ended(&mut guest).await, Ok(()));
        // It is changed in its place: what comes of that is not what was said.
        begin_patch(&mut guest, "newest", Some(size), id.clone()).await;
        guest.tell(copy(0, 1000)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let newer = File::options()
            .write(true)
            .open(setting.root.path().join("newer"));
        std::os::unix::fs::FileExt::write_all_at(&newer.unwrap(), b"changed", 5000).unwrap();
        guest.tell(copy(1000, size - 1000)).await.unwrap();
        guest.tell(end(whole)).await.unwrap();
        assert_eq!(ended(&mut guest).await, Err(ErrorCode::DigestMismatch));
        guest.ping().await.unwrap();
    });
    assert!(setting.remote("new") == content[..20_000]);
    assert!(!setting.root.path().join("newest").exists());
}

#[test]
fn blocks_that_cannot_be_told_are_refused() {
    let setting = Setting::new(&["--plaintext"]);
    write(&setting.root.path().join("a"), b"hello");
    write(&setting.root.path().join("empty"), b"");
    setting.wait_for_id("a");
    setting.wait_for_id("empty");
    runtime().block_on(async {
        let address = setting.server.address();
        let mut guest = guest::visit(Transport::Plaintext, &address).await.unwrap();
        let id = |content: &[u8]| WireDigest::from(Hasher::digest_of(content));
        let hello = id(b"hello");
        for (id, average, expected) in [
            (id(b"nowhere"), 65_536, ErrorCode::NotFound),
            (hello.clone(), 65_535, ErrorCode::Usage),
            (hello.clone(), 8 << 20, ErrorCode::Usage),
            (
                WireDigest::new(1, &hello.bytes()[..8]).unwrap(),
                65_536,
                ErrorCode::Protocol,
            ),
        ] {
            guest
                .ask(ClientBody::Signature { id, average })
                .await
                .unwrap();
            match guest.hear().await.unwrap() {
                ServerBody::Refused { code, .. } => assert_eq!(code, expected.number()),
                other => panic!("{other:?}"),
            }
        }
        for (content, blocks) in [(&b"hello"[..], 1), (b"", 0)] {
            let id = id(content);
            let average = 65_536;
            guest
                .ask(ClientBody::Signature { id, average })
                .await
                .unwrap();
            let mut lengths = Vec::new();
            loop {
                match guest.hear().await.unwrap() {
                    ServerBody::Signature { blocks, last } => {
                        lengths.extend(blocks.iter().map(|block| block.length as usize));
                        if last {
                            break;
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(lengths.len(), blocks);
            assert_eq!(lengths.iter().sum::<usize>(), content.len());
        }
    });
}

/// What a server sends of a file.
type Content = fn(&[u8]) -> Vec<Say>;

/// A server whose answer to `Signature` is this, and which sends the ranges that it is asked for as
/// `ranges` says.
fn lying(blocks: Vec<WireBlock>, ranges: Content) -> EvilServer {
    let content = noise(11, 2 * MIB);
    let standing = entry("f", &content);
    EvilServer::start(Transport::Plaintext, move |request| match request {
        ClientBody::Stat { .. } => vec![say(ServerBody::Item(WireItem::File(standing.clone())))],
        ClientBody::Signature { .. } => {
            let blocks = blocks.clone();
            vec![say(ServerBody::Signature { blocks, last: true })]
        }
        ClientBody::DownloadPage { .. } => {
            let mut said = vec![begin(0, Some(standing.clone()))];
            said.extend(ranges(&content));
            said
        }
        _ => Vec::new(),
    })
}

#[test]
fn a_server_that_lies_about_blocks_changes_nothing() {
    let mine = noise(12, 2 * MIB);
    let length = |length: u32| WireBlock {
        length,
        hash: [7; 16],
    };
    let largest = 4 * 65_536;
    let mut right = vec![length(largest); 7];
    let mut first = Vec::new();
    let size = BlockSize::new(65_536).unwrap();
    size.cut(&mine, true, &mut |block| first.push(Block::of(block)));
    let known = WireBlock {
        length: first[0].length,
        hash: first[0].hash,
    };
    right.push(length(largest - known.length));
    right.push(known);
    let all = |content: &[u8]| vec![Say::Data(content[..MIB].to_vec()), ends(content)];
    let cases: Vec<(Vec<WireBlock>, Content)> = vec![
        // Not all of the file, more than the file, blocks too small, too large, of nothing.
        (vec![length(largest)], all),
        (vec![length(largest); 9], all),
        (vec![length(1000); 4], all),
        (vec![length(largest + 1); 8], all),
        (vec![length(0); 4], all),
        (vec![], all),
        // The list adds up, and then less comes than was asked for, or more.
        (right.clone(), all),
        (right.clone(), |content| {
            vec![
                Say::Data(content[..MIB].to_vec()),
                Say::Data(content.to_vec()),
            ]
        }),
        // As much as was asked for, and other bytes: it is asked for once more as a whole.
        (right.clone(), |content| {
            let first = 7 * 262_144;
            vec![Say::Data(content[..first].to_vec()), ends(content)]
        }),
    ];
    for (number, (blocks, ranges)) in cases.into_iter().enumerate() {
        let server = lying(blocks, ranges);
        let desk = tempfile::tempdir().unwrap();
        write(&desk.path().join("f"), &mine);
        let output = server.run(desk.path(), &["get", "f", "--on-conflict", "overwrite"]);
        assert_eq!(
            output.status.code(),
            Some(10),
            "{number}: {}",
            stderr(&output)
        );
        assert!(
            std::fs::read(desk.path().join("f")).unwrap() == mine,
            "{number}"
        );
    }
}

/// Both sides are killed in the middle of a patch, and it is right after all.
#[test]
fn who_is_killed_in_the_middle_leaves_the_old_file_and_goes_on() {
    let before = noise(1, 24 * MIB);
    let mut after = before.clone();
    after.splice(2 * MIB..14 * MIB, noise(2, 12 * MIB));
    for command in ["put", "get"] {
        let setting = Setting::new(&["--plaintext"]);
        let (from, to) = match command {
            "put" => (&setting.desk, &setting.root),
            _ => (&setting.root, &setting.desk),
        };
        write(&from.path().join("f"), &after);
        write(&to.path().join("f"), &before);
        setting.wait_for_id("f");
        let slow = [
            "--limit-rate",
            "4M",
            command,
            "f",
            "--on-conflict",
            "overwrite",
        ];
        let (wire, desk) = (setting.wire.address(), setting.desk.path());
        let mut client = setting.server.client_by(wire, desk, &slow);
        client.env("XDG_STATE_HOME", desk.join(".state"));
        client.stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = client.spawn().unwrap();
        while setting.partial_bytes(command) < 7 * MIB as u64 {
            assert!(
                client.try_wait().unwrap().is_none(),
                "it is through already"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        client.kill().unwrap();
        client.wait().unwrap();
        assert!(std::fs::read(to.path().join("f")).unwrap() == before);
        setting.passed();
        setting.ok(&[command, "f", "--on-conflict", "overwrite"]);
        assert!(std::fs::read(to.path().join("f")).unwrap() == after);
        let passed = setting.passed();
        assert!(passed < 10 * MIB, "{command}: {passed}");
        assert_eq!(setting.parts(), [] as [String; 0]);
    }
}

/// More files than are asked about at a time.
#[test]
fn many_changed_files_go_in_several_rounds() {
    let setting = Setting::new(&["--plaintext"]);
    let names: Vec<String> = (0..35).map(|number| format!("f{number}")).collect();
    let changed = |number: usize, command: &str| {
        let mut content = noise(number as u64, MIB + 1);
        content[MIB / 2] ^= u8::from(command == "get") + 1;
        content
    };
    for (number, name) in names.iter().enumerate() {
        let content = noise(number as u64, MIB + 1);
        write(&setting.root.path().join(name), &content);
        write(&setting.desk.path().join(name), &content);
        setting.wait_for_id(name);
    }
    for command in ["put", "get"] {
        let (from, to) = match command {
            "put" => (&setting.desk, &setting.root),
            _ => (&setting.root, &setting.desk),
        };
        for (number, name) in names.iter().enumerate() {
            write(&from.path().join(name), &changed(number, command));
            setting.wait_for_id(name);
        }
        let mut arguments = vec![command, "--on-conflict", "overwrite", "--json"];
        arguments.extend(names.iter().map(String::as_str));
        let dry = setting.ok(&[&arguments[..], &["--dry-run"]].concat());
        assert_eq!(dry.matches("would_transfer").count(), 35, "{command}");
        let json = setting.ok(&arguments);
        assert!(json.contains("\"files\":35"), "{json}");
        assert_eq!(json.matches("\"done\"").count(), 35, "{json}");
        // Of each file some blocks, and never all of it.
        assert!(sent(&json) < 20 * MIB, "{command}: {}", sent(&json));
        for (number, name) in names.iter().enumerate() {
            let arrived = std::fs::read(to.path().join(name)).unwrap();
            assert!(arrived == changed(number, command), "{name}");
        }
    }
}
