//! Many at once, on the same names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fileshare::client::{Client, Download, FileReport, Source, Target, Upload};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Silent;
use fileshare::types::{OnConflict, Precondition};
use tokio::sync::Barrier;

use super::ledger::Content;
use super::operations::{name, reference};
use super::oracle::{self, Sink};
use super::site::Site;
use super::{number, runtime, say};

/// Uploads one file; `Err` is the code of its failure.
pub async fn put(
    client: &mut Client,
    to: &str,
    content: &Content,
    policy: OnConflict,
) -> Result<(), ErrorCode> {
    let bytes = std::io::Cursor::new(content.bytes.to_vec());
    let upload = Upload {
        source: Source::Stream(Box::new(bytes)),
        name: name(to),
        on_conflict: policy,
        precondition: Precondition::default(),
        basis: None,
    };
    let mut outcome = None;
    let report = &mut |report: FileReport| outcome = Some(report.outcome);
    let silent = Arc::new(Silent);
    client
        .put(vec![upload], false, silent, report)
        .await
        .unwrap();
    outcome.unwrap().map(drop).map_err(|failure| failure.code)
}

/// Downloads one file; the bytes count only when it says that they are right.
pub async fn get(client: &mut Client, from: &str) -> Result<Vec<u8>, ErrorCode> {
    let sink = Sink::default();
    let download = Download {
        file: reference(from),
        target: Target::Stream(Box::new(sink.clone())),
        on_conflict: OnConflict::Error,
    };
    let mut outcome = None;
    let report = &mut |report: FileReport| outcome = Some(report.outcome);
    let got = client.get(vec![download], false, Arc::new(Silent), report);
    got.await.map_err(|failure| failure.code)?;
    outcome.unwrap().map_err(|failure| failure.code)?;
    let bytes = sink.0.lock().unwrap().clone();
    Ok(bytes)
}

#[test]
fn of_many_uploads_of_one_name_exactly_one_wins() {
    one_winner(5);
}

/// The long form: `FILESHARE_ROUNDS=1000 cargo test --release --test integration
/// one_winner_in_many_rounds -- --ignored --nocapture`.
#[test]
#[ignore = "takes as long as FILESHARE_ROUNDS says"]
fn one_winner_in_many_rounds() {
    one_winner(number("FILESHARE_ROUNDS", 1000) as usize);
}

fn one_winner(rounds: usize) {
    const CLIENTS: usize = 64;
    let site = Site::new();
    let server = site.serve(&[]);
    let started = Instant::now();
    runtime().block_on(async {
        let barrier = Arc::new(Barrier::new(CLIENTS));
        let clients = (0..CLIENTS).map(|number| {
            let (barrier, mut client) = (Arc::clone(&barrier), server.client());
            tokio::spawn(async move {
                client.connect().await.unwrap();
                let mut won = Vec::new();
                for round in 0..rounds {
                    let content = Content::new((round * CLIENTS + number) as u64, 2000 + number);
                    let prize = format!("prize{round}");
                    barrier.wait().await;
                    match put(&mut client, &prize, &content, OnConflict::Error).await {
                        Ok(()) => won.push((prize, content)),
                        Err(code) => assert_eq!(code, ErrorCode::AlreadyExists),
                    }
                }
                won
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut prizes = std::collections::BTreeMap::new();
        for client in clients {
            for (prize, content) in client.await.unwrap() {
                assert!(prizes.insert(prize, content).is_none(), "two winners");
            }
        }
        assert_eq!(prizes.len(), rounds, "a round without a winner");
        let observed = oracle::examine(&mut server.client(), &site.root()).await;
        assert_eq!(observed.files.len(), rounds);
        for (prize, content) in prizes {
            assert!(observed.files[&prize] == *content.bytes, "{prize}");
        }
    });
    server.stop();
    let seconds = started.elapsed().as_secs();
    say(&format!(
        "one winner: {rounds} rounds of {CLIENTS} clients, {seconds} s"
    ));
}

#[test]
fn a_download_ends_right_or_with_an_error_whatever_happens_to_the_name() {
    let site = Site::new();
    // Slow enough that every change happens in the middle of a download.
    let server = site.serve(&["--limit-rate", "8M"]);
    runtime().block_on(async {
        for round in 0..6 {
            let [old, new] = [1, 2].map(|n| Content::new(10 * round + n, 1_500_000));
            let file = format!("file{round}");
            std::fs::write(site.root().join(&file), &*old.bytes).unwrap();
            let mut reader = server.client();
            let from = file.clone();
            let reading = tokio::spawn(async move { get(&mut reader, &from).await });
            tokio::time::sleep(Duration::from_millis(20 + 10 * round)).await;
            let mut other = server.client();
            let any = Precondition::default;
            let at = site.root().join(&file);
            match round {
                0 => {
                    let to = name("elsewhere");
                    other
                        .rename(&reference(&file), &to, any(), false)
                        .await
                        .unwrap();
                }
                1 => {
                    other
                        .remove(&reference(&file), false, any(), false)
                        .await
                        .unwrap();
                }
                2 => {
                    let put = put(&mut other, &file, &new, OnConflict::Overwrite);
                    put.await.unwrap();
                }
                // By hand: in place, cut short, and another file under the name.
                3 => std::fs::write(&at, &*new.bytes).unwrap(),
                4 => std::fs::write(&at, "short").unwrap(),
                _ => {
                    let beside = site.path("beside");
                    std::fs::write(&beside, &*new.bytes).unwrap();
                    std::fs::rename(beside, &at).unwrap();
                }
            }
            match reading.await.unwrap() {
                Ok(bytes) => {
                    let right = bytes == *old.bytes || bytes == *new.bytes || bytes == b"short";
                    assert!(right, "round {round}: a mixture was called good");
                }
                Err(code) => {
                    let clear = [
                        ErrorCode::Conflict,
                        ErrorCode::DigestMismatch,
                        ErrorCode::NotFound,
                    ];
                    assert!(clear.contains(&code), "round {round}: {code}");
                    // Whoever has the file open keeps it, whatever becomes of its name.
                    assert!((3..5).contains(&round), "round {round}: {code}");
                }
            }
        }
        oracle::examine(&mut server.client(), &site.root()).await;
    });
    server.stop();
}

#[test]
fn a_second_server_is_refused_and_a_stale_lock_is_not() {
    let site = Site::new();
    let first = site.serve(&[]);
    for _ in 0..3 {
        let second = site.launch(&[]).wait_with_output().unwrap();
        assert_eq!(second.status.code(), Some(1));
        let log = std::fs::read_to_string(site.log()).unwrap();
        assert!(log.contains("already being served"), "{log}");
    }
    first.kill();
    assert!(site.root().join(".fileshare/lock").exists());
    site.serve(&[]).stop();
}

#[test]
fn renames_of_many_clients_lose_nothing() {
    let site = Site::new();
    let server = site.serve(&[]);
    const FILES: u64 = 6;
    let contents: Vec<Content> = (0..FILES).map(|n| Content::new(n, 3000)).collect();
    runtime().block_on(async {
        let mut first = server.client();
        for (number, content) in contents.iter().enumerate() {
            let to = format!("file{number}");
            put(&mut first, &to, content, OnConflict::Error)
                .await
                .unwrap();
        }
        // All move all files about, among more names than files.
        let clients = (0..8).map(|seed| {
            let mut client = server.client();
            tokio::spawn(async move {
                let mut dice = super::dice::Dice::new(seed);
                let mut moved = 0;
                for _ in 0..40 {
                    let [from, to] = [0; 2].map(|_| format!("file{}", dice.below(10)));
                    let any = Precondition::default();
                    let (old, new) = (reference(&from), name(&to));
                    match client.rename(&old, &new, any, false).await {
                        Ok(_) => moved += 1,
                        Err(failure) => assert!(
                            [ErrorCode::NotFound, ErrorCode::AlreadyExists].contains(&failure.code),
                            "{from} {to}: {failure}"
                        ),
                    }
                }
                moved
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut moved = 0;
        for client in clients {
            moved += client.await.unwrap();
        }
        assert!(moved > 20, "{moved}");
        let observed = oracle::examine(&mut first, &site.root()).await;
        let mut found: Vec<&Vec<u8>> = observed.files.values().collect();
        let mut expected: Vec<&Vec<u8>> = contents.iter().map(|c| &*c.bytes).collect();
        found.sort();
        expected.sort();
        assert!(found == expected);
    });
    server.stop();
}
