use std::time::Instant;

use super::{Outcome, refused};
use crate::cli::advice::Doing;
use crate::cli::client::command::RemoveArgs;
use crate::cli::client::folder::{check_folder, says_folder};
use crate::cli::client::remote_names;
use crate::cli::client::session::Session;
use crate::cli::exit::{self, Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FileLine, FolderLine, Id, SummaryLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::client::{ClientError, Removal, Removed};
use crate::protocol::ErrorCode;
use crate::types::{FileRef, Item, Precondition};

/// `remove NAME…`
pub async fn run(session: &mut Session, args: &RemoveArgs) -> Outcome {
    let many = args.names.len() > 1 || args.names.iter().any(|word| remote_names::is_glob(word));
    if args.version.if_match.is_some() && many {
        return Err(
            Failure::usage("--if-match goes with one NAME").advise("remove them one by one")
        );
    }
    let started = Instant::now();
    let dry_run = args.dry_run.dry_run;
    let output = session.output.clone();
    let mut count = Count::default();
    let (words, removals) = removals(session, args, &mut count).await;
    let mut told = |place: usize, outcome: Result<Removed, Failure>| {
        let word = words.get(place).map_or("", String::as_str);
        count.tell(&output, word, outcome, dry_run);
    };
    let explain = |place: usize, error: ClientError| {
        let failure = Failure::from(error);
        let failure = match removals.get(place) {
            Some(removal) => failure.about(&removal.file),
            None => failure,
        };
        match (args.recursive, args.version.if_match) {
            (_, Some(_)) => failure.while_doing(Doing::ToVersion),
            (true, None) => failure,
            (false, None) => failure.while_doing(Doing::RemovingFiles),
        }
    };
    match removals.as_slice() {
        [] => {}
        // Whether one that a cut came over was removed is not known; many are asked for again.
        [one] => {
            let precondition = one.precondition;
            let removed = session
                .client
                .remove(&one.file, one.recursive, precondition, dry_run)
                .await;
            told(0, removed.map_err(|error| explain(0, error)));
        }
        many => {
            let mut each = |place: usize, removed: Result<Removed, ClientError>| {
                told(place, removed.map_err(|error| explain(place, error)));
            };
            let asked = session
                .client
                .remove_all(many.to_vec(), dry_run, &mut each)
                .await;
            if let Err(error) = asked {
                (0..many.len()).for_each(|place| each(place, Err(error.clone())));
            }
        }
    }
    let Count { tally, bytes } = count;
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

/// What was removed, and what was not.
#[derive(Default)]
struct Count {
    tally: Tally,
    bytes: u64,
}

impl Count {
    fn tell(
        &mut self,
        output: &Output,
        word: &str,
        outcome: Result<Removed, Failure>,
        dry_run: bool,
    ) {
        match outcome {
            Ok(removed) => {
                self.tally.done();
                if let Item::File(entry) = &removed.item {
                    self.bytes += entry.size;
                }
                tell(output, &removed, dry_run);
            }
            Err(failure) => {
                self.tally.failed(failure.code);
                refused(output, "remove", word, &failure);
            }
        }
    }
}

/// What the words stand for, and what each was called; those that stand for nothing are told of.
async fn removals(
    session: &mut Session,
    args: &RemoveArgs,
    count: &mut Count,
) -> (Vec<String>, Vec<Removal>) {
    let output = session.output.clone();
    let mut words = Vec::new();
    let mut removals = Vec::new();
    // Without a server every further word would only wait for the same failure.
    let mut lost: Option<Failure> = None;
    for word in &args.names {
        let meant = match &lost {
            Some(failure) => Err(failure.clone()),
            None => mean(session, word).await,
        };
        match meant {
            Ok(files) => {
                for (called, file) in files {
                    words.push(called);
                    removals.push(Removal {
                        file,
                        recursive: args.recursive,
                        precondition: Precondition {
                            if_match: args.version.if_match,
                        },
                    });
                }
            }
            Err(failure) => {
                if exit::of_error(failure.code) == exit::of_error(ErrorCode::Unreachable) {
                    lost = Some(failure.clone());
                }
                count.tell(&output, word, Err(failure), args.dry_run.dry_run);
            }
        }
    }
    (words, removals)
}

/// What a word stands for. A name that is there is no glob.
async fn mean(session: &mut Session, word: &str) -> Result<Vec<(String, FileRef)>, Failure> {
    if remote_names::is_glob(word) {
        let here = session.folder.clone();
        let found = remote_names::look_up(&mut session.client, &here, &[word]).await?;
        let found = found.into_iter().flatten().flatten();
        let found: Vec<_> = found
            .map(|meant| (meant.name.as_str().to_owned(), FileRef::Name(meant.name)))
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // A listing may lag: what was put there just now is still found by its name.
    }
    let file = session.folder.place(word)?;
    // A slash behind a name is only right for a folder.
    if says_folder(word) {
        let found = session.client.stat(&file).await;
        check_folder(
            word,
            &found.map_err(|error| Failure::from(error).about(&file))?,
        )?;
    }
    Ok(vec![(word.to_owned(), file)])
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
