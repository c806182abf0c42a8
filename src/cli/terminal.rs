//! Asking a person something, when there is one, and lending them the terminal.

use std::fs::File;
use std::io::{self, IsTerminal};

use zeroize::Zeroizing;

use super::output::Output;

/// The longest answer, in bytes: as much as a terminal hands over as one line.
const MAX_ANSWER: usize = 4096;

/// Whether an answer can be seen while it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It can.
    On,
    /// It cannot: it is a password.
    Off,
}

/// Asks `question` at the terminal and returns the line that is typed there, whatever standard
/// input is; `None` when there is no terminal, or the answer is an end of file (Ctrl-D). Dropping
/// the future leaves the terminal as it was.
pub async fn ask(
    output: &Output,
    question: &str,
    echo: Echo,
) -> io::Result<Option<Zeroizing<String>>> {
    // Where messages go somewhere else nobody would see what is asked.
    if !io::stderr().is_terminal() {
        return Ok(None);
    }
    system::ask(output, question, echo).await
}

/// The terminal that this process is run from, if there is one.
pub fn open() -> Option<File> {
    if cfg!(unix) {
        return File::open("/dev/tty").ok();
    }
    None
}

/// How the terminal was when it was remembered: the line editor changes it while it reads, and so do
/// other editors; whoever ends one meanwhile, or outlives it, has to change it back.
#[cfg(unix)]
pub struct Mode(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Mode {
    /// The terminal that standard input is, as it is now.
    pub fn remember() -> Self {
        Mode(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    /// Changes it back.
    pub fn restore(&self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(mode) = &self.0 {
            // If that fails there is nothing left to do about it.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    }
}

/// There is nothing to remember here.
#[cfg(not(unix))]
pub struct Mode;

#[cfg(not(unix))]
impl Mode {
    /// Nothing.
    pub fn remember() -> Self {
        Mode
    }

    /// Nothing.
    pub fn restore(&self) {}
}

/// Changes the terminal back when it is dropped.
pub struct Restored(Mode);

impl Restored {
    /// To how it is now.
    pub fn later() -> Self {
        Restored(Mode::remember())
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        self.0.restore();
    }
}

#[cfg(unix)]
mod system {
    use super::{Echo, MAX_ANSWER, Output};
    use std::fs::{File, OpenOptions};
    use std::io::{self, ErrorKind, Read};
    use std::os::unix::fs::OpenOptionsExt;
    use std::time::Duration;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
    use zeroize::Zeroizing;

    /// How often to look for the answer. A terminal cannot be waited for on every system.
    const PAUSE: Duration = Duration::from_millis(20);

    pub async fn ask(
        output: &Output,
        question: &str,
        echo: Echo,
    ) -> io::Result<Option<Zeroizing<String>>> {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open("/dev/tty");
        // Without a terminal of its own a process has nobody to ask.
        let Ok(terminal) = opened else {
            return Ok(None);
        };
        let _hidden = match echo {
            Echo::On => None,
            Echo::Off => Some(Hidden::new(terminal.try_clone()?)?),
        };
        output.message(question);
        // With room for all of it from the beginning: a vector that grows leaves copies behind.
        let mut answer = Zeroizing::new(Vec::with_capacity(2 * MAX_ANSWER));
        let mut piece = Zeroizing::new([0; MAX_ANSWER]);
        while !answer.ends_with(b"\n") {
            match (&terminal).read(&mut *piece) {
                Ok(0) if answer.is_empty() => return Ok(None),
                Ok(0) => break,
                Ok(bytes) => answer.extend_from_slice(piece.get(..bytes).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if answer.len() > MAX_ANSWER {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "the line is too long",
                ));
            }
        }
        let line = str::from_utf8(&answer)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the line is not UTF-8"))?;
        let line = line.trim_end_matches(['\r', '\n']);
        Ok(Some(Zeroizing::new(line.to_owned())))
    }

    /// A terminal that does not show what is typed, until this is dropped.
    struct Hidden {
        terminal: File,
        before: Termios,
    }

    impl Hidden {
        fn new(terminal: File) -> io::Result<Self> {
            let before = tcgetattr(&terminal)?;
            let mut modes = before.clone();
            modes.local_modes.remove(LocalModes::ECHO);
            modes.local_modes.insert(LocalModes::ECHONL);
            tcsetattr(&terminal, OptionalActions::Now, &modes)?;
            Ok(Hidden { terminal, before })
        }
    }

    impl Drop for Hidden {
        fn drop(&mut self) {
            // If that fails there is nothing left to do about it.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Echo, MAX_ANSWER, Output};
    use std::io::{self, BufRead, IsTerminal, Read};

    use zeroize::Zeroizing;

    pub async fn ask(
        output: &Output,
        question: &str,
        echo: Echo,
    ) -> io::Result<Option<Zeroizing<String>>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        output.message(question);
        let asking = tokio::task::spawn_blocking(move || match echo {
            Echo::Off => rpassword::read_password().map(Zeroizing::new),
            Echo::On => {
                let mut line = Zeroizing::new(String::with_capacity(MAX_ANSWER));
                let mut input = io::stdin().lock().take(MAX_ANSWER as u64);
                input.read_line(&mut line)?;
                Ok(line)
            }
        });
        let line = asking.await.map_err(io::Error::other)??;
        Ok(Some(Zeroizing::new(line.trim_end().to_owned())))
    }
}
