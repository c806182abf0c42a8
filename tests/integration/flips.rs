//! Row “bytes changed on the way” of faults: a wire on which any one bit flips.
//!
//! Over TLS whatever is changed ends the connection. Over plaintext, content that was changed is
//! never published, and whatever else was changed leads to a clear end in time: the plaintext mode
//! is for a trusted wire, and cannot tell a request that was changed into another one from that
//! other one. Neither leaves half a file under any name.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fileshare::client::{
    Client, ClientError, ClientOptions, Download, KnownServers, Source, Target, Trust, TrustPolicy,
    Unattended, Upload,
};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Silent;
use fileshare::types::{FileName, FileRef, OnConflict, Precondition};

use crate::harness::noise;
use crate::tools::proxy::{Direction, Fault, Proxy};
use crate::tools::transport::Transport;

/// How many conversations go on at once: those that wait for a byte that never comes cost nothing.
const AT_ONCE: usize = 32;

/// What a client may take to notice: a message must have come whole after 30 s, and machines can be
/// busy.
const NOTICED: Duration = Duration::from_secs(50);

const CONTENT_BYTES: usize = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Put,
    Get,
}

/// The short form: over plaintext every byte of a small conversation, over TLS every 16th. A flip
/// in a length leaves a side waiting for what never comes, so each takes some 30 s.
#[test]
fn a_flipped_bit_never_makes_a_wrong_file_on_the_server() {
    sweep(Transport::Plaintext, Work::Put, 1, 1);
}

#[test]
fn a_flipped_bit_never_makes_a_wrong_file_on_the_client() {
    sweep(Transport::Plaintext, Work::Get, 1, 1);
}

#[test]
fn over_tls_a_flipped_bit_stores_nothing() {
    sweep(Transport::Tls, Work::Put, 16, 1);
}

#[test]
fn over_tls_a_flipped_bit_fetches_nothing() {
    sweep(Transport::Tls, Work::Get, 16, 1);
}

/// The long form: every bit of every byte (some 100,000 conversations over TLS).
/// `cargo test --release --test integration flips -- --ignored`
#[test]
#[ignore = "takes an hour; the short form runs always"]
fn no_flipped_bit_makes_a_wrong_file() {
    for transport in Transport::ALL {
        for work in [Work::Put, Work::Get] {
            sweep(*transport, work, 1, 8);
        }
    }
}

/// A conversation through a proxy, over and over, with another bit flipped each time.
fn sweep(transport: Transport, work: Work, step: usize, bits: u8) {
    let root = tempfile::tempdir().unwrap();
    let desks = tempfile::tempdir().unwrap();
    let server = transport.serve(root.path(), &["--durability", "none"]);
    let content = noise(1, CONTENT_BYTES);
    std::fs::write(root.path().join("g"), &content).unwrap();
    let setting = Setting {
        transport,
        work,
        server: server.address(),
        root: root.path(),
        content,
        desks: desks.path(),
    };
    // Without a fault, to see how much is said.
    let proxy = Proxy::start(server.address(), |_, _| Fault::None);
    setting.converse(&proxy, "whole").unwrap();
    let mut flips = Vec::new();
    for direction in Direction::BOTH {
        for at in (0..proxy.seen(direction).len()).step_by(step) {
            flips.extend((0..bits).map(|bit| (direction, at, (at as u8).wrapping_add(bit) % 8)));
        }
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(flip) = flips.get(next.fetch_add(1, Ordering::SeqCst)) {
                    setting.try_flip(*flip);
                }
            });
        }
    });
    // Whatever was stored is whole, under whatever name.
    for entry in std::fs::read_dir(root.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(std::fs::read(&path).unwrap() == setting.content, "{path:?}");
        }
    }
    let staged = std::fs::read_dir(root.path().join(".fileshare/staging"));
    assert_eq!(staged.unwrap().count(), 0);
}

struct Setting<'a> {
    transport: Transport,
    work: Work,
    server: String,
    root: &'a Path,
    content: Vec<u8>,
    desks: &'a Path,
}

impl Setting<'_> {
    fn try_flip(&self, (direction, at, bit): (Direction, usize, u8)) {
        let flip = Fault::Flip { at, bit };
        let what = format!(
            "{:?} {:?} {direction:?} {flip:?}",
            self.transport, self.work
        );
        let proxy = Proxy::with(self.server.clone(), direction, flip);
        let desk = format!("{direction:?}-{at:05}-{bit}");
        let began = Instant::now();
        let outcome = self.converse(&proxy, &desk);
        assert!(began.elapsed() < NOTICED, "{what}: {:?}", began.elapsed());
        let made = match self.work {
            Work::Put => self.root.join(&desk),
            Work::Get => self.desks.join(&desk).join("g"),
        };
        match outcome {
            Ok(()) => assert!(std::fs::read(made).unwrap() == self.content, "{what}"),
            Err(failure) => {
                assert_ne!(failure.code, ErrorCode::Internal, "{what}: {failure}");
                let left = std::fs::read_dir(self.desks.join(desk)).unwrap();
                assert_eq!(left.count(), 0, "{what}: {failure}");
                // What was changed on its way to the server was not done. (On its way back, it is.)
                if self.transport == Transport::Tls && direction == Direction::ToServer {
                    assert!(!made.exists(), "{what}: {failure}");
                }
            }
        }
    }

    /// Gets or puts one file through the proxy; the desk's name is the name that is put.
    fn converse(&self, proxy: &Proxy, desk: &str) -> Result<(), ClientError> {
        let folder = self.desks.join(desk);
        std::fs::create_dir(&folder).unwrap();
        let options = ClientOptions {
            timeout: Duration::from_secs(5),
            retries: 0,
            plaintext: self.transport == Transport::Plaintext,
            trust: Trust {
                policy: TrustPolicy::AcceptNew,
                known: Some(KnownServers::at(folder.with_extension("known"))),
                first_contact: Arc::new(Unattended),
            },
            ..ClientOptions::default()
        };
        let mut client = Client::new(proxy.address().parse().unwrap(), options);
        let mut outcome = None;
        let mut report = |file: fileshare::client::FileReport| outcome = Some(file.outcome);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let tried = runtime.block_on(async {
            match self.work {
                Work::Put => {
                    let upload = Upload {
                        source: Source::Stream(Box::new(std::io::Cursor::new(
                            self.content.clone(),
                        ))),
                        name: FileName::parse(desk).unwrap(),
                        on_conflict: OnConflict::Error,
                        precondition: Precondition::default(),
                        basis: None,
                    };
                    client
                        .put(vec![upload], false, Arc::new(Silent), &mut report)
                        .await
                }
                Work::Get => {
                    let download = Download {
                        file: FileRef::Name(FileName::parse("g").unwrap()),
                        target: Target::Folder(folder),
                        on_conflict: OnConflict::Error,
                    };
                    client
                        .get(vec![download], false, Arc::new(Silent), &mut report)
                        .await
                }
            }
        });
        drop(client);
        runtime.shutdown_timeout(Duration::from_secs(10));
        tried?;
        outcome.expect("a report").map(|_| ())
    }
}
