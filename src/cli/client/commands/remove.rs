use super::Outcome;
use crate::cli::client::command::RemoveArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::{self, Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, FileLine, FolderLine};
use crate::cli::output::Output;
use crate::protocol::ErrorCode;
use crate::types::{Item, Precondition, Printable};

/// `remove NAME…`
pub async fn run(session: &mut Session, args: &RemoveArgs) -> Outcome {
    if args.version.if_match.is_some() && args.names.len() > 1 {
        return Err(Failure::usage("--if-match goes with one NAME"));
    }
    let mut tally = Tally::default();
    let mut lost: Option<Failure> = None;
    for name in &args.names {
        let outcome = match &lost {
            Some(failure) => Err(failure.clone()),
            None => remove(session, name, args).await,
        };
        match outcome {
            Ok(item) => {
                tally.done();
                tell(&session.output, &item, args.dry_run.dry_run);
            }
            Err(failure) => {
                tally.failed(failure.code);
                session.output.object(Body::File(FileLine {
                    action: "remove",
                    name,
                    status: "failed",
                    error: Some(ErrorBody::new(failure.code, &failure.message)),
                    ..FileLine::default()
                }));
                session.output.complain(&failure, Some(&Printable(name)));
                // Without a server every further name would only wait for the same failure.
                if exit::of_error(failure.code) == exit::of_error(ErrorCode::Unreachable) {
                    lost = Some(failure);
                }
            }
        }
    }
    Ok(Verdict::Batch(tally))
}

async fn remove(session: &mut Session, name: &str, args: &RemoveArgs) -> Result<Item, Failure> {
    let file = session.folder.reference(name)?;
    let precondition = Precondition {
        if_match: args.version.if_match,
    };
    let dry_run = args.dry_run.dry_run;
    let removed = session
        .client
        .remove(&file, args.recursive, precondition, dry_run)
        .await?;
    Ok(removed)
}

fn tell(output: &Output, item: &Item, dry_run: bool) {
    let (status, words) = match dry_run {
        true => ("would_remove", "would remove"),
        false => ("done", "removed"),
    };
    output.object(match item {
        Item::File(entry) => Body::File(FileLine {
            action: "remove",
            name: entry.name.as_str(),
            id: entry.id.map(|id| id.to_string()),
            size: Some(entry.size),
            status,
            ..FileLine::default()
        }),
        Item::Folder(name) => Body::Folder(FolderLine {
            action: Some("remove"),
            name: name.as_str(),
            status: Some(status),
            ..FolderLine::default()
        }),
    });
    let slash = if matches!(item, Item::Folder(_)) {
        "/"
    } else {
        ""
    };
    output.done(format_args!("{words} {}{slash}", item.name()));
}
