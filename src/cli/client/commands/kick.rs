use super::{Outcome, sessions};
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::json::{Body, SessionLine};
use crate::types::Printable;

/// `kick ID`
pub async fn run(session: &mut Session, id: u64) -> Outcome {
    let ended = session.client.kick(id).await?;
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
