//! What each request needs permission for, and who may do what at this moment.

use std::sync::Arc;

use crate::access::{Accounts, AccountsError, Action, Role, Users};
use crate::protocol::message::ClientBody;
use crate::protocol::{ErrorCode, Failure, WireRef};
use crate::types::FileName;

/// What a request needs permission for. A transfer is asked about file by file: for each one of a
/// page, and again when it is opened or put in its place.
pub(super) fn needs(request: &ClientBody) -> Option<Action> {
    match request {
        ClientBody::Hello { .. }
        | ClientBody::Ping
        | ClientBody::Download { .. }
        | ClientBody::Upload { .. }
        | ClientBody::File(_)
        | ClientBody::Skip { .. }
        | ClientBody::Command { .. }
        | ClientBody::Resume { .. }
        | ClientBody::Ranges { .. }
        | ClientBody::Compression { .. }
        | ClientBody::Redeem(_)
        | ClientBody::Alive => None,
        ClientBody::Info
        | ClientBody::List { .. }
        | ClientBody::Stat { .. }
        | ClientBody::Signature { .. }
        | ClientBody::DownloadPage { .. }
        | ClientBody::Table { .. }
        | ClientBody::Ticket { .. }
        | ClientBody::Relay(_) => Some(Action::Read),
        ClientBody::Rename { .. }
        | ClientBody::MakeFolder { .. }
        | ClientBody::UploadPage { .. } => Some(Action::Add),
        ClientBody::Remove { .. } | ClientBody::RemoveFolder { .. } => Some(Action::Remove),
        ClientBody::Trash { .. } | ClientBody::Restore { .. } => Some(Action::Restore),
        ClientBody::Undo { .. } => Some(Action::Undo),
        ClientBody::Sessions | ClientBody::Kick { .. } => Some(Action::Administer),
        ClientBody::Register { .. }
        | ClientBody::Deregister { .. }
        | ClientBody::Offer { .. }
        | ClientBody::Withdraw { .. }
        | ClientBody::RelayAccept { .. } => Some(Action::Offer),
    }
}

/// What a request is called where people read of it: the word of the command.
pub(super) fn name(request: &ClientBody) -> &'static str {
    match request {
        ClientBody::Hello { .. }
        | ClientBody::Skip { .. }
        | ClientBody::Command { .. }
        | ClientBody::Compression { .. }
        | ClientBody::Alive => "idle",
        ClientBody::Ping => "ping",
        ClientBody::Info => "info",
        ClientBody::List { .. } => "list",
        ClientBody::Stat { .. } => "stat",
        ClientBody::Rename { .. } => "rename",
        ClientBody::Remove { .. } | ClientBody::RemoveFolder { .. } => "remove",
        ClientBody::MakeFolder { .. } => "mkdir",
        ClientBody::Trash { .. } => "trash",
        ClientBody::Restore { .. } => "restore",
        ClientBody::Undo { .. } => "undo",
        ClientBody::Download { .. }
        | ClientBody::DownloadPage { .. }
        | ClientBody::Resume { .. }
        | ClientBody::Ranges { .. }
        | ClientBody::Signature { .. } => "get",
        ClientBody::Upload { .. } | ClientBody::UploadPage { .. } | ClientBody::File(_) => "put",
        ClientBody::Sessions => "sessions",
        ClientBody::Kick { .. } => "kick",
        ClientBody::Register { .. } => "register",
        ClientBody::Deregister { .. } => "dereg",
        ClientBody::Offer { .. } | ClientBody::Withdraw { .. } | ClientBody::RelayAccept { .. } => {
            "offer"
        }
        ClientBody::Table { .. } => "offers",
        ClientBody::Ticket { .. } | ClientBody::Redeem(_) | ClientBody::Relay(_) => "request",
    }
}

/// The file or folder that a request is about, when it says its name.
pub(super) fn subject(request: &ClientBody) -> Option<String> {
    let name = match request {
        ClientBody::Stat { file, .. }
        | ClientBody::Rename { from: file, .. }
        | ClientBody::Remove { file, .. } => match file {
            WireRef::Name(name) => name,
            WireRef::Id(_) => return None,
        },
        ClientBody::MakeFolder { name, .. }
        | ClientBody::RemoveFolder { name }
        | ClientBody::Restore { name, .. } => name,
        ClientBody::List { folder, .. } | ClientBody::Trash { folder, .. } => folder.as_ref()?,
        _ => return None,
    };
    // What is no name may be of any length.
    let name = FileName::parse(name).ok()?;
    Some(name.as_str().to_owned())
}

/// Who may do what, as it is at the moment of the question. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    accounts: Option<Accounts>,
    anonymous: Option<Role>,
}

impl Rules {
    /// The rules of a server with these accounts, and what it was told about clients without one.
    pub(super) fn new(accounts: Option<Accounts>, anonymous: Option<Role>) -> Self {
        Rules {
            accounts,
            anonymous,
        }
    }

    /// Who has an account; `None` when nobody ever had one. Blocks.
    pub(super) fn users(&self) -> Result<Option<Arc<Users>>, Failure> {
        let users = self.accounts.as_ref().map(Accounts::users);
        users
            .unwrap_or(Ok(None))
            .map_err(|error| unreadable(&error))
    }

    /// What a client without an account may do. Blocks.
    pub(super) fn anonymous_role(&self) -> Result<Role, Failure> {
        match &self.accounts {
            None => Ok(self.anonymous.unwrap_or(Role::Contributor)),
            Some(accounts) => accounts
                .anonymous_role(self.anonymous)
                .map_err(|error| unreadable(&error)),
        }
    }
}

/// The refusal of a client that could do nothing without an account.
pub(super) fn user_wanted() -> Failure {
    Failure::new(
        ErrorCode::Unauthorized,
        "this server wants a user: say --user NAME",
    )
}

/// What a stranger hears of it; the log has the rest.
fn unreadable(_: &AccountsError) -> Failure {
    Failure::new(
        ErrorCode::Unauthorized,
        "the server cannot read its accounts and lets nobody in: its log says why",
    )
}
