#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tracing::Span;

use super::gauge::{Gauge, Packing, Took};
use super::packing::Packer;
use crate::digest::Hasher;
use crate::net::Rate;
use crate::protocol::limits::{DATA_CHUNK, SEGMENT};
use crate::protocol::{Content, ErrorCode, Failure};
use crate::types::{Compression, Digest, Entry};

/// A file that is being sent.
///
/// All methods are called from blocking threads.
pub trait Source: Send {
    /// What the receiver is told of the file before its content, if anything.
    fn entry(&self) -> Option<Entry>;

    /// The size, unless the source is a stream. Exactly so many bytes are read.
    fn size(&self) -> Option<u64>;

    /// The digest, when it is known already and the content need not be hashed again.
    fn digest(&self) -> Option<Digest>;

    /// Reads as `std::io::Read` does; 0 is the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// Goes back to the beginning. Called only before the first byte is sent, of a file that was
    /// compared with what the receiver has; a stream need not be able to.
    fn rewind(&mut self) -> Result<(), Failure>;

    /// Called once after the last byte, with the digest of all that was read: the last chance to
    /// say that the content is not one version of the file.
    fn finish(&mut self, digest: Digest) -> Result<(), Failure>;
}

/// What a receiver says that it has of a file already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// How many bytes, whole segments.
    pub length: u64,
    /// Their digest.
    pub digest: Digest,
}

/// What came of opening a file that was to be sent.
pub enum Opening {
    /// Here it is.
    Send(Box<dyn Source>),
    /// It need not be sent; whoever opened it has said why elsewhere.
    Skip,
    /// It cannot be sent.
    Fail(Failure),
}

/// A file that is to be sent, opened when its turn comes.
pub struct OutgoingFile {
    /// Its place in the batch.
    pub index: u32,
    /// What the receiver has of it. If the file does not begin so it is sent whole.
    pub beginning: Option<Beginning>,
    /// Opens it, on a blocking thread.
    pub open: Box<dyn FnOnce() -> Opening + Send>,
}

/// What goes over the wire next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A file begins.
    Begin {
        /// Its place in the batch.
        index: u32,
        /// What the receiver is told of it.
        entry: Option<Entry>,
        /// Its size, unless it is a stream.
        size: Option<u64>,
        /// Where in it the first data goes: 0, or behind what the receiver has.
        offset: u64,
    },
    /// Content of the file that began last.
    Data(Content),
    /// The file was sent whole.
    End {
        /// Its place in the batch.
        index: u32,
        /// Its digest.
        digest: Digest,
    },
    /// The file cannot be sent, or not to its end.
    Abort {
        /// Its place in the batch.
        index: u32,
        /// Why.
        failure: Failure,
    },
    /// The file is not sent, and that is no failure.
    Skip {
        /// Its place in the batch.
        index: u32,
    },
}

impl Piece {
    /// The file that is through with this piece.
    fn closes(&self) -> Option<u32> {
        match self {
            Piece::End { index, .. } | Piece::Abort { index, .. } | Piece::Skip { index } => {
                Some(*index)
            }
            Piece::Begin { .. } | Piece::Data(_) => None,
        }
    }
}

/// Turns files into pieces, in the order in which they were added, reading ahead while the pieces
/// before are on their way.
///
/// At most two hops' worth of pieces exist at once: 1 MiB each.
pub struct Sending {
    added: VecDeque<OutgoingFile>,
    skips: HashSet<u32>,
    /// All files before this one are through.
    through: u32,
    reader: Reading,
    /// Whether to compress, and since when what it is told of is being sent.
    gauge: Gauge,
    sending_since: Option<(Took, Instant)>,
}

enum Reading {
    Lost,
    Resting(FileReader),
    Running(JoinHandle<Hop>),
}

/// What a hop comes back with.
struct Hop {
    reader: FileReader,
    pieces: Vec<Piece>,
    took: Took,
}

/// About how much content one hop reads.
const HOP_BYTES: usize = 4 * DATA_CHUNK;

/// The most pieces that one hop makes.
const HOP_PIECES: usize = 512;

impl Sending {
    /// Nothing to send yet.
    pub fn new(compression: Compression) -> Self {
        Sending {
            added: VecDeque::new(),
            skips: HashSet::new(),
            through: 0,
            reader: Reading::Resting(FileReader::default()),
            gauge: Gauge::new(compression),
            sending_since: None,
        }
    }

    /// Adds a file behind those that were added before.
    pub fn add(&mut self, file: OutgoingFile) {
        self.added.push_back(file);
    }

    /// Stops sending this file, or does not begin it: it is aborted. Does nothing for one that is
    /// through.
    pub fn skip(&mut self, index: u32) {
        if index >= self.through {
            self.skips.insert(index);
        }
    }

    /// Whether there is nothing to send until more is added.
    pub fn is_idle(&self) -> bool {
        match &self.reader {
            Reading::Resting(reader) => reader.is_idle() && self.added.is_empty(),
            Reading::Running(_) => false,
            Reading::Lost => true,
        }
    }

    /// The next pieces; none when there is nothing to do, or when a file is still being compared
    /// with what the receiver has of it. Can be dropped and called again.
    ///
    /// `wire` is how fast the pieces before were taken. Fails only when the reading thread panicked.
    pub async fn next(&mut self, wire: Rate) -> Result<Vec<Piece>, Failure> {
        self.start_hop(wire);
        let Reading::Running(hop) = &mut self.reader else {
            return Ok(Vec::new());
        };
        let joined = hop.await;
        self.reader = Reading::Lost;
        let Hop {
            reader,
            pieces,
            took,
        } = joined
            .map_err(|_| Failure::new(ErrorCode::Internal, "reading a file failed unexpectedly"))?;
        if let Some((before, since)) = self.sending_since.replace((took, Instant::now())) {
            self.gauge.note(before, since.elapsed());
        }
        let closed = pieces.iter().rev().find_map(Piece::closes);
        self.through = closed.map_or(self.through, |index| index + 1);
        self.reader = Reading::Resting(reader);
        self.start_hop(wire);
        Ok(pieces)
    }

    fn start_hop(&mut self, wire: Rate) {
        let Reading::Resting(reader) = &mut self.reader else {
            return;
        };
        reader.files.append(&mut self.added);
        reader.skips.extend(self.skips.drain());
        reader.skips.retain(|index| *index >= self.through);
        if reader.is_idle() {
            return;
        }
        let mut reader = std::mem::take(reader);
        let packing = self.gauge.packing(wire);
        let most = match Gauge::is_new(wire) {
            true => DATA_CHUNK,
            false => HOP_BYTES,
        };
        let span = Span::current();
        self.reader = Reading::Running(tokio::task::spawn_blocking(move || {
            let (pieces, took) = span.in_scope(|| reader.read_some(most, packing));
            Hop {
                reader,
                pieces,
                took,
            }
        }));
    }
}

/// The blocking half.
#[derive(Default)]
struct FileReader {
    files: VecDeque<OutgoingFile>,
    open: Option<Box<OpenFile>>,
    skips: HashSet<u32>,
    packer: Packer,
}

struct OpenFile {
    index: u32,
    source: Box<dyn Source>,
    hasher: Hasher,
    /// What is still to be read, when the size is known.
    left: Option<u64>,
    /// What the receiver has, while it is being compared with the file: nothing was sent yet.
    comparing: Option<Beginning>,
}

impl FileReader {
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.files.is_empty()
    }

    /// Reads about so much.
    fn read_some(&mut self, most: usize, packing: Packing) -> (Vec<Piece>, Took) {
        let started = Instant::now();
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while bytes < most && pieces.len() < HOP_PIECES {
            match self.open.take() {
                Some(file) => bytes += self.read_from(file, packing, &mut pieces),
                None => match self.files.pop_front() {
                    Some(file) => self.begin(file, &mut pieces),
                    None => break,
                },
            }
        }
        (pieces, self.packer.took(bytes, started, packing))
    }

    fn begin(&mut self, file: OutgoingFile, pieces: &mut Vec<Piece>) {
        let index = file.index;
        if self.skips.remove(&index) {
            let failure = skipped();
            return pieces.push(Piece::Abort { index, failure });
        }
        match (file.open)() {
            Opening::Skip => pieces.push(Piece::Skip { index }),
            Opening::Fail(failure) => pieces.push(Piece::Abort { index, failure }),
            Opening::Send(source) => {
                let size = source.size();
                let fits =
                    |beginning: &Beginning| (1..=size.unwrap_or(0)).contains(&beginning.length);
                let file = Box::new(OpenFile {
                    index,
                    hasher: Hasher::new(),
                    left: size,
                    source,
                    comparing: file.beginning.filter(fits),
                });
                if file.comparing.is_none() {
                    pieces.push(file.begin(0));
                }
                self.packer.begin();
                self.open = Some(file);
            }
        }
    }

    /// Reads one chunk; keeps the file open unless that was its end. Returns how much was read.
    fn read_from(
        &mut self,
        mut file: Box<OpenFile>,
        packing: Packing,
        pieces: &mut Vec<Piece>,
    ) -> usize {
        let index = file.index;
        if self.skips.remove(&index) {
            let failure = skipped();
            pieces.push(Piece::Abort { index, failure });
            return 0;
        }
        if let Some(beginning) = file.comparing {
            return match file.compare_some(beginning) {
                Ok((bytes, begin)) => {
                    pieces.extend(begin);
                    self.open = Some(file);
                    bytes
                }
                Err(failure) => {
                    pieces.push(Piece::Abort { index, failure });
                    0
                }
            };
        }
        match file.read_chunk() {
            Ok(chunk) if chunk.is_empty() => {
                pieces.push(match file.finish() {
                    Ok(digest) => Piece::End { index, digest },
                    Err(failure) => Piece::Abort { index, failure },
                });
                0
            }
            Ok(chunk) => {
                let bytes = chunk.len();
                pieces.push(Piece::Data(self.packer.pack(chunk, packing)));
                self.open = Some(file);
                bytes
            }
            Err(failure) => {
                pieces.push(Piece::Abort { index, failure });
                0
            }
        }
    }
}

impl OpenFile {
    fn begin(&self, offset: u64) -> Piece {
        Piece::Begin {
            index: self.index,
            entry: self.source.entry(),
            size: self.source.size(),
            offset,
        }
    }

    /// Reads some of what the receiver has, too; in the end it is known where to begin. Tells how
    /// much was read.
    fn compare_some(&mut self, beginning: Beginning) -> Result<(usize, Option<Piece>), Failure> {
        let size = self.source.size().unwrap_or(0);
        let left = self.left.unwrap_or(0);
        let to_compare = beginning.length.saturating_sub(size.saturating_sub(left));
        let mut chunk =
            vec![0; usize::try_from(to_compare).map_or(DATA_CHUNK, |l| l.min(DATA_CHUNK))];
        let read = self.source.read(&mut chunk)?;
        self.hasher.update(chunk.get(..read).unwrap_or_default());
        self.left = Some(left.saturating_sub(read as u64));
        // A file that became shorter meanwhile is found when it is sent.
        if read > 0 && (read as u64) < to_compare {
            return Ok((read, None));
        }
        self.comparing = None;
        if self.hasher.clone().finish() == beginning.digest {
            return Ok((read, Some(self.begin(beginning.length))));
        }
        self.source.rewind()?;
        self.hasher = Hasher::new();
        self.left = Some(size);
        Ok((read, Some(self.begin(0))))
    }

    /// The next piece, which ends on a segment unless it is the last one. That of a stream is as
    /// small as that allows: who writes slowly should be seen to write.
    fn read_chunk(&mut self) -> Result<Bytes, Failure> {
        if self.left == Some(0) {
            return self.check_end();
        }
        let wanted = self.left.map_or(SEGMENT, |left| {
            usize::try_from(left).unwrap_or(DATA_CHUNK).min(DATA_CHUNK)
        });
        let mut chunk = vec![0; wanted];
        let mut filled = 0;
        while let Some(room) = chunk.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.source.read(room)? {
                0 => break,
                more => filled += more,
            }
        }
        chunk.truncate(filled);
        if let Some(left) = &mut self.left {
            if filled < wanted {
                return Err(Failure::new(
                    ErrorCode::Conflict,
                    "it became shorter while it was being sent",
                ));
            }
            *left -= filled as u64;
        }
        if self.source.digest().is_none() {
            self.hasher.update(&chunk);
        }
        Ok(chunk.into())
    }

    /// Makes sure that there is no more than was announced, as with files that have no size until
    /// they are read.
    fn check_end(&mut self) -> Result<Bytes, Failure> {
        match self.source.read(&mut [0])? {
            0 => Ok(Bytes::new()),
            _ => Err(Failure::new(
                ErrorCode::Conflict,
                "it has more content than its size says, or became longer while it was being sent",
            )),
        }
    }

    fn finish(mut self) -> Result<Digest, Failure> {
        let digest = match self.source.digest() {
            Some(known) => known,
            None => self.hasher.finish(),
        };
        self.source.finish(digest)?;
        Ok(digest)
    }
}

fn skipped() -> Failure {
    Failure::new(ErrorCode::Conflict, "it was skipped on request")
}
