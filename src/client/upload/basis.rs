use std::path::PathBuf;

use super::{Known, Origin, Pending};
use crate::client::link::Link;
use crate::client::local::{self, LocalFile};
use crate::client::resemblance::{ALIKE_FROM, Asked};
use crate::client::rounds::Rounds;
use crate::protocol::Failure;
use crate::transfer::Basis;
use crate::types::{FileRef, OnConflict};

/// Finds out what the server has of the files of a round, and how many files the round has: as many
/// as may be asked about.
pub(super) async fn find(
    link: &mut Link,
    rounds: &mut Rounds<'_, Pending>,
) -> Result<usize, Failure> {
    let mut count = 0;
    let mut candidates = Asked::default();
    for (place, file) in (0..).zip(rounds.files()) {
        if let Some(candidate) = Candidate::of(place, file)
            && !candidates.add(candidate, file.size.unwrap_or(0))
        {
            break;
        }
        count += 1;
    }
    let candidates = candidates.into_all();
    let asked: Vec<_> = candidates.iter().map(|c| c.standing.clone()).collect();
    let standing = link.stat_all(&asked).await?;
    let mut alike = Vec::new();
    for (candidate, standing) in candidates.into_iter().zip(standing) {
        let Some((id, size)) = standing.and_then(|entry| Some((entry.id?, entry.size))) else {
            continue;
        };
        let Candidate {
            place,
            path,
            wished,
            known,
            ..
        } = candidate;
        let look = move || compare(path, known, size);
        // Whatever is wrong with the local file is told when its turn comes.
        let Ok(known) = local::blocking(look).await else {
            continue;
        };
        let is_same = known.is_some_and(|known| known.digest == id);
        if let Some(file) = rounds.get(place) {
            file.known = known;
            file.basis = (is_same && wished).then(|| Basis::same(id));
            if !is_same && size >= ALIKE_FROM && file.size >= Some(ALIKE_FROM) {
                alike.push((place, id, size));
            }
        }
    }
    let asked: Vec<_> = alike.iter().map(|(_, id, size)| (*id, *size)).collect();
    let found = link.blocks_of(&asked).await?;
    for ((place, id, _), blocks) in alike.into_iter().zip(found) {
        if let Some(file) = rounds.get(place) {
            file.basis = blocks.map(|blocks| Basis::alike(id, blocks));
        }
    }
    Ok(count)
}

/// A file that may be put together from one that the server has.
struct Candidate {
    place: u32,
    path: PathBuf,
    known: Option<Known>,
    /// Which file the server may have.
    standing: FileRef,
    /// Whether the caller said so: then being the same is worth a copy. What stands under the name
    /// itself and is the same needs none.
    wished: bool,
}

impl Candidate {
    fn of(place: u32, file: &Pending) -> Option<Self> {
        let (Origin::File(path), false) = (&file.source, file.whole) else {
            return None;
        };
        let replaces = file.on_conflict == OnConflict::Overwrite && file.size >= Some(ALIKE_FROM);
        let standing = match file.wished_basis {
            Some(id) if file.size > Some(0) => FileRef::from(id),
            _ if replaces => FileRef::Name(file.name.clone()),
            _ => return None,
        };
        Some(Candidate {
            place,
            path: path.clone(),
            known: file.known,
            wished: file.wished_basis.is_some(),
            standing,
        })
    }
}

/// Reads the local file, if it could be the same as one of this size.
fn compare(path: PathBuf, known: Option<Known>, size: u64) -> Result<Option<Known>, Failure> {
    let mut file = LocalFile::open(&path)?;
    let facts = file.facts;
    if let Some(digest) = known.and_then(|known| known.digest_of(&file)) {
        return Ok(Some(Known { facts, digest }));
    }
    if facts.size != size {
        return Ok(None);
    }
    let digest = file.hash(|_| {})?;
    Ok(Some(Known { facts, digest }))
}
