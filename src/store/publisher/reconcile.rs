use std::io::{self, ErrorKind};

use super::Publisher;
use crate::disk::{FileFacts, FileKind, Folder};
use crate::store::content::Hashed;
use crate::store::error::StoreError;
use crate::store::index::Row;
use crate::types::FileName;

impl Publisher {
    /// Writes into the index what the disk has under names of one folder.
    pub(super) fn reconcile(
        &mut self,
        folder: Option<&FileName>,
        hidden: &[FileName],
        names: &[FileName],
    ) {
        for name in hidden {
            self.remember(|index| index.forget(name));
        }
        let open = match folder {
            Some(folder) => self.inner.root.folder(folder),
            None => Ok(self.inner.root.clone()),
        };
        for name in names {
            let facts = match &open {
                Ok(folder) => look_in(folder, name),
                Err(error) if is_gone(error) => Ok(None),
                // Too many open files, no permission: nothing was learned.
                Err(_) => return,
            };
            if let Ok(facts) = facts {
                self.take_over(name, facts);
            }
        }
    }

    /// Writes into the index what reading a file showed, if it is still the same file.
    pub(super) fn learn(&mut self, name: &FileName, hashed: &Hashed) {
        let open = match name.folder() {
            Some(folder) => self.inner.root.folder(&folder),
            None => Ok(self.inner.root.clone()),
        };
        let facts = match open.and_then(|folder| look_in(&folder, name)) {
            Ok(facts) => facts,
            Err(error) if is_gone(&error) => None,
            Err(_) => return,
        };
        match facts {
            Some(facts) if facts.same_file(&hashed.facts) && self.is_shared(name) => {
                let id = Some(hashed.digest);
                let row = Row::new(name.clone(), &facts, id, hashed.is_settled());
                self.remember(|index| {
                    index.forget_folder(name)?;
                    index.put_file(&row)
                });
            }
            facts => self.take_over(name, facts),
        }
    }

    fn take_over(&mut self, name: &FileName, facts: Option<FileFacts>) {
        let Some(facts) = facts else {
            return self.remember(|index| index.forget(name));
        };
        if !self.is_shared(name) {
            return;
        }
        self.remember(|index| {
            if facts.kind == FileKind::Folder {
                index.forget_file(name)?;
                return index.put_folder(name);
            }
            index.forget_folder(name)?;
            let row = match index.rows().file(name)? {
                Some(row) if row.describes(&facts) => Row {
                    executable: facts.executable,
                    ..row
                },
                _ => Row::new(name.clone(), &facts, None, false),
            };
            index.put_file(&row)
        });
    }

    fn is_shared(&mut self, name: &FileName) -> bool {
        match self.rules().is_shared(name) {
            Ok(shared) => shared,
            Err(StoreError::Index(error)) => {
                self.index_error.get_or_insert(error);
                false
            }
            Err(_) => false,
        }
    }
}

/// The file or folder that is shared under the name, if any.
fn look_in(folder: &Folder, name: &FileName) -> io::Result<Option<FileFacts>> {
    match folder.facts(name.leaf()) {
        Ok(facts) => {
            let shared = matches!(facts.kind, FileKind::File | FileKind::Folder)
                && facts.device == folder.device();
            Ok(shared.then_some(facts))
        }
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::CrossesDevices
    )
}
