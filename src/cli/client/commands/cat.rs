use super::Outcome;
use crate::cli::client::command::NameArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::progress::Bars;
use crate::client::{ClientError, Download, Target};
use crate::types::OnConflict;

/// `cat NAME`
pub async fn run(session: &mut Session, args: &NameArgs) -> Outcome {
    if session.output.look().json {
        return Err(Failure::usage("cat prints a file and has no JSON form")
            .advise("leave out --json, or use get"));
    }
    let file = session.folder.reference(&args.name)?;
    let download = Download {
        file: file.clone(),
        known: None,
        target: Target::Stream(session.output.content()),
        on_conflict: OnConflict::Error,
    };
    let bars = Bars::beside_content(&session.output);
    let mut failed: Option<ClientError> = None;
    session
        .client
        .get(vec![download], false, bars.progress(), &mut |report| {
            failed = report.outcome.err();
        })
        .await?;
    match failed {
        None => Ok(Verdict::Done),
        Some(error) => Err(Failure::from(error).about(&file)),
    }
}
