use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressDrawTarget};
use tokio_util::sync::CancellationToken;

use super::advice;
use super::failure::Failure;
use super::json::{Body, ErrorBody, Line};

/// How results and messages look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Nothing but what was asked for, and errors.
    pub quiet: bool,
    /// Standard output is read by a person.
    pub terminal: bool,
    /// Messages may be coloured.
    pub color: bool,
    /// Progress bars may be drawn.
    pub bars: bool,
}

/// Hands out the two streams: results go to standard output, everything else to standard error.
/// No command prints in any other way.
///
/// A clone writes to the same streams.
#[derive(Clone)]
pub struct Output {
    look: Look,
    streams: Arc<Streams>,
}

struct Streams {
    results: Mutex<Results>,
    messages: Mutex<Box<dyn Write + Send>>,
    bars: MultiProgress,
    /// Prints above the line that is being typed, while one is.
    above: Mutex<Option<Above>>,
    /// Cancelled when standard output takes no more.
    broken: CancellationToken,
    /// Nobody reads standard output, and nothing may wait for it any more.
    abandoned: AtomicBool,
}

/// Takes a text that is to stand above the line that is being typed; `false` while none is.
pub type Above = Box<dyn FnMut(&str) -> bool + Send>;

struct Results {
    to: BufWriter<Box<dyn Write + Send>>,
    /// Why nothing more can be written.
    error: Option<io::Error>,
}

impl Output {
    /// The process's own streams.
    pub fn standard(look: Look) -> Self {
        Self::new(look, standard_output(), Box::new(io::stderr()))
    }

    /// Any two streams.
    pub fn new(
        look: Look,
        results: Box<dyn Write + Send>,
        messages: Box<dyn Write + Send>,
    ) -> Self {
        let target = if look.bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Output {
            look,
            streams: Arc::new(Streams {
                results: Mutex::new(Results {
                    to: BufWriter::with_capacity(64 * 1024, results),
                    error: None,
                }),
                messages: Mutex::new(messages),
                bars: MultiProgress::with_draw_target(target),
                above: Mutex::new(None),
                broken: CancellationToken::new(),
                abandoned: AtomicBool::new(false),
            }),
        }
    }

    /// How results and messages look.
    pub fn look(&self) -> Look {
        self.look
    }

    /// The same streams with another look.
    pub fn with_look(&self, look: Look) -> Self {
        Output {
            look,
            streams: Arc::clone(&self.streams),
        }
    }

    /// The process's own streams with another look, which may have progress bars.
    pub fn with_bars(&self, look: Look) -> Self {
        self.flush();
        Self::standard(look)
    }

    /// Whether progress bars can be seen.
    pub fn shows_bars(&self) -> bool {
        self.look.bars && !self.look.json && !self.look.quiet && !self.streams.bars.is_hidden()
    }

    /// Where progress bars are drawn.
    pub fn bars(&self) -> &MultiProgress {
        &self.streams.bars
    }

    /// A line of text as a result. Nothing under `--json`, whose results are objects.
    pub fn line(&self, text: impl fmt::Display) {
        if !self.look.json {
            self.write(format!("{text}\n").as_bytes());
        }
    }

    /// A line of text that tells what was done; left out when quiet.
    pub fn done(&self, text: impl fmt::Display) {
        if !self.look.quiet {
            self.line(text);
        }
    }

    /// Text that was asked for, such as help. It has no JSON form: under `--json` it is a message.
    pub fn text(&self, text: &str) {
        match self.look.json {
            true => self.message(text),
            false => self.write(text.as_bytes()),
        }
        self.flush();
    }

    /// A JSON object as a result, under `--json` only.
    pub fn object(&self, body: Body<'_>) {
        if self.look.json {
            match Line::from(body).text() {
                Ok(text) => self.write(format!("{text}\n").as_bytes()),
                Err(error) => tracing::error!(%error, "a result does not fit into JSON"),
            }
        }
    }

    /// A message; left out when quiet.
    pub fn note(&self, text: impl fmt::Display) {
        if !self.look.quiet {
            self.message(&format!("{text}\n"));
        }
    }

    /// A failure as a message, with what to do next, and as an object under `--json`.
    pub fn failure(&self, failure: &Failure) {
        self.object(Body::Error {
            error: ErrorBody::new(failure.code, &failure.message),
        });
        self.complain(failure, None);
    }

    /// A failure as a message only. `file` is named unless the failure names it already.
    pub fn complain(&self, failure: &Failure, file: Option<&dyn fmt::Display>) {
        if matches!(self.broken(), Some(Ok(()))) {
            // Whoever closed the pipe had all they wanted: what fails because of it is no news.
            return;
        }
        let paint = if self.look.color {
            Style::new().fg_color(Some(AnsiColor::Red.into())).bold()
        } else {
            Style::new()
        };
        let file = file
            .map(|file| file.to_string())
            .filter(|file| !failure.message.contains(file.as_str()))
            .map(|file| format!(" ({file})"))
            .unwrap_or_default();
        let next = failure
            .advice
            .as_deref()
            .unwrap_or_else(|| advice::next_step(failure.code));
        self.message(&format!(
            "{paint}error:{paint:#} {}{file} — {next}\n",
            failure.message
        ));
    }

    /// A text for people that stands for itself, such as clap's explanation of a wrong command.
    pub fn message(&self, text: &str) {
        self.flush();
        if self.printed_above(text) {
            return;
        }
        self.beside_bars(|| {
            let mut to = lock(&self.streams.messages);
            // There is nobody left to tell that nobody reads this.
            let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        });
    }

    /// From now on what is printed while a line is being typed goes through `above`, so that it
    /// does not get into that line.
    pub fn print_above(&self, above: Above) {
        *lock(&self.streams.above) = Some(above);
    }

    /// Standard output for file content.
    pub fn content(&self) -> Box<dyn Write + Send> {
        Box::new(Content(self.clone()))
    }

    /// Writes out what is still in memory.
    pub fn flush(&self) {
        if self.is_abandoned() {
            return;
        }
        let mut results = lock(&self.streams.results);
        let flushed = results.to.flush();
        self.remember(&mut results, flushed);
    }

    /// Writes out what is still in memory, after an interruption. When nobody takes it for so long,
    /// or a writer waits for somebody who does, it is lost: from then on nothing waits for standard
    /// output.
    pub fn settle(&self, patience: Duration) {
        let (flushed, done) = mpsc::channel();
        let output = self.clone();
        std::thread::spawn(move || {
            output.flush();
            // Whoever has lost patience does not listen any more.
            let _ = flushed.send(());
        });
        if done.recv_timeout(patience).is_err() {
            self.abandon();
        }
    }

    /// From now on nothing waits for standard output, and what is still in memory is lost.
    pub fn abandon(&self) {
        self.streams.abandoned.store(true, Ordering::SeqCst);
        // Dropping the last of them would write what is in memory.
        std::mem::forget(self.clone());
    }

    /// Whether nothing waits for standard output any more; see [`Output::abandon`].
    pub fn is_abandoned(&self) -> bool {
        self.streams.abandoned.load(Ordering::SeqCst)
    }

    /// Whether somebody is writing right now, and so perhaps waits for a reader.
    pub fn is_busy(&self) -> bool {
        is_held(&self.streams.results) || is_held(&self.streams.messages)
    }

    /// Completes once standard output takes no more; see [`Output::broken`].
    pub async fn until_broken(&self) {
        self.streams.broken.cancelled().await;
    }

    /// Whether standard output takes no more: `Ok` when its reader has gone, which is no failure.
    pub fn broken(&self) -> Option<Result<(), Failure>> {
        if self.is_abandoned() {
            return None;
        }
        let results = lock(&self.streams.results);
        results.error.as_ref().map(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(Failure::io("cannot write to standard output", error)),
        })
    }

    fn write(&self, bytes: &[u8]) {
        if self.is_abandoned() {
            return;
        }
        let write = || {
            let mut results = lock(&self.streams.results);
            if results.error.is_none() {
                let written = results.to.write_all(bytes);
                let written = written.and_then(|()| match self.look.terminal {
                    true => results.to.flush(),
                    false => Ok(()),
                });
                self.remember(&mut results, written);
            }
        };
        // Bars and results can only get in each other's way on one terminal.
        match self.look.terminal {
            true => self.beside_bars(write),
            false => write(),
        }
    }

    /// Whether a line is being typed; then the text stands above it now.
    fn printed_above(&self, text: &str) -> bool {
        let mut above = lock(&self.streams.above);
        above.as_mut().is_some_and(|above| above(text))
    }

    fn beside_bars(&self, print: impl FnOnce()) {
        match self.streams.bars.is_hidden() {
            true => print(),
            false => self.streams.bars.suspend(print),
        }
    }

    fn remember(&self, results: &mut Results, written: io::Result<()>) {
        if let Err(error) = written
            && results.error.is_none()
        {
            results.error = Some(error);
            self.streams.broken.cancel();
        }
    }
}

struct Content(Output);

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        self.check().map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush();
        self.check()
    }
}

impl Content {
    fn check(&self) -> io::Result<()> {
        if self.0.is_abandoned() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match &lock(&self.0.streams.results).error {
            Some(error) => Err(error.kind().into()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("look", &self.look).finish()
    }
}

/// Whether a stream may be coloured: a terminal, unless `NO_COLOR` is set or the terminal cannot.
pub fn may_color(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// Without the buffer of the standard library, which it writes out when the program ends, however
/// long that takes.
#[cfg(unix)]
fn standard_output() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd;
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
        Err(_) => Box::new(io::stdout()),
    }
}

#[cfg(not(unix))]
fn standard_output() -> Box<dyn Write + Send> {
    Box::new(io::stdout())
}

fn is_held<T: ?Sized>(mutex: &Mutex<T>) -> bool {
    matches!(mutex.try_lock(), Err(TryLockError::WouldBlock))
}

/// A poisoned lock only means that a thread ended in the middle of a line.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
