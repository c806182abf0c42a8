use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};
use tokio::time::Instant;
use tracing::{debug, info};

use super::conversation::{Ending, Outbox, blocking};
use super::permission::user_wanted;
use super::sessions::Entered;
use super::{Context, Origin, SOFTWARE};
use crate::access::{Account, Role};
use crate::net::{FrameReader, Patience};
use crate::protocol::limits::GREETING_TIME;
use crate::protocol::message::{ClientBody, Login, ServerBody};
use crate::protocol::session::ServerSession;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::read_message;
use crate::types::Printable;

/// Hears who the client is, and lets it in or not.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send>(
    context: &Arc<Context>,
    origin: Origin,
    reader: &mut FrameReader<ReadHalf<S>>,
    outbox: &mut Outbox<S>,
    protocol: &mut ServerSession,
    deadline: Instant,
) -> Result<Entered, Ending> {
    let hello = read_message(reader, protocol, Patience::Idle(GREETING_TIME)).await?;
    protocol.receive(&hello)?;
    let ClientBody::Hello { software, login } = hello.body else {
        // The session takes nothing else first.
        let what = "anything before the greeting";
        return Err(Failure::new(ErrorCode::Protocol, what).into());
    };
    debug!(software = %Printable(&software), "greeted");
    let account = match login {
        Some(login) => Some(log_in(context, origin, login, deadline).await?),
        None => None,
    };
    if let Some(account) = &account {
        info!(user = %account.name, "logged in");
    }
    let entered = context
        .sessions
        .enter(account, context.rules.clone(), origin);
    let session = entered.session();
    let role = blocking(move || session.role()).await?;
    if role == Role::None {
        return Err(user_wanted().into());
    }
    let welcome = ServerBody::Welcome {
        software: SOFTWARE.to_owned(),
        role: role.level(),
    };
    outbox.answer(0, welcome).await?;
    Ok(entered)
}

async fn log_in(
    context: &Context,
    origin: Origin,
    login: Login,
    deadline: Instant,
) -> Result<Account, Failure> {
    if !origin.may_carry_passwords() {
        return Err(Failure::new(
            ErrorCode::Unauthorized,
            "without TLS a password is taken from the server's own machine only: \
             run the server without --plaintext",
        ));
    }
    let logins = &context.logins;
    logins
        .check(&context.rules, login, origin.address, deadline)
        .await
}

impl Origin {
    /// Whether nobody between the two sides can read along.
    fn may_carry_passwords(&self) -> bool {
        let ip = self.address.map(|address| address.ip().to_canonical());
        self.encrypted || ip.is_some_and(|ip: IpAddr| ip.is_loopback())
    }
}
