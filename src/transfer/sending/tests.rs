use proptest::prelude::*;

use super::*;
use crate::digest::BlockSize;
use crate::transfer::Blocks;

struct Memory {
    content: Vec<u8>,
    position: usize,
    announced: Option<u64>,
    verdict: Result<(), Failure>,
}

impl Source for Memory {
    fn entry(&self) -> Option<Entry> {
        None
    }
    fn size(&self) -> Option<u64> {
        self.announced
    }
    fn digest(&self) -> Option<Digest> {
        None
    }
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        // Short reads, as pipes make them.
        let left = &self.content[self.position..];
        let bytes = left.len().min(buffer.len()).min(100_000);
        buffer[..bytes].copy_from_slice(&left[..bytes]);
        self.position += bytes;
        Ok(bytes)
    }
    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        self.position = offset as usize;
        Ok(())
    }
    fn finish(&mut self, _digest: Digest) -> Result<(), Failure> {
        self.verdict.clone()
    }
}

fn file(index: u32, content: Vec<u8>, announced: Option<u64>) -> OutgoingFile {
    let source = Memory {
        content,
        position: 0,
        announced,
        verdict: Ok(()),
    };
    OutgoingFile {
        index,
        beginning: None,
        parts: Vec::new(),
        open: Box::new(move || Opening::Send(Box::new(source))),
    }
}

async fn all(mut sending: Sending) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while !sending.is_idle() {
        pieces.extend(sending.next(Rate::default()).await.unwrap());
    }
    pieces
}

#[tokio::test]
async fn every_size_arrives_whole_in_chunks_that_end_on_segments() {
    for size in [
        0,
        1,
        DATA_CHUNK - 1,
        DATA_CHUNK,
        DATA_CHUNK + 1,
        5 * DATA_CHUNK + 7,
    ] {
        for announced in [None, Some(size as u64)] {
            let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut sending = Sending::new(Compression::Never);
            sending.add(file(3, content.clone(), announced));
            let pieces = all(sending).await;
            let mut sent = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                match piece {
                    Piece::Begin { index: 3, .. } => assert_eq!(at, 0),
                    Piece::Data(chunk) => {
                        assert_eq!(sent.len() % SEGMENT, 0);
                        sent.extend_from_slice(chunk.body());
                    }
                    Piece::End { index: 3, digest } => {
                        assert_eq!(*digest, Hasher::digest_of(&content));
                        assert_eq!(at, pieces.len() - 1);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(sent, content);
        }
    }
}

#[tokio::test]
async fn a_file_that_shrinks_or_changes_is_aborted_and_the_next_one_goes_on() {
    let mut sending = Sending::new(Compression::Never);
    sending.add(file(0, vec![1; 10], Some(20)));
    let changed = Memory {
        content: vec![1; 10],
        position: 0,
        announced: None,
        verdict: Err(Failure::new(ErrorCode::Conflict, "changed")),
    };
    sending.add(OutgoingFile {
        index: 1,
        beginning: None,
        parts: Vec::new(),
        open: Box::new(move || Opening::Send(Box::new(changed))),
    });
    sending.add(OutgoingFile {
        index: 2,
        beginning: None,
        parts: Vec::new(),
        open: Box::new(|| Opening::Fail(Failure::new(ErrorCode::NotFound, "gone"))),
    });
    sending.add(OutgoingFile {
        index: 3,
        beginning: None,
        parts: Vec::new(),
        open: Box::new(|| Opening::Skip),
    });
    sending.add(file(4, vec![2; 3], Some(3)));
    let pieces = all(sending).await;
    let ends: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Abort { index, failure } => Some((*index, Some(failure.code))),
            Piece::End { index, .. } | Piece::Skip { index } => Some((*index, None)),
            _ => None,
        })
        .collect();
    assert_eq!(
        ends,
        [
            (0, Some(ErrorCode::Conflict)),
            (1, Some(ErrorCode::Conflict)),
            (2, Some(ErrorCode::NotFound)),
            (3, None),
            (4, None)
        ]
    );
}

#[tokio::test]
async fn goes_on_from_what_the_receiver_has_only_if_the_file_begins_so() {
    let content: Vec<u8> = (0..3 * DATA_CHUNK + 7).map(|i| (i % 251) as u8).collect();
    let length = content.len() as u64;
    for (has, right, offset) in [
        (SEGMENT as u64, true, SEGMENT as u64),
        (2 * DATA_CHUNK as u64, true, 2 * DATA_CHUNK as u64),
        (2 * DATA_CHUNK as u64, false, 0),
        (length, true, length),
        (length + 1, true, 0),
        (0, true, 0),
    ] {
        let mut first = content.clone();
        first.resize(has as usize, 0);
        let mut digest = Hasher::digest_of(&first);
        if !right {
            digest = Hasher::digest_of(b"other");
        }
        let mut sending = Sending::new(Compression::Never);
        sending.add(OutgoingFile {
            beginning: Some(Beginning {
                length: has,
                digest,
            }),
            ..file(0, content.clone(), Some(length))
        });
        let mut sent = Vec::new();
        for piece in all(sending).await {
            match piece {
                Piece::Begin { offset: from, .. } => assert_eq!(from, offset, "{has}"),
                Piece::Data(chunk) => sent.extend_from_slice(chunk.body()),
                Piece::End { digest, .. } => {
                    assert_eq!(digest, Hasher::digest_of(&content));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(sent == content[offset as usize..], "{has}");
    }
}

#[tokio::test]
async fn a_skipped_file_stops_in_the_middle() {
    let mut sending = Sending::new(Compression::Never);
    sending.add(file(0, vec![1; 100 * DATA_CHUNK], None));
    sending.next(Rate::default()).await.unwrap();
    sending.skip(0);
    let pieces = all(sending).await;
    assert!(pieces.len() < 50);
    assert!(matches!(pieces.last(), Some(Piece::Abort { index: 0, .. })));
}

/// A file in memory that need not be hashed again, if it is known.
struct Known(Memory, Option<Digest>);

impl Source for Known {
    fn entry(&self) -> Option<Entry> {
        None
    }
    fn size(&self) -> Option<u64> {
        self.0.announced
    }
    fn digest(&self) -> Option<Digest> {
        self.1
    }
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.0.read(buffer)
    }
    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        self.0.seek(offset)
    }
    fn finish(&mut self, digest: Digest) -> Result<(), Failure> {
        self.0.finish(digest)
    }
}

fn known(content: &[u8], digest: Option<Digest>) -> Box<Known> {
    let memory = Memory {
        content: content.to_vec(),
        position: 0,
        announced: Some(content.len() as u64),
        verdict: Ok(()),
    };
    Box::new(Known(memory, digest))
}

/// Bytes that look like noise (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn alike(old: &[u8]) -> Basis {
    let size = BlockSize::new(BlockSize::MIN).unwrap();
    let mut blocks = Vec::new();
    size.cut(old, true, &mut |block| blocks.push(Block::of(block)));
    Basis::alike(Hasher::digest_of(old), Blocks::new(size, blocks))
}

fn patch(source: Box<Known>, basis: Basis, beginning: Option<Beginning>) -> Vec<Piece> {
    let mut sending = Sending::new(Compression::Never);
    sending.add(OutgoingFile {
        index: 0,
        beginning,
        parts: Vec::new(),
        open: Box::new(move || Opening::Patch(source, basis)),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(all(sending))
}

/// What a receiver makes of the pieces, and how many bytes of it were sent.
fn put_together(pieces: &[Piece], old: &[u8], before: &[u8]) -> (Vec<u8>, usize) {
    let (mut new, mut sent) = (before.to_vec(), 0);
    let [
        Piece::Begin { basis, offset, .. },
        middle @ ..,
        Piece::End { digest, .. },
    ] = pieces
    else {
        panic!("{pieces:?}");
    };
    assert_eq!(*basis, Some(Hasher::digest_of(old)));
    assert_eq!(*offset, before.len() as u64);
    for piece in middle {
        match piece {
            Piece::Data(content) => {
                assert!((1..=DATA_CHUNK).contains(&content.size()));
                sent += content.size();
                new.extend_from_slice(content.body());
            }
            Piece::Copy(part) => new.extend(&old[part.start as usize..part.end as usize]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(*digest, Hasher::digest_of(&new));
    (new, sent)
}

/// What people do to files: where, to how many bytes, and what.
#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, usize, u64),
    Remove(usize, usize),
    Change(usize, usize, u64),
    Move(usize, usize, usize),
}

impl Edit {
    fn apply(&self, file: &mut Vec<u8>) {
        let within = |at: usize, length: usize, file: &Vec<u8>| {
            let from = at % (file.len() + 1);
            from..(from + length).min(file.len())
        };
        match self {
            Edit::Insert(at, length, seed) => {
                let at = at % (file.len() + 1);
                file.splice(at..at, noise(*seed, *length));
            }
            Edit::Remove(at, length) => drop(file.drain(within(*at, *length, file))),
            Edit::Change(at, length, seed) => {
                let range = within(*at, *length, file);
                let fresh = noise(*seed, range.len());
                file[range].copy_from_slice(&fresh);
            }
            Edit::Move(at, length, to) => {
                let moved: Vec<u8> = file.drain(within(*at, *length, file)).collect();
                let to = to % (file.len() + 1);
                file.splice(to..to, moved);
            }
        }
    }

    fn fresh(&self) -> usize {
        match self {
            Edit::Insert(_, length, _) | Edit::Change(_, length, _) => *length,
            Edit::Remove(..) | Edit::Move(..) => 0,
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let (place, length) = (0..8_000_000_usize, 1..300_000_usize);
    prop_oneof![
        (place.clone(), length.clone(), any::<u64>()).prop_map(|(a, b, c)| Edit::Insert(a, b, c)),
        (place.clone(), length.clone()).prop_map(|(a, b)| Edit::Remove(a, b)),
        (place.clone(), length.clone(), any::<u64>()).prop_map(|(a, b, c)| Edit::Change(a, b, c)),
        (place.clone(), length, place).prop_map(|(a, b, c)| Edit::Move(a, b, c)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was done to a file, the receiver gets what is there now, and no more of it than each
    /// edit is worth: what is new, and some blocks around each of its ends.
    #[test]
    fn a_patch_makes_the_new_file_and_sends_little(
        seed in any::<u64>(),
        length in 0..8_000_000_usize,
        edits in proptest::collection::vec(edit(), 0..5),
        goes_on in any::<bool>(),
    ) {
        let old = noise(seed, length);
        let mut new = old.clone();
        edits.iter().for_each(|edit| edit.apply(&mut new));
        let had = new.get(..2 * SEGMENT).filter(|_| goes_on).unwrap_or_default();
        let beginning = (!had.is_empty()).then(|| Beginning {
            length: had.len() as u64,
            digest: Hasher::digest_of(had),
        });
        let pieces = patch(known(&new, None), alike(&old), beginning);
        let (made, sent) = put_together(&pieces, &old, had);
        prop_assert!(made == new);
        let fresh: usize = edits.iter().map(Edit::fresh).sum();
        let around = 6 * 4 * BlockSize::MIN as usize;
        prop_assert!(sent <= fresh + (edits.len() + 1) * around, "{sent} for {edits:?}");
    }
}

#[test]
fn a_copy_is_one_piece_and_no_data() {
    let content = noise(3, 700_000);
    let digest = Hasher::digest_of(&content);
    let size = content.len() as u64;
    let pieces = patch(known(&content, Some(digest)), Basis::same(digest), None);
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1], Piece::Copy(0..size));
    assert_eq!(put_together(&pieces, &content, b""), (content.clone(), 0));
    let had = &content[..SEGMENT];
    let beginning = Beginning {
        length: SEGMENT as u64,
        digest: Hasher::digest_of(had),
    };
    let basis = Basis::same(digest);
    let pieces = patch(known(&content, Some(digest)), basis, Some(beginning));
    assert_eq!(pieces[1], Piece::Copy(SEGMENT as u64..size));
    assert_eq!(put_together(&pieces, &content, had), (content.clone(), 0));
}

#[tokio::test]
async fn parts_are_sent_and_nothing_else() {
    let content = noise(4, 3 * DATA_CHUNK);
    let digest = Hasher::digest_of(&content);
    let size = content.len() as u64;
    let pieces = |source: Box<Known>, parts: Vec<Range<u64>>| {
        let mut sending = Sending::new(Compression::Never);
        sending.add(OutgoingFile {
            index: 0,
            beginning: None,
            parts,
            open: Box::new(move || Opening::Send(source)),
        });
        all(sending)
    };
    let parts = vec![3..4, 10..300_000, size - 1..size];
    let sent = pieces(known(&content, Some(digest)), parts.clone()).await;
    let bytes: Vec<u8> = sent
        .iter()
        .filter_map(|piece| match piece {
            Piece::Data(content) => Some(content.body().to_vec()),
            _ => None,
        })
        .flatten()
        .collect();
    let expected = parts
        .iter()
        .flat_map(|part| &content[part.start as usize..part.end as usize]);
    assert!(bytes.iter().eq(expected));
    assert!(matches!(sent.last(), Some(Piece::End { digest: of, .. }) if *of == digest));
    // Beyond the end, or of a file whose digest nobody knows.
    for (source, part) in [
        (known(&content, Some(digest)), size - 1..size + 1),
        (known(&content, None), 0..1),
    ] {
        let refused = pieces(source, vec![part]).await;
        let [Piece::Abort { failure, .. }] = &refused[..] else {
            panic!("{refused:?}");
        };
        assert_eq!(failure.code, ErrorCode::Conflict);
    }
}

#[test]
fn a_file_that_changes_while_it_is_cut_is_aborted() {
    let content = noise(5, 6_000_000);
    for announced in [5_999_999, 6_000_001] {
        let mut source = known(&content, None);
        source.0.announced = Some(announced);
        let pieces = patch(source, alike(b"other"), None);
        let Some(Piece::Abort { failure, .. }) = pieces.last() else {
            panic!("{:?}", pieces.last());
        };
        assert_eq!(failure.code, ErrorCode::Conflict);
    }
}
