//! What a client does with a server that lies: nothing but what was asked for is ever written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fileshare::client::{
    Client, ClientError, ClientOptions, Download, FileReport, ListQuery, Target,
};
use fileshare::digest::Hasher;
use fileshare::protocol::message::{ClientBody, FileMessage, ServerBody};
use fileshare::protocol::{ErrorCode, WireEntry, WireItem};
use fileshare::transfer::Silent;
use fileshare::types::{FileName, FileRef, OnConflict};

use crate::harness::{stderr, stdout};
use crate::tools::assert_harmless;
use crate::tools::evil_server::{EvilServer, Say, begin, download, end, entry, say};
use crate::tools::transport::Transport;

/// A client in this process, as a program would use it.
fn client_of(server: &EvilServer) -> Client {
    let options = ClientOptions {
        retries: 0,
        plaintext: true,
        ..ClientOptions::default()
    };
    Client::new(server.address().parse().unwrap(), options)
}

/// Asks for `a` into a fresh folder and returns the failure; checks that nothing was written.
async fn get_a(script: Vec<Say>) -> ClientError {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("inbox");
    std::fs::create_dir(&folder).unwrap();
    let server = EvilServer::saying(Transport::Plaintext, script);
    let mut client = client_of(&server);
    let download = Download {
        file: FileRef::Name(FileName::parse("a").unwrap()),
        known: None,
        target: Target::Folder(folder.clone()),
        on_conflict: OnConflict::Overwrite,
    };
    let mut outcome = None;
    let mut report = |file: FileReport| outcome = Some(file.outcome);
    client
        .get(vec![download], false, Arc::new(Silent), &mut report)
        .await
        .unwrap();
    assert_eq!(names(outer.path()), ["inbox"]);
    assert_eq!(names(&folder), [] as [&str; 0]);
    outcome.expect("a report").expect_err("a failure")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test]
async fn another_name_than_the_one_asked_for_is_never_written() {
    for name in [
        "../b",
        "b",
        "/etc/x",
        ".ssh/authorized_keys",
        "a/../../b",
        ".fileshare/index.sqlite",
        "a\u{1b}]52;c;eA==\u{7}",
        "",
    ] {
        let failure = get_a(download(entry(name, b"evil"), b"evil")).await;
        assert_eq!(failure.code, ErrorCode::Protocol, "{name:?} {failure}");
        assert!(!failure.message.contains('\u{1b}'), "{failure}");
    }
}

#[tokio::test]
async fn other_bytes_than_promised_are_never_published() {
    let good = entry("a", b"good");
    for content in [&b"evil"[..], b"goo", b"good and more", b""] {
        // Once the sender's digest fits the bytes and once the promised id.
        for digest_of in [content, b"good"] {
            let mut script = vec![begin(0, Some(good.clone()))];
            if !content.is_empty() {
                script.push(Say::Data(content.to_vec()));
            }
            script.push(end(digest_of));
            script.push(say(ServerBody::DownloadEnd));
            let failure = get_a(script).await;
            let expected = match content.len() {
                0..=4 => ErrorCode::DigestMismatch,
                // More than was announced is not even read to its end.
                _ => ErrorCode::Protocol,
            };
            assert_eq!(failure.code, expected, "{failure}");
        }
    }
}

#[tokio::test]
async fn whatever_breaks_the_rules_ends_the_connection() {
    let good = || begin(0, Some(entry("a", b"good")));
    for script in [
        vec![begin(1, Some(entry("a", b"good")))],
        vec![begin(0, None)],
        vec![good(), good()],
        vec![end(b"good")],
        vec![Say::Data(b"good".to_vec())],
        vec![say(ServerBody::DownloadEnd)],
        vec![say(ServerBody::Pong)],
        vec![good(), Say::Data(vec![0; 100]), Say::Data(vec![0; 100])],
        vec![good(), say(ServerBody::DownloadEnd)],
    ] {
        let failure = get_a(script).await;
        assert_eq!(failure.code, ErrorCode::Protocol, "{failure}");
    }
}

#[tokio::test]
async fn what_a_server_says_went_wrong_is_escaped() {
    let abort = FileMessage::Abort {
        index: 0,
        code: 30,
        detail: "\u{1b}[2Jgone\r\n\u{202e}".into(),
    };
    let failure = get_a(vec![
        say(ServerBody::File(abort)),
        say(ServerBody::DownloadEnd),
    ])
    .await;
    assert_eq!(failure.code, ErrorCode::NotFound);
    assert_eq!(failure.message, "\\u{1b}[2Jgone\\u{d}\\u{a}\\u{202e}");
}

#[tokio::test]
async fn a_listing_with_names_that_cannot_be_is_refused() {
    let page = ServerBody::Page {
        items: vec![WireItem::File(entry("../../b", b""))],
        last: true,
    };
    let server = EvilServer::saying(Transport::Plaintext, vec![say(page)]);
    let mut client = client_of(&server);
    let mut items = 0;
    let listed = client
        .list(&ListQuery::default(), &mut |_| items += 1)
        .await;
    assert_eq!(listed.unwrap_err().code, ErrorCode::Protocol);
    assert_eq!(items, 0);
}

/// A folder to work in, with something beside it that no server may touch.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("desk")).unwrap();
        std::fs::write(outer.path().join("desk/mine"), "mine").unwrap();
        Desk(outer)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("desk")
    }

    /// Panics unless it is as it was, but for `new` in it.
    fn assert_only(&self, new: &[&str]) {
        assert_eq!(names(self.0.path()), ["desk"]);
        let mut left = names(&self.path());
        left.sort();
        let mut expected: Vec<&str> = [&["mine"], new].concat();
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert_eq!(std::fs::read(self.path().join("mine")).unwrap(), b"mine");
    }
}

/// Runs a client that must fail with this code, and write nothing, and print nothing hostile.
fn fails(server: &EvilServer, arguments: &[&str], code: i32) -> String {
    let desk = Desk::new();
    let output = server.run(&desk.path(), arguments);
    desk.assert_only(&[]);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_harmless(&said);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// Says of every file that it is this one, and sends this.
fn evil_by_id(transport: Transport, entry: WireEntry, content: &[u8]) -> EvilServer {
    let item = say(ServerBody::Item(WireItem::File(entry.clone())));
    let download = download(entry, content);
    EvilServer::start(transport, move |request| match request {
        ClientBody::Stat { .. } => vec![item.clone()],
        ClientBody::Download { .. } => Vec::new(),
        _ => download.clone(),
    })
}

/// Row “hostile server writes outside the client's folder” of names and paths, with real clients
/// and over every transport: a name of the server's choice is never written.
#[test]
fn a_client_writes_what_it_asked_for_and_nothing_else() {
    let evil = b"evil";
    let id = format!("id:{}", Hasher::digest_of(evil));
    for transport in Transport::ALL {
        for name in [
            "../b",
            "../desk/mine",
            "mine",
            "/etc/x",
            ".ssh/authorized_keys",
            "a/b",
            "b/a",
            "A",
            "a/",
            "./a",
            "a\0",
            "",
            ".",
            "..",
            ".fileshare-a.part",
            "a\u{1b}]52;c;eA==\u{7}",
            "\u{202e}a",
        ] {
            let answer = download(entry(name, evil), evil);
            let server = EvilServer::saying(*transport, answer.clone());
            for arguments in [
                &["get", "a"][..],
                &["get", "a", "-o", "b"],
                &["get", "a", "-o", "b/", "--on-conflict", "overwrite"],
                &["get", "a", "-o", "-"],
                &["cat", "a"],
            ] {
                // A name that is none is told apart from one that is not the right one.
                fails(&server, arguments, 10);
            }
        }
        // By id, the server has a say in the name, and only in its last part.
        let by_id = |name: &str| evil_by_id(*transport, entry(name, evil), evil);
        for name in [
            "../b",
            "/etc/x",
            "a/../../b",
            "..",
            "",
            "a\u{1b}[2J",
            ".fileshare-x",
        ] {
            fails(&by_id(name), &["get", &id], 10);
        }
        let nested = by_id("deep/in/b");
        let desk = Desk::new();
        let output = nested.run(&desk.path(), &["get", &id]);
        assert!(output.status.success(), "{}", stderr(&output));
        desk.assert_only(&["b"]);
        // Never over something that is there.
        fails(&by_id("x/mine"), &["get", &id], 6);
    }
}

/// The same row: another file than the one with the id that was asked for.
#[test]
fn an_id_that_was_asked_for_is_the_id_that_is_got() {
    let asked = "id:00112233445566778899aabbccddeeff";
    for transport in Transport::ALL {
        let server = evil_by_id(*transport, entry("b", b"evil"), b"evil");
        fails(&server, &["get", asked], 10);
        fails(&server, &["get", "id:001122"], 10);
        fails(&server, &["cat", asked], 10);
        // The id that was asked for, and other bytes.
        let mut lie = entry("b", b"good");
        lie.size = 4;
        let id = format!("id:{}", Hasher::digest_of(b"good"));
        let server = evil_by_id(*transport, lie, b"evil");
        fails(&server, &["get", &id], 7);
        // More or less than was announced.
        for size in [0, 3, 5, 1 << 40, u64::MAX] {
            let mut lie = entry("a", b"evil");
            lie.size = size;
            let server = EvilServer::saying(*transport, download(lie, b"evil"));
            let desk = Desk::new();
            let output = server.run(&desk.path(), &["get", "a"]);
            assert!(!output.status.success());
            desk.assert_only(&[]);
        }
    }
}

/// Row “peer chooses our resources” of wire, memory, time: a server that announces much and sends
/// little takes hardly any room.
#[cfg(unix)]
#[test]
fn what_a_server_announces_takes_no_room_before_it_comes() {
    use std::os::unix::fs::MetadataExt;

    let mut large = entry("a", b"");
    large.size = 2 << 30;
    let answer = vec![begin(0, Some(large)), Say::Data(vec![7; 1 << 20])];
    let server = EvilServer::saying(Transport::Plaintext, answer);
    let desk = Desk::new();
    let mut client = server.client(&desk.path(), &["get", "a"]).spawn().unwrap();
    let partial = desk.path().join(".fileshare-a.part");
    let came = || std::fs::metadata(&partial).is_ok_and(|found| found.len() == 1 << 20);
    for _ in 0..2000 {
        if came() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(came());
    let room = std::fs::metadata(&partial).unwrap().blocks() * 512;
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(room <= 66 << 20, "{room} bytes are taken");
}

/// A server that lists these for every folder and glob, and says of a name that it is a folder.
fn lists(transport: Transport, items: Vec<WireItem>) -> EvilServer {
    EvilServer::start(transport, move |request| match request {
        ClientBody::List { .. } => vec![say(ServerBody::Page {
            items: items.clone(),
            last: true,
        })],
        ClientBody::Stat { .. } => vec![say(ServerBody::Item(WireItem::Folder("a".into())))],
        ClientBody::Download { .. } => Vec::new(),
        _ => {
            let abort = FileMessage::Abort {
                index: 0,
                code: 30,
                detail: "a folder".into(),
            };
            vec![say(ServerBody::File(abort)), say(ServerBody::DownloadEnd)]
        }
    })
}

/// Row “hostile server writes outside the client's folder”, for folders and globs: the whole list is
/// checked before anything of it is written.
#[test]
fn a_hostile_list_is_refused_before_anything_is_written() {
    let file = |name: &str| WireItem::File(entry(name, b"evil"));
    let folder = |name: &str| WireItem::Folder(name.to_owned());
    for transport in Transport::ALL {
        for items in [
            vec![file("a/../../b")],
            vec![file("/etc/x")],
            vec![file("a/b"), file("b")],
            vec![file("a/.fileshare/index.sqlite")],
            vec![file("a/b\u{1b}]52;c;eA==\u{7}")],
            vec![file("b/a")],
            vec![file("mine")],
            vec![file("a"), file("a/b")],
            vec![file("a/b"), file("a/b/c")],
            vec![folder("a/b"), file("a/b/c")],
            vec![folder("a"), file("a/b")],
            vec![file("a/c"), file("a/b")],
            vec![file("a/b"), file("a/b")],
            vec![folder("a/..")],
            vec![folder("../a")],
            vec![folder("")],
        ] {
            let server = lists(*transport, items);
            for arguments in [
                &["get", "a"][..],
                &["get", "a/"],
                &["get", "a/*", "-o", "new/"],
                &["get", "a*", "--on-conflict", "overwrite"],
                &["get", "a", "-o", "new", "-n"],
            ] {
                fails(&server, arguments, 10);
            }
        }
    }
}

/// A list that is right, and then content under other names: nothing but what was listed is written.
#[test]
fn what_comes_of_a_folder_is_what_was_listed() {
    let server = EvilServer::start(Transport::Plaintext, |request| match request {
        ClientBody::List { .. } => vec![say(ServerBody::Page {
            items: vec![WireItem::File(entry("a/b", b"evil"))],
            last: true,
        })],
        ClientBody::Download { .. } => Vec::new(),
        _ => download(entry("a/../../mine", b"evil"), b"evil"),
    });
    let desk = Desk::new();
    let output = server.run(&desk.path(), &["get", "a/"]);
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert_harmless(&stderr(&output));
    desk.assert_only(&[]);
}
