use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::protocol::message::{WireGone, WireOffer, WirePeer};
use crate::protocol::{ErrorCode, Failure, Secret, WireDigest};
use crate::types::{Digest, FileName, PeerName};

/// How many clients are known, online and offline; as many as can be connected unless somebody
/// says otherwise. Of those that are offline the one that left first is forgotten first.
const MAX_PEERS: usize = 16_384;

/// How many files are offered, by all clients together.
pub(super) const MAX_OFFERS: usize = 250_000;

/// How many files one client offers.
pub(super) const MAX_OFFERS_OF_ONE: usize = 100_000;

/// How many bytes the names of all offered files have: with all that belongs to them, about 256 MiB
/// are never exceeded.
const MAX_NAME_BYTES: usize = 64 * 1024 * 1024;

/// How many things that are gone are remembered, to be told to those who knew them. Who asks for
/// what has changed since before that gets the whole table.
const MAX_GONE: usize = 16_384;

/// Who is there and offers what: without a clock and without connections.
///
/// Everything in the table stands in `log` under the version at which it last changed, and nothing
/// twice: what has changed since a version is what stands behind it, and the whole table is what
/// has changed since 0.
pub(super) struct Table {
    limits: Limits,
    version: u64,
    peers: BTreeMap<Arc<PeerName>, Peer>,
    log: BTreeMap<u64, Row>,
    /// Clients that are offline, by the version at which they went.
    offline: BTreeMap<u64, Arc<PeerName>>,
    /// What stands in `log` as gone, and under which version; and the other way round.
    gone: BTreeMap<Gone, u64>,
    gone_at: BTreeMap<u64, Gone>,
    /// What was gone up to this version is not told any more.
    forgotten: u64,
    offers: usize,
    name_bytes: usize,
}

/// How much the table takes.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) peers: usize,
    pub(super) offers: usize,
    pub(super) offers_of_one: usize,
    pub(super) name_bytes: usize,
    pub(super) gone: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            peers: MAX_PEERS,
            offers: MAX_OFFERS,
            offers_of_one: MAX_OFFERS_OF_ONE,
            name_bytes: MAX_NAME_BYTES,
            gone: MAX_GONE,
        }
    }
}

struct Peer {
    version: u64,
    address: IpAddr,
    port: u16,
    online: Option<Online>,
    offers: BTreeMap<Arc<FileName>, Offered>,
}

/// What is known of a client that is there.
#[derive(Clone)]
pub(super) struct Online {
    /// The session that it has registered in.
    pub(super) session: u64,
    /// By what it is known again, hashed.
    pub(super) identity: [u8; 32],
    /// The SHA-256 of its public key.
    pub(super) key: Option<[u8; 32]>,
    /// The key of the tickets for its files.
    pub(super) ticket_key: Secret,
}

struct Offered {
    version: u64,
    size: u64,
    id: Digest,
}

enum Row {
    Peer(Arc<PeerName>),
    Offer(Arc<PeerName>, Arc<FileName>),
    Gone(Gone),
}

impl Row {
    /// At most how many bytes it takes on the wire.
    fn bytes(&self) -> usize {
        match self {
            Row::Peer(name) => 32 + name.as_str().len(),
            Row::Offer(owner, file) => 64 + owner.as_str().len() + file.as_str().len(),
            Row::Gone((owner, file)) => {
                let file = file.as_ref().map_or(0, |file| file.as_str().len());
                32 + owner.as_str().len() + file
            }
        }
    }
}

type Gone = (Arc<PeerName>, Option<Arc<FileName>>);

/// A file that a client wants to offer.
pub(super) struct Offer {
    pub(super) name: FileName,
    pub(super) size: u64,
    pub(super) id: Digest,
}

/// Where a file can be had.
pub(super) struct Provider {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) online: Online,
    pub(super) size: u64,
    pub(super) id: Digest,
}

/// How far somebody has read the table.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cursor {
    /// All that has changed up to this version is known.
    pub(super) version: u64,
    /// Who is still reading the whole does not miss what had been forgotten when that began.
    forgotten: u64,
}

impl Cursor {
    /// Knows all up to this version; 0: nothing.
    pub(super) fn at(version: u64) -> Self {
        Cursor {
            version,
            forgotten: 0,
        }
    }
}

/// What has changed between two versions, or the beginning of it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// After which version; 0: this is the beginning of the whole table.
    pub(super) since: u64,
    /// How far it goes.
    pub(super) reached: Cursor,
    pub(super) peers: Vec<WirePeer>,
    pub(super) offers: Vec<WireOffer>,
    pub(super) gone: Vec<WireGone>,
    /// Whether there is more.
    pub(super) more: bool,
}

/// How much of what has changed is wanted at once.
#[derive(Clone, Copy)]
pub(in crate::server) struct Portion {
    pub(in crate::server) items: usize,
    pub(in crate::server) bytes: usize,
}

/// Why a name cannot be had.
pub(super) enum Taken {
    /// By a client that has registered in this session and is the same.
    BySame(u64),
    /// By somebody else.
    ByOther,
    /// The table is full of clients that are online.
    Full,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Table {
            limits,
            version: 0,
            peers: BTreeMap::new(),
            log: BTreeMap::new(),
            offline: BTreeMap::new(),
            gone: BTreeMap::new(),
            gone_at: BTreeMap::new(),
            forgotten: 0,
            offers: 0,
            name_bytes: 0,
        }
    }

    /// What the table is at.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// A client is there under this name, and offers nothing yet.
    pub(super) fn enter(
        &mut self,
        name: &PeerName,
        address: IpAddr,
        port: u16,
        online: Online,
    ) -> Result<(), Taken> {
        match self.peers.get(name).map(|peer| &peer.online) {
            Some(Some(there)) if there.identity == online.identity => {
                return Err(Taken::BySame(there.session));
            }
            Some(Some(_)) => return Err(Taken::ByOther),
            Some(None) => {}
            None => self.make_room()?,
        }
        let name = match self.peers.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => Arc::new(name.clone()),
        };
        self.no_longer_gone(&(name.clone(), None));
        let version = self.next_version(Row::Peer(name.clone()));
        let peer = Peer {
            version,
            address,
            port,
            online: Some(online),
            offers: BTreeMap::new(),
        };
        if let Some(before) = self.peers.insert(name, peer) {
            self.log.remove(&before.version);
            self.offline.remove(&before.version);
        }
        Ok(())
    }

    /// The client that registered under this name in this session goes, with all that it offers.
    pub(super) fn leave(&mut self, name: &PeerName, session: u64) {
        if self.void(name, session) {
            let version = self.version;
            if let Some((name, _)) = self.peers.get_key_value(name) {
                self.offline.insert(version, name.clone());
            }
            if let Some(peer) = self.peers.get_mut(name) {
                peer.online = None;
            }
        }
    }

    /// The client offers these files, too: all of them or none.
    pub(super) fn offer(
        &mut self,
        name: &PeerName,
        session: u64,
        files: Vec<Offer>,
    ) -> Result<(), Failure> {
        let limits = self.limits;
        let (owner, peer) = self.own(name, session)?;
        let new = |file: &&Offer| !peer.offers.contains_key(&file.name);
        let (count, bytes) = files
            .iter()
            .filter(new)
            .fold((0, 0), |(count, bytes), new| {
                (count + 1, bytes + new.name.as_str().len())
            });
        if peer.offers.len() + count > limits.offers_of_one {
            return Err(too_much("one client", limits.offers_of_one));
        }
        if self.offers + count > limits.offers || self.name_bytes + bytes > limits.name_bytes {
            return Err(too_much("all clients together", limits.offers));
        }
        for Offer { name, size, id } in files {
            let name = Arc::new(name);
            self.no_longer_gone(&(owner.clone(), Some(name.clone())));
            let version = self.next_version(Row::Offer(owner.clone(), name.clone()));
            let Some(peer) = self.peers.get_mut(&owner) else {
                continue;
            };
            let bytes = name.as_str().len();
            match peer.offers.insert(name, Offered { version, size, id }) {
                Some(before) => {
                    self.log.remove(&before.version);
                }
                None => {
                    self.offers += 1;
                    self.name_bytes += bytes;
                }
            }
        }
        Ok(())
    }

    /// The client offers these files no more; none named: nothing at all.
    pub(super) fn withdraw(
        &mut self,
        name: &PeerName,
        session: u64,
        files: &[FileName],
    ) -> Result<(), Failure> {
        let (owner, _) = self.own(name, session)?;
        if files.is_empty() {
            self.void(name, session);
            return Ok(());
        }
        for file in files {
            let Some(peer) = self.peers.get_mut(&owner) else {
                continue;
            };
            let Some((file, offered)) = peer.offers.remove_entry(file) else {
                continue;
            };
            self.offers -= 1;
            self.name_bytes -= file.as_str().len();
            self.log.remove(&offered.version);
            self.remember((owner.clone(), Some(file)));
        }
        Ok(())
    }

    /// Where the file that this client offers can be had.
    pub(super) fn provider(&self, owner: &PeerName, file: &FileName) -> Option<Provider> {
        let peer = self.peers.get(owner)?;
        let online = peer.online.clone()?;
        let offered = peer.offers.get(file)?;
        Some(Provider {
            address: peer.address,
            port: peer.port,
            online,
            size: offered.size,
            id: offered.id,
        })
    }

    /// The client of this name, if it is there.
    pub(super) fn online(&self, name: &PeerName) -> Option<&Online> {
        self.peers.get(name)?.online.as_ref()
    }

    /// What has changed since, as much as `portion` allows, and in such an order that a client that
    /// has taken all portions has the table. `show` makes addresses of clients what the one that
    /// is told can use.
    pub(super) fn changes(
        &self,
        since: Cursor,
        portion: Portion,
        show: impl Fn(IpAddr) -> IpAddr,
    ) -> Changes {
        let all_is_told = self.forgotten <= since.version || self.forgotten == since.forgotten;
        let since = match all_is_told && 0 < since.version && since.version <= self.version {
            true => since,
            false => Cursor {
                version: 0,
                forgotten: self.forgotten,
            },
        };
        let mut changes = Changes {
            since: since.version,
            reached: since,
            ..Changes::default()
        };
        let (mut items, mut bytes) = (0, 0);
        for (version, row) in self.log.range(since.version + 1..) {
            items += 1;
            bytes += row.bytes();
            if items > portion.items || bytes > portion.bytes {
                changes.more = true;
                return changes;
            }
            changes.reached.version = *version;
            match row {
                Row::Peer(name) => changes.peers.extend(self.wire_peer(name, &show)),
                Row::Offer(owner, file) => changes.offers.extend(self.wire_offer(owner, file)),
                Row::Gone((owner, file)) => changes.gone.push(WireGone {
                    owner: owner.to_string(),
                    file: file.as_ref().map(|file| file.as_str().to_owned()),
                }),
            }
        }
        // There are versions under which nothing stands any more.
        changes.reached.version = self.version;
        changes
    }

    fn wire_peer(&self, name: &PeerName, show: impl Fn(IpAddr) -> IpAddr) -> Option<WirePeer> {
        let peer = self.peers.get(name)?;
        Some(WirePeer {
            name: name.to_string(),
            address: show(peer.address).into(),
            port: peer.port,
            online: peer.online.is_some(),
        })
    }

    fn wire_offer(&self, owner: &PeerName, file: &FileName) -> Option<WireOffer> {
        let offered = self.peers.get(owner)?.offers.get(file)?;
        Some(WireOffer {
            owner: owner.to_string(),
            file: file.as_str().to_owned(),
            size: offered.size,
            id: WireDigest::from(offered.id),
        })
    }

    /// The client of this name, if this session is its own.
    fn own(&self, name: &PeerName, session: u64) -> Result<(Arc<PeerName>, &Peer), Failure> {
        self.peers
            .get_key_value(name)
            .filter(|(_, peer)| {
                let online = peer.online.as_ref();
                online.is_some_and(|online| online.session == session)
            })
            .map(|(name, peer)| (name.clone(), peer))
            .ok_or_else(not_registered)
    }

    /// Takes away all that this client offers: it stands in the log anew. Whether it is its own.
    fn void(&mut self, name: &PeerName, session: u64) -> bool {
        let Ok((owner, _)) = self.own(name, session) else {
            return false;
        };
        let version = self.next_version(Row::Peer(owner));
        let Some(peer) = self.peers.get_mut(name) else {
            return false;
        };
        self.log.remove(&peer.version);
        peer.version = version;
        for (file, offered) in std::mem::take(&mut peer.offers) {
            self.log.remove(&offered.version);
            self.offers -= 1;
            self.name_bytes -= file.as_str().len();
        }
        true
    }

    /// Forgets the client that has been offline for the longest time, if the table is full.
    fn make_room(&mut self) -> Result<(), Taken> {
        if self.peers.len() < self.limits.peers {
            return Ok(());
        }
        let (version, name) = self.offline.pop_first().ok_or(Taken::Full)?;
        self.log.remove(&version);
        self.peers.remove(&name);
        self.remember((name, None));
        Ok(())
    }

    /// Notes that something is gone, and forgets what has been gone for the longest time.
    fn remember(&mut self, gone: Gone) {
        let version = self.next_version(Row::Gone(gone.clone()));
        self.gone.insert(gone.clone(), version);
        self.gone_at.insert(version, gone);
        if self.gone.len() > self.limits.gone
            && let Some((oldest, gone)) = self.gone_at.pop_first()
        {
            self.gone.remove(&gone);
            self.log.remove(&oldest);
            self.forgotten = oldest;
        }
    }

    /// Something is there, or there again.
    fn no_longer_gone(&mut self, gone: &Gone) {
        if let Some(version) = self.gone.remove(gone) {
            self.gone_at.remove(&version);
            self.log.remove(&version);
        }
    }

    /// Notes what has changed, under a version of its own.
    fn next_version(&mut self, row: Row) -> u64 {
        self.version += 1;
        self.log.insert(self.version, row);
        self.version
    }
}

fn too_much(who: &str, most: usize) -> Failure {
    let what = format!("{who} can offer {most} files at most");
    Failure::new(ErrorCode::QuotaExceeded, what)
}

/// The refusal of a client that has to register first.
pub(super) fn not_registered() -> Failure {
    let what = "this client is not registered: say register NAME first";
    Failure::new(ErrorCode::Usage, what)
}

#[cfg(test)]
mod tests;
