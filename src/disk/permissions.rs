//! The permissions that files get when they are published.

use std::fs::File;
use std::io;

/// Gives the file what a program that creates files in the usual way would have given it: 0666 or
/// 0777 without the bits of the umask. Until then it was readable by its owner only.
#[cfg(unix)]
pub(super) fn set_ordinary(file: &File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mode = if executable { 0o777 } else { 0o666 };
    file.set_permissions(std::fs::Permissions::from_mode(mode & !umask()))
}

/// Elsewhere new files inherit what their folder gives them.
#[cfg(not(unix))]
pub(super) fn set_ordinary(_file: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}

/// Makes the file executable for whoever may read it, or for nobody; all else stays as it is.
#[cfg(unix)]
pub(super) fn set_executable(file: &File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode();
    let mode = match executable {
        true => mode | (mode & 0o444) >> 2,
        false => mode & !0o111,
    };
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// There is no such permission elsewhere.
#[cfg(not(unix))]
pub(super) fn set_executable(_file: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}

/// Finds out what permissions new files get. Call it while `/proc` can be read: a process that
/// confines itself cannot do so any more.
pub fn remember_umask() {
    #[cfg(unix)]
    umask();
}

/// The umask of the process, read once. `umask(2)` can only be read by setting it, which other
/// threads would notice; Linux also tells it in `/proc`.
#[cfg(unix)]
fn umask() -> u32 {
    use std::sync::OnceLock;

    const USUAL: u32 = 0o022;
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        std::fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| {
                let digits = status
                    .lines()
                    .find_map(|line| line.strip_prefix("Umask:"))?;
                u32::from_str_radix(digits.trim(), 8).ok()
            })
            .unwrap_or(USUAL)
    })
}
