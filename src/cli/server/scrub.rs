//! `fileshare-server scrub`: reads every stored file again (contract sections 3 and 10).

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use tokio::runtime;

use super::args::Arguments;
use super::command::{StateDir, meant};
use super::{refused, root_of};
use crate::cli::exit::{self, Ended};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, ScrubLine, SummaryLine};
use crate::cli::output::{Look, Output};
use crate::cli::progress::Bars;
use crate::cli::signals::Signals;
use crate::cli::units;
use crate::protocol::ErrorCode;
use crate::store::{Finding, Scrub, ScrubTotals, ScrubWatch};
use crate::transfer::Progress;
use crate::types::FileName;

/// See `fileshare-server scrub --help`.
#[derive(Debug, Args)]
pub struct ScrubArgs {
    /// The folder that the server serves [default: ./shared]
    root: Option<PathBuf>,
    #[command(flatten)]
    state: StateDir,
    /// The most bytes to read per second, like 50M
    #[arg(long = "limit-rate", id = "scrub_rate", value_name = "S", value_parser = units::parse_positive_size)]
    limit_rate: Option<u64>,
    /// One JSON object a line on standard output
    #[arg(long)]
    json: bool,
}

/// Reads and compares; returns the exit code.
pub fn run(output: &Output, arguments: Arguments, args: ScrubArgs) -> Result<u8, Failure> {
    let quiet = arguments.switches.quiet.unwrap_or(false);
    let output = output.with_bars(Look {
        json: args.json,
        quiet,
        bars: io::stderr().is_terminal() && !args.json && !quiet,
        ..output.look()
    });
    let scrubbed = scrub(&output, arguments, args);
    output.flush();
    match scrubbed {
        Err(failure) => {
            output.failure(&failure);
            Ok(exit::of_error(failure.code))
        }
        Ok(ended) => Ok(exit::of_end(&ended)),
    }
}

fn scrub(output: &Output, arguments: Arguments, args: ScrubArgs) -> Result<Ended, Failure> {
    let arguments = meant(arguments, args.root, args.state)?;
    let root = root_of(&arguments);
    let scrub = Scrub::open(&root, arguments.state_dir.as_deref(), args.limit_rate)
        .map_err(|error| refused(root, &error))?;
    let totals = scrub.totals().map_err(|error| failed(&error))?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    runtime.block_on(async {
        let mut signals =
            Signals::listen().map_err(|error| Failure::io("cannot catch signals", &error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let bars = Bars::show(output);
        bars.progress().batch(totals.files, totals.bytes);
        let mut report = Report::new(output, bars.progress(), stop.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = scrub.run(&mut report);
            (report, outcome)
        });
        tokio::pin!(reading);
        let mut signalled = None;
        let (report, outcome) = loop {
            tokio::select! {
                received = signals.next(), if signalled.is_none() => {
                    signalled = Some(Ended::from(received));
                    stop.store(true, Ordering::Relaxed);
                }
                done = &mut reading => break done.map_err(|error| {
                    Failure::new(ErrorCode::Internal, format!("a thread failed: {error}"))
                })?,
            }
        };
        drop(bars);
        outcome.map_err(|error| failed(&error))?;
        report.finish(&totals, signalled)
    })
}

/// What was found so far.
struct Report {
    output: Output,
    progress: Arc<dyn Progress>,
    stop: Arc<AtomicBool>,
    started: Instant,
    files: u64,
    bytes: u64,
    damaged: u64,
    unreadable: u64,
    changed: u64,
}

impl Report {
    fn new(output: &Output, progress: Arc<dyn Progress>, stop: Arc<AtomicBool>) -> Self {
        Report {
            output: output.clone(),
            progress,
            stop,
            started: Instant::now(),
            files: 0,
            bytes: 0,
            damaged: 0,
            unreadable: 0,
            changed: 0,
        }
    }

    fn finish(self, totals: &ScrubTotals, signalled: Option<Ended>) -> Result<Ended, Failure> {
        let seconds = self.started.elapsed().as_millis() as f64 / 1000.0;
        self.output.object(Body::Summary(SummaryLine {
            action: "scrub",
            files: self.files,
            unchanged: self.files - self.damaged - self.unreadable - self.changed,
            failed: self.damaged + self.unreadable,
            bytes: self.bytes,
            sent: 0,
            seconds,
        }));
        let mut text = format!(
            "{} of {} read, {}, in {seconds:.1} s",
            self.files,
            units::count(totals.files, "file"),
            units::size(self.bytes),
        );
        for (number, what) in [
            (self.damaged, "damaged"),
            (self.unreadable, "unreadable"),
            (self.changed, "changed by hand"),
            (totals.without_id, "never hashed"),
        ] {
            if number > 0 {
                text.push_str(&format!(", {number} {what}"));
            }
        }
        self.output.done(text);
        if let Some(ended) = signalled {
            self.output.note("stopped: what was found is remembered");
            return Ok(ended);
        }
        if self.damaged > 0 {
            let message = format!("{} damaged", units::count(self.damaged, "file"));
            return Err(Failure::new(ErrorCode::DigestMismatch, message)
                .advise("upload them again with 'put --on-conflict overwrite', from a good copy"));
        }
        if self.unreadable > 0 {
            let number = units::count(self.unreadable, "file");
            let message = format!("{number} could not be read");
            return Err(
                Failure::new(ErrorCode::Io, message).advise("look at the disk and the permissions")
            );
        }
        Ok(Ended::Finished(Ok(exit::Verdict::Done)))
    }
}

impl ScrubWatch for Report {
    fn begin(&mut self, number: u32, name: &FileName, size: u64) {
        let label = name.to_string();
        self.progress.begin(number, &label, Some(size), 0);
    }

    fn read(&mut self, number: u32, bytes: u64) {
        self.bytes += bytes;
        self.progress.advance(number, bytes);
    }

    fn end(&mut self, number: u32, name: &FileName, size: u64, finding: Finding) {
        self.progress.end(number);
        self.files += 1;
        let line = ScrubLine {
            name: name.as_str(),
            size,
            ..ScrubLine::default()
        };
        match finding {
            Finding::Whole => {}
            Finding::Changed => self.changed += 1,
            Finding::Damaged { recorded, found } => {
                self.damaged += 1;
                let (recorded, found) = (recorded.to_string(), found.to_string());
                self.output.line(format_args!(
                    "damaged: {name}: recorded id {recorded}, found {found}"
                ));
                self.output.object(Body::Scrub(ScrubLine {
                    status: "damaged",
                    recorded: Some(recorded),
                    found: Some(found),
                    ..line
                }));
            }
            Finding::Unreadable(error) => {
                self.unreadable += 1;
                let message = error.to_string();
                self.output.line(format_args!("unreadable: {message}"));
                self.output.object(Body::Scrub(ScrubLine {
                    status: "unreadable",
                    error: Some(ErrorBody::new(ErrorCode::Io, &message)),
                    ..line
                }));
            }
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn failed(error: &impl std::fmt::Display) -> Failure {
    Failure::new(ErrorCode::Io, format!("the scrub could not go on: {error}"))
        .advise("look at the disk and the permissions of the state folder")
}
