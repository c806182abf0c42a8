use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustyline::Editor;
use rustyline::history::FileHistory;

use super::editing::Helper;
use crate::cli::client::args::state_dir;
use crate::cli::client::shown;
use crate::cli::output::Output;

/// The lines typed in this and earlier runs, in `$XDG_STATE_HOME/fileshare/history`, for nobody
/// else to read.
pub struct History {
    path: Option<PathBuf>,
}

impl History {
    /// Loads what was remembered. Without a place to remember it in, the prompt works all the same.
    pub fn open(editor: &mut Editor<Helper, FileHistory>, output: &Output) -> Self {
        let path = place().and_then(|path| match prepare(&path) {
            Ok(()) => Some(path),
            Err(error) => {
                let shown = shown(&path);
                output.note(format_args!("Nothing is remembered in {shown}: {error}"));
                None
            }
        });
        if let Some(path) = &path
            && let Err(error) = editor.load_history(path)
        {
            tracing::info!(%error, "the history cannot be read");
        }
        History { path }
    }

    /// Remembers a line at once, so that no later crash loses it.
    pub fn remember(&self, editor: &mut Editor<Helper, FileHistory>, line: &str) {
        let added = !line.trim().is_empty() && editor.add_history_entry(line).unwrap_or(false);
        if let (true, Some(path)) = (added, &self.path)
            && let Err(error) = editor.append_history(path)
        {
            tracing::info!(%error, "the history cannot be written");
        }
    }
}

fn place() -> Option<PathBuf> {
    Some(state_dir()?.join("history"))
}

/// Makes the file, or makes it private: the line editor keeps whatever mode it finds.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))
    }
    #[cfg(not(unix))]
    options.open(path).map(drop)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_history_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fileshare/history");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        prepare(&path).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        prepare(&path).unwrap();
        assert_eq!(mode(), 0o600);
    }
}
