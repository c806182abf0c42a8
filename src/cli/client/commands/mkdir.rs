use super::{Outcome, refused};
use crate::cli::advice::Doing;
use crate::cli::client::command::MkdirArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FolderLine};
use crate::types::FileName;

/// `mkdir DIR`
pub async fn run(session: &mut Session, args: &MkdirArgs) -> Outcome {
    let dry_run = args.dry_run.dry_run;
    let name = match make(session, &args.name, dry_run).await {
        Ok(name) => name,
        Err(failure) => {
            let failure = failure.while_doing(Doing::Naming);
            return Ok(refused(&session.output, "mkdir", &args.name, &failure));
        }
    };
    let (status, words) = match dry_run {
        true => ("would_make", "would make"),
        false => ("done", "made"),
    };
    session.output.object(Body::Folder(FolderLine {
        action: Some("mkdir"),
        name: name.as_str(),
        status: Some(status),
        ..FolderLine::default()
    }));
    session.output.done(format_args!("{words} {name}/"));
    Ok(Verdict::Done)
}

async fn make(session: &mut Session, typed: &str, dry_run: bool) -> Result<FileName, Failure> {
    let name = session.folder.join_folder(typed)?;
    session.client.make_folder(&name, dry_run).await?;
    Ok(name)
}
