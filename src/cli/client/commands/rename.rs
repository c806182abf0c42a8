use super::{Outcome, refused};
use crate::cli::advice::Doing;
use crate::cli::client::command::RenameArgs;
use crate::cli::client::folder::{check_folder, says_folder};
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FileLine, FolderLine, Id};
use crate::types::{FileName, FileRef, Item, Precondition};

/// `rename OLD NEW`
pub async fn run(session: &mut Session, args: &RenameArgs) -> Outcome {
    let dry_run = args.dry_run.dry_run;
    let (from, to, item) = match rename(session, args).await {
        Ok(renamed) => renamed,
        Err(failure) => {
            let failure = failure.while_doing(Doing::Naming);
            return Ok(refused(&session.output, "rename", &args.old, &failure));
        }
    };
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
            id: Some(Id::of(Some(entry))),
            size: Some(entry.size),
            status,
            ..FileLine::default()
        }),
        Item::Folder(_) => Body::Folder(FolderLine {
            action: Some("rename"),
            name: to.as_str(),
            from: Some(&typed),
            status: Some(status),
            ..FolderLine::default()
        }),
    });
    session.output.done(format_args!("{words}{from} -> {to}"));
    Ok(Verdict::Done)
}

async fn rename(
    session: &mut Session,
    args: &RenameArgs,
) -> Result<(FileRef, FileName, Item), Failure> {
    let from = session.folder.place(&args.old)?;
    let to = session.folder.join_folder(&args.new)?;
    let about = |error| {
        let failure = Failure::from(error).about(&from);
        match args.version.if_match {
            Some(_) => failure.while_doing(Doing::ToVersion),
            None => failure,
        }
    };
    // A slash behind a name is only right for a folder.
    if says_folder(&args.old) || says_folder(&args.new) {
        let found = session.client.stat(&from).await.map_err(about)?;
        check_folder(&args.old, &found)?;
        if let Item::File(_) = found {
            return Err(
                Failure::usage(format!("{from} is a file, and {to}/ would be a folder"))
                    .advise("give the whole new name, without a slash behind it"),
            );
        }
    }
    let precondition = Precondition {
        if_match: args.version.if_match,
    };
    let dry_run = args.dry_run.dry_run;
    let renamed = session.client.rename(&from, &to, precondition, dry_run);
    let item = renamed.await.map_err(about)?;
    Ok((from, to, item))
}
