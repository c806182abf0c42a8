//! Requests by chance, also such as must be refused, with restarts between them, against a model: a
//! map from names to contents. What fails is cut down to the requests that it takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fileshare::client::{Client, FileReport, Source, Upload};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Silent;
use fileshare::types::{OnConflict, Precondition};

use super::dice::Dice;
use super::ledger::Content;
use super::operations::{name, reference};
use super::races::get;
use super::site::Site;
use super::{number, oracle, runtime, say};

#[derive(Debug, Clone)]
enum Request {
    Put {
        to: String,
        content: u64,
        policy: OnConflict,
        /// Only when this is what stands there.
        expected: Option<u64>,
    },
    Get(String),
    Rename(String, String),
    Remove(String),
    /// By a person, behind the server's back.
    ByHand(String, Option<u64>),
    Restart,
    Kill,
}

/// The files of the reference: which content is under which name.
type Model = BTreeMap<String, u64>;

fn content(number: u64) -> Content {
    Content::new(number, (number as usize * 1709) % 9000 + 8)
}

#[test]
fn a_model_agrees_with_the_server() {
    sequences(4, 60);
}

/// The long form: `FILESHARE_SEQUENCES=1000 cargo test --release --test integration
/// a_model_agrees_for_long -- --ignored --nocapture`.
#[test]
#[ignore = "takes as long as FILESHARE_SEQUENCES says"]
fn a_model_agrees_for_long() {
    sequences(number("FILESHARE_SEQUENCES", 200), 150);
}

fn sequences(count: u64, length: usize) {
    let (mut dice, seed) = Dice::from_environment();
    for sequence in 0..count {
        let requests: Vec<Request> = (0..length).map(|_| request(&mut dice)).collect();
        if let Err((at, wrong)) = run(&requests) {
            let least = shrunk(requests[..=at].to_vec());
            panic!("sequence {sequence} of seed {seed}: {wrong}\nit takes {least:#?}");
        }
    }
    say(&format!("model: {count} sequences of {length} requests"));
}

/// Few names, so that they meet.
fn some_name(dice: &mut Dice) -> String {
    let names = ["a", "b", "c", "folder/a", "folder/b", "deep/er/a"];
    (*dice.pick(&names)).to_owned()
}

fn request(dice: &mut Dice) -> Request {
    let policies = [OnConflict::Error, OnConflict::Overwrite, OnConflict::Skip];
    match dice.below(20) {
        0..=5 => Request::Put {
            to: some_name(dice),
            content: dice.next() % 12,
            policy: *dice.pick(&policies),
            expected: None,
        },
        6 | 7 => Request::Put {
            to: some_name(dice),
            content: dice.next() % 3,
            policy: OnConflict::Overwrite,
            expected: Some(dice.next() % 3),
        },
        8..=10 => Request::Get(some_name(dice)),
        11..=13 => Request::Rename(some_name(dice), some_name(dice)),
        14 | 15 => Request::Remove(some_name(dice)),
        16 | 17 => {
            let new = dice.next() % 12;
            Request::ByHand(some_name(dice), (!dice.once_in(3)).then_some(new))
        }
        18 => Request::Restart,
        _ => Request::Kill,
    }
}

/// Does them all; an error is which one went otherwise than in the model, and how.
fn run(requests: &[Request]) -> Result<(), (usize, String)> {
    let runtime = runtime();
    let site = Site::new();
    let mut server = site.serve(&[]);
    let mut model = Model::new();
    let mut client = server.client();
    for (at, request) in requests.iter().enumerate() {
        let wrong = |what: String| (at, format!("{request:?}: {what}"));
        match request {
            Request::Restart => {
                server.stop();
                server = site.serve(&[]);
                client = server.client();
            }
            Request::Kill => {
                server.kill();
                server = site.serve(&[]);
                client = server.client();
            }
            Request::ByHand(file, new) => by_hand(&site, &mut model, file, *new),
            request => {
                let expected = expect(&mut model, request);
                let outcome = runtime.block_on(ask(&mut client, request, &model));
                if outcome != expected {
                    return Err(wrong(format!("{outcome:?}, and {expected:?} was expected")));
                }
            }
        }
        let found = oracle::look(&site.root()).files;
        let same = found.len() == model.len()
            && model.iter().all(|(name, number)| {
                found
                    .get(name)
                    .is_some_and(|bytes| *bytes == *content(*number).bytes)
            });
        if !same {
            let found: Vec<_> = found.keys().collect();
            return Err(wrong(format!(
                "the folder has {found:?}, the model {model:?}"
            )));
        }
    }
    runtime.block_on(oracle::examine(&mut client, &site.root()));
    server.stop();
    Ok(())
}

fn by_hand(site: &Site, model: &mut Model, file: &str, new: Option<u64>) {
    let path = site.root().join(file);
    match new {
        Some(number) => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &*content(number).bytes).unwrap();
            model.insert(file.to_owned(), number);
        }
        None => {
            let _ = std::fs::remove_file(path);
            model.remove(file);
        }
    }
}

/// What the model says to a request that a client makes.
fn expect(model: &mut Model, request: &Request) -> Result<(), ErrorCode> {
    match request {
        Request::Put {
            to,
            content,
            policy,
            expected,
        } => {
            let standing = model.get(to).copied();
            if expected.is_some() && standing != *expected {
                return Err(ErrorCode::Conflict);
            }
            match (standing, policy) {
                (Some(_), OnConflict::Error) => Err(ErrorCode::AlreadyExists),
                (Some(_), OnConflict::Skip) => Ok(()),
                _ => {
                    model.insert(to.clone(), *content);
                    Ok(())
                }
            }
        }
        Request::Get(from) => model.get(from).map(drop).ok_or(ErrorCode::NotFound),
        Request::Rename(from, to) => {
            let moved = *model.get(from).ok_or(ErrorCode::NotFound)?;
            if model.contains_key(to) {
                return Err(ErrorCode::AlreadyExists);
            }
            model.remove(from);
            model.insert(to.clone(), moved);
            Ok(())
        }
        Request::Remove(from) => model.remove(from).map(drop).ok_or(ErrorCode::NotFound),
        Request::ByHand(..) | Request::Restart | Request::Kill => Ok(()),
    }
}

async fn ask(client: &mut Client, request: &Request, model: &Model) -> Result<(), ErrorCode> {
    let any = Precondition::default();
    match request {
        Request::Put {
            to,
            content: number,
            policy,
            expected,
        } => {
            let bytes = std::io::Cursor::new(content(*number).bytes.to_vec());
            let upload = Upload {
                source: Source::Stream(Box::new(bytes)),
                name: name(to),
                on_conflict: *policy,
                basis: None,
                precondition: Precondition {
                    if_match: expected.map(|number| content(number).id),
                },
            };
            let mut outcome = Ok(());
            let report = &mut |report: FileReport| {
                outcome = report.outcome.map(drop).map_err(|failure| failure.code);
            };
            let put = client.put(vec![upload], false, Arc::new(Silent), report);
            put.await.map_err(|failure| failure.code)?;
            outcome
        }
        Request::Get(from) => {
            let bytes = get(client, from).await?;
            assert!(
                bytes == *content(model[from]).bytes,
                "{from} came otherwise"
            );
            Ok(())
        }
        Request::Rename(from, to) => {
            let (from, to) = (reference(from), name(to));
            let renamed = client.rename(&from, &to, any, false).await;
            renamed.map(drop).map_err(|failure| failure.code)
        }
        Request::Remove(from) => {
            let removed = client.remove(&reference(from), false, any, false).await;
            removed.map(drop).map_err(|failure| failure.code)
        }
        Request::ByHand(..) | Request::Restart | Request::Kill => Ok(()),
    }
}

/// Leaves out what is not needed for a failure; bounded, as each try takes a server.
fn shrunk(mut requests: Vec<Request>) -> Vec<Request> {
    let mut at = 0;
    for _ in 0..100 {
        if at >= requests.len() {
            break;
        }
        let mut fewer = requests.clone();
        fewer.remove(at);
        match run(&fewer) {
            Err((failed, _)) => requests = fewer[..=failed].to_vec(),
            Ok(()) => at += 1,
        }
    }
    requests
}
