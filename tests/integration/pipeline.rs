//! Many folders made and many files removed, with many requests under way at once.

use fileshare::client::{Client, ClientOptions, Removal};
use fileshare::protocol::ErrorCode;
use fileshare::types::{FileName, FileRef, Precondition};

use crate::harness::serve_plaintext;
use crate::tools::proxy::{Fault, Proxy};

fn client(address: &str) -> Client {
    let options = ClientOptions {
        plaintext: true,
        ..ClientOptions::default()
    };
    Client::new(address.parse().unwrap(), options)
}

fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

/// Cut again and again in the middle: what was made or removed before is as good.
#[tokio::test]
async fn many_changes_are_answered_one_by_one_and_survive_cuts() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), "f").unwrap();
    std::fs::create_dir(root.path().join("there")).unwrap();
    let server = serve_plaintext(root.path(), &["--anonymous", "editor"]);
    let proxy = Proxy::start(server.address(), |number, _| match number {
        0 | 2 => Fault::CutAfter(2000),
        _ => Fault::None,
    });
    let mut client = client(proxy.address());
    let mut names: Vec<FileName> = (0..300).map(|n| name(&format!("d/{n:03}"))).collect();
    names.extend([name("file"), name("there"), name("file/in")]);
    let mut made = Vec::new();
    let mut report = |place, outcome: Result<(), _>| made.push((place, outcome.map_err(code)));
    client
        .make_folders(&names, false, &mut report)
        .await
        .unwrap();
    made.sort_unstable_by_key(|(place, _)| *place);
    assert_eq!(made.len(), names.len());
    for (place, outcome) in &made[..300] {
        assert_eq!(outcome, &Ok(()), "{place}");
        assert!(root.path().join(names[*place].as_str()).is_dir());
    }
    assert_eq!(made[300].1, Err(ErrorCode::AlreadyExists));
    assert_eq!(made[301].1, Ok(()));
    assert!(made[302].1.is_err());

    let removals = names.iter().map(|name| Removal {
        file: FileRef::Name(name.clone()),
        recursive: true,
        precondition: Precondition::default(),
    });
    let mut gone = Vec::new();
    let mut report =
        |place, outcome: Result<_, _>| gone.push((place, outcome.map(drop).map_err(code)));
    client
        .remove_all(removals.collect(), false, &mut report)
        .await
        .unwrap();
    let places: Vec<usize> = gone.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, (0..names.len()).collect::<Vec<_>>());
    for (place, outcome) in &gone[..302] {
        // Those under way at a cut are asked for twice.
        assert!(
            matches!(outcome, Ok(()) | Err(ErrorCode::NotFound)),
            "{place}"
        );
        assert!(!root.path().join(names[*place].as_str()).exists());
    }
    assert_eq!(gone[302].1, Err(ErrorCode::NotFound));
}

fn code(failure: fileshare::client::ClientError) -> ErrorCode {
    failure.code
}
