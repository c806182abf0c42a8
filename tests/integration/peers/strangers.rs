//! Whoever connects to a client's port without a ticket gets nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fileshare::net::TlsIdentity;
use fileshare::protocol::message::{ClientBody, ServerBody};
use fileshare::protocol::{Secret, Terms, Ticket, WireDigest, WireRef};
use fileshare::types::{Digest, Fingerprint};

use super::Desk;
use crate::harness::{RunningServer, serve, serve_plaintext};
use crate::wire::RawClient;

/// Where a file of a client can be had, and the ticket for it.
async fn ticket(
    server: &RunningServer,
    key: Option<[u8; 32]>,
) -> (u16, Option<Fingerprint>, Ticket) {
    let mut client = RawClient::dial(server).await;
    let request = ClientBody::Ticket {
        owner: "B".into(),
        file: "foo".into(),
        key,
    };
    match client.ask(1, request).await {
        ServerBody::Ticket {
            port, key, ticket, ..
        } => (port, key.map(Fingerprint::new), *ticket),
        other => panic!("{other:?}"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

#[test]
fn a_stranger_gets_nothing_and_costs_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let (b, c) = (Desk::new(), Desk::new());
    let mut provider = b.offer(&server, "B", &[("foo", b"hello-canary")]);
    let (port, ..) = runtime().block_on(ticket(&server, None));
    // Who say nothing at all.
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    for said in [
        &b"GET /foo HTTP/1.1\r\n\r\n"[..],
        b"FSHR\x01\x01\0\0\0\0\0\x02\0x",
        b"foo\n",
        &[0x16, 3, 1, 0, 1, 1],
        &[0; 5000],
    ] {
        let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = stranger.write_all(said);
        let patience = Some(Duration::from_secs(20));
        stranger.set_read_timeout(patience).unwrap();
        let mut heard = Vec::new();
        let started = Instant::now();
        let _ = stranger.read_to_end(&mut heard);
        assert!(started.elapsed() < Duration::from_secs(16), "{said:?}");
        let heard = String::from_utf8_lossy(&heard);
        assert!(!heard.contains("canary"), "{heard}");
    }
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
    drop(silent);
    let heard = provider.says("< Connection with client 127.0.0.1 closed. >");
    assert!(!heard.is_empty());
    let accepted = provider
        .heard
        .iter()
        .filter(|line| line.contains("Accepting"));
    assert_eq!(accepted.count(), 1, "{:?}", provider.heard);
}

/// Where strangers have taken every place, the server's relay leads in.
#[test]
fn who_crowds_the_port_keeps_nobody_away() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let (b, c) = (Desk::new(), Desk::new());
    let _provider = b.offer(&server, "B", &[("foo", b"hello")]);
    let (port, ..) = runtime().block_on(ticket(&server, None));
    let crowd: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    assert_eq!(c.run(&server, &["request", "foo", "B"]).0, 0);
    drop(crowd);
}

/// Other keys, forged and expired tickets, in TLS with the right handshake.
#[test]
fn a_ticket_opens_one_file_for_one_key() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), &[]);
    let b = Desk::new();
    let mut provider = b.offer(&server, "B", &[("foo", b"hello"), ("bar", b"bar")]);
    runtime().block_on(async {
        let own = TlsIdentity::unkept().unwrap().peer_tls().unwrap();
        let other = TlsIdentity::unkept().unwrap().peer_tls().unwrap();
        let key = own.fingerprint().bytes();
        let (port, vouched, good) = ticket(&server, Some(key)).await;
        let vouched = vouched.unwrap();
        let dial = async |tls: &fileshare::net::PeerTls| {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            let stream = tls.connect(stream.unwrap(), vouched).await.unwrap();
            let mut client = RawClient::prefaced(Box::new(stream), ()).await;
            let welcome = client.hello(0, None).await;
            assert!(matches!(welcome.body, ServerBody::Welcome { .. }));
            client
        };
        let forged = Terms {
            owner: "B".into(),
            file: "foo".into(),
            size: 5,
            id: WireDigest::from(Digest::Md5([0; 16])),
            requester: None,
            key: Some(key),
            expires: u64::MAX,
        };
        let forged = Ticket::new(forged, &Secret([0; 32])).unwrap();
        let mut changed = good.clone();
        changed.terms.file = "bar".into();
        for (tls, ticket) in [(&other, &good), (&own, &forged), (&own, &changed)] {
            let mut client = dial(tls).await;
            let answer = client
                .ask(1, ClientBody::Redeem(Box::new(ticket.clone())))
                .await;
            assert!(
                matches!(answer, ServerBody::Refused { code: 41, .. }),
                "{answer:?}"
            );
            assert!(client.receive().await.is_err(), "that was all");
        }
        // Nothing comes before the ticket.
        for body in [
            ClientBody::Download { files: 1 },
            ClientBody::Ping,
            ClientBody::Info,
            ClientBody::List {
                folder: None,
                patterns: vec![],
                limit: 0,
            },
        ] {
            let mut client = dial(&own).await;
            client.send(1, body).await;
            assert!(client.receive().await.is_err());
        }
        // The good one opens its file, and no other, and nothing else is done here.
        let mut client = dial(&own).await;
        let answer = client.ask(1, ClientBody::Redeem(Box::new(good))).await;
        assert_eq!(answer, ServerBody::Done);
        for (number, file) in [(2, "bar"), (3, "../shelf/foo"), (4, "secret")] {
            let file = WireRef::Name(file.into());
            let wait_for_id = false;
            let answer = client
                .ask(number, ClientBody::Stat { file, wait_for_id })
                .await;
            assert!(matches!(answer, ServerBody::Refused { .. }), "{answer:?}");
        }
        for (number, body) in [
            (5, ClientBody::Info),
            (
                6,
                ClientBody::MakeFolder {
                    name: "x".into(),
                    dry_run: false,
                },
            ),
        ] {
            let answer = client.ask(number, body).await;
            assert!(
                matches!(answer, ServerBody::Refused { code: 41, .. }),
                "{answer:?}"
            );
        }
        let file = WireRef::Name("foo".into());
        let wait_for_id = false;
        let answer = client.ask(7, ClientBody::Stat { file, wait_for_id }).await;
        assert!(matches!(answer, ServerBody::Item(_)), "{answer:?}");
    });
    provider.says("< Connection with client 127.0.0.1 closed. >");
    let accepted = provider
        .heard
        .iter()
        .filter(|line| line.contains("Accepting"));
    assert_eq!(accepted.count(), 1, "{:?}", provider.heard);
}

/// A client that speaks TLS finds nobody whom it takes for somebody else.
#[test]
fn plaintext_and_tls_do_not_mix() {
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    let b = Desk::new();
    let mut provider = b.offer(&server, "B", &[("foo", b"hello")]);
    runtime().block_on(async {
        let (port, key, ticket) = ticket(&server, None).await;
        assert_eq!(key, None);
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let mut client = RawClient::prefaced(Box::new(stream.unwrap()), ()).await;
        client.hello(0, None).await;
        let answer = client.ask(1, ClientBody::Redeem(Box::new(ticket))).await;
        assert_eq!(answer, ServerBody::Done);
        let own = TlsIdentity::unkept().unwrap().peer_tls().unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let nobody = own.connect(stream.unwrap(), own.fingerprint()).await;
        assert!(nobody.is_err());
    });
    provider.says("< Accepting connection request from 127.0.0.1. >");
}
