use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use fileshare::access::Role;
use fileshare::protocol::message::{ClientBody, ServerBody, WireSession};
use fileshare::server::Origin;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::{World, expect_end, file, refusal};
use crate::wire::{PIPE_ORIGIN, RawClient, begin, login, upload_file};

async fn sessions(admin: &mut RawClient, number: u32) -> Vec<WireSession> {
    admin.send(number, ClientBody::Sessions).await;
    let mut all = Vec::new();
    loop {
        match admin.receive().await.unwrap().body {
            ServerBody::Sessions { sessions, last } => {
                all.extend(sessions);
                if last {
                    return all;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_who_is_there_and_what_they_do() {
    let users = [("root", Role::Admin), ("bob", Role::Editor)];
    let world = World::new(&users, Some(Role::Reader));
    let content = vec![7; 300_000];
    std::fs::write(world.root.path().join("big"), &content).unwrap();
    let mut admin = world.user("root").await;
    let origin = Origin {
        address: Some("192.0.2.7:4711".parse().unwrap()),
        ..PIPE_ORIGIN
    };
    let (mut bob, _) = RawClient::log_in_from(&world.server, origin, "bob", "bob").await;
    let mut nobody = RawClient::greeted(&world.server).await;

    bob.send(1, ClientBody::Upload { files: 1 }).await;
    let files = vec![upload_file("new", Some(1 << 20))];
    bob.send(1, ClientBody::UploadPage { files }).await;
    bob.receive().await.unwrap();
    bob.send(1, begin(0)).await;
    bob.send_data(&[1; 65_536]).await;
    nobody.send(1, ClientBody::Download { files: 1 }).await;
    let files = vec![file("big")];
    nobody.send(1, ClientBody::DownloadPage { files }).await;
    nobody.receive().await.unwrap();

    // Until the server has read and written what is on its way.
    let mut number = 0;
    let seen = loop {
        number += 1;
        let seen = sessions(&mut admin, number).await;
        assert_eq!(seen.len(), 3);
        if seen[1].received == 65_536 {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    let [root, put, get] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(root.user.as_deref(), Some("root"));
    assert_eq!((root.role, root.activity.as_str()), (4, "sessions"));
    assert_eq!(put.user.as_deref(), Some("bob"));
    assert_eq!((put.role, put.address.as_str()), (3, "192.0.2.7:4711"));
    assert_eq!(put.activity, "put");
    assert_eq!(put.file.as_deref(), Some("new"));
    assert_eq!((get.user.as_deref(), get.role), (None, 1));
    assert_eq!(get.activity, "get");
    assert_eq!(get.file.as_deref(), Some("big"));
    assert!(get.sent <= content.len() as u64);
    assert!(root.id < put.id && put.id < get.id);

    // Whoever has left is not on the list, and what has ended is not going on.
    drop(nobody);
    loop {
        number += 1;
        let seen = sessions(&mut admin, number).await;
        if seen.len() == 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_administrator_ends_a_session_and_not_the_own_one() {
    let users = [("root", Role::Admin), ("bob", Role::Editor)];
    let world = World::new(&users, None);
    let mut admin = world.user("root").await;
    let mut bob = world.user("bob").await;
    let all = sessions(&mut admin, 1).await;
    let id = |name: &str| {
        let found = all.iter().find(|s| s.user.as_deref() == Some(name));
        found.unwrap().id
    };
    let kick = |id| ClientBody::Kick { id };
    assert!(matches!(
        bob.ask(1, kick(id("root"))).await,
        ServerBody::Refused { code: 41, .. }
    ));
    for (number, id, code) in [(2, id("root"), 10), (3, 0, 30), (4, u64::MAX, 30)] {
        let answer = admin.ask(number, kick(id)).await;
        assert_eq!(refusal(&answer).unwrap().0, code);
    }
    let answer = admin.ask(5, kick(id("bob"))).await;
    let ServerBody::Sessions {
        sessions: gone,
        last: true,
    } = &answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].user.as_deref(), Some("bob"));
    expect_end(&mut bob, 41, "an administrator ended this session").await;
    bob.server.await.unwrap().unwrap();
    // Asked again by the same number, it is answered the same and not done again.
    assert_eq!(admin.ask(5, kick(id("bob"))).await, answer);
    assert_eq!(sessions(&mut admin, 6).await.len(), 1);
    // The account is still there.
    world.user("bob").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_ended_too() {
    let users = [("root", Role::Admin), ("bob", Role::Reader)];
    let world = World::new(&users, None);
    let sparse = std::fs::File::create(world.root.path().join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let mut admin = world.user("root").await;
    let mut bob = world.user("bob").await;
    bob.send(1, ClientBody::Download { files: 1 }).await;
    let files = vec![file("sparse")];
    bob.send(1, ClientBody::DownloadPage { files }).await;
    bob.receive().await.unwrap();
    let all = sessions(&mut admin, 1).await;
    let id = all
        .iter()
        .find(|s| s.user.as_deref() == Some("bob"))
        .unwrap()
        .id;
    admin.ask(2, ClientBody::Kick { id }).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), bob.server);
    ended.await.unwrap().unwrap().unwrap();
}

/// A stream in whose reader a fault hides.
struct Faulty {
    stream: DuplexStream,
    armed: Arc<AtomicBool>,
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        assert!(!self.armed.load(Ordering::SeqCst), "the injected panic");
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test]
async fn a_panic_ends_one_conversation_and_takes_it_off_the_list() {
    let users = [("root", Role::Admin), ("bob", Role::Reader)];
    let world = World::new(&users, None);
    let mut admin = world.user("root").await;
    let (near, far) = tokio::io::duplex(4096);
    let armed = Arc::new(AtomicBool::new(false));
    let faulty = Faulty {
        stream: far,
        armed: armed.clone(),
    };
    let server = world.server.clone();
    let conversation = tokio::spawn(async move { server.converse(faulty, PIPE_ORIGIN).await });
    let mut bob = RawClient::prefaced(Box::new(near), conversation).await;
    bob.hello(0, Some(login("bob", "bob"))).await;
    assert_eq!(sessions(&mut admin, 1).await.len(), 2);
    armed.store(true, Ordering::SeqCst);
    bob.send(1, ClientBody::Ping).await;
    assert!(bob.server.await.unwrap_err().is_panic());
    assert_eq!(sessions(&mut admin, 2).await.len(), 1);
    world.user("bob").await;
}
