use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::error::IndexError;

/// Opens a small database of the store's own, making it when it is missing, so that nobody else may
/// read it. Another process that writes it is waited for up to 10 s.
pub(super) fn open_private(path: &Path) -> Result<Connection, IndexError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        // What goes wrong here the database says itself.
        let _ = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path);
    }
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Never a file in /tmp: a server may be confined to its own folders.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}
