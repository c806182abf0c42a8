//! Commands from a pipe, read and run one at a time (contract section 4).

use std::io::{self, BufRead, BufReader, Read, Stdin};

use tokio::runtime::Runtime;

use super::line;
use super::session::{Session, farewell};
use crate::cli::exit::{self, Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::signals::Signals;

/// The longest line: room for many of the longest names, and an end to what is no script at all.
const MAX_LINE: u64 = 1024 * 1024;

type Reader = BufReader<Stdin>;

/// Runs the script in standard input; returns the exit code of the line that stopped it.
pub fn run(runtime: &Runtime, mut session: Session) -> Result<u8, Failure> {
    let mut signals = runtime
        .block_on(async { Signals::listen() })
        .map_err(|error| Failure::io("cannot catch signals", &error))?;
    let mut reader = BufReader::new(io::stdin());
    for number in 1u64.. {
        let (read, back) = match runtime.block_on(next_line(&mut signals, reader)) {
            Ok(read) => read,
            Err(ended) => return Ok(farewell(&session.output, &ended)),
        };
        reader = back;
        let Some(text) = read? else { break };
        let (forgiven, text) = forgiven(&text);
        let ran = line::run(runtime, &mut signals, &mut session, text);
        match ran.ended {
            Ended::Finished(Ok(Verdict::Leave)) => break,
            Ended::Finished(_) if ran.code == exit::DONE || forgiven => {}
            Ended::Finished(_) => {
                session
                    .output
                    .note(format_args!("line {number} failed, the script stops there"));
                return Ok(ran.code);
            }
            ended => return Ok(farewell(&session.output, &ended)),
        }
    }
    Ok(exit::DONE)
}

/// Whether the failure of a line is ignored, and the line without the mark that says so: one `-`.
/// Two of them begin an option.
fn forgiven(text: &str) -> (bool, &str) {
    match text.trim_start().strip_prefix('-') {
        Some(rest) if !rest.starts_with('-') => (true, rest),
        _ => (false, text),
    }
}

/// Reads a line on a thread of its own, so that a signal ends the wait.
async fn next_line(
    signals: &mut Signals,
    mut reader: Reader,
) -> Result<(Result<Option<String>, Failure>, Reader), Ended> {
    let reading = tokio::task::spawn_blocking(move || (read_line(&mut reader), reader));
    tokio::select! {
        biased;
        received = signals.next() => Err(received.into()),
        read = reading => read.map_err(|_| Ended::Interrupted),
    }
}

fn read_line(reader: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_LINE + 1)
        .read_until(b'\n', &mut bytes)
        .map_err(|error| Failure::io("cannot read standard input", &error))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_LINE {
        return Err(Failure::usage("a line of the script is longer than 1 MiB"));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Failure::usage("a line of the script is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_one_at_a_time() {
        let mut script: &[u8] = b"list\r\n\nget a";
        assert_eq!(read_line(&mut script).unwrap().as_deref(), Some("list\r\n"));
        assert_eq!(read_line(&mut script).unwrap().as_deref(), Some("\n"));
        assert_eq!(read_line(&mut script).unwrap().as_deref(), Some("get a"));
        assert_eq!(read_line(&mut script).unwrap(), None);
    }

    #[test]
    fn one_dash_forgives_and_two_begin_an_option() {
        assert_eq!(forgiven(" -ls x"), (true, "ls x"));
        assert_eq!(forgiven("- ls"), (true, " ls"));
        assert_eq!(forgiven("--json ls"), (false, "--json ls"));
        assert_eq!(forgiven("- --json ls"), (true, " --json ls"));
        assert_eq!(forgiven("ls"), (false, "ls"));
    }

    #[test]
    fn refuses_what_is_no_script() {
        let endless = vec![b'x'; 2 * MAX_LINE as usize];
        assert!(read_line(&mut endless.as_slice()).is_err());
        assert!(read_line(&mut b"\xff\xfe\n".as_slice()).is_err());
    }
}
