//! Who is let in, what each one may do, and who sees and ends whose session (contract section 7).

mod commands;
mod login;
mod roles;
mod sessions;

use std::time::Duration;

use fileshare::access::{Account, Accounts, Password, PasswordHash, Role};
use fileshare::protocol::WireRef;
use fileshare::protocol::message::{ClientBody, ServerBody, ServerMessage};
use fileshare::server::{Server, ServerOptions};
use fileshare::store::{Places, Store, StoreOptions};
use tempfile::TempDir;

use crate::wire::RawClient;

/// A server in this process whose users each have their own name as their password.
struct World {
    root: TempDir,
    accounts: Accounts,
    server: Server,
}

impl World {
    fn new(users: &[(&str, Role)], anonymous: Option<Role>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places::open(root.path(), None).unwrap();
        let accounts = Accounts::new(&places.state, &places.state_path);
        for (name, role) in users {
            accounts.add(account(name, *role)).unwrap();
        }
        let store = Store::open(StoreOptions::new(root.path())).unwrap();
        let options = ServerOptions {
            anonymous,
            accounts: Some(accounts.clone()),
            ..ServerOptions::default()
        };
        let server = Server::new(store, options);
        World {
            root,
            accounts,
            server,
        }
    }

    /// A user who has logged in.
    async fn user(&self, name: &str) -> RawClient {
        let (client, welcome) = RawClient::log_in(&self.server, name, name).await;
        assert!(matches!(welcome.body, ServerBody::Welcome { .. }));
        client
    }
}

fn account(name: &str, role: Role) -> Account {
    let password = Password::new(name.to_owned()).unwrap();
    Account {
        name: name.parse().unwrap(),
        role,
        hash: PasswordHash::of(&password).unwrap(),
    }
}

fn file(name: &str) -> WireRef {
    WireRef::Name(name.to_owned())
}

fn stat(name: &str) -> ClientBody {
    ClientBody::Stat {
        file: file(name),
        wait_for_id: false,
    }
}

fn make_folder(name: &str) -> ClientBody {
    ClientBody::MakeFolder {
        name: name.to_owned(),
        dry_run: false,
    }
}

/// The code of a refusal, if it is one.
fn refusal(body: &ServerBody) -> Option<(u16, &str)> {
    match body {
        ServerBody::Refused { code, detail } => Some((*code, detail)),
        _ => None,
    }
}

/// Expects the server to end the session for this reason.
async fn expect_end<S>(client: &mut RawClient<S>, code: u16, why: &str) {
    let last = tokio::time::timeout(Duration::from_secs(10), client.receive());
    let ServerMessage { number, body } = last.await.unwrap().unwrap();
    let (found, detail) = refusal(&body).unwrap();
    assert_eq!((number, found), (0, code), "{detail}");
    assert!(detail.contains(why), "{detail}");
    assert!(client.receive().await.is_err());
}
