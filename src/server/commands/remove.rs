use tracing::info;

use super::{blocking, precondition};
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireDigest, WireRef};
use crate::store::Store;
use crate::types::FileRef;

pub(super) async fn run(
    store: &Store,
    file: WireRef,
    recursive: bool,
    if_match: Option<WireDigest>,
    dry_run: bool,
) -> Result<ServerBody, Failure> {
    let file = FileRef::try_from(file)?;
    let precondition = precondition(if_match)?;
    let store = store.clone();
    let item = blocking(move || {
        let item = store.remove(&file, recursive, precondition, dry_run)?;
        if !dry_run {
            info!(name = %item.name(), "removed");
        }
        Ok(item)
    })
    .await?;
    Ok(ServerBody::Removed {
        item: (&item).into(),
        kept: false,
    })
}
