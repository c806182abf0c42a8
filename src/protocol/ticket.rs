use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::codec;
use super::limits::MAX_MESSAGE_BODY;
use super::text;
use super::wire::WireDigest;

/// What is authenticated begins with this, so that the key says nothing about anything else.
const CONTEXT: &[u8] = b"fileshare ticket 1\0";

/// 32 random bytes that only two sides know: the key of tickets, the identity of a registered
/// client, the number of a relay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Secret(pub [u8; 32]);

/// Without the bytes: messages are logged.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a server permits: this requester may fetch this file from this client until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The name of the client that offers the file.
    #[serde(deserialize_with = "text::text")]
    pub owner: String,
    /// The name of the file.
    #[serde(deserialize_with = "text::text")]
    pub file: String,
    /// Its size in bytes, as it was offered.
    pub size: u64,
    /// Its id, as it was offered.
    pub id: WireDigest,
    /// The name of the client that wants it, when it is registered.
    #[serde(deserialize_with = "text::optional")]
    pub requester: Option<String>,
    /// The SHA-256 of the requester's public key; `None` without TLS, or when it has shown none.
    pub key: Option<[u8; 32]>,
    /// Until when: milliseconds on the server's clock, as in `Registered`.
    pub expires: u64,
}

/// Terms that nobody but the server and the owner of the file can have written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What is permitted.
    pub terms: Terms,
    /// HMAC-SHA256 under the owner's ticket key over `fileshare ticket 1`, a zero byte, and the
    /// terms as they are encoded here.
    pub mac: [u8; 32],
}

impl Ticket {
    /// Seals `terms` with the owner's ticket key; `None` when they are too long for any message.
    pub fn new(terms: Terms, key: &Secret) -> Option<Self> {
        let sealed = hmac::sign(&hmac_key(key), &sealed_bytes(&terms)?);
        let mac = sealed.as_ref().try_into().ok()?;
        Some(Ticket { terms, mac })
    }

    /// Whether the terms were sealed with this key. Takes the same time wherever they differ.
    pub fn is_sealed_with(&self, key: &Secret) -> bool {
        sealed_bytes(&self.terms)
            .is_some_and(|bytes| hmac::verify(&hmac_key(key), &bytes, &self.mac).is_ok())
    }
}

fn hmac_key(key: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &key.0)
}

fn sealed_bytes(terms: &Terms) -> Option<Vec<u8>> {
    let mut bytes = CONTEXT.to_vec();
    codec::encode(terms, &mut bytes, MAX_MESSAGE_BODY).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Digest;

    fn terms() -> Terms {
        Terms {
            owner: "B".into(),
            file: "foo".into(),
            size: 5,
            id: WireDigest::from(Digest::Md5([7; 16])),
            requester: Some("C".into()),
            key: Some([9; 32]),
            expires: 60_000,
        }
    }

    #[test]
    fn no_word_of_a_ticket_can_be_changed() {
        let key = Secret([1; 32]);
        let ticket = Ticket::new(terms(), &key).unwrap();
        assert!(ticket.is_sealed_with(&key));
        assert!(!ticket.is_sealed_with(&Secret([2; 32])));
        let changes: [fn(&mut Terms); 7] = [
            |terms| terms.owner = "b".into(),
            |terms| terms.file = "fop".into(),
            |terms| terms.size = 6,
            |terms| terms.id = WireDigest::from(Digest::Md5([8; 16])),
            |terms| terms.requester = None,
            |terms| terms.key = None,
            |terms| terms.expires += 1,
        ];
        for change in changes {
            let mut other = ticket.clone();
            change(&mut other.terms);
            assert!(!other.is_sealed_with(&key), "{other:?}");
        }
        let mut other = ticket;
        other.mac[31] ^= 1;
        assert!(!other.is_sealed_with(&key));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret([1; 32])), "Secret(..)");
    }
}
