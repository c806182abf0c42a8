//! Many clients and many offers at once: how long it takes until everybody is told, and what it
//! costs.

use std::time::{Duration, Instant};

use fileshare::protocol::message::{ClientBody, ServerBody};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Guest, registration};
use crate::harness::serve_plaintext;
use crate::measure;
use crate::wire::{RawClient, RawInbox, RawOutbox};

/// What a client has been told so far.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    messages: u64,
    bytes: usize,
}

/// A registered client that listens, and says from time to time that it is there.
async fn listen(mut inbox: RawInbox, mut outbox: RawOutbox, told: watch::Sender<Told>) {
    let mut number = 1;
    let mut heartbeat = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            message = inbox.receive() => {
                let message = message.unwrap();
                if message.number != 0 {
                    continue;
                }
                let mut bytes = Vec::new();
                fileshare::protocol::codec::encode(&message, &mut bytes, 1 << 20).unwrap();
                told.send_modify(|told| {
                    told.messages += 1;
                    told.bytes += 5 + bytes.len();
                });
            }
            _ = heartbeat.tick() => {
                number += 1;
                outbox.send(number, ClientBody::Ping).await;
            }
        }
    }
}

/// How many clients and offers the table has, and in how many messages it comes.
async fn counted<S>(guest: &mut Guest<S>) -> ((usize, usize), usize) {
    guest.send(ClientBody::Table { epoch: 0, since: 0 }).await;
    let (mut clients, mut offered, mut messages) = (0, 0, 0);
    loop {
        let ServerBody::Table {
            peers,
            offers,
            last,
            ..
        } = guest.answer().await.unwrap().body
        else {
            panic!("a table was expected");
        };
        clients += peers.len();
        offered += offers.len();
        messages += 1;
        if last {
            return ((clients, offered), messages);
        }
    }
}

/// So many clients register at once, one of them offers so many files, and then one more.
async fn everybody_is_told(clients: usize, offers: usize) {
    measure::more_descriptors(3 * clients as u64 + 200);
    let root = tempfile::tempdir().unwrap();
    let server = serve_plaintext(root.path(), &[]);
    let start = Instant::now();
    let mut coming = JoinSet::new();
    for number in 0..clients {
        let client = RawClient::dial(&server).await;
        coming.spawn(async move {
            let mut guest = Guest::of(client);
            let name = format!("client-{number}");
            let answer = guest.ask(registration(&name, &name)).await;
            assert!(matches!(answer, ServerBody::Registered { .. }));
            guest
        });
    }
    let mut guests = coming.join_all().await;
    let registered = start.elapsed();

    let mut offering = guests.pop().unwrap();
    let mut listening = JoinSet::new();
    let mut told: Vec<_> = guests
        .into_iter()
        .map(|guest| {
            let (sender, told) = watch::channel(Told::default());
            let RawClient { inbox, outbox, .. } = guest.client;
            listening.spawn(listen(inbox, outbox, sender));
            told
        })
        .collect();
    let busy = measure::busy(&server);
    let start = Instant::now();
    let names: Vec<String> = (0..offers).map(|n| format!("folder/file {n}")).collect();
    for page in names.chunks(1000) {
        let page: Vec<&str> = page.iter().map(String::as_str).collect();
        offering.offer(&page).await;
    }
    let offered = start.elapsed();
    let offering_cost = measure::busy(&server) - busy;
    // Until all that is on its way has arrived.
    tokio::time::sleep(Duration::from_secs(2)).await;
    offering.ask(ClientBody::Ping).await;

    let before: Vec<Told> = told.iter().map(|told| *told.borrow()).collect();
    let busy = measure::busy(&server);
    let start = Instant::now();
    offering.offer(&["one more"]).await;
    for (told, before) in told.iter_mut().zip(&before) {
        let waiting = told.wait_for(|now| now.messages > before.messages);
        let told = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        told.expect("everybody is told").unwrap();
    }
    let last = start.elapsed();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let push_cost = measure::busy(&server) - busy;
    let bytes: usize = told
        .iter()
        .zip(&before)
        .map(|(now, before)| now.borrow().bytes - before.bytes)
        .sum();
    let messages: u64 = told
        .iter()
        .zip(&before)
        .map(|(now, before)| now.borrow().messages - before.messages)
        .sum();
    assert_eq!(messages, told.len() as u64, "one message each");

    let start = Instant::now();
    let (seen, messages) = counted(&mut offering).await;
    let read = start.elapsed();
    assert_eq!(seen, (clients, offers + 1));
    println!(
        "{clients} clients, {offers} offers: all registered after {registered:?}; \
         offered in {offered:?} (server busy {offering_cost:?}); \
         last client told {last:?} after a change, {bytes} bytes in all, server busy {push_cost:?}; \
         the whole table read in {read:?} ({messages} messages); server has {} MiB",
        measure::memory(&server, "VmRSS:") / 1024,
    );
    assert!(last <= Duration::from_secs(2), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_are_told_of_a_change_at_once() {
    everybody_is_told(60, 3000).await;
}

/// Run with `cargo test --release --test integration very_many -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute, and measures"]
async fn very_many_clients_and_offers_stay_quick() {
    everybody_is_told(500, 99_999).await;
}
