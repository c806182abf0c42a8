use super::Outcome;
use crate::cli::client::command::RegisterArgs;
use crate::cli::client::session::{Input, Session};
use crate::cli::exit::Verdict;

/// `register NAME [--listen-port N]`
pub async fn run(session: &mut Session, args: &RegisterArgs) -> Outcome {
    let port = args.listen.listen_port.as_deref();
    let peer = session.register(&args.name, port).await?;
    if session.input == Input::CommandLine {
        // On the command line that is all there is to do, until somebody ends it.
        session.output.flush();
        return Err(peer.ended().await.into());
    }
    Ok(Verdict::Done)
}
