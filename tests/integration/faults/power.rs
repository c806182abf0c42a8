//! The power goes: what was not synced is gone.
//!
//! A server is recorded while clients work. From the recording a disk is modelled that keeps a file's
//! bytes only once the file was synced, and a folder's names only once the folder was; for a cut at
//! any call the disk is put into a folder, a real server starts on it, and the oracle judges by what
//! the clients knew at that time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::dice::Dice;
use super::disk_calls::{CALLS, Machine};
use super::disk_model::{Disk, Keep};
use super::ledger::{Ledger, Step};
use super::operations::{fixed, perform};
use super::site::Site;
use super::strace::{self, Call, Moment};
use super::{number, oracle, runtime, say, skipped};

/// A run of a server that was written down.
struct Recording {
    calls: Vec<Call>,
    moments: Vec<Moment>,
    root: String,
    /// What each client did, by the prefix of its names.
    clients: BTreeMap<String, Vec<Step>>,
}

impl Recording {
    /// Two clients do the fixed requests at once.
    fn of(options: &[&str]) -> Self {
        let site = Site::new();
        let trace = site.path("trace");
        let starter = strace::recording(&CALLS, &trace);
        let server = site.serve_by(starter, options).unwrap();
        let clients = runtime().block_on(async {
            let mut running = Vec::new();
            for prefix in ["one-", "two-"] {
                let mut client = server.client();
                let desk = site.desk().join(prefix);
                std::fs::create_dir(&desk).unwrap();
                running.push(tokio::spawn(async move {
                    let mut ledger = Ledger::default();
                    for operation in fixed(prefix) {
                        perform(&mut client, &desk, &mut ledger, &operation)
                            .await
                            .unwrap();
                    }
                    (prefix.to_owned(), ledger.steps)
                }));
            }
            let mut clients = BTreeMap::new();
            for running in running {
                let (prefix, steps) = running.await.unwrap();
                clients.insert(prefix, steps);
            }
            clients
        });
        server.kill();
        let (calls, moments) = strace::read(&std::fs::read_to_string(trace).unwrap());
        Recording {
            calls,
            moments,
            root: site.root().to_str().unwrap().to_owned(),
            clients,
        }
    }

    /// The disk at the end, and after each call that it cares about with `each`; `each` gets the
    /// time of the next call, before which the power goes.
    fn replay(&self, mut each: impl FnMut(&Disk, SystemTime)) {
        let mut machine = Machine::new(&self.root);
        for moment in &self.moments {
            match moment {
                Moment::Begin(at) => {
                    let call = &self.calls[*at];
                    if machine.cares_for(call) {
                        let time = UNIX_EPOCH + Duration::from_secs_f64(call.time);
                        each(&machine.disk, time);
                    }
                    machine.begin(*at, call);
                }
                Moment::End(at) => machine.end(*at, &self.calls[*at]),
            }
        }
        each(&machine.disk, SystemTime::now());
    }

    /// What must hold after a cut: an error says what does not.
    fn judge(&self, site: &Site, time: SystemTime) -> Result<(), String> {
        let server = site.serve(&[]);
        let mut observed = runtime().block_on(async {
            let mut client = server.client();
            let observed = oracle::examine(&mut client, &site.root()).await;
            let all: Vec<&String> = observed.files.keys().collect();
            oracle::download(&mut client, &observed, &all).await;
            observed
        });
        server.kill();
        for (prefix, steps) in &self.clients {
            let mut ledger = Ledger::at(&Ledger::default(), steps, time);
            ledger.settle(&observed.split(prefix))?;
        }
        match observed.files.keys().chain(&observed.folders).next() {
            Some(stray) => Err(format!("a stray file: {stray}")),
            None => Ok(()),
        }
    }
}

#[test]
fn power_goes_at_some_calls() {
    let cuts = power_goes(8);
    assert!(cuts >= 24, "only {cuts} cuts");
}

/// The long form: `cargo test --release --test integration power_goes_at_every_call -- --ignored
/// --nocapture`. FILESHARE_CUTS takes only one call in so many.
#[test]
#[ignore = "takes about an hour"]
fn power_goes_at_every_call() {
    power_goes(0);
}

/// Cuts before `few` calls spread over the recording, or before every call; returns how many images
/// were judged.
fn power_goes(few: usize) -> usize {
    if !strace::works() {
        skipped("strace cannot trace here: the model of a power cut");
        return usize::MAX;
    }
    let (mut dice, seed) = Dice::from_environment();
    let started = Instant::now();
    let recording = Recording::of(&[]);
    let mut calls = 0;
    recording.replay(|_, _| calls += 1);
    let every = match few {
        0 => number("FILESHARE_CUTS", 1) as usize,
        few => (calls / few).max(1),
    };
    let (mut at, mut images) = (0, 0);
    recording.replay(|disk, time| {
        at += 1;
        if at % every != 0 && at != calls {
            return;
        }
        // Nothing unsynced is left, all of it (as after a kill at this very call), and some of it.
        for keep in [Keep::Synced, Keep::All, Keep::Some(dice.next())] {
            let site = Site::new();
            disk.write_to(&site.root(), keep);
            let judged = recording.judge(&site, time);
            if let Err(wrong) = judged {
                panic!("cut before call {at} of {calls}, {keep:?}, seed {seed}: {wrong}");
            }
            images += 1;
        }
        if few == 0 && images % 150 == 0 {
            let seconds = started.elapsed().as_secs();
            say(&format!(
                "power: call {at} of {calls}, {images} images, {seconds} s"
            ));
        }
    });
    let seconds = started.elapsed().as_secs();
    say(&format!(
        "power: {calls} calls recorded, {images} images judged in {seconds} s"
    ));
    images
}

/// The model is able to lose something: without syncs it does.
#[test]
fn without_syncs_the_model_loses_what_was_acknowledged() {
    if !strace::works() {
        return skipped("strace cannot trace here: the control of the power model");
    }
    let recording = Recording::of(&["--durability", "none"]);
    let mut last = None;
    recording.replay(|disk, time| last = Some((disk.clone(), time)));
    let (disk, time) = last.unwrap();
    let site = Site::new();
    disk.write_to(&site.root(), Keep::Synced);
    let lost = recording.judge(&site, time).unwrap_err();
    assert!(lost.contains("lost"), "{lost}");
    // What it models is what really was on the disk.
    let site = Site::new();
    disk.write_to(&site.root(), Keep::All);
    assert_eq!(recording.judge(&site, time), Ok(()));
}
