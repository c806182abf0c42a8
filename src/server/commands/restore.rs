use tracing::info;

use super::blocking;
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireError};
use crate::store::{Cause, Store};
use crate::types::FileName;

pub(super) async fn run(
    store: &Store,
    name: String,
    version: u32,
    dry_run: bool,
    cause: Cause,
) -> Result<ServerBody, Failure> {
    let name = FileName::parse(&name).map_err(WireError::Name)?;
    let store = store.clone();
    let item = blocking(move || {
        let item = store.restore(&name, version, dry_run, &cause)?;
        if !dry_run {
            info!(%name, version, "restored");
        }
        Ok(item)
    })
    .await?;
    Ok(ServerBody::Item((&item).into()))
}
