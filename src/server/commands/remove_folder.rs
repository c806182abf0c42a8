use tracing::info;

use super::blocking;
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireError};
use crate::store::{Cause, Store};
use crate::types::{FileName, Item};

pub(super) async fn run(store: &Store, name: String, cause: Cause) -> Result<ServerBody, Failure> {
    let name = FileName::parse(&name).map_err(WireError::Name)?;
    let store = store.clone();
    let item = blocking(move || {
        store.remove_empty_folder(&name, &cause)?;
        info!(%name, "removed an empty folder");
        Ok(Item::Folder(name))
    })
    .await?;
    Ok(ServerBody::Item((&item).into()))
}
