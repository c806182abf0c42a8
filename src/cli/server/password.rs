//! Where the password of a user comes from: never from an argument (contract section 7).

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use tokio::runtime;
use zeroize::Zeroizing;

use crate::access::Password;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::password::{VARIABLE, in_environment, read_line};
use crate::cli::signals::Signals;
use crate::cli::terminal::{self, Echo};
use crate::types::{Printable, UserName};

const WAYS: &str = "give it by --password-file, in FILESHARE_PASSWORD or on standard input";

/// From where to take the password: a file, else `FILESHARE_PASSWORD`, else whoever sits at the
/// terminal, else standard input.
#[derive(Debug, Args)]
pub struct PasswordFrom {
    /// A file whose first line is the password [default: FILESHARE_PASSWORD, or asked for, or the first line of standard input]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordFrom {
    /// The password that `user` is to get. Blocks.
    pub fn get(&self, output: &Output, user: &UserName) -> Result<Password, Failure> {
        let text = match &self.password_file {
            Some(path) => {
                let shown = path.display().to_string();
                let source = format!("--password-file {}", Printable(&shown));
                File::open(path)
                    .and_then(read_line)
                    .map_err(|error| none(&source, &error))?
            }
            None => match in_environment().map_err(|error| none(VARIABLE, &error))? {
                Some(text) => text,
                None if io::stdin().is_terminal() => ask(output, user)?,
                None => {
                    read_line(io::stdin().lock()).map_err(|error| none("standard input", &error))?
                }
            },
        };
        Password::new(text.to_string())
            .map_err(|error| Failure::usage(error.to_string()).advise(WAYS))
    }
}

/// Asks twice: nobody sees what they type.
fn ask(output: &Output, user: &UserName) -> Result<Zeroizing<String>, Failure> {
    let wrong = |error: io::Error| none("the terminal", &error);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(wrong)?;
    let ask = |question: &str| {
        let answer = runtime.block_on(async {
            let mut signals = Signals::listen()?;
            tokio::select! {
                answer = terminal::ask(output, question, Echo::Off) => answer,
                // The question was dropped, so the terminal shows again what is typed.
                received = signals.next() => {
                    std::process::exit(exit::of_end(&received.into()).into())
                }
            }
        });
        answer
            .map_err(wrong)?
            .ok_or_else(|| Failure::usage(format!("the password of {user} is needed")).advise(WAYS))
    };
    let once = ask(&format!("Password for {user}: "))?;
    match ask("The same again: ")? == once {
        true => Ok(once),
        false => Err(Failure::usage("the two passwords differ").advise("try again")),
    }
}

fn none(source: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("no password from {source}: {error}")).advise(WAYS)
}
