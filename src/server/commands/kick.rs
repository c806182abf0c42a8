use tracing::info;

use super::{Session, blocking};
use crate::protocol::message::ServerBody;
use crate::protocol::{ErrorCode, Failure};
use crate::server::sessions::Sessions;

pub(super) async fn run(
    sessions: &Sessions,
    own: &Session,
    id: u64,
) -> Result<ServerBody, Failure> {
    if id == own.id() {
        let what = "this is your own session: leave it instead";
        return Err(Failure::new(ErrorCode::Usage, what));
    }
    let session = sessions.get(id).ok_or_else(|| {
        let what = format!("there is no session {id}: see the list of sessions");
        Failure::new(ErrorCode::NotFound, what)
    })?;
    let seen = session.clone();
    let seen = blocking(move || Ok(seen.to_wire())).await?;
    session.end(Failure::new(
        ErrorCode::Forbidden,
        "an administrator ended this session",
    ));
    info!(session = id, address = %seen.address, "ended by an administrator");
    Ok(ServerBody::Sessions {
        sessions: vec![seen],
        last: true,
    })
}
