//! Content that is compressed on its way: what crosses the wire is counted by a proxy, and what is
//! no content is refused.

use std::path::Path;

use fileshare::digest::Hasher;
use fileshare::protocol::frame::FrameKind;
use fileshare::protocol::message::{ClientBody, ServerBody, UploadResult, Verdict};
use fileshare::protocol::{Content, Expander};

use crate::allocations;
use crate::harness::{RunningServer, noise, serve_plaintext};
use crate::tools::proxy::{Direction, Fault, Proxy};
use crate::tools::surroundings::Surroundings;
use crate::tools::transport::Transport;
use crate::wire::{RawClient, begin, end, upload_file};

const MIB: usize = 1 << 20;

/// So slow that writing to it is waiting, in bytes a second; the tests only count what crosses.
const SLOW: usize = 8_000_000;

/// Words of a small vocabulary in no order: what compresses about as well as prose.
fn prose(length: usize) -> Vec<u8> {
    let letters = noise(1, 4096);
    let words: Vec<Vec<u8>> = letters
        .chunks(8)
        .map(|word| word.iter().map(|byte| b'a' + byte % 26).collect())
        .collect();
    let choices = noise(2, length / 2);
    let mut text = Vec::with_capacity(length + 16);
    for choice in choices.chunks_exact(2) {
        let word = usize::from(choice[0]) * 2 + usize::from(choice[1] & 1);
        text.extend_from_slice(&words[word][..3 + usize::from(choice[1] % 6)]);
        text.push(b' ');
        if text.len() >= length {
            break;
        }
    }
    text.truncate(length);
    assert_eq!(text.len(), length);
    text
}

/// Runs a transfer through a slow wire and returns what the client says was sent, and what crossed
/// in the direction of the content.
fn through_slow_wire(
    server: &RunningServer,
    folder: &Path,
    direction: Direction,
    arguments: &[&str],
) -> (usize, usize) {
    let proxy = Proxy::with(server.address(), direction, Fault::Rate(SLOW));
    let arguments = [&["--json"], arguments].concat();
    let output = server
        .client_by(proxy.address(), folder, &arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let summary: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let sent = summary["sent"].as_u64().unwrap() as usize;
    (sent, proxy.passed(direction))
}

#[test]
fn text_crosses_a_slow_wire_as_less_and_everything_else_as_it_is() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &["--durability", "none"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("text"), prose(10 * MIB)).unwrap();
    std::fs::write(at("noise"), noise(9, 10 * MIB)).unwrap();
    let around = 64 * 1024;
    for (file, mode, least, most) in [
        ("text", "auto", 2 * MIB, 6 * MIB),
        ("text", "always", 2 * MIB, 6 * MIB),
        ("text", "never", 10 * MIB, 10 * MIB + around),
        ("noise", "auto", 10 * MIB, 10 * MIB + around),
        ("noise", "always", 10 * MIB, 10 * MIB + around),
    ] {
        let name = format!("{file}-{mode}");
        let put = ["--compress", mode, "put", file, "--as", &name];
        let get = ["--compress", mode, "get", &name];
        for (direction, arguments) in [
            (Direction::ToServer, &put[..]),
            (Direction::ToClient, &get[..]),
        ] {
            let (sent, crossed) = through_slow_wire(&server, folder.path(), direction, arguments);
            assert!((least..=most).contains(&sent), "{arguments:?}: {sent}");
            assert!(
                (sent..sent + around).contains(&crossed),
                "{arguments:?}: {crossed} crossed and {sent} were sent"
            );
        }
        assert!(std::fs::read(at(&name)).unwrap() == std::fs::read(at(file)).unwrap());
    }
}

#[test]
fn many_small_files_shrink_on_a_slow_wire_too() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &["--durability", "none"]);
    let folder = tempfile::tempdir().unwrap();
    let text = prose(4 * MIB);
    let mut put = vec!["put".to_owned()];
    for (number, content) in text.chunks(4096).enumerate() {
        let name = format!("f{number:04}");
        std::fs::write(folder.path().join(&name), content).unwrap();
        put.push(name);
    }
    let put: Vec<&str> = put.iter().map(String::as_str).collect();
    let (sent, _) = through_slow_wire(&server, folder.path(), Direction::ToServer, &put);
    assert!(sent < 3 * MIB, "{sent}");
    for (number, content) in text.chunks(4096).enumerate() {
        let stored = surroundings.root().join(format!("f{number:04}"));
        assert!(std::fs::read(stored).unwrap() == content, "{number}");
    }
}

#[test]
fn nothing_takes_more_memory_than_a_frame_may_have() {
    let bomb = zstd::bulk::compress(&vec![0; 64 * MIB], 1).unwrap();
    for size in [
        bomb.len() as u32 + 5,
        100_000,
        MIB as u32,
        MIB as u32 + 1,
        u32::MAX,
    ] {
        let work = || {
            let content = Content::parse(FrameKind::Compressed, body(size, &bomb).into());
            content.and_then(|content| Expander::default().expand(&content).map(<[u8]>::len))
        };
        let (expanded, seen) = allocations::count(work);
        assert!(expanded.is_err());
        assert!(seen.peak <= MIB + 2 * bomb.len() + 1024, "{size}: {seen:?}");
    }
}

#[tokio::test]
async fn compressed_content_has_no_place_where_content_has_none() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &[]);
    let good = body(MIB as u32, &zstd::bulk::compress(&vec![0; MIB], 1).unwrap());
    let outside = "file content outside of a file";
    let mut ready = RawClient::dial(&server).await;
    ready.outbox.send_frame(FrameKind::Compressed, &good).await;
    assert_eq!(ready.expect_parting().await.0, outside);
    let mut described = RawClient::dial(&server).await;
    described.send(1, ClientBody::Upload { files: 1 }).await;
    let compressed = described.outbox.send_frame(FrameKind::Compressed, &good);
    compressed.await;
    assert_eq!(described.expect_parting().await.0, outside);
    let stream = Transport::of(&server).dial(&server.address()).await;
    let mut stranger = RawClient::prefaced(stream, ()).await;
    let compressed = stranger.outbox.send_frame(FrameKind::Compressed, &good);
    compressed.await;
    assert_eq!(stranger.expect_parting().await.0, outside);
}

/// The body of a compressed frame that says it has this size.
fn body(size: u32, zstd: &[u8]) -> Vec<u8> {
    [&size.to_be_bytes(), zstd].concat()
}

async fn begin_upload(client: &mut RawClient<()>, name: &str, size: usize) {
    client.send(1, ClientBody::Upload { files: 1 }).await;
    let files = vec![upload_file(name, Some(size as u64))];
    let ready = client.ask(1, ClientBody::UploadPage { files }).await;
    let verdicts = vec![Verdict::Start];
    assert_eq!(ready, ServerBody::UploadReady { verdicts });
    client.send(1, begin(0)).await;
}

#[tokio::test]
async fn what_is_not_the_content_that_it_says_ends_the_connection_and_stores_nothing() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &["--durability", "none"]);
    let zeros = vec![0; MIB];
    let good = zstd::bulk::compress(&zeros, 1).unwrap();
    let bomb = zstd::bulk::compress(&vec![0; 64 * MIB], 19).unwrap();
    let two = [&good[..], &good].concat();
    let most = MIB as u32;
    for (size, zstd) in [
        (most - 1, &good[..]),
        (most, &bomb),
        (most, &two),
        (most, &good[..good.len() - 1]),
        (most, b"rubbish"),
        (u32::MAX, &good),
        (0, &good),
    ] {
        let mut client = RawClient::dial(&server).await;
        begin_upload(&mut client, "bomb", MIB).await;
        let body = body(size, zstd);
        client.outbox.send_frame(FrameKind::Compressed, &body).await;
        let (why, ()) = client.expect_parting().await;
        assert!(why.starts_with("compressed content"), "{why}");
        assert!(!surroundings.root().join("bomb").exists());
    }
    let mut client = RawClient::dial(&server).await;
    begin_upload(&mut client, "good", MIB).await;
    let body = body(most, &good);
    client.outbox.send_frame(FrameKind::Compressed, &body).await;
    let stored = client.ask(1, end(Hasher::digest_of(&zeros))).await;
    let ServerBody::UploadResults { results } = stored else {
        panic!("{stored:?}");
    };
    assert!(matches!(results[..], [UploadResult::Stored { .. }]));
    assert!(std::fs::read(surroundings.root().join("good")).unwrap() == zeros);
}
