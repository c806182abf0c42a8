/// On whose behalf something changes, so that it can be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Cause {
    /// The user; `None` is everybody without an account, as one.
    pub owner: Option<String>,
    /// The number of the user's command. Changes of one owner with the same number are taken back
    /// together, whichever connection they came over.
    pub command: u64,
}
