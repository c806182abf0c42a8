//! The whole tour in one command: `cargo run --release --example tour`.
//!
//! It starts a server on a temporary folder and a port that the system chooses, and then does with
//! it what people do: upload, list, download, verify, rename, remove. It prints what happens, and
//! leaves nothing behind.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use fileshare::access::Role;
use fileshare::client::{
    Client, ClientOptions, Download, FileReport, ListQuery, ServerAddress, Source, Target, Upload,
};
use fileshare::net::TlsIdentity;
use fileshare::server::{Server, ServerOptions, ServerTls};
use fileshare::store::{Places, Store, StoreOptions};
use fileshare::transfer::Silent;
use fileshare::types::{Entry, FileName, FileRef, Item, OnConflict, Precondition};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("fileshare-tour-{}", std::process::id()));
    std::fs::create_dir(&folder).context("making a temporary folder")?;
    let toured = tour(&folder).await;
    std::fs::remove_dir_all(&folder).context("removing the temporary folder")?;
    toured
}

async fn tour(folder: &Path) -> Result<()> {
    let (root, desk) = (folder.join("shared"), folder.join("desk"));
    std::fs::create_dir(&desk)?;
    std::fs::write(desk.join("hello.txt"), "Hello over there!\n")?;
    std::fs::write(desk.join("large.bin"), noise(20 << 20))?;

    // The caller binds and the caller stops; port 0 lets the system choose.
    let store = Store::open(StoreOptions::new(&root))?;
    let identity = TlsIdentity::open(&Places::open(&root, None)?.state)?;
    let options = ServerOptions {
        anonymous: Some(Role::Editor),
        tls: Some(ServerTls::new(&identity)?),
        ..ServerOptions::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    // With the fingerprint in its address there is nothing about the server to be trusted.
    let address = ServerAddress {
        fingerprint: Some(identity.fingerprint()),
        ..listener.local_addr()?.to_string().parse()?
    };
    let shutdown = CancellationToken::new();
    let server = Server::new(store.clone(), options);
    let serving = tokio::spawn(server.run(vec![listener], shutdown.clone()));
    println!("A server shares {} at {address}.", root.display());

    let mut client = Client::new(address, ClientOptions::default());
    println!(
        "A client says hello: the round trip takes {:?}.",
        client.ping().await?
    );
    visit(&mut client, &desk, &folder.join("inbox")).await?;

    shutdown.cancel();
    serving.await?;
    store.close();
    println!("\nThe server has stopped. That was the tour.");
    Ok(())
}

async fn visit(client: &mut Client, desk: &Path, inbox: &Path) -> Result<()> {
    println!("\nUploading two files as one batch:");
    let upload = |file: &str| -> Result<Upload> {
        Ok(Upload {
            source: Source::Path(desk.join(file)),
            name: FileName::parse(file)?,
            on_conflict: OnConflict::Error,
            precondition: Precondition::default(),
            basis: None,
        })
    };
    let files = vec![upload("hello.txt")?, upload("large.bin")?];
    let mut failed = 0;
    let mut count = |report: FileReport| failed += show(&report);
    client
        .put(files, false, Arc::new(Silent), &mut count)
        .await?;
    ensure!(failed == 0, "an upload failed");

    println!("\nWhat the server lists now (the id is what md5sum prints):");
    let entries = list(client).await?;
    ensure!(entries.len() == 2, "two files were expected");

    println!("\nDownloading both, the first by the beginning of its id:");
    let id = entries.first().and_then(|entry| entry.id);
    let id = id.context("a file was not hashed")?.to_string();
    let by_id = FileRef::id(&format!("id:{}", &id[..8])).context("not an id")?;
    let download = |file| Download {
        file,
        target: Target::Folder(inbox.to_owned()),
        on_conflict: OnConflict::Error,
    };
    let by_name = FileRef::Name(FileName::parse("large.bin")?);
    let files = vec![download(by_id), download(by_name)];
    let mut failed = 0;
    let mut count = |report: FileReport| failed += show(&report);
    client
        .get(files, false, Arc::new(Silent), &mut count)
        .await?;
    ensure!(failed == 0, "a download failed");

    println!("\nComparing what came with what the server has, without transferring:");
    let mut different = 0;
    let query = ListQuery::default();
    client
        .verify(&query, inbox, Arc::new(Silent), &mut |result| {
            let verdict = match &result.outcome {
                Ok(()) => "equal".to_owned(),
                Err(failure) => failure.to_string(),
            };
            different += i32::from(result.outcome.is_err());
            println!("  {}: {verdict}", result.name);
        })
        .await?;
    ensure!(different == 0, "what came is not what the server has");

    println!("\nRenaming one and removing the other:");
    let any = Precondition::default();
    let hello = FileRef::Name(FileName::parse("hello.txt")?);
    let renamed = client
        .rename(&hello, &FileName::parse("greetings/hello.txt")?, any, false)
        .await?;
    println!("  hello.txt is now {}", renamed.name());
    let large = FileRef::Name(FileName::parse("large.bin")?);
    let removed = client.remove(&large, false, any, false).await?;
    println!("  {} is gone", removed.name());
    ensure!(list(client).await?.len() == 1, "one file was expected");
    Ok(())
}

async fn list(client: &mut Client) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = 0;
    let mut each = |item| match item {
        Item::File(entry) => entries.push(entry),
        Item::Folder(_) => folders += 1,
    };
    client.list(&ListQuery::default(), &mut each).await?;
    if folders > 0 {
        bail!("no empty folder was expected");
    }
    for entry in &entries {
        let id = entry.id.map_or("-".to_owned(), |id| id.to_string());
        println!("  {id}  {:>9}  {}", entry.size, entry.name);
    }
    Ok(entries)
}

/// Prints what became of a file; 1 if it failed.
fn show(report: &FileReport) -> u32 {
    match &report.outcome {
        Ok(done) => {
            println!("  {}: {} bytes, verified", report.name, done.sent);
            0
        }
        Err(failure) => {
            println!("  {}: {failure}", report.name);
            1
        }
    }
}

/// Bytes that do not compress, the same on every run (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
