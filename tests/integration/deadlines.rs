//! How long strangers can keep a server waiting: whoever is too slow is dropped, in every phase of a
//! conversation, and others notice nothing.
//!
//! Real server processes, real sockets, real time: all phases at once, in one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fileshare::digest::Hasher;
use fileshare::protocol::WireRef;
use fileshare::protocol::message::{ClientBody, ClientMessage, ServerBody};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::guest::{Guest, data_header, dial, frame, hello, preface, visit};
use crate::measure::{memory, more_descriptors, sockets};
use crate::tools::transport::Transport;

const SECOND: Duration = Duration::from_secs(1);

/// So many slow senders in each phase.
const SLOW: usize = 20;

/// So many of each kind who never read: they keep the server busy until all buffers are full.
const DEAF: usize = 3;

/// What a deadline may be missed by on a machine that is busy with other things.
const LATE: Duration = Duration::from_secs(10);

/// How a client wastes a server's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    SilentAtOnce,
    DripsHandshake,
    DripsPreface,
    DripsHello,
    DripsMessage,
    SilentInMessage,
    DripsContent,
    SilentInContent,
    NeverReadsPings,
    NeverReadsLists,
    NeverReadsContent,
}

impl Phase {
    const ALL: [Phase; 11] = [
        Phase::SilentAtOnce,
        Phase::DripsHandshake,
        Phase::DripsPreface,
        Phase::DripsHello,
        Phase::DripsMessage,
        Phase::SilentInMessage,
        Phase::DripsContent,
        Phase::SilentInContent,
        Phase::NeverReadsPings,
        Phase::NeverReadsLists,
        Phase::NeverReadsContent,
    ];

    fn is_deaf(self) -> bool {
        let deaf = [
            Phase::NeverReadsPings,
            Phase::NeverReadsLists,
            Phase::NeverReadsContent,
        ];
        deaf.contains(&self)
    }

    /// How many clients do it at once.
    fn clients(self) -> usize {
        if self.is_deaf() { DEAF } else { SLOW }
    }

    /// When the contract ends it, counted from the connection or from what was last allowed.
    fn deadline(self, transport: Transport) -> Duration {
        match self {
            Phase::SilentAtOnce | Phase::DripsHandshake if transport == Transport::Tls => {
                5 * SECOND
            }
            Phase::SilentAtOnce
            | Phase::DripsHandshake
            | Phase::DripsPreface
            | Phase::DripsHello => 15 * SECOND,
            _ => 30 * SECOND,
        }
    }

    /// Comes as far as where it begins to waste time.
    async fn arrive(self, transport: Transport, address: &str) -> Guest {
        match self {
            Phase::SilentAtOnce | Phase::DripsHandshake => Guest::unspoken(address).await,
            Phase::DripsPreface | Phase::DripsHello => dial(transport, address).await.unwrap(),
            _ => visit(transport, address).await.unwrap(),
        }
    }

    /// Plays its part until the server has closed. Returns how long the server put up with it.
    async fn play(self, transport: Transport, mut guest: Guest, name: &str) -> Duration {
        // Longer than 30 bytes, so that a byte a second is too slow.
        let message = frame(&ClientMessage {
            number: 1,
            body: stat(&"a long name ".repeat(10)),
        });
        match self {
            Phase::SilentInMessage => {
                guest.write(&message[..20]).await.unwrap();
                guest.drip(Vec::new(), SECOND).await
            }
            Phase::DripsContent | Phase::SilentInContent => {
                guest.begin_upload(name, None).await.unwrap();
                guest.write(&data_header(1 << 20)).await.unwrap();
                let bytes = if self == Phase::DripsContent { 120 } else { 0 };
                guest.drip(vec![7; bytes], SECOND).await
            }
            Phase::NeverReadsPings => guest.flood(ClientBody::Ping).await,
            Phase::NeverReadsLists => {
                let (folder, patterns, limit) = (None, Vec::new(), 0);
                let list = ClientBody::List {
                    folder,
                    patterns,
                    limit,
                };
                guest.flood(list).await
            }
            Phase::NeverReadsContent => {
                guest.ask(ClientBody::Download { files: 1 }).await.unwrap();
                let files = vec![WireRef::Name("large".to_owned())];
                let page = ClientBody::DownloadPage { files };
                guest.tell(page).await.unwrap();
                guest.flood(ClientBody::Ping).await
            }
            Phase::DripsMessage => guest.drip(message, SECOND).await,
            Phase::SilentAtOnce => guest.drip(Vec::new(), SECOND).await,
            Phase::DripsHandshake => {
                // The beginning of a client's first TLS record, or of a preface.
                let bytes = match transport {
                    Transport::Tls => [&[0x16, 3, 1, 2, 0][..], &[1; 60]].concat(),
                    Transport::Plaintext => [preface(), hello()].concat(),
                };
                guest.drip(bytes, SECOND).await
            }
            Phase::DripsPreface => guest.drip(preface(), 3 * SECOND).await,
            Phase::DripsHello => {
                guest.write(&preface()).await.unwrap();
                guest.drip(hello(), SECOND).await
            }
        }
    }
}

fn stat(name: &str) -> ClientBody {
    ClientBody::Stat {
        file: WireRef::Name(name.to_owned()),
        wait_for_id: false,
    }
}

/// Comes, pings, stores a file and goes, again and again until told to stop. Returns how often, and
/// how long it took at the most; fails when any visit does.
async fn good_client(
    transport: Transport,
    address: String,
    stop: Arc<AtomicBool>,
) -> (u32, Duration) {
    let (mut visits, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let mut guest = visit(transport, &address).await.unwrap();
        guest.ping().await.unwrap();
        let content = visits.to_string().into_bytes();
        let digest = Hasher::digest_of(&content);
        let name = format!("good {visits}");
        let stored = guest.upload(&name, &content, digest).await.unwrap();
        assert!(
            matches!(stored, ServerBody::UploadResults { .. }),
            "{stored:?}"
        );
        visits += 1;
        longest = longest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (visits, longest)
}

/// Fails unless everybody who is too slow is dropped at about the deadline, while the memory stays
/// flat and a good client is served all the time.
async fn waste_time(transport: Transport) {
    let root = tempfile::tempdir().unwrap();
    // Enough for large pages, and more than all buffers of a connection together.
    for number in 0..1000 {
        let name = format!("{number:04}{}", "n".repeat(200));
        std::fs::write(root.path().join(name), "").unwrap();
    }
    let large = std::fs::File::create(root.path().join("large")).unwrap();
    large.set_len(32 << 20).unwrap();
    let server = transport.serve(root.path(), &["--anonymous", "editor"]);
    let address = server.address();
    let stop = Arc::new(AtomicBool::new(false));
    let good = tokio::spawn(good_client(transport, address.clone(), stop.clone()));
    let mut idle = visit(transport, &address).await.unwrap();

    let before = sockets(&server);

    let started = Instant::now();
    // Whoever wants to waste time has to get in first: few at a time, or they waste each other's.
    let door = Arc::new(Semaphore::new(4));
    let (mut slow, mut deaf) = (JoinSet::new(), JoinSet::new());
    for phase in Phase::ALL {
        for index in 0..phase.clients() {
            let (door, address) = (door.clone(), address.clone());
            let playing = async move {
                let entering = door.acquire_owned().await.unwrap();
                let guest = phase.arrive(transport, &address).await;
                drop(entering);
                let name = format!("{phase:?} {index}");
                (phase, phase.play(transport, guest, &name).await)
            };
            match phase.is_deaf() {
                true => drop(deaf.spawn(playing)),
                false => drop(slow.spawn(playing)),
            }
        }
    }
    // All buffers are full by then; from then on nothing may grow.
    tokio::time::sleep(12 * SECOND).await;
    let early = memory(&server, "VmRSS:");
    tokio::time::sleep(12 * SECOND).await;
    let late = memory(&server, "VmRSS:");
    while let Some(played) = slow.join_next().await {
        let (phase, lasted) = played.unwrap();
        let deadline = phase.deadline(transport);
        // The clocks of the two sides begin one after the other, on a busy machine long after.
        assert!(
            (deadline / 2..=deadline + LATE).contains(&lasted),
            "{transport:?} {phase:?}: {lasted:?}"
        );
    }
    // Whoever does not read does not hear either that the server has closed.
    while sockets(&server) > before + 1 {
        let waited = started.elapsed();
        assert!(waited < 30 * SECOND + 2 * LATE, "{transport:?}: {waited:?}");
        tokio::time::sleep(SECOND / 5).await;
    }
    let closed = started.elapsed();
    assert!(closed >= 15 * SECOND, "{closed:?}");
    deaf.shutdown().await;
    stop.store(true, Ordering::Relaxed);
    let (visits, longest) = good.await.unwrap();
    let peak = memory(&server, "VmHWM:");
    println!(
        "{transport:?}: {} wasters, gone after {closed:?}; {visits} good visits, the longest {longest:?}; \
         memory {early} KiB, 12 s later {late} KiB, peak {peak} KiB",
        Phase::ALL
            .iter()
            .map(|phase| phase.clients())
            .sum::<usize>()
    );
    assert!(visits >= 30 && longest < LATE, "{visits}, {longest:?}");
    assert!(late <= early + 8 * 1024, "{early} KiB, then {late} KiB");
    assert!(peak <= 256 * 1024, "{peak} KiB");
    // Whoever is only idle stays.
    idle.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_too_slow_is_dropped_and_others_notice_nothing() {
    more_descriptors(2000);
    let mut transports = JoinSet::new();
    for &transport in Transport::ALL {
        transports.spawn(timeout(100 * SECOND, waste_time(transport)));
    }
    while let Some(done) = transports.join_next().await {
        done.unwrap().expect("it ends in time");
    }
}
