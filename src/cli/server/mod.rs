//! The server's start-up: read the options, bind, open the store, say so, serve, and stop.

mod args;
mod banner;
mod config;
mod listen;
mod machine;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use self::args::Arguments;
use self::banner::Banner;
use super::exit;
use super::failure::Failure;
use super::logging::{self, Format, Level};
use super::output::{Look, Output, may_color};
use super::signals::Signals;
use super::usage::explain;
use crate::access::Role;
use crate::protocol::ErrorCode;
use crate::server::{Server, ServerOptions};
use crate::store::{Durability, NameRules, OpenError, Store, StoreOptions};
use crate::types::Printable;

const DEFAULT_ROOT: &str = "./shared";
const DEFAULT_CONNECTIONS: usize = 16_384;
const DEFAULT_IDLE: Duration = Duration::from_secs(30 * 60);

/// How long to wait at the end for work on threads of its own, after the server has stopped.
const LINGER: Duration = Duration::from_secs(5);

/// Runs the server with these arguments, its own name first, until a signal stops it, and returns
/// its exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    let output = Output::standard(Look {
        terminal: true,
        color: may_color(&io::stderr()),
        ..Look::default()
    });
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return explain(&output, &error),
    };
    match start(&output, arguments) {
        Ok(()) => exit::DONE,
        Err(failure) => {
            output.failure(&failure);
            exit::of_error(failure.code)
        }
    }
}

fn start(output: &Output, arguments: Arguments) -> Result<(), Failure> {
    let arguments = arguments.with_config()?;
    let port = arguments.port()?;
    let quiet = arguments.switches.quiet.unwrap_or(false);
    let debug = arguments.switches.debug.unwrap_or(false);
    let level = Level::chosen(Level::Info, arguments.verbose, quiet, debug);
    logging::start(
        output,
        level,
        arguments.log_format.map_or(Format::Text, Format::from),
    )?;
    let mut options = server_options(&arguments);
    options.max_connections = machine::make_room(options.max_connections);
    // Before the store: a port that is taken leaves no trace in the folder.
    let listeners = listen::listen(&arguments.bind, port)?;
    let runtime = Runtime::new().map_err(|error| Failure::io("cannot start", &error))?;
    let served = runtime.block_on(async {
        // From here on a signal stops the server instead of killing it.
        let signals =
            Signals::listen().map_err(|error| Failure::io("cannot catch signals", &error))?;
        let store = open(store_options(&arguments)).await?;
        serve(output, store, options, listeners, signals, quiet).await
    });
    runtime.shutdown_timeout(LINGER);
    served
}

async fn serve(
    output: &Output,
    store: Store,
    options: ServerOptions,
    listeners: Vec<std::net::TcpListener>,
    signals: Signals,
    quiet: bool,
) -> Result<(), Failure> {
    let wrong = |error: io::Error| Failure::io("cannot listen", &error);
    let listeners: Vec<TcpListener> = listeners
        .into_iter()
        .map(TcpListener::from_std)
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    let listening: Vec<SocketAddr> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if let Some(first) = listening.first() {
        output.line(banner::first_line(*first));
        output.flush();
    }
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(watch(signals, shutdown.clone()));
    let announcing = announce(output, &store, &options, &listening, quiet);
    let serving = Server::new(store.clone(), options.clone()).run(listeners, shutdown);
    tokio::join!(serving, announcing);
    blocking(move || store.close()).await?;
    watch.abort();
    tracing::info!("stopped");
    Ok(())
}

/// The first signal stops the server, the second one ends the program at once.
async fn watch(mut signals: Signals, shutdown: CancellationToken) {
    signals.next().await;
    tracing::info!("stopping: running transfers get 10 s, a second signal ends them at once");
    shutdown.cancel();
    let ended = exit::Ended::from(signals.next().await);
    std::process::exit(exit::of_end(&ended).into());
}

/// Tells what is served, which takes a walk through the folder; clients are served meanwhile.
/// Nothing here fails the server: whoever started it may have closed its standard output.
async fn announce(
    output: &Output,
    store: &Store,
    options: &ServerOptions,
    listening: &[SocketAddr],
    quiet: bool,
) {
    if quiet {
        return;
    }
    let (index, store) = (store.index_state(), store.clone());
    let facts = match blocking(move || store.facts()).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => return tracing::warn!(%error, "the folder cannot be counted"),
        Err(failure) => return tracing::warn!(%failure, "the folder cannot be counted"),
    };
    let banner = Banner {
        facts: &facts,
        index,
        host: &options.host,
        address: machine::address(),
        listening,
        anonymous: options.anonymous,
    };
    banner.lines().iter().for_each(|line| output.line(line));
    output.flush();
}

async fn open(options: StoreOptions) -> Result<Store, Failure> {
    let root = options.root.clone();
    blocking(move || Store::open(options))
        .await?
        .map_err(|error| refused(root, &error))
}

/// The store says itself what is wrong with the folder; what to do next follows from that.
fn refused(root: PathBuf, error: &OpenError) -> Failure {
    let root = root.to_string_lossy();
    let root = Printable(&root);
    let (code, advice) = match error {
        OpenError::InUse { .. } => (
            ErrorCode::Io,
            "stop that fileshare-server first, or serve another folder",
        ),
        OpenError::StateInRoot { .. } => (
            ErrorCode::Usage,
            "choose a --state-dir outside of the folder",
        ),
        OpenError::NotFolder { .. } => (ErrorCode::Usage, "give a folder"),
        OpenError::Io { .. } | OpenError::Index { .. } => (
            ErrorCode::Io,
            "check that the folder may be written to (a read-only one needs --state-dir), or choose another ROOT",
        ),
    };
    Failure::new(code, format!("cannot serve {root}: {error}")).advise(advice)
}

/// Work for a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(ErrorCode::Internal, format!("a thread failed: {error}")))
}

fn server_options(arguments: &Arguments) -> ServerOptions {
    ServerOptions {
        anonymous: arguments.anonymous.map_or(Role::Contributor, Role::from),
        max_connections: arguments.max_connections.unwrap_or(DEFAULT_CONNECTIONS),
        idle_timeout: arguments.idle_timeout.unwrap_or(DEFAULT_IDLE),
        limit_rate: arguments.limit_rate,
        host: machine::host_name(),
    }
}

fn store_options(arguments: &Arguments) -> StoreOptions {
    let usual = StoreOptions::new(DEFAULT_ROOT);
    StoreOptions {
        root: arguments
            .root
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT)),
        state_dir: arguments.state_dir.clone(),
        names: arguments.names.map_or(NameRules::Portable, NameRules::from),
        durability: arguments
            .durability
            .map_or(Durability::Fsync, Durability::from),
        max_file_size: arguments.max_file_size,
        quota: arguments.quota,
        keep_removed: arguments.keep_removed.unwrap_or(usual.keep_removed),
        keep_removed_size: arguments
            .keep_removed_size
            .unwrap_or(usual.keep_removed_size),
    }
}
