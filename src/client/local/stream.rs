use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Hasher;
use crate::protocol::limits::SEGMENT;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Beginning, Done, Sink};
use crate::types::Digest;

/// A stream that a download is written to. What was written cannot be taken back, but after a cut
/// the rest can follow it.
pub(in crate::client) struct Output(Arc<Mutex<Written>>);

struct Written {
    stream: Box<dyn Write + Send>,
    /// How much was written, in whole segments, and the state of its digest.
    length: u64,
    hasher: Hasher,
    broken: bool,
}

impl Output {
    pub(in crate::client) fn new(stream: Box<dyn Write + Send>) -> Self {
        Output(Arc::new(Mutex::new(Written {
            stream,
            length: 0,
            hasher: Hasher::new(),
            broken: false,
        })))
    }

    /// Whether nothing more can be written: it has failed, or something is still being written.
    pub(in crate::client) fn is_spent(&self) -> bool {
        Arc::strong_count(&self.0) > 1 || lock(&self.0).broken
    }

    /// What was written already, if anything.
    pub(in crate::client) fn beginning(&self) -> Option<Beginning> {
        let written = lock(&self.0);
        let beginning = Beginning {
            length: written.length,
            digest: written.hasher.clone().finish(),
        };
        (written.length > 0).then_some(beginning)
    }

    /// Writes to it from here on.
    pub(in crate::client) fn sink(&self) -> StreamSink {
        StreamSink {
            output: Arc::clone(&self.0),
            last: Vec::new(),
        }
    }
}

/// A download that is written to a stream. The last piece, which is no whole segments, waits until
/// the whole is known to be right: so what was written is whole segments at any time.
pub(in crate::client) struct StreamSink {
    output: Arc<Mutex<Written>>,
    last: Vec<u8>,
}

impl StreamSink {
    /// The sink, if the file goes on where the stream is, and the state of the digest.
    pub(in crate::client) fn open(self, offset: u64) -> Result<(Self, Hasher), Failure> {
        let (length, hasher) = {
            let written = lock(&self.output);
            (written.length, written.hasher.clone())
        };
        if length != offset {
            return Err(Failure::new(
                ErrorCode::Conflict,
                "the file has changed, and what was written of it cannot be taken back",
            ));
        }
        Ok((self, hasher))
    }
}

impl Sink for StreamSink {
    type Receipt = ();

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.last.is_empty() || !bytes.len().is_multiple_of(SEGMENT) {
            self.last.extend_from_slice(bytes);
            return Ok(());
        }
        let mut written = lock(&self.output);
        written.length += bytes.len() as u64;
        let outcome = written.stream.write_all(bytes);
        written.note(outcome)
    }

    fn digested(&mut self, so_far: &Hasher) {
        if self.last.is_empty() {
            lock(&self.output).hasher = so_far.clone();
        }
    }

    fn finish(self, _digest: Digest, done: Done<()>) {
        let mut written = lock(&self.output);
        let outcome = written.stream.write_all(&self.last);
        let outcome = outcome.and_then(|()| written.stream.flush());
        done(written.note(outcome));
    }

    fn discard(self) {}
}

impl Written {
    fn note(&mut self, outcome: io::Result<()>) -> Result<(), Failure> {
        self.broken |= outcome.is_err();
        outcome.map_err(|error| {
            let message = format!("the output cannot be written: {error}");
            Failure::new(ErrorCode::Io, message)
        })
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write(sink: &mut StreamSink, hasher: &mut Hasher, bytes: &[u8]) {
        sink.write(bytes).unwrap();
        hasher.update(bytes);
        sink.digested(hasher);
    }

    #[test]
    fn goes_on_behind_what_was_written_and_nowhere_else() {
        let shared = Shared::default();
        let output = Output::new(Box::new(shared.clone()));
        assert_eq!(output.beginning(), None);
        let content: Vec<u8> = (0..3 * SEGMENT + 10).map(|n| n as u8).collect();
        let (mut sink, mut hasher) = output.sink().open(0).unwrap();
        assert!(output.is_spent(), "it is in use");
        write(&mut sink, &mut hasher, &content[..SEGMENT]);
        // The end of the file, and then a cut.
        write(&mut sink, &mut hasher, &content[SEGMENT..]);
        drop(sink);
        let length = SEGMENT as u64;
        let digest = Hasher::digest_of(&content[..SEGMENT]);
        assert_eq!(output.beginning(), Some(Beginning { length, digest }));
        assert!(!output.is_spent());
        assert!(output.sink().open(0).is_err());
        let (mut sink, mut hasher) = output.sink().open(length).unwrap();
        write(&mut sink, &mut hasher, &content[SEGMENT..]);
        assert_eq!(hasher.finish(), Hasher::digest_of(&content));
        sink.finish(digest, Box::new(|outcome| outcome.unwrap()));
        assert!(*shared.0.lock().unwrap() == content);
    }
}
