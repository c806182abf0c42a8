use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::retry_list::FailedList;
use super::shown;
use crate::cli::advice::Doing;
use crate::cli::exit::{Tally, Verdict};
use crate::cli::failure::Failure;
use crate::cli::json::{Body, ErrorBody, FileLine, FolderLine, Id, SummaryLine};
use crate::cli::output::Output;
use crate::cli::units;
use crate::client::{ClientError, Done, FileReport, Status};
use crate::types::{FileName, FileRef, Printable};

/// Tells what becomes of each file of a batch, and of the batch in the end.
pub struct BatchReport {
    output: Output,
    action: &'static str,
    /// Standard output is for file content.
    only_failures: bool,
    /// By which rules, for what to do next after a failure.
    doing: Doing,
    /// What is to be tried again, for who wants a list of it.
    pub failed_list: FailedList,
    /// What was left out of trees, and why: it is named beside the summary.
    left_out: Vec<LeftOut>,
    started: Instant,
    tally: Tally,
    unchanged: u64,
    skipped: u64,
    removed: u64,
    /// Nothing was removed, but would be.
    rehearsed: bool,
    bytes: u64,
    sent: u64,
}

/// Something in a local tree that is not sent.
struct LeftOut {
    name: String,
    path: PathBuf,
    reason: String,
}

impl BatchReport {
    /// A report of the command `action`, which begins now.
    pub fn new(output: &Output, action: &'static str, doing: Doing) -> Self {
        BatchReport {
            output: output.clone(),
            action,
            only_failures: false,
            doing,
            failed_list: FailedList::default(),
            left_out: Vec::new(),
            started: Instant::now(),
            tally: Tally::default(),
            unchanged: 0,
            skipped: 0,
            removed: 0,
            rehearsed: false,
            bytes: 0,
            sent: 0,
        }
    }

    /// Keeps a list of what failed, if one is wanted. Fails when it could not be written.
    pub fn listing_failures(mut self, to: Option<&Path>) -> Result<Self, Failure> {
        self.failed_list = FailedList::new(to)?;
        Ok(self)
    }

    /// Tells of failures only: standard output is taken by file content.
    pub fn only_failures(mut self) -> Self {
        self.only_failures = true;
        self
    }

    /// Tells of one file.
    pub fn file(&mut self, report: FileReport) {
        match report.outcome {
            Ok(done) => self.done(&report.name, report.path.as_deref(), &done),
            Err(error) => {
                self.failed_list.failed(report.index);
                let failure = Failure::from(error)
                    .beside(report.path.as_deref())
                    .about(&report.name);
                self.failed(&plain(&report.name), &failure);
            }
        }
    }

    /// Tells of a file that failed; `name` is the server's.
    pub fn failed(&mut self, name: &str, failure: &Failure) {
        let failure = &failure.clone().while_doing(self.doing);
        tracing::debug!(action = self.action, name, code = %failure.code, "failed");
        self.tally.failed(failure.code);
        if !self.only_failures {
            self.output.object(Body::File(FileLine {
                action: self.action,
                name,
                status: "failed",
                error: Some(ErrorBody::new(failure.code, &failure.message)),
                ..FileLine::default()
            }));
        }
        let name = Printable(name);
        self.output.complain(failure, Some(&name));
    }

    /// Tells in the end of something that is left out by design.
    pub fn left_out(&mut self, name: &str, path: &Path, reason: &impl fmt::Display) {
        self.left_out.push(LeftOut {
            name: name.to_owned(),
            path: path.to_owned(),
            reason: reason.to_string(),
        });
    }

    /// Tells of a folder that is there now, or would be.
    pub fn folder(&mut self, name: &FileName, dry_run: bool) {
        let (status, words) = match dry_run {
            true => ("would_make", "would make the folder"),
            false => ("done", "an empty folder"),
        };
        self.output.object(Body::Folder(FolderLine {
            action: Some(self.action),
            name: name.as_str(),
            status: Some(status),
            ..FolderLine::default()
        }));
        self.output.done(format_args!("{name}/: {words}"));
    }

    /// Tells of the batch as a whole, and writes the list of what failed.
    pub fn finish(self) -> Result<Verdict, Failure> {
        let files = self.tally.files();
        for left_out in &self.left_out {
            self.tell_left_out(left_out);
        }
        if !self.only_failures {
            let seconds = self.started.elapsed().as_millis() as f64 / 1000.0;
            self.output.object(Body::Summary(SummaryLine {
                action: self.action,
                files,
                unchanged: self.unchanged,
                failed: self.tally.failures(),
                bytes: self.bytes,
                sent: self.sent,
                seconds,
            }));
            if files > 1 || !self.left_out.is_empty() || self.action == "sync" {
                self.output.done(self.summary(seconds));
            }
        }
        self.failed_list.write()?;
        Ok(Verdict::Batch(self.tally))
    }

    /// Nothing of the batch could be tried. The list of what failed says so, too.
    pub fn give_up(&mut self, error: ClientError) -> Failure {
        self.failed_list.all_failed();
        let failure = Failure::from(error);
        self.failed_list.write().err().unwrap_or(failure)
    }

    fn tell_left_out(&self, left_out: &LeftOut) {
        let LeftOut { name, path, reason } = left_out;
        self.output.object(Body::File(FileLine {
            action: self.action,
            name,
            path: Some(&local_text(path)),
            status: "skipped",
            reason: Some(reason),
            ..FileLine::default()
        }));
        self.output
            .done(format_args!("{}: skipped, {reason}", shown(path)));
    }

    /// So many bytes of file content have crossed the wire, whatever became of them.
    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// So many files, of so many bytes, are as they should be, and there is nothing to tell of each.
    pub fn equal(&mut self, files: u64, bytes: u64) {
        (0..files).for_each(|_| self.tally.done());
        self.unchanged += files;
        self.bytes += bytes;
    }

    /// Tells of something that was removed, or would be.
    pub fn removed(&mut self, removed: Removal<'_>, outcome: Result<bool, Failure>) {
        let Removal {
            name,
            path,
            size,
            dry_run,
        } = removed;
        let kept = match outcome {
            Err(failure) => {
                let failure = failure.beside(path).while_doing(self.doing);
                return self.failed(name.as_str(), &failure);
            }
            Ok(kept) => kept,
        };
        self.tally.done();
        self.removed += 1;
        self.rehearsed = dry_run;
        let (status, words) = match dry_run {
            true => ("would_remove", "would remove"),
            false => ("done", "removed"),
        };
        let local = path.map(|path| path.to_string_lossy().into_owned());
        self.output.object(match size {
            Some(size) => Body::File(FileLine {
                action: self.action,
                name: name.as_str(),
                path: local.as_deref(),
                size: Some(size),
                status,
                kept: Some(kept),
                ..FileLine::default()
            }),
            None => Body::Folder(FolderLine {
                action: Some(self.action),
                name: name.as_str(),
                status: Some(status),
                kept: Some(kept),
                ..FolderLine::default()
            }),
        });
        let slash = if size.is_none() { "/" } else { "" };
        let what = path.map_or_else(|| name.to_string(), shown);
        let lost = match size.is_some() && !kept {
            true => ", which is not kept",
            false => "",
        };
        self.output
            .done(format_args!("{words} {what}{slash}{lost}"));
    }

    fn done(&mut self, name: &FileRef, path: Option<&Path>, done: &Done) {
        tracing::debug!(action = self.action, %name, status = ?done.status, sent = done.sent, "done");
        self.tally.done();
        let size = done.size.or(done.entry.as_ref().map(|entry| entry.size));
        match done.status {
            Status::Skipped => self.skipped += 1,
            status => {
                self.unchanged += u64::from(status == Status::Unchanged);
                self.bytes += size.unwrap_or(0);
            }
        }
        if self.only_failures {
            // A dry run prints no content, but whoever would read it expects nothing else.
            if done.status == Status::WouldTransfer {
                self.output.note(format_args!("{name}: {}", would(size)));
            }
            return;
        }
        let entry = done.entry.as_ref();
        let id = entry.and_then(|entry| entry.id).map(|id| id.to_string());
        let name = entry.map_or_else(|| plain(name), |entry| entry.name.as_str().to_owned());
        let local = path.map(local_text);
        self.output.object(Body::File(FileLine {
            action: self.action,
            name: &name,
            path: local.as_deref(),
            id: Some(Id::of(entry)),
            size,
            status: match done.status {
                Status::Done => "done",
                Status::Unchanged => "unchanged",
                Status::Skipped => "skipped",
                Status::WouldTransfer => "would_transfer",
            },
            ..FileLine::default()
        }));
        let what = match done.status {
            Status::Done => format!(
                "{}, verified, id {}",
                size.map_or("-".to_owned(), units::size),
                id.as_deref().unwrap_or("-")
            ),
            Status::Unchanged => "unchanged".to_owned(),
            Status::Skipped => "skipped, the name is taken".to_owned(),
            Status::WouldTransfer => would(size),
        };
        self.output
            .done(format_args!("{}: {what}", self.way(&name, path)));
    }

    /// `a.txt`, or `from -> to` when the two sides call it differently.
    fn way(&self, name: &str, path: Option<&Path>) -> String {
        let remote = Printable(name).to_string();
        match path.map(shown) {
            Some(local) if local != remote && self.action == "get" => {
                format!("{remote} -> {local}")
            }
            Some(local) if local != remote && self.action == "put" => {
                format!("{local} -> {remote}")
            }
            _ => remote,
        }
    }

    fn summary(&self, seconds: f64) -> String {
        let mut parts = vec![format!(
            "{}, {}",
            units::count(self.tally.files(), "file"),
            units::size(self.bytes)
        )];
        for (number, word) in [
            (self.unchanged, "unchanged"),
            (self.skipped + self.left_out.len() as u64, "skipped"),
            (
                self.removed,
                if self.rehearsed {
                    "to remove"
                } else {
                    "removed"
                },
            ),
            (self.tally.failures(), "failed"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {word}"));
            }
        }
        parts.push(format!("{} sent in {seconds:.1} s", units::size(self.sent)));
        parts.join(", ")
    }
}

/// What was removed, or would be.
pub struct Removal<'a> {
    /// Its name on the server, or what that would be.
    pub name: &'a FileName,
    /// The local file or folder, if it was one.
    pub path: Option<&'a Path>,
    /// Its size; `None` for a folder.
    pub size: Option<u64>,
    /// Nothing was changed.
    pub dry_run: bool,
}

fn would(size: Option<u64>) -> String {
    match size {
        Some(size) => format!("would transfer {}", units::size(size)),
        None => "would transfer".to_owned(),
    }
}

/// A local path for programs.
fn local_text(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.strip_prefix("./").unwrap_or(&text).to_owned()
}

/// The name as it is, for JSON; text for people goes through `Printable`.
fn plain(name: &FileRef) -> String {
    match name {
        FileRef::Name(name) => name.as_str().to_owned(),
        FileRef::Id(prefix) => format!("id:{prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit;
    use crate::cli::output::Look;
    use crate::cli::output::tests::Captured;
    use crate::protocol::ErrorCode;
    use crate::types::{Entry, OnConflict, Timestamp};

    const ID: &str = "0cc175b9c0f1b6a831c399e269772661";

    fn done(name: &str, path: &str, status: Status) -> FileReport {
        let name = FileName::parse(name).unwrap();
        FileReport {
            index: 0,
            name: FileRef::Name(name.clone()),
            path: Some(path.into()),
            outcome: Ok(Done {
                status,
                entry: Some(Entry {
                    name,
                    id: Some(ID.parse().unwrap()),
                    size: 1536,
                    modified: Timestamp::new(0, 0).unwrap(),
                    executable: false,
                }),
                size: Some(1536),
                sent: if status == Status::Done { 1536 } else { 0 },
            }),
        }
    }

    fn missing(name: &str) -> FileReport {
        FileReport {
            index: 1,
            name: FileRef::Name(FileName::parse(name).unwrap()),
            path: None,
            outcome: Err(ClientError::new(ErrorCode::NotFound, "no such file")),
        }
    }

    #[test]
    fn tells_people_of_each_file_and_of_the_whole() {
        let captured = Captured::default();
        let output = captured.output(Look::default());
        let mut report = BatchReport::new(&output, "get", Doing::Getting(OnConflict::Error));
        report.file(done("a.txt", "./a.txt", Status::Done));
        report.file(done("docs/b.txt", "b.txt", Status::Unchanged));
        report.file(missing("c.txt"));
        report.sent(1536);
        let verdict = report.finish().unwrap();
        output.flush();
        assert_eq!(exit::of_verdict(&verdict), 9);
        let results = captured.results();
        let lines: Vec<_> = results.lines().collect();
        assert_eq!(lines[0], format!("a.txt: 1.50 KiB, verified, id {ID}"));
        assert_eq!(lines[1], "docs/b.txt -> b.txt: unchanged");
        assert!(lines[2].starts_with("3 files, 3.00 KiB, 1 unchanged, 1 failed, 1.50 KiB sent in"));
        assert_eq!(
            captured.messages(),
            "error: no such file (c.txt) — see 'list' for what is there\n"
        );
    }

    #[test]
    fn tells_programs_of_each_file_and_of_the_whole() {
        let captured = Captured::default();
        let output = captured.output(Look {
            json: true,
            ..Look::default()
        });
        let mut report = BatchReport::new(&output, "put", Doing::Putting(OnConflict::Error));
        report.file(done("a.txt", "x/a.txt", Status::WouldTransfer));
        report.file(missing("c.txt"));
        report.finish().unwrap();
        output.flush();
        let results = captured.results();
        let lines: Vec<_> = results.lines().collect();
        assert_eq!(
            lines[0],
            format!(
                r#"{{"v":1,"type":"file","action":"put","name":"a.txt","path":"x/a.txt","id":"{ID}","size":1536,"status":"would_transfer"}}"#
            )
        );
        assert_eq!(
            lines[1],
            r#"{"v":1,"type":"file","action":"put","name":"c.txt","status":"failed","error":{"code":"not_found","message":"no such file"}}"#
        );
        assert!(lines[2].starts_with(
            r#"{"v":1,"type":"summary","action":"put","files":2,"unchanged":0,"failed":1,"bytes":1536,"sent":0,"seconds":"#
        ));
    }

    #[test]
    fn one_file_needs_no_summary_and_content_no_lines() {
        let captured = Captured::default();
        let output = captured.output(Look::default());
        let mut report =
            BatchReport::new(&output, "get", Doing::Getting(OnConflict::Error)).only_failures();
        report.file(done("a.txt", "a.txt", Status::Done));
        report.finish().unwrap();
        let mut report = BatchReport::new(&output, "put", Doing::Putting(OnConflict::Error));
        report.file(done("a.txt", "a.txt", Status::Done));
        report.finish().unwrap();
        output.flush();
        assert_eq!(captured.results().lines().count(), 1);
    }
}
