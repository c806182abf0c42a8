//! Another client that is not what it seems.

use std::time::Duration;

use fileshare::net::{Connection, Patience};
use fileshare::protocol::codec;
use fileshare::protocol::frame::BodyLimits;
use fileshare::protocol::limits::MAX_PAGE_BODY;
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, ServerMessage, WireOffered,
};
use fileshare::protocol::{Secret, WireDigest};
use fileshare::types::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Desk;
use crate::harness::{RunningServer, serve_plaintext};
use crate::tools::evil_server::entry;
use crate::wire::{PREFACE, RawClient};

/// What the evil client sends for a file that it offers as "hello".
#[derive(Debug, Clone, Copy)]
enum Evil {
    OtherBytes,
    OtherBytesHonestly,
    OtherFile,
    OtherSize,
    More,
    Less,
    Stall,
    Silent,
    Escapes,
}

const HELLO: &[u8] = b"hello";

/// Is registered as E, offers foo, and answers one request for it.
async fn answer(server: &RunningServer, evil: Evil) -> tokio::task::JoinHandle<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut control = RawClient::dial(server).await;
    let register = ClientBody::Register {
        name: "E".into(),
        port,
        key: None,
        secret: Secret([7; 32]),
    };
    let registered = control.ask(1, register).await;
    assert!(
        matches!(registered, ServerBody::Registered { .. }),
        "{registered:?}"
    );
    let offered = WireOffered {
        name: "foo".into(),
        size: 5,
        id: WireDigest::from(fileshare::digest::Hasher::digest_of(HELLO)),
    };
    let offer = ClientBody::Offer {
        files: vec![offered],
    };
    assert_eq!(control.ask(2, offer).await, ServerBody::Done);
    tokio::spawn(async move {
        let _control = control;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, evil));
        }
    })
}

async fn serve(mut stream: tokio::net::TcpStream, evil: Evil) -> Option<()> {
    let mut preface = [0; 8];
    stream.read_exact(&mut preface).await.ok()?;
    if matches!(evil, Evil::Silent) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    stream.write_all(PREFACE).await.ok()?;
    let mut connection = Connection::new(stream, None);
    loop {
        let patience = Patience::Listening;
        let frame = connection.reader.next(BodyLimits::WIDEST, patience).await;
        let fileshare::net::Frame::Message(body) = frame.ok()? else {
            return None;
        };
        let ClientMessage { number, body } = codec::decode(&body).ok()?;
        let answers = match body {
            ClientBody::Hello { .. } => vec![Ok(ServerBody::Welcome {
                software: "\u{1b}[2Jevil".into(),
                role: 1,
            })],
            ClientBody::Redeem(_) => vec![Ok(ServerBody::Done)],
            ClientBody::DownloadPage { .. } => evil.file(),
            _ => vec![],
        };
        for answer in answers {
            match answer {
                Ok(body) => {
                    let message = ServerMessage { number, body };
                    let writer = &mut connection.writer;
                    writer.message(&message, MAX_PAGE_BODY).await.ok()?;
                }
                Err(data) => connection.writer.data(&data).await.ok()?,
            }
        }
        connection.writer.flush().await.ok()?;
    }
}

impl Evil {
    fn file(self) -> Vec<Result<ServerBody, Vec<u8>>> {
        let sent: &[u8] = match self {
            Evil::OtherBytes | Evil::OtherBytesHonestly => b"jello",
            Evil::More => b"hello, and more",
            Evil::Less => b"hell",
            _ => HELLO,
        };
        let mut entry = entry("foo", HELLO);
        match self {
            Evil::OtherFile => entry.id = Some(WireDigest::from(Digest::Md5([1; 16]))),
            Evil::OtherSize => entry.size = 1 << 50,
            Evil::Escapes => entry.name = "../\u{1b}[2J".into(),
            _ => {}
        }
        let mut answers = vec![
            Ok(ServerBody::File(FileMessage::Begin {
                index: 0,
                offset: 0,
                entry: Some(entry),
            })),
            Err(sent.to_vec()),
        ];
        if matches!(self, Evil::Stall) {
            return answers;
        }
        let said = match self {
            Evil::OtherBytesHonestly => sent,
            _ => HELLO,
        };
        let digest = fileshare::digest::Hasher::digest_of(said).into();
        answers.push(Ok(ServerBody::File(FileMessage::End { digest })));
        answers.push(Ok(ServerBody::DownloadEnd));
        answers
    }
}

#[test]
fn what_is_not_the_offered_file_never_gets_its_name() {
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    let desk = Desk::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (evil, code) in [
        (Evil::OtherBytes, 7),
        (Evil::OtherBytesHonestly, 7),
        (Evil::OtherFile, 10),
        (Evil::OtherSize, 10),
        (Evil::More, 10),
        (Evil::Less, 7),
        (Evil::Escapes, 10),
        (Evil::Silent, 3),
    ] {
        let answering = runtime.block_on(answer(&server, evil));
        let arguments = ["--timeout", "4", "--retries", "0", "request", "foo", "E"];
        let (exit, _, said) = desk.run(&server, &arguments);
        assert_eq!(exit, code, "{evil:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
        let left: Vec<_> = std::fs::read_dir(desk.path()).unwrap().collect();
        let names = left.iter().map(|entry| entry.as_ref().unwrap().file_name());
        let names: Vec<_> = names.filter(|name| name != "state").collect();
        assert!(names.is_empty(), "{evil:?}: {names:?}");
        answering.abort();
        runtime.block_on(async {
            let _ = answering.await;
        });
    }
}

/// A stream that dries up is given up after the time of data streams.
#[test]
fn a_client_that_stalls_is_given_up() {
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    let desk = Desk::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _answering = runtime.block_on(answer(&server, Evil::Stall));
    let arguments = ["--retries", "0", "request", "foo", "E"];
    let (exit, _, said) = desk.run(&server, &arguments);
    assert_eq!(exit, 3, "{said}");
    assert!(!desk.path().join("foo").exists());
}
