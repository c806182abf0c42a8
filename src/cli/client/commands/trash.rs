use super::Outcome;
use super::list::{Wanted, query};
use crate::cli::client::command::TrashArgs;
use crate::cli::client::session::Session;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, KeptLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::protocol::ErrorCode;
use crate::types::{Kept, Printable};

/// `trash [PATTERN…]`
pub async fn run(session: &mut Session, args: &TrashArgs) -> Outcome {
    let query = query(&session.folder, &args.patterns)?;
    let mut wanted = Wanted::new(&session.folder, &args.patterns);
    let output = &session.output;
    let mut tally = Tally::default();
    let mut each = |kept: Kept| {
        wanted.saw(&kept.name);
        tally.done();
        tell(output, &kept);
    };
    session.client.trash(&query, &mut each).await?;
    if args.patterns.is_empty() {
        if tally.files() == 0 {
            output.note("The trash is empty.");
        }
        return Ok(Verdict::Done);
    }
    for pattern in wanted.unseen() {
        let message = format!("nothing in the trash matches '{}'", Printable(pattern));
        let failure = Failure::new(ErrorCode::NotFound, message).advise("see 'trash'");
        tally.failed(failure.code);
        output.failure(&failure);
    }
    Ok(Verdict::Batch(tally))
}

fn tell(output: &Output, kept: &Kept) {
    output.object(Body::Kept(KeptLine {
        name: kept.name.as_str(),
        version: kept.version,
        size: kept.size,
        modified: units::utc(kept.modified),
        kept: units::utc(kept.kept),
    }));
    match output.look().terminal {
        true => output.line(for_people(kept)),
        false => output.line(for_programs(kept)),
    }
}

/// Columns of fixed width: when it went, size, version, name.
fn for_people(kept: &Kept) -> String {
    format!(
        "{:19}  {:>11}  {:>4}  {}",
        units::local(kept.kept),
        units::size(kept.size),
        kept.version,
        kept.name,
    )
}

/// A name stands here as it is, so that it can be given back to `restore`.
fn for_programs(kept: &Kept) -> String {
    format!(
        "{}\t{}\t{}\t{}\t{}",
        kept.version,
        kept.size,
        units::utc(kept.modified),
        units::utc(kept.kept),
        kept.name.as_str(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::Line;
    use crate::types::{FileName, Timestamp};

    fn kept() -> Kept {
        let time = Timestamp::new(1_795_194_000, 7).unwrap();
        Kept {
            name: FileName::parse("docs/a b").unwrap(),
            version: 2,
            size: 1536,
            modified: time,
            kept: time,
        }
    }

    #[test]
    fn people_programs_and_json_get_the_same() {
        assert!(for_people(&kept()).ends_with("     1.50 KiB     2  docs/a b"));
        let tabs = "2\t1536\t2026-11-20T17:00:00Z\t2026-11-20T17:00:00Z\tdocs/a b";
        assert_eq!(for_programs(&kept()), tabs);
        let kept = kept();
        let line = Body::Kept(KeptLine {
            name: kept.name.as_str(),
            version: kept.version,
            size: kept.size,
            modified: units::utc(kept.modified),
            kept: units::utc(kept.kept),
        });
        assert_eq!(
            serde_json::to_string(&Line::from(line)).unwrap(),
            r#"{"v":1,"type":"kept","name":"docs/a b","version":2,"size":1536,"modified":"2026-11-20T17:00:00Z","kept":"2026-11-20T17:00:00Z"}"#
        );
    }
}
