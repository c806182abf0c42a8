//! Conversations with a server over a small pipe: what the client of this crate would never say.

use fileshare::access::Role;
use fileshare::digest::Hasher;
use fileshare::net::Frame;
use fileshare::protocol::WireRef;
use fileshare::protocol::message::{
    ClientBody, FileMessage, ServerBody, UploadResult, Verdict, WireConflict,
};
use fileshare::server::{Server, ServerOptions};
use fileshare::store::{Store, StoreOptions};
use tempfile::TempDir;

use crate::wire::{RawClient, begin, end, upload_file};

fn server(role: Role) -> (TempDir, Server) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(root.path())).unwrap();
    let options = ServerOptions {
        anonymous: Some(role),
        ..ServerOptions::default()
    };
    (root, Server::new(store, options))
}

fn name(text: &str) -> WireRef {
    WireRef::Name(text.to_owned())
}

fn stat(text: &str) -> ClientBody {
    ClientBody::Stat {
        file: name(text),
        wait_for_id: false,
    }
}

#[tokio::test]
async fn a_batch_of_uploads_is_answered_file_by_file() {
    let (root, server) = server(Role::Editor);
    std::fs::write(root.path().join("taken"), "old").unwrap();
    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Upload { files: 5 }).await;
    let files = vec![
        upload_file("new", Some(5)),
        upload_file("taken", Some(5)),
        upload_file("../out", Some(5)),
        upload_file("wrong", Some(5)),
        upload_file("folder/deep/empty", None),
    ];
    client.send(1, ClientBody::UploadPage { files }).await;
    let ServerBody::UploadReady { verdicts } = client.receive().await.unwrap().body else {
        panic!("verdicts were expected");
    };
    assert!(matches!(
        &verdicts[..],
        [
            Verdict::Start,
            Verdict::Exists(_),
            Verdict::Refused { code: 11, .. },
            Verdict::Start,
            Verdict::Start
        ]
    ));
    let RawClient {
        mut inbox,
        mut outbox,
        server: _conversation,
    } = client;
    // Results come while files go out: whoever does not read meanwhile stops both sides.
    let sending = tokio::spawn(async move {
        outbox.send(1, begin(0)).await;
        outbox.send_data(b"hello").await;
        outbox.send(1, end(Hasher::digest_of(b"hello"))).await;
        // Sent all the same, against the verdicts:
        for index in [1, 2] {
            outbox.send(1, begin(index)).await;
            outbox.send_data(b"hello").await;
            outbox.send(1, end(Hasher::digest_of(b"hello"))).await;
        }
        outbox.send(1, begin(3)).await;
        outbox.send_data(b"hellO").await;
        outbox.send(1, end(Hasher::digest_of(b"hello"))).await;
        outbox.send(1, begin(4)).await;
        outbox.send(1, end(Hasher::digest_of(b""))).await;
        outbox
    });
    let mut outcomes = std::collections::BTreeMap::new();
    loop {
        match inbox.receive().await.unwrap().body {
            ServerBody::UploadResults { results } => {
                for result in results {
                    match result {
                        UploadResult::Stored { index, .. } => outcomes.insert(index, 0),
                        UploadResult::Failed { index, code, .. } => outcomes.insert(index, code),
                    };
                }
            }
            ServerBody::UploadEnd => break,
            other => panic!("{other:?}"),
        }
    }
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    assert_eq!(outcomes, [(0, 0), (1, 50), (2, 11), (3, 60), (4, 0)]);
    let read = |name: &str| std::fs::read(root.path().join(name)).ok();
    assert_eq!(read("new").as_deref(), Some(&b"hello"[..]));
    assert_eq!(read("taken").as_deref(), Some(&b"old"[..]));
    assert_eq!(read("wrong"), None);
    assert_eq!(read("folder/deep/empty").as_deref(), Some(&b""[..]));
    let mut outbox = sending.await.unwrap();
    outbox.send(2, ClientBody::Ping).await;
    let pong = inbox.receive().await.unwrap();
    assert!(matches!(pong.body, ServerBody::Pong));
}

#[tokio::test]
async fn requests_can_be_pipelined_and_are_answered_in_order_even_behind_a_download() {
    let (root, server) = server(Role::Reader);
    let content = vec![7; 700_000];
    std::fs::write(root.path().join("big"), &content).unwrap();
    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Download { files: 2 }).await;
    let files = vec![name("missing"), name("big")];
    client.send(1, ClientBody::DownloadPage { files }).await;
    client.send(2, ClientBody::Ping).await;
    client.send(3, stat("missing")).await;

    let aborted = client.receive().await.unwrap();
    assert!(matches!(
        aborted.body,
        ServerBody::File(FileMessage::Abort {
            index: 0,
            code: 30,
            ..
        })
    ));
    let begun = client.receive().await.unwrap();
    assert!(matches!(
        begun.body,
        ServerBody::File(FileMessage::Begin { index: 1, .. })
    ));
    let mut received = Vec::new();
    while received.len() < content.len() {
        match client.receive_frame().await.unwrap() {
            Frame::Data(content) => received.extend_from_slice(content.body()),
            Frame::Message(_) => {}
        }
    }
    assert!(received == content);
    let ended = client.receive().await.unwrap();
    let ServerBody::File(FileMessage::End { digest }) = ended.body else {
        panic!("{ended:?}");
    };
    assert_eq!(digest, Hasher::digest_of(&content).into());
    assert!(matches!(
        client.receive().await.unwrap().body,
        ServerBody::DownloadEnd
    ));
    assert!(matches!(
        client.receive().await.unwrap().body,
        ServerBody::Pong
    ));
    let refused = client.receive().await.unwrap();
    assert_eq!(refused.number, 3);
    assert!(matches!(refused.body, ServerBody::Refused { code: 30, .. }));
}

#[tokio::test]
async fn a_download_can_be_cut_short_with_a_skip() {
    let (root, server) = server(Role::Reader);
    let file = std::fs::File::create(root.path().join("sparse")).unwrap();
    file.set_len(1 << 33).unwrap();
    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Download { files: 1 }).await;
    let files = vec![name("sparse")];
    client.send(1, ClientBody::DownloadPage { files }).await;
    assert!(matches!(
        client.receive().await.unwrap().body,
        ServerBody::File(FileMessage::Begin { .. })
    ));
    client.send(1, ClientBody::Skip { index: 0 }).await;
    let mut received = 0;
    while let Frame::Data(content) = client.receive_frame().await.unwrap() {
        received += content.size();
    }
    assert!(received < 64 << 20, "{received}");
    assert!(matches!(
        client.receive().await.unwrap().body,
        ServerBody::DownloadEnd
    ));
}

#[tokio::test]
async fn a_repeated_request_is_answered_again_and_not_done_again() {
    let (root, server) = server(Role::Editor);
    std::fs::write(root.path().join("a"), "a").unwrap();
    let rename = || ClientBody::Rename {
        from: name("a"),
        to: "b".to_owned(),
        if_match: None,
        dry_run: false,
    };
    let mut client = RawClient::greeted(&server).await;
    let first = client.ask(1, rename()).await;
    assert!(matches!(first, ServerBody::Item(_)));
    assert_eq!(client.ask(1, rename()).await, first);
    let again = client.ask(2, rename()).await;
    assert!(matches!(again, ServerBody::Refused { code: 30, .. }));
}

#[tokio::test]
async fn each_role_gets_what_it_may_and_a_refusal_that_names_the_role_needed() {
    for (role, may_read, may_add, may_remove) in [
        (Role::Reader, true, false, false),
        (Role::Contributor, true, true, false),
        (Role::Editor, true, true, true),
    ] {
        let (root, server) = server(role);
        std::fs::write(root.path().join("a"), "a").unwrap();
        let mut client = RawClient::greeted(&server).await;
        let allowed = |answer: ServerBody| match answer {
            ServerBody::Refused { code: 41, detail } => {
                assert!(detail.contains("needs the role"), "{detail}");
                false
            }
            ServerBody::Item(_) | ServerBody::Removed { .. } => true,
            other => panic!("{other:?}"),
        };
        assert_eq!(allowed(client.ask(1, stat("a")).await), may_read);
        let make = ClientBody::MakeFolder {
            name: "d".to_owned(),
            dry_run: false,
        };
        assert_eq!(allowed(client.ask(2, make).await), may_add);
        let remove = ClientBody::Remove {
            file: name("a"),
            recursive: false,
            if_match: None,
            dry_run: false,
        };
        assert_eq!(allowed(client.ask(3, remove).await), may_remove);
        assert_eq!(root.path().join("a").exists(), !may_remove);

        // The file that a role may not read is refused file by file.
        client.send(4, ClientBody::Download { files: 1 }).await;
        let files = vec![name("d/a")];
        client.send(4, ClientBody::DownloadPage { files }).await;
        let refusal = if may_read { 30 } else { 41 };
        assert!(matches!(
            client.receive().await.unwrap().body,
            ServerBody::File(FileMessage::Abort { code, .. }) if code == refusal
        ));
        assert_eq!(
            client.receive().await.unwrap().body,
            ServerBody::DownloadEnd
        );

        client.send(5, ClientBody::Upload { files: 1 }).await;
        let files = vec![upload_file("u", Some(1))];
        client.send(5, ClientBody::UploadPage { files }).await;
        let ServerBody::UploadReady { verdicts } = client.receive().await.unwrap().body else {
            panic!("verdicts were expected");
        };
        assert_eq!(matches!(verdicts[..], [Verdict::Start]), may_add);
    }
}

#[tokio::test]
async fn replacing_needs_the_role_editor_even_when_the_name_was_free_at_first() {
    for (role, replaced) in [(Role::Contributor, false), (Role::Editor, true)] {
        let (root, server) = server(role);
        let mut client = RawClient::greeted(&server).await;
        client.send(1, ClientBody::Upload { files: 1 }).await;
        let mut file = upload_file("a", Some(3));
        file.on_conflict = WireConflict::Replace;
        let files = vec![file];
        client.send(1, ClientBody::UploadPage { files }).await;
        client.receive().await.unwrap();
        std::fs::write(root.path().join("a"), "first").unwrap();
        client.send(1, begin(0)).await;
        client.send_data(b"new").await;
        client.send(1, end(Hasher::digest_of(b"new"))).await;
        let results = client.receive().await.unwrap();
        assert!(matches!(results.body, ServerBody::UploadResults { .. }));
        let content = std::fs::read(root.path().join("a")).unwrap();
        assert_eq!(content == b"new", replaced);
    }
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_told_what_was_wrong() {
    let (_root, server) = server(Role::Editor);
    let (client, answer) = RawClient::greet_with(&server, 1).await;
    assert!(matches!(answer.body, ServerBody::Refused { code: 80, .. }));
    drop(client);

    let mut client = RawClient::greeted(&server).await;
    client.send_data(b"out of the blue").await;
    assert!(
        client
            .expect_violation()
            .await
            .contains("outside of a file")
    );

    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Upload { files: 1 }).await;
    client.send(2, ClientBody::Ping).await;
    client.expect_violation().await;

    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Upload { files: 0 }).await;
    client.expect_violation().await;

    let mut client = RawClient::greeted(&server).await;
    client.send(1, begin(0)).await;
    client.expect_violation().await;
}

#[tokio::test]
async fn more_data_than_announced_fails_that_file_alone() {
    let (root, server) = server(Role::Editor);
    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Upload { files: 2 }).await;
    let files = vec![upload_file("lie", Some(3)), upload_file("short", Some(9))];
    client.send(1, ClientBody::UploadPage { files }).await;
    client.receive().await.unwrap();
    let RawClient {
        mut inbox,
        mut outbox,
        server: _conversation,
    } = client;
    let sending = tokio::spawn(async move {
        outbox.send(1, begin(0)).await;
        outbox.send_data(&[1; 65536]).await;
        outbox.send_data(&[1; 65536]).await;
        outbox.send(1, end(Hasher::digest_of(&[1; 131_072]))).await;
        outbox.send(1, begin(1)).await;
        outbox.send_data(b"abc").await;
        outbox.send(1, end(Hasher::digest_of(b"abc"))).await;
        outbox
    });
    let mut failed = 0;
    loop {
        match inbox.receive().await.unwrap().body {
            ServerBody::UploadResults { results } => {
                for result in results {
                    assert!(matches!(result, UploadResult::Failed { code: 80, .. }));
                    failed += 1;
                }
            }
            ServerBody::UploadEnd => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, 2);
    drop(sending.await.unwrap());
    let left: Vec<_> = std::fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != ".fileshare")
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let staging = std::fs::read_dir(root.path().join(".fileshare/staging")).unwrap();
    assert_eq!(staging.count(), 0);
}

#[tokio::test]
async fn a_client_that_vanishes_in_mid_upload_leaves_nothing() {
    let (root, server) = server(Role::Editor);
    let mut client = RawClient::greeted(&server).await;
    client.send(1, ClientBody::Upload { files: 1 }).await;
    let files = vec![upload_file("half", Some(1 << 20))];
    client.send(1, ClientBody::UploadPage { files }).await;
    client.receive().await.unwrap();
    client.send(1, begin(0)).await;
    client.send_data(&vec![1; 1 << 19]).await;
    let RawClient {
        inbox,
        outbox,
        server: conversation,
    } = client;
    drop((inbox, outbox));
    assert!(conversation.await.unwrap().is_err());
    let staging = root.path().join(".fileshare/staging");
    for _ in 0..200 {
        if std::fs::read_dir(&staging).unwrap().count() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    assert!(!root.path().join("half").exists());
}

/// Deadlines of PROTOCOL.md: silence in the middle of a transfer ends the connection.
#[tokio::test(start_paused = true)]
async fn silence_in_the_middle_of_a_transfer_ends_it_in_time() {
    let (_root, server) = server(Role::Editor);
    for (request, page) in [
        (ClientBody::Upload { files: 1 }, None),
        (ClientBody::Download { files: 1 }, None),
        (
            ClientBody::Upload { files: 1 },
            Some(ClientBody::UploadPage {
                files: vec![upload_file("silent", Some(1 << 30))],
            }),
        ),
    ] {
        let mut client = RawClient::greeted(&server).await;
        client.send(1, request).await;
        if let Some(page) = page {
            client.send(1, page).await;
            client.receive().await.unwrap();
            client.send(1, begin(0)).await;
            client.send_data(&[7; 65_536]).await;
        }
        let started = tokio::time::Instant::now();
        let last_words = client.receive().await.unwrap();
        assert!(matches!(
            last_words.body,
            ServerBody::Refused { code: 21, .. }
        ));
        let waited = started.elapsed();
        assert!(waited.as_secs() <= 62, "{waited:?}");
        drop((client.inbox, client.outbox));
        assert!(client.server.await.unwrap().is_err());
    }
}
