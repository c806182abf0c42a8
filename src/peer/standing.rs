use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::shelf::{Shelf, invalid_request};
use super::table::Table;
use super::{Event, Observer};
use crate::net::{PeerTls, Throttle};
use crate::protocol::{ErrorCode, Failure, Secret, Terms, Ticket};
use crate::types::{Digest, FileName, Fingerprint, PeerName};

/// How many other clients may be here at once on their own way, those who have not shown a ticket
/// yet included. Each costs a few KiB until it has one; who finds no place comes through the server.
const PLACES: usize = 256;

/// How many may be here through the server, which has seen their tickets.
const RELAYED_PLACES: usize = 64;

/// What the tasks of a registered client share.
pub(super) struct Standing {
    pub(super) name: PeerName,
    /// The key for other clients; without it everything is plaintext.
    pub(super) tls: Option<PeerTls>,
    pub(super) observer: Arc<dyn Observer>,
    /// How fast files go out, all together.
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) shelf: Shelf,
    pub(super) places: Arc<Semaphore>,
    pub(super) relayed_places: Arc<Semaphore>,
    /// Cancelled when the client goes offline for good.
    pub(super) stop: CancellationToken,
    table: Mutex<Table>,
    admission: Mutex<Option<Admission>>,
    state: Mutex<State>,
    address: Mutex<IpAddr>,
}

/// What a registered client knows of its server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It is to be found out.
    #[default]
    Trying,
    /// The server knows this client.
    Online,
    /// The server does not respond, and the user knows that.
    Gone,
}

/// By what tickets are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    /// What the server seals them with.
    pub(super) key: Secret,
    /// What the server's clock said, in milliseconds …
    pub(super) clock: u64,
    /// … and when it did.
    pub(super) at: Instant,
}

impl Admission {
    fn now(&self) -> u64 {
        let since = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.saturating_add(since)
    }
}

/// What a ticket permits, once it is known to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permit {
    pub(super) file: FileName,
    pub(super) id: Digest,
    /// The name of who has it, when that is registered.
    pub(super) requester: Option<PeerName>,
}

impl Standing {
    pub(super) fn new(
        name: PeerName,
        tls: Option<PeerTls>,
        observer: Arc<dyn Observer>,
        limit_rate: Option<u64>,
    ) -> Self {
        Standing {
            throttle: limit_rate.map(|rate| Arc::new(Throttle::new(rate))),
            name,
            tls,
            observer,
            shelf: Shelf::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            relayed_places: Arc::new(Semaphore::new(RELAYED_PLACES)),
            stop: CancellationToken::new(),
            table: Mutex::default(),
            admission: Mutex::default(),
            state: Mutex::default(),
            address: Mutex::new(Ipv4Addr::UNSPECIFIED.into()),
        }
    }

    pub(super) fn tell(&self, event: &Event) {
        self.observer.happened(event);
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes how things are; returns how they were.
    pub(super) fn turn(&self, now: State) -> State {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        std::mem::replace(&mut *state, now)
    }

    /// Where the server sees this client.
    pub(super) fn address(&self) -> IpAddr {
        *self.address.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn seen_at(&self, address: IpAddr) {
        *self.address.lock().unwrap_or_else(|e| e.into_inner()) = address;
    }

    fn admission(&self) -> MutexGuard<'_, Option<Admission>> {
        self.admission.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn admit_by(&self, admission: Admission) {
        *self.admission() = Some(admission);
    }

    /// Whether the ticket is one for whoever holds `key`, for now, and for something of ours. What
    /// is wrong with it is nobody's business but who wrote it.
    pub(super) fn check(
        &self,
        ticket: &Ticket,
        key: Option<Fingerprint>,
    ) -> Result<Permit, Failure> {
        let admission = *self.admission();
        let Terms {
            owner,
            file,
            size: _,
            id,
            requester,
            key: bound_to,
            expires,
        } = &ticket.terms;
        let is_good = admission.is_some_and(|admission| {
            ticket.is_sealed_with(&admission.key) && *expires > admission.now()
        });
        let is_theirs = *bound_to == key.map(|key| key.bytes());
        if !is_good || !is_theirs || owner != self.name.as_str() {
            let message = "the ticket is not valid here, or not any more";
            return Err(Failure::new(ErrorCode::Forbidden, message));
        }
        let (Ok(file), Ok(id)) = (FileName::parse(file), Digest::try_from(id.clone())) else {
            return Err(invalid_request("that"));
        };
        let requester = requester.as_ref().and_then(|name| name.parse().ok());
        Ok(Permit {
            file,
            id,
            requester,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WireDigest;

    struct Nobody;

    impl Observer for Nobody {
        fn happened(&self, _: &Event) {}
    }

    const KEY: Secret = Secret([1; 32]);

    fn standing() -> Standing {
        let standing = Standing::new("B".parse().unwrap(), None, Arc::new(Nobody), None);
        standing.admit_by(Admission {
            key: KEY,
            clock: 1_000_000,
            at: Instant::now(),
        });
        standing
    }

    fn terms() -> Terms {
        Terms {
            owner: "B".into(),
            file: "foo".into(),
            size: 5,
            id: WireDigest::from(Digest::Md5([7; 16])),
            requester: Some("C".into()),
            key: Some([9; 32]),
            expires: 1_060_000,
        }
    }

    #[test]
    fn a_ticket_holds_for_one_key_one_client_and_one_minute() {
        let standing = standing();
        let key = Some(Fingerprint::new([9; 32]));
        let check = |change: fn(&mut Terms), key| {
            let mut terms = terms();
            change(&mut terms);
            standing.check(&Ticket::new(terms, &KEY).unwrap(), key)
        };
        let permit = check(|_| {}, key).unwrap();
        assert_eq!(permit.file.as_str(), "foo");
        assert_eq!(permit.requester.unwrap().as_str(), "C");
        for (change, key) in [
            ((|_| {}) as fn(&mut Terms), None),
            (|_| {}, Some(Fingerprint::new([8; 32]))),
            (|terms| terms.owner = "A".into(), key),
            (|terms| terms.expires = 1_000_000, key),
            (|terms| terms.expires = 0, key),
            (|terms| terms.key = None, key),
        ] {
            assert_eq!(check(change, key).unwrap_err().code, ErrorCode::Forbidden);
        }
        assert!(check(|terms| terms.file = "../foo".into(), key).is_err());
        let forged = Ticket::new(terms(), &Secret([2; 32])).unwrap();
        assert!(standing.check(&forged, key).is_err());
        // Before it has registered a client lets nobody in.
        let fresh = Standing::new("B".parse().unwrap(), None, Arc::new(Nobody), None);
        let ticket = Ticket::new(terms(), &KEY).unwrap();
        assert!(fresh.check(&ticket, key).is_err());
    }
}
