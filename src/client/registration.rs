//! What a registered client needs of a client: connections of its own for control messages and
//! relays, and a way to other clients.

use std::sync::Arc;
use std::time::Duration;

use super::link::{self, Heard, Link, Stream};
use super::{Client, ClientError, ClientOptions, Route, ServerAddress};
use crate::protocol::message::{ClientBody, ServerBody, ServerMessage};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure, Secret};

impl Client {
    /// Another client of the same server and with the same login, not connected yet.
    pub fn beside(&self) -> Self {
        Client {
            options: self.options.clone(),
            dialler: self.dialler.clone(),
            link: None,
            command: None,
            met: false,
            tokens: self.tokens.clone(),
        }
    }

    /// A client whose other side is no server but another client, which has one file for it.
    /// `address` stands for it in messages.
    pub fn along(route: Arc<dyn Route>, address: ServerAddress, options: ClientOptions) -> Self {
        let mut client = Client::new(address, options);
        client.dialler.route = Some(route);
        client
    }

    /// By what the server knows this user's registrations again, in another run too. It is another
    /// one for each server: none can pretend to be this user at another one. May read a file.
    pub fn registration_secret(&self) -> Secret {
        Secret(self.tokens.identity(&self.dialler.address.known_as()))
    }

    /// How it behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Makes a request of a registered client, or of one that wants something of it, which has a
    /// single answer.
    pub async fn ask_once_for(&mut self, request: ClientBody) -> Result<ServerBody, ClientError> {
        self.ask(request, super::Repeat::Safe).await
    }

    /// The table of all registered clients and their offers; `each` gets its parts in order.
    pub async fn table(
        &mut self,
        each: &mut (dyn FnMut(ServerBody) + Send),
    ) -> Result<(), ClientError> {
        let mut take = |body| {
            each(body);
            Ok(())
        };
        let request = ClientBody::Table { epoch: 0, since: 0 };
        self.ask_for_pages(request, &mut take).await
    }

    /// A new connection for control messages; it takes no longer than `patience`.
    pub async fn control(&self, patience: Duration) -> Result<Control, ClientError> {
        let mut dialler = self.dialler.clone();
        dialler.timeout = dialler.timeout.min(patience);
        let mut link = dialler.dial().await?;
        link.listen();
        Ok(Control(link))
    }

    /// A new connection over which the server relays, once it has agreed to this request.
    pub async fn relay(&self, request: ClientBody) -> Result<Box<dyn Stream>, ClientError> {
        let mut link = self.dialler.dial().await?;
        let number = link.request(request).await?;
        match link.answer(number).await? {
            (_, ServerBody::Relaying) => Ok(Box::new(link.into_rest())),
            (_, ServerBody::Refused { code, detail }) => Err(Failure::from_wire(code, &detail)),
            _ => Err(link::broken("another answer than to a relay")),
        }
    }
}

/// A connection for control messages: requests with a single answer, and events at any time. How
/// long to wait for either is the caller's business.
pub struct Control(Link);

impl Control {
    /// Makes a request; the answer carries the number that is returned.
    pub async fn ask(&mut self, request: ClientBody) -> Result<u32, ClientError> {
        self.0.request(request).await
    }

    /// Makes the request with this number again: it is done once all the same.
    pub async fn ask_again(&mut self, number: u32, request: ClientBody) -> Result<(), ClientError> {
        self.0.request_again(number, request).await
    }

    /// What comes next. Can be dropped and called again.
    pub async fn next(&mut self) -> Result<(Answer, ServerMessage), ClientError> {
        match self.0.inbox.next().await? {
            Heard::Message(answer, message) => Ok((answer, *message)),
            Heard::Data(_) => Err(Failure::new(
                ErrorCode::Protocol,
                "the server sent file content to a registered client",
            )),
        }
    }
}
