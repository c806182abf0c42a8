use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::attic::Attic;
use super::moved::{self, Twins};
use super::plan::{Clash, Demands, Plan, Removals, Transfer, plan};
use super::read::{Sides, open_local, read};
use super::side::Kind;
use super::{Direction, Sync, SyncReport, SyncSummary};
use crate::client::local::{LocalFolder, blocking, shown};
use crate::client::{Client, Done, Download, FileReport, Removal, Source, Status, Target, Upload};
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::Progress;
use crate::types::{Entry, FileName, FileRef, OnConflict, Precondition};

pub(super) async fn carry_out(
    client: &mut Client,
    sync: &Sync,
    progress: Arc<dyn Progress>,
    report: &mut (dyn FnMut(SyncReport) + Send),
) -> Result<SyncSummary, Failure> {
    let mut sides = read(client, sync).await?;
    let (source, destination) = match sync.direction {
        Direction::Up => (&sides.here, &sides.there),
        Direction::Down => (&sides.there, &sides.here),
    };
    let demands = Demands {
        delete: sync.delete,
        checksum: sync.checksum,
    };
    let plan = plan(source, destination, demands);
    let refusal = refusal(sync, &sides, &plan);
    if let Some(refusal) = refusal.clone().filter(|_| !sync.dry_run) {
        return Err(refusal);
    }
    if let Some(tree) = &mut sides.tree {
        for skipped in std::mem::take(&mut tree.skipped) {
            report(SyncReport::Skipped(skipped));
        }
    }
    let mut run = Run {
        client,
        sync,
        sides,
        progress,
        report,
        failures: 0,
        summary: SyncSummary {
            equal: plan.equal,
            equal_bytes: plan.equal_bytes,
            ..SyncSummary::default()
        },
        attic: None,
    };
    run.all(plan).await?;
    let summary = run.summary;
    // A dry run has shown what would be wrong.
    refusal.map_or(Ok(summary), Err)
}

/// Why nothing is done at all: what is removed for want of a source may not have been meant.
fn refusal(sync: &Sync, sides: &Sides, plan: &Plan) -> Option<Failure> {
    let removed = plan.before.count() + plan.after.count();
    if !sync.delete {
        return None;
    }
    let refuse = |message| Some(Failure::new(ErrorCode::Conflict, message));
    if let Some(incomplete) = &sides.incomplete {
        let message = format!("{incomplete}; nothing was changed: what is in there may be missed");
        return refuse(message);
    }
    let source = match sync.direction {
        Direction::Up => &sides.here,
        Direction::Down => &sides.there,
    };
    if source.files.is_empty() && removed > 0 {
        let message = format!(
            "there is no file in the source, and --delete would remove all {removed} from the destination; nothing was changed"
        );
        return refuse(message);
    }
    match sync.max_delete {
        Some(most) if removed > most => refuse(format!(
            "{removed} files and folders would be removed, and --max-delete allows {most}; nothing was changed"
        )),
        _ => None,
    }
}

struct Run<'a> {
    client: &'a mut Client,
    sync: &'a Sync,
    sides: Sides,
    progress: Arc<dyn Progress>,
    report: &'a mut (dyn FnMut(SyncReport) + Send),
    failures: u64,
    summary: SyncSummary,
    attic: Option<Attic>,
}

impl Run<'_> {
    async fn all(&mut self, plan: Plan) -> Result<(), Failure> {
        for clash in &plan.clashes {
            let failure = describe(clash, self.sync);
            self.tell_file(&clash.name, Err(failure));
        }
        self.remove(&plan.before).await?;
        match self.sync.direction {
            Direction::Up => self.upload(&plan).await?,
            Direction::Down => self.download(&plan).await?,
        }
        if self.failures > 0 {
            self.summary.spared = plan.after.count();
        } else {
            self.remove(&plan.after).await?;
        }
        self.summary.trash = self.attic.as_ref().and_then(Attic::path);
        Ok(())
    }

    async fn upload(&mut self, plan: &Plan) -> Result<(), Failure> {
        let mut names = Vec::new();
        for name in &plan.make {
            match self.full(name) {
                Ok(full) => names.push(full),
                Err(failure) => self.tell_made(name, Err(failure)),
            }
        }
        let (failures, report) = (&mut self.failures, &mut self.report);
        self.client
            .make_folders(&names, self.sync.dry_run, &mut |place, outcome| {
                *failures += u64::from(outcome.is_err());
                if let Some(name) = names.get(place).cloned() {
                    report(SyncReport::Made { name, outcome });
                }
            })
            .await?;
        let moved = match self.sync.dry_run {
            true => HashMap::new(),
            false => moved::on_the_server(plan, &self.sides).await?,
        };
        let mut uploads = Vec::new();
        for transfer in &plan.transfers {
            let name = match self.full(&transfer.name) {
                Ok(name) => name,
                Err(failure) => {
                    self.tell_file(&transfer.name, Err(failure));
                    continue;
                }
            };
            if transfer.waits && self.sync.dry_run {
                self.tell_waiting(transfer);
                continue;
            }
            let (Some(tree), Some(file)) = (&self.sides.tree, self.sides.local.get(&transfer.name))
            else {
                continue;
            };
            let standing = transfer.standing.as_ref();
            uploads.push(Upload {
                source: Source::Tree(tree.top.clone(), file.place.clone()),
                name,
                on_conflict: on_conflict(transfer),
                precondition: Precondition {
                    if_match: standing.and_then(|standing| standing.id),
                },
                basis: match standing {
                    Some(standing) if transfer.changes_permission(standing) => standing.id,
                    _ => moved.get(&transfer.name).copied(),
                },
            });
        }
        if uploads.is_empty() {
            return Ok(());
        }
        let (failures, report) = (&mut self.failures, &mut self.report);
        let mut tell = |file: FileReport| {
            *failures += u64::from(file.outcome.is_err());
            report(SyncReport::File(file));
        };
        let progress = self.progress.clone();
        let sent = self
            .client
            .put(uploads, self.sync.dry_run, progress, &mut tell);
        self.summary.sent += sent.await?;
        Ok(())
    }

    async fn download(&mut self, plan: &Plan) -> Result<(), Failure> {
        if plan.make.is_empty() && plan.transfers.is_empty() {
            return Ok(());
        }
        let top = match (&self.sides.tree, self.sync.dry_run) {
            (Some(tree), _) => Some(tree.top.clone()),
            (None, false) => Some(open_local(&self.sync.local).await?),
            (None, true) => None,
        };
        for name in &plan.make {
            let outcome = match (&top, self.sync.dry_run) {
                (Some(top), false) => make_local(top, name).await,
                _ => Ok(()),
            };
            self.tell_made(name, outcome);
        }
        let twins = self.copy_twins(plan).await;
        let mut downloads = Vec::new();
        let transfers = plan.transfers.iter();
        for transfer in transfers.filter(|transfer| !twins.contains(&transfer.name)) {
            let name = match self.full(&transfer.name) {
                Ok(name) => name,
                Err(failure) => {
                    self.tell_file(&transfer.name, Err(failure));
                    continue;
                }
            };
            let Some(top) = top
                .as_ref()
                .filter(|_| !(transfer.waits && self.sync.dry_run))
            else {
                self.tell_waiting(transfer);
                continue;
            };
            let standing = self.sides.local.get(&transfer.name);
            downloads.push(Download {
                file: FileRef::Name(name),
                known: self.sides.remote.get(&transfer.name).cloned(),
                target: match standing.filter(|_| transfer.standing.is_some()) {
                    Some(standing) => Target::Standing(top.clone(), Box::new(standing.clone())),
                    None => Target::Tree(top.clone(), transfer.name.clone()),
                },
                on_conflict: on_conflict(transfer),
            });
        }
        if downloads.is_empty() {
            return Ok(());
        }
        let (failures, report) = (&mut self.failures, &mut self.report);
        let mut same = Vec::new();
        let mut tell = |file: FileReport| {
            *failures += u64::from(file.outcome.is_err());
            if let Ok(done) = &file.outcome
                && done.status == Status::Unchanged
            {
                same.extend(done.entry.clone());
            }
            report(SyncReport::File(file));
        };
        let progress = self.progress.clone();
        let sent = self
            .client
            .get(downloads, self.sync.dry_run, progress, &mut tell);
        self.summary.sent += sent.await?;
        match self.sync.dry_run {
            true => Ok(()),
            false => self.adapt(same).await,
        }
    }

    /// Copies the new files whose content is here already, and tells which these are. One where that
    /// fails is fetched like any other.
    async fn copy_twins(&mut self, plan: &Plan) -> HashSet<FileName> {
        let mut copied = HashSet::new();
        let mut done = Vec::new();
        if let (Some(tree), Some(mut twins), false) =
            (&self.sides.tree, Twins::new(&self.sides), self.sync.dry_run)
        {
            for transfer in &plan.transfers {
                if let Some(twin) = twins.of(transfer).await
                    && let Some(entry) = self.sides.remote.get(&transfer.name)
                    && moved::copy(&tree.top, twin, &transfer.name, entry)
                        .await
                        .is_ok()
                {
                    copied.insert(transfer.name.clone());
                    done.push((transfer.name.clone(), entry.clone()));
                }
            }
        }
        for (name, entry) in done {
            let done = Done {
                status: Status::Done,
                size: Some(entry.size),
                entry: Some(entry),
                sent: 0,
            };
            self.tell_file(&name, Ok(done));
        }
        copied
    }

    /// Files that turned out to have the same content get the same time and executable bit, so that
    /// nobody need read them again. One where that fails is as good as before.
    async fn adapt(&self, same: Vec<Entry>) -> Result<(), Failure> {
        let Some(tree) = &self.sides.tree else {
            return Ok(());
        };
        let mut files = Vec::new();
        for entry in same {
            let name = self.below(&entry.name);
            let file = name.and_then(|name| self.sides.local.get(&name));
            files.extend(file.map(|file| (file.clone(), entry)));
        }
        let top = tree.top.folder.clone();
        let adapt = move || {
            for (seen, entry) in files {
                let found = top.file_below(&seen.place).ok();
                // What has changed meanwhile keeps the time of that change.
                if let Some((file, facts)) = found.filter(|(_, now)| now.same_file(&seen.facts)) {
                    let _ = facts.adapt(&file, entry.modified, entry.executable);
                }
            }
            Ok(())
        };
        blocking(adapt).await
    }

    async fn remove(&mut self, removals: &Removals) -> Result<(), Failure> {
        match self.sync.direction {
            _ if self.sync.dry_run => {
                self.tell_removals(removals);
                Ok(())
            }
            Direction::Up => self.remove_there(removals).await,
            Direction::Down => self.remove_here(removals).await,
        }
    }

    fn tell_removals(&mut self, removals: &Removals) {
        for (name, seen) in &removals.files {
            self.tell_removed(name, Some(seen.size), Ok(true));
        }
        for name in &removals.empty {
            self.tell_removed(name, None, Ok(true));
        }
    }

    /// Removes files on the server, each only if it is the one that was seen, and then the folders
    /// that have nothing in them.
    async fn remove_there(&mut self, removals: &Removals) -> Result<(), Failure> {
        let mut names = Vec::new();
        let mut requests = Vec::new();
        for (name, seen) in &removals.files {
            let full = self.called(name);
            names.push((name, seen.size));
            requests.push(Removal {
                file: FileRef::Name(full),
                recursive: false,
                precondition: Precondition { if_match: seen.id },
            });
        }
        let mut outcomes = Vec::new();
        let mut note = |_, outcome: Result<_, Failure>| outcomes.push(outcome);
        self.client.remove_all(requests, false, &mut note).await?;
        for ((name, size), outcome) in names.into_iter().zip(outcomes) {
            let outcome = gone(outcome.map(|removed| removed.kept));
            self.tell_removed(name, Some(size), outcome);
        }
        self.remove_folders_there(removals).await
    }

    /// Removes folders that have nothing at all in them: what nobody has looked at stays.
    async fn remove_folders_there(&mut self, removals: &Removals) -> Result<(), Failure> {
        let doomed: BTreeSet<&FileName> = removals.emptied.iter().chain(&removals.empty).collect();
        // What is inside goes first.
        let doomed: Vec<&FileName> = doomed.into_iter().rev().collect();
        let names: Vec<FileName> = doomed.iter().map(|name| self.called(name)).collect();
        let mut outcomes = Vec::new();
        let mut note = |_, outcome: Result<_, Failure>| outcomes.push(outcome);
        self.client.remove_empty_folders(&names, &mut note).await?;
        for (name, outcome) in doomed.into_iter().zip(outcomes) {
            match outcome {
                // Something is in it.
                Err(failure) if failure.code == ErrorCode::Conflict => {}
                Err(failure) if failure.code != ErrorCode::NotFound => {
                    self.tell_removed(name, None, Err(failure));
                }
                _ if removals.empty.contains(name) => self.tell_removed(name, None, Ok(false)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves local files into the local trash, each only if it is the one that was seen, and removes
    /// the folders that have nothing in them.
    async fn remove_here(&mut self, removals: &Removals) -> Result<(), Failure> {
        let Some(tree) = &self.sides.tree else {
            return Ok(());
        };
        let mut attic = self.attic.take().unwrap_or_else(|| Attic::new(&tree.top));
        for (name, seen) in &removals.files {
            let Some(file) = self.sides.local.get(name).cloned() else {
                continue;
            };
            let kept = move || {
                let kept = attic.keep(&file);
                Ok((attic, kept))
            };
            let (back, kept) = blocking(kept).await?;
            attic = back;
            self.tell_removed(name, Some(seen.size), gone(kept.map(|()| true)));
        }
        // What is inside goes first.
        let folders: BTreeSet<FileName> = removals
            .empty
            .iter()
            .chain(&removals.emptied)
            .cloned()
            .collect();
        for name in folders.into_iter().rev() {
            let folder = name.clone();
            let removed = move || {
                let removed = attic.remove_folder(&folder);
                Ok((attic, removed))
            };
            let (back, removed) = blocking(removed).await?;
            attic = back;
            match removed {
                Err(failure) => self.tell_removed(&name, None, Err(failure)),
                Ok(true) if removals.empty.contains(&name) => {
                    self.tell_removed(&name, None, Ok(false));
                }
                Ok(_) => {}
            }
        }
        self.attic = Some(attic);
        Ok(())
    }

    /// The whole name on the server; a local one can be too long for that.
    fn full(&self, name: &FileName) -> Result<FileName, Failure> {
        let full = FileName::inside(self.sync.remote.as_ref(), name);
        full.map_err(|error| Failure::new(ErrorCode::InvalidName, format!("{name}: {error}")))
    }

    /// The name below the folder that is synchronised.
    fn below(&self, full: &FileName) -> Option<FileName> {
        match &self.sync.remote {
            Some(folder) => full.relative_to(folder),
            None => Some(full.clone()),
        }
    }

    /// The same to speak of it.
    fn called(&self, name: &FileName) -> FileName {
        self.full(name).unwrap_or_else(|_| name.clone())
    }

    /// Where a file is on this side, or is to be.
    fn path(&self, name: &FileName) -> PathBuf {
        let place = match self.sides.local.get(name) {
            Some(file) => file.place.clone(),
            None => name.parts().collect(),
        };
        self.sync.local.join(place)
    }

    fn tell_file(&mut self, name: &FileName, outcome: Result<Done, Failure>) {
        self.failures += u64::from(outcome.is_err());
        let file = FileReport {
            index: 0,
            name: FileRef::Name(self.called(name)),
            path: Some(self.path(name)),
            outcome,
        };
        (self.report)(SyncReport::File(file));
    }

    /// In a dry run: nobody can be asked about a file before the folder that it goes to is there,
    /// and what is in its way is removed.
    fn tell_waiting(&mut self, transfer: &Transfer) {
        let done = Done {
            status: Status::WouldTransfer,
            entry: self.sides.remote.get(&transfer.name).cloned(),
            size: Some(transfer.source.size),
            sent: 0,
        };
        self.tell_file(&transfer.name, Ok(done));
    }

    fn tell_made(&mut self, name: &FileName, outcome: Result<(), Failure>) {
        self.failures += u64::from(outcome.is_err());
        let name = self.called(name);
        (self.report)(SyncReport::Made { name, outcome });
    }

    fn tell_removed(&mut self, name: &FileName, size: Option<u64>, outcome: Result<bool, Failure>) {
        self.failures += u64::from(outcome.is_err());
        let removed = SyncReport::Removed {
            name: self.called(name),
            path: (self.sync.direction == Direction::Down).then(|| self.path(name)),
            size,
            outcome,
        };
        (self.report)(removed);
    }
}

/// What is not there any more need not be removed.
fn gone(outcome: Result<bool, Failure>) -> Result<bool, Failure> {
    match outcome {
        Err(failure) if failure.code == ErrorCode::NotFound => Ok(true),
        other => other,
    }
}

fn on_conflict(transfer: &Transfer) -> OnConflict {
    match transfer.standing {
        Some(_) => OnConflict::Overwrite,
        None => OnConflict::Error,
    }
}

fn describe(clash: &Clash, sync: &Sync) -> Failure {
    let side = match sync.direction {
        Direction::Up => "on the server",
        Direction::Down => "here",
    };
    let by = match sync.direction {
        Direction::Up => clash.by.to_string(),
        Direction::Down => shown(&sync.local.join(clash.by.as_str())),
    };
    let message = match clash.kind {
        Kind::File => format!("{by} is a file {side}, and a folder in the source"),
        Kind::Folder => format!("{by} is a folder {side}, and a file in the source"),
        Kind::Untouched => format!("{by} {side} is left as it is, and is in the way"),
    };
    Failure::new(ErrorCode::Conflict, message)
}

async fn make_local(top: &LocalFolder, name: &FileName) -> Result<(), Failure> {
    let (top, name) = (top.clone(), name.clone());
    blocking(move || top.make(&name)).await
}
