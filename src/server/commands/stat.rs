use std::time::Duration;

use super::blocking;
use crate::protocol::message::ServerBody;
use crate::protocol::{Failure, WireRef};
use crate::store::Store;
use crate::types::{FileRef, Item};

/// How long to wait before looking again whether a file is hashed: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

pub(super) async fn run(
    store: &Store,
    file: WireRef,
    wait_for_id: bool,
) -> Result<ServerBody, Failure> {
    let file = FileRef::try_from(file)?;
    let [mut pause, longest] = PAUSES;
    loop {
        let (store, file) = (store.clone(), file.clone());
        let item = blocking(move || Ok(store.stat(&file)?)).await?;
        // Whoever waits for a large file holds no thread, and stops waiting when the client goes.
        let unhashed = matches!(&item, Item::File(entry) if entry.id.is_none());
        if !(wait_for_id && unhashed) {
            return Ok(ServerBody::Item((&item).into()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
