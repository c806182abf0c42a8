//! The connection on which a registered client is there: what it says, and what it is told.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::time::{Instant as Moment, interval, sleep_until, timeout_at};
use tracing::debug;

use super::keeper::{ACKNOWLEDGEMENT, Ended, Keeper, Order, TRIES, ended, not_responding};
use super::standing::Admission;
use super::table::Taken;
use super::{Event, listener};
use crate::client::Control;
use crate::protocol::message::{ClientBody, ServerBody, ServerMessage, WireOffered};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure, Secret};

/// How long a server may take, beyond that, to find out that a client that had a name is gone.
const VACATING: Duration = Duration::from_millis(1500);

/// How often the server hears of a client that has nothing to say: it takes one for gone that it has
/// not heard of for 12 s.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The longest pause before a missed part of the table is asked for.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The most bytes of names in one message of offers: with what comes around them it stays below the
/// limit of a message.
const OFFER_BYTES: usize = 32 * 1024;

/// The most offers in one message.
const OFFER_FILES: usize = 256;

/// A keeper with a connection.
pub(super) struct Line<'a> {
    control: Control,
    pub(super) keeper: &'a mut Keeper,
    /// When to ask for a part of the table that was missed.
    missed: Option<Moment>,
    /// Whether the server wants to hear something.
    probed: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(control: Control, keeper: &'a mut Keeper) -> Self {
        Line {
            control,
            keeper,
            missed: None,
            probed: false,
        }
    }

    pub(super) async fn register(&mut self) -> Result<(), Ended> {
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
    pub(super) async fn stay(&mut self) -> Ended {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.reset();
        loop {
            if let Err(ended) = self.show_up().await {
                return ended;
            }
            let missed = self.missed;
            tokio::select! {
                () = sleep_until(missed.unwrap_or_else(Moment::now)), if missed.is_some() => {
                    if let Err(ended) = self.refresh().await {
                        return ended;
                    }
                }
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

    /// Says something if the server wants to hear it.
    async fn show_up(&mut self) -> Result<(), Ended> {
        if std::mem::take(&mut self.probed) {
            self.exchange(ClientBody::Ping).await?;
        }
        Ok(())
    }

    /// A part of the table was missed. Everybody has missed it, and not all ask at once; whoever
    /// looks at the table before that asks for it then.
    fn miss(&mut self) {
        let pause = CATCH_UP.mul_f64(rand::random());
        self.missed.get_or_insert(Moment::now() + pause);
    }

    async fn refresh(&mut self) -> Result<(), Ended> {
        self.missed = None;
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
                    Err(Ended::SentAway(failure)) => Err(failure.clone()),
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
        if taken == Taken::Missed {
            self.miss();
        }
        Ok(())
    }

    /// Something that nobody has asked for.
    fn happened(&mut self, body: ServerBody) -> Result<(), Failure> {
        match body {
            ServerBody::Table { .. } => {
                self.take_table(body)?;
                self.keeper.standing.tell(&Event::TableChanged);
            }
            ServerBody::Changed { .. } => {
                self.miss();
                self.keeper.standing.tell(&Event::TableChanged);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WireDigest;
    use crate::protocol::codec;
    use crate::protocol::limits::MAX_MESSAGE_BODY;
    use crate::types::Digest;

    #[test]
    fn offers_fit_into_messages_whatever_they_are_called() {
        let file = |name: String| WireOffered {
            name,
            size: u64::MAX,
            id: WireDigest::from(Digest::Md5([7; 16])),
        };
        for (length, files) in [(1, 3000), (255, 3000), (4096, 50)] {
            let files = (0..files).map(|n| file(format!("{n:0>length$}"))).collect();
            let pages = pages(files);
            for page in &pages {
                let files = page.clone();
                let mut bytes = Vec::new();
                codec::encode(&ClientBody::Offer { files }, &mut bytes, MAX_MESSAGE_BODY).unwrap();
            }
            assert!(pages.len() < 60, "{}", pages.len());
        }
        assert!(pages(vec![]).is_empty());
    }
}
