use super::Digest;

/// What to do when the name that a file is to get is taken (contract section 5, "Conflicts").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Refuse: nothing is ever replaced unasked.
    #[default]
    Error,
    /// Replace the file that stands there.
    Overwrite,
    /// Keep both: the new file gets a free name, `report (1).pdf`.
    Rename,
    /// Leave the file that stands there, and do not count that as a failure.
    Skip,
}

/// What must hold of the file that stands under a name before it may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Precondition {
    /// The id that the file must still have (`--if-match`); `None` accepts any.
    pub if_match: Option<Digest>,
}
