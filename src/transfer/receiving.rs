use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tracing::Span;

use crate::digest::Hasher;
use crate::net::NetError;
use crate::protocol::frame::FrameError;
use crate::protocol::limits::{DATA_CHUNK, MAX_DATA_BODY};
use crate::protocol::{Content, ErrorCode, Expander, Failure};
use crate::types::Digest;

/// A file that is being received.
///
/// Every one ends with [`finish`](Sink::finish) or [`discard`](Sink::discard), unless the transfer
/// is cut: then it is dropped, and may keep what it has, to go on from there another time.
///
/// All methods are called from blocking threads, but for dropping it.
pub trait Sink: Send + 'static {
    /// What is known of the file once it is in place.
    type Receipt: Send + 'static;

    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// Reads from this place of the file that it may copy from, as `std::io::Read` does; 0 is its
    /// end, or that there is none.
    fn read_basis(&mut self, _offset: u64, _buffer: &mut [u8]) -> Result<usize, Failure> {
        Ok(0)
    }

    /// Hears after each write the state of the digest of all that it has by now.
    fn digested(&mut self, _so_far: &Hasher) {}

    /// What it has is void: undoes everything.
    fn discard(self);

    /// All bytes came and have this digest, which is what the sender said: puts the file in place,
    /// now or a little later, and says through `done` how that went.
    fn finish(self, digest: Digest, done: Done<Self::Receipt>);
}

/// Told once what became of a file.
pub type Done<T> = Box<dyn FnOnce(Result<T, Failure>) + Send>;

/// Opens the place for a file, on a blocking thread, and tells the state of the digest of what is
/// in it already: of nothing, or of what the sender goes on behind.
pub type OpenSink<S> = Box<dyn FnOnce() -> Result<(S, Hasher), Failure> + Send>;

/// What came over the wire.
pub enum Incoming<S> {
    /// A file begins.
    Begin {
        /// Its place in the batch.
        index: u32,
        /// The digest that it must have, when that is known beforehand.
        expected: Option<Digest>,
        /// Opens its place.
        open: OpenSink<S>,
    },
    /// Content of the file that began last.
    Data(Content),
    /// Here goes a part of the file that the sink may copy from.
    Copy(Range<u64>),
    /// The file came whole, and its sender says that it has this digest.
    End(Digest),
    /// The file does not come whole: what came of it is void.
    Abort(Failure),
}

/// Turns what comes over the wire into files.
///
/// Every file that began has exactly one result, sent as soon as it is known: a failure may come
/// long before the file's end, and what follows of that file is dropped.
pub struct Receiving<S: Sink> {
    waiting: VecDeque<Incoming<S>>,
    waiting_bytes: usize,
    /// When something was handed over last.
    pushed: Instant,
    writer: Writing<S>,
}

/// What a hop comes back with: the writer, what it has not come to, and whether all that it took
/// was content.
struct Hop<S: Sink> {
    writer: FileWriter<S>,
    left: VecDeque<Incoming<S>>,
    taken: Result<(), FrameError>,
}

enum Writing<S: Sink> {
    Lost,
    Resting(FileWriter<S>),
    Running(JoinHandle<Hop<S>>),
}

/// How many bytes of files may wait while the ones before are written: two of the largest frames.
const WAITING_BYTES: usize = 2 * MAX_DATA_BODY;

/// Whoever copies for long takes a frame now and then all the same: the other side gives up one that
/// takes nothing. So many bytes may wait then: enough for some minutes.
const WAITING_LONG: Duration = Duration::from_secs(5);
const WAITING_LONG_BYTES: usize = 16 * MAX_DATA_BODY;

/// How many events may wait besides.
const WAITING_EVENTS: usize = 512;

/// How much one hop copies: a copy may be as long as a file, and has to be made in parts.
const HOP_BYTES: u64 = 16 * 1024 * 1024;

impl<S: Sink> Receiving<S> {
    /// Sends the result of each file to `results`.
    pub fn new(results: UnboundedSender<(u32, Result<S::Receipt, Failure>)>) -> Self {
        Receiving {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            pushed: Instant::now(),
            writer: Writing::Resting(FileWriter {
                results,
                state: State::Between,
                expander: Expander::default(),
            }),
        }
    }

    /// Hands over what came. Take no more from the wire while [`is_full`](Self::is_full).
    pub fn push(&mut self, event: Incoming<S>) {
        self.waiting_bytes += event.bytes();
        self.pushed = Instant::now();
        self.waiting.push_back(event);
        self.start_hop();
    }

    /// Whether as much waits as may wait.
    pub fn is_full(&self) -> bool {
        let is_full = self.waiting_bytes >= WAITING_BYTES || self.waiting.len() >= WAITING_EVENTS;
        let is_long = self.pushed.elapsed() >= WAITING_LONG;
        is_full && (!is_long || self.waiting_bytes >= WAITING_LONG_BYTES)
    }

    /// Whether something is being written or waits to be.
    pub fn is_busy(&self) -> bool {
        matches!(self.writer, Writing::Running(_)) || !self.waiting.is_empty()
    }

    /// Waits until what is being written is written, and goes on with what waits. Can be dropped
    /// and called again. Fails when what came is not the content that it says it is, and then
    /// nothing that came behind it counts; and when the writing thread panicked.
    pub async fn turn(&mut self) -> Result<(), NetError> {
        if let Writing::Running(hop) = &mut self.writer {
            let joined = hop.await;
            self.writer = Writing::Lost;
            let Hop {
                writer,
                mut left,
                taken,
            } = joined.map_err(|_| std::io::Error::other("writing a file failed unexpectedly"))?;
            self.writer = Writing::Resting(writer);
            if let Err(wrong) = taken {
                self.waiting.clear();
                self.waiting_bytes = 0;
                return Err(wrong.into());
            }
            self.waiting_bytes += left.iter().map(Incoming::bytes).sum::<usize>();
            left.append(&mut self.waiting);
            self.waiting = left;
        }
        self.start_hop();
        Ok(())
    }

    /// The transfer was cut: waits until what came is written, and drops the sink of the file that
    /// is open. Nothing more is copied: that can be done again without the other side.
    pub async fn cut(&mut self) {
        loop {
            let is_copy = |event: &Incoming<S>| matches!(event, Incoming::Copy(_));
            let copies = self.waiting.iter().position(is_copy);
            self.waiting.truncate(copies.unwrap_or(usize::MAX));
            // A panic in there is no worse than what made us give up.
            if !self.is_busy() || self.turn().await.is_err() {
                break;
            }
        }
        if let Writing::Resting(writer) = std::mem::replace(&mut self.writer, Writing::Lost) {
            let _ = tokio::task::spawn_blocking(move || drop(writer)).await;
        }
    }

    fn start_hop(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.writer, Writing::Lost) {
            Writing::Resting(mut writer) => {
                let mut events = std::mem::take(&mut self.waiting);
                self.waiting_bytes = 0;
                let span = Span::current();
                self.writer = Writing::Running(tokio::task::spawn_blocking(move || {
                    let taken = span.in_scope(|| writer.take_some(&mut events));
                    Hop {
                        writer,
                        left: events,
                        taken,
                    }
                }));
            }
            other => self.writer = other,
        }
    }
}

impl<S> Incoming<S> {
    /// How much memory its content takes, in the end.
    fn bytes(&self) -> usize {
        match self {
            Incoming::Data(content) => content.size(),
            _ => 0,
        }
    }
}

/// The blocking half.
struct FileWriter<S: Sink> {
    results: UnboundedSender<(u32, Result<S::Receipt, Failure>)>,
    state: State<S>,
    expander: Expander,
}

enum State<S> {
    Between,
    Writing {
        index: u32,
        expected: Option<Digest>,
        sink: S,
        hasher: Hasher,
    },
    /// The file has failed; the rest of it is dropped.
    Dropping,
}

impl<S: Sink> FileWriter<S> {
    /// Takes events until none is left, or as much is copied as one hop copies.
    fn take_some(&mut self, events: &mut VecDeque<Incoming<S>>) -> Result<(), FrameError> {
        let mut copied = 0;
        while let Some(event) = events.pop_front() {
            let Incoming::Copy(part) = event else {
                self.take(event)?;
                continue;
            };
            let length = part.end.saturating_sub(part.start);
            let now = part.start..part.end.min(part.start.saturating_add(HOP_BYTES - copied));
            let rest = now.end..part.end;
            copied += length.min(HOP_BYTES - copied);
            self.take(Incoming::Copy(now))?;
            if !rest.is_empty() {
                events.push_front(Incoming::Copy(rest));
            }
            if copied >= HOP_BYTES {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Incoming<S>) -> Result<(), FrameError> {
        let state = std::mem::replace(&mut self.state, State::Between);
        self.state = match (event, state) {
            (
                Incoming::Begin {
                    index,
                    expected,
                    open,
                },
                _,
            ) => match open() {
                Ok((sink, hasher)) => State::Writing {
                    index,
                    expected,
                    sink,
                    hasher,
                },
                Err(failure) => self.fail(index, failure),
            },
            (
                Incoming::Data(content),
                State::Writing {
                    index,
                    expected,
                    mut sink,
                    mut hasher,
                },
            ) => {
                let written = match self.expander.expand(&content) {
                    Ok(bytes) => sink.write(bytes).map(|()| hasher.update(bytes)),
                    Err(wrong) => {
                        // What came of the file before is as good as when it is cut.
                        self.state = State::Writing {
                            index,
                            expected,
                            sink,
                            hasher,
                        };
                        return Err(wrong);
                    }
                };
                match written {
                    Ok(()) => {
                        sink.digested(&hasher);
                        State::Writing {
                            index,
                            expected,
                            sink,
                            hasher,
                        }
                    }
                    Err(failure) => {
                        sink.discard();
                        self.fail(index, failure)
                    }
                }
            }
            (
                Incoming::Copy(part),
                State::Writing {
                    index,
                    expected,
                    mut sink,
                    mut hasher,
                },
            ) => match copy(&mut sink, &mut hasher, part) {
                Ok(()) => State::Writing {
                    index,
                    expected,
                    sink,
                    hasher,
                },
                Err(failure) => {
                    sink.discard();
                    self.fail(index, failure)
                }
            },
            (
                Incoming::End(said),
                State::Writing {
                    index,
                    expected,
                    sink,
                    hasher,
                },
            ) => {
                match check(hasher.finish(), said, expected) {
                    Ok(digest) => {
                        let results = self.results.clone();
                        let done = move |result| {
                            // Nobody waits any more when the connection is gone.
                            let _ = results.send((index, result));
                        };
                        sink.finish(digest, Box::new(done));
                    }
                    Err(failure) => {
                        sink.discard();
                        self.fail(index, failure);
                    }
                }
                State::Between
            }
            (Incoming::Abort(failure), State::Writing { index, sink, .. }) => {
                sink.discard();
                self.fail(index, failure);
                State::Between
            }
            (Incoming::Data(_) | Incoming::Copy(_), other) => other,
            (Incoming::End(_) | Incoming::Abort(_), _) => State::Between,
        };
        Ok(())
    }

    fn fail(&self, index: u32, failure: Failure) -> State<S> {
        // Nobody waits any more when the connection is gone.
        let _ = self.results.send((index, Err(failure)));
        State::Dropping
    }
}

/// Copies a part of the file that the sink may copy from.
fn copy<S: Sink>(sink: &mut S, hasher: &mut Hasher, part: Range<u64>) -> Result<(), Failure> {
    let mut buffer = vec![0; DATA_CHUNK];
    let mut position = part.start;
    while position < part.end {
        let left = part.end - position;
        let wanted = usize::try_from(left).unwrap_or(DATA_CHUNK).min(DATA_CHUNK);
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let read = sink.read_basis(position, room)?;
        let bytes = room.get(..read).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| {
            let message = "the file that it is copied from is shorter than that";
            Failure::new(ErrorCode::Conflict, message)
        })?;
        sink.write(bytes)?;
        hasher.update(bytes);
        position = position.saturating_add(read as u64);
    }
    sink.digested(hasher);
    Ok(())
}

fn check(computed: Digest, said: Digest, expected: Option<Digest>) -> Result<Digest, Failure> {
    let wrong = |what, other: Digest| {
        Err(Failure::new(
            ErrorCode::DigestMismatch,
            format!("what arrived has the MD5 {computed}, and {what} {other}"),
        ))
    };
    match expected {
        _ if said != computed => wrong("what was sent has", said),
        Some(expected) if expected != computed => wrong("it should have", expected),
        _ => Ok(computed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[derive(Default)]
    struct Memory {
        content: Vec<u8>,
        room: usize,
    }

    impl Sink for Memory {
        type Receipt = Vec<u8>;
        fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
            self.content.extend_from_slice(bytes);
            if self.content.len() > self.room {
                return Err(Failure::new(ErrorCode::DiskFull, "full"));
            }
            Ok(())
        }
        fn finish(self, _digest: Digest, done: Done<Vec<u8>>) {
            done(Ok(self.content));
        }
        fn discard(self) {}
    }

    fn begin(index: u32, expected: Option<Digest>) -> Incoming<Memory> {
        let open = Box::new(|| {
            let memory = Memory {
                content: vec![],
                room: 100,
            };
            Ok((memory, Hasher::new()))
        });
        Incoming::Begin {
            index,
            expected,
            open,
        }
    }

    async fn results(events: Vec<Incoming<Memory>>) -> Vec<(u32, Result<Vec<u8>, ErrorCode>)> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut receiving = Receiving::new(sender);
        for event in events {
            receiving.push(event);
        }
        while receiving.is_busy() {
            receiving.turn().await.unwrap();
        }
        drop(receiving);
        let mut results = Vec::new();
        while let Some((index, result)) = receiver.recv().await {
            results.push((index, result.map_err(|failure| failure.code)));
        }
        results
    }

    fn data<S>(bytes: &'static [u8]) -> Incoming<S> {
        Incoming::Data(Content::Plain(bytes::Bytes::from_static(bytes)))
    }

    #[tokio::test]
    async fn only_what_has_the_right_digest_is_finished() {
        let right = Hasher::digest_of(b"hello world");
        let other = Hasher::digest_of(b"other");
        let results = results(vec![
            begin(0, None),
            data(b"hello "),
            data(b"world"),
            Incoming::End(right),
            begin(1, None),
            data(b"hello_world"),
            Incoming::End(right),
            begin(2, Some(other)),
            data(b"hello world"),
            Incoming::End(right),
            begin(3, Some(right)),
            data(b"hello world"),
            Incoming::End(right),
            begin(4, None),
            Incoming::End(Hasher::digest_of(b"")),
        ])
        .await;
        assert_eq!(
            results,
            [
                (0, Ok(b"hello world".to_vec())),
                (1, Err(ErrorCode::DigestMismatch)),
                (2, Err(ErrorCode::DigestMismatch)),
                (3, Ok(b"hello world".to_vec())),
                (4, Ok(vec![])),
            ]
        );
    }

    #[tokio::test]
    async fn what_was_there_already_counts_for_the_digest() {
        let goes_on = |index| Incoming::Begin {
            index,
            expected: None,
            open: Box::new(|| {
                let mut hasher = Hasher::new();
                hasher.update(b"hello ");
                let memory = Memory {
                    content: b"hello ".to_vec(),
                    room: 100,
                };
                Ok((memory, hasher))
            }),
        };
        let whole = Hasher::digest_of(b"hello world");
        let results = results(vec![
            goes_on(0),
            data(b"world"),
            Incoming::End(whole),
            goes_on(1),
            data(b"World"),
            Incoming::End(whole),
        ])
        .await;
        assert_eq!(
            results,
            [
                (0, Ok(b"hello world".to_vec())),
                (1, Err(ErrorCode::DigestMismatch)),
            ]
        );
    }

    #[tokio::test]
    async fn a_failed_file_is_told_once_and_the_next_one_goes_on() {
        let results = results(vec![
            begin(0, None),
            data(&[7; 101]),
            data(&[7; 101]),
            Incoming::End(Hasher::digest_of(b"")),
            Incoming::Begin {
                index: 1,
                expected: None,
                open: Box::new(|| Err(Failure::new(ErrorCode::Forbidden, "no"))),
            },
            data(b"x"),
            Incoming::Abort(Failure::new(ErrorCode::Io, "as told")),
            begin(2, None),
            data(b"x"),
            Incoming::Abort(Failure::new(ErrorCode::Conflict, "changed")),
            begin(3, None),
            data(b"x"),
            Incoming::End(Hasher::digest_of(b"x")),
        ])
        .await;
        assert_eq!(
            results,
            [
                (0, Err(ErrorCode::DiskFull)),
                (1, Err(ErrorCode::Forbidden)),
                (2, Err(ErrorCode::Conflict)),
                (3, Ok(b"x".to_vec())),
            ]
        );
    }

    /// A file of many hops, which is made from one byte over and over.
    struct Copier(u64);

    const BASIS: u64 = 5 * HOP_BYTES + 7;

    impl Sink for Copier {
        type Receipt = u64;
        fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
            self.0 += bytes.len() as u64;
            Ok(())
        }
        fn read_basis(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failure> {
            let left = usize::try_from(BASIS.saturating_sub(offset)).unwrap();
            // Short reads, as disks may make them.
            let bytes = buffer.len().min(left).min(100_000);
            buffer[..bytes].fill(7);
            Ok(bytes)
        }
        fn finish(self, _digest: Digest, done: Done<u64>) {
            done(Ok(self.0));
        }
        fn discard(self) {}
    }

    fn copier(index: u32) -> Incoming<Copier> {
        Incoming::Begin {
            index,
            expected: None,
            open: Box::new(|| Ok((Copier(0), Hasher::new()))),
        }
    }

    #[tokio::test]
    async fn a_long_copy_is_made_in_hops_and_one_beyond_the_end_fails() {
        let (sender, mut results) = mpsc::unbounded_channel();
        let mut receiving = Receiving::new(sender);
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        (0..BASIS / 1000).for_each(|_| hasher.update(&[7; 1000]));
        hasher.update(&vec![7; (BASIS % 1000) as usize]);
        hasher.update(b"b");
        for event in [
            copier(0),
            data(b"a"),
            Incoming::Copy(0..BASIS),
            data(b"b"),
            Incoming::End(hasher.finish()),
            copier(1),
            Incoming::Copy(1..BASIS + 1),
            Incoming::Copy(0..1),
            Incoming::End(Hasher::digest_of(b"")),
        ] {
            receiving.push(event);
        }
        let mut hops = 0;
        while receiving.is_busy() {
            receiving.turn().await.unwrap();
            hops += 1;
        }
        assert!(hops >= 10, "{hops} hops");
        drop(receiving);
        let (index, whole) = results.recv().await.unwrap();
        assert_eq!((index, whole.unwrap()), (0, BASIS + 2));
        let (index, failed) = results.recv().await.unwrap();
        assert_eq!((index, failed.unwrap_err().code), (1, ErrorCode::Conflict));
        assert!(results.recv().await.is_none());
    }

    #[tokio::test]
    async fn after_a_cut_nothing_more_is_copied() {
        let (sender, mut results) = mpsc::unbounded_channel();
        let mut receiving = Receiving::new(sender);
        receiving.push(copier(0));
        for _ in 0..200 {
            receiving.push(Incoming::Copy(0..BASIS));
        }
        // 16 GiB would take half a minute at least.
        let cut = tokio::time::timeout(Duration::from_secs(20), receiving.cut());
        cut.await.unwrap();
        drop(receiving);
        assert!(results.recv().await.is_none());
    }
}
