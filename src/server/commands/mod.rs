//! The commands with a single answer: one file and one function each, from typed request to answer.

mod info;
mod make_folder;
mod remove;
mod rename;
mod stat;

use crate::access::{Action, Role};
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::{ErrorCode, Failure, WireDigest};
use crate::types::Precondition;

use super::Context;
use super::conversation::{allow, blocking};

/// Does what the request says, and tells the answer.
pub(super) async fn answer(
    context: &Context,
    role: Role,
    version: u8,
    request: ClientBody,
) -> Result<ServerBody, Failure> {
    if let Some(action) = needs(&request) {
        allow(role, action)?;
    }
    match request {
        ClientBody::Ping => Ok(ServerBody::Pong),
        ClientBody::Info => info::run(context, role, version).await,
        ClientBody::Stat { file, wait_for_id } => {
            stat::run(&context.store, file, wait_for_id).await
        }
        ClientBody::Rename {
            from,
            to,
            if_match,
            dry_run,
        } => rename::run(&context.store, from, to, if_match, dry_run).await,
        ClientBody::Remove {
            file,
            recursive,
            if_match,
            dry_run,
        } => remove::run(&context.store, file, recursive, if_match, dry_run).await,
        ClientBody::MakeFolder { name, dry_run } => {
            make_folder::run(&context.store, name, dry_run).await
        }
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
        ClientBody::Rename { .. } | ClientBody::Remove { .. } | ClientBody::MakeFolder { .. }
    )
}

/// What a request needs permission for.
fn needs(request: &ClientBody) -> Option<Action> {
    match request {
        ClientBody::Ping => None,
        ClientBody::Rename { .. } | ClientBody::MakeFolder { .. } => Some(Action::Add),
        ClientBody::Remove { .. } => Some(Action::Remove),
        _ => Some(Action::Read),
    }
}

fn precondition(if_match: Option<WireDigest>) -> Result<Precondition, Failure> {
    let if_match = if_match.map(TryInto::try_into).transpose()?;
    Ok(Precondition { if_match })
}
