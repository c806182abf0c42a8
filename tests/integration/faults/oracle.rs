//! The judgement after a fault: what the folder holds, and whether the server tells the same.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fileshare::client::{Client, Download, ListQuery, Target};
use fileshare::digest::Hasher;
use fileshare::transfer::Silent;
use fileshare::types::{Digest, Item, OnConflict};

use super::ledger::Observed;
use super::operations::reference;

/// How long a server may take to have looked at everything after a start.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is in the folder, read by hand. Nothing of the server's is outside `.fileshare`.
pub fn look(root: &Path) -> Observed {
    let mut observed = Observed::default();
    let mut pending = vec![String::new()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let leaf = entry.file_name().into_string().unwrap();
            let name = match folder.as_str() {
                "" if leaf == ".fileshare" => continue,
                "" => leaf,
                folder => format!("{folder}/{leaf}"),
            };
            if entry.file_type().unwrap().is_dir() {
                observed.folders.insert(name.clone());
                pending.push(name);
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                observed.files.insert(name, bytes);
            }
        }
    }
    observed
}

/// What the server lists: files with their ids and sizes.
pub async fn listed(client: &mut Client) -> BTreeMap<String, (Option<Digest>, u64)> {
    let mut files = BTreeMap::new();
    let each = &mut |item| {
        if let Item::File(entry) = item {
            files.insert(entry.name.as_str().to_owned(), (entry.id, entry.size));
        }
    };
    client.list(&ListQuery::default(), each).await.unwrap();
    files
}

/// Looks at the folder and waits until the server lists exactly that, with the right ids: a listing
/// may lag a little, but never for long.
pub async fn examine(client: &mut Client, root: &Path) -> Observed {
    let observed = look(root);
    let expected: BTreeMap<_, _> = observed
        .files
        .iter()
        .map(|(name, bytes)| {
            let id = Hasher::digest_of(bytes);
            (name.clone(), (Some(id), bytes.len() as u64))
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = listed(client).await;
        if listed == expected {
            return observed;
        }
        let wrong = |(name, (id, _)): &(&String, &(Option<Digest>, u64))| {
            let right = expected.get(*name).map(|(id, _)| *id);
            right != Some(*id) && id.is_some()
        };
        if Instant::now() > deadline {
            let first = listed.iter().find(wrong);
            let missing = expected.keys().find(|name| !listed.contains_key(*name));
            panic!("the listing stays wrong: {first:?}, missing {missing:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Downloads these files in one batch and compares them with what is in the folder.
pub async fn download(client: &mut Client, observed: &Observed, names: &[&String]) {
    let sinks: Vec<Sink> = names.iter().map(|_| Sink::default()).collect();
    let downloads = names.iter().zip(&sinks).map(|(name, sink)| Download {
        file: reference(name),
        known: None,
        target: Target::Stream(Box::new(sink.clone())),
        on_conflict: OnConflict::Error,
    });
    let mut failed = None;
    let report = &mut |report: fileshare::client::FileReport| {
        if let Err(failure) = report.outcome {
            failed = Some(format!("{:?}: {failure}", report.name));
        }
    };
    let downloads = downloads.collect();
    let got = client.get(downloads, false, Arc::new(Silent), report);
    got.await.unwrap();
    assert_eq!(failed, None);
    for (name, sink) in names.iter().zip(&sinks) {
        let came = sink.0.lock().unwrap();
        assert!(*came == observed.files[*name], "{name} came otherwise");
    }
}

/// Memory that a download goes to.
#[derive(Clone, Default)]
pub struct Sink(pub Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
