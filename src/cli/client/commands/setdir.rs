use std::path::Path;

use super::Outcome;
use crate::cli::client::session::Session;
use crate::cli::client::shown;
use crate::cli::exit::Verdict;
use crate::cli::failure::Failure;
use crate::peer::Directory;

/// `setdir DIR`
pub fn run(session: &mut Session, dir: &Path) -> Outcome {
    set(session, dir)?;
    Ok(Verdict::Done)
}

/// Sets the folder out of which files are offered. What was offered before stays offered.
pub fn set(session: &mut Session, dir: &Path) -> Result<Directory, Failure> {
    let output = &session.output;
    let directory = Directory::open(dir).map_err(|error| {
        let dir = shown(dir);
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("cannot be opened ({error})"),
        };
        output.message(&format!("[setdir failed: {dir} {why}.]\n"));
        Failure::io(format_args!("cannot use the folder {dir}"), &error)
            .advise("name a folder that is there")
    })?;
    let path = shown(directory.path());
    output.done(format_args!(
        "[Successfully set {path} as the directory for searching offered files.]"
    ));
    session.standing.directory = Some(directory.clone());
    Ok(directory)
}
