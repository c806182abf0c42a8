use std::path::Path;
use std::time::Instant;

use super::{Outcome, list};
use crate::cli::client::command::VerifyArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, FileLine, Id, SummaryLine};
use crate::cli::output::Output;
use crate::cli::progress::Bars;
use crate::cli::units;
use crate::client::Verification;
use crate::protocol::ErrorCode;

/// `verify [PATTERN…]`: the current local folder against the current remote one.
pub async fn run(session: &mut Session, args: &VerifyArgs) -> Outcome {
    let query = list::query(&session.folder, &args.patterns)?;
    let started = Instant::now();
    let output = session.output.clone();
    let bars = Bars::show(&output);
    let mut tally = Tally::default();
    let mut bytes = 0;
    session
        .client
        .verify(
            &query,
            Path::new("."),
            &args.walk.options()?,
            bars.progress(),
            &mut |verification| {
                bytes += verification.entry.as_ref().map_or(0, |entry| entry.size);
                tell(&output, &mut tally, verification);
            },
        )
        .await?;
    if tally.files() == 0 {
        if !args.patterns.is_empty() {
            return Err(Failure::new(
                ErrorCode::NotFound,
                "nothing matches, neither here nor on the server",
            ));
        }
        output.note("Nothing to compare: no files here, and none on the server.");
    }
    let seconds = started.elapsed().as_millis() as f64 / 1000.0;
    output.object(Body::Summary(SummaryLine {
        action: "verify",
        files: tally.files(),
        unchanged: tally.files() - tally.failures(),
        failed: tally.failures(),
        bytes,
        sent: 0,
        seconds,
    }));
    if tally.files() > 1 {
        output.done(format_args!(
            "{} compared, {} not the same, in {seconds:.1} s",
            units::count(tally.files(), "file"),
            tally.failures(),
        ));
    }
    Ok(Verdict::Compared(tally))
}

fn tell(output: &Output, tally: &mut Tally, verification: Verification) {
    let Verification {
        name,
        path,
        entry,
        outcome,
    } = verification;
    let failure = outcome.err().map(Failure::from);
    let path = path.to_string_lossy();
    let same = failure.is_none();
    output.object(Body::File(FileLine {
        action: "verify",
        name: name.as_str(),
        path: Some(path.strip_prefix("./").unwrap_or(&path)).filter(|_| same),
        id: same.then(|| Id::of(entry.as_ref())),
        size: entry.map(|entry| entry.size).filter(|_| same),
        status: if same { "unchanged" } else { "failed" },
        error: failure
            .as_ref()
            .map(|failure| ErrorBody::new(failure.code, &failure.message)),
        ..FileLine::default()
    }));
    match failure {
        None => {
            tally.done();
            output.done(format_args!("{name}: the same"));
        }
        Some(failure) => {
            tally.failed(failure.code);
            let failure = match failure.code {
                ErrorCode::DigestMismatch => {
                    failure.advise("get or put it again, whichever side is the right one")
                }
                ErrorCode::NotFound => failure.advise("get or put it to have it on both sides"),
                _ => failure,
            };
            output.complain(&failure, Some(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;
    use crate::client::ClientError;
    use crate::types::FileName;

    fn verification(name: &str, outcome: Result<(), ErrorCode>) -> Verification {
        Verification {
            name: FileName::parse(name).unwrap(),
            path: format!("./{name}").into(),
            entry: None,
            outcome: outcome.map_err(|code| ClientError::new(code, "the content differs")),
        }
    }

    #[test]
    fn tells_what_is_the_same_and_what_is_not() {
        let captured = Captured::default();
        let output = captured.output(Look::default());
        let mut tally = Tally::default();
        tell(&output, &mut tally, verification("a", Ok(())));
        tell(
            &output,
            &mut tally,
            verification("b", Err(ErrorCode::DigestMismatch)),
        );
        output.flush();
        assert_eq!(captured.results(), "a: the same\n");
        assert!(
            captured
                .messages()
                .starts_with("error: the content differs (b) — get")
        );
        assert_eq!(exit::of_verdict(&Verdict::Compared(tally)), 7);
    }

    #[test]
    fn json_has_an_object_for_each() {
        let captured = Captured::default();
        let output = captured.output(Look {
            json: true,
            ..Look::default()
        });
        tell(&output, &mut Tally::default(), verification("a", Ok(())));
        output.flush();
        assert_eq!(
            captured.results(),
            "{\"v\":1,\"type\":\"file\",\"action\":\"verify\",\"name\":\"a\",\"path\":\"a\",\"id\":null,\"status\":\"unchanged\"}\n"
        );
    }
}
