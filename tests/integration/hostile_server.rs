//! What a client does with a server that lies: nothing but what was asked for is ever written.

use std::path::Path;
use std::sync::Arc;

use fileshare::client::{
    Client, ClientError, ClientOptions, Download, FileReport, ListQuery, Target,
};
use fileshare::protocol::message::{FileMessage, ServerBody};
use fileshare::protocol::{ErrorCode, WireItem};
use fileshare::transfer::Silent;
use fileshare::types::{FileName, FileRef, OnConflict};

use crate::tools::evil_server::{EvilServer, Say, begin, download, end, entry, say};
use crate::tools::transport::Transport;

/// A client in this process, as a program would use it.
fn client_of(server: &EvilServer) -> Client {
    let options = ClientOptions {
        retries: 0,
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
