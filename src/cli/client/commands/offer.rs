use super::{Outcome, refused, setdir};
use crate::cli::advice::Doing;
use crate::cli::client::command::OfferArgs;
use crate::cli::client::session::{Input, Session};
use crate::cli::client::standing::offered_name;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FileLine};
use crate::cli::output::Output;
use crate::cli::progress::Bars;
use crate::cli::units;
use crate::peer::{self, Directory, Hashed, Peer};
use crate::types::{FileName, Printable};

/// `offer [FILE…]`
pub async fn run(session: &mut Session, args: &OfferArgs) -> Outcome {
    let one_shot = session.input == Input::CommandLine;
    if one_shot && (args.name.is_none() || args.withdraw) {
        let message = "on the command line offer needs --name, and lasts until it is ended";
        return Err(Failure::usage(message).advise("say offer --name NAME --dir DIR FILE…"));
    }
    if let Some(dir) = &args.dir {
        setdir::set(session, dir)?;
    }
    if args.withdraw {
        return withdraw(session, &args.files).await;
    }
    let directory = session.standing.directory.clone();
    let Some(directory) = directory else {
        let message = "Directory not set. Set directory using setdir command.";
        session.output.message(&format!("{message}\n"));
        return Err(
            Failure::usage("no folder to offer files of").advise(match one_shot {
                true => "name one with --dir",
                false => "say setdir DIR first",
            }),
        );
    };
    let peer = match &args.name {
        Some(name) => {
            let port = args.listen.listen_port.as_deref();
            session.register(name, port).await?
        }
        None => session.registered()?,
    };
    let verdict = offer(&session.output, &peer, &directory, &args.files).await?;
    let offered = !matches!(&verdict, Verdict::Batch(tally) if tally.files() == tally.failures());
    if one_shot && offered {
        session.output.flush();
        return Err(peer.ended().await.into());
    }
    Ok(verdict)
}

/// Hashes files and offers those that can be.
async fn offer(
    output: &Output,
    peer: &Peer,
    directory: &Directory,
    typed: &[String],
) -> Result<Verdict, Failure> {
    let names: Vec<Result<FileName, (&str, Failure)>> = match typed {
        [] => {
            let (files, left_out) = directory.files()?;
            for leaf in left_out {
                output.note(format_args!(
                    "{} is left out: no plain file, or no name",
                    Printable(&leaf)
                ));
            }
            files.into_iter().map(Ok).collect()
        }
        typed => typed
            .iter()
            .map(|text| offered_name(text).map_err(|failure| (text.as_str(), failure)))
            .collect(),
    };
    let bars = Bars::show(output);
    let progress = bars.progress();
    progress.batch(names.len() as u64, 0);
    let mut tally = Tally::default();
    let mut files: Vec<Hashed> = Vec::new();
    for (index, name) in (0..).zip(names) {
        let hashed = match name {
            Ok(name) => peer::hash(directory, &name, index, &*progress)
                .await
                .map_err(|failure| (name.as_str().to_owned(), Failure::from(failure))),
            Err((text, failure)) => Err((text.to_owned(), failure)),
        };
        match hashed {
            Ok(file) => files.push(file),
            Err((name, failure)) => {
                tally.failed(failure.code);
                let failure = failure.while_doing(Doing::Offering);
                refused(output, "offer", &name, &failure);
            }
        }
    }
    drop(bars);
    if files.is_empty() {
        if tally.files() == 0 {
            output.note("There is no file in that folder to offer.");
        }
        return Ok(Verdict::Batch(tally));
    }
    peer.offer(files.clone()).await?;
    for file in &files {
        tally.done();
        output.object(Body::Offer(super::offers::own(peer, file)));
    }
    output.done("[Offer Message received by Server.]");
    if files.len() > 1 {
        let bytes = files.iter().map(Hashed::size).sum();
        let (count, size) = (units::count(files.len() as u64, "file"), units::size(bytes));
        output.note(format_args!("{count} offered, {size}"));
    }
    Ok(Verdict::Batch(tally))
}

/// `offer --withdraw [FILE…]`
async fn withdraw(session: &mut Session, typed: &[String]) -> Outcome {
    let peer = session.registered()?;
    let names = typed.iter().map(|text| offered_name(text));
    let names: Vec<FileName> = names.collect::<Result<_, _>>()?;
    let withdrawn = peer.withdraw(&names).await?;
    let output = &session.output;
    for name in &names {
        output.object(Body::File(FileLine {
            action: "withdraw",
            name: name.as_str(),
            status: "done",
            ..FileLine::default()
        }));
    }
    let count = units::count(withdrawn as u64, "offer");
    output.done(format_args!("[{count} withdrawn.]"));
    Ok(Verdict::Done)
}
