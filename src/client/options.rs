use std::path::PathBuf;
use std::time::Duration;

use super::Trust;
use crate::access::Password;
use crate::types::{Compression, UserName};

/// How a [`Client`](super::Client) behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long to wait for a connection, and for an answer while nothing is heard.
    pub timeout: Duration,
    /// How often to go on after a cut before giving up; never at first contact.
    pub retries: u32,
    /// The most bytes of file content per second, either way.
    pub limit_rate: Option<u64>,
    /// How many connections a batch of files may use.
    pub connections: usize,
    /// When file content is compressed on its way.
    pub compression: Compression,
    /// Where this user's state is kept, such as what lets an upload go on in another run. Without
    /// it everything works, and an upload goes on in the same run only.
    pub state_dir: Option<PathBuf>,
    /// No TLS: for a trusted wire, and for a server that was told the same.
    pub plaintext: bool,
    /// Which servers are trusted; plaintext has nothing that could be.
    pub trust: Trust,
    /// Who to log in as; nobody in particular without it. Never sent in plaintext to another
    /// machine.
    pub login: Option<Credentials>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(30),
            retries: 3,
            limit_rate: None,
            connections: 1,
            compression: Compression::default(),
            state_dir: None,
            plaintext: false,
            trust: Trust::default(),
            login: None,
        }
    }
}

/// Who a client logs in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name of the account.
    pub user: UserName,
    /// Its password.
    pub password: Password,
}
