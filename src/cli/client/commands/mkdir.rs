use super::Outcome;
use crate::cli::client::command::MkdirArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::{Body, FolderLine};

/// `mkdir DIR`
pub async fn run(session: &mut Session, args: &MkdirArgs) -> Outcome {
    let name = session.folder.join(&args.name)?;
    let dry_run = args.dry_run.dry_run;
    session.client.make_folder(&name, dry_run).await?;
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
