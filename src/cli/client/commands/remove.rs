use std::time::Instant;

use super::{Outcome, refused};
use crate::cli::advice::Doing;
use crate::cli::client::command::RemoveArgs;
use crate::cli::client::folder::{check_folder, says_folder};
use crate::cli::client::session::Session;
use crate::cli::exit::{self, Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FileLine, FolderLine, Id, SummaryLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::client::Removed;
use crate::protocol::ErrorCode;
use crate::types::{Item, Precondition};

/// `remove NAME…`
pub async fn run(session: &mut Session, args: &RemoveArgs) -> Outcome {
    if args.version.if_match.is_some() && args.names.len() > 1 {
        return Err(
            Failure::usage("--if-match goes with one NAME").advise("remove them one by one")
        );
    }
    let started = Instant::now();
    let dry_run = args.dry_run.dry_run;
    let mut bytes = 0;
    let mut tally = Tally::default();
    let mut lost: Option<Failure> = None;
    for name in &args.names {
        let outcome = match &lost {
            Some(failure) => Err(failure.clone()),
            None => remove(session, name, args).await,
        };
        match outcome {
            Ok(removed) => {
                tally.done();
                if let Item::File(entry) = &removed.item {
                    bytes += entry.size;
                }
                tell(&session.output, &removed, dry_run);
            }
            Err(failure) => {
                tally.failed(failure.code);
                refused(&session.output, "remove", name, &failure);
                // Without a server every further name would only wait for the same failure.
                if exit::of_error(failure.code) == exit::of_error(ErrorCode::Unreachable) {
                    lost = Some(failure);
                }
            }
        }
    }
    let seconds = started.elapsed().as_millis() as f64 / 1000.0;
    let (names, failed) = (tally.files(), tally.failures());
    session.output.object(Body::Summary(SummaryLine {
        action: "remove",
        files: names,
        unchanged: 0,
        failed,
        bytes,
        sent: 0,
        seconds,
    }));
    if names > 1 {
        let words = if dry_run { "would remove" } else { "removed" };
        session.output.done(format_args!(
            "{words} {} of {names}, {}, in {seconds:.1} s",
            names - failed,
            units::size(bytes),
        ));
    }
    Ok(Verdict::Batch(tally))
}

async fn remove(session: &mut Session, name: &str, args: &RemoveArgs) -> Result<Removed, Failure> {
    let file = session.folder.place(name)?;
    let explain = |error| {
        let failure = Failure::from(error).about(&file);
        match args.recursive {
            true => failure,
            false => failure.while_doing(Doing::RemovingFiles),
        }
    };
    // A slash behind a name is only right for a folder.
    if says_folder(name) {
        let found = session.client.stat(&file).await.map_err(explain)?;
        check_folder(name, &found)?;
    }
    let precondition = Precondition {
        if_match: args.version.if_match,
    };
    let dry_run = args.dry_run.dry_run;
    let removed = session
        .client
        .remove(&file, args.recursive, precondition, dry_run)
        .await;
    removed.map_err(explain)
}

fn tell(output: &Output, removed: &Removed, dry_run: bool) {
    let Removed { item, kept } = removed;
    let (status, words) = match dry_run {
        true => ("would_remove", "would remove"),
        false => ("done", "removed"),
    };
    output.object(match item {
        Item::File(entry) => Body::File(FileLine {
            action: "remove",
            name: entry.name.as_str(),
            id: Some(Id::of(Some(entry))),
            size: Some(entry.size),
            status,
            kept: Some(*kept),
            ..FileLine::default()
        }),
        Item::Folder(name) => Body::Folder(FolderLine {
            action: Some("remove"),
            name: name.as_str(),
            status: Some(status),
            kept: Some(*kept),
            ..FolderLine::default()
        }),
    });
    let slash = if matches!(item, Item::Folder(_)) {
        "/"
    } else {
        ""
    };
    let (name, gone) = (item.name(), if dry_run { "would not be" } else { "is not" });
    match kept {
        true => output.done(format_args!("{words} {name}{slash}")),
        false => output.done(format_args!("{words} {name}{slash}, which {gone} kept")),
    }
}
