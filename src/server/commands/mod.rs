//! The commands with a single answer: one file and one function each, from typed request to answer.

mod info;
mod kick;
mod make_folder;
mod remove;
mod remove_folder;
mod rename;
mod restore;
mod stat;

use crate::access::Action;
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::{ErrorCode, Failure, WireDigest};
use crate::store::Cause;
use crate::types::Precondition;

use super::conversation::blocking;
use super::registry::Member;
use super::sessions::{Entered, Session};
use super::{Context, permission};

/// Does what the request says, and tells the answer.
pub(super) async fn answer(
    context: &Context,
    session: &Entered,
    member: &mut Member,
    version: u8,
    cause: Cause,
    request: ClientBody,
) -> Result<ServerBody, Failure> {
    // Whoever is registered has to be somebody who may be, also when it only says that it is there.
    let registered = member.is_registered().then_some(Action::Offer);
    if let Some(action) = permission::needs(&request).or(registered) {
        let session = session.session();
        let asked = session.clone();
        let allowed = blocking(move || asked.allow(action)).await;
        if let Err(failure) = &allowed
            && member.is_registered()
            && action == Action::Offer
        {
            // It hears why, and knows then that it is offline.
            member.leave();
            session.end(failure.clone());
        }
        allowed?;
    }
    match request {
        ClientBody::Ping => Ok(ServerBody::Pong),
        ClientBody::Info => info::run(context, session.session(), version).await,
        ClientBody::Stat { file, wait_for_id } => {
            stat::run(&context.store, file, wait_for_id).await
        }
        ClientBody::Rename {
            from,
            to,
            if_match,
            dry_run,
        } => rename::run(&context.store, from, to, if_match, dry_run, cause).await,
        ClientBody::Remove {
            file,
            recursive,
            if_match,
            dry_run,
        } => remove::run(&context.store, file, recursive, if_match, dry_run, cause).await,
        ClientBody::RemoveFolder { name } => remove_folder::run(&context.store, name, cause).await,
        ClientBody::MakeFolder { name, dry_run } => {
            make_folder::run(&context.store, name, dry_run, cause).await
        }
        ClientBody::Restore {
            name,
            version,
            dry_run,
        } => restore::run(&context.store, name, version, dry_run, cause).await,
        ClientBody::Register {
            name,
            port,
            key,
            secret,
        } => member.register(&name, port, key, secret).await,
        ClientBody::Deregister { name } => member.deregister(name.as_deref()),
        ClientBody::Offer { files } => member.offer(files),
        ClientBody::Withdraw { names } => member.withdraw(&names),
        ClientBody::Ticket { owner, file, key } => member.ticket(&owner, &file, key),
        ClientBody::Redeem(_) => Err(Failure::new(
            ErrorCode::Usage,
            "a ticket is for the client that offers the file, not for the server",
        )),
        ClientBody::Kick { id } => kick::run(&context.sessions, session, id).await,
        // The session lets none of the others come here.
        _ => Err(Failure::new(
            ErrorCode::Protocol,
            "this is no request with a single answer",
        )),
    }
}

/// Whether doing the request a second time could have another effect than doing it once.
pub(super) fn changes(request: &ClientBody) -> bool {
    matches!(
        request,
        ClientBody::Rename { .. }
            | ClientBody::Remove { .. }
            | ClientBody::MakeFolder { .. }
            | ClientBody::RemoveFolder { .. }
            | ClientBody::Restore { .. }
            | ClientBody::Kick { .. }
            | ClientBody::Register { .. }
            | ClientBody::Deregister { .. }
            | ClientBody::Offer { .. }
            | ClientBody::Withdraw { .. }
    )
}

fn precondition(if_match: Option<WireDigest>) -> Result<Precondition, Failure> {
    let if_match = if_match.map(TryInto::try_into).transpose()?;
    Ok(Precondition { if_match })
}
