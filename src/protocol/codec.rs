//! Messages to bytes and back: the one file that names bincode.
//!
//! Integers have a fixed width and are little-endian, so that `docs/PROTOCOL.md` can draw tables.
//! Sizes are checked here in both directions, because bincode checks its limit only on decoding,
//! and bytes left over are an error, because bincode accepts them.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::MAX_PAGE_BODY;
use super::list;

const CONFIGURATION: Configuration<LittleEndian, Fixint, Limit<MAX_PAGE_BODY>> =
    bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<MAX_PAGE_BODY>();

/// Why a message could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The encoded message is larger than its limit.
    #[error("a message of {size} bytes is over its limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The value cannot be encoded.
    #[error("a message cannot be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are not a message.
    #[error("malformed message")]
    Decode(#[from] bincode::error::DecodeError),
    /// The bytes are a message and something after it.
    #[error("malformed message: {0} bytes too many")]
    TrailingBytes(usize),
}

/// Appends the encoded message to `buffer`; on an error `buffer` is as it was.
pub fn encode<M: Serialize>(
    message: &M,
    buffer: &mut Vec<u8>,
    limit: usize,
) -> Result<(), CodecError> {
    let start = buffer.len();
    let written = bincode::serde::encode_into_std_write(message, buffer, CONFIGURATION);
    let size = buffer.len() - start;
    let checked = match written {
        Ok(_) if size > limit => Err(CodecError::TooLarge { size, limit }),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    };
    if checked.is_err() {
        buffer.truncate(start);
    }
    checked
}

/// Decodes exactly one message from all of `body`.
///
/// Never has more than 4 times `body`'s length and 64 KiB allocated, whatever the bytes claim:
/// lists are counted first (`list`), and texts are looked at before they are copied (`text`).
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, CodecError> {
    let (message, used) = list::within(body.len(), || {
        bincode::serde::borrow_decode_from_slice(body, CONFIGURATION)
    })?;
    match body.len() - used {
        0 => Ok(message),
        left => Err(CodecError::TrailingBytes(left)),
    }
}
