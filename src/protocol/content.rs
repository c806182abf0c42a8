//! The bodies of data frames: file content as it is, or compressed. This is the one file that names
//! zstd.
//!
//! A compressed body is a `u32`, big-endian, with the size of the content, and then one frame of
//! zstd (RFC 8878). Each stands for itself, so that one that does not get smaller can go as it is,
//! and a file can go on wherever it was cut.

use bytes::{Buf, Bytes};
use zstd::bulk;
use zstd::zstd_safe;

use super::frame::{FrameError, FrameKind};
use super::limits::MAX_DATA_BODY;
use super::session::Violation;
use crate::types::Compression;

/// Bytes before the frame of zstd: the size of the content.
const SIZE_BYTES: usize = size_of::<u32>();

/// Level 1 compresses three times as fast as level 3 and a few percent less.
const LEVEL: i32 = 1;

/// File content, as one data frame carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// As it is.
    Plain(Bytes),
    /// Compressed.
    Compressed {
        /// How large it says that it becomes, in bytes: more than the body has, and no more than a
        /// data frame may have.
        size: usize,
        /// The body of its frame.
        body: Bytes,
    },
}

impl Content {
    /// What the body of a data frame of this kind carries.
    pub fn parse(kind: FrameKind, body: Bytes) -> Result<Self, FrameError> {
        if kind != FrameKind::Compressed {
            return Ok(Content::Plain(body));
        }
        let size = body.first_chunk::<SIZE_BYTES>();
        let size = size.ok_or(FrameError::Compressed("without a size"))?;
        let size = u32::from_be_bytes(*size) as usize;
        if size > MAX_DATA_BODY {
            return Err(FrameError::Compressed("of a size that no data frame has"));
        }
        if size <= body.len() {
            return Err(FrameError::Compressed("that is no smaller than it was"));
        }
        Ok(Content::Compressed { size, body })
    }

    /// The kind of frame that carries it.
    pub fn kind(&self) -> FrameKind {
        match self {
            Content::Plain(_) => FrameKind::Data,
            Content::Compressed { .. } => FrameKind::Compressed,
        }
    }

    /// The body of that frame.
    pub fn body(&self) -> &[u8] {
        match self {
            Content::Plain(body) | Content::Compressed { body, .. } => body,
        }
    }

    /// How many bytes of the file it is (as it says itself).
    pub fn size(&self) -> usize {
        match self {
            Content::Plain(bytes) => bytes.len(),
            Content::Compressed { size, .. } => *size,
        }
    }

    /// How many bytes it takes on the wire.
    pub fn wire_size(&self) -> usize {
        self.body().len()
    }

    /// Its first bytes, `length` of them or all that it has, and what is left; none when it is
    /// compressed and has more, for that cannot be taken apart.
    pub fn split(self, length: u64) -> Option<(Content, Option<Content>)> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if self.size() <= length {
            return Some((self, None));
        }
        match self {
            Content::Plain(mut bytes) => {
                let first = bytes.split_to(length);
                Some((Content::Plain(first), Some(Content::Plain(bytes))))
            }
            Content::Compressed { .. } => None,
        }
    }
}

/// Compresses content, piece by piece. Takes about 1 MiB.
pub struct Compressor {
    context: bulk::Compressor<'static>,
    room: Vec<u8>,
}

impl Compressor {
    /// `None` when there is no memory for it.
    pub fn new() -> Option<Self> {
        Some(Compressor {
            context: bulk::Compressor::new(LEVEL).ok()?,
            room: Vec::new(),
        })
    }

    /// The same content in a body of at most `limit` bytes, which is less than its size; `None` when
    /// that cannot be done.
    pub fn compress(&mut self, content: &[u8], limit: usize) -> Option<Content> {
        let size = u32::try_from(content.len()).ok()?;
        let limit = limit.min(content.len().checked_sub(1)?);
        if self.room.len() < limit {
            self.room.resize(limit, 0);
        }
        let (head, room) = self
            .room
            .get_mut(..limit)?
            .split_first_chunk_mut::<SIZE_BYTES>()?;
        // What does not fit has not become small enough.
        let written = self.context.compress_to_buffer(content, room).ok()?;
        *head = size.to_be_bytes();
        Some(Content::Compressed {
            size: content.len(),
            body: Bytes::copy_from_slice(self.room.get(..SIZE_BYTES + written)?),
        })
    }
}

/// Makes content of what came, piece by piece. Takes memory once something compressed has come: for
/// one piece, and 100 KiB.
#[derive(Default)]
pub struct Expander {
    context: Option<bulk::Decompressor<'static>>,
    room: Vec<u8>,
}

impl Expander {
    /// The content, which has exactly the size that it was said to have.
    pub fn expand<'a>(&'a mut self, content: &'a Content) -> Result<&'a [u8], FrameError> {
        let (size, mut frame) = match content {
            Content::Plain(bytes) => return Ok(bytes),
            Content::Compressed { size, body } => (*size, &body[..]),
        };
        if frame.try_get_u32().is_err() {
            return Err(FrameError::Compressed("without a size"));
        }
        check_header(frame)?;
        if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
            return Err(FrameError::Compressed(
                "that is not one whole frame of zstd",
            ));
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => match bulk::Decompressor::new() {
                Ok(context) => none.insert(context),
                Err(_) => return Err(FrameError::Compressed("for which there is no memory")),
            },
        };
        if self.room.len() < size {
            self.room.resize(size, 0);
        }
        let room = self.room.get_mut(..size).unwrap_or_default();
        match context.decompress_to_buffer(frame, room) {
            Ok(written) if written == size => Ok(room),
            Ok(_) => Err(FrameError::Compressed("that becomes less than it says")),
            Err(_) => Err(FrameError::Compressed(
                "that is damaged, or becomes more than it says",
            )),
        }
    }
}

/// The first bytes of a frame of zstd.
const MAGIC: u32 = 0xfd2f_b528;

/// Holds the header of a frame of zstd against what this protocol allows (RFC 8878, 3.1.1.1): no
/// dictionary, and no window that is larger than any content, so that nobody needs more memory than
/// that to read it.
fn check_header(mut frame: &[u8]) -> Result<(), FrameError> {
    if frame.try_get_u32_le() != Ok(MAGIC) {
        return Err(FrameError::Compressed("that does not begin as zstd does"));
    }
    let cut = |_| FrameError::Compressed("that is cut short");
    let descriptor = frame.try_get_u8().map_err(cut)?;
    if descriptor & 0b11 != 0 {
        return Err(FrameError::Compressed("that needs a dictionary"));
    }
    // In a single segment the window is the content.
    let single_segment = descriptor & 0b10_0000 != 0;
    if single_segment {
        return Ok(());
    }
    let window = frame.try_get_u8().map_err(cut)?;
    let base = 1_u64 << (10 + (window >> 3));
    if base + base / 8 * u64::from(window & 0b111) > MAX_DATA_BODY as u64 {
        return Err(FrameError::Compressed("that needs too large a window"));
    }
    Ok(())
}

impl From<Compression> for u8 {
    /// As it is said in [`ClientBody::Compression`](super::message::ClientBody::Compression).
    fn from(compression: Compression) -> u8 {
        match compression {
            Compression::Never => 0,
            Compression::Auto => 1,
            Compression::Always => 2,
        }
    }
}

impl TryFrom<u8> for Compression {
    type Error = Violation;

    fn try_from(mode: u8) -> Result<Self, Self::Error> {
        match mode {
            0 => Ok(Compression::Never),
            1 => Ok(Compression::Auto),
            2 => Ok(Compression::Always),
            _ => Err(Violation("a way of compression that does not exist")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(content: &[u8]) -> Content {
        let mut compressor = Compressor::new().unwrap();
        compressor.compress(content, content.len()).unwrap()
    }

    /// What a body becomes that claims `size` and has this frame of zstd.
    fn expanded(size: u32, frame: &[u8]) -> Result<Vec<u8>, FrameError> {
        let body = [&size.to_be_bytes(), frame].concat().into();
        let content = Content::parse(FrameKind::Compressed, body)?;
        Expander::default().expand(&content).map(<[u8]>::to_vec)
    }

    fn zstd_of(content: &[u8]) -> Vec<u8> {
        compressed(content).body()[SIZE_BYTES..].to_vec()
    }

    fn refused(size: u32, frame: &[u8]) -> &'static str {
        match expanded(size, frame) {
            Err(FrameError::Compressed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn content_comes_back_as_it_was() {
        let text = b"never send the same thing twice. ".repeat(1000);
        let content = compressed(&text);
        assert!(content.wire_size() < text.len() / 50);
        assert_eq!((content.size(), content.kind().byte()), (text.len(), 2));
        let parsed = Content::parse(content.kind(), Bytes::copy_from_slice(content.body()));
        let mut expander = Expander::default();
        assert_eq!(expander.expand(&parsed.unwrap()), Ok(&text[..]));
        let shorter = compressed(&[0; 40]);
        assert_eq!(expander.expand(&shorter), Ok(&[0; 40][..]));
        let plain = Content::Plain(Bytes::from_static(b"as it is"));
        assert_eq!(expander.expand(&plain), Ok(&b"as it is"[..]));
    }

    #[test]
    fn what_does_not_get_small_enough_is_left_alone() {
        let mut compressor = Compressor::new().unwrap();
        let noise: Vec<u8> = (0..1000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8 ^ (n >> 3) as u8)
            .collect();
        for content in [&b""[..], b"x", b"abcdefgh", &noise] {
            assert_eq!(compressor.compress(content, content.len()), None);
        }
        assert_eq!(compressor.compress(&[0; 1000], 10), None);
        assert!(compressor.compress(&[0; 1000], 100).is_some());
    }

    #[test]
    fn sizes_that_lie_are_refused() {
        let frame = zstd_of(&[0; 5000]);
        assert_eq!(expanded(5000, &frame), Ok(vec![0; 5000]));
        for size in [0, 1, frame.len() as u32 + 4] {
            assert_eq!(refused(size, &frame), "that is no smaller than it was");
        }
        assert_eq!(refused(5001, &frame), "that becomes less than it says");
        let more = "that is damaged, or becomes more than it says";
        assert_eq!(refused(4999, &frame), more);
        for size in [MAX_DATA_BODY as u32 + 1, u32::MAX] {
            assert_eq!(refused(size, &frame), "of a size that no data frame has");
        }
        let none = Content::parse(FrameKind::Compressed, Bytes::from_static(b"\0\0\x01"));
        assert_eq!(none, Err(FrameError::Compressed("without a size")));
    }

    #[test]
    fn bombs_take_no_more_room_than_they_were_given() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        let most = MAX_DATA_BODY as u32;
        assert!(bomb.len() < 10_000);
        // A bomb needs a window of its size; with a small one it is still too much.
        let more = "that is damaged, or becomes more than it says";
        assert_eq!(refused(most, &bomb), "that needs too large a window");
        let mut narrow = zstd::bulk::Compressor::new(3).unwrap();
        narrow
            .set_parameter(zstd_safe::CParameter::WindowLog(17))
            .unwrap();
        let bomb = narrow.compress(&vec![0; 64 << 20]).unwrap();
        assert_eq!(refused(most, &bomb), more);
    }

    #[test]
    fn nothing_but_one_plain_frame_is_taken() {
        let frame = zstd_of(&[7; 5000]);
        let two = [&frame[..], &frame].concat();
        let trailing = [&frame[..], b"x"].concat();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &frame].concat();
        let behind = [&frame[..], &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]].concat();
        let whole = "that is not one whole frame of zstd";
        for wrong in [&two, &trailing, &behind] {
            assert_eq!(refused(10_000, wrong), whole);
        }
        let begins = "that does not begin as zstd does";
        for wrong in [&skippable[..], b"", b"\x28\xb5\x2f", b"rubbish and more"] {
            assert_eq!(refused(10_000, wrong), begins);
        }
        for cut in 4..frame.len() {
            assert!(expanded(5000, &frame[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn dictionaries_and_large_windows_are_refused() {
        let with = |descriptor: u8, window: u8| {
            // A header and a last raw block of one byte.
            let mut frame = MAGIC.to_le_bytes().to_vec();
            frame.extend([descriptor, window, 9, 0, 0, b'x']);
            frame
        };
        for dictionary in 1..4 {
            assert_eq!(
                refused(100, &with(dictionary, 0)),
                "that needs a dictionary"
            );
        }
        // 2^(10 + 10) is the largest window, and there is none a little larger.
        let less = "that becomes less than it says";
        for window in [0, 7, 10 << 3] {
            assert_eq!(refused(100, &with(0, window)), less, "{window}");
        }
        for window in [(10 << 3) + 1, 11 << 3, 0xff] {
            assert_eq!(
                refused(100, &with(0, window)),
                "that needs too large a window"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_gets_smaller_comes_back(
            words in proptest::collection::vec(0u8..6, 0..70_000),
        ) {
            let mut compressor = Compressor::new().unwrap();
            if let Some(content) = compressor.compress(&words, words.len()) {
                prop_assert!(content.wire_size() < words.len());
                let body = Bytes::copy_from_slice(content.body());
                let parsed = Content::parse(FrameKind::Compressed, body).unwrap();
                prop_assert_eq!(&parsed, &content);
                let mut expander = Expander::default();
                prop_assert_eq!(expander.expand(&parsed), Ok(&words[..]));
            }
        }

        #[test]
        fn what_is_damaged_is_refused_or_has_the_size_it_says(
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
            size in 1usize..20_000,
        ) {
            let content: Vec<u8> = (0..size).map(|n| (n * n / 7) as u8 & 0x0f).collect();
            let Some(content) = Compressor::new().unwrap().compress(&content, size) else {
                return Ok(());
            };
            let mut body = content.body().to_vec();
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            if let Ok(content) = Content::parse(FrameKind::Compressed, body.into()) {
                let mut expander = Expander::default();
                if let Ok(expanded) = expander.expand(&content) {
                    prop_assert_eq!(expanded.len(), content.size());
                }
            }
        }

        #[test]
        fn rubbish_is_never_more_than_it_says(
            size in 0u32..3_000_000,
            rubbish in proptest::collection::vec(any::<u8>(), 0..200),
            is_zstd in any::<bool>(),
        ) {
            let mut frame = if is_zstd { MAGIC.to_le_bytes().to_vec() } else { vec![] };
            frame.extend(rubbish);
            if let Ok(expanded) = expanded(size, &frame) {
                prop_assert_eq!(expanded.len(), size as usize);
            }
        }
    }
}
