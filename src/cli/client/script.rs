//! Commands from a pipe, read and run one at a time (contract section 4).

use std::io::{self, BufRead, BufReader, Read, Stdin};

use tokio::runtime::Runtime;

use super::line;
use super::session::Session;
use crate::cli::exit::{self, Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::signals::{Received, Signals};

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
            Err(ended) => return Ok(exit::of_end(&ended)),
        };
        reader = back;
        let Some(text) = read? else { break };
        let (forgiven, text) = match text.trim_start().strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
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
            _ => return Ok(ran.code),
        }
    }
    Ok(exit::DONE)
}

/// Reads a line on a thread of its own, so that a signal ends the wait.
async fn next_line(
    signals: &mut Signals,
    mut reader: Reader,
) -> Result<(Result<Option<String>, Failure>, Reader), Ended> {
    let reading = tokio::task::spawn_blocking(move || (read_line(&mut reader), reader));
    tokio::select! {
        biased;
        received = signals.next() => Err(match received {
            Received::Interrupt => Ended::Interrupted,
            Received::Terminate => Ended::Terminated,
        }),
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
    fn refuses_what_is_no_script() {
        let endless = vec![b'x'; 2 * MAX_LINE as usize];
        assert!(read_line(&mut endless.as_slice()).is_err());
        assert!(read_line(&mut b"\xff\xfe\n".as_slice()).is_err());
    }
}
