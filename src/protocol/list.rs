//! Lists on the wire: counted before anything is allocated for them.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::limits::MAX_PAGE_BODY;

thread_local! {
    /// How long the body is that this thread decodes: what no list in it can be longer than.
    static BODY: Cell<usize> = const { Cell::new(MAX_PAGE_BODY) };
}

/// Runs `decode` for a body of `bytes` bytes.
pub(super) fn within<T>(bytes: usize, decode: impl FnOnce() -> T) -> T {
    let before = BODY.replace(bytes);
    let decoded = decode();
    BODY.set(before);
    decoded
}

/// Reads a list of at most `MAX` items, each at least `LEAST` bytes long on the wire.
///
/// Serde would set aside up to 1 MiB for a list that only claims to be long, and bincode has no
/// word in that. Here a count is refused that the body has no bytes for, and the room is exact.
pub(super) fn bounded<'de, D, T, const MAX: usize, const LEAST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    const {
        // Together with the codec's limits: at most 4 bytes for each one that came, and 64 KiB.
        assert!(size_of::<T>() * MAX <= 4 * LEAST * MAX + 64 * 1024);
    }
    deserializer.deserialize_seq(Bounded::<T, MAX, LEAST>(PhantomData))
}

struct Bounded<T, const MAX: usize, const LEAST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize, const LEAST: usize> Visitor<'de>
    for Bounded<T, MAX, LEAST>
{
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items that are all there")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let count = items.size_hint().unwrap_or(usize::MAX);
        if count > MAX || count > BODY.get() / LEAST {
            return Err(A::Error::invalid_length(count, &self));
        }
        let mut list = Vec::with_capacity(count);
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}
