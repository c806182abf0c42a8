/// When file content is compressed on its way (`--compress`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Never.
    Never,
    /// Where that makes the transfer faster.
    #[default]
    Auto,
    /// Wherever it gets smaller.
    Always,
}
