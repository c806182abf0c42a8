use super::error::StoreError;
use super::index::{NameRange, Row, Rows, beginning_below, end_below};
use super::inner::Inner;
use crate::types::{FileName, FileRef, Item, Patterns};

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// The folder below which to list; `None` is the root.
    pub folder: Option<FileName>,
    /// Globs over names relative to the folder: `*` stays within a part, `**` crosses slashes. An
    /// item is listed when its name or one of its folders matches one of them, or is spelled like
    /// it. No pattern at all lists everything.
    pub patterns: Vec<String>,
}

/// A part of a listing, in byte order of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Files, and folders that have nothing in them.
    pub items: Vec<Item>,
    /// Whether there is more after the last item.
    pub more: bool,
}

impl Inner {
    pub(super) fn list(
        &self,
        query: &ListQuery,
        after: Option<&FileName>,
        max_items: usize,
    ) -> Result<Page, StoreError> {
        let patterns = Patterns::parse(&query.patterns)?;
        if self.is_stopping() {
            return Err(StoreError::Closed);
        }
        if after.is_none() {
            self.scan.ensure_fresh()?;
        }
        self.read(|rows| {
            if let Some(folder) = &query.folder
                && !rows.has_folder(folder)?
            {
                return Err(StoreError::NotFound(FileRef::Name(folder.clone())));
            }
            page(rows, query.folder.as_ref(), &patterns, after, max_items)
        })
    }
}

fn page(
    rows: Rows<'_>,
    folder: Option<&FileName>,
    patterns: &Patterns,
    after: Option<&FileName>,
    max_items: usize,
) -> Result<Page, StoreError> {
    let beginning = folder.map_or(String::new(), beginning_below);
    let end = folder.map(end_below);
    let range = NameRange {
        after: after.map_or("", FileName::as_str),
        beginning: &beginning,
        end: end.as_deref(),
    };
    let wanted = |name: &FileName| match folder {
        Some(folder) => name
            .relative_to(folder)
            .is_some_and(|below| patterns.is_match(&below)),
        None => patterns.is_match(name),
    };
    // One more than fits tells whether there is more.
    let enough = max_items.saturating_add(1);
    let mut items: Vec<Item> = Vec::new();
    rows.each_file(&range, |row: Row| {
        if wanted(&row.name) {
            items.push(Item::File(row.into_entry()));
        }
        items.len() < enough
    })?;
    // Folders beyond the last of so many files would not be on this page.
    let last = (items.len() == enough)
        .then(|| items.last().map(|item| item.name().clone()))
        .flatten();
    let mut folders = 0;
    rows.each_empty_folder(&range, |path| {
        if last.as_ref().is_some_and(|last| path > *last) {
            return false;
        }
        if wanted(&path) {
            items.push(Item::Folder(path));
            folders += 1;
        }
        folders < enough
    })?;
    items.sort_by(|a, b| a.name().cmp(b.name()));
    let more = items.len() > max_items;
    items.truncate(max_items);
    Ok(Page { items, more })
}
