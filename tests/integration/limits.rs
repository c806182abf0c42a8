//! What strangers can cost a server: memory, time, descriptors, room, and the rate that others get.
//!
//! Real server processes, real sockets. What takes long here takes long for all at once, in one
//! test. The long forms are `--ignored`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fileshare::digest::Hasher;
use fileshare::protocol::WireRef;
use fileshare::protocol::message::{ClientBody, ClientMessage, ServerBody};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::guest::{Guest, Transport, data_header, frame, hello, preface};
use crate::harness::{RunningServer, SERVER, clean, noise, start, stderr, stdout};

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
            Phase::DripsPreface | Phase::DripsHello => transport.dial(address).await.unwrap(),
            _ => transport.visit(address).await.unwrap(),
        }
    }

    /// Plays its part until the server has closed. Returns how long the server put up with it.
    async fn play(self, transport: Transport, mut guest: Guest, index: usize) -> Duration {
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
                let name = format!("slow {index}");
                guest.begin_upload(&name, None).await.unwrap();
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
        let mut guest = transport.visit(&address).await.unwrap();
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
    let mut idle = transport.visit(&address).await.unwrap();

    let before = sockets(&server);

    // One after the other: whoever wants to waste time has to get in first.
    let mut players = Vec::new();
    // Those whose time runs from the connection come last.
    for phase in Phase::ALL.into_iter().rev() {
        for _ in 0..phase.clients() {
            let guest = phase.arrive(transport, &address).await;
            players.push((phase, guest));
        }
    }
    let started = Instant::now();
    let (mut slow, mut deaf) = (JoinSet::new(), JoinSet::new());
    for (index, (phase, guest)) in players.into_iter().enumerate() {
        let playing = async move { (phase, phase.play(transport, guest, index).await) };
        match phase.is_deaf() {
            true => drop(deaf.spawn(playing)),
            false => drop(slow.spawn(playing)),
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
    for transport in Transport::ALL {
        transports.spawn(timeout(100 * SECOND, waste_time(*transport)));
    }
    while let Some(done) = transports.join_next().await {
        done.unwrap().expect("it ends in time");
    }
}

/// One number of a process, in KiB.
fn memory(server: &RunningServer, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many sockets a process has open.
fn sockets(server: &RunningServer) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// The time that a process has kept processors busy.
fn busy(server: &RunningServer) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    // Behind the name, which may hold anything: state is the third field, utime the 14th.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = [fields[11], fields[12]]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    // Linux counts in hundredths of a second there, whatever its own clock does.
    Duration::from_millis(ticks * 10)
}

/// Makes room for so many descriptors in this process.
fn more_descriptors(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = Some(wanted);
    limit.maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, limit).expect("enough descriptors: raise 'ulimit -n'");
}

/// A server that cannot have more than 128 descriptors, whoever runs this test.
fn serve_poorly(transport: Transport, root: &Path, log: &Path) -> RunningServer {
    // A superuser could raise the limit again, so it loses what makes it one.
    let program = match rustix::process::geteuid().is_root() {
        true => &["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-all"][..],
        false => &[],
    };
    let words = [program, &["prlimit", "--nofile=128:128", SERVER]].concat();
    let mut command: Command = clean(words[0]);
    command
        .args(&words[1..])
        .args(["--port", "0"])
        .args(transport.options())
        .arg(root)
        .env("RUST_LOG", "info")
        .stderr(std::fs::File::create(log).unwrap());
    start(command)
}

/// 500 connections to a server that has descriptors for about 50, held for 3 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_neither_keeps_the_server_busy_nor_outlives_itself() {
    more_descriptors(2000);
    for transport in Transport::ALL {
        let (root, desk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = desk.path().join("log");
        let server = serve_poorly(*transport, root.path(), &log);
        let address = server.address();
        transport
            .visit(&address)
            .await
            .unwrap()
            .ping()
            .await
            .unwrap();

        let before = busy(&server);
        let mut flood = Vec::new();
        for _ in 0..500 {
            // Whether they are accepted is the server's affair; the system takes them all.
            flood.push(TcpStream::connect(&address).await.unwrap());
        }
        tokio::time::sleep(3 * SECOND).await;
        let spent = busy(&server) - before;
        drop(flood);
        let over = Instant::now();
        let served = loop {
            // In the first moments the server still says that it is full.
            let failed = match timeout(5 * SECOND, transport.visit(&address)).await {
                Ok(Ok(mut guest)) => {
                    guest.ping().await.unwrap();
                    break over.elapsed();
                }
                other => other.map(|visit| visit.err()),
            };
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(over.elapsed() < 10 * SECOND, "{failed:?}\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let log = std::fs::read_to_string(&log).unwrap();
        let lines = log.lines().count();
        println!("{transport:?}: {spent:?} of work, served again after {served:?}, {lines} lines");
        assert!(spent < SECOND, "{spent:?}");
        assert!(served < 3 * SECOND, "{served:?}");
        // The connections that were served say that they ended, one line each; nothing else is
        // told more often than now and then.
        let complaints = log.lines().filter(|line| line.contains("WARN")).count();
        assert!((1..=10).contains(&complaints), "{complaints}\n{log}");
        assert!(lines < 150, "{lines}\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_when_the_server_is_full_is_told_so() {
    for transport in Transport::ALL {
        let (root, desk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = transport.serve(root.path(), &["--max-connections", "2"]);
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(transport.visit(&server.address()).await.unwrap());
        }
        let ping = |server: &RunningServer| {
            let arguments = ["ping", "--json", "--retries", "0"];
            server.run(desk.path(), &arguments)
        };
        let refused = ping(&server);
        assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
        assert!(stdout(&refused).contains(r#""code":"busy""#), "{refused:?}");
        held.pop();
        let over = Instant::now();
        while !ping(&server).status.success() {
            assert!(over.elapsed() < 10 * SECOND);
        }
        held[0].ping().await.unwrap();
    }
}

/// Holds so many idle connections; returns what each costs the server, in bytes.
async fn cost_of_idling(transport: Transport, connections: usize) -> u64 {
    more_descriptors(connections as u64 + 1000);
    let root = tempfile::tempdir().unwrap();
    let most = (connections + 100).to_string();
    let server = transport.serve(root.path(), &["--max-connections", &most]);
    let address = server.address();
    // What is there for all of them, and not for each.
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(transport.visit(&address).await.unwrap());
    }
    let before = memory(&server, "VmRSS:");
    let started = Instant::now();
    while held.len() < connections + 10 {
        // A few at a time: shaking hands has a deadline, and this is about idling.
        let several: Vec<_> = (0..20)
            .map(|_| {
                let address = address.clone();
                tokio::spawn(async move { transport.visit(&address).await.unwrap() })
            })
            .collect();
        for one in several {
            let mut guest = one.await.unwrap();
            guest.ping().await.unwrap();
            held.push(guest);
        }
    }
    let took = started.elapsed();
    let after = memory(&server, "VmRSS:");
    let each = (after - before) * 1024 / (held.len() as u64 - 10);
    println!(
        "{transport:?}: {connections} idle connections in {took:?}: {each} bytes each ({before} -> {after} KiB)"
    );
    // They are all still there.
    for guest in held.iter_mut().step_by(connections.div_ceil(100)) {
        guest.ping().await.unwrap();
    }
    each
}

/// 64 KiB is the goal of docs and contract under TLS.
const IDLE_BYTES: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_costs_little_memory() {
    for transport in Transport::ALL {
        let cost = timeout(60 * SECOND, cost_of_idling(*transport, 300))
            .await
            .unwrap();
        assert!(cost <= IDLE_BYTES, "{transport:?}: {cost}");
    }
}

/// `FILESHARE_CONNECTIONS=10000 cargo test --release --test integration idle_connections -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form: 10,000 connections, or FILESHARE_CONNECTIONS"]
async fn ten_thousand_idle_connections_cost_little_memory() {
    let connections = std::env::var("FILESHARE_CONNECTIONS");
    let connections = connections.map_or(10_000, |number| number.parse().unwrap());
    for transport in Transport::ALL {
        let cost = cost_of_idling(*transport, connections).await;
        assert!(cost <= IDLE_BYTES, "{transport:?}: {cost}");
    }
}

/// The rate is one for all clients together, each way.
#[test]
fn the_rate_holds_for_many_clients_together() {
    const RATE: usize = 256 * 1024;
    const CLIENTS: usize = 4;
    for transport in Transport::ALL {
        let (root, desk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = transport.serve(root.path(), &["--limit-rate", "256K"]);
        let content = noise(1, RATE);
        for name in ["file", "down0", "down1", "down2", "down3"] {
            let folder = if name == "file" {
                desk.path()
            } else {
                root.path()
            };
            std::fs::write(folder.join(name), &content).unwrap();
        }
        let started = Instant::now();
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let (up, down) = (format!("up{number}"), format!("down{number}"));
            for arguments in [["put", "file", "--as", &up], ["get", &down, "-o", &down]] {
                clients.push(server.client(desk.path(), &arguments).spawn().unwrap());
            }
        }
        for mut client in clients {
            assert!(client.wait().unwrap().success());
        }
        let took = started.elapsed();
        println!("{transport:?}: {CLIENTS} × {RATE} bytes each way in {took:?}");
        // A piece of an eighth of a second is free for each.
        let least = SECOND * CLIENTS as u32 * 7 / 8;
        assert!((least..60 * SECOND).contains(&took), "{took:?}");
    }
}

/// However many come at once, no more is stored than there is room for, and what was told to be
/// stored is there.
#[test]
fn the_quota_holds_for_many_clients_at_once() {
    const SIZE: usize = 300_000;
    for transport in Transport::ALL {
        let (root, desk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = [
            "--quota",
            "1M",
            "--max-file-size",
            "512K",
            "--anonymous",
            "editor",
        ];
        let server = transport.serve(root.path(), &options);
        std::fs::write(desk.path().join("file"), noise(1, SIZE)).unwrap();
        std::fs::write(desk.path().join("large"), noise(1, 600_000)).unwrap();
        let put = |name: &str| {
            let arguments = ["put", "file", "--as", name, "--json"];
            let mut client = server.client(desk.path(), &arguments);
            client.stdout(std::process::Stdio::piped()).spawn().unwrap()
        };
        let clients: Vec<_> = (0..8).map(|number| put(&format!("file{number}"))).collect();
        let stored = AtomicU64::new(0);
        for (number, client) in clients.into_iter().enumerate() {
            let output = client.wait_with_output().unwrap();
            let there = root.path().join(format!("file{number}")).exists();
            match output.status.code() {
                Some(0) => {
                    assert!(there, "file{number}");
                    stored.fetch_add(1, Ordering::Relaxed);
                }
                code => {
                    assert_eq!(code, Some(8), "{output:?}");
                    assert!(
                        stdout(&output).contains(r#""code":"quota_exceeded""#),
                        "{output:?}"
                    );
                    assert!(!there, "file{number}");
                }
            }
        }
        let stored = stored.into_inner();
        assert!((1..=3).contains(&stored), "{stored} files");
        let output = server.run(desk.path(), &["put", "large", "--json"]);
        assert_eq!(output.status.code(), Some(8));
        assert!(
            stdout(&output).contains(r#""code":"too_large""#),
            "{output:?}"
        );
        // What failed holds no room, and what is removed gives it back.
        for number in 0..8 {
            let _ = server.run(desk.path(), &["remove", &format!("file{number}")]);
        }
        for name in ["a", "b", "c"] {
            server.ok(desk.path(), &["put", "file", "--as", name]);
        }
        server.fails(desk.path(), &["put", "file", "--as", "d"], 8);
    }
}
