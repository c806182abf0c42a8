//! One file per command. A command gets the session and its arguments, hands results to the
//! session's output, and returns what it came to; it neither prints nor decides an exit code.

mod cat;
mod dereg;
mod edit;
mod get;
mod help;
mod info;
mod kick;
mod list;
mod local;
mod mkdir;
mod offer;
mod offers;
mod peers;
mod ping;
mod put;
mod register;
mod remote_folder;
mod remove;
mod rename;
mod request;
mod restore;
mod sessions;
mod setdir;
pub mod shell;
mod stat;
mod sync;
mod trash;
mod undo;
mod verify;

use std::ffi::OsStr;

use super::command::Command;
use super::session::{Input, Session};
use super::shown;
use crate::access::Role;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, FileLine};
use crate::cli::output::Output;
use crate::types::Printable;

/// What every command returns.
type Outcome = Result<Verdict, Failure>;

/// Runs a command. Dropping the future cancels it.
pub async fn run(session: &mut Session, command: Command) -> Outcome {
    if let Some(answer) = without_server(&session.output, &command, session.input) {
        return answer;
    }
    tracing::debug!(?command, "started");
    let was_connected = session.client.is_connected();
    if needs_server(&command) {
        session.log_in().await?;
    }
    let outcome = run_in(session, command).await;
    if !was_connected && session.client.is_connected() {
        let role = session.client.role().map_or("unknown", Role::name);
        tracing::info!(server = %session.client.address(), role, "connected");
    }
    outcome
}

/// Whether a command speaks to the server; `cd` looks whether the folder is there.
fn needs_server(command: &Command) -> bool {
    match command {
        Command::Pwd | Command::Lcd { .. } | Command::Lpwd | Command::Lls { .. } => false,
        Command::Setdir { .. } => false,
        Command::Cd { dir } => dir.is_some(),
        _ => true,
    }
}

async fn run_in(session: &mut Session, command: Command) -> Outcome {
    // Whatever it changes is taken back together.
    session.client.begin_command();
    match command {
        Command::List(args) => list::run(session, &args).await,
        Command::Get(args) => get::run(session, args).await,
        Command::Put(args) => put::run(session, args).await,
        Command::Rename(args) => rename::run(session, &args).await,
        Command::Remove(args) => remove::run(session, &args).await,
        Command::Mkdir(args) => mkdir::run(session, &args).await,
        Command::Trash(args) => trash::run(session, &args).await,
        Command::Restore(args) => restore::run(session, &args).await,
        Command::Undo(args) => undo::run(session, &args).await,
        Command::Stat(args) => stat::run(session, &args).await,
        Command::Cat(args) => cat::run(session, &args).await,
        Command::Verify(args) => verify::run(session, &args).await,
        Command::Sync(args) => sync::run(session, args).await,
        Command::Edit(args) => edit::run(session, &args).await,
        Command::Info => info::run(session).await,
        Command::Ping => ping::run(session).await,
        Command::Sessions => sessions::run(session).await,
        Command::Kick { id } => kick::run(session, id).await,
        Command::Register(args) => register::run(session, &args).await,
        Command::Setdir { dir } => setdir::run(session, &dir),
        Command::Offer(args) => offer::run(session, &args).await,
        Command::Offers => offers::run(session).await,
        Command::Peers => peers::run(session).await,
        Command::Request(args) => request::run(session, args).await,
        Command::Dereg { name } => dereg::run(session, name.as_deref()).await,
        Command::Cd { dir } => remote_folder::change(session, dir.as_deref()).await,
        Command::Pwd => remote_folder::print(session),
        Command::Lcd { dir } => local::change(dir.as_deref()),
        Command::Lpwd => local::print(&session.output),
        Command::Lls { dir } => local::list(&session.output, dir.as_deref()),
        // Those that `without_server` has answered.
        Command::Help { .. } | Command::Exit | Command::Unknown(_) => Ok(Verdict::Done),
    }
}

/// The outcome of a command that needs no session at all, if it is one.
pub fn without_server(output: &Output, command: &Command, input: Input) -> Option<Outcome> {
    match command {
        Command::Help { command } => Some(help::run(output, command.as_deref(), input)),
        Command::Exit => Some(Ok(Verdict::Leave)),
        Command::Unknown(words) => Some(Err(invalid_operation(words.first()))),
        _ => None,
    }
}

/// Tells of something on the server that could not be changed; `name` is as it was typed.
fn refused(output: &Output, action: &'static str, name: &str, failure: &Failure) -> Verdict {
    tracing::debug!(action, name, code = %failure.code, "failed");
    output.object(Body::File(FileLine {
        action,
        name,
        status: "failed",
        error: Some(ErrorBody::new(failure.code, &failure.message)),
        ..FileLine::default()
    }));
    output.complain(failure, Some(&Printable(name)));
    let mut tally = Tally::default();
    tally.failed(failure.code);
    Verdict::Batch(tally)
}

/// The word for a role on the wire. One of a later version is told as what it is: one that we do not
/// know.
fn role_name(level: u8) -> &'static str {
    Role::from_level(level).map_or("unknown", Role::name)
}

/// The answer to a word that is no command.
fn invalid_operation(word: Option<impl AsRef<OsStr>>) -> Failure {
    let word = word
        .map(|word| format!(" '{}'", shown(&word)))
        .unwrap_or_default();
    Failure::usage(format!("Invalid operation{word}")).advise("see 'help' for the commands")
}
