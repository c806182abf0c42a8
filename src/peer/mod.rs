//! A registered client: it is known to others by a name, offers files out of a folder of its own,
//! serves them, and fetches those of others, straight from one to the other.
//!
//! It is a client and more. `keeper` keeps its connection to the server, on which it is there, and
//! `control` is what is said on it;
//! `listener` lets in others, and `provision` serves one of them; `standing` is what these share,
//! with the `shelf` of what is offered and the `table` of what others offer. `route` is the way to a
//! file of somebody else; the client's own download goes along it.

mod control;
mod event;
mod keeper;
mod key;
mod listener;
mod provision;
mod route;
mod shelf;
mod standing;
mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::client::{Client, Download, FileReport, ServerAddress, Target};
use crate::net::PeerTls;
use crate::protocol::Failure;
use crate::protocol::message::{ClientBody, ServerBody};
use crate::transfer::Progress;
use crate::types::{FileName, FileRef, OnConflict, PeerName};

pub use event::{Event, Observer};
pub use shelf::{Directory, Hashed, hash};
pub use table::{KnownPeer, Offer, Table};

use keeper::{Keeper, Order, not_responding};
use route::{Asker, PeerRoute};
use standing::{Standing, State};

/// How many wishes may wait for the control connection: a user has one at a time.
const ORDERS: usize = 16;

/// What a client registers as.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its name.
    pub name: PeerName,
    /// The port to listen on; the system chooses without it.
    pub port: Option<u16>,
    /// Whether to come back by itself when the server was gone.
    pub persistent: bool,
}

/// A client that is registered, or tries to be again. Cheap to clone; when the last one is dropped
/// it goes offline.
#[derive(Clone)]
pub struct Peer {
    standing: Arc<Standing>,
    orders: mpsc::Sender<Order>,
    port: u16,
    keeping: Arc<Mutex<Option<JoinHandle<Failure>>>>,
}

impl Peer {
    /// Registers with the server of `client`, whose own connection stays as it is. When the server
    /// has not acknowledged and the registration is persistent, both are returned: the failure, and
    /// the client that goes on trying.
    pub async fn register(
        client: &Client,
        registration: Registration,
        observer: Arc<dyn Observer>,
    ) -> Result<(Self, Option<Failure>), Failure> {
        let client = client.beside();
        let (listeners, port) = listener::open(registration.port)?;
        let (tls, secret) = {
            let client = client.beside();
            let work = move || Ok((tls(&client)?, client.registration_secret()));
            shelf::blocking(work).await?
        };
        let standing = Arc::new(Standing::new(
            registration.name,
            tls,
            observer,
            client.options().limit_rate,
        ));
        let (orders, wanted) = mpsc::channel(ORDERS);
        let keeper = Keeper {
            client,
            standing: standing.clone(),
            port,
            secret,
            orders: wanted,
            persistent: registration.persistent,
        };
        let (first, registered) = oneshot::channel();
        // Others may come as soon as the server knows the port.
        listener::run(listeners, &standing);
        let stop = standing.stop.clone();
        let keeping = tokio::spawn(async move {
            let _stops = stop.clone().drop_guard();
            tokio::select! {
                ended = keeper.run(first) => ended,
                () = stop.cancelled() => keeper::gone_offline(),
            }
        });
        let registered = registered.await.unwrap_or_else(|_| Err(not_responding()));
        let peer = Peer {
            standing,
            orders,
            port,
            keeping: Arc::new(Mutex::new(Some(keeping))),
        };
        match registered {
            Ok(()) => Ok((peer, None)),
            Err(failure) if registration.persistent && peer.standing.state() == State::Gone => {
                Ok((peer, Some(failure)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Its name.
    pub fn name(&self) -> &PeerName {
        &self.standing.name
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server sees it, as others are told.
    pub fn address(&self) -> IpAddr {
        self.standing.address()
    }

    /// Whether it shows a key and encrypts what it sends.
    pub fn encrypts(&self) -> bool {
        self.standing.tls.is_some()
    }

    /// Whether the server is known to know it.
    pub fn is_online(&self) -> bool {
        self.standing.state() == State::Online
    }

    /// Whether it has gone offline for good.
    pub fn has_ended(&self) -> bool {
        self.standing.stop.is_cancelled()
    }

    /// Completes when it has gone offline for good, with the reason. Only the first who asks hears
    /// it.
    pub async fn ended(&self) -> Failure {
        self.standing.stop.cancelled().await;
        let keeping = self.keeping().take();
        match keeping {
            Some(keeping) => keeping.await.unwrap_or_else(|_| not_responding()),
            None => not_responding(),
        }
    }

    fn keeping(&self) -> MutexGuard<'_, Option<JoinHandle<Failure>>> {
        self.keeping.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Offers these files too. None is offered when the server does not take them all; those that
    /// were offered before stay then.
    pub async fn offer(&self, files: Vec<Hashed>) -> Result<(), Failure> {
        let shelf = &self.standing.shelf;
        let offered: Vec<_> = files.iter().map(Hashed::to_wire).collect();
        // They can be asked for as soon as the server knows them.
        let before: Vec<_> = files
            .into_iter()
            .map(|file| (file.name().clone(), shelf.put(file)))
            .collect();
        for files in control::pages(offered) {
            if let Err(failure) = self.ask(ClientBody::Offer { files }).await {
                for (name, before) in before {
                    match before {
                        Some(before) => drop(shelf.put(before)),
                        None => drop(shelf.remove(&name)),
                    }
                }
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Takes offers back: these, or all of them when none is named. Nobody gets them from here any
    /// more, whether the server knows it or not. Returns how many were offered.
    pub async fn withdraw(&self, names: &[FileName]) -> Result<usize, Failure> {
        let shelf = &self.standing.shelf;
        let all = shelf.names();
        let names = if names.is_empty() { &all } else { names };
        let removed = names.iter().filter_map(|name| shelf.remove(name)).count();
        for names in names.chunks(MAX_WITHDRAWN) {
            let names = names.iter().map(|name| name.as_str().to_owned()).collect();
            self.ask(ClientBody::Withdraw { names }).await?;
        }
        Ok(removed)
    }

    /// The table of all clients and their offers, as far as it is known here.
    pub fn table(&self) -> Table {
        self.standing.table().clone()
    }

    /// Brings the table up to date.
    pub async fn refresh(&self) -> Result<(), Failure> {
        let (answer, refreshed) = oneshot::channel();
        self.order(Order::Refresh(answer)).await?;
        refreshed.await.unwrap_or_else(|_| Err(not_responding()))
    }

    /// Goes offline; nobody new is let in from now on. With the name of another client the server
    /// refuses it.
    pub async fn leave(&self, name: Option<PeerName>) -> Result<(), Failure> {
        if self.standing.state() == State::Gone && name.as_ref().is_none_or(|n| n == self.name()) {
            // There is nobody to be told; the server finds out by itself.
            self.standing.stop.cancel();
            return Ok(());
        }
        let (answer, left) = oneshot::channel();
        self.order(Order::Leave(name, answer)).await?;
        left.await.unwrap_or_else(|_| Err(not_responding()))
    }

    pub(self) async fn ask(&self, request: ClientBody) -> Result<ServerBody, Failure> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Ask(Box::new(request), answer)).await?;
        answered.await.unwrap_or_else(|_| Err(not_responding()))
    }

    async fn order(&self, order: Order) -> Result<(), Failure> {
        // Nobody waits for a server that is known to be gone.
        if self.standing.state() == State::Gone {
            return Err(not_responding());
        }
        let sent = self.orders.send(order).await;
        sent.map_err(|_| not_responding())
    }
}

/// How many names are taken back with one message: as many of the longest as it has room for.
const MAX_WITHDRAWN: usize = 128;

/// The key that other clients see; none on a wire that is plaintext.
fn tls(client: &Client) -> Result<Option<PeerTls>, Failure> {
    let options = client.options();
    match options.plaintext {
        true => Ok(None),
        false => key::own_key(options.state_dir.as_deref()).map(Some),
    }
}

/// The table of all registered clients and their offers, for a client that need not be one.
pub async fn table(client: &mut Client) -> Result<Table, Failure> {
    let mut table = Table::default();
    let mut taken = Ok(());
    client
        .table(&mut |part| {
            if taken.is_ok() {
                taken = table.take(part).map(drop);
            }
        })
        .await?;
    taken.map(|()| table)
}

/// A file of another client that is wanted.
#[derive(Debug)]
pub struct Request {
    /// Its name.
    pub file: FileName,
    /// Who offers it.
    pub owner: PeerName,
    /// Where its bytes go; into a folder under its own name.
    pub target: Target,
    /// What to do when the local file exists.
    pub on_conflict: OnConflict,
}

/// Fetches a file straight from the client that offers it, or through the server of `client` where
/// that cannot be reached. `peer` is the registered client that asks, if one does. It is verified
/// against the id that was offered. After a cut it goes on by itself.
///
/// Returns how many bytes of file content crossed the wire.
pub async fn fetch(
    client: &Client,
    peer: Option<&Peer>,
    request: Request,
    observer: Arc<dyn Observer>,
    progress: Arc<dyn Progress>,
    report: &mut (dyn FnMut(FileReport) + Send),
) -> Result<u64, Failure> {
    let tls = match peer {
        Some(peer) => peer.standing.tls.clone(),
        None => {
            let client = client.beside();
            shelf::blocking(move || tls(&client)).await?
        }
    };
    let route = Arc::new(PeerRoute {
        owner: request.owner,
        file: request.file.clone(),
        asker: Asker {
            client: client.beside(),
            peer: peer.cloned(),
        },
        tls,
        observer,
        known: Mutex::default(),
    });
    let (address, port, id) = route.prepare().await?;
    let address = ServerAddress {
        host: address.to_string(),
        port,
        user: None,
        fingerprint: None,
    };
    let mut options = client.options().clone();
    options.login = None;
    let mut other = Client::along(route, address, options);
    let wanted = FileRef::id(&format!("id:{id}")).ok_or_else(not_responding)?;
    let download = Download {
        // By its id: a client that has something else is found out.
        file: wanted,
        target: match request.target {
            Target::Folder(folder) => Target::Path(folder.join(request.file.leaf())),
            target => target,
        },
        on_conflict: request.on_conflict,
    };
    other.get(vec![download], false, progress, report).await
}
