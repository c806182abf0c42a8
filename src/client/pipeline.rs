//! Many small changes: as many requests under way at once as the protocol allows, and not a round
//! trip for each.

use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::link::{self, Heard, Inbox, Link, Outbox};
use super::retry::Retries;
use super::{Client, ClientError, Removed, unexpected};
use crate::protocol::limits::MAX_PIPELINED;
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::{ErrorCode, Failure, WireRef};
use crate::types::{FileName, FileRef, Item, Precondition};

/// One file or folder to remove ([`Client::remove_all`]).
#[derive(Debug, Clone)]
pub struct Removal {
    /// Which one.
    pub file: FileRef,
    /// A folder goes with everything in it; without this it is refused.
    pub recursive: bool,
    /// What must hold of it.
    pub precondition: Precondition,
}

/// Who hears the answer to the request at each place.
type Each<'a> = &'a mut (dyn FnMut(usize, Result<ServerBody, Failure>) + Send);

impl Client {
    /// Makes these folders and the missing ones above them; one that is there already is as good.
    /// `report` hears of every one, by its place, in order. `Err` only when nothing could even be
    /// tried: nothing was reported then.
    pub async fn make_folders(
        &mut self,
        names: &[FileName],
        dry_run: bool,
        report: &mut (dyn FnMut(usize, Result<(), ClientError>) + Send),
    ) -> Result<(), ClientError> {
        let make = |name: &FileName| ClientBody::MakeFolder {
            name: name.as_str().to_owned(),
            dry_run,
        };
        let mut taken = Vec::new();
        let requests = names.iter().map(make).collect();
        ask_all(self, requests, &mut |place, answer| match answer {
            Err(failure) if failure.code == ErrorCode::AlreadyExists => {
                taken.push((place, failure));
            }
            other => report(place, other.map(drop)),
        })
        .await?;
        let look = |(place, _): &(usize, Failure)| ClientBody::Stat {
            file: WireRef::Name(names.get(*place).map_or("", FileName::as_str).to_owned()),
            wait_for_id: false,
        };
        let requests = taken.iter().map(look).collect();
        let mut taken = taken.into_iter();
        ask_all(self, requests, &mut |_, answer| {
            let folder = answer
                .and_then(item)
                .is_ok_and(|item| matches!(item, Item::Folder(_)));
            if let Some((place, failure)) = taken.next() {
                report(place, if folder { Ok(()) } else { Err(failure) });
            }
        })
        .await
    }

    /// Removes all of these. `report` hears of every one, by its place, in order. `Err` only when
    /// nothing could even be tried: nothing was reported then.
    ///
    /// What was not answered when the connection was cut is asked for again; what was removed all
    /// the same is then reported as `NotFound`.
    pub async fn remove_all(
        &mut self,
        removals: Vec<Removal>,
        dry_run: bool,
        report: &mut (dyn FnMut(usize, Result<Removed, ClientError>) + Send),
    ) -> Result<(), ClientError> {
        let remove = |removal: Removal| ClientBody::Remove {
            file: (&removal.file).into(),
            recursive: removal.recursive,
            if_match: removal.precondition.if_match.map(Into::into),
            dry_run,
        };
        let requests = removals.into_iter().map(remove).collect();
        ask_all(self, requests, &mut |place, answer| {
            report(place, answer.and_then(removed));
        })
        .await
    }

    /// Removes these folders, in this order, each if nothing at all is in it (else `Conflict`).
    /// `report` hears of every one, by its place, in order. `Err` only when nothing could even be
    /// tried: nothing was reported then.
    pub async fn remove_empty_folders(
        &mut self,
        names: &[FileName],
        report: &mut (dyn FnMut(usize, Result<(), ClientError>) + Send),
    ) -> Result<(), ClientError> {
        let remove = |name: &FileName| ClientBody::RemoveFolder {
            name: name.as_str().to_owned(),
        };
        let requests = names.iter().map(remove).collect();
        ask_all(self, requests, &mut |place, answer| {
            report(place, answer.and_then(item).map(drop));
        })
        .await
    }
}

pub(super) fn item(body: ServerBody) -> Result<Item, Failure> {
    match body {
        ServerBody::Item(item) => Item::try_from(item).map_err(|error| link::broken(&error)),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn removed(body: ServerBody) -> Result<Removed, Failure> {
    match body {
        ServerBody::Removed { item, kept } => {
            let item = Item::try_from(item).map_err(|error| link::broken(&error))?;
            Ok(Removed { item, kept })
        }
        other => Err(unexpected(&other)),
    }
}

/// Makes all these requests, of which each has a single answer. After a cut those that have none
/// yet are made again; when that is given up, they fail.
async fn ask_all(
    client: &mut Client,
    requests: Vec<ClientBody>,
    each: Each<'_>,
) -> Result<(), Failure> {
    if requests.is_empty() {
        return Ok(());
    }
    client.connect().await?;
    let mut retries = Retries::new(&client.options);
    let mut done = 0;
    while let Some(left) = requests.get(done..).filter(|left| !left.is_empty()) {
        let before = done;
        let mut answered = |answer| {
            each(done, answer);
            done += 1;
        };
        let Err(mut failure) = round(client, left, &mut answered).await else {
            continue;
        };
        if done > before {
            retries.progressed();
        }
        if client.may_retry(&failure) {
            match retries.wait(failure).await {
                Ok(()) => continue,
                Err(last) => failure = last,
            }
        }
        for place in done..requests.len() {
            each(place, Err(failure.clone()));
        }
        return Ok(());
    }
    Ok(())
}

/// One try at all of them, over one connection.
async fn round(
    client: &mut Client,
    requests: &[ClientBody],
    answered: &mut (dyn FnMut(Result<ServerBody, Failure>) + Send),
) -> Result<(), Failure> {
    let mut link = client.take_link_for_change().await?;
    let numbers: Vec<u32> = requests.iter().map(|_| link.next_number()).collect();
    let (room, more_room) = mpsc::unbounded_channel();
    let Link { inbox, outbox, .. } = &mut link;
    let reading = async {
        for number in &numbers {
            answered(answer(inbox, *number).await?);
            // Nobody waits for room any more when all was sent.
            let _ = room.send(());
        }
        Ok(())
    };
    link::both(reading, send_all(outbox, requests, &numbers, more_room)).await?;
    client.link = Some(link);
    Ok(())
}

async fn send_all(
    outbox: &mut Outbox,
    requests: &[ClientBody],
    numbers: &[u32],
    mut more_room: UnboundedReceiver<()>,
) -> Result<(), Failure> {
    for (place, (request, number)) in requests.iter().zip(numbers).enumerate() {
        if place >= MAX_PIPELINED && more_room.try_recv().is_err() {
            outbox.flush().await?;
            if more_room.recv().await.is_none() {
                return Ok(());
            }
        }
        outbox.message(*number, request.clone()).await?;
    }
    outbox.flush().await
}

/// The single answer to the request with this number.
async fn answer(inbox: &mut Inbox, number: u32) -> Result<Result<ServerBody, Failure>, Failure> {
    match inbox.next().await? {
        Heard::Message(_, message) if message.number == number => Ok(match message.body {
            ServerBody::Refused { code, detail } => Err(Failure::from_wire(code, &detail)),
            body => Ok(body),
        }),
        _ => Err(link::broken("an answer to another request")),
    }
}
