//! What clients ask for: chosen by chance or fixed, done through the library's client, and noted in
//! a ledger before and after.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use fileshare::client::{Client, ClientError, Source, Upload};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Silent;
use fileshare::types::{FileName, FileRef, OnConflict, Precondition};

use super::dice::Dice;
use super::ledger::{Change, Content, Ledger};

#[derive(Debug, Clone)]
pub enum Operation {
    /// One batch; names that exist are replaced.
    Put(Vec<(String, Content)>),
    /// One file of a length that is not announced.
    Stream(String, Content),
    Rename(String, String),
    Remove(String),
    MakeFolder(String),
}

pub fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

pub fn reference(text: &str) -> FileRef {
    FileRef::Name(name(text))
}

/// Whether the failure is the end of the connection, so that nobody knows what was done.
pub fn is_cut(failure: &ClientError) -> bool {
    matches!(
        failure.code,
        ErrorCode::Disconnected | ErrorCode::Unreachable | ErrorCode::Timeout
    )
}

/// Does it. What was acknowledged stands in the ledger as such, also when the rest failed.
///
/// `desk` is a folder of this client's own.
pub async fn perform(
    client: &mut Client,
    desk: &Path,
    ledger: &mut Ledger,
    operation: &Operation,
) -> Result<(), ClientError> {
    match operation {
        Operation::Put(files) => {
            let mut uploads = Vec::new();
            for (at, (to, content)) in files.iter().enumerate() {
                let path = desk.join(at.to_string());
                std::fs::write(&path, &*content.bytes).unwrap();
                uploads.push((to.as_str(), content, Source::Path(path)));
            }
            put(client, ledger, uploads).await
        }
        Operation::Stream(to, content) => {
            let bytes = Cursor::new(content.bytes.to_vec());
            let upload = (to.as_str(), content, Source::Stream(Box::new(bytes)));
            put(client, ledger, vec![upload]).await
        }
        Operation::Rename(from, to) => {
            let step = ledger.begin(Change::take(ledger, from, Some(to)));
            let any = Precondition::default();
            let (from, to) = (reference(from), name(to));
            let asked = client.rename(&from, &to, any, false).await;
            asked.map(|_| ledger.acknowledge(step))
        }
        Operation::Remove(from) => {
            let step = ledger.begin(Change::take(ledger, from, None));
            let any = Precondition::default();
            let from = reference(from);
            let asked = client.remove(&from, true, any, false).await;
            asked.map(|_| ledger.acknowledge(step))
        }
        Operation::MakeFolder(folder) => {
            let step = ledger.begin(Change::make_folder(folder));
            let asked = client.make_folder(&name(folder), false).await;
            asked.map(|()| ledger.acknowledge(step))
        }
    }
}

async fn put(
    client: &mut Client,
    ledger: &mut Ledger,
    uploads: Vec<(&str, &Content, Source)>,
) -> Result<(), ClientError> {
    let mut steps = Vec::new();
    let mut batch = Vec::new();
    for (to, content, source) in uploads {
        steps.push((ledger.begin(Change::put(to, content)), content.id));
        batch.push(Upload {
            source,
            name: name(to),
            on_conflict: OnConflict::Overwrite,
            precondition: Precondition::default(),
            basis: None,
        });
    }
    let mut outcome = Ok(());
    let report = &mut |report: fileshare::client::FileReport| match report.outcome {
        Ok(done) => {
            let (step, id) = steps[report.index as usize];
            let entry = done.entry.expect("what was stored is described");
            assert_eq!(entry.id, Some(id), "{}", entry.name);
            ledger.acknowledge(step);
        }
        Err(failure) => outcome = Err(failure),
    };
    client.put(batch, false, Arc::new(Silent), report).await?;
    outcome
}

/// Requests by chance, all about names that begin with a prefix.
pub struct Chance {
    pub dice: Dice,
    prefix: String,
    /// How large the occasional large file is, in bytes.
    large: usize,
    made: u64,
}

/// The most files and folders that one client keeps.
const KEPT: usize = 24;

impl Chance {
    pub fn new(dice: Dice, prefix: &str, large: usize) -> Self {
        Chance {
            dice,
            prefix: prefix.to_owned(),
            large,
            made: 0,
        }
    }

    /// The next request, which the state in the ledger allows.
    pub fn next(&mut self, ledger: &Ledger) -> Operation {
        let files: Vec<&String> = ledger.files.keys().collect();
        let folders: Vec<&String> = ledger.folders.iter().collect();
        if files.len() > KEPT || folders.len() > KEPT {
            let all: Vec<&String> = files.into_iter().chain(folders).collect();
            return Operation::Remove((*self.dice.pick(&all)).clone());
        }
        match self.dice.below(16) {
            0..=3 => Operation::Put(vec![(self.new_name(&folders), self.content())]),
            4..=5 => Operation::Stream(self.new_name(&folders), self.content()),
            6 | 7 => {
                let files = 2 + self.dice.below(12);
                let batch = (0..files).map(|_| (self.new_name(&folders), self.small()));
                Operation::Put(batch.collect())
            }
            8 | 9 if !files.is_empty() => {
                let name = (*self.dice.pick(&files)).clone();
                Operation::Put(vec![(name, self.content())])
            }
            10 | 11 if !files.is_empty() => {
                let from = (*self.dice.pick(&files)).clone();
                Operation::Rename(from, self.new_name(&folders))
            }
            12 if !files.is_empty() => Operation::Remove((*self.dice.pick(&files)).clone()),
            13 if !folders.is_empty() => {
                let from = (*self.dice.pick(&folders)).clone();
                Operation::Rename(from, self.new_folder())
            }
            14 if !folders.is_empty() => Operation::Remove((*self.dice.pick(&folders)).clone()),
            _ => Operation::MakeFolder(self.new_folder()),
        }
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn new_folder(&mut self) -> String {
        let number = self.number();
        format!("{}folder{number}", self.prefix)
    }

    /// In the root, in a folder that is there, or in one that is not.
    fn new_name(&mut self, folders: &[&String]) -> String {
        let number = self.number();
        match self.dice.below(3) {
            0 if !folders.is_empty() => format!("{}/file{number}", self.dice.pick(folders)),
            1 => format!("{}new{number}/below/file{number}", self.prefix),
            _ => format!("{}file{number}", self.prefix),
        }
    }

    fn small(&mut self) -> Content {
        let length = self.dice.below(6000);
        Content::new(self.dice.next(), length)
    }

    fn content(&mut self) -> Content {
        let sizes = [0, 1, 100, 4096, 65_535, 65_536, 65_537, 200_000];
        let length = match self.dice.once_in(25) {
            true => self.large,
            false => *self.dice.pick(&sizes),
        };
        Content::new(self.dice.next(), length)
    }
}

/// One of each, in an order in which every one works: what the sweeps and the recording use.
pub fn fixed(prefix: &str) -> Vec<Operation> {
    let mut seed = 0;
    let mut content = |length: usize| {
        seed += 1;
        Content::new(seed, length)
    };
    let of = |leaf: &str| format!("{prefix}{leaf}");
    let small = (0..12).map(|n| (of(&format!("many/f{n}")), content(700 * n + 1)));
    let small = small.collect();
    vec![
        Operation::Put(vec![(of("a"), content(3000))]),
        Operation::Stream(of("stream"), content(70_000)),
        Operation::Put(small),
        Operation::Put(vec![(of("a"), content(5000))]),
        Operation::Rename(of("a"), of("below/b")),
        Operation::MakeFolder(of("empty/deep")),
        Operation::Rename(of("many"), of("moved")),
        Operation::Put(vec![(of("large"), content(1_200_000))]),
        Operation::Remove(of("stream")),
        Operation::Remove(of("below")),
        Operation::Put(vec![(of("moved/f3"), content(10))]),
        Operation::Rename(of("large"), of("moved/large")),
        Operation::Remove(of("empty")),
    ]
}
