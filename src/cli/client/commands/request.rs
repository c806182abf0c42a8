use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Outcome;
use super::get::Place;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::RequestArgs;
use crate::cli::client::session::Session;
use crate::cli::client::standing::by_way;
use crate::cli::failure::Failure;
use crate::cli::output::{Look, Output};
use crate::cli::progress::Bars;
use crate::client::{FileReport, Status, Target};
use crate::peer::{self, Event, Observer, Request};
use crate::protocol::ErrorCode;
use crate::transfer::Progress;
use crate::types::{FileName, FileRef, OnConflict, PeerName, Printable};

/// `request FILE CLIENT [-o PATH]`
pub async fn run(session: &mut Session, args: RequestArgs) -> Outcome {
    let output = session.output.clone();
    let place = Place::choose(args.output.as_deref(), false)?;
    let prints = matches!(place, Place::Output);
    if prints && output.look().json {
        return Err(Failure::usage("-o - prints a file and has no JSON form")
            .advise("leave out --json, or give a file to write to"));
    }
    let named = FileName::parse(&args.file).ok();
    let named: Option<(FileName, PeerName)> = named.zip(args.client.parse().ok());
    let Some((file, owner)) = named else {
        return Err(invalid_request(&output, &args));
    };
    let conflict = args.conflict.on_conflict;
    let on_conflict = conflict.map_or(OnConflict::Error, OnConflict::from);
    let telling = Arc::new(Telling {
        output: output.clone(),
        prints,
        file: file.clone(),
        established: AtomicBool::new(false),
    });
    // The lines of this command say it all, but for failures and programs.
    let quiet = output.with_look(Look {
        quiet: true,
        ..output.look()
    });
    let mut report = BatchReport::new(&quiet, "request", Doing::Requesting(on_conflict));
    if prints {
        report = report.only_failures();
    }
    let bars = match prints {
        true => Bars::beside_content(&output),
        false => Bars::show(&output),
    };
    let progress = Arc::new(Beginning {
        telling: telling.clone(),
        bars: bars.progress(),
    });
    let request = Request {
        file: file.clone(),
        owner: owner.clone(),
        target: match place {
            Place::Folder(path) => Target::Folder(path),
            Place::File(path) => Target::Path(path),
            Place::Below(top, below) => Target::Path(top.join(below.as_str())),
            Place::Output => Target::Stream(output.content()),
        },
        on_conflict,
    };
    let peer = session.standing.peer();
    let teller = telling.clone();
    let fetched = peer::fetch(
        &session.client,
        peer,
        request,
        telling.clone(),
        progress,
        &mut |mut fetched: FileReport| {
            // By our own name for it, whatever the other side calls it.
            fetched.name = FileRef::Name(file.clone());
            if let Ok(done) = &mut fetched.outcome {
                if let Some(entry) = &mut done.entry {
                    entry.name = file.clone();
                }
                teller.say(match done.status {
                    Status::Done => format!("< {file} downloaded successfully! >"),
                    Status::Unchanged => format!("< {file} unchanged. >"),
                    _ => format!("< {file} skipped, the name is taken. >"),
                });
            }
            report.file(fetched);
        },
    )
    .await;
    drop(bars);
    if telling.established.load(Ordering::SeqCst) {
        telling.say(format!("< Connection with client {owner} closed. >"));
    }
    match fetched {
        Ok(sent) => report.sent(sent),
        Err(failure) if failure.code == ErrorCode::NotFound => {
            return Err(invalid_request(&output, &args));
        }
        Err(failure) => {
            let doing = Doing::Requesting(on_conflict);
            return Err(Failure::from(failure).while_doing(doing));
        }
    }
    report.finish()
}

/// Whatever is not offered, a malformed name included.
fn invalid_request(output: &Output, args: &RequestArgs) -> Failure {
    output.message("[Invalid Request]\n");
    let (file, client) = (Printable(&args.file), Printable(&args.client));
    let message = format!("client {client} does not offer {file}");
    Failure::new(ErrorCode::NotFound, message).advise("see 'offers' for what there is")
}

/// Tells how a request goes on.
struct Telling {
    output: Output,
    /// Whether standard output is for the file itself.
    prints: bool,
    file: FileName,
    established: AtomicBool,
}

impl Telling {
    fn say(&self, line: String) {
        match self.prints {
            true => self.output.note(line),
            false => self.output.done(line),
        }
        // Whoever reads a pipe reads it as it happens.
        self.output.flush();
    }
}

/// Passes progress on, and tells when the file itself begins to come.
struct Beginning {
    telling: Arc<Telling>,
    bars: Arc<dyn Progress>,
}

impl Progress for Beginning {
    fn batch(&self, files: u64, bytes: u64) {
        self.bars.batch(files, bytes);
    }

    fn begin(&self, index: u32, label: &str, size: Option<u64>, offset: u64) {
        let file = &self.telling.file;
        self.telling.say(format!("< Downloading {file}... >"));
        self.bars.begin(index, label, size, offset);
    }

    fn advance(&self, index: u32, bytes: u64) {
        self.bars.advance(index, bytes);
    }

    fn end(&self, index: u32) {
        self.bars.end(index);
    }

    fn note(&self, text: &str) {
        self.bars.note(text);
    }
}

impl Observer for Telling {
    fn happened(&self, event: &Event) {
        if let Event::Established { owner, relayed } = event {
            self.established.store(true, Ordering::SeqCst);
            let way = by_way(*relayed);
            self.say(format!(
                "< Connection with client {owner} established. >{way}"
            ));
        }
    }
}
