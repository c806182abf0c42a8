//! Row “symlink swapped in during a request” of names and paths: handles, not paths.
//!
//! A thread swaps a folder and a file of the root for symbolic links to the outside and back, as
//! fast as it can, while every request that opens anything is made below them. The outside never
//! changes, and nothing of it is ever served or even admitted to exist.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fileshare::digest::Hasher;
use fileshare::net::Frame;
use fileshare::protocol::message::{
    ClientBody, FileMessage, ServerBody, ServerMessage, UploadResult, WireConflict,
};
use fileshare::protocol::{WireItem, WireRef, codec};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::tools::surroundings::{SECRET, Surroundings};
use crate::tools::transport::Transport;
use crate::wire::{RawClient, begin, end, upload_file};

/// The short form: some seconds.
#[tokio::test]
async fn no_request_follows_a_link_that_is_swapped_in() {
    for target in ["../outside", "absolute"] {
        race(target, 2_000).await;
    }
}

/// The long form, as many rounds as `FILESHARE_RACE_ROUNDS` says (1,000,000 when it says nothing):
/// `cargo test --release --test integration symlink_races -- --ignored`
#[tokio::test]
#[ignore = "takes many minutes; the short form runs always"]
async fn no_request_follows_a_link_in_a_million_rounds() {
    let rounds = std::env::var("FILESHARE_RACE_ROUNDS");
    let rounds = rounds.map_or(1_000_000, |rounds| rounds.parse().unwrap());
    for target in ["../outside", "absolute"] {
        race(target, rounds / 2).await;
    }
}

async fn race(target: &str, rounds: u64) {
    let surroundings = Surroundings::new();
    let (root, outside) = (surroundings.root(), surroundings.outside());
    let (target, file_target) = match target {
        "absolute" => (outside.clone(), outside.join("secret")),
        relative => (relative.into(), Path::new(relative).join("secret")),
    };
    std::fs::create_dir(root.join("box")).unwrap();
    std::fs::write(root.join("box/a"), "mine").unwrap();
    std::fs::write(root.join("file"), "mine").unwrap();
    std::fs::write(root.join("in"), "mine").unwrap();
    std::os::unix::fs::symlink(target, root.join("link")).unwrap();
    std::os::unix::fs::symlink(file_target, root.join("file link")).unwrap();
    let options = ["--anonymous", "editor", "--durability", "none"];
    let server = Transport::Plaintext.serve(&root, &options);
    let swapper = Swapper::start(&root);
    let mut client = RawClient::dial(&server).await;
    let mut outcomes = [[0_u32; 2]; REQUESTS];
    let mut number = 0;
    for round in 0..rounds {
        number += 1;
        let which = round as usize % REQUESTS;
        let done = make(&mut client, number, which).await;
        outcomes[which][usize::from(done)] += 1;
        if round % 1000 == 999 {
            surroundings.assert_untouched();
        }
    }
    let swaps = swapper.stop();
    surroundings.assert_untouched();
    // Otherwise there was no race at all.
    assert!(swaps > rounds / 10, "{swaps} swaps in {rounds} rounds");
    let both = outcomes.iter().filter(|[no, yes]| *no > 0 && *yes > 0);
    assert!(both.count() >= 4, "{outcomes:?}");
}

/// Swaps until it is stopped or dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    fn start(root: &Path) -> Self {
        let (stop, swaps) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted, root) = (stop.clone(), swaps.clone(), root.to_owned());
        let swap = move |one: &str, other: &str| {
            let (one, other) = (root.join(one), root.join(other));
            // A request may just have renamed or removed one of the two.
            let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
        };
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                swap("box", "link");
                swap("file", "file link");
                counted.fetch_add(1, Ordering::SeqCst);
                // Requests get some of both, whatever the machine's pace.
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        Swapper {
            stop,
            swaps,
            thread: Some(thread),
        }
    }

    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        self.swaps.load(Ordering::SeqCst)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

const REQUESTS: usize = 16;

/// Makes the request and returns whether it was done. What is not there at the moment may fail in
/// any way that leaves the connection alive.
async fn make(client: &mut RawClient<()>, number: u32, which: usize) -> bool {
    let rename = |from: &str, to: &str| ClientBody::Rename {
        from: WireRef::Name(from.to_owned()),
        to: to.to_owned(),
        if_match: None,
        dry_run: false,
    };
    let remove = |name: &str| ClientBody::Remove {
        file: WireRef::Name(name.to_owned()),
        recursive: true,
        if_match: None,
        dry_run: false,
    };
    let stat = |name: &str| ClientBody::Stat {
        file: WireRef::Name(name.to_owned()),
        wait_for_id: false,
    };
    let request = match which {
        0 => return upload(client, number, "box/up").await,
        1 => rename("box/up", "box/other"),
        2 => return download(client, number, "box/a").await,
        3 => return download(client, number, "box/secret").await,
        4 => return download(client, number, "file").await,
        5 => return upload(client, number, "file").await,
        6 => stat("box/secret"),
        7 => stat("box/a"),
        8 => rename("in", "box/in"),
        9 => rename("box/in", "in"),
        10 => ClientBody::MakeFolder {
            name: "box/made/deep".to_owned(),
            dry_run: false,
        },
        11 => remove("box/made"),
        12 => remove("box/folder"),
        13 => remove("box/secret"),
        14 => remove("box/other"),
        _ => ClientBody::List {
            folder: Some("box".to_owned()),
            patterns: Vec::new(),
            limit: 0,
        },
    };
    client.send(number, request).await;
    loop {
        let answer = next(client, number).await;
        match answer {
            ServerBody::Item(item) | ServerBody::Removed { item, .. } => {
                assert_not_outside(&item);
                return true;
            }
            ServerBody::Page { items, last } => {
                items.iter().for_each(assert_not_outside);
                if last {
                    return true;
                }
            }
            ServerBody::Refused { .. } => return false,
            other => panic!("{other:?}"),
        }
    }
}

/// The outside has a file `secret` and a folder `folder`, and the root has neither.
fn assert_not_outside(item: &WireItem) {
    let name = match item {
        WireItem::File(entry) => {
            assert_ne!(entry.size, SECRET.len() as u64, "{entry:?}");
            &entry.name
        }
        WireItem::Folder(name) => name,
    };
    let last = name.rsplit('/').next().unwrap();
    assert!(!["secret", "folder"].contains(&last), "{name}");
}

async fn next(client: &mut RawClient<()>, number: u32) -> ServerBody {
    let answer = client.receive().await.unwrap();
    assert_eq!(answer.number, number, "{answer:?}");
    answer.body
}

async fn download(client: &mut RawClient<()>, number: u32, name: &str) -> bool {
    client.send(number, ClientBody::Download { files: 1 }).await;
    let files = vec![WireRef::Name(name.to_owned())];
    let page = ClientBody::DownloadPage { files };
    client.send(number, page).await;
    let mut done = false;
    loop {
        match client.receive_frame().await.unwrap() {
            Frame::Data(content) => assert_eq!(content.body(), b"mine"),
            Frame::Message(body) => {
                let answer: ServerMessage = codec::decode(&body).unwrap();
                match answer.body {
                    ServerBody::DownloadEnd => return done,
                    ServerBody::File(FileMessage::Begin { entry, .. }) => {
                        assert_not_outside(&WireItem::File(entry.unwrap()));
                    }
                    ServerBody::File(FileMessage::End { .. }) => done = true,
                    ServerBody::File(FileMessage::Abort { .. }) | ServerBody::Alive => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

async fn upload(client: &mut RawClient<()>, number: u32, name: &str) -> bool {
    client.send(number, ClientBody::Upload { files: 1 }).await;
    let mut file = upload_file(name, Some(4));
    file.on_conflict = WireConflict::Replace;
    let page = ClientBody::UploadPage { files: vec![file] };
    client.send(number, page).await;
    let verdicts = next(client, number).await;
    assert!(matches!(verdicts, ServerBody::UploadReady { .. }));
    client.send(number, begin(0)).await;
    client.send_data(b"mine").await;
    client.send(number, end(Hasher::digest_of(b"mine"))).await;
    let results = next(client, number).await;
    let ServerBody::UploadResults { results } = results else {
        panic!("{results:?}");
    };
    assert_eq!(next(client, number).await, ServerBody::UploadEnd);
    matches!(results[..], [UploadResult::Stored { .. }])
}
