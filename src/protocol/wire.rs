use std::fmt;
use std::net::IpAddr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::MAX_DIGEST;
use super::text;
use crate::types::{Digest, Entry, FileName, FileRef, IdPrefix, Item, NameError, Timestamp};

/// A field of a message that is well-formed bincode and still not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A name that breaks the rules of names.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A number or text outside of what the field allows.
    #[error("malformed message: {0}")]
    Field(&'static str),
}

/// A digest and the algorithm that made it.
///
/// Behind a box, so that what may have a digest and has none stays small: a page has thousands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireDigest(Box<Parts>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    /// 1 is MD5.
    algorithm: u8,
    /// 16 bytes for MD5.
    bytes: DigestBytes,
}

impl WireDigest {
    const MD5: u8 = 1;

    /// A digest as any algorithm makes it; `None` when it has more bytes than a digest may have.
    pub fn new(algorithm: u8, bytes: &[u8]) -> Option<Self> {
        let bytes = DigestBytes::new(bytes)?;
        Some(WireDigest(Box::new(Parts { algorithm, bytes })))
    }

    /// The number of the algorithm; 1 is MD5.
    pub fn algorithm(&self) -> u8 {
        self.0.algorithm
    }

    /// The digest itself.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes.as_slice()
    }
}

impl fmt::Debug for WireDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireDigest({}, {:02x?})", self.algorithm(), self.bytes())
    }
}

/// At most [`MAX_DIGEST`] bytes: a list on the wire, and nothing on the heap.
#[derive(Clone, Copy, PartialEq, Eq)]
struct DigestBytes {
    length: u8,
    bytes: [u8; MAX_DIGEST],
}

impl DigestBytes {
    fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_DIGEST];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        let length = u8::try_from(from.len()).ok()?;
        Some(DigestBytes { length, bytes })
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl Serialize for DigestBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.as_slice())
    }
}

impl<'de> Deserialize<'de> for DigestBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = DigestBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_DIGEST} bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<DigestBytes, A::Error> {
                let mut digest = DigestBytes {
                    length: 0,
                    bytes: [0; MAX_DIGEST],
                };
                while let Some(byte) = items.next_element()? {
                    let room = digest.bytes.get_mut(usize::from(digest.length));
                    *room.ok_or_else(|| A::Error::invalid_length(MAX_DIGEST + 1, &self))? = byte;
                    digest.length += 1;
                }
                Ok(digest)
            }
        }
        deserializer.deserialize_seq(Bytes)
    }
}

impl From<Digest> for WireDigest {
    fn from(digest: Digest) -> Self {
        let Digest::Md5(md5) = digest;
        let mut bytes = [0; MAX_DIGEST];
        for (to, from) in bytes.iter_mut().zip(md5) {
            *to = from;
        }
        WireDigest(Box::new(Parts {
            algorithm: Self::MD5,
            bytes: DigestBytes {
                length: md5.len() as u8,
                bytes,
            },
        }))
    }
}

impl TryFrom<WireDigest> for Digest {
    type Error = WireError;

    fn try_from(wire: WireDigest) -> Result<Self, WireError> {
        if wire.algorithm() != WireDigest::MD5 {
            return Err(WireError::Field("unknown digest algorithm"));
        }
        let bytes = wire.bytes().try_into();
        bytes
            .map(Digest::Md5)
            .map_err(|_| WireError::Field("an MD5 digest has 16 bytes"))
    }
}

/// Where a client is: a version 4 address that was written as a version 6 one is version 4 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireAddress {
    /// IP version 4.
    V4([u8; 4]),
    /// IP version 6.
    V6([u8; 16]),
}

impl From<IpAddr> for WireAddress {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => WireAddress::V4(address.octets()),
            IpAddr::V6(address) => WireAddress::V6(address.octets()),
        }
    }
}

impl From<WireAddress> for IpAddr {
    fn from(wire: WireAddress) -> Self {
        let address = match wire {
            WireAddress::V4(octets) => IpAddr::from(octets),
            WireAddress::V6(octets) => IpAddr::from(octets),
        };
        address.to_canonical()
    }
}

/// A file on the server, named in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireRef {
    /// By its full name.
    Name(#[serde(deserialize_with = "text::text")] String),
    /// By 6 to 32 hex digits of its id.
    Id(#[serde(deserialize_with = "text::text")] String),
}

impl From<&FileRef> for WireRef {
    fn from(file: &FileRef) -> Self {
        match file {
            FileRef::Name(name) => WireRef::Name(name.as_str().to_owned()),
            FileRef::Id(prefix) => WireRef::Id(prefix.as_str().to_owned()),
        }
    }
}

impl TryFrom<WireRef> for FileRef {
    type Error = WireError;

    fn try_from(wire: WireRef) -> Result<Self, WireError> {
        match wire {
            WireRef::Name(name) => Ok(FileRef::Name(FileName::parse(&name)?)),
            WireRef::Id(digits) => IdPrefix::parse(&digits)
                .map(FileRef::Id)
                .ok_or(WireError::Field("an id has 6 to 32 hex digits")),
        }
    }
}

/// What a listing says of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireEntry {
    /// The full name.
    #[serde(deserialize_with = "text::text")]
    pub name: String,
    /// The id, when the file is hashed.
    pub id: Option<WireDigest>,
    /// The size in bytes.
    pub size: u64,
    /// Time of the last change: seconds since the Unix epoch …
    pub modified_seconds: i64,
    /// … and nanoseconds, below 1,000,000,000.
    pub modified_nanoseconds: u32,
    /// Whether the owner may execute it.
    pub executable: bool,
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> Self {
        WireEntry {
            name: entry.name.as_str().to_owned(),
            id: entry.id.map(WireDigest::from),
            size: entry.size,
            modified_seconds: entry.modified.seconds(),
            modified_nanoseconds: entry.modified.nanoseconds(),
            executable: entry.executable,
        }
    }
}

impl From<&Entry> for Box<WireEntry> {
    fn from(entry: &Entry) -> Self {
        Box::new(entry.into())
    }
}

impl TryFrom<Box<WireEntry>> for Entry {
    type Error = WireError;

    fn try_from(wire: Box<WireEntry>) -> Result<Self, WireError> {
        Entry::try_from(*wire)
    }
}

impl TryFrom<WireEntry> for Entry {
    type Error = WireError;

    fn try_from(wire: WireEntry) -> Result<Self, WireError> {
        Ok(Entry {
            name: FileName::parse(&wire.name)?,
            id: wire.id.map(Digest::try_from).transpose()?,
            size: wire.size,
            modified: Timestamp::new(wire.modified_seconds, wire.modified_nanoseconds)
                .ok_or(WireError::Field("a time out of range"))?,
            executable: wire.executable,
        })
    }
}

/// One item of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireItem {
    /// A file.
    File(WireEntry),
    /// A folder, by its full name.
    Folder(#[serde(deserialize_with = "text::text")] String),
}

impl From<&Item> for WireItem {
    fn from(item: &Item) -> Self {
        match item {
            Item::File(entry) => WireItem::File(entry.into()),
            Item::Folder(name) => WireItem::Folder(name.as_str().to_owned()),
        }
    }
}

impl TryFrom<WireItem> for Item {
    type Error = WireError;

    fn try_from(wire: WireItem) -> Result<Self, WireError> {
        Ok(match wire {
            WireItem::File(entry) => Item::File(entry.try_into()?),
            WireItem::Folder(name) => Item::Folder(FileName::parse(&name)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_entry_is_refused() {
        let good = WireEntry {
            name: "a".into(),
            id: None,
            size: 1,
            modified_seconds: 0,
            modified_nanoseconds: 0,
            executable: false,
        };
        assert!(Entry::try_from(good.clone()).is_ok());
        let with = |change: fn(&mut WireEntry)| {
            let mut entry = good.clone();
            change(&mut entry);
            Entry::try_from(entry)
        };
        assert!(with(|e| e.name = "../../b".into()).is_err());
        assert!(with(|e| e.name = "a\u{1b}[2J".into()).is_err());
        assert!(with(|e| e.modified_nanoseconds = 1_000_000_000).is_err());
        assert!(with(|e| e.modified_seconds = i64::MIN).is_err());
        assert!(with(|e| e.id = WireDigest::new(9, &[0; 16])).is_err());
        assert!(with(|e| e.id = WireDigest::new(1, &[0; 15])).is_err());
        assert!(with(|e| e.id = WireDigest::new(1, &[0; 16])).is_ok());
        assert_eq!(WireDigest::new(1, &[0; MAX_DIGEST + 1]), None);
    }
}
