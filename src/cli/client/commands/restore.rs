use super::{Outcome, refused};
use crate::cli::client::command::RestoreArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FileLine, Id};
use crate::protocol::ErrorCode;
use crate::types::Item;

/// `restore NAME [--version N]`
pub async fn run(session: &mut Session, args: &RestoreArgs) -> Outcome {
    let dry_run = args.dry_run.dry_run;
    let item = match restore(session, args).await {
        Ok(item) => item,
        Err(failure) => {
            let failure = match failure.code {
                ErrorCode::NotFound => failure.advise("see 'trash' for what is kept"),
                _ => failure,
            };
            return Ok(refused(&session.output, "restore", &args.name, &failure));
        }
    };
    let (status, words) = match dry_run {
        true => ("would_restore", "would restore"),
        false => ("done", "restored"),
    };
    if let Item::File(entry) = &item {
        session.output.object(Body::File(FileLine {
            action: "restore",
            name: entry.name.as_str(),
            id: Some(Id::of(Some(entry))),
            size: Some(entry.size),
            status,
            ..FileLine::default()
        }));
    }
    session.output.done(format_args!("{words} {}", item.name()));
    Ok(Verdict::Done)
}

async fn restore(session: &mut Session, args: &RestoreArgs) -> Result<Item, Failure> {
    let name = session.folder.join(&args.name)?;
    let dry_run = args.dry_run.dry_run;
    let restored = session.client.restore(&name, args.version, dry_run);
    Ok(restored.await?)
}
