use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const ALL: Portion = Portion {
    items: usize::MAX,
    bytes: usize::MAX,
};

fn peer(text: &str) -> PeerName {
    text.parse().unwrap()
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

fn online(session: u64, identity: u8) -> Online {
    Online {
        session,
        identity: [identity; 32],
        key: None,
        ticket_key: Secret([0; 32]),
    }
}

fn offer(name: &str, size: u64) -> Offer {
    Offer {
        name: FileName::parse(name).unwrap(),
        size,
        id: Digest::Md5([1; 16]),
    }
}

fn enter(table: &mut Table, name: &str, session: u64) -> Result<(), Taken> {
    let identity = session as u8;
    table.enter(&peer(name), address(1), 1401, online(session, identity))
}

/// What a client knows that takes in all that it is told.
#[derive(Debug, Default, Clone, PartialEq)]
struct Replica {
    cursor: Cursor,
    peers: BTreeMap<String, bool>,
    offers: BTreeMap<(String, String), u64>,
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Replica {
    /// Takes in one portion; whether there is more.
    fn take(&mut self, changes: Changes) -> bool {
        if changes.since == 0 {
            *self = Replica::default();
        }
        assert_eq!(changes.since, self.cursor.version);
        self.cursor = changes.reached;
        for peer in changes.peers {
            self.offers.retain(|(owner, _), _| *owner != peer.name);
            self.peers.insert(peer.name, peer.online);
        }
        for offer in changes.offers {
            assert!(self.peers.contains_key(&offer.owner));
            self.offers.insert((offer.owner, offer.file), offer.size);
        }
        for gone in changes.gone {
            match gone.file {
                Some(file) => {
                    self.offers.remove(&(gone.owner, file));
                }
                None => {
                    self.offers.retain(|(owner, _), _| *owner != gone.owner);
                    self.peers.remove(&gone.owner);
                }
            }
        }
        changes.more
    }

    fn follow(&mut self, table: &Table, portion: Portion) {
        for _ in 0..10_000 {
            if !self.take(table.changes(self.cursor, portion, |address| address)) {
                return;
            }
        }
        panic!("it never ends");
    }
}

impl Table {
    /// What stands in it, without the log.
    fn content(&self) -> Replica {
        let mut content = Replica {
            cursor: Cursor::at(self.version),
            ..Replica::default()
        };
        for (name, peer) in &self.peers {
            content
                .peers
                .insert(name.to_string(), peer.online.is_some());
            for (file, offered) in &peer.offers {
                let key = (name.to_string(), file.as_str().to_owned());
                content.offers.insert(key, offered.size);
            }
        }
        content
    }

    fn check(&self) {
        let offers: usize = self.peers.values().map(|peer| peer.offers.len()).sum();
        assert_eq!(self.offers, offers);
        assert_eq!(self.log.len(), self.peers.len() + offers + self.gone.len());
        assert_eq!(self.gone.len(), self.gone_at.len());
        let offline = self.peers.values().filter(|peer| peer.online.is_none());
        assert_eq!(self.offline.len(), offline.count());
        let names = self.peers.values().flat_map(|peer| peer.offers.keys());
        let bytes: usize = names.map(|name| name.as_str().len()).sum();
        assert_eq!(self.name_bytes, bytes);
        assert!(self.gone.len() <= self.limits.gone);
        assert!(self.peers.len() <= self.limits.peers);
        assert!(self.offers <= self.limits.offers);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u8, u8),
    Leave(u8),
    Offer(u8, Vec<(u8, u64)>),
    Withdraw(u8, Vec<u8>),
    Follow(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let files = prop::collection::vec((0..6u8, any::<u64>()), 1..4);
    let step = prop_oneof![
        (0..6u8, 0..3u8).prop_map(|(name, identity)| Step::Enter(name, identity)),
        (0..6u8).prop_map(Step::Leave),
        (0..6u8, files).prop_map(|(name, files)| Step::Offer(name, files)),
        (0..6u8, prop::collection::vec(0..6u8, 0..3))
            .prop_map(|(name, files)| Step::Withdraw(name, files)),
        (0..3usize).prop_map(Step::Follow),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    /// Three clients that look in now and then, in portions of different sizes, always end up with
    /// what the table is.
    #[test]
    fn whoever_asks_for_changes_has_the_table(steps in steps()) {
        let mut table = Table::new(Limits {
            peers: 4,
            offers: 12,
            offers_of_one: 5,
            name_bytes: 20,
            gone: 3,
        });
        let mut replicas = vec![Replica::default(); 3];
        let portions = [1, 3, usize::MAX].map(|items| Portion { items, ..ALL });
        let name = |number: u8| peer(&format!("p{number}"));
        let file = |number: u8| format!("f{number}");
        for step in steps {
            match step {
                Step::Enter(number, identity) => {
                    let online = online(number.into(), identity);
                    let _ = table.enter(&name(number), address(number), 1401, online);
                }
                Step::Leave(number) => table.leave(&name(number), number.into()),
                Step::Offer(number, files) => {
                    let files = files.iter().map(|(f, size)| offer(&file(*f), *size));
                    let _ = table.offer(&name(number), number.into(), files.collect());
                }
                Step::Withdraw(number, files) => {
                    let files: Vec<_> = files
                        .iter()
                        .map(|f| FileName::parse(&file(*f)).unwrap())
                        .collect();
                    let _ = table.withdraw(&name(number), number.into(), &files);
                }
                Step::Follow(who) => {
                    replicas[who].follow(&table, portions[who]);
                    prop_assert_eq!(&replicas[who], &table.content());
                }
            }
            table.check();
        }
        for (replica, portion) in replicas.iter_mut().zip(portions) {
            replica.follow(&table, portion);
            prop_assert_eq!(&*replica, &table.content());
        }
    }
}

/// What is read in portions while it changes is still right at the end.
#[test]
fn a_table_that_changes_while_it_is_read_is_read_right() {
    let mut table = Table::new(Limits {
        gone: 2,
        ..Limits::default()
    });
    assert!(enter(&mut table, "B", 1).is_ok());
    let files = (0..100).map(|number| offer(&format!("f{number}"), number));
    table.offer(&peer("B"), 1, files.collect()).unwrap();
    let few = Portion { items: 7, ..ALL };
    let mut replica = Replica::default();
    for number in 0..40 {
        replica.take(table.changes(replica.cursor, few, |address| address));
        let name = FileName::parse(&format!("f{}", number * 2)).unwrap();
        table.withdraw(&peer("B"), 1, &[name]).unwrap();
        table.check();
    }
    replica.follow(&table, few);
    assert_eq!(replica, table.content());
    assert_eq!(replica.offers.len(), 60);
}

#[test]
fn a_name_belongs_to_who_is_there_under_it() {
    let mut table = Table::new(Limits {
        peers: 2,
        ..Limits::default()
    });
    let taken = |table: &mut Table, name, session, identity| {
        table.enter(&peer(name), address(1), 1401, online(session, identity))
    };
    assert!(taken(&mut table, "B", 1, 7).is_ok());
    assert!(matches!(
        taken(&mut table, "B", 2, 7),
        Err(Taken::BySame(1))
    ));
    assert!(matches!(taken(&mut table, "B", 2, 8), Err(Taken::ByOther)));
    assert!(table.offer(&peer("B"), 2, vec![offer("x", 1)]).is_err());
    assert!(table.withdraw(&peer("B"), 2, &[]).is_err());
    table.leave(&peer("B"), 2);
    assert!(table.online(&peer("B")).is_some(), "not its own");
    assert!(taken(&mut table, "C", 3, 9).is_ok());
    assert!(matches!(taken(&mut table, "D", 4, 1), Err(Taken::Full)));
    table.leave(&peer("B"), 1);
    assert!(table.online(&peer("B")).is_none());
    assert!(taken(&mut table, "D", 4, 1).is_ok(), "B is forgotten");
    table.leave(&peer("C"), 3);
    assert!(taken(&mut table, "C", 5, 8).is_ok(), "free for anybody");
    table.check();
}

#[test]
fn who_leaves_takes_all_offers_along_and_limits_hold() {
    let mut table = Table::new(Limits {
        offers: 3,
        offers_of_one: 2,
        name_bytes: 6,
        ..Limits::default()
    });
    for (name, session) in [("B", 1), ("C", 2)] {
        assert!(enter(&mut table, name, session).is_ok());
    }
    let offered = |table: &mut Table, name: &str, session, files: &[&str]| {
        let files = files.iter().map(|file| offer(file, 5)).collect();
        table.offer(&peer(name), session, files).map_err(|f| f.code)
    };
    let full = Err(ErrorCode::QuotaExceeded);
    assert_eq!(
        offered(&mut table, "B", 1, &["a", "b", "c"]),
        full,
        "of one"
    );
    assert_eq!(offered(&mut table, "B", 1, &["a", "b"]), Ok(()));
    assert_eq!(offered(&mut table, "B", 1, &["a", "b"]), Ok(()), "the same");
    assert_eq!(offered(&mut table, "C", 2, &["a", "b"]), full, "of all");
    assert_eq!(offered(&mut table, "C", 2, &["long1"]), full, "bytes");
    assert_eq!(offered(&mut table, "C", 2, &["c"]), Ok(()));
    table.check();
    let file = FileName::parse("a").unwrap();
    assert!(table.provider(&peer("B"), &file).is_some());
    assert!(table.provider(&peer("C"), &file).is_none());
    table.leave(&peer("B"), 1);
    assert!(table.provider(&peer("B"), &file).is_none());
    assert_eq!(table.content().offers.len(), 1);
    assert_eq!(offered(&mut table, "C", 2, &["d"]), Ok(()));
    table.withdraw(&peer("C"), 2, &[]).unwrap();
    assert_eq!(table.content().offers.len(), 0);
    table.check();
}

/// A version that nobody was told, or one that was told long ago: begin anew.
#[test]
fn who_asks_for_what_is_forgotten_gets_the_whole() {
    let mut table = Table::new(Limits {
        gone: 1,
        ..Limits::default()
    });
    assert!(enter(&mut table, "B", 1).is_ok());
    let files = ["a", "b", "c"].map(|name| offer(name, 1));
    table.offer(&peer("B"), 1, files.into()).unwrap();
    let known = table.version();
    for name in ["a", "b"] {
        let name = FileName::parse(name).unwrap();
        table.withdraw(&peer("B"), 1, &[name]).unwrap();
    }
    let since = |version| {
        let changes = table.changes(Cursor::at(version), ALL, |address| address);
        (changes.since, changes.offers.len(), changes.gone.len())
    };
    assert_eq!(since(known), (0, 1, 1), "a was forgotten");
    assert_eq!(since(known + 1), (known + 1, 0, 1));
    assert_eq!(since(known + 2), (known + 2, 0, 0));
    assert_eq!(since(1_000_000), (0, 1, 1));
}
