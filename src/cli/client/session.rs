use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::folder::RemoteFolder;
use super::password::PasswordSource;
use super::standing::Standing;
use crate::cli::exit::{self, Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::signals::{Received, Signals};
use crate::client::{Client, Credentials};

/// How long after a signal somebody may take to read what there is to say.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long after a signal the program ends, whatever it waits for.
const LAST: Duration = Duration::from_secs(2);

/// What commands work on, from the first to the last of a run.
pub struct Session {
    /// The server.
    pub client: Client,
    /// Where the password of its user comes from, if it has one.
    pub password: PasswordSource,
    /// The current remote folder.
    pub folder: RemoteFolder,
    /// What it is to other clients.
    pub standing: Standing,
    /// Where results and messages go.
    pub output: Output,
    /// Where commands come from.
    pub input: Input,
}

impl Session {
    /// Gets the password of the user to log in as, if there is one, and if that was not done yet.
    pub async fn log_in(&mut self) -> Result<(), Failure> {
        let server = self.client.address();
        let Some(user) = server.user.clone().filter(|_| !self.client.has_login()) else {
            return Ok(());
        };
        let password = self.password.get(&self.output, &user, server).await?;
        self.client.log_in(Credentials { user, password });
        Ok(())
    }
}

/// Where commands come from, and so what standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The command line: standard input is free.
    CommandLine,
    /// The prompt: standard input is a person.
    Prompt,
    /// Standard input is the script.
    Script,
}

/// Runs `work` to its end, or drops it when a signal comes or nobody reads the results any more:
/// dropping is what cancels it and cleans up after it.
pub async fn supervise(
    signals: &mut Signals,
    output: &Output,
    work: impl Future<Output = Result<Verdict, Failure>>,
) -> Ended {
    let _guard = Guard::start(output);
    let ended = tokio::select! {
        biased;
        received = next_for_us(signals) => received.into(),
        () = output.until_broken() => Ended::Closed,
        finished = work => Ended::Finished(finished),
    };
    if matches!(
        ended,
        Ended::Interrupted | Ended::Terminated | Ended::HungUp
    ) {
        output.settle(PATIENCE);
        return ended;
    }
    output.flush();
    match (ended, output.broken()) {
        (Ended::Closed | Ended::Finished(_), Some(Ok(()))) => Ended::Closed,
        (Ended::Closed | Ended::Finished(_), Some(Err(failure))) => Ended::Finished(Err(failure)),
        (ended, _) => ended,
    }
}

/// Whether another program has the terminal.
static LENT: AtomicBool = AtomicBool::new(false);

/// While it is there another program has the terminal, and Ctrl-C is for that one.
pub struct TerminalLent(());

impl TerminalLent {
    /// From now on.
    pub fn begin() -> Self {
        LENT.store(true, Ordering::SeqCst);
        TerminalLent(())
    }
}

impl Drop for TerminalLent {
    fn drop(&mut self) {
        LENT.store(false, Ordering::SeqCst);
    }
}

/// The next signal that is not for the program that has the terminal.
async fn next_for_us(signals: &mut Signals) -> Received {
    loop {
        match signals.next().await {
            Received::Interrupt if LENT.load(Ordering::SeqCst) => {}
            received => return received,
        }
    }
}

/// Says that a signal ends the program, if one does, and returns the exit code. From here on
/// nothing keeps it from ending.
pub fn farewell(output: &Output, ended: &Ended) -> u8 {
    part(output, ended);
    exit::of_end(ended)
}

/// Whether it was said already that a signal ends the program.
static PARTED: AtomicBool = AtomicBool::new(false);

/// Whether this call was the one that said it: the guard and the thread that it guards may both
/// come here, and whoever comes second leaves the ending to the first.
fn part(output: &Output, ended: &Ended) -> bool {
    let what = match ended {
        Ended::Interrupted => "interrupted",
        Ended::Terminated => "terminated",
        Ended::HungUp => "hung up",
        Ended::Finished(_) | Ended::Closed => return false,
    };
    if PARTED.swap(true, Ordering::SeqCst) {
        return false;
    }
    let code = exit::of_end(ended);
    std::thread::spawn(move || {
        std::thread::sleep(LAST);
        std::process::exit(code.into());
    });
    output.message(&format!(
        "{what}: what was complete is kept, and what had begun goes on next time\n"
    ));
    true
}

/// Ends the program after a signal when the thread that would heed it waits for somebody to read
/// what it prints. Dropping it calls it off.
struct Guard(Option<AbortHandle>);

impl Guard {
    fn start(output: &Output) -> Self {
        let Ok(mut signals) = Signals::listen() else {
            return Guard(None);
        };
        let output = output.clone();
        let task = tokio::spawn(async move {
            loop {
                let ended = Ended::from(signals.next().await);
                tokio::time::sleep(PATIENCE).await;
                if output.is_busy() {
                    output.abandon();
                    if part(&output, &ended) {
                        std::process::exit(exit::of_end(&ended).into());
                    }
                }
            }
        });
        Guard(Some(task.abort_handle()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::Arc;

    use crate::cli::output::Look;
    use crate::protocol::ErrorCode;

    struct Refuses(io::ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs work that prints a line, and then never ends if `endless`.
    async fn print(refusal: io::ErrorKind, endless: bool) -> Ended {
        let look = Look {
            terminal: true,
            ..Look::default()
        };
        let output = Output::new(look, Box::new(Refuses(refusal)), Box::new(io::sink()));
        let mut signals = Signals::listen().unwrap();
        let held = Arc::new(());
        let holder = Arc::clone(&held);
        let printer = output.clone();
        let ended = supervise(&mut signals, &output, async move {
            let _holder = holder;
            printer.line("x");
            if endless {
                std::future::pending::<()>().await;
            }
            Ok(Verdict::Done)
        })
        .await;
        assert_eq!(Arc::strong_count(&held), 1, "what was cancelled is gone");
        ended
    }

    #[tokio::test]
    async fn work_that_nobody_reads_is_dropped_quietly() {
        for endless in [true, false] {
            let ended = print(io::ErrorKind::BrokenPipe, endless).await;
            assert!(matches!(ended, Ended::Closed), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn results_that_cannot_be_written_are_a_failure() {
        for endless in [true, false] {
            let ended = print(io::ErrorKind::StorageFull, endless).await;
            assert_eq!(exit::of_end(&ended), exit::of_error(ErrorCode::DiskFull));
        }
    }
}
