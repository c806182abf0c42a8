use tracing::info;

use super::{blocking, precondition};
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireDigest, WireRef};
use crate::store::{Cause, Store};
use crate::types::FileRef;

pub(super) async fn run(
    store: &Store,
    file: WireRef,
    recursive: bool,
    if_match: Option<WireDigest>,
    dry_run: bool,
    cause: Cause,
) -> Result<ServerBody, Failure> {
    let file = FileRef::try_from(file)?;
    let precondition = precondition(if_match)?;
    let store = store.clone();
    let removed = blocking(move || {
        let removed = store.remove(&file, recursive, precondition, dry_run, &cause)?;
        if !dry_run {
            info!(name = %removed.item.name(), kept = removed.kept, "removed");
        }
        Ok(removed)
    })
    .await?;
    Ok(ServerBody::Removed {
        item: (&removed.item).into(),
        kept: removed.kept,
    })
}
