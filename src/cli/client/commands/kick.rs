use super::{Outcome, sessions};
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, SessionLine};
use crate::protocol::ErrorCode;
use crate::types::Printable;

/// `kick ID`
pub async fn run(session: &mut Session, id: u64) -> Outcome {
    let kicked = session.client.kick(id).await;
    let ended = kicked.map_err(|error| match Failure::from(error) {
        failure if failure.code == ErrorCode::NotFound => {
            failure.advise("see 'sessions' for who is connected")
        }
        failure => failure,
    })?;
    session.output.object(Body::Session(SessionLine {
        action: Some("kick"),
        status: Some("done"),
        ..sessions::line(&ended)
    }));
    session.output.done(format_args!(
        "ended session {}: {} from {}",
        ended.id,
        Printable(ended.user.as_deref().unwrap_or("nobody in particular")),
        Printable(&ended.address),
    ));
    Ok(Verdict::Done)
}
