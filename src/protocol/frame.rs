//! The envelope of everything after the preface: `u32` length, `u8` kind, body.

use super::limits::{MAX_DATA_BODY, MAX_PAGE_BODY};

/// Bytes before a frame's body: the length and the kind.
pub const HEADER_BYTES: usize = 5;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A bincode message.
    Message,
    /// File content as it is.
    Data,
    /// File content, compressed.
    Compressed,
}

impl FrameKind {
    /// The byte that stands for the kind.
    pub fn byte(self) -> u8 {
        match self {
            FrameKind::Message => 0,
            FrameKind::Data => 1,
            FrameKind::Compressed => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(FrameKind::Message),
            1 => Some(FrameKind::Data),
            2 => Some(FrameKind::Compressed),
            _ => None,
        }
    }
}

/// The largest body that may come next, for each kind; `None` where that kind may not come at all.
///
/// The session gives one for its state, and it is applied before anything is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// For messages, in bytes.
    pub message: usize,
    /// For data frames, in bytes, compressed or not.
    pub data: Option<usize>,
}

impl BodyLimits {
    /// No state allows more than this.
    pub const WIDEST: BodyLimits = BodyLimits {
        message: MAX_PAGE_BODY,
        data: Some(MAX_DATA_BODY),
    };
}

/// A frame's first five bytes, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the body is.
    pub kind: FrameKind,
    /// How many bytes of body follow.
    pub body: usize,
}

/// Why five bytes are not the header of a frame that may come now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is 0: not even a kind.
    #[error("a frame of no bytes")]
    Empty,
    /// A kind that does not exist.
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u8),
    /// More than this kind may have in this state.
    #[error("a frame body of {body} bytes where at most {limit} are allowed")]
    TooLarge {
        /// What was announced, in bytes.
        body: usize,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// File content outside of a file.
    #[error("file content outside of a file")]
    UnexpectedData,
    /// Compressed content that is not what its frame says.
    #[error("compressed content {0}")]
    Compressed(&'static str),
}

impl FrameHeader {
    /// Reads a header and holds it against the limits of the session's state.
    pub fn parse(bytes: [u8; HEADER_BYTES], limits: BodyLimits) -> Result<Self, FrameError> {
        let [a, b, c, d, kind] = bytes;
        let length = u32::from_be_bytes([a, b, c, d]);
        let body = length.checked_sub(1).ok_or(FrameError::Empty)? as usize;
        let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        let limit = match kind {
            FrameKind::Message => limits.message,
            FrameKind::Data | FrameKind::Compressed => {
                limits.data.ok_or(FrameError::UnexpectedData)?
            }
        };
        if body > limit {
            return Err(FrameError::TooLarge { body, limit });
        }
        Ok(FrameHeader { kind, body })
    }

    /// The five bytes. A body is at most 1 MiB, far below what the length can say.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = (self.body as u32 + 1).to_be_bytes();
        [a, b, c, d, self.kind.byte()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: BodyLimits = BodyLimits {
        message: 100,
        data: Some(200),
    };

    #[test]
    fn checks_length_and_kind_before_anything_else() {
        let parse = |bytes| FrameHeader::parse(bytes, LIMITS);
        assert_eq!(parse([0, 0, 0, 0, 0]), Err(FrameError::Empty));
        assert_eq!(parse([0, 0, 0, 2, 3]), Err(FrameError::UnknownKind(3)));
        let at_limit = FrameHeader {
            kind: FrameKind::Message,
            body: 100,
        };
        assert_eq!(parse([0, 0, 0, 101, 0]), Ok(at_limit));
        assert_eq!(
            parse([0, 0, 0, 102, 0]),
            Err(FrameError::TooLarge {
                body: 101,
                limit: 100
            })
        );
        assert_eq!(
            parse([0xff, 0xff, 0xff, 0xff, 1]),
            Err(FrameError::TooLarge {
                body: 0xffff_fffe,
                limit: 200
            })
        );
        let no_data = BodyLimits {
            data: None,
            ..LIMITS
        };
        for kind in [1, 2] {
            assert_eq!(
                FrameHeader::parse([0, 0, 0, 2, kind], no_data),
                Err(FrameError::UnexpectedData)
            );
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(body in 0usize..=200, kind in 0u8..=2) {
            let kind = FrameKind::from_byte(kind).unwrap();
            let limits = BodyLimits { message: 200, data: Some(200) };
            let header = FrameHeader { kind, body };
            prop_assert_eq!(FrameHeader::parse(header.to_bytes(), limits), Ok(header));
        }

        #[test]
        fn never_lets_more_through_than_the_limit(bytes in any::<[u8; 5]>()) {
            if let Ok(header) = FrameHeader::parse(bytes, LIMITS) {
                prop_assert!(header.body <= 200);
            }
        }
    }
}
