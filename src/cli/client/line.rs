//! One line of the prompt or of a script: what it says, and running it.

use tokio::runtime::Runtime;

use super::command::{self, Line};
use super::commands::{self, shell};
use super::session::{Input, Session, supervise};
use crate::cli::exit::{self, Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::output::Look;
use crate::cli::signals::Signals;
use crate::cli::usage::explain;

/// What a line says.
#[derive(Debug)]
enum Meaning {
    /// Nothing: it is blank or a comment.
    Nothing,
    /// Run this local shell command.
    Shell(String),
    /// Run this command.
    Command(Line),
    /// It makes no sense.
    Wrong(Failure),
    /// clap has something to say to it: help, or what is wrong.
    Explained(clap::Error),
}

/// Runs a line, reports whatever fails in it, and says how it ended: the exit code is what a
/// script exits with when the line fails.
pub fn run(runtime: &Runtime, signals: &mut Signals, session: &mut Session, text: &str) -> Ran {
    let output = session.output.clone();
    let ended = match read(text) {
        Meaning::Nothing => Ended::Finished(Ok(Verdict::Done)),
        Meaning::Wrong(failure) => Ended::Finished(Err(failure)),
        Meaning::Explained(error) => {
            return Ran {
                code: explain(&output, &error),
                ended: Ended::Finished(Ok(Verdict::Done)),
            };
        }
        Meaning::Shell(command) => {
            output.flush();
            shell::run(&command, session.input)
        }
        Meaning::Command(line) => {
            let look = session.output.look();
            let display = line.display;
            session.output = output.with_look(Look {
                json: look.json || display.json,
                quiet: look.quiet || display.quiet,
                bars: look.bars && !display.no_progress,
                ..look
            });
            let for_line = session.output.clone();
            let work = commands::run(session, line.command);
            let ended = runtime.block_on(supervise(signals, &for_line, work));
            session.output = output;
            if let Ended::Finished(Err(failure)) = &ended {
                for_line.failure(failure);
            }
            return Ran::ended(ended);
        }
    };
    if let Ended::Finished(Err(failure)) = &ended {
        output.failure(failure);
    }
    Ran::ended(ended)
}

/// How a line ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code that stands for it.
    pub code: u8,
    /// How it ended.
    pub ended: Ended,
}

impl Ran {
    fn ended(ended: Ended) -> Self {
        Ran {
            code: exit::of_end(&ended),
            ended,
        }
    }
}

/// Whether a line is a command to the local shell, or blank, or a comment.
fn read(text: &str) -> Meaning {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Meaning::Nothing;
    }
    if let Some(command) = text.strip_prefix('!') {
        return match command.trim() {
            "" => Meaning::Wrong(
                Failure::usage("'!' needs a shell command behind it").advise("write one, like !ls"),
            ),
            command => Meaning::Shell(command.to_owned()),
        };
    }
    let Some(words) = shlex::split(text) else {
        return Meaning::Wrong(
            Failure::usage("a quotation mark is not closed, or nothing follows a '\\'")
                .advise("close it, or write a backslash before it"),
        );
    };
    if words.is_empty() {
        return Meaning::Nothing;
    }
    match command::parse_line(words) {
        Ok(line) => Meaning::Command(line),
        Err(error) => Meaning::Explained(error),
    }
}

impl Input {
    /// What standard input is taken by, if it is.
    pub fn taken_by(self) -> Option<&'static str> {
        match self {
            Input::CommandLine => None,
            Input::Prompt => Some("the prompt"),
            Input::Script => Some("the script"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::command::Command;

    #[test]
    fn reads_lines() {
        for text in ["", "  ", "# a comment", "\t#x"] {
            assert!(matches!(read(text), Meaning::Nothing), "{text:?}");
        }
        for text in ["!ls -l | wc", " ! ls -l | wc "] {
            match read(text) {
                Meaning::Shell(command) => assert_eq!(command, "ls -l | wc"),
                other => panic!("{other:?}"),
            }
        }
        match read(r#"get 'a b' "c d" e\ f"#) {
            Meaning::Command(Line {
                command: Command::Get(args),
                ..
            }) => assert_eq!(args.names, ["a b", "c d", "e f"]),
            other => panic!("{other:?}"),
        }
        for text in ["get 'a", "!", "get a\\"] {
            assert!(matches!(read(text), Meaning::Wrong(_)), "{text}");
        }
        assert!(matches!(read("get"), Meaning::Explained(_)));
    }
}
