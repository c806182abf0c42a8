//! One message: decoded, encoded to the same bytes, and everything in it made into a type.
//!
//! The first byte of the input says whose message the rest is (even: the client's).

#![no_main]

mod bounded;

use std::net::IpAddr;

use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, ServerMessage, UndoOutcome, UploadResult,
    Verdict,
};
use fileshare::protocol::{
    ErrorCode, Failure, Secret, Ticket, WireAddress, WireDigest, WireEntry, WireItem, WireRef,
};
use fileshare::types::{
    Digest, Entry, FileName, FileRef, Item, PeerName, Printable, Timestamp, UserName,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [side, body @ ..] = input else { return };
    match side % 2 {
        0 => bounded::decode::<ClientMessage>(body).map(|message| client(message.body)),
        _ => bounded::decode::<ServerMessage>(body).map(|message| server(message.body)),
    };
});

fn client(body: ClientBody) {
    match body {
        ClientBody::Hello { login, .. } => {
            if let Some(login) = login {
                user(&login.user);
            }
        }
        ClientBody::Ping
        | ClientBody::Info
        | ClientBody::Download { .. }
        | ClientBody::Upload { .. }
        | ClientBody::Skip { .. }
        | ClientBody::Alive
        | ClientBody::Sessions
        | ClientBody::Kick { .. }
        | ClientBody::Command { .. }
        | ClientBody::Undo { .. }
        | ClientBody::Compression { .. }
        | ClientBody::Ranges { .. } => {}
        ClientBody::Restore { name: kept, .. } => name(&kept),
        ClientBody::Resume { digest: of, .. } | ClientBody::Signature { id: of, .. } => digest(of),
        ClientBody::Trash { folder, .. } | ClientBody::List { folder, .. } => {
            folder.iter().for_each(|folder| name(folder))
        }
        ClientBody::Stat { file, .. } => reference(file),
        ClientBody::Rename {
            from, to, if_match, ..
        } => {
            reference(from);
            name(&to);
            if_match.into_iter().for_each(digest);
        }
        ClientBody::Remove { file, if_match, .. } => {
            reference(file);
            if_match.into_iter().for_each(digest);
        }
        ClientBody::MakeFolder { name: folder, .. } | ClientBody::RemoveFolder { name: folder } => {
            name(&folder);
        }
        ClientBody::DownloadPage { files } => files.into_iter().for_each(reference),
        ClientBody::UploadPage { files } => {
            for file in files {
                name(&file.name);
                file.if_match.into_iter().for_each(digest);
                if let Some((seconds, nanoseconds)) = file.modified {
                    let _ = Timestamp::new(seconds, nanoseconds);
                }
            }
        }
        ClientBody::File(file) => about_file(file),
        ClientBody::Register { name: own, .. } => peer(&own),
        ClientBody::Deregister { name: own } => own.iter().for_each(|own| peer(own)),
        ClientBody::Offer { files } => {
            for file in files {
                name(&file.name);
                digest(file.id);
            }
        }
        ClientBody::Withdraw { names } => names.iter().for_each(|of| name(of)),
        ClientBody::Table { .. } | ClientBody::RelayAccept { .. } => {}
        ClientBody::Ticket { owner, file, .. } => {
            peer(&owner);
            name(&file);
        }
        ClientBody::Redeem(of) | ClientBody::Relay(of) => ticket(*of),
    }
}

fn server(body: ServerBody) {
    match body {
        ServerBody::Welcome { .. }
        | ServerBody::Pong
        | ServerBody::Info(_)
        | ServerBody::DownloadEnd
        | ServerBody::UploadEnd
        | ServerBody::Alive
        | ServerBody::Signature { .. } => {}
        ServerBody::Refused { code, detail } => failure(code, &detail),
        ServerBody::Sessions { sessions, .. } => {
            for session in sessions {
                session.user.iter().for_each(|name| user(name));
                printable(&Printable(&session.address).to_string());
            }
        }
        ServerBody::Page { items, .. } => items.into_iter().for_each(item),
        ServerBody::Item(one) | ServerBody::Removed { item: one, .. } => item(one),
        ServerBody::Trash { files, .. } => {
            for kept in files {
                name(&kept.name);
                let _ = Timestamp::new(kept.modified_seconds, kept.modified_nanoseconds);
                let _ = Timestamp::new(kept.kept_seconds, kept.kept_nanoseconds);
            }
        }
        ServerBody::Undone { changes, .. } => {
            for change in changes {
                name(&change.name);
                if let UndoOutcome::Failed { code, detail } = change.outcome {
                    failure(code, &detail);
                }
            }
        }
        ServerBody::Done
        | ServerBody::Changed { .. }
        | ServerBody::Probe
        | ServerBody::Relaying => {}
        ServerBody::Registered { address: at, .. } | ServerBody::RelayWanted { address: at, .. } => {
            address(at)
        }
        ServerBody::Table {
            peers,
            offers,
            gone,
            ..
        } => {
            for known in peers {
                peer(&known.name);
                address(known.address);
            }
            for offer in offers {
                peer(&offer.owner);
                name(&offer.file);
                digest(offer.id);
            }
            for gone in gone {
                peer(&gone.owner);
                gone.file.iter().for_each(|file| name(file));
            }
        }
        ServerBody::Ticket {
            address: at,
            ticket: of,
            ..
        } => {
            address(at);
            ticket(*of);
        }
        ServerBody::File(file) => about_file(file),
        ServerBody::UploadReady { verdicts } => {
            for verdict in verdicts {
                match verdict {
                    Verdict::Start => {}
                    Verdict::Exists(standing) => entry(*standing),
                    Verdict::Refused { code, detail } => failure(code, &detail),
                    Verdict::Resume { digest: of, .. } => digest(of),
                }
            }
        }
        ServerBody::UploadResults { results } => {
            for result in results {
                match result {
                    UploadResult::Stored { entry: stored, .. } => entry(stored),
                    UploadResult::Failed { code, detail, .. } => failure(code, &detail),
                }
            }
        }
    }
}

fn about_file(message: FileMessage) {
    match message {
        FileMessage::Begin { entry: of, .. } => of.into_iter().for_each(entry),
        FileMessage::End { digest: of } => digest(of),
        FileMessage::Abort { code, detail, .. } => failure(code, &detail),
        FileMessage::Patch { basis, .. } => digest(basis),
        FileMessage::Copy(_) => {}
    }
}

fn name(text: &str) {
    if let Ok(name) = FileName::parse(text) {
        assert_eq!(name.as_str(), text, "refused, never repaired");
        assert!(name.parts().all(|part| !matches!(part, "" | "." | "..")));
        assert!(!text.starts_with('/') && text.len() <= FileName::MAX_BYTES);
        printable(&name.to_string());
        let _ = (name.check_portable(), name.fold());
    }
}

fn user(text: &str) {
    if let Ok(name) = text.parse::<UserName>() {
        assert_eq!(name.to_string(), text, "refused, never repaired");
        printable(text);
    }
}

fn peer(text: &str) {
    if let Ok(name) = text.parse::<PeerName>() {
        assert_eq!(name.to_string(), text, "refused, never repaired");
        printable(text);
    }
}

fn address(wire: WireAddress) {
    let address = IpAddr::from(wire);
    assert_eq!(IpAddr::from(WireAddress::from(address)), address);
}

fn ticket(ticket: Ticket) {
    assert!(!ticket.is_sealed_with(&Secret([0x4b; 32])) || ticket.terms.owner == "B");
    peer(&ticket.terms.owner);
    name(&ticket.terms.file);
    digest(ticket.terms.id);
}

fn reference(wire: WireRef) {
    if let Ok(file) = FileRef::try_from(wire) {
        printable(&file.to_string());
    }
}

fn digest(wire: WireDigest) {
    if let Ok(digest) = Digest::try_from(wire.clone()) {
        assert_eq!(WireDigest::from(digest), wire);
    }
}

fn entry(wire: WireEntry) {
    if let Ok(entry) = Entry::try_from(wire.clone()) {
        assert_eq!(WireEntry::from(&entry), wire);
    }
}

fn item(wire: WireItem) {
    if let Ok(item) = Item::try_from(wire.clone()) {
        assert_eq!(WireItem::from(&item), wire);
    }
}

fn failure(code: u16, detail: &str) {
    let failure = Failure::from_wire(code, detail);
    assert!(ErrorCode::ALL.contains(&failure.code));
    printable(&failure.to_string());
}

/// A terminal obeys nothing in it.
fn printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
