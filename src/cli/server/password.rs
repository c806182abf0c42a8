//! Where the password of a user comes from: never from an argument, which everybody on the machine
//! could read.

use std::env::VarError;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use crate::access::Password;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::protocol::ErrorCode;
use crate::types::{Printable, UserName};

/// The variable that a password can be in.
const VARIABLE: &str = "FILESHARE_PASSWORD";

/// How long the line with the password can be, in bytes.
const MAX_LINE: usize = 16 * 1024;

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
        let text = match (&self.password_file, from_environment()?) {
            (Some(path), _) => {
                let path_shown = path.display().to_string();
                let source = format!("--password-file {}", Printable(&path_shown));
                let file = File::open(path).map_err(|error| unreadable(&source, &error))?;
                first_line(file, &source)?
            }
            (None, Some(text)) => text,
            (None, None) if io::stdin().is_terminal() => {
                output.flush();
                ask(user).map_err(|error| unreadable("the terminal", &error))??
            }
            (None, None) => first_line(io::stdin().lock(), "standard input")?,
        };
        Password::new(text.to_string()).map_err(|error| {
            Failure::usage(error.to_string())
                .advise("give it by --password-file, in FILESHARE_PASSWORD or on standard input")
        })
    }
}

/// An empty variable is the shell's way of having none.
fn from_environment() -> Result<Option<Zeroizing<String>>, Failure> {
    match std::env::var(VARIABLE) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format!("{VARIABLE} is not UTF-8"))),
    }
}

/// Asks twice: nobody sees what they type.
fn ask(user: &UserName) -> io::Result<Result<Zeroizing<String>, Failure>> {
    let once = rpassword::prompt_password(format!("Password for {user}: "))?;
    let once = Zeroizing::new(once);
    let twice = Zeroizing::new(rpassword::prompt_password("The same again: ")?);
    Ok(match once == twice {
        true => Ok(once),
        false => Err(Failure::usage("the two passwords differ").advise("try again")),
    })
}

fn first_line(source: impl Read, name: &str) -> Result<Zeroizing<String>, Failure> {
    // With room for all of it from the beginning: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut source = source.take(MAX_LINE as u64);
    let mut byte = [0];
    loop {
        match source.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => text.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(name, &error)),
        }
    }
    let line = text.strip_suffix(b"\r").unwrap_or(&text);
    let line = std::str::from_utf8(line)
        .map_err(|_| Failure::usage(format!("the password from {name} is not UTF-8")))?;
    Ok(Zeroizing::new(line.to_owned()))
}

fn unreadable(source: &str, error: &io::Error) -> Failure {
    Failure::new(
        ErrorCode::Usage,
        format!("no password from {source}: {error}"),
    )
    .advise("give it by --password-file, in FILESHARE_PASSWORD or on standard input")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (text, line) in [
            (&b"canary"[..], Some("canary")),
            (b"canary\n", Some("canary")),
            (b"canary\r\nmore\n", Some("canary")),
            (b" a b \n", Some(" a b ")),
            (b"", Some("")),
            (b"\xff\n", None),
        ] {
            let read = first_line(text, "a test").ok();
            assert_eq!(read.as_ref().map(|line| line.as_str()), line);
        }
        let endless = first_line(io::repeat(b'x'), "a test").unwrap();
        assert!(Password::new(endless.to_string()).is_err());
    }
}
