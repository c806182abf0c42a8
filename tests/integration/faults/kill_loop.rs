//! The server is killed at random moments while several clients work, again and again.

use std::path::Path;
use std::time::{Duration, Instant};

use fileshare::client::{Client, Source, Upload};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Silent;
use fileshare::types::{OnConflict, Precondition};
use rustix::process::{Pid, Signal, kill_process};

use super::dice::Dice;
use super::ledger::{Content, Ledger, Observed};
use super::operations::{Chance, is_cut, name, perform};
use super::site::Site;
use super::{number, oracle, runtime, say};

const CLIENTS: usize = 3;

/// One client with names of its own.
struct Worker {
    chance: Chance,
    ledger: Ledger,
    prefix: String,
    done: u64,
}

/// What became of a name that all clients want.
#[derive(Debug)]
struct Prize {
    name: String,
    won: Option<Content>,
    /// Cut before an answer came.
    unknown: Vec<Content>,
    /// Somebody was told that the name is taken.
    taken: bool,
}

#[derive(Default)]
struct Figures {
    kills: u64,
    acknowledged: u64,
    cut: u64,
    during_start: u64,
    slowest_start: Duration,
}

#[test]
fn kill_loop_short() {
    kill_loop(15, 300_000, Duration::from_millis(300));
}

/// The long form: `FILESHARE_KILLS=10000 cargo test --release --test integration kill_loop_long --
/// --ignored --nocapture`.
#[test]
#[ignore = "takes as long as FILESHARE_KILLS says"]
fn kill_loop_long() {
    let kills = number("FILESHARE_KILLS", 1000);
    kill_loop(kills, 5_000_000, Duration::from_millis(100));
}

/// Kills so often; files have at most `large` bytes, and a server lives for `longest` at most.
fn kill_loop(kills: u64, large: usize, longest: Duration) {
    let (mut dice, seed) = Dice::from_environment();
    let started = Instant::now();
    let site = Site::new();
    let mut workers: Vec<Worker> = (0..CLIENTS)
        .map(|number| {
            let prefix = format!("c{number}-");
            std::fs::create_dir(site.desk().join(&prefix)).unwrap();
            Worker {
                chance: Chance::new(dice.split(), &prefix, large),
                ledger: Ledger::default(),
                prefix,
                done: 0,
            }
        })
        .collect();
    let mut figures = Figures::default();
    let mut server = site.serve(&[]);
    let runtime = runtime();
    while figures.kills < kills {
        let prize = format!("prize{}", figures.kills);
        let life = Duration::from_micros(dice.next() % longest.as_micros() as u64);
        let pid = server.pid();
        let address = server.address();
        let desk = site.desk();
        let (back, mut prize) = runtime.block_on(async {
            let mut running = Vec::new();
            for mut worker in workers {
                let mut client = super::site::client(&address);
                let (desk, prize) = (desk.join(&worker.prefix), prize.clone());
                running.push(tokio::spawn(async move {
                    let wanted = compete(&mut client, &mut worker, &prize).await;
                    work(&mut client, &mut worker, &desk).await;
                    (worker, wanted)
                }));
            }
            tokio::time::sleep(life).await;
            kill_process(pid, Signal::KILL).unwrap();
            let mut prize = Prize {
                name: prize,
                won: None,
                unknown: Vec::new(),
                taken: false,
            };
            let mut back = Vec::new();
            for running in running {
                let (worker, wanted) = running.await.unwrap();
                prize.note(wanted);
                back.push(worker);
            }
            (back, prize)
        });
        workers = back;
        server.kill();
        figures.kills += 1;
        while dice.once_in(5) {
            // The next one dies while it starts, or just after.
            let mut child = site.launch(&[]);
            std::thread::sleep(Duration::from_micros(dice.next() % 20_000));
            let _ = kill_process(Pid::from_child(&child), Signal::KILL);
            child.wait().unwrap();
            figures.kills += 1;
            figures.during_start += 1;
        }
        let start = Instant::now();
        server = site.serve(&[]);
        figures.slowest_start = figures.slowest_start.max(start.elapsed());
        let judged = runtime.block_on(async {
            let mut client = server.client();
            let observed = oracle::examine(&mut client, &site.root()).await;
            let all: Vec<&String> = observed.files.keys().collect();
            let mut some = all.clone();
            if figures.kills % 50 > 1 {
                some.retain(|_| dice.once_in(10));
            }
            oracle::download(&mut client, &observed, &some).await;
            judge(observed, &mut workers, &mut prize, &mut figures)
        });
        if let Err(wrong) = judged {
            panic!("after {} kills, seed {seed}: {wrong}", figures.kills);
        }
        std::fs::remove_file(site.root().join(&prize.name)).ok();
        if kills >= 500 && figures.kills % 500 < 2 {
            say(&figures.line(started, &workers));
        }
    }
    server.stop();
    say(&format!("kill loop: {}", figures.line(started, &workers)));
    assert!(workers.iter().map(|worker| worker.done).sum::<u64>() > kills / 2);
}

/// Asks for one thing after the other until the server is gone.
async fn work(client: &mut Client, worker: &mut Worker, desk: &Path) {
    loop {
        let operation = worker.chance.next(&worker.ledger);
        let done = perform(client, desk, &mut worker.ledger, &operation).await;
        match done {
            Ok(()) => worker.done += 1,
            Err(failure) if is_cut(&failure) => return,
            Err(failure) => panic!("{operation:?}: {failure}"),
        }
    }
}

/// Uploads under the name that all want. What was sent, and what became of it.
async fn compete(
    client: &mut Client,
    worker: &mut Worker,
    prize: &str,
) -> (Content, Result<(), ErrorCode>) {
    let content = Content::new(worker.chance.dice.next(), 20_000);
    let upload = Upload {
        source: Source::Stream(Box::new(std::io::Cursor::new(content.bytes.to_vec()))),
        name: name(prize),
        on_conflict: OnConflict::Error,
        precondition: Precondition::default(),
        basis: None,
    };
    let mut outcome = Err(ErrorCode::Internal);
    let report = &mut |report: fileshare::client::FileReport| {
        outcome = report.outcome.map(drop).map_err(|failure| failure.code);
    };
    let put = client.put(vec![upload], false, std::sync::Arc::new(Silent), report);
    if let Err(failure) = put.await {
        assert!(is_cut(&failure), "{failure}");
        outcome = Err(ErrorCode::Disconnected);
    }
    (content, outcome)
}

impl Prize {
    fn note(&mut self, (content, outcome): (Content, Result<(), ErrorCode>)) {
        match outcome {
            Ok(()) => {
                assert!(self.won.is_none(), "{} has two winners", self.name);
                self.won = Some(content);
            }
            Err(ErrorCode::AlreadyExists) => self.taken = true,
            Err(ErrorCode::Disconnected | ErrorCode::Timeout | ErrorCode::Unreachable) => {
                self.unknown.push(content);
            }
            Err(other) => panic!("{}: {other}", self.name),
        }
    }

    /// Whether what is there can be.
    fn judge(&mut self, found: Option<Vec<u8>>) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.name));
        match (&self.won, found) {
            (Some(won), Some(bytes)) if *won.bytes == bytes => Ok(()),
            (Some(_), _) => wrong("acknowledged and lost"),
            (None, None) if self.taken => wrong("somebody was told that it was there"),
            (None, None) => Ok(()),
            (None, Some(bytes)) => match self.unknown.iter().any(|one| *one.bytes == bytes) {
                true => Ok(()),
                false => wrong("half, or nobody's"),
            },
        }
    }
}

fn judge(
    mut observed: Observed,
    workers: &mut [Worker],
    prize: &mut Prize,
    figures: &mut Figures,
) -> Result<(), String> {
    for worker in workers {
        let steps = worker.ledger.steps.iter();
        let cut = steps.filter(|step| step.acknowledged.is_none()).count() as u64;
        figures.cut += cut;
        figures.acknowledged += worker.ledger.steps.len() as u64 - cut;
        let own = observed.split(&worker.prefix);
        worker.ledger.settle(&own)?;
    }
    prize.judge(observed.files.remove(&prize.name))?;
    match observed.files.keys().chain(&observed.folders).next() {
        Some(stray) => Err(format!("a stray file: {stray}")),
        None => Ok(()),
    }
}

impl Figures {
    fn line(&self, started: Instant, workers: &[Worker]) -> String {
        format!(
            "{} kills ({} during a start) in {} s, {} changes acknowledged, {} cut, {} files kept, \
             slowest start {} ms",
            self.kills,
            self.during_start,
            started.elapsed().as_secs(),
            self.acknowledged,
            self.cut,
            workers.iter().map(|w| w.ledger.files.len()).sum::<usize>(),
            self.slowest_start.as_millis(),
        )
    }
}
