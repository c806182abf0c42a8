use std::time::Duration;

use fileshare::protocol::message::{ClientBody, ServerBody};
use tokio::time::Instant;

use super::{Guest, Seen, offer, refusal, server};

#[tokio::test(start_paused = true)]
async fn everybody_is_told_within_a_second_and_of_one_second_at_once() {
    let (_root, server) = server();
    let mut b = Guest::registered(&server, "B").await;
    let mut c = Guest::registered(&server, "C").await;
    let (mut seen_b, mut seen_c) = (Seen::default(), Seen::default());
    let start = Instant::now();
    seen_b.take(b.event().await);
    seen_c.take(c.event().await);
    assert!(start.elapsed() <= Duration::from_secs(1));
    assert_eq!(seen_b.online(), ["B", "C"]);
    assert_eq!(seen_c.online(), ["B", "C"]);

    for name in ["one", "two", "three"] {
        b.offer(&[name]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let withdraw = ClientBody::Withdraw {
        names: vec!["two".into(), "never offered".into()],
    };
    assert_eq!(b.ask(withdraw).await, ServerBody::Done);
    let news = c.event().await;
    assert!(matches!(&news, ServerBody::Table { since, .. } if *since == seen_c.version));
    seen_c.take(news);
    let files: Vec<_> = seen_c.offers.iter().map(|(_, file)| file).collect();
    assert_eq!(files, ["one", "three"]);
    assert!(c.hears_nothing_for(Duration::from_secs(3)).await);
    c.ask(ClientBody::Ping).await;

    // The end of a client is news, too.
    drop(b);
    seen_c.take(c.event().await);
    assert_eq!(seen_c.online(), ["C"]);
    assert_eq!(seen_c.offers, []);
    let asked = c.table().await;
    assert_eq!((asked.peers.len(), asked.offers.len()), (2, 0));
}

#[tokio::test]
async fn who_has_missed_something_asks_for_it() {
    let (_root, server) = server();
    let mut b = Guest::registered(&server, "B").await;
    b.offer(&["x"]).await;
    let mut watcher = Guest::new(&server).await;
    let mut seen = watcher.table().await;
    b.offer(&["y"]).await;
    let since = |seen: &Seen, epoch| ClientBody::Table {
        epoch,
        since: seen.version,
    };
    let changes = watcher.ask(since(&seen, seen.epoch)).await;
    assert!(matches!(&changes, ServerBody::Table { since, offers, .. }
        if *since == seen.version && offers.len() == 1));
    assert!(seen.take(changes));
    assert_eq!(seen.offers.len(), 2);
    let nothing = watcher.ask(since(&seen, seen.epoch)).await;
    assert!(matches!(&nothing, ServerBody::Table { offers, peers, .. }
        if offers.is_empty() && peers.is_empty()));
    // Another run of the server, or a version that there never was.
    let anew = watcher.ask(since(&seen, seen.epoch ^ 1)).await;
    assert!(matches!(anew, ServerBody::Table { since: 0, .. }));
    let far = Seen {
        version: u64::MAX,
        ..Seen::default()
    };
    let anew = watcher.ask(since(&far, seen.epoch)).await;
    assert!(matches!(anew, ServerBody::Table { since: 0, .. }));
}

/// Where somebody is depends on who asks, and is never what he says.
#[tokio::test]
async fn addresses_are_those_that_connections_come_from() {
    let (_root, server) = server();
    let lan = "192.168.1.5";
    let mut near = Guest::from(&server, "127.0.0.1:4001", "127.0.0.1").await;
    near.register("near").await;
    let mut far = Guest::from(&server, "192.168.1.7:4002", lan).await;
    far.register("far").await;
    let mut mapped = Guest::from(&server, "[::ffff:192.168.1.8]:4003", "::ffff:192.168.1.5").await;
    mapped.register("mapped").await;
    let mut six = Guest::from(&server, "[2001:db8::7]:4004", "2001:db8::5").await;
    six.register("six").await;
    let mut own = Guest::from(&server, "[::1]:4005", "::1").await;
    own.register("own").await;

    let places = async |guest: &mut Guest| {
        let mut peers = guest.table().await.peers;
        peers.sort();
        let places = peers.into_iter().map(|(name, place, _)| (name, place));
        places.collect::<Vec<_>>()
    };
    let expected = |near: &str, own: &str| {
        [
            ("far", "192.168.1.7:1401"),
            ("mapped", "192.168.1.8:1401"),
            ("near", near),
            ("own", own),
            ("six", "2001:db8::7:1401"),
        ]
        .map(|(name, place)| (name.to_owned(), place.to_owned()))
    };
    let loopback = expected("127.0.0.1:1401", "::1:1401");
    assert_eq!(places(&mut near).await, loopback);
    assert_eq!(places(&mut own).await, loopback);
    let reached = expected("192.168.1.5:1401", "192.168.1.5:1401");
    assert_eq!(places(&mut far).await, reached);
    assert_eq!(places(&mut mapped).await, reached);
    let reached = expected("2001:db8::5:1401", "2001:db8::5:1401");
    assert_eq!(places(&mut six).await, reached);
}

#[tokio::test]
async fn junk_is_not_offered_and_all_or_none_of_a_message_is() {
    let (_root, server) = server();
    let mut b = Guest::registered(&server, "B").await;
    for junk in [
        "../x",
        "/etc/passwd",
        "",
        "a\u{1b}[2J",
        "x/../y",
        "\u{202e}x",
    ] {
        let (code, words) = refusal(b.ask(offer(&["fine", junk])).await);
        assert_eq!(code, 11, "{junk:?}");
        assert!(!words.chars().any(char::is_control), "{words:?}");
    }
    assert_eq!(b.table().await.offers, []);
    b.offer(&["folder/fine", "fine"]).await;
    assert_eq!(b.table().await.offers.len(), 2);
    let all = ClientBody::Withdraw { names: vec![] };
    assert_eq!(b.ask(all).await, ServerBody::Done);
    assert_eq!(b.table().await.offers, []);
}

/// More than fits an event: a word that it is so, and the rest for who asks.
#[tokio::test]
async fn a_large_change_is_only_announced() {
    let (_root, server) = server();
    let mut b = Guest::registered(&server, "B").await;
    let mut c = Guest::registered(&server, "C").await;
    c.event().await;
    let names: Vec<String> = (0..3000).map(|number| format!("file {number}")).collect();
    for page in names.chunks(1000) {
        let page: Vec<&str> = page.iter().map(String::as_str).collect();
        b.offer(&page).await;
    }
    let version = loop {
        match c.event().await {
            ServerBody::Changed { version, .. } => break version,
            ServerBody::Table { .. } => continue,
            other => panic!("{other:?}"),
        }
    };
    let seen = c.table().await;
    assert_eq!(seen.offers.len(), 3000);
    assert!(seen.version >= version && seen.messages > 1);
    let too_many = vec!["x"; 4097];
    c.send(offer(&too_many)).await;
    while let Ok(message) = c.client.receive().await {
        assert_eq!(message.number, 0, "a page has its limit");
    }
}

/// A client that reads nothing holds nobody up, and is given up.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_left_behind() {
    let (_root, server) = server();
    let _deaf = Guest::registered(&server, "deaf").await;
    let mut b = Guest::registered(&server, "B").await;
    let mut c = Guest::registered(&server, "C").await;
    c.event().await;
    for round in 0..12 {
        // Larger than the pipe to the deaf one.
        let names: Vec<String> = (0..50).map(|number| format!("{round} {number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let start = Instant::now();
        b.offer(&names).await;
        for guest in [&mut b, &mut c] {
            loop {
                let ServerBody::Table { offers, .. } = guest.event().await else {
                    panic!("a table was expected");
                };
                if !offers.is_empty() {
                    break;
                }
            }
            let waited = start.elapsed();
            assert!(waited <= Duration::from_secs(1), "{waited:?}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        c.ask(ClientBody::Ping).await;
    }
    assert_eq!(c.table().await.online(), ["B", "C"]);
}
