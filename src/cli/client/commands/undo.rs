use std::time::Instant;

use super::Outcome;
use crate::cli::client::command::UndoArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, FileLine, SummaryLine};
use crate::cli::output::Output;
use crate::client::Undone;
use crate::protocol::ErrorCode;
use crate::types::TakenBack;

/// `undo`
pub async fn run(session: &mut Session, args: &UndoArgs) -> Outcome {
    let started = Instant::now();
    let dry_run = args.dry_run.dry_run;
    let output = &session.output;
    let mut tally = Tally::default();
    let mut each = |undone: Undone| match undone.outcome {
        Ok(how) => {
            tally.done();
            tell(output, undone.name.as_str(), &undone.name, how, dry_run);
        }
        Err(error) => {
            let failure = Failure::from(error).advise("look at it, and at 'trash'");
            tally.failed(failure.code);
            output.object(Body::File(FileLine {
                action: "undo",
                name: undone.name.as_str(),
                status: "failed",
                error: Some(ErrorBody::new(failure.code, &failure.message)),
                ..FileLine::default()
            }));
            output.complain(&failure, Some(&undone.name));
        }
    };
    session.client.undo(dry_run, &mut each).await?;
    if tally.files() == 0 {
        return Err(Failure::new(
            ErrorCode::NotFound,
            "there is no command of yours to take back",
        )
        .advise("see 'trash' for what is kept"));
    }
    let seconds = started.elapsed().as_millis() as f64 / 1000.0;
    output.object(Body::Summary(SummaryLine {
        action: "undo",
        files: tally.files(),
        unchanged: 0,
        failed: tally.failures(),
        bytes: 0,
        sent: 0,
        seconds,
    }));
    Ok(Verdict::Batch(tally))
}

fn tell(
    output: &Output,
    name: &str,
    shown: &impl std::fmt::Display,
    how: TakenBack,
    dry_run: bool,
) {
    let (status, words) = match (how, dry_run) {
        (TakenBack::Removed, false) => ("removed", "removed"),
        (TakenBack::Restored, false) => ("restored", "restored"),
        (TakenBack::Renamed, false) => ("renamed", "renamed back to"),
        (TakenBack::Removed, true) => ("would_remove", "would remove"),
        (TakenBack::Restored, true) => ("would_restore", "would restore"),
        (TakenBack::Renamed, true) => ("would_rename", "would rename back to"),
    };
    output.object(Body::File(FileLine {
        action: "undo",
        name,
        status,
        ..FileLine::default()
    }));
    output.done(format_args!("{words} {shown}"));
}
