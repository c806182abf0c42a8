use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::conversation::blocking;
use crate::protocol::Failure;
use crate::store::{Found, NewFile, Partial, Reread, Store};

/// How long the verdicts of a page wait for another connection to let go of what it uploads: when
/// that one was cut, the server may hear of it later than the client.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before looking again, for another connection or a turn to read.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads again what there is of an upload that was cut, one hop after the other, so that no thread
/// is held for long. Nothing is left when it cannot be read, or when another connection still uses
/// it at `until`.
pub(super) async fn read_again(
    store: &Store,
    new: &NewFile,
    mut found: Found,
    until: Instant,
) -> Result<Found, Failure> {
    loop {
        match found {
            Found::Nothing => return Ok(Found::Nothing),
            Found::Partial(partial) => return read_all(new, partial).await,
            Found::InUse if Instant::now() >= until => return Ok(Found::Nothing),
            Found::InUse => {
                sleep(PAUSE).await;
                let (store, new) = (store.clone(), new.clone());
                found = blocking(move || find(&store, &new)).await?;
            }
        }
    }
}

/// What there is of this upload.
pub(super) fn find(store: &Store, new: &NewFile) -> Result<Found, Failure> {
    match &new.partial {
        Some(key) => Ok(store.find_partial(key, new.size)?),
        None => Ok(Found::Nothing),
    }
}

async fn read_all(new: &NewFile, mut partial: Box<Partial>) -> Result<Found, Failure> {
    loop {
        let hop = blocking(move || {
            let read = partial.read_on();
            Ok((partial, read))
        });
        let read;
        (partial, read) = hop.await?;
        match read {
            Ok(Reread::Done) => break,
            Ok(Reread::More) => {}
            Ok(Reread::Busy) => sleep(PAUSE).await,
            Err(error) => {
                debug!(name = %new.name, %error, "what had arrived cannot be read again");
                let discard = move || {
                    partial.discard();
                    Ok(())
                };
                blocking(discard).await?;
                return Ok(Found::Nothing);
            }
        }
    }
    let length = partial.length();
    info!(name = %new.name, length, "an upload may go on");
    Ok(Found::Partial(partial))
}
