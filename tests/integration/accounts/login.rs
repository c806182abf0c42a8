use std::net::SocketAddr;

use fileshare::access::Role;
use fileshare::protocol::message::{ServerBody, ServerMessage};
use fileshare::server::Origin;

use super::{World, account, expect_end, refusal, stat};
use crate::wire::{PIPE_ORIGIN, RawClient};

#[tokio::test(start_paused = true)]
async fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let world = World::new(&[("bob", Role::Reader)], Some(Role::Reader));
    let mut answers = Vec::new();
    for (user, password) in [
        ("bob", "wrong"),
        ("eve", "bob"),
        ("bob", ""),
        ("", ""),
        ("eve", ""),
        ("bob", "bo\0b"),
        ("bob\0", "bob"),
        ("Bob", "bob"),
        ("bob", "bob\n"),
        ("../bob", "bob"),
    ] {
        let (mut client, answer) = RawClient::log_in(&world.server, user, password).await;
        let (code, detail) = refusal(&answer.body).unwrap();
        assert_eq!((answer.number, code), (0, 40), "{detail}");
        assert!(client.receive().await.is_err());
        answers.push(answer);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // What is too long breaks the protocol, whoever says it.
    let long = "x".repeat(1025);
    let mut answers = Vec::new();
    for user in ["bob", "eve", &long] {
        let (_, answer) = RawClient::log_in(&world.server, user, &long).await;
        answers.push(answer);
    }
    assert!(matches!(
        answers[0].body,
        ServerBody::Refused { code: 80, .. }
    ));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    // One that was let in after all that.
    world.user("bob").await;
}

#[tokio::test]
async fn a_password_is_the_same_in_every_unicode_form() {
    let world = World::new(&[], None);
    let mut cafe = account("bob", Role::Reader);
    cafe.hash = account_with_password("caf\u{e9}");
    world.accounts.add(cafe).unwrap();
    for password in ["caf\u{e9}", "cafe\u{301}"] {
        let (_, answer) = RawClient::log_in(&world.server, "bob", password).await;
        assert!(matches!(answer.body, ServerBody::Welcome { role: 1, .. }));
    }
}

fn account_with_password(text: &str) -> fileshare::access::PasswordHash {
    let password = fileshare::access::Password::new(text.to_owned()).unwrap();
    fileshare::access::PasswordHash::of(&password).unwrap()
}

#[tokio::test]
async fn a_password_in_plaintext_is_taken_from_this_machine_only() {
    let world = World::new(&[("bob", Role::Reader)], None);
    for (address, encrypted, welcome) in [
        (Some("127.0.0.1:5"), false, true),
        (Some("127.8.8.8:5"), false, true),
        (Some("[::1]:5"), false, true),
        (Some("[::ffff:127.0.0.1]:5"), false, true),
        (Some("192.168.1.5:5"), false, false),
        (Some("[::ffff:192.168.1.5]:5"), false, false),
        (Some("[2001:db8::1]:5"), false, false),
        (None, false, false),
        (Some("192.168.1.5:5"), true, true),
    ] {
        let origin = Origin {
            address: address.map(|address| address.parse::<SocketAddr>().unwrap()),
            encrypted,
            reached: None,
        };
        let (_, answer) = RawClient::log_in_from(&world.server, origin, "bob", "bob").await;
        match refusal(&answer.body) {
            None => assert!(welcome, "{origin:?}"),
            Some((code, detail)) => {
                assert!(!welcome && code == 40, "{origin:?}: {detail}");
                assert!(detail.contains("TLS"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_has_no_account_is_let_in_as_long_as_there_is_none() {
    let world = World::new(&[], None);
    let mut open = RawClient::greeted(&world.server).await;
    assert!(matches!(
        open.ask(1, super::make_folder("a")).await,
        ServerBody::Item(_)
    ));
    world.accounts.add(account("bob", Role::Reader)).unwrap();
    // In the open session and for new ones, and also when the last user has gone.
    for number in 2..4 {
        let refused = open.ask(number, stat("a")).await;
        let (code, detail) = refusal(&refused).unwrap();
        assert_eq!(code, 40);
        assert!(detail.contains("--user"), "{detail}");
        let (_, answer) = RawClient::greet_with(&world.server, 0).await;
        assert_eq!(refusal(&answer.body), Some((40, detail)));
        let _ = world.accounts.remove(&"bob".parse().unwrap());
    }
    // What whoever runs the server says counts more.
    let world = World::new(&[("bob", Role::Editor)], Some(Role::Reader));
    let (_, answer) = RawClient::greet_with(&world.server, 0).await;
    assert!(matches!(answer.body, ServerBody::Welcome { role: 1, .. }));
    let world = World::new(&[], Some(Role::None));
    let (_, answer) = RawClient::greet_with(&world.server, 0).await;
    assert!(matches!(answer.body, ServerBody::Refused { code: 40, .. }));
}

#[tokio::test]
async fn accounts_that_make_no_sense_let_nobody_in_until_they_are_mended() {
    let world = World::new(&[("bob", Role::Editor)], Some(Role::Editor));
    let path = world.root.path().join(".fileshare/accounts");
    let good = std::fs::read(&path).unwrap();
    let mut bob = world.user("bob").await;
    let mut nobody = RawClient::greeted(&world.server).await;
    std::fs::write(world.root.path().join("a"), "a").unwrap();
    let mut number = 0;
    for garbage in [
        &b"bob"[..],
        b"\xff",
        b"bob:editor:secret\n",
        b"bob:admin:\n",
    ] {
        std::fs::write(&path, garbage).unwrap();
        number += 1;
        for client in [&mut bob, &mut nobody] {
            let refused = client.ask(number, stat("a")).await;
            let (code, detail) = refusal(&refused).unwrap();
            assert_eq!(code, 40);
            assert!(detail.contains("accounts"), "{detail}");
        }
        let (_, answer) = RawClient::greet_with(&world.server, 0).await;
        assert!(matches!(answer.body, ServerBody::Refused { code: 40, .. }));
        let (_, same) = RawClient::log_in(&world.server, "bob", "bob").await;
        assert_eq!(same, answer);
    }
    std::fs::write(&path, good).unwrap();
    for client in [&mut bob, &mut nobody] {
        let answer = client.ask(number + 1, stat("a")).await;
        assert!(matches!(answer, ServerBody::Item(_)));
    }
    world.user("bob").await;
}

#[tokio::test]
async fn a_removed_user_and_one_with_another_password_are_shown_out() {
    for change in [remove, change_password] {
        let world = World::new(&[("bob", Role::Editor), ("eve", Role::Editor)], None);
        let (mut bob, mut eve) = (world.user("bob").await, world.user("eve").await);
        change(&world);
        expect_end(&mut bob, 40, "log in again").await;
        let answer = eve.ask(1, super::make_folder("a")).await;
        assert!(matches!(answer, ServerBody::Item(_)));
        let (_, answer) = RawClient::log_in(&world.server, "bob", "bob").await;
        assert!(refusal(&answer.body).is_some());
    }
}

fn remove(world: &World) {
    world.accounts.remove(&"bob".parse().unwrap()).unwrap();
}

fn change_password(world: &World) {
    let hash = account_with_password("another");
    world
        .accounts
        .set_password(&"bob".parse().unwrap(), hash)
        .unwrap();
}

#[tokio::test]
async fn a_running_download_of_a_removed_user_ends() {
    use fileshare::net::Frame;
    use fileshare::protocol::message::ClientBody;

    let world = World::new(&[("bob", Role::Reader)], None);
    let sparse = std::fs::File::create(world.root.path().join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    for reads in [true, false] {
        let _ = world.accounts.add(account("bob", Role::Reader));
        let mut bob = world.user("bob").await;
        bob.send(1, ClientBody::Download { files: 1 }).await;
        let files = vec![super::file("sparse")];
        bob.send(1, ClientBody::DownloadPage { files }).await;
        bob.receive().await.unwrap();
        remove(&world);
        if reads {
            // To the last word, or to the end of the connection in the middle of a frame.
            loop {
                match bob.receive_frame().await {
                    Ok(Frame::Data(_)) => {}
                    Ok(Frame::Message(body)) => {
                        let last: ServerMessage =
                            fileshare::protocol::codec::decode(&body).unwrap();
                        assert_eq!(last.number, 0);
                        assert!(matches!(last.body, ServerBody::Refused { code: 40, .. }));
                    }
                    Err(_) => break,
                }
            }
        }
        let RawClient { server, .. } = bob;
        server.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_fourth_failure_waits_and_so_does_what_comes_after_it_from_there() {
    let world = World::new(&[("bob", Role::Reader)], None);
    let at = |address: &str| Origin {
        address: Some(address.parse().unwrap()),
        ..PIPE_ORIGIN
    };
    let start = tokio::time::Instant::now();
    for _ in 0..3 {
        RawClient::log_in_from(&world.server, at("192.0.2.1:1"), "bob", "?").await;
    }
    assert_eq!(start.elapsed().as_millis(), 0);
    RawClient::log_in_from(&world.server, at("192.0.2.1:2"), "bob", "?").await;
    assert!(start.elapsed().as_millis() >= 500);
    let start = tokio::time::Instant::now();
    let answer = RawClient::log_in_from(&world.server, at("192.0.2.1:3"), "bob", "bob").await;
    assert!(matches!(answer.1.body, ServerBody::Welcome { .. }));
    assert!(start.elapsed().as_millis() >= 500);
    let start = tokio::time::Instant::now();
    let answer = RawClient::log_in_from(&world.server, at("192.0.2.2:3"), "bob", "bob").await;
    assert!(matches!(answer.1.body, ServerBody::Welcome { .. }));
    assert_eq!(start.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_never_finished_is_given_up_in_time() {
    let world = World::new(&[("bob", Role::Reader)], None);
    let start = tokio::time::Instant::now();
    let mut client = RawClient::connect(&world.server, PIPE_ORIGIN).await;
    expect_end_after(&mut client, start).await;
    // A sign of life now and then does not help.
    let (mut near, far) = tokio::io::duplex(64);
    let server = world.server.clone();
    let conversation = tokio::spawn(async move { server.converse(far, PIPE_ORIGIN).await });
    let start = tokio::time::Instant::now();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for byte in b"FSHR\x01\x01\0\0\0\0\x01\0".iter().cycle() {
            if near.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    assert!(conversation.await.unwrap().is_err());
    assert!(start.elapsed().as_secs() <= 19, "{:?}", start.elapsed());
}

/// What comes last comes when the greeting should be over.
async fn expect_end_after(client: &mut RawClient, start: tokio::time::Instant) {
    let last = client.receive().await.unwrap();
    assert!(matches!(last.body, ServerBody::Refused { code: 21, .. }));
    assert_eq!(start.elapsed().as_secs(), 15);
}
