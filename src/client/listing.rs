use std::collections::HashSet;

use super::link::broken;
use super::{Client, ClientError, ListQuery};
use crate::protocol::limits::MAX_BATCH_FILES;
use crate::protocol::{ErrorCode, Failure};
use crate::types::{Entry, FileName, Item, Patterns};

/// All that a server has where it was asked, in order of names: checked as a whole, so that whoever
/// writes it to a disk need not mind what a hostile server could have said.
///
/// Everything in it was asked for, and nothing is a file and a folder at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files.
    pub files: Vec<Entry>,
    /// The folders that have nothing in them.
    pub empty: Vec<FileName>,
}

impl Client {
    /// Lists everything that the query means, and checks it.
    pub async fn list_all(&mut self, query: &ListQuery) -> Result<Listing, ClientError> {
        let patterns = Patterns::parse(&query.patterns)
            .map_err(|error| Failure::new(ErrorCode::Usage, error.to_string()))?;
        let mut listing = Listing::default();
        let mut items = 0_u32;
        let mut strange = None;
        self.list(query, &mut |item| {
            items = items.saturating_add(1);
            if items > MAX_BATCH_FILES {
                strange = Some("its list never ends".to_owned());
            } else if !is_asked_for(query, &patterns, item.name()) {
                let name = item.name();
                strange = Some(format!("it lists {name}, which was not asked for"));
            }
            match item {
                _ if strange.is_some() => {}
                Item::File(entry) => listing.files.push(entry),
                Item::Folder(name) => listing.empty.push(name),
            }
        })
        .await?;
        match strange.or_else(|| listing.contradiction()) {
            Some(strange) => Err(broken(&strange)),
            None => Ok(listing),
        }
    }
}

fn is_asked_for(query: &ListQuery, patterns: &Patterns, name: &FileName) -> bool {
    let below = match &query.folder {
        Some(folder) => name.relative_to(folder),
        None => Some(name.clone()),
    };
    below.is_some_and(|below| patterns.is_match(&below))
}

impl Listing {
    /// Something that is listed in something that cannot have it.
    fn contradiction(&self) -> Option<String> {
        let files = self.files.iter().map(|entry| &entry.name);
        let childless: HashSet<&FileName> = files.chain(&self.empty).collect();
        let mut names = childless.iter();
        let inner = names.find_map(|name| name.ancestors().find(|outer| childless.contains(outer)));
        inner.map(|outer| format!("it lists {outer} and something in it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn listing(files: &[&str], empty: &[&str]) -> Listing {
        let name = |text: &&str| FileName::parse(text).unwrap();
        let entry = |text: &&str| Entry {
            name: name(text),
            id: None,
            size: 0,
            modified: Timestamp::new(0, 0).unwrap(),
            executable: false,
        };
        Listing {
            files: files.iter().map(entry).collect(),
            empty: empty.iter().map(name).collect(),
        }
    }

    #[test]
    fn nothing_is_in_a_file_or_in_what_is_empty() {
        assert_eq!(
            listing(&["a", "a.b", "b/c"], &["b/d"]).contradiction(),
            None
        );
        assert!(listing(&["a", "a/b/c"], &[]).contradiction().is_some());
        assert!(listing(&["a/b"], &["a"]).contradiction().is_some());
        assert!(listing(&["a"], &["a/b"]).contradiction().is_some());
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let query = |folder: Option<&str>, pattern: &str| ListQuery {
            folder: folder.map(|folder| FileName::parse(folder).unwrap()),
            patterns: vec![pattern.to_owned()],
            limit: 0,
        };
        let asked = |folder, pattern: &str, name| {
            let patterns = Patterns::parse(&[pattern]).unwrap();
            is_asked_for(
                &query(folder, pattern),
                &patterns,
                &FileName::parse(name).unwrap(),
            )
        };
        assert!(asked(None, "docs", "docs/a"));
        assert!(asked(Some("docs"), "*.txt", "docs/a.txt"));
        assert!(!asked(Some("docs"), "*.txt", "a.txt"));
        assert!(!asked(None, "docs", "docs2/a"));
        assert!(!asked(None, "*.txt", "a.sh"));
    }
}
