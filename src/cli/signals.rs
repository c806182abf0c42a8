use std::io;
#[cfg(unix)]
use std::sync::OnceLock;

/// What somebody wants the program to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal has gone.
    HangUp,
}

/// The signals that end what the program does; they come here instead of killing it.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// `None` where it has to stay ignored.
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Listens from now on; must be called in a tokio runtime.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: match may_hang_up() {
                true => Some(signal(SignalKind::hangup())?),
                false => None,
            },
        })
    }

    /// Listens from now on; must be called in a tokio runtime.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {})
    }

    /// The next signal.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Received {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.interrupt.recv() => Received::Interrupt,
            Some(()) = self.terminate.recv() => Received::Terminate,
            Some(()) = hang_up => Received::HangUp,
            else => std::future::pending().await,
        }
    }

    /// The next signal.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Received {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Received::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Finds out which signals this program has to go on ignoring. Call it while `/proc` can be read: a
/// process that confines itself cannot do so any more.
pub fn remember_ignored() {
    #[cfg(unix)]
    may_hang_up();
}

/// Whether SIGHUP may be caught: `nohup` starts a program so that it ignores the signal, and then
/// it has to go on doing so. Where that cannot be told the system's own way is left alone.
#[cfg(unix)]
fn may_hang_up() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // The first signal is the lowest bit.
        ignored.is_some_and(|mask| mask & 1 == 0)
    })
}
