use tracing::info;

use super::{blocking, precondition};
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireDigest, WireError, WireRef};
use crate::store::{Cause, Store};
use crate::types::{FileName, FileRef};

pub(super) async fn run(
    store: &Store,
    from: WireRef,
    to: String,
    if_match: Option<WireDigest>,
    dry_run: bool,
    cause: Cause,
) -> Result<ServerBody, Failure> {
    let from = FileRef::try_from(from)?;
    let to = FileName::parse(&to).map_err(WireError::Name)?;
    let precondition = precondition(if_match)?;
    let store = store.clone();
    let item = blocking(move || {
        let item = store.rename(&from, &to, precondition, dry_run, &cause)?;
        if !dry_run {
            info!(%from, %to, "renamed");
        }
        Ok(item)
    })
    .await?;
    Ok(ServerBody::Item((&item).into()))
}
