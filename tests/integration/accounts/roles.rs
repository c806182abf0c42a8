use fileshare::access::Role;
use fileshare::digest::Hasher;
use fileshare::protocol::Secret;
use fileshare::protocol::message::{
    ClientBody, FileMessage, ServerBody, ServerMessage, UploadResult, Verdict, WireConflict,
};

use super::{World, file, make_folder, refusal, stat};
use crate::wire::{RawClient, begin, end, upload_file};

const FORBIDDEN: u16 = 41;

/// What a client can ask for, and the role that it needs.
fn requests() -> Vec<(ClientBody, Role)> {
    let list = ClientBody::List {
        folder: None,
        patterns: Vec::new(),
        limit: 0,
    };
    let rename = ClientBody::Rename {
        from: file("a"),
        to: "b".to_owned(),
        if_match: None,
        dry_run: true,
    };
    let remove = ClientBody::Remove {
        file: file("a"),
        recursive: false,
        if_match: None,
        dry_run: true,
    };
    let folder = ClientBody::MakeFolder {
        name: "d".to_owned(),
        dry_run: true,
    };
    let trash = ClientBody::Trash {
        folder: None,
        patterns: Vec::new(),
    };
    let restore = ClientBody::Restore {
        name: "a".to_owned(),
        version: 1,
        dry_run: true,
    };
    let ticket = ClientBody::Ticket {
        owner: "B".to_owned(),
        file: "a".to_owned(),
        key: None,
    };
    // No transfers come after it.
    let register = ClientBody::Register {
        name: "B".to_owned(),
        port: 1401,
        key: None,
        secret: Secret([7; 32]),
    };
    vec![
        (ClientBody::Ping, Role::None),
        (ClientBody::Info, Role::Reader),
        (list, Role::Reader),
        (stat("a"), Role::Reader),
        (rename, Role::Contributor),
        (remove, Role::Editor),
        (folder, Role::Contributor),
        (trash, Role::Editor),
        (restore, Role::Editor),
        (ClientBody::Undo { dry_run: true }, Role::Contributor),
        (ClientBody::Download { files: 1 }, Role::Reader),
        (ClientBody::Upload { files: 2 }, Role::Contributor),
        (ClientBody::Sessions, Role::Admin),
        (ClientBody::Kick { id: 99 }, Role::Admin),
        (ClientBody::Table { epoch: 0, since: 0 }, Role::Reader),
        (ticket, Role::Reader),
        (register, Role::Contributor),
        (ClientBody::Offer { files: vec![] }, Role::Contributor),
        (ClientBody::Withdraw { names: vec![] }, Role::Contributor),
        (ClientBody::Deregister { name: None }, Role::Contributor),
    ]
}

/// Every message of a client has its place in the table above, or is no request of its own.
fn is_request(body: &ClientBody) -> bool {
    match body {
        ClientBody::Ping
        | ClientBody::Info
        | ClientBody::List { .. }
        | ClientBody::Stat { .. }
        | ClientBody::Rename { .. }
        | ClientBody::Remove { .. }
        | ClientBody::MakeFolder { .. }
        | ClientBody::RemoveFolder { .. }
        | ClientBody::Trash { .. }
        | ClientBody::Restore { .. }
        | ClientBody::Undo { .. }
        | ClientBody::Download { .. }
        | ClientBody::Upload { .. }
        | ClientBody::Sessions
        | ClientBody::Signature { .. }
        | ClientBody::Register { .. }
        | ClientBody::Deregister { .. }
        | ClientBody::Offer { .. }
        | ClientBody::Withdraw { .. }
        | ClientBody::Table { .. }
        | ClientBody::Ticket { .. }
        | ClientBody::Relay(_)
        | ClientBody::RelayAccept { .. }
        | ClientBody::Kick { .. } => true,
        ClientBody::Hello { .. }
        | ClientBody::DownloadPage { .. }
        | ClientBody::UploadPage { .. }
        | ClientBody::File(_)
        | ClientBody::Skip { .. }
        | ClientBody::Command { .. }
        | ClientBody::Compression { .. }
        | ClientBody::Resume { .. }
        | ClientBody::Ranges { .. }
        | ClientBody::Redeem(_)
        | ClientBody::Alive => false,
    }
}

#[tokio::test]
async fn every_request_is_answered_to_every_role_as_the_contract_says() {
    let users: Vec<(&str, Role)> = Role::ALL[1..]
        .iter()
        .map(|role| (role.name(), *role))
        .collect();
    let world = World::new(&users, None);
    std::fs::write(world.root.path().join("a"), "a").unwrap();
    for (name, role) in users {
        let mut client = world.user(name).await;
        for (number, (request, needs)) in (1..).zip(requests()) {
            assert!(is_request(&request));
            let said = format!("{name} {request:?}");
            let allowed = match request {
                ClientBody::Download { .. } => download(&mut client, number, request).await,
                ClientBody::Upload { .. } => {
                    let [add, replace] =
                        upload(&mut client, number, request, &format!("new-{name}")).await;
                    assert_eq!(replace, role >= Role::Editor, "{said}");
                    add
                }
                request => single(&mut client, number, request).await,
            };
            assert_eq!(allowed, role >= needs, "{said}");
        }
    }
}

/// Makes a request that is answered in messages of its own; returns whether it was allowed.
async fn single(client: &mut RawClient, number: u32, request: ClientBody) -> bool {
    client.send(number, request).await;
    loop {
        let answer = client.receive().await.unwrap();
        assert_eq!(answer.number, number);
        match answer.body {
            ServerBody::Page { last: false, .. }
            | ServerBody::Sessions { last: false, .. }
            | ServerBody::Trash { last: false, .. }
            | ServerBody::Undone { last: false, .. } => {}
            ServerBody::Refused { code, detail } if code == FORBIDDEN => {
                assert!(detail.contains("needs the role"), "{detail}");
                return false;
            }
            // There is no session 99.
            ServerBody::Refused { code, .. } => return code == 30,
            _ => return true,
        }
    }
}

async fn download(client: &mut RawClient, number: u32, request: ClientBody) -> bool {
    client.send(number, request).await;
    let files = vec![file("missing")];
    client
        .send(number, ClientBody::DownloadPage { files })
        .await;
    let ServerBody::File(FileMessage::Abort { code, .. }) = client.receive().await.unwrap().body
    else {
        panic!("there is no such file");
    };
    let end = client.receive().await.unwrap();
    assert_eq!(end.body, ServerBody::DownloadEnd);
    code != FORBIDDEN
}

/// Uploads a new file and one over another one; returns which of them were stored.
async fn upload(client: &mut RawClient, number: u32, request: ClientBody, name: &str) -> [bool; 2] {
    client.send(number, request).await;
    let new = upload_file(name, Some(1));
    let mut over = upload_file("a", Some(1));
    over.on_conflict = WireConflict::Replace;
    let files = vec![new, over];
    client.send(number, ClientBody::UploadPage { files }).await;
    let ServerBody::UploadReady { verdicts } = client.receive().await.unwrap().body else {
        panic!("verdicts were expected");
    };
    let refused = |verdict: &Verdict| {
        matches!(
            verdict,
            Verdict::Refused {
                code: FORBIDDEN,
                ..
            }
        )
    };
    let may_add = !refused(&verdicts[0]);
    assert_eq!(may_add, !refused(&verdicts[1]));
    // Sent all the same, against what was said.
    let mut stored = [false; 2];
    for index in 0..2 {
        client.send(number, begin(index)).await;
        client.send_data(b"b").await;
        client.send(number, end(Hasher::digest_of(b"b"))).await;
        let ServerBody::UploadResults { results } = client.receive().await.unwrap().body else {
            panic!("a result was expected");
        };
        stored[index as usize] = match &results[..] {
            [UploadResult::Stored { .. }] => true,
            [UploadResult::Failed { code, .. }] => {
                assert_eq!(*code, FORBIDDEN);
                false
            }
            results => panic!("{results:?}"),
        };
    }
    let end = client.receive().await.unwrap();
    assert_eq!(end.body, ServerBody::UploadEnd);
    assert_eq!(stored[0], may_add);
    stored
}

#[tokio::test]
async fn another_role_counts_from_the_next_request_on() {
    let world = World::new(&[("bob", Role::Reader)], None);
    let mut bob = world.user("bob").await;
    for (number, role) in [
        (1, Role::Contributor),
        (2, Role::Reader),
        (3, Role::Admin),
        (4, Role::Reader),
    ] {
        world
            .accounts
            .set_role(&"bob".parse().unwrap(), role)
            .unwrap();
        let answer = bob.ask(number, make_folder(&format!("d{number}"))).await;
        let refused = refusal(&answer).is_some_and(|(code, _)| code == FORBIDDEN);
        assert_eq!(refused, role == Role::Reader);
    }
}

#[tokio::test]
async fn a_role_that_is_lost_in_mid_batch_stops_the_files_that_come_after() {
    let bob = "bob".parse().unwrap();
    let world = World::new(&[("bob", Role::Editor)], None);
    std::fs::write(world.root.path().join("old"), "old").unwrap();
    let mut client = world.user("bob").await;
    client.send(1, ClientBody::Upload { files: 3 }).await;
    let mut over = upload_file("old", Some(1));
    over.on_conflict = WireConflict::Replace;
    let files = vec![
        upload_file("one", Some(1)),
        over,
        upload_file("two", Some(1)),
    ];
    client.send(1, ClientBody::UploadPage { files }).await;
    client.receive().await.unwrap();
    // Each loses the role after it has begun and before it has ended.
    for (index, role, stored) in [
        (0, Role::Contributor, true),
        (1, Role::Contributor, false),
        (2, Role::Reader, false),
    ] {
        world.accounts.set_role(&bob, Role::Editor).unwrap();
        client.send(1, begin(index)).await;
        client.send_data(b"b").await;
        wait_for_staging(&world).await;
        world.accounts.set_role(&bob, role).unwrap();
        client.send(1, end(Hasher::digest_of(b"b"))).await;
        let ServerBody::UploadResults { results } = client.receive().await.unwrap().body else {
            panic!("a result was expected");
        };
        match &results[..] {
            [UploadResult::Stored { .. }] => assert!(stored, "{index}"),
            [UploadResult::Failed { code, .. }] => {
                assert_eq!((*code, stored), (FORBIDDEN, false), "{index}");
            }
            results => panic!("{results:?}"),
        }
    }
    client.receive().await.unwrap();
    let read = |name: &str| std::fs::read(world.root.path().join(name)).ok();
    assert_eq!(read("one").as_deref(), Some(&b"b"[..]));
    assert_eq!(read("old").as_deref(), Some(&b"old"[..]));
    assert_eq!(read("two"), None);

    // A download asks again for each file.
    world.accounts.set_role(&bob, Role::Reader).unwrap();
    client.send(2, ClientBody::Download { files: 2 }).await;
    let page = |name: &str| ClientBody::DownloadPage {
        files: vec![file(name)],
    };
    client.send(2, page("missing")).await;
    let ServerBody::File(FileMessage::Abort { code, .. }) = client.receive().await.unwrap().body
    else {
        panic!("there is no such file");
    };
    assert_eq!(code, 30);
    // An account that is there and may do nothing has no line in the file: it is gone.
    world.accounts.remove(&bob).unwrap();
    client.send(2, page("old")).await;
    let ServerMessage { number, body } = client.receive().await.unwrap();
    match (number, body) {
        (2, ServerBody::File(FileMessage::Abort { code, .. })) => assert_eq!(code, 40),
        (0, ServerBody::Refused { code, .. }) => assert_eq!(code, 40),
        other => panic!("{other:?}"),
    }
}

/// Waits until a file that has begun is being staged, which is after its permission was asked.
async fn wait_for_staging(world: &World) {
    let staging = world.root.path().join(".fileshare/staging");
    for _ in 0..1000 {
        if std::fs::read_dir(&staging).unwrap().count() > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nothing was staged");
}

/// Whoever registers has to be a contributor for as long as he is there.
#[tokio::test]
async fn who_may_no_longer_register_is_offline_as_soon_as_he_says_anything() {
    let world = World::new(&[("bob", Role::Contributor), ("eve", Role::Reader)], None);
    let mut bob = world.user("bob").await;
    let mut eve = world.user("eve").await;
    let register = ClientBody::Register {
        name: "B".to_owned(),
        port: 1401,
        key: None,
        secret: Secret([7; 32]),
    };
    assert!(matches!(
        bob.ask(1, register).await,
        ServerBody::Registered { .. }
    ));
    let online = async |eve: &mut RawClient, number| {
        let table = eve
            .ask(number, ClientBody::Table { epoch: 0, since: 0 })
            .await;
        let ServerBody::Table { peers, .. } = table else {
            panic!("{table:?}");
        };
        peers.iter().any(|peer| peer.online)
    };
    assert!(online(&mut eve, 1).await);
    let name = "bob".parse().unwrap();
    world.accounts.set_role(&name, Role::Reader).unwrap();
    bob.send(2, ClientBody::Ping).await;
    let answer = loop {
        let message = bob.receive().await.unwrap();
        if message.number == 2 {
            break message.body;
        }
    };
    assert_eq!(refusal(&answer).unwrap().0, FORBIDDEN);
    assert!(!online(&mut eve, 2).await);
}
