use std::time::Duration;

use fileshare::protocol::Secret;
use fileshare::protocol::message::{ClientBody, ServerBody};
use tokio::time::Instant;

use super::{Guest, offer, refusal, registration, server};

const ALREADY_EXISTS: u16 = 50;

/// Waits until nobody is online under this name.
async fn until_offline(watcher: &mut Guest, name: &str) {
    while watcher.table().await.online().contains(&name) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_name_that_somebody_has_is_refused_and_free_again_when_he_goes() {
    let (_root, server) = server();
    let mut b = Guest::registered(&server, "B").await;
    let mut other = Guest::new(&server).await;
    let (code, words) = refusal(other.ask(registration("B", "another")).await);
    assert_eq!(code, ALREADY_EXISTS);
    assert_eq!(words, "Client username already in use.");
    let (code, _) = refusal(b.ask(registration("C", "B")).await);
    assert_eq!(code, 51, "it has a name");
    assert_eq!(
        b.ask(ClientBody::Deregister { name: None }).await,
        ServerBody::Done
    );
    other.register("B").await;
    b.register("C").await;
    assert_eq!(other.table().await.online(), ["B", "C"]);
    drop(other);
    until_offline(&mut b, "B").await;
    Guest::registered(&server, "B").await;
}

#[tokio::test]
async fn bad_ports_and_names_are_refused() {
    let (_root, server) = server();
    let mut guest = Guest::new(&server).await;
    for port in [0, 1, 80, 1023] {
        let register = ClientBody::Register {
            name: "B".into(),
            port,
            key: None,
            secret: Secret([1; 32]),
        };
        let (code, words) = refusal(guest.ask(register).await);
        assert_eq!((code, words.as_str()), (12, "[Invalid client TCP port]"));
    }
    for name in [
        "",
        "a b",
        "a/b",
        "..",
        "\u{1b}[2J",
        "a\u{202e}b",
        "a\u{200b}",
        "a\nb",
        &"n".repeat(65),
        &"n".repeat(60_000),
    ] {
        let (code, words) = refusal(guest.ask(registration(name, "x")).await);
        assert_eq!(code, 11, "{name:?}");
        assert!(!words.contains('\u{1b}') && words.len() < 200);
    }
    assert_eq!(guest.table().await.peers, []);
}

#[tokio::test]
async fn who_is_not_registered_offers_nothing_and_nobody_takes_a_name_away() {
    let (_root, server) = server();
    let mut guest = Guest::new(&server).await;
    let deregister = |name: Option<&str>| ClientBody::Deregister {
        name: name.map(str::to_owned),
    };
    let withdraw = || ClientBody::Withdraw { names: vec![] };
    for body in [offer(&["x"]), withdraw(), deregister(None)] {
        let (code, words) = refusal(guest.ask(body).await);
        assert_eq!(code, 10, "{words}");
    }
    let mut b = Guest::registered(&server, "B").await;
    guest.register("C").await;
    let (code, _) = refusal(guest.ask(deregister(Some("B"))).await);
    assert_eq!(code, 41);
    assert_eq!(b.table().await.online(), ["B", "C"]);
    assert_eq!(guest.ask(deregister(Some("C"))).await, ServerBody::Done);
    assert_eq!(b.table().await.online(), ["B"]);
}

/// The same client comes back while its old connection is still there.
#[tokio::test(start_paused = true)]
async fn the_same_client_gets_its_name_from_a_connection_that_is_dead() {
    let (_root, server) = server();
    let mut old = Guest::registered(&server, "B").await;
    old.offer(&["x"]).await;
    let mut new = Guest::new(&server).await;
    let start = Instant::now();
    new.register("B").await;
    let waited = start.elapsed();
    assert!((2..4).contains(&waited.as_secs()), "{waited:?}");
    let seen = new.table().await;
    assert_eq!((seen.online(), seen.offers.len()), (vec!["B"], 0));
    // Who was replaced hears why, and its going changes nothing.
    while old.event().await != ServerBody::Probe {}
    let last = loop {
        match old.event().await {
            ServerBody::Refused { code, detail } => break (code, detail),
            _ => continue,
        }
    };
    assert_eq!(last.0, 51, "{}", last.1);
    drop(old);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(new.table().await.online(), ["B"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_there_keeps_its_name_even_from_its_twin() {
    let (_root, server) = server();
    let mut old = Guest::registered(&server, "B").await;
    let mut twin = Guest::new(&server).await;
    let asked = twin.send(registration("B", "B")).await;
    while old.event().await != ServerBody::Probe {}
    old.ask(ClientBody::Ping).await;
    let answer = twin.answer().await.unwrap();
    assert_eq!(answer.number, asked);
    assert_eq!(refusal(answer.body).0, ALREADY_EXISTS);
    assert_eq!(old.table().await.online(), ["B"]);
}

/// Nobody else waits for a probe: the name is taken, and that is all that he hears.
#[tokio::test(start_paused = true)]
async fn a_stranger_cannot_even_ask_whether_somebody_is_there() {
    let (_root, server) = server();
    let mut b = Guest::registered(&server, "B").await;
    let mut stranger = Guest::new(&server).await;
    let start = Instant::now();
    refusal(stranger.ask(registration("B", "guess")).await);
    assert!(start.elapsed() < Duration::from_millis(500));
    assert!(matches!(b.event().await, ServerBody::Table { .. }));
    assert!(b.hears_nothing_for(Duration::from_secs(3)).await);
}

#[tokio::test]
async fn of_many_that_want_a_name_at_once_exactly_one_gets_it() {
    let (_root, server) = server();
    for same in [false, true] {
        let mut races = tokio::task::JoinSet::new();
        for number in 0..64 {
            let server = server.clone();
            let secret = match same {
                true => "same".to_owned(),
                false => format!("secret {number}"),
            };
            races.spawn(async move {
                let mut guest = Guest::new(&server).await;
                let asked = guest.send(registration("B", &secret)).await;
                // Whoever has the name answers for it.
                loop {
                    let message = guest.client.receive().await.unwrap();
                    match message.body {
                        ServerBody::Registered { .. } => break,
                        ServerBody::Refused { code, .. } => {
                            assert_eq!((message.number, code), (asked, ALREADY_EXISTS));
                            return false;
                        }
                        _ => {}
                    }
                }
                let until = Instant::now() + Duration::from_secs(3);
                while let Ok(message) = tokio::time::timeout_at(until, guest.client.receive()).await
                {
                    if message.unwrap().body == ServerBody::Probe {
                        guest.send(ClientBody::Ping).await;
                    }
                }
                true
            });
        }
        let won = races.join_all().await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "same: {same}");
        let mut watcher = Guest::new(&server).await;
        until_offline(&mut watcher, "B").await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_heard_of_is_offline_within_15_s_and_who_pings_is_not() {
    let (_root, server) = server();
    let _silent = Guest::registered(&server, "silent").await;
    let mut alive = Guest::registered(&server, "alive").await;
    let mut watcher = Guest::new(&server).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        alive.ask(ClientBody::Ping).await;
    }
    assert_eq!(watcher.table().await.online(), ["alive"]);
    // Known all the same.
    assert_eq!(watcher.table().await.peers.len(), 2);
    let mut again = Guest::new(&server).await;
    assert!(matches!(
        again.ask(registration("silent", "somebody else")).await,
        ServerBody::Registered { .. }
    ));
}

#[tokio::test]
async fn a_request_is_done_once_however_often_it_is_made() {
    let (_root, server) = server();
    let mut guest = Guest::new(&server).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        guest.client.send(1, registration("B", "B")).await;
        answers.push(guest.answer().await.unwrap());
    }
    assert!(matches!(answers[0].body, ServerBody::Registered { .. }));
    assert_eq!(answers[0], answers[1], "with the same key for tickets");
    assert_eq!(answers[0], answers[2]);
    for number in [2, 2, 3, 2] {
        guest.client.send(number, offer(&["x"])).await;
        assert_eq!(guest.answer().await.unwrap().body, ServerBody::Done);
    }
    guest.number = 3;
    assert_eq!(guest.table().await.offers.len(), 1);
}
