//! The connection on which a registered client is there: what it says, what it is told, and what it
//! does when nobody answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as Moment, interval, sleep, timeout_at};
use tracing::debug;

use super::standing::{Admission, Standing, State};
use super::table::Taken;
use super::{Event, listener};
use crate::client::{Client, Control};
use crate::protocol::message::{ClientBody, ServerBody, ServerMessage, WireOffered};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure, Secret};
use crate::types::PeerName;

/// How long an acknowledgement may take before the message is sent again (contract section 8).
const ACKNOWLEDGEMENT: Duration = Duration::from_millis(500);

/// How often a message is sent again, and a lost connection made again, before the server counts as
/// gone.
const TRIES: u32 = 3;

/// How long a server may take, beyond that, to find out that a client that had a name is gone.
const VACATING: Duration = Duration::from_millis(1500);

/// How often the server hears of a client that has nothing to say: it takes one for gone that it has
/// not heard of for 12 s.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a lost connection may take to come back each time; the first one takes as long as the
/// user allows.
const REDIAL: Duration = Duration::from_secs(5);

/// Between two tries of a client that has lost its server: about this long, each client another
/// time, so that five hundred of them are back within 10 s and not all at once.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_millis(2500);

/// The most bytes of names in one message of offers: with what comes around them it stays below the
/// limit of a message.
const OFFER_BYTES: usize = 32 * 1024;

/// The most offers in one message.
const OFFER_FILES: usize = 256;

/// What the user of a registered client wants.
pub(super) enum Order {
    /// This request made; `Refused` is a failure.
    Ask(
        Box<ClientBody>,
        oneshot::Sender<Result<ServerBody, Failure>>,
    ),
    /// The table as it is now.
    Refresh(oneshot::Sender<Result<(), Failure>>),
    /// To go offline, if this is the name of this client.
    Leave(Option<PeerName>, oneshot::Sender<Result<(), Failure>>),
}

/// Keeps a client registered.
pub(super) struct Keeper {
    pub(super) client: Client,
    pub(super) standing: Arc<Standing>,
    pub(super) port: u16,
    pub(super) secret: Secret,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Whether it comes back when the server was gone.
    pub(super) persistent: bool,
}

/// Why a connection ended.
enum Ended {
    /// The client has gone offline.
    Left,
    /// The connection is lost; it may be made again.
    Lost(Failure),
    /// The server does not want this client.
    SentAway(Failure),
}

impl Keeper {
    /// Registers, tells `first` how that went, and stays registered until somebody wants it to end.
    /// Returns why it could not stay.
    pub(super) async fn run(mut self, first: oneshot::Sender<Result<(), Failure>>) -> Failure {
        let mut first = Some(first);
        let mut tries = 0;
        loop {
            let ended = self.connect(&mut first).await;
            if self.standing.state() == State::Online {
                self.standing.turn(State::Trying);
                tries = 0;
            }
            let is_first = first.is_some();
            let failure = match ended {
                Ended::Left => return gone_offline(),
                Ended::SentAway(failure) => {
                    match first.take() {
                        Some(first) => drop(first.send(Err(failure.clone()))),
                        None => self.standing.tell(&Event::SentAway(failure.clone())),
                    }
                    return failure;
                }
                Ended::Lost(failure) => failure,
            };
            debug!(%failure, "lost the server");
            if let Some(first) = first.take() {
                let _ = first.send(Err(failure.clone()));
            }
            let is_gone = self.standing.state() == State::Gone;
            if is_first && !(is_gone && self.persistent) {
                return failure;
            }
            tries += 1;
            if !is_gone && tries <= TRIES {
                self.standing.tell(&Event::Retrying(tries));
                sleep(ACKNOWLEDGEMENT).await;
                continue;
            }
            self.give_up();
            if !self.persistent {
                return not_responding();
            }
            if self.wait().await {
                return gone_offline();
            }
        }
    }

    fn give_up(&self) {
        if self.standing.turn(State::Gone) != State::Gone {
            self.standing.tell(&Event::NotResponding);
        }
    }

    /// Waits before the next try; whoever had wanted something before it was clear that the server
    /// is gone hears so. Returns whether nobody is left who could want anything.
    async fn wait(&mut self) -> bool {
        let pause = rand::random_range(PAUSE.start.as_millis()..PAUSE.end.as_millis());
        let until = Moment::now() + Duration::from_millis(u64::try_from(pause).unwrap_or(1000));
        loop {
            let order = match timeout_at(until, self.orders.recv()).await {
                Err(_) => return false,
                Ok(None) => return true,
                Ok(Some(order)) => order,
            };
            match order {
                Order::Ask(_, answer) => drop(answer.send(Err(not_responding()))),
                Order::Refresh(answer) => drop(answer.send(Err(not_responding()))),
                Order::Leave(_, answer) => drop(answer.send(Err(not_responding()))),
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn connect(&mut self, first: &mut Option<oneshot::Sender<Result<(), Failure>>>) -> Ended {
        let patience = match first {
            Some(_) => Duration::MAX,
            None => REDIAL,
        };
        let control = match self.client.control(patience).await {
            Ok(control) => control,
            Err(failure) => return ended(failure),
        };
        let mut line = Line {
            control,
            keeper: self,
            missed: false,
            probed: false,
        };
        if let Err(ended) = line.register().await {
            return ended;
        }
        if line.keeper.standing.turn(State::Online) == State::Gone {
            line.keeper.standing.tell(&Event::Online);
        }
        if let Some(first) = first.take() {
            let _ = first.send(Ok(()));
        }
        line.stay().await
    }
}

/// Whether a failure to connect may mend itself.
fn ended(failure: Failure) -> Ended {
    match failure.code {
        ErrorCode::Unreachable | ErrorCode::Timeout | ErrorCode::Disconnected | ErrorCode::Busy => {
            Ended::Lost(failure)
        }
        _ => Ended::SentAway(failure),
    }
}

/// What whoever asks is told while the server is gone.
pub(super) fn not_responding() -> Failure {
    let message = "the server does not respond, and this client is offline until it does";
    Failure::new(ErrorCode::Timeout, message)
}

/// Why a client is offline that wanted to be.
pub(super) fn gone_offline() -> Failure {
    Failure::new(ErrorCode::Disconnected, "this client has gone offline")
}

/// A keeper with a connection.
struct Line<'a> {
    control: Control,
    keeper: &'a mut Keeper,
    /// Whether a part of the table was missed.
    missed: bool,
    /// Whether the server wants to hear something.
    probed: bool,
}

impl Line<'_> {
    async fn register(&mut self) -> Result<(), Ended> {
        let standing = self.keeper.standing.clone();
        let request = ClientBody::Register {
            name: standing.name.as_str().to_owned(),
            port: self.keeper.port,
            key: standing.tls.as_ref().map(|tls| tls.fingerprint().bytes()),
            secret: self.keeper.secret,
        };
        match self.exchange(request).await? {
            ServerBody::Registered {
                ticket_key,
                clock,
                address,
                ..
            } => {
                standing.seen_at(address.into());
                standing.admit_by(Admission {
                    key: ticket_key,
                    clock,
                    at: Instant::now(),
                });
            }
            ServerBody::Refused { code, detail } => {
                return Err(Ended::SentAway(Failure::from_wire(code, &detail)));
            }
            _ => return Err(unexpected()),
        }
        let offered: Vec<_> = standing.shelf.all().iter().map(|f| f.to_wire()).collect();
        for files in pages(offered) {
            if let ServerBody::Refused { code, detail } =
                self.exchange(ClientBody::Offer { files }).await?
            {
                standing.tell(&Event::OfferRefused(Failure::from_wire(code, &detail)));
                break;
            }
        }
        Ok(())
    }

    /// Listens and does what is asked for, to the end of the connection.
    async fn stay(&mut self) -> Ended {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.reset();
        loop {
            if let Err(ended) = self.catch_up().await {
                return ended;
            }
            tokio::select! {
                heard = self.control.next() => match heard {
                    Ok((_, message)) => {
                        if let Err(failure) = self.happened(message.body) {
                            return Ended::SentAway(failure);
                        }
                    }
                    Err(failure) => return ended(failure),
                },
                _ = heartbeat.tick() => {
                    if let Err(ended) = self.exchange(ClientBody::Ping).await {
                        return ended;
                    }
                }
                order = self.keeper.orders.recv() => match self.obey(order).await {
                    Ok(true) => return Ended::Left,
                    Ok(false) => {}
                    Err(ended) => return ended,
                },
            }
        }
    }

    /// Asks for what was missed of the table, and says something if the server wants to hear it.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        if std::mem::take(&mut self.missed) {
            self.refresh().await?;
            self.keeper.standing.tell(&Event::TableChanged);
        }
        if std::mem::take(&mut self.probed) {
            self.exchange(ClientBody::Ping).await?;
        }
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), Ended> {
        let (epoch, since) = self.keeper.standing.table().known();
        match self.exchange(ClientBody::Table { epoch, since }).await? {
            ServerBody::Refused { code, detail } => {
                Err(Ended::SentAway(Failure::from_wire(code, &detail)))
            }
            _ => {
                self.keeper.standing.table().confirm();
                Ok(())
            }
        }
    }

    /// Does what the user wants; returns whether that was to go offline.
    async fn obey(&mut self, order: Option<Order>) -> Result<bool, Ended> {
        match order {
            // Nobody is left who could want anything.
            None => {
                let _ = self.exchange(ClientBody::Deregister { name: None }).await;
                Ok(true)
            }
            Some(Order::Ask(request, answer)) => {
                let answered = self.exchange(*request).await;
                let said = match &answered {
                    Ok(body) => refusal(body).map_or_else(|| Ok(body.clone()), Err),
                    Err(_) => Err(not_responding()),
                };
                let _ = answer.send(said);
                answered.map(|_| false)
            }
            Some(Order::Refresh(answer)) => {
                let refreshed = self.refresh().await;
                let said = refreshed.as_ref().map_err(|_| not_responding());
                let _ = answer.send(said.copied());
                refreshed.map(|()| false)
            }
            Some(Order::Leave(name, answer)) => {
                let is_own = name
                    .as_ref()
                    .is_none_or(|n| *n == self.keeper.standing.name);
                let name = name.map(|name| name.as_str().to_owned());
                match self.exchange(ClientBody::Deregister { name }).await {
                    Ok(body) => {
                        let refused = refusal(&body);
                        let leaves = refused.is_none();
                        let _ = answer.send(refused.map_or(Ok(()), Err));
                        Ok(leaves)
                    }
                    // Gone is gone, whoever knows it.
                    Err(_) if is_own => {
                        let _ = answer.send(Ok(()));
                        Ok(true)
                    }
                    Err(ended) => {
                        let _ = answer.send(Err(not_responding()));
                        Err(ended)
                    }
                }
            }
        }
    }

    /// Makes a request until it is acknowledged, or often enough. What comes meanwhile is heeded.
    async fn exchange(&mut self, request: ClientBody) -> Result<ServerBody, Ended> {
        // Its answer comes in parts, and is not asked for twice.
        let once = matches!(request, ClientBody::Table { .. });
        let last_wait = match request {
            // The server may be asking whoever had the name before.
            ClientBody::Register { .. } => ACKNOWLEDGEMENT + VACATING,
            _ => ACKNOWLEDGEMENT,
        };
        let number = self.control.ask(request.clone()).await.map_err(ended)?;
        let mut tries = 0;
        let mut until = Moment::now() + ACKNOWLEDGEMENT;
        loop {
            let Ok(heard) = timeout_at(until, self.control.next()).await else {
                tries += 1;
                if tries > TRIES {
                    self.keeper.give_up();
                    return Err(Ended::Lost(not_responding()));
                }
                self.keeper.standing.tell(&Event::Retrying(tries));
                if !once {
                    let again = self.control.ask_again(number, request.clone());
                    again.await.map_err(ended)?;
                }
                until = Moment::now()
                    + match tries == TRIES {
                        true => last_wait,
                        false => ACKNOWLEDGEMENT,
                    };
                continue;
            };
            let (answer, ServerMessage { number: to, body }) = heard.map_err(ended)?;
            if to == number && answer != Answer::Event {
                // Whatever it says, it is there.
                until = Moment::now() + ACKNOWLEDGEMENT;
                if let ServerBody::Table { .. } = body {
                    self.take_table(body.clone()).map_err(Ended::SentAway)?;
                }
                if answer == Answer::Final {
                    return Ok(body);
                }
            } else {
                self.happened(body).map_err(Ended::SentAway)?;
            }
        }
    }

    fn take_table(&mut self, body: ServerBody) -> Result<(), Failure> {
        let taken = self.keeper.standing.table().take(body)?;
        self.missed |= taken == Taken::Missed;
        Ok(())
    }

    /// Something that nobody has asked for.
    fn happened(&mut self, body: ServerBody) -> Result<(), Failure> {
        match body {
            ServerBody::Table { .. } => {
                self.take_table(body)?;
                if !self.missed {
                    self.keeper.standing.tell(&Event::TableChanged);
                }
            }
            ServerBody::Changed { .. } => self.missed = true,
            ServerBody::Probe => self.probed = true,
            ServerBody::RelayWanted { id, address } => self.accept_relay(id, address.into()),
            // The second answer to something that was said twice.
            _ => {}
        }
        Ok(())
    }

    /// Lets in somebody who comes through the server.
    fn accept_relay(&self, id: Secret, from: IpAddr) {
        let (client, standing) = (self.keeper.client.beside(), self.keeper.standing.clone());
        tokio::spawn(async move {
            match client.relay(ClientBody::RelayAccept { id }).await {
                Ok(stream) => listener::admit(stream, from, true, &standing),
                Err(failure) => debug!(%failure, "a relay did not come about"),
            }
        });
    }
}

fn refusal(body: &ServerBody) -> Option<Failure> {
    match body {
        ServerBody::Refused { code, detail } => Some(Failure::from_wire(*code, detail)),
        _ => None,
    }
}

fn unexpected() -> Ended {
    let message = "the server gave an unexpected answer";
    Ended::SentAway(Failure::new(ErrorCode::Protocol, message))
}

/// The files in as many messages as it takes.
pub(super) fn pages(files: Vec<WireOffered>) -> Vec<Vec<WireOffered>> {
    let mut pages: Vec<Vec<WireOffered>> = Vec::new();
    let mut room = 0;
    for file in files {
        let bytes = file.name.len();
        match pages.last_mut() {
            Some(page) if page.len() < OFFER_FILES && bytes <= room => {
                room -= bytes;
                page.push(file);
            }
            _ => {
                room = OFFER_BYTES.saturating_sub(bytes);
                pages.push(vec![file]);
            }
        }
    }
    pages
}
