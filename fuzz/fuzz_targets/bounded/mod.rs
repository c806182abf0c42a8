//! Decoding under the bound that `docs/PROTOCOL.md` promises.

#[path = "../../../tests/integration/allocations.rs"]
mod allocations;

pub use allocations::count;
use fileshare::protocol::codec;
use fileshare::protocol::limits::MAX_PAGE_BODY;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes the body, if it is a message; and then it must encode to the same bytes.
pub fn decode<M: Serialize + DeserializeOwned>(body: &[u8]) -> Option<M> {
    let (decoded, seen) = allocations::count(|| codec::decode::<M>(body));
    let bound = 4 * body.len() + 64 * 1024;
    assert!(seen.largest <= bound, "{seen:?} for {} bytes", body.len());
    assert!(seen.peak <= bound, "{seen:?} for {} bytes", body.len());
    let message = decoded.ok()?;
    let mut encoded = Vec::new();
    codec::encode(&message, &mut encoded, MAX_PAGE_BODY).expect("it was decoded");
    assert!(encoded == body, "another encoding of the same message");
    Some(message)
}
