//! The client's terminal: one command, a script, or the prompt.

mod args;
mod batch;
mod command;
mod commands;
mod draft;
mod first_contact;
mod folder;
mod grammar;
mod line;
mod local_glob;
mod password;
mod prompt;
mod remote_names;
mod retry_list;
mod script;
mod session;
mod standing;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use tokio::runtime::Runtime;

use self::args::{Color, Diagnosis, Display};
use self::command::{Command, Invocation};
use self::first_contact::Person;
use self::folder::RemoteFolder;
use self::session::{Input, Session, farewell, supervise};
use self::standing::Standing;
use crate::cli::exit::{self, Ended};
use crate::cli::failure::Failure;
use crate::cli::logging::{self, Format, Level};
use crate::cli::output::{Look, Output, may_color};
use crate::cli::signals::Signals;
use crate::cli::usage::explain;
use crate::client::Client;
use crate::types::Printable;

/// How long to wait at the end for what runs on threads of its own: a thread that reads standard
/// input may never end.
const LINGER: Duration = Duration::from_secs(1);

/// Runs the client with these arguments, its own name first, and returns its exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.collect();
    let json = args::wants_json(arguments.iter().map(OsString::as_os_str));
    let (invocation, matches) = match command::parse_invocation(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let look = Look {
                json,
                ..Look::default()
            };
            return explain(&Output::standard(look), &error);
        }
    };
    let output = Output::standard(look(&invocation.display, &invocation.diagnosis));
    let ended = start(&output, invocation, &matches);
    output.flush();
    // What was to be printed and was not is a failure even of a command that did its work.
    let ended = match (ended, output.broken()) {
        (Ok(exit::DONE), Some(Err(failure))) => Err(failure),
        (ended, _) => ended,
    };
    match ended {
        Ok(code) => {
            tracing::debug!(code, "ends");
            code
        }
        Err(failure) => {
            tracing::debug!(code = exit::of_error(failure.code), "ends");
            output.failure(&failure);
            output.flush();
            exit::of_error(failure.code)
        }
    }
}

fn start(output: &Output, invocation: Invocation, matches: &ArgMatches) -> Result<u8, Failure> {
    let diagnosis = &invocation.diagnosis;
    let level = Level::chosen(
        Level::Warn,
        diagnosis.verbose,
        invocation.display.quiet,
        diagnosis.debug,
    );
    logging::start(output, level, Format::Text)?;
    if let Some(command) = &invocation.command
        && let Some(answer) = commands::without_server(output, command, Input::CommandLine)
    {
        return answer.map(|verdict| exit::of_verdict(&verdict));
    }
    let connection = &invocation.connection;
    let address = connection.address(matches)?;
    let password = connection.password(matches, address.user.as_ref())?;
    let options = connection.options(Arc::new(Person(output.clone())));
    let runtime = Runtime::new().map_err(|error| Failure::io("cannot start", &error))?;
    let session = Session {
        client: Client::new(address, options),
        password,
        folder: RemoteFolder::default(),
        standing: Standing::default(),
        output: output.clone(),
        input: match invocation.command {
            Some(_) => Input::CommandLine,
            None if io::stdin().is_terminal() => Input::Prompt,
            None => Input::Script,
        },
    };
    tracing::debug!(server = %session.client.address(), input = ?session.input, "started");
    let code = match (invocation.command, session.input) {
        (Some(command), _) => one_shot(&runtime, session, command),
        (None, Input::Prompt) => prompt::run(&runtime, session, diagnosis.color),
        (None, _) => script::run(&runtime, session),
    };
    runtime.shutdown_timeout(LINGER);
    code
}

fn one_shot(runtime: &Runtime, mut session: Session, command: Command) -> Result<u8, Failure> {
    let output = session.output.clone();
    let ended = runtime.block_on(async {
        let mut signals =
            Signals::listen().map_err(|error| Failure::io("cannot catch signals", &error))?;
        let work = commands::run(&mut session, command);
        Ok::<_, Failure>(supervise(&mut signals, &output, work).await)
    })?;
    match ended {
        Ended::Finished(Err(failure)) => Err(failure),
        ended => Ok(farewell(&output, &ended)),
    }
}

fn look(display: &Display, diagnosis: &Diagnosis) -> Look {
    let quiet_terminal = !display.no_progress && !display.quiet && !display.json;
    Look {
        json: display.json,
        quiet: display.quiet,
        terminal: io::stdout().is_terminal(),
        color: allows_color(diagnosis.color, &io::stderr()),
        bars: quiet_terminal && io::stderr().is_terminal(),
    }
}

fn allows_color(choice: Color, stream: &impl IsTerminal) -> bool {
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => may_color(stream),
    }
}

/// The bytes of a path for people.
fn shown(path: &(impl AsRef<OsStr> + ?Sized)) -> String {
    let text = path.as_ref().to_string_lossy();
    let text = text
        .strip_prefix("./")
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&text);
    Printable(text).to_string()
}
