use std::sync::Arc;

use super::{Session, blocking};
use crate::protocol::Failure;
use crate::protocol::message::{ServerBody, ServerInfo};
use crate::server::{Context, SOFTWARE};
use crate::store::{Durability, NameRules};

pub(super) async fn run(
    context: &Context,
    session: Arc<Session>,
    version: u8,
) -> Result<ServerBody, Failure> {
    let (store, user) = (context.store.clone(), session.user());
    let (facts, role) = blocking(move || Ok((store.facts()?, session.role()?))).await?;
    let tls = context.options.tls.as_ref();
    Ok(ServerBody::Info(Box::new(ServerInfo {
        software: SOFTWARE.to_owned(),
        protocol: version.into(),
        host: context.options.host.clone(),
        identity: tls.map(|tls| tls.fingerprint().to_string()),
        uptime: context.started.elapsed().as_secs(),
        files: facts.files,
        bytes: facts.bytes,
        free: facts.free_space,
        max_file_size: facts.max_file_size,
        quota: facts.quota,
        max_connections: u32::try_from(context.options.max_connections).unwrap_or(u32::MAX),
        idle_timeout: context.options.idle_timeout.as_secs(),
        portable_names: facts.names == NameRules::Portable,
        durable: facts.durability == Durability::Fsync,
        confined: context.options.confined,
        user,
        role: role.level(),
        capabilities: capabilities(context),
        unhashed_files: facts.unhashed_files,
        unhashed_bytes: facts.unhashed_bytes,
        left_out_links: facts.left_out.links,
        left_out_special: facts.left_out.special,
        left_out_mounts: facts.left_out.mounts,
        left_out_names: facts.left_out.names,
        left_out_twins: facts.left_out.twins,
        left_out_unreadable: facts.left_out.unreadable,
        trash_files: facts.trash_files,
        trash_bytes: facts.trash_bytes,
        keep_removed: facts.keep_removed.as_secs(),
        keep_removed_size: facts.keep_removed_size,
        damaged_files: facts.damaged_files,
        damaged: facts
            .damaged
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
    })))
}

/// What this server can do beyond the first version; docs/PROTOCOL.md has the words.
fn capabilities(context: &Context) -> Vec<String> {
    let relay = context.options.relay.allowed.then_some("relay");
    let words = ["peers"].into_iter().chain(relay);
    words.map(str::to_owned).collect()
}
