//! Deletes what nobody needs any more, so that nobody waits for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::content::now;
use super::inner::Inner;
use super::own_folder::unused_leaf;
use crate::disk::remove_tree;

/// What there is to do.
pub(super) enum Sweep {
    /// Something that was removed has this name in the staging folder.
    Delete(String),
    /// More may be in the trash than is to be kept.
    Trim,
    /// Stop.
    Stop,
}

/// Works until it is told to stop.
pub(super) fn sweep(inner: &Inner, work: &Receiver<Sweep>) {
    inner.count_trash();
    inner.trim_trash();
    loop {
        match work.recv_timeout(inner.trash.pause()) {
            Ok(Sweep::Delete(leaf)) => delete(inner, &leaf),
            Ok(Sweep::Trim) => inner.trim_trash(),
            Err(RecvTimeoutError::Timeout) => {
                inner.trim_trash();
                inner.partials.sweep(now());
            }
            Ok(Sweep::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn delete(inner: &Inner, leaf: &str) {
    let swept = inner
        .staging
        .folder()
        .and_then(|staging| remove_tree(&staging, leaf, unused_leaf, || inner.is_stopping()));
    match swept {
        Err(error) if !inner.is_stopping() => {
            tracing::warn!("something that was removed still takes room: {error}");
        }
        // What is left is deleted after the next start.
        _ => {}
    }
}
