use super::folder::RemoteFolder;
use crate::cli::exit::{Ended, Verdict};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::signals::{Received, Signals};
use crate::client::Client;

/// What commands work on, from the first to the last of a run.
pub struct Session {
    /// The server.
    pub client: Client,
    /// The current remote folder.
    pub folder: RemoteFolder,
    /// Where results and messages go.
    pub output: Output,
    /// Where commands come from.
    pub input: Input,
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
    let ended = tokio::select! {
        biased;
        received = signals.next() => match received {
            Received::Interrupt => Ended::Interrupted,
            Received::Terminate => Ended::Terminated,
        },
        () = output.until_broken() => Ended::Closed,
        finished = work => Ended::Finished(finished),
    };
    output.flush();
    match (ended, output.broken()) {
        (Ended::Closed | Ended::Finished(_), Some(Ok(()))) => Ended::Closed,
        (Ended::Closed | Ended::Finished(_), Some(Err(failure))) => Ended::Finished(Err(failure)),
        (ended, _) => ended,
    }
}
