use super::Outcome;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::protocol::ErrorCode;
use crate::types::Printable;

/// `dereg [NAME]`
pub async fn run(session: &mut Session, name: Option<&str>) -> Outcome {
    let peer = match (session.registered(), name) {
        (Ok(peer), None) => peer,
        (Ok(peer), Some(name)) if name == peer.name().as_str() => peer,
        (Err(failure), None) => return Err(failure),
        (_, Some(name)) => {
            let name = Printable(name);
            let message = format!("{name} is not this client's name");
            return Err(Failure::new(ErrorCode::Forbidden, message)
                .advise("nobody takes another client's name away"));
        }
    };
    peer.leave(None).await?;
    session.standing.forget();
    session.output.done("[You are Offline. Bye.]");
    Ok(Verdict::Done)
}
