//! `cd` and `pwd`: the current remote folder.

use super::Outcome;
use crate::cli::client::folder::RemoteFolder;
use crate::cli::client::session::Session;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::cli::json::{Body, FolderLine};
use crate::protocol::ErrorCode;
use crate::types::{FileName, FileRef, Item};

/// `cd [DIR]`: only to a folder that the server has.
pub async fn change(session: &mut Session, typed: Option<&str>) -> Outcome {
    let folder = match typed {
        Some(typed) => session.folder.change(typed)?,
        None => RemoteFolder::default(),
    };
    if let Some(name) = folder.name() {
        match session.client.stat(&FileRef::Name(name.clone())).await? {
            Item::Folder(_) => {}
            Item::File(_) => {
                let message = format!("{name} is a file, not a folder");
                return Err(Failure::new(ErrorCode::Conflict, message)
                    .advise("give the folder that it is in"));
            }
        }
    }
    session.folder = folder;
    Ok(Verdict::Done)
}

/// `pwd`
pub fn print(session: &Session) -> Outcome {
    session.output.object(Body::Folder(FolderLine {
        name: session.folder.name().map_or("", FileName::as_str),
        ..FolderLine::default()
    }));
    session.output.line(&session.folder);
    Ok(Verdict::Done)
}
