//! The words of the project: parsed once, valid ever after.
//!
//! Nothing here does I/O, knows the wire or knows a terminal. A value of one of these types has
//! already been checked; code that holds one never checks again.

mod compression;
mod conflict;
mod digest;
mod entry;
mod file_name;
mod filter;
mod fingerprint;
mod hex;
mod kept;
mod patterns;
mod peer_name;
mod printable;
mod reference;
mod timestamp;
mod user_name;

pub use compression::Compression;
pub use conflict::{OnConflict, Precondition};
pub use digest::{Digest, DigestError};
pub use entry::{Entry, Item};
pub use file_name::{FileName, NameError, RESERVED_PREFIX};
pub use filter::Filter;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use kept::{Kept, TakenBack};
pub use patterns::{PatternError, Patterns};
pub use peer_name::{PeerName, PeerNameError};
pub use printable::Printable;
pub use reference::{FileRef, IdPrefix};
pub use timestamp::Timestamp;
pub use user_name::{UserName, UserNameError};
