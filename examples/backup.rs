//! The client as a library: puts the files of a folder on a server and checks that they arrived.
//!
//! `cargo run --example backup -- 192.168.1.5:2222 ~/notes` — the server is one that is running;
//! files that are there already with the same content are not sent again.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fileshare::client::{
    Client, ClientError, ClientOptions, FileReport, ServerAddress, Source, Upload,
};
use fileshare::protocol::ErrorCode;
use fileshare::transfer::Silent;
use fileshare::types::{FileName, OnConflict, Precondition};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "give the address of a server and a folder";
    let server = arguments.next().context(usage)?;
    let folder = PathBuf::from(arguments.next().context(usage)?);
    let server: ServerAddress = server.to_str().context(usage)?.parse()?;

    let mut uploads = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            uploads.push(Upload {
                // A name that cannot be stored is refused here, before anything is sent.
                name: FileName::from_typed(&format!("backup/{name}"))?,
                source: Source::Path(entry.path()),
                on_conflict: OnConflict::Error,
                precondition: Precondition::default(),
                basis: None,
            });
        }
    }

    let mut client = Client::new(server, ClientOptions::default());
    let mut missing = 0;
    let mut report = |file: FileReport| match file.outcome {
        Ok(_) => println!("stored     {}", file.name),
        // Names that are taken are never replaced unasked; the message says what stands there.
        Err(ClientError {
            code: ErrorCode::AlreadyExists,
            message,
        }) => println!("left alone {message}"),
        Err(failure) => {
            missing += 1;
            println!("failed     {}: {failure}", file.name);
        }
    };
    client
        .put(uploads, false, Arc::new(Silent), &mut report)
        .await?;
    ensure!(missing == 0, "{missing} files are not on the server");
    Ok(())
}
