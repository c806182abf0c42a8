use super::Outcome;
use crate::cli::client::command::RenameArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::{Body, FileLine, FolderLine};
use crate::types::{FileRef, Item, Precondition};

/// `rename OLD NEW`
pub async fn run(session: &mut Session, args: &RenameArgs) -> Outcome {
    let from = session.folder.reference(&args.old)?;
    let to = session.folder.join(&args.new)?;
    let precondition = Precondition {
        if_match: args.version.if_match,
    };
    let dry_run = args.dry_run.dry_run;
    let item = session
        .client
        .rename(&from, &to, precondition, dry_run)
        .await?;
    let (status, words) = match dry_run {
        true => ("would_rename", "would rename "),
        false => ("done", ""),
    };
    let typed = match &from {
        FileRef::Name(name) => name.as_str().to_owned(),
        FileRef::Id(prefix) => format!("id:{prefix}"),
    };
    session.output.object(match &item {
        Item::File(entry) => Body::File(FileLine {
            action: "rename",
            name: to.as_str(),
            from: Some(&typed),
            id: entry.id.map(|id| id.to_string()),
            size: Some(entry.size),
            status,
            ..FileLine::default()
        }),
        Item::Folder(_) => Body::Folder(FolderLine {
            action: Some("rename"),
            name: to.as_str(),
            from: Some(&typed),
            status: Some(status),
        }),
    });
    session.output.done(format_args!("{words}{from} -> {to}"));
    Ok(Verdict::Done)
}
