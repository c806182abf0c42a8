//! Holds `docs/PROTOCOL.md` against the code: hexdumps, tables of fields, variants, limits, codes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use fileshare::access::Role;
use fileshare::protocol::limits::*;
use fileshare::protocol::message::{ClientMessage, ServerMessage};
use fileshare::protocol::preface::Refusal;
use fileshare::protocol::{ErrorCode, codec, frame, preface};
use fileshare::types::{FileName, IdPrefix};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{dump, samples};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOL.md")
}

fn document() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// Name and frame of every message, as the document is to show it.
fn hexdumps() -> BTreeMap<String, String> {
    let client = samples::client();
    let server = samples::server();
    let client = client.iter().map(|m| {
        let name = format!("client {}", samples::client_name(&m.body));
        (name, dump::render(m))
    });
    let server = server.iter().map(|m| {
        let name = format!("server {}", samples::server_name(&m.body));
        (name, dump::render(m))
    });
    client.chain(server).collect()
}

/// The fenced hexdumps of the document by name, with the place of their content.
fn shown(document: &str) -> Vec<(String, std::ops::Range<usize>)> {
    const FENCE: &str = "\n```hex ";
    let mut blocks = Vec::new();
    let mut from = 0;
    while let Some(at) = document[from..].find(FENCE) {
        let name_at = from + at + FENCE.len();
        let start = name_at + document[name_at..].find('\n').unwrap() + 1;
        let end = start + document[start..].find("```").unwrap();
        blocks.push((document[name_at..start].trim().to_owned(), start..end));
        from = end;
    }
    blocks
}

#[test]
fn every_message_is_shown_byte_for_byte() {
    let document = document();
    let mut missing = hexdumps();
    for (name, place) in shown(&document) {
        let expected = missing.remove(&name);
        let expected =
            expected.unwrap_or_else(|| panic!("{name} is shown twice or does not exist"));
        let text = &document[place];
        assert_eq!(text, expected, "{name}: see `rewrite_the_hexdumps`");
    }
    assert!(missing.is_empty(), "not shown: {:?}", missing.keys());
}

/// Run with `cargo test --test integration rewrite_the_hexdumps -- --ignored` after a change to the
/// samples, and read the difference: a byte that changes breaks everybody who follows the document.
#[test]
#[ignore = "changes the document"]
fn rewrite_the_hexdumps() {
    let mut text = document();
    let dumps = hexdumps();
    for (name, place) in shown(&text).into_iter().rev() {
        text.replace_range(place, &dumps[&name]);
    }
    std::fs::write(path(), text).unwrap();
}

#[test]
fn what_is_shown_reads_back() {
    let document = document();
    let blocks: BTreeMap<_, _> = shown(&document).into_iter().collect();
    for message in samples::client() {
        let name = format!("client {}", samples::client_name(&message.body));
        reads_back(&document[blocks[&name].clone()], &message);
    }
    for message in samples::server() {
        let name = format!("server {}", samples::server_name(&message.body));
        reads_back(&document[blocks[&name].clone()], &message);
    }
}

fn reads_back<M: Serialize + DeserializeOwned + PartialEq + Debug>(shown: &str, message: &M) {
    let bytes = dump::parse(shown);
    let (header, body) = bytes
        .split_first_chunk::<{ frame::HEADER_BYTES }>()
        .unwrap();
    let header = frame::FrameHeader::parse(*header, frame::BodyLimits::WIDEST).unwrap();
    assert_eq!(header.kind, frame::FrameKind::Message);
    assert_eq!(header.body, body.len());
    assert_eq!(&codec::decode::<M>(body).unwrap(), message);
    let mut encoded = Vec::new();
    codec::encode(message, &mut encoded, MAX_PAGE_BODY).unwrap();
    assert_eq!(encoded, body);
}

/// Every variant has a sample: the one after the last is refused as unknown.
#[test]
fn there_is_no_variant_without_a_sample() {
    fn one_more<M: DeserializeOwned + Debug>(variants: impl Iterator<Item = u32>) {
        let variants: BTreeSet<u32> = variants.collect();
        let next = variants.len() as u32;
        assert!(variants.iter().copied().eq(0..next), "{variants:?}");
        let message = [[0; 4], next.to_le_bytes()].concat();
        let refused = format!("{:?}", codec::decode::<M>(&message).unwrap_err());
        assert!(refused.contains("variant index"), "{next}: {refused}");
    }
    let outer = |dump: dump::Dump| dump.variants[0].1;
    one_more::<ClientMessage>(samples::client().iter().map(dump::dump).map(outer));
    one_more::<ServerMessage>(samples::server().iter().map(dump::dump).map(outer));
}

/// The rows of the first table below the heading, without the header, cells trimmed.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = document.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.trim_start_matches('#').trim() == heading);
    let at = at.unwrap_or_else(|| panic!("no heading {heading:?}"));
    let rest = lines[at + 1..]
        .iter()
        .take_while(|line| !line.starts_with('#'));
    let rows = rest
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    rows.map(|row| {
        let cells = row.trim().trim_matches('|').split(" | ");
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    })
    .collect()
}

/// The cells of some columns.
fn columns(rows: &[Vec<String>], which: &[usize]) -> Vec<Vec<String>> {
    rows.iter()
        .map(|row| which.iter().map(|at| row[*at].clone()).collect())
        .collect()
}

fn all_dumps() -> Vec<dump::Dump> {
    let client = samples::client();
    let server = samples::server();
    let client = client.iter().map(dump::dump);
    client.chain(server.iter().map(dump::dump)).collect()
}

type Fields = Vec<(String, String)>;

/// The fields of each struct and variant, in order, with their types.
fn all_fields() -> BTreeMap<String, Fields> {
    let mut all: BTreeMap<String, Fields> = BTreeMap::new();
    for dump in all_dumps() {
        let mut own: BTreeMap<String, Fields> = BTreeMap::new();
        for (of, name, kind) in dump.fields {
            let fields = own.entry(of).or_default();
            if !fields.iter().any(|(known, _)| *known == name) {
                fields.push((name, kind));
            }
        }
        for (of, fields) in own {
            let known = all.entry(of).or_insert_with(|| fields.clone());
            for ((_, known), (_, kind)) in known.iter_mut().zip(&fields) {
                // An option that is empty here may be full elsewhere.
                if known.contains('?') {
                    known.clone_from(kind);
                }
            }
        }
    }
    all
}

#[test]
fn every_variant_has_its_number_and_content() {
    let document = document();
    let fields = all_fields();
    let mut enums: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
    for dump in all_dumps() {
        for (name, number, variant) in dump.variants {
            enums.entry(name).or_default().insert(number, variant);
        }
    }
    // The samples show only one of these.
    let conflict = enums.get_mut("Conflict").unwrap();
    conflict.extend([(0, "Refuse".to_owned()), (2, "Rename".to_owned())]);
    for (name, variants) in &enums {
        let (heading, has_sections) = match name.as_str() {
            "ClientBody" => ("What a client says", true),
            "ServerBody" => ("What a server says", true),
            other => (other, false),
        };
        let content = |variant: &str| match fields.get(&format!("{name}::{variant}")) {
            _ if has_sections => None,
            None => Some("nothing".to_owned()),
            Some(fields) => {
                let fields = fields.iter().map(|(name, kind)| format!("{name} {kind}"));
                Some(fields.collect::<Vec<_>>().join(", ").trim().to_owned())
            }
        };
        let row = |(number, variant): (&u32, &String)| {
            let cells = [
                Some(number.to_string()),
                Some(variant.clone()),
                content(variant),
            ];
            cells.into_iter().flatten().collect::<Vec<_>>()
        };
        let expected: Vec<_> = variants.iter().map(row).collect();
        let which: &[usize] = if has_sections { &[0, 1] } else { &[0, 1, 2] };
        assert_eq!(
            columns(&table(&document, heading), which),
            expected,
            "{heading}"
        );
    }
    let names: Vec<_> = enums.keys().map(String::as_str).collect();
    let known = [
        "ClientBody",
        "Conflict",
        "FileMessage",
        "Item",
        "Ref",
        "ServerBody",
        "UndoOutcome",
        "UploadResult",
        "Verdict",
    ];
    assert_eq!(names, known);
}

#[test]
fn every_field_has_its_place_and_type() {
    let document = document();
    for (of, fields) in all_fields() {
        let heading = match of.split_once("::") {
            // These contain one value, whose type has a section of its own.
            Some(_) if fields[0].0.is_empty() => continue,
            Some(("ClientBody", variant)) => format!("Client: {variant}"),
            Some(("ServerBody", variant)) => format!("Server: {variant}"),
            Some(_) => continue,
            None if of == "Parts" => "Digest".to_owned(),
            None => of,
        };
        let expected: Vec<_> = (1..)
            .zip(&fields)
            .map(|(place, (name, kind))| vec![place.to_string(), name.clone(), kind.clone()])
            .collect();
        assert_eq!(
            columns(&table(&document, &heading), &[0, 1, 2]),
            expected,
            "{heading}"
        );
    }
}

#[test]
fn the_limits_are_the_constants() {
    let bytes = |value: usize| value.to_string();
    let seconds = |value: Duration| format!("{} s", value.as_secs());
    let expected = [
        ("MAX_GREETING_BODY", bytes(MAX_GREETING_BODY)),
        ("MAX_MESSAGE_BODY", bytes(MAX_MESSAGE_BODY)),
        ("MAX_PAGE_BODY", bytes(MAX_PAGE_BODY)),
        ("MAX_DATA_BODY", bytes(MAX_DATA_BODY)),
        ("SEGMENT", bytes(SEGMENT)),
        ("DATA_CHUNK", bytes(DATA_CHUNK)),
        ("MAX_PAGE_ITEMS", bytes(MAX_PAGE_ITEMS)),
        ("PAGE_WINDOW", bytes(PAGE_WINDOW)),
        ("MAX_RANGES", bytes(MAX_RANGES)),
        ("MAX_BATCH_FILES", MAX_BATCH_FILES.to_string()),
        ("MAX_PATTERNS", bytes(MAX_PATTERNS)),
        ("MAX_DETAIL", bytes(MAX_DETAIL)),
        ("MAX_LABEL", bytes(MAX_LABEL)),
        ("MAX_USER_NAME", bytes(MAX_USER_NAME)),
        ("MAX_PASSWORD", bytes(MAX_PASSWORD)),
        ("MAX_DIGEST", bytes(MAX_DIGEST)),
        ("MAX_CAPABILITIES", bytes(MAX_CAPABILITIES)),
        ("REMEMBERED_ANSWERS", bytes(REMEMBERED_ANSWERS)),
        ("MAX_PIPELINED", bytes(MAX_PIPELINED)),
        ("HANDSHAKE_TIME", seconds(HANDSHAKE_TIME)),
        ("GREETING_TIME", seconds(GREETING_TIME)),
        ("MESSAGE_TIME", seconds(MESSAGE_TIME)),
        ("RATE_WINDOW", seconds(RATE_WINDOW)),
        ("MIN_RATE", MIN_RATE.to_string()),
        ("ALIVE_INTERVAL", seconds(ALIVE_INTERVAL)),
    ];
    let expected: Vec<_> = expected
        .map(|(name, value)| vec![name.to_owned(), value])
        .into();
    let shown = columns(&table(&document(), "Limits"), &[0, 1]);
    let shown: Vec<_> = shown
        .iter()
        .map(|row| vec![row[0].clone(), row[1].replace(',', "")])
        .collect();
    assert_eq!(shown, expected);
    // Every constant of limits.rs is in the list above.
    let source = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/protocol/limits.rs"),
    );
    let source = source.unwrap();
    let constants = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "));
    let constants: Vec<_> = constants
        .filter_map(|line| line.split(':').next())
        .collect();
    let listed: Vec<_> = expected.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(constants, listed);
}

#[test]
fn the_rules_of_names_and_ids_are_the_constants() {
    let document = document();
    for text in [
        format!("1 to {} bytes of UTF-8", FileName::MAX_BYTES),
        format!("parts of 1 to {} bytes", FileName::MAX_PART_BYTES),
        format!("{} to 32 hexadecimal digits", IdPrefix::MIN_DIGITS),
    ] {
        assert!(document.contains(&text), "{text}");
    }
}

#[test]
fn the_codes_are_the_codes() {
    let expected: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| vec![code.number().to_string(), code.name().to_owned()])
        .collect();
    assert_eq!(
        columns(&table(&document(), "Error codes"), &[0, 1]),
        expected
    );
}

#[test]
fn the_refusals_and_versions_are_the_code_s() {
    let document = document();
    let expected: Vec<_> = [
        Refusal::None,
        Refusal::Version,
        Refusal::NotAPreface,
        Refusal::Busy,
        Refusal::TlsRequired,
        Refusal::Plaintext,
    ]
    .iter()
    .map(|reason| vec![reason.number().to_string(), format!("{reason:?}")])
    .collect();
    assert_eq!(columns(&table(&document, "Refusals"), &[0, 1]), expected);
    assert_eq!((preface::LOWEST_VERSION, preface::HIGHEST_VERSION), (1, 1));
    let history = table(&document, "History");
    assert_eq!(
        history.last().unwrap()[0],
        preface::HIGHEST_VERSION.to_string()
    );
}

#[test]
fn the_roles_are_the_code_s() {
    let expected: Vec<_> = Role::ALL
        .iter()
        .map(|role| vec![role.level().to_string(), role.name().to_owned()])
        .collect();
    assert_eq!(columns(&table(&document(), "Roles"), &[0, 1]), expected);
}
