mod plan;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cli::advice::Doing;
use crate::cli::client::batch::BatchReport;
use crate::cli::client::command::PutArgs;
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::local_glob;
use crate::cli::client::retry_list::{self, Local, Retry};
use crate::cli::client::session::{Input, Session};
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::ClientError;
use crate::types::{FileName, OnConflict};

pub use plan::tell_skipped;

use plan::Plan;

/// `put PATH… [--as NAME] [--to DIR]`
pub async fn run(session: &mut Session, args: PutArgs) -> Outcome {
    check(&args, session.input)?;
    let mut plan = Plan::new(&args)?;
    let mut report = BatchReport::new(&session.output, "put", Doing::Putting(rules(&args)))
        .listing_failures(args.retry.failed.as_deref())?;
    for wish in wishes(&session.folder, &args, &mut report)? {
        // What cannot be sent does not keep the others from going.
        if let Err((wish, failure)) = plan.add(wish, &args, &mut report).await {
            report.failed(&wish.path().to_string_lossy(), &failure);
            report.failed_list.add(wish.retry());
        }
    }
    if let Some(name) = plan.twice.filter(|_| rules(&args) != OnConflict::Rename) {
        let message = format!("two of the files would be stored as {name}");
        return Err(Failure::usage(message)
            .advise("put them one by one with --as, or say --on-conflict rename"));
    }
    let dry_run = args.dry_run.dry_run;
    if !plan.uploads.is_empty() {
        tracing::debug!(files = plan.uploads.len(), "putting");
        report.failed_list.plan(plan.retries);
        let bars = Bars::show(&session.output);
        let sent = session
            .client
            .put(plan.uploads, dry_run, bars.progress(), &mut |file| {
                report.file(file)
            })
            .await;
        match sent {
            Ok(sent) => report.sent(sent),
            Err(error) => return Err(report.give_up(error)),
        }
    }
    make_folders(session, &plan.folders, dry_run, &mut report).await;
    report.finish()
}

/// Makes the empty folders.
async fn make_folders(
    session: &mut Session,
    folders: &[(FileName, PathBuf)],
    dry_run: bool,
    report: &mut BatchReport,
) {
    let names: Vec<FileName> = folders.iter().map(|(name, _)| name.clone()).collect();
    let mut tell = |place: usize, made: Result<(), ClientError>| {
        let Some((name, path)) = folders.get(place) else {
            return;
        };
        let Err(error) = made else {
            return report.folder(name, dry_run);
        };
        report.failed(name.as_str(), &Failure::from(error));
        report.failed_list.add(Retry {
            name: name.as_str().to_owned(),
            local: Some(Local::Path(path.clone())),
        });
    };
    let made = session
        .client
        .make_folders(&names, dry_run, &mut tell)
        .await;
    if let Err(error) = made {
        (0..folders.len()).for_each(|place| tell(place, Err(error.clone())));
    }
}

fn check(args: &PutArgs, input: Input) -> Result<(), Failure> {
    let many = args.paths.len() > 1 || args.retry.retry_from.is_some();
    if many && args.name.is_some() {
        return Err(
            Failure::usage("--as gives one name, and there is more than one PATH")
                .advise("put them one by one, or name a folder with --to"),
        );
    }
    if many && args.version.if_match.is_some() {
        return Err(Failure::usage("--if-match goes with one PATH").advise("put them one by one"));
    }
    if args.paths.iter().any(|path| is_stream(path)) {
        if args.name.is_none() {
            return Err(Failure::usage("standard input has no name of its own")
                .advise("name it with --as NAME, and put nothing else with it"));
        }
        if let Some(taken_by) = input.taken_by() {
            let message = format!("standard input is taken by {taken_by}");
            return Err(Failure::usage(message)
                .advise("give a file, or run fileshare-client with this one command"));
        }
    }
    Ok(())
}

/// Something to put: where it is, and what it is to be called.
#[derive(Debug)]
struct Wish {
    path: PathBuf,
    /// The folder of a tree that the path is below, if it must stay in it.
    top: Option<PathBuf>,
    /// The remote folder to put it into.
    base: RemoteFolder,
    /// Its name there; `None` is the one that it has here.
    name: Option<String>,
}

impl Wish {
    /// The whole path.
    fn path(&self) -> PathBuf {
        match &self.top {
            Some(top) => top.join(&self.path),
            None => self.path.clone(),
        }
    }

    fn retry(&self) -> Retry {
        let name = self
            .name
            .as_ref()
            .and_then(|name| self.base.join_folder(name).ok());
        Retry {
            name: name.map_or(String::new(), |name| name.as_str().to_owned()),
            local: Some(match &self.top {
                Some(top) => Local::Below(top.clone(), self.path.clone()),
                None => Local::Path(self.path.clone()),
            }),
        }
    }
}

/// What the arguments ask for. A glob that means nothing fails alone.
fn wishes(
    here: &RemoteFolder,
    args: &PutArgs,
    report: &mut BatchReport,
) -> Result<Vec<Wish>, Failure> {
    if let Some(list) = &args.retry.retry_from {
        return retry_list::read(list)?.into_iter().map(again).collect();
    }
    let base = match &args.to {
        Some(to) => here.below(to)?,
        None => here.clone(),
    };
    let mut wishes = Vec::new();
    for typed in &args.paths {
        let wish = |path| Wish {
            path,
            top: None,
            base: base.clone(),
            name: args.name.clone(),
        };
        match local_glob::expand(typed) {
            Ok(paths) => wishes.extend(paths.into_iter().map(wish)),
            Err(failure) => report.failed(&typed.to_string_lossy(), &failure),
        }
    }
    if args.name.is_some() && wishes.len() > 1 {
        return Err(
            Failure::usage("--as gives one name, and the glob means more than one file")
                .advise("name a folder with --to"),
        );
    }
    Ok(wishes)
}

/// What a line of a list asks for: its names are full ones.
fn again(retry: Retry) -> Result<Wish, Failure> {
    let name = Some(retry.name).filter(|name| !name.is_empty());
    let (top, path) = match (retry.local, &name) {
        (Some(Local::Path(path)), _) => (None, path),
        (Some(Local::Below(top, below)), _) => (Some(top), below),
        (None, Some(name)) => (None, PathBuf::from(name)),
        (None, None) => {
            return Err(Failure::usage(
                "the list has a line without a name and a path",
            ));
        }
    };
    Ok(Wish {
        path,
        top,
        base: RemoteFolder::default(),
        name,
    })
}

/// Whoever names the version to replace has asked for it to be replaced.
fn rules(args: &PutArgs) -> OnConflict {
    match (args.conflict.on_conflict, args.version.if_match) {
        (Some(typed), _) => typed.into(),
        (None, Some(_)) => OnConflict::Overwrite,
        (None, None) => OnConflict::Error,
    }
}

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}
