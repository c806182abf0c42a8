//! Row “peer chooses our resources” of wire, memory, time: every number that a client chooses is
//! held against a bound, and 0 never means without one.

use fileshare::net::NetError;
use fileshare::protocol::limits::MAX_BATCH_FILES;
use fileshare::protocol::message::{ClientBody, FileMessage, ServerBody, Verdict};

use crate::harness::serve_plaintext;
use crate::tools::surroundings::Surroundings;
use crate::wire::{RawClient, upload_file};

const EXTREMES: [u64; 14] = [
    0,
    1,
    2,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    MAX_BATCH_FILES as u64,
    MAX_BATCH_FILES as u64 + 1,
    i32::MAX as u64,
    u32::MAX as u64,
    i64::MAX as u64,
    u64::MAX,
];

#[tokio::test]
async fn numbers_of_a_client_s_choice_are_bounded() {
    let surroundings = Surroundings::new();
    let options = ["--anonymous", "editor", "--durability", "none"];
    let server = serve_plaintext(&surroundings.root(), &options);
    for number in EXTREMES {
        let small = u32::try_from(number).unwrap_or(u32::MAX);
        // How many files a batch has: at least one, and not more than there may be.
        for batch in [
            ClientBody::Download { files: small },
            ClientBody::Upload { files: small },
        ] {
            let mut client = RawClient::dial(&server).await;
            client.send(1, batch).await;
            if small == 0 || small > MAX_BATCH_FILES {
                client.expect_parting().await;
            }
        }
        // How many items a listing has: 0 is all, in pages that are bounded themselves.
        let mut client = RawClient::dial(&server).await;
        let list = ClientBody::List {
            folder: None,
            patterns: Vec::new(),
            limit: small,
        };
        let listed = client.ask(1, list).await;
        assert!(matches!(listed, ServerBody::Page { last: true, .. }));
        // A session that is not there.
        let kicked = client.ask(2, ClientBody::Kick { id: number }).await;
        assert!(matches!(kicked, ServerBody::Refused { .. }), "{kicked:?}");
        // Sizes and times of files: what is announced takes no room, and what cannot be is refused.
        client.send(3, ClientBody::Upload { files: 1 }).await;
        let mut file = upload_file("f", Some(number));
        file.modified = Some((number as i64, small));
        let page = ClientBody::UploadPage { files: vec![file] };
        client.send(3, page).await;
        match client.receive().await {
            Ok(answer) => match answer.body {
                ServerBody::UploadReady { verdicts } => {
                    if number > i64::MAX as u64 {
                        assert!(matches!(verdicts[..], [Verdict::Refused { .. }]));
                    }
                }
                ServerBody::Refused { code, .. } => assert_eq!(code, 80),
                other => panic!("{number}: {other:?}"),
            },
            Err(error) => assert!(matches!(error, NetError::Closed), "{number}: {error}"),
        }
        // Places in a batch and in a file.
        for (index, offset) in [(small, 0), (0, number)] {
            if (index, offset) == (0, 0) {
                continue;
            }
            let mut client = RawClient::dial(&server).await;
            client.send(1, ClientBody::Upload { files: 1 }).await;
            let files = vec![upload_file("f", Some(4))];
            client.send(1, ClientBody::UploadPage { files }).await;
            client.receive().await.unwrap();
            let begin = FileMessage::Begin {
                index,
                offset,
                entry: None,
            };
            client.send(1, ClientBody::File(begin)).await;
            client.expect_parting().await;
        }
    }
    assert_eq!(surroundings.left(), [] as [&str; 0]);
    surroundings.assert_untouched();
}
