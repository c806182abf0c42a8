/// Where a transfer reports how far it is. A terminal draws bars from it; a library may ignore it.
///
/// Calls come from several threads, in order for each file. All methods return at once.
pub trait Progress: Send + Sync {
    /// The whole batch: how many files, and how many bytes as far as that is known.
    fn batch(&self, files: u64, bytes: u64);
    /// A file begins; `size` is unknown for a stream. The receiver has its first `offset` bytes
    /// already. `label` is fit for a terminal.
    fn begin(&self, index: u32, label: &str, size: Option<u64>, offset: u64);
    /// So many more bytes of the file have gone over the wire.
    fn advance(&self, index: u32, bytes: u64);
    /// The file is finished, well or not.
    fn end(&self, index: u32);
    /// Something worth telling while the transfer goes on, such as a retry.
    fn note(&self, text: &str);
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn batch(&self, _files: u64, _bytes: u64) {}
    fn begin(&self, _index: u32, _label: &str, _size: Option<u64>, _offset: u64) {}
    fn advance(&self, _index: u32, _bytes: u64) {}
    fn end(&self, _index: u32) {}
    fn note(&self, _text: &str) {}
}
