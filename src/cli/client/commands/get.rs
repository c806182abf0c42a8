mod landing;
mod ready;

use std::path::PathBuf;

use super::Outcome;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::GetArgs;
use crate::cli::client::folder::{RemoteFolder, says_folder};
use crate::cli::client::remote_names;
use crate::cli::client::retry_list::{self, Local, Retry};
use crate::cli::client::session::Session;
use crate::cli::client::shown;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::{Client, FileReport};
use crate::protocol::ErrorCode;
use crate::types::{FileName, FileRef, Filter, Item, OnConflict};

pub use landing::Place;

use landing::Batch;
use ready::Ready;

/// `get NAME… [-o PATH]`
pub async fn run(session: &mut Session, args: GetArgs) -> Outcome {
    let wishes = wishes(&session.folder, &args)?;
    let prints = wishes
        .iter()
        .any(|wish| matches!(wish.place, Place::Output));
    if prints && session.output.look().json {
        return Err(Failure::usage("-o - prints a file and has no JSON form")
            .advise("leave out --json, or give a file to write to"));
    }
    let on_conflict = rules(&args);
    let mut report = BatchReport::new(&session.output, "get", Doing::Getting(on_conflict))
        .listing_failures(args.retry.failed.as_deref())?;
    if prints {
        report = report.only_failures();
    }
    let filter = args.filter.filter()?;
    let (listed, named): (Vec<_>, Vec<_>) = wishes
        .into_iter()
        .partition(|wish| wish.needs_listing(&filter));
    let mut batch = Batch::default();
    for wish in named {
        match wish.here.reference(&wish.word) {
            Ok(file) => batch.add_named(wish, file),
            // A name that is none does not keep the others from coming.
            Err(failure) => wish.failed(&mut report, &failure),
        }
    }
    look_up(session, listed, &filter, &mut batch, &mut report).await?;
    if let Some(path) = batch
        .landed_twice()
        .filter(|_| on_conflict != OnConflict::Rename)
    {
        let message = format!("two of the files would land in {}", shown(&path));
        return Err(Failure::usage(message)
            .advise("get them one by one with -o, or say --on-conflict rename"));
    }
    let folders = fetch(session, batch, &args, &mut report).await?;
    if !folders.is_empty() {
        let mut batch = Batch::default();
        look_up(session, folders, &filter, &mut batch, &mut report).await?;
        fetch(session, batch, &args, &mut report).await?;
    }
    report.finish()
}

fn rules(args: &GetArgs) -> OnConflict {
    let typed = args.conflict.on_conflict;
    typed.map_or(OnConflict::Error, OnConflict::from)
}

/// Something to get: what it is called there, and where it is to go.
#[derive(Debug, Clone)]
struct Wish {
    word: String,
    here: RemoteFolder,
    place: Place,
    /// Whether the word can only be a name.
    is_name: bool,
}

impl Wish {
    /// Whether what it means is seen in a listing only. A file that is named is asked for as it is
    /// now, and a listing may lag.
    fn needs_listing(&self, filter: &Filter) -> bool {
        let is_glob = remote_names::is_glob(&self.word) && !self.is_name;
        is_glob
            || says_folder(&self.word)
            || (!filter.takes_all() && FileRef::id(&self.word).is_none())
    }

    fn failed(&self, report: &mut BatchReport, failure: &Failure) {
        report.failed(&self.word, failure);
        let (name, local) = match self.here.place(&self.word) {
            Ok(FileRef::Name(name)) => {
                let slash = if says_folder(&self.word) { "/" } else { "" };
                let file = FileRef::Name(name.clone());
                let local = self.place.spot(None).local(&file);
                (format!("{}{slash}", name.as_str()), local)
            }
            _ => (self.word.clone(), None),
        };
        report.failed_list.add(Retry { name, local });
    }
}

/// What the arguments ask for.
fn wishes(here: &RemoteFolder, args: &GetArgs) -> Result<Vec<Wish>, Failure> {
    if let Some(list) = &args.retry.retry_from {
        return retry_list::read(list)?.into_iter().map(again).collect();
    }
    // A glob may mean many.
    let many = args.names.len() > 1 || args.names.iter().any(|word| remote_names::is_glob(word));
    let place = Place::choose(args.output.as_deref(), many)?;
    let wish = |word: &String| Wish {
        word: word.clone(),
        here: here.clone(),
        place: place.clone(),
        is_name: false,
    };
    Ok(args.names.iter().map(wish).collect())
}

/// What a line of a list asks for: its names are full ones.
fn again(retry: Retry) -> Result<Wish, Failure> {
    let place = match retry.local {
        None => Place::Folder(PathBuf::from(".")),
        Some(Local::Path(path)) => Place::File(path),
        Some(Local::Below(top, below)) => {
            let name = below.to_str().map(FileName::parse);
            match name {
                Some(Ok(name)) => Place::Below(top, name),
                _ => Place::File(top.join(below)),
            }
        }
    };
    Ok(Wish {
        word: retry.name,
        here: RemoteFolder::default(),
        place,
        is_name: true,
    })
}

/// Looks up what the words stand for, and adds that to the batch.
async fn look_up(
    session: &mut Session,
    wishes: Vec<Wish>,
    filter: &Filter,
    batch: &mut Batch,
    report: &mut BatchReport,
) -> Result<(), Failure> {
    // All of them are read in one folder, that of the session or the root.
    let Some(here) = wishes.first().map(|wish| wish.here.clone()) else {
        return Ok(());
    };
    let words: Vec<&str> = wishes.iter().map(|wish| wish.word.as_str()).collect();
    let found = remote_names::look_up(&mut session.client, &here, &words).await?;
    for (wish, found) in wishes.iter().zip(found) {
        let added = found.and_then(|found| {
            let mut found = found.into_iter();
            found.try_for_each(|meant| batch.add_listed(wish, meant, filter))
        });
        if let Err(failure) = added {
            wish.failed(report, &failure);
        }
    }
    Ok(())
}

/// Gets the batch; returns what turned out to be folders.
async fn fetch(
    session: &mut Session,
    batch: Batch,
    args: &GetArgs,
    report: &mut BatchReport,
) -> Result<Vec<Wish>, Failure> {
    let dry_run = args.dry_run.dry_run;
    let mut ready = Ready::default();
    ready.open(batch, session, args, report)?;
    if ready.downloads.is_empty() {
        return Ok(Vec::new());
    }
    tracing::debug!(files = ready.downloads.len(), "getting");
    let prints = ready
        .wishes
        .iter()
        .any(|wish| matches!(wish.place, Place::Output));
    let bars = match prints {
        true => Bars::beside_content(&session.output),
        false => Bars::show(&session.output),
    };
    report.failed_list.plan(ready.retries);
    let mut doubtful = Vec::new();
    let sent = session
        .client
        .get(
            ready.downloads,
            dry_run,
            bars.progress(),
            &mut |file| match is_doubtful(&file) {
                true => doubtful.push(file),
                false => report.file(file),
            },
        )
        .await;
    match sent {
        Ok(sent) => report.sent(sent),
        Err(error) => return Err(report.give_up(error)),
    }
    let mut folders = Vec::new();
    for file in doubtful {
        let wish = ready.wishes.get(file.index as usize);
        match (folder_instead(&mut session.client, &file).await, wish) {
            (Some(_), Some(wish)) => folders.push(wish.clone()),
            _ => report.file(file),
        }
    }
    Ok(folders)
}

/// Whether a folder may stand under the name that could not be downloaded.
fn is_doubtful(file: &FileReport) -> bool {
    let doubtful = [ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::Usage];
    matches!(file.name, FileRef::Name(_))
        && matches!(&file.outcome, Err(error) if doubtful.contains(&error.code))
}

/// The folder that was taken for a file. Whoever cannot tell lets the first error stand.
async fn folder_instead(client: &mut Client, file: &FileReport) -> Option<FileName> {
    match client.stat(&file.name).await {
        Ok(Item::Folder(name)) => Some(name),
        _ => None,
    }
}
