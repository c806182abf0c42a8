//! What keeps a client registered: it makes the connection, makes it again when it is lost, and knows
//! when the server is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use super::Event;
use super::control::Line;
use super::standing::{Standing, State};
use crate::client::Client;
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::{ErrorCode, Failure, Secret};
use crate::types::PeerName;

/// How long an acknowledgement may take before the message is sent again (contract section 8).
pub(super) const ACKNOWLEDGEMENT: Duration = Duration::from_millis(500);

/// How often a message is sent again, and a lost connection made again, before the server counts as
/// gone.
pub(super) const TRIES: u32 = 3;

/// How long a lost connection may take to come back each time; the first one takes as long as the
/// user allows.
const REDIAL: Duration = Duration::from_secs(5);

/// Between two tries of a client that has lost its server: about this long, each client another
/// time, so that five hundred of them are back within 10 s and not all at once.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_millis(2500);

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
pub(super) enum Ended {
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

    pub(super) fn give_up(&self) {
        if self.standing.turn(State::Gone) != State::Gone {
            self.standing.tell(&Event::NotResponding);
        }
    }

    /// Waits before the next try; whoever had wanted something before it was clear that the server
    /// is gone hears so. Returns whether nobody is left who could want anything.
    async fn wait(&mut self) -> bool {
        let pause = rand::random_range(PAUSE.start.as_millis()..PAUSE.end.as_millis());
        let until = Instant::now() + Duration::from_millis(u64::try_from(pause).unwrap_or(1000));
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
        let mut line = Line::new(control, self);
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
pub(super) fn ended(failure: Failure) -> Ended {
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
