use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::timeout;

use super::{Outcome, refused, setdir};
use crate::cli::advice::Doing;
use crate::cli::client::command::OfferArgs;
use crate::cli::client::session::{Input, Session};
use crate::cli::client::standing::offered_name;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FileLine};
use crate::cli::output::Output;
use crate::cli::progress::Bars;
use crate::cli::units;
use crate::peer::{self, Directory, Hashed, Peer};
use crate::protocol::ErrorCode;
use crate::transfer::Progress;
use crate::types::{FileName, Printable};

/// `offer [FILE…]`
pub async fn run(session: &mut Session, args: &OfferArgs) -> Outcome {
    let one_shot = session.input == Input::CommandLine;
    if one_shot && (args.name.is_none() || args.withdraw) {
        let message = "on the command line offer needs --name, and lasts until it is ended";
        return Err(Failure::usage(message).advise("say offer --name NAME --dir DIR FILE…"));
    }
    if let Some(dir) = &args.dir {
        setdir::set(session, dir)?;
    }
    if args.withdraw {
        return withdraw(session, &args.files).await;
    }
    let directory = session.standing.directory.clone();
    let Some(directory) = directory else {
        let message = "Directory not set. Set directory using setdir command.";
        session.output.message(&format!("{message}\n"));
        return Err(
            Failure::usage("no folder to offer files of").advise(match one_shot {
                true => "name one with --dir",
                false => "say setdir DIR first",
            }),
        );
    };
    let peer = match &args.name {
        Some(name) => {
            let port = args.listen.listen_port.as_deref();
            session.register(name, port).await?
        }
        None => session.registered()?,
    };
    if session.input == Input::Prompt {
        return beside_the_prompt(&session.output, peer, directory, args.files.clone()).await;
    }
    let bars = Bars::show(&session.output);
    let progress = bars.progress();
    let verdict = offer(&session.output, &peer, &directory, &args.files, progress).await?;
    drop(bars);
    let offered = !matches!(&verdict, Verdict::Batch(tally) if tally.files() == tally.failures());
    if one_shot && offered {
        session.output.flush();
        return Err(peer.ended().await.into());
    }
    Ok(verdict)
}

/// How long the prompt waits for files to be hashed. More goes on while the user types.
const AT_ONCE: Duration = Duration::from_millis(500);

async fn beside_the_prompt(
    output: &Output,
    peer: Peer,
    directory: Directory,
    typed: Vec<String>,
) -> Outcome {
    let told = output.clone();
    let mut offering = tokio::spawn(async move {
        let progress = Arc::new(Notes::new(told.clone()));
        offer(&told, &peer, &directory, &typed, progress).await
    });
    let ended = |joined: Result<Outcome, JoinError>| {
        let unexpected = |_| Failure::new(ErrorCode::Internal, "offering failed unexpectedly");
        joined.map_err(unexpected).flatten()
    };
    if let Ok(joined) = timeout(AT_ONCE, &mut offering).await {
        return ended(joined);
    }
    output.note("The files are being hashed, and offered then; go on meanwhile.");
    let told = output.clone();
    tokio::spawn(async move {
        if let Err(failure) = ended(offering.await) {
            told.complain(&failure, Some(&"offer"));
        }
    });
    Ok(Verdict::Done)
}

/// Tells how far the hashing of large files is, where a bar would be in the way of who types.
struct Notes {
    output: Output,
    file: Mutex<Hashing>,
}

#[derive(Default)]
struct Hashing {
    label: String,
    size: u64,
    done: u64,
    /// How many tenths were told.
    told: u64,
}

/// Smaller files are not worth a word.
const LARGE: u64 = 1024 * 1024 * 1024;

impl Notes {
    fn new(output: Output) -> Self {
        Notes {
            output,
            file: Mutex::default(),
        }
    }

    fn file(&self) -> MutexGuard<'_, Hashing> {
        self.file.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Progress for Notes {
    fn batch(&self, _files: u64, _bytes: u64) {}

    fn begin(&self, _index: u32, label: &str, size: Option<u64>, _offset: u64) {
        *self.file() = Hashing {
            label: label.to_owned(),
            size: size.unwrap_or(0),
            ..Hashing::default()
        };
    }

    fn advance(&self, _index: u32, bytes: u64) {
        let mut file = self.file();
        file.done = file.done.saturating_add(bytes);
        let tenths = file.done.saturating_mul(10) / file.size.max(1);
        if file.size >= LARGE && tenths > file.told && tenths < 10 {
            file.told = tenths;
            let note = format!("{}: {tenths}0 % hashed", file.label);
            drop(file);
            self.output.note(note);
        }
    }

    fn end(&self, _index: u32) {}

    fn note(&self, text: &str) {
        self.output.note(text);
    }
}

/// Hashes files and offers those that can be.
async fn offer(
    output: &Output,
    peer: &Peer,
    directory: &Directory,
    typed: &[String],
    progress: Arc<dyn Progress>,
) -> Result<Verdict, Failure> {
    let names: Vec<Result<FileName, (&str, Failure)>> = match typed {
        [] => {
            let (files, left_out) = directory.files()?;
            for leaf in left_out {
                output.note(format_args!(
                    "{} is left out: no plain file, or no name",
                    Printable(&leaf)
                ));
            }
            files.into_iter().map(Ok).collect()
        }
        typed => typed
            .iter()
            .map(|text| offered_name(text).map_err(|failure| (text.as_str(), failure)))
            .collect(),
    };
    progress.batch(names.len() as u64, 0);
    let mut tally = Tally::default();
    let mut files: Vec<Hashed> = Vec::new();
    for (index, name) in (0..).zip(names) {
        let hashed = match name {
            Ok(name) => peer::hash(directory, &name, index, &*progress)
                .await
                .map_err(|failure| (name.as_str().to_owned(), Failure::from(failure))),
            Err((text, failure)) => Err((text.to_owned(), failure)),
        };
        match hashed {
            Ok(file) => files.push(file),
            Err((name, failure)) => {
                tally.failed(failure.code);
                let failure = failure.while_doing(Doing::Offering);
                refused(output, "offer", &name, &failure);
            }
        }
    }
    if files.is_empty() {
        if tally.files() == 0 {
            output.note("There is no file in that folder to offer.");
        }
        return Ok(Verdict::Batch(tally));
    }
    peer.offer(files.clone()).await?;
    for file in &files {
        tally.done();
        output.object(Body::Offer(super::offers::own(peer, file)));
    }
    output.done("[Offer Message received by Server.]");
    if files.len() > 1 {
        let bytes = files.iter().map(Hashed::size).sum();
        let (count, size) = (units::count(files.len() as u64, "file"), units::size(bytes));
        output.note(format_args!("{count} offered, {size}"));
    }
    Ok(Verdict::Batch(tally))
}

/// `offer --withdraw [FILE…]`
async fn withdraw(session: &mut Session, typed: &[String]) -> Outcome {
    let peer = session.registered()?;
    let names = typed.iter().map(|text| offered_name(text));
    let names: Vec<FileName> = names.collect::<Result<_, _>>()?;
    let withdrawn = peer.withdraw(&names).await?;
    let output = &session.output;
    for name in &names {
        output.object(Body::File(FileLine {
            action: "withdraw",
            name: name.as_str(),
            status: "done",
            ..FileLine::default()
        }));
    }
    let count = units::count(withdrawn as u64, "offer");
    output.done(format_args!("[{count} withdrawn.]"));
    Ok(Verdict::Done)
}
