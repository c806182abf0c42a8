use super::*;

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
        pieces.extend(sending.next().await.unwrap());
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
            let mut sending = Sending::new();
            sending.add(file(3, content.clone(), announced));
            let pieces = all(sending).await;
            let mut sent = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                match piece {
                    Piece::Begin { index: 3, .. } => assert_eq!(at, 0),
                    Piece::Data(chunk) => {
                        assert_eq!(sent.len() % SEGMENT, 0);
                        sent.extend_from_slice(chunk);
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
    let mut sending = Sending::new();
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
        let mut sending = Sending::new();
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
                Piece::Data(chunk) => sent.extend_from_slice(&chunk),
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
    let mut sending = Sending::new();
    sending.add(file(0, vec![1; 100 * DATA_CHUNK], None));
    sending.next().await.unwrap();
    sending.skip(0);
    let pieces = all(sending).await;
    assert!(pieces.len() < 50);
    assert!(matches!(pieces.last(), Some(Piece::Abort { index: 0, .. })));
}
