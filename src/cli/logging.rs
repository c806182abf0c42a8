//! Logging to standard error through `tracing`.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::failure::Failure;
use super::output::Output;

/// How much is logged unless `RUST_LOG` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What failed.
    Error,
    /// What may become a failure.
    Warn,
    /// What happens.
    Info,
    /// What is of use to whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A line of text.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

impl Level {
    /// The level that `-v` (so many times), `-q` and `--debug` ask for.
    pub fn chosen(usual: Level, verbose: u8, quiet: bool, debug: bool) -> Self {
        match (debug, quiet, verbose) {
            (true, ..) => Level::Debug.max(usual.louder(verbose)),
            (_, true, _) => Level::Error,
            (.., verbose) => usual.louder(verbose),
        }
    }

    fn louder(self, steps: u8) -> Self {
        const LEVELS: [Level; 5] = [
            Level::Error,
            Level::Warn,
            Level::Info,
            Level::Debug,
            Level::Trace,
        ];
        let at = (self as usize).saturating_add(steps.into());
        LEVELS.get(at).copied().unwrap_or(Level::Trace)
    }

    fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// The level for this crate; others are only heard when something is wrong with them. That the
    /// system's authorities do not vouch for a server is nothing wrong: most of ours are their own.
    fn filter(self) -> String {
        let others = self.min(Level::Warn).name();
        format!(
            "{others},rustls_platform_verifier=off,fileshare={}",
            self.name()
        )
    }
}

/// Sends log lines to the messages of `output`. `RUST_LOG` beats `level`.
pub fn start(output: &Output, level: Level, format: Format) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::usage(format!("RUST_LOG is not a filter: {error}"))
                .advise("write it like RUST_LOG=fileshare=debug, or leave it out")
        })?,
        _ => EnvFilter::new(level.filter()),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output.look().color)
        .with_writer(Messages(output.clone()));
    // A second start in one process (a test) keeps the first.
    let _ = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Gives each log line to the output as one message, so that it does not tear a progress bar.
struct Messages(Output);

impl MakeWriter<'_> for Messages {
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine {
            output: self.0.clone(),
            text: Vec::new(),
        }
    }
}

struct LogLine {
    output: Output,
    text: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.output.message(&String::from_utf8_lossy(&self.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_the_level() {
        for (usual, verbose, quiet, debug, level) in [
            (Level::Info, 0, false, false, Level::Info),
            (Level::Info, 1, false, false, Level::Debug),
            (Level::Warn, 1, false, false, Level::Info),
            (Level::Warn, 9, false, false, Level::Trace),
            (Level::Info, 0, true, false, Level::Error),
            (Level::Warn, 0, true, true, Level::Debug),
        ] {
            assert_eq!(Level::chosen(usual, verbose, quiet, debug), level);
        }
        for (level, start, end) in [
            (Level::Debug, "warn,", ",fileshare=debug"),
            (Level::Error, "error,", ",fileshare=error"),
        ] {
            let filter = level.filter();
            assert!(
                filter.starts_with(start) && filter.ends_with(end),
                "{filter}"
            );
        }
        for level in [Level::Error, Level::Trace] {
            assert!(EnvFilter::try_new(level.filter()).is_ok());
        }
    }
}
