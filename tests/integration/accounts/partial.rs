//! What is kept of an upload that was cut belongs to its user, and where a file may begin.

use fileshare::access::Role;
use fileshare::digest::Hasher;
use fileshare::net::Frame;
use fileshare::protocol::codec;
use fileshare::protocol::message::{
    ClientBody, FileMessage, ServerBody, ServerMessage, UploadResult, Verdict,
};

use super::{World, expect_end, file};
use crate::harness::noise;
use crate::wire::{RawClient, begin, end, upload_file};

const MIB: usize = 1024 * 1024;
const CHUNK: usize = 256 * 1024;
const PROTOCOL: u16 = 80;

fn begin_at(offset: usize) -> ClientBody {
    ClientBody::File(FileMessage::Begin {
        index: 0,
        offset: offset as u64,
        entry: None,
    })
}

/// What comes next besides signs of life.
async fn heard(client: &mut RawClient) -> ServerBody {
    loop {
        match client.receive().await.unwrap().body {
            ServerBody::Alive => {}
            body => return body,
        }
    }
}

/// Begins an upload of `a` with a token, and returns what the server thinks of it.
async fn describe(client: &mut RawClient, size: usize) -> Verdict {
    let mut described = upload_file("a", Some(size as u64));
    described.token = 7;
    let files = vec![described];
    client.send(1, ClientBody::Upload { files: 1 }).await;
    client.send(1, ClientBody::UploadPage { files }).await;
    match heard(client).await {
        ServerBody::UploadReady { mut verdicts } => verdicts.remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cut_upload_is_offered_to_its_own_user_only_and_goes_on_where_it_was_offered() {
    let users = [("anna", Role::Contributor), ("bob", Role::Admin)];
    let world = World::new(&users, Some(Role::Contributor));
    let content = noise(3, 3 * MIB + 5);
    let mut cut = world.user("anna").await;
    assert_eq!(describe(&mut cut, content.len()).await, Verdict::Start);
    cut.send(1, begin(0)).await;
    for chunk in content[..2 * MIB].chunks(CHUNK) {
        cut.send_data(chunk).await;
    }
    let RawClient { server, .. } = cut;
    server.await.unwrap().unwrap_err();

    let mut bob = world.user("bob").await;
    assert_eq!(describe(&mut bob, content.len()).await, Verdict::Start);

    let offered = Verdict::Resume {
        offset: 2 * MIB as u64,
        digest: Hasher::digest_of(&content[..2 * MIB]).into(),
    };
    let mut wrong = world.user("anna").await;
    assert_eq!(describe(&mut wrong, content.len()).await, offered);
    wrong.send(1, begin_at(MIB)).await;
    expect_end(&mut wrong, PROTOCOL, "begins where nobody offered").await;

    let mut anna = world.user("anna").await;
    assert_eq!(describe(&mut anna, content.len()).await, offered);
    anna.send(1, begin_at(2 * MIB)).await;
    for chunk in content[2 * MIB..].chunks(CHUNK) {
        anna.send_data(chunk).await;
    }
    anna.send(1, end(Hasher::digest_of(&content))).await;
    let ServerBody::UploadResults { results } = heard(&mut anna).await else {
        panic!("a result was expected");
    };
    assert!(matches!(results[..], [UploadResult::Stored { .. }]));
    assert!(std::fs::read(world.root.path().join("a")).unwrap() == content);
}

/// Downloads `a`, of which so much is there already, as is said; returns where it began and what
/// came.
async fn download(client: &mut RawClient, number: u32, has: &[u8], said: &[u8]) -> (u64, Vec<u8>) {
    let resume = ClientBody::Resume {
        index: 0,
        offset: has.len() as u64,
        digest: Hasher::digest_of(said).into(),
    };
    let files = vec![file("a")];
    client.send(number, ClientBody::Download { files: 1 }).await;
    client.send(number, resume).await;
    client
        .send(number, ClientBody::DownloadPage { files })
        .await;
    let mut came = Vec::new();
    let mut began = None;
    loop {
        match client.receive_frame().await.unwrap() {
            Frame::Data(content) => came.extend_from_slice(content.body()),
            Frame::Message(body) => {
                let message: ServerMessage = codec::decode(&body).unwrap();
                match message.body {
                    ServerBody::File(FileMessage::Begin { offset, .. }) => began = Some(offset),
                    ServerBody::DownloadEnd => return (began.unwrap(), came),
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn a_download_goes_on_only_behind_the_beginning_of_the_server_s_file() {
    let world = World::new(&[("anna", Role::Reader)], None);
    let content = noise(4, 3 * MIB + 5);
    std::fs::write(world.root.path().join("a"), &content).unwrap();
    let mut anna = world.user("anna").await;
    let has = &content[..2 * MIB];
    let (began, came) = download(&mut anna, 1, has, has).await;
    assert_eq!(began, has.len() as u64);
    assert!(came == content[has.len()..]);
    let (began, came) = download(&mut anna, 2, has, b"other").await;
    assert_eq!(began, 0);
    assert!(came == content);
    let longer = noise(4, 4 * MIB);
    let (began, _) = download(&mut anna, 3, &longer, &longer).await;
    assert_eq!(began, 0);

    let resume = ClientBody::Resume {
        index: 0,
        offset: MIB as u64,
        digest: Hasher::digest_of(b"").into(),
    };
    anna.send(4, ClientBody::Download { files: 1 }).await;
    anna.send(4, resume.clone()).await;
    anna.send(4, resume).await;
    expect_end(&mut anna, PROTOCOL, "twice").await;
}
