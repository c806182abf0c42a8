use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::protocol::message::{ServerBody, WireGone, WireOffer, WirePeer};
use crate::protocol::{ErrorCode, Failure};
use crate::types::{Digest, FileName, PeerName};

/// The most clients that a table may have: as many as a server has connections, several times over.
const MAX_PEERS: usize = 65_536;

/// The most offers that a table may have: ten times what a server is made for.
const MAX_OFFERS: usize = 1_000_000;

/// A client that is or was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its name.
    pub name: PeerName,
    /// Where it is.
    pub address: IpAddr,
    /// Where it listens.
    pub port: u16,
    /// Whether it is there.
    pub online: bool,
}

/// A file that a client offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub file: FileName,
    /// The client that has it.
    pub owner: PeerName,
    /// Where that is.
    pub address: IpAddr,
    /// Where that listens.
    pub port: u16,
    /// The file's size in bytes.
    pub size: u64,
    /// The file's id.
    pub id: Digest,
}

/// Who is there and offers what, as the server has told.
#[derive(Debug, Clone, Default)]
pub struct Table {
    epoch: u64,
    version: u64,
    /// Whether more of an answer is to come.
    partial: bool,
    peers: BTreeMap<PeerName, Whereabouts>,
    offers: BTreeMap<PeerName, BTreeMap<FileName, (u64, Digest)>>,
    files: usize,
    /// When the server was last known to agree.
    as_of: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Whereabouts {
    address: IpAddr,
    port: u16,
    online: bool,
}

/// What came of a message about the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The table is as the server's.
    Current,
    /// More is to come.
    Partial,
    /// Something before it is missing, and has to be asked for.
    Missed,
}

impl Table {
    /// The epoch and version, for the server to tell what came after.
    pub(super) fn known(&self) -> (u64, u64) {
        (self.epoch, self.version)
    }

    /// The table was as the server's a moment ago.
    pub(super) fn confirm(&mut self) {
        self.as_of = Some(Instant::now());
    }

    /// How long ago the table was as the server's; `None` before there was any.
    pub fn age(&self) -> Option<Duration> {
        Some(self.as_of?.elapsed())
    }

    /// Takes what the server says of its table. What makes no sense is the server's fault.
    pub(super) fn take(&mut self, body: ServerBody) -> Result<Taken, Failure> {
        let ServerBody::Table {
            epoch,
            since,
            version,
            peers,
            offers,
            gone,
            last,
        } = body
        else {
            return Err(broken("another message than the table"));
        };
        if !self.partial {
            match since {
                0 => *self = Table::default(),
                _ if epoch != self.epoch || since > self.version => return Ok(Taken::Missed),
                _ if version <= self.version => return Ok(Taken::Current),
                _ => {}
            }
            self.epoch = epoch;
        }
        peers.into_iter().try_for_each(|peer| self.meet(peer))?;
        offers.into_iter().try_for_each(|offer| self.learn(offer))?;
        gone.into_iter().try_for_each(|gone| self.forget(gone))?;
        self.partial = !last;
        if !last {
            return Ok(Taken::Partial);
        }
        self.version = version;
        self.confirm();
        Ok(Taken::Current)
    }

    fn meet(&mut self, peer: WirePeer) -> Result<(), Failure> {
        let whereabouts = Whereabouts {
            address: peer.address.into(),
            port: peer.port,
            online: peer.online,
        };
        let name = name(&peer.name)?;
        self.void(&name);
        self.peers.insert(name, whereabouts);
        match self.peers.len() > MAX_PEERS {
            true => Err(broken("a table of too many clients")),
            false => Ok(()),
        }
    }

    fn learn(&mut self, offer: WireOffer) -> Result<(), Failure> {
        let owner = name(&offer.owner)?;
        if !self.peers.contains_key(&owner) {
            return Err(broken("an offer of nobody"));
        }
        let file = file(&offer.file)?;
        let id = Digest::try_from(offer.id).map_err(|error| broken(&error.to_string()))?;
        let files = self.offers.entry(owner).or_default();
        if files.insert(file, (offer.size, id)).is_none() {
            self.files += 1;
        }
        match self.files > MAX_OFFERS {
            true => Err(broken("a table of too many offers")),
            false => Ok(()),
        }
    }

    fn forget(&mut self, gone: WireGone) -> Result<(), Failure> {
        let owner = name(&gone.owner)?;
        let Some(gone) = gone.file else {
            self.void(&owner);
            self.peers.remove(&owner);
            return Ok(());
        };
        let gone = file(&gone)?;
        if let Some(files) = self.offers.get_mut(&owner)
            && files.remove(&gone).is_some()
        {
            self.files -= 1;
        }
        Ok(())
    }

    fn void(&mut self, owner: &PeerName) {
        let files = self.offers.remove(owner).unwrap_or_default();
        self.files -= files.len();
    }

    /// Every known client, in order of names.
    pub fn peers(&self) -> impl Iterator<Item = KnownPeer> + '_ {
        self.peers.iter().map(|(name, there)| KnownPeer {
            name: name.clone(),
            address: there.address,
            port: there.port,
            online: there.online,
        })
    }

    /// What the clients offer that are there, in order of files.
    pub fn offers(&self) -> Vec<Offer> {
        let online = self.peers().filter(|peer| peer.online);
        let mut offers: Vec<Offer> = online
            .flat_map(|peer| {
                let files = self.offers.get(&peer.name).into_iter().flatten();
                files.map(move |(file, (size, id))| Offer {
                    file: file.clone(),
                    owner: peer.name.clone(),
                    address: peer.address,
                    port: peer.port,
                    size: *size,
                    id: *id,
                })
            })
            .collect();
        offers.sort_by(|a, b| (&a.file, &a.owner).cmp(&(&b.file, &b.owner)));
        offers
    }
}

fn name(text: &str) -> Result<PeerName, Failure> {
    let name = text.parse();
    name.map_err(|_| broken("a client under a name that is none"))
}

fn file(text: &str) -> Result<FileName, Failure> {
    FileName::parse(text).map_err(|_| broken("an offer under a name that is none"))
}

fn broken(what: &str) -> Failure {
    let message = format!("the server broke the protocol: {what}");
    Failure::new(ErrorCode::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WireDigest;

    fn peer(name: &str, online: bool) -> WirePeer {
        let address = IpAddr::from([192, 168, 1, 155]);
        WirePeer {
            name: name.into(),
            address: address.into(),
            port: 1401,
            online,
        }
    }

    fn offer(owner: &str, file: &str) -> WireOffer {
        WireOffer {
            owner: owner.into(),
            file: file.into(),
            size: 5,
            id: WireDigest::from(Digest::Md5([7; 16])),
        }
    }

    fn message(
        since: u64,
        version: u64,
        peers: Vec<WirePeer>,
        offers: Vec<WireOffer>,
        last: bool,
    ) -> ServerBody {
        ServerBody::Table {
            epoch: 1,
            since,
            version,
            peers,
            offers,
            gone: vec![],
            last,
        }
    }

    fn files(table: &Table) -> Vec<String> {
        let offers = table.offers().into_iter();
        offers.map(|o| format!("{}/{}", o.owner, o.file)).collect()
    }

    #[test]
    fn a_whole_table_and_changes_of_it() {
        let mut table = Table::default();
        let first = message(0, 0, vec![peer("B", true)], vec![offer("B", "foo")], false);
        assert_eq!(table.take(first), Ok(Taken::Partial));
        let second = message(0, 4, vec![peer("A", true)], vec![offer("A", "bar")], true);
        assert_eq!(table.take(second), Ok(Taken::Current));
        assert_eq!(files(&table), ["A/bar", "B/foo"]);
        assert_eq!(table.known(), (1, 4));
        let old = message(3, 4, vec![peer("B", false)], vec![], true);
        assert_eq!(table.take(old), Ok(Taken::Current), "known already");
        assert_eq!(files(&table), ["A/bar", "B/foo"]);
        let gap = message(5, 6, vec![], vec![], true);
        assert_eq!(table.take(gap), Ok(Taken::Missed));
        let left = message(4, 6, vec![peer("B", false)], vec![], true);
        assert_eq!(table.take(left), Ok(Taken::Current));
        assert_eq!(files(&table), ["A/bar"]);
        assert_eq!(table.peers().count(), 2);
        let gone = |owner: &str, file: Option<&str>| WireGone {
            owner: owner.into(),
            file: file.map(str::to_owned),
        };
        let gone = ServerBody::Table {
            epoch: 1,
            since: 6,
            version: 8,
            peers: vec![],
            offers: vec![],
            gone: vec![
                gone("B", None),
                gone("A", Some("bar")),
                gone("A", Some("x")),
            ],
            last: true,
        };
        assert_eq!(table.take(gone), Ok(Taken::Current));
        assert_eq!((files(&table).len(), table.peers().count()), (0, 1));
        let other = ServerBody::Table {
            epoch: 2,
            since: 8,
            version: 9,
            peers: vec![],
            offers: vec![],
            gone: vec![],
            last: true,
        };
        assert_eq!(table.take(other), Ok(Taken::Missed), "another run");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (peers, offers) in [
            (vec![peer("a/b", true)], vec![]),
            (vec![peer("\u{1b}[2J", true)], vec![]),
            (vec![], vec![offer("B", "foo")]),
            (vec![peer("B", true)], vec![offer("B", "../foo")]),
            (vec![peer("B", true)], vec![offer("B", "\u{1b}]0;x\u{7}")]),
        ] {
            let taken = Table::default().take(message(0, 1, peers, offers, true));
            assert_eq!(taken.unwrap_err().code, ErrorCode::Protocol);
        }
    }
}
