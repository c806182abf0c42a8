use std::collections::VecDeque;

use super::error::StoreError;
use super::index::Row;

/// Files of the index in order of their names, looked up some at a time.
pub(super) struct RowQueue<L> {
    /// Finds the first files after a name.
    look_up: L,
    after: String,
    found: VecDeque<Row>,
}

impl<L: FnMut(&str) -> Result<Vec<Row>, StoreError>> RowQueue<L> {
    pub(super) fn new(look_up: L) -> Self {
        RowQueue {
            look_up,
            after: String::new(),
            found: VecDeque::new(),
        }
    }

    /// The next file, if there is one and it is wanted; else it stays the next.
    pub(super) fn next_if(
        &mut self,
        wanted: impl FnOnce(&Row) -> bool,
    ) -> Result<Option<Row>, StoreError> {
        if self.found.is_empty() {
            self.found = (self.look_up)(&self.after)?.into();
            if let Some(last) = self.found.back() {
                self.after = last.name.as_str().to_owned();
            }
        }
        Ok(self.found.pop_front_if(|row| wanted(row)))
    }
}
