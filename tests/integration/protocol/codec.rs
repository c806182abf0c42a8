//! Properties of the codec: everything comes back, nothing panics, and memory has a bound.

use fileshare::protocol::codec::{self, CodecError};
use fileshare::protocol::limits::{MAX_DIGEST, MAX_PAGE_BODY, MAX_PAGE_ITEMS};
use fileshare::protocol::message::{
    ClientBody, ClientMessage, FileMessage, Login, ServerBody, ServerInfo, ServerMessage,
    UndoOutcome, UploadFile, UploadResult, Verdict, WireBlock, WireConflict, WireGone, WireKept,
    WireOffer, WireOffered, WirePeer, WireRange, WireSession, WireUndone,
};
use fileshare::protocol::{
    Secret, Terms, Ticket, WireAddress, WireDigest, WireEntry, WireItem, WireRef,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{dump, samples, vectors};
use crate::allocations;

fn digest() -> impl Strategy<Value = WireDigest> {
    (any::<u8>(), vec(any::<u8>(), 0..=MAX_DIGEST))
        .prop_map(|(algorithm, bytes)| WireDigest::new(algorithm, &bytes).unwrap())
}

fn reference() -> impl Strategy<Value = WireRef> {
    prop_oneof![
        any::<String>().prop_map(WireRef::Name),
        any::<String>().prop_map(WireRef::Id),
    ]
}

prop_compose! {
    fn entry()(
        name in any::<String>(),
        id in of(digest()),
        size in any::<u64>(),
        modified_seconds in any::<i64>(),
        modified_nanoseconds in any::<u32>(),
        executable in any::<bool>(),
    ) -> WireEntry {
        WireEntry { name, id, size, modified_seconds, modified_nanoseconds, executable }
    }
}

prop_compose! {
    fn upload_file()(
        name in any::<String>(),
        size in any::<Option<u64>>(),
        modified in any::<Option<(i64, u32)>>(),
        executable in any::<bool>(),
        on_conflict in prop_oneof![
            Just(WireConflict::Refuse), Just(WireConflict::Replace), Just(WireConflict::Rename),
        ],
        if_match in of(digest()),
        token in any::<u64>(),
    ) -> UploadFile {
        UploadFile { name, size, modified, executable, on_conflict, if_match, token }
    }
}

fn item() -> impl Strategy<Value = WireItem> {
    prop_oneof![
        entry().prop_map(WireItem::File),
        any::<String>().prop_map(WireItem::Folder),
    ]
}

fn range() -> impl Strategy<Value = WireRange> {
    any::<(u64, u64)>().prop_map(|(offset, length)| WireRange { offset, length })
}

fn block() -> impl Strategy<Value = WireBlock> {
    any::<(u32, [u8; 16])>().prop_map(|(length, hash)| WireBlock { length, hash })
}

fn file_message() -> impl Strategy<Value = FileMessage> {
    prop_oneof![
        (any::<u32>(), any::<u64>(), of(entry())).prop_map(|(index, offset, entry)| {
            FileMessage::Begin {
                index,
                offset,
                entry,
            }
        }),
        digest().prop_map(|digest| FileMessage::End { digest }),
        (any::<u32>(), any::<u16>(), any::<String>()).prop_map(|(index, code, detail)| {
            FileMessage::Abort {
                index,
                code,
                detail,
            }
        }),
        (any::<u32>(), any::<u64>(), digest()).prop_map(|(index, offset, basis)| {
            FileMessage::Patch {
                index,
                offset,
                basis,
            }
        }),
        range().prop_map(FileMessage::Copy),
    ]
}

prop_compose! {
    fn login()(user in any::<String>(), password in any::<String>()) -> Login {
        Login { user, password }
    }
}

prop_compose! {
    fn session()(
        numbers in any::<[u64; 4]>(),
        texts in any::<[String; 2]>(),
        options in any::<[Option<String>; 2]>(),
        role in any::<u8>(),
    ) -> WireSession {
        let ([id, connected, received, sent], [address, activity]) = (numbers, texts);
        let [user, file] = options;
        WireSession { id, user, role, address, connected, activity, file, received, sent }
    }
}

prop_compose! {
    fn kept()(
        name in any::<String>(),
        version in any::<u32>(),
        size in any::<u64>(),
        times in any::<[(i64, u32); 2]>(),
    ) -> WireKept {
        let [(modified_seconds, modified_nanoseconds), (kept_seconds, kept_nanoseconds)] = times;
        WireKept {
            name, version, size, modified_seconds, modified_nanoseconds, kept_seconds,
            kept_nanoseconds,
        }
    }
}

fn undone() -> impl Strategy<Value = WireUndone> {
    let outcome = prop_oneof![
        Just(UndoOutcome::Removed),
        Just(UndoOutcome::Restored),
        Just(UndoOutcome::Renamed),
        (any::<u16>(), any::<String>())
            .prop_map(|(code, detail)| UndoOutcome::Failed { code, detail }),
    ];
    (any::<String>(), outcome).prop_map(|(name, outcome)| WireUndone { name, outcome })
}

fn key() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn secret() -> impl Strategy<Value = Secret> {
    key().prop_map(Secret)
}

fn address() -> impl Strategy<Value = WireAddress> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(WireAddress::V4),
        any::<[u8; 16]>().prop_map(WireAddress::V6),
    ]
}

prop_compose! {
    fn offered()(name in any::<String>(), size in any::<u64>(), id in digest()) -> WireOffered {
        WireOffered { name, size, id }
    }
}

prop_compose! {
    fn peer()(
        name in any::<String>(),
        address in address(),
        port in any::<u16>(),
        online in any::<bool>(),
    ) -> WirePeer {
        WirePeer { name, address, port, online }
    }
}

prop_compose! {
    fn offer()(names in any::<[String; 2]>(), size in any::<u64>(), id in digest()) -> WireOffer {
        let [owner, file] = names;
        WireOffer { owner, file, size, id }
    }
}

prop_compose! {
    fn gone()(owner in any::<String>(), file in any::<Option<String>>()) -> WireGone {
        WireGone { owner, file }
    }
}

prop_compose! {
    fn ticket()(
        names in any::<[String; 2]>(),
        requester in any::<Option<String>>(),
        numbers in any::<[u64; 2]>(),
        id in digest(),
        key in of(key()),
        mac in key(),
    ) -> Box<Ticket> {
        let ([owner, file], [size, expires]) = (names, numbers);
        let terms = Terms { owner, file, size, id, requester, key, expires };
        Box::new(Ticket { terms, mac })
    }
}

fn client_body() -> impl Strategy<Value = ClientBody> {
    prop_oneof![
        (any::<String>(), of(login()))
            .prop_map(|(software, login)| ClientBody::Hello { software, login }),
        Just(ClientBody::Ping),
        Just(ClientBody::Info),
        (
            any::<Option<String>>(),
            vec(any::<String>(), 0..5),
            any::<u32>()
        )
            .prop_map(|(folder, patterns, limit)| ClientBody::List {
                folder,
                patterns,
                limit
            }),
        (reference(), any::<bool>())
            .prop_map(|(file, wait_for_id)| ClientBody::Stat { file, wait_for_id }),
        (reference(), any::<String>(), of(digest()), any::<bool>()).prop_map(
            |(from, to, if_match, dry_run)| ClientBody::Rename {
                from,
                to,
                if_match,
                dry_run
            }
        ),
        (reference(), any::<bool>(), of(digest()), any::<bool>()).prop_map(
            |(file, recursive, if_match, dry_run)| ClientBody::Remove {
                file,
                recursive,
                if_match,
                dry_run
            }
        ),
        (any::<String>(), any::<bool>())
            .prop_map(|(name, dry_run)| ClientBody::MakeFolder { name, dry_run }),
        any::<u32>().prop_map(|files| ClientBody::Download { files }),
        vec(reference(), 0..20).prop_map(|files| ClientBody::DownloadPage { files }),
        any::<u32>().prop_map(|files| ClientBody::Upload { files }),
        vec(upload_file(), 0..20).prop_map(|files| ClientBody::UploadPage { files }),
        file_message().prop_map(ClientBody::File),
        any::<u32>().prop_map(|index| ClientBody::Skip { index }),
        Just(ClientBody::Alive),
        Just(ClientBody::Sessions),
        any::<u64>().prop_map(|id| ClientBody::Kick { id }),
        any::<u64>().prop_map(|id| ClientBody::Command { id }),
        (any::<Option<String>>(), vec(any::<String>(), 0..5))
            .prop_map(|(folder, patterns)| ClientBody::Trash { folder, patterns }),
        (any::<String>(), any::<u32>(), any::<bool>()).prop_map(|(name, version, dry_run)| {
            ClientBody::Restore {
                name,
                version,
                dry_run,
            }
        }),
        any::<bool>().prop_map(|dry_run| ClientBody::Undo { dry_run }),
        (any::<u32>(), any::<u64>(), digest()).prop_map(|(index, offset, digest)| {
            ClientBody::Resume {
                index,
                offset,
                digest,
            }
        }),
        any::<u8>().prop_map(|mode| ClientBody::Compression { mode }),
        (digest(), any::<u32>()).prop_map(|(id, average)| ClientBody::Signature { id, average }),
        (any::<u32>(), vec(range(), 0..20))
            .prop_map(|(index, ranges)| ClientBody::Ranges { index, ranges }),
        (any::<String>(), any::<u16>(), of(key()), secret()).prop_map(
            |(name, port, key, secret)| ClientBody::Register {
                name,
                port,
                key,
                secret,
            }
        ),
        any::<Option<String>>().prop_map(|name| ClientBody::Deregister { name }),
        vec(offered(), 0..20).prop_map(|files| ClientBody::Offer { files }),
        vec(any::<String>(), 0..20).prop_map(|names| ClientBody::Withdraw { names }),
        any::<(u64, u64)>().prop_map(|(epoch, since)| ClientBody::Table { epoch, since }),
        (any::<String>(), any::<String>(), of(key()))
            .prop_map(|(owner, file, key)| ClientBody::Ticket { owner, file, key }),
        ticket().prop_map(ClientBody::Redeem),
        ticket().prop_map(ClientBody::Relay),
        secret().prop_map(|id| ClientBody::RelayAccept { id }),
        any::<String>().prop_map(|name| ClientBody::RemoveFolder { name }),
    ]
}

prop_compose! {
    fn info()(
        texts in any::<(String, String, Option<String>, Option<String>)>(),
        numbers in any::<[u64; 17]>(),
        options in any::<[Option<u64>; 3]>(),
        small in any::<(u16, u32, u8, bool, bool, bool)>(),
        lists in [vec(any::<String>(), 0..10), vec(any::<String>(), 0..10)],
    ) -> ServerInfo {
        let [uptime, files, bytes, idle_timeout, unhashed_files, unhashed_bytes, a, b, c, d, e, f,
            trash_files, trash_bytes, keep_removed, keep_removed_size, damaged_files] = numbers;
        let [capabilities, damaged] = lists;
        ServerInfo {
            software: texts.0,
            protocol: small.0,
            host: texts.1,
            identity: texts.2,
            uptime,
            files,
            bytes,
            free: options[0],
            max_file_size: options[1],
            quota: options[2],
            max_connections: small.1,
            idle_timeout,
            portable_names: small.3,
            durable: small.4,
            confined: small.5,
            user: texts.3,
            role: small.2,
            capabilities,
            unhashed_files,
            unhashed_bytes,
            left_out_links: a,
            left_out_special: b,
            left_out_mounts: c,
            left_out_names: d,
            left_out_twins: e,
            left_out_unreadable: f,
            trash_files,
            trash_bytes,
            keep_removed,
            keep_removed_size,
            damaged_files,
            damaged,
        }
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Start),
        entry().prop_map(|entry| Verdict::Exists(Box::new(entry))),
        (any::<u16>(), any::<String>())
            .prop_map(|(code, detail)| Verdict::Refused { code, detail }),
        (any::<u64>(), digest()).prop_map(|(offset, digest)| Verdict::Resume { offset, digest }),
    ]
}

fn upload_result() -> impl Strategy<Value = UploadResult> {
    prop_oneof![
        (any::<u32>(), entry()).prop_map(|(index, entry)| UploadResult::Stored { index, entry }),
        (any::<u32>(), any::<u16>(), any::<String>()).prop_map(|(index, code, detail)| {
            UploadResult::Failed {
                index,
                code,
                detail,
            }
        }),
    ]
}

fn server_body() -> impl Strategy<Value = ServerBody> {
    prop_oneof![
        (any::<String>(), any::<u8>())
            .prop_map(|(software, role)| ServerBody::Welcome { software, role }),
        (any::<u16>(), any::<String>())
            .prop_map(|(code, detail)| ServerBody::Refused { code, detail }),
        Just(ServerBody::Pong),
        info().prop_map(|info| ServerBody::Info(Box::new(info))),
        (vec(item(), 0..20), any::<bool>())
            .prop_map(|(items, last)| ServerBody::Page { items, last }),
        item().prop_map(ServerBody::Item),
        file_message().prop_map(ServerBody::File),
        Just(ServerBody::DownloadEnd),
        vec(verdict(), 0..20).prop_map(|verdicts| ServerBody::UploadReady { verdicts }),
        vec(upload_result(), 0..20).prop_map(|results| ServerBody::UploadResults { results }),
        Just(ServerBody::UploadEnd),
        Just(ServerBody::Alive),
        (vec(session(), 0..20), any::<bool>())
            .prop_map(|(sessions, last)| ServerBody::Sessions { sessions, last }),
        (vec(kept(), 0..20), any::<bool>())
            .prop_map(|(files, last)| ServerBody::Trash { files, last }),
        (vec(undone(), 0..20), any::<bool>())
            .prop_map(|(changes, last)| ServerBody::Undone { changes, last }),
        (item(), any::<bool>()).prop_map(|(item, kept)| ServerBody::Removed { item, kept }),
        (vec(block(), 0..20), any::<bool>())
            .prop_map(|(blocks, last)| ServerBody::Signature { blocks, last }),
        Just(ServerBody::Done),
        (any::<(u64, u64)>(), address(), secret()).prop_map(
            |((epoch, clock), address, ticket_key)| ServerBody::Registered {
                epoch,
                address,
                ticket_key,
                clock,
            }
        ),
        (
            any::<([u64; 3], bool)>(),
            vec(peer(), 0..20),
            vec(offer(), 0..20),
            vec(gone(), 0..20)
        )
            .prop_map(|(([epoch, since, version], last), peers, offers, gone)| {
                ServerBody::Table {
                    epoch,
                    since,
                    version,
                    peers,
                    offers,
                    gone,
                    last,
                }
            }),
        any::<(u64, u64)>().prop_map(|(epoch, version)| ServerBody::Changed { epoch, version }),
        Just(ServerBody::Probe),
        (address(), any::<u16>(), of(key()), ticket()).prop_map(|(address, port, key, ticket)| {
            ServerBody::Ticket {
                address,
                port,
                key,
                ticket,
            }
        }),
        (secret(), address()).prop_map(|(id, address)| ServerBody::RelayWanted { id, address }),
        Just(ServerBody::Relaying),
    ]
}

fn encoded<M: serde::Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes, MAX_PAGE_BODY).unwrap();
    bytes
}

/// Decodes the bytes as either side would, within the bound that `docs/PROTOCOL.md` promises.
fn decode_within_bounds(
    bytes: &[u8],
) -> (
    Result<ClientMessage, CodecError>,
    Result<ServerMessage, CodecError>,
) {
    let bound = 4 * bytes.len() + 64 * 1024;
    let (client, of_client) = allocations::count(|| codec::decode::<ClientMessage>(bytes));
    let (server, of_server) = allocations::count(|| codec::decode::<ServerMessage>(bytes));
    for seen in [of_client, of_server] {
        assert!(seen.peak <= bound, "{seen:?} for {} bytes", bytes.len());
        assert!(seen.largest <= bound, "{seen:?} for {} bytes", bytes.len());
    }
    (client, server)
}

proptest! {
    #[test]
    fn every_client_message_comes_back(number in any::<u32>(), body in client_body()) {
        let message = ClientMessage { number, body };
        let bytes = encoded(&message);
        prop_assert_eq!(&dump::dump(&message).bytes(), &bytes);
        prop_assert_eq!(decode_within_bounds(&bytes).0.unwrap(), message);
    }

    #[test]
    fn every_server_message_comes_back(number in any::<u32>(), body in server_body()) {
        let message = ServerMessage { number, body };
        let bytes = encoded(&message);
        prop_assert_eq!(&dump::dump(&message).bytes(), &bytes);
        prop_assert_eq!(decode_within_bounds(&bytes).1.unwrap(), message);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic_and_within_bounds(
        number in any::<u32>(), variant in 0u32..27, rest in vec(any::<u8>(), 0..2000)
    ) {
        let bytes = [&number.to_le_bytes(), &variant.to_le_bytes(), &rest[..]].concat();
        let (client, server) = decode_within_bounds(&bytes);
        // There is one way to write a message: what can be read is written as it was.
        if let Ok(message) = client {
            prop_assert_eq!(&encoded(&message), &bytes);
        }
        if let Ok(message) = server {
            prop_assert_eq!(&encoded(&message), &bytes);
        }
    }

    /// Real messages with some bytes changed go deeper than noise.
    #[test]
    fn damaged_messages_are_decoded_without_panic_and_within_bounds(
        which in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bodies: Vec<Vec<u8>> = samples::client().iter().map(encoded).collect();
        bodies.extend(samples::server().iter().map(encoded));
        let mut bytes = bodies.swap_remove(which.index(bodies.len()));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = decode_within_bounds(&bytes);
    }
}

/// What only claims to be long is not believed, and what is long costs what was promised.
#[test]
fn lists_and_strings_cost_no_more_than_was_promised() {
    // The variant of each message that begins with a list or a string, and its smallest item.
    let smallest: [(u32, &[u8]); 12] = [
        (0, b"a"),
        (3, &[0; 16]),
        (4, &[0; 12]),
        (7, b"a"),
        (8, &[0; 4]),
        (9, &[0; 12]),
        (9, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (11, &[0; 24]),
        (12, &[0; 51]),
        (13, &[0; 44]),
        (14, &[0; 12]),
        (16, &[0; 20]),
    ];
    for (variant, item) in smallest {
        for claimed in [
            1,
            100,
            2000,
            MAX_PAGE_ITEMS as u64,
            4097,
            60_000,
            1 << 20,
            1 << 40,
            u64::MAX,
        ] {
            for there in [0, 1, 100, 2000, 4000, 4095, MAX_PAGE_ITEMS, 4097, 60_000] {
                let mut bytes = vec![7, 0, 0, 0];
                bytes.extend(variant.to_le_bytes());
                bytes.extend(claimed.to_le_bytes());
                bytes.extend(item.repeat(there));
                bytes.truncate(MAX_PAGE_BODY);
                let _ = decode_within_bounds(&bytes);
            }
        }
    }
}

#[test]
fn a_page_is_full_at_its_limit_and_not_before() {
    for (items, fits) in [(MAX_PAGE_ITEMS, true), (MAX_PAGE_ITEMS + 1, false)] {
        let item = WireItem::Folder("folder".to_owned());
        let body = ServerBody::Page {
            items: vec![item; items],
            last: true,
        };
        let bytes = encoded(&ServerMessage { number: 1, body });
        assert_eq!(decode_within_bounds(&bytes).1.is_ok(), fits);
        let body = ClientBody::DownloadPage {
            files: vec![WireRef::Name("n".to_owned()); items],
        };
        let bytes = encoded(&ClientMessage { number: 1, body });
        assert_eq!(decode_within_bounds(&bytes).0.is_ok(), fits);
    }
}

#[test]
fn a_body_of_the_largest_size_is_decoded_and_a_larger_one_is_not() {
    for (room, fits) in [(MAX_PAGE_BODY, true), (MAX_PAGE_BODY + 1, false)] {
        // 4 for the number, 4 for the variant, 8 for the length, 1 for no login.
        let body = ClientBody::Hello {
            software: "x".repeat(room - 17),
            login: None,
        };
        let message = ClientMessage { number: 0, body };
        let bytes = dump::dump(&message).bytes();
        assert_eq!(
            codec::encode(&message, &mut Vec::new(), MAX_PAGE_BODY).is_ok(),
            fits
        );
        assert_eq!(decode_within_bounds(&bytes).0.is_ok(), fits);
    }
}

#[test]
fn the_messages_of_the_vectors_are_within_bounds() {
    for (_, body) in vectors::message_bodies() {
        let _ = decode_within_bounds(&body);
    }
}
