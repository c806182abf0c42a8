use super::blocking;
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireRef};
use crate::store::Store;
use crate::types::FileRef;

pub(super) async fn run(
    store: &Store,
    file: WireRef,
    _wait_for_id: bool,
) -> Result<ServerBody, Failure> {
    let file = FileRef::try_from(file)?;
    let store = store.clone();
    let item = blocking(move || Ok(store.stat(&file)?)).await?;
    Ok(ServerBody::Item((&item).into()))
}
