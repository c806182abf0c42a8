//! The server's start-up: read the options, bind, open folders and key, give up everything else,
//! open the store, say so, serve, and stop.

mod args;
mod banner;
mod command;
mod config;
mod confine;
mod listen;
mod machine;
mod password;
mod scrub;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use self::args::{Arguments, Durable};
use self::banner::{Access, Banner};
use super::exit;
use super::failure::Failure;
use super::logging::{self, Format, Level};
use super::output::{Look, Output, may_color};
use super::signals::Signals;
use super::usage::explain;
use crate::access::{Accounts, Role};
use crate::disk::Document;
use crate::net::{IdentityError, TlsIdentity};
use crate::protocol::ErrorCode;
use crate::server::{RelayOptions, Server, ServerOptions, ServerTls};
use crate::store::{Durability, NameRules, OpenError, Places, Store, StoreOptions};
use crate::types::{Fingerprint, Printable};

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
    let mut arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return explain(&output, &error),
    };
    let done = match arguments.command.take() {
        None => start(&output, arguments).map(|()| exit::DONE),
        Some(command) => command::run(&output, arguments, command),
    };
    output.flush();
    match done {
        Ok(code) => code,
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
    let connections = arguments.max_connections.unwrap_or(DEFAULT_CONNECTIONS);
    let connections = machine::make_room(connections);
    // Before the folders: a port that is taken leaves no trace in them.
    let listeners = listen::listen(&arguments.bind, port)?;
    let places = places(&arguments)?;
    let tls = tls(&arguments, &places)?;
    let accounts = Accounts::new(&places.state, &places.state_path);
    // How many processors there are is told by files that are out of reach afterwards.
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    // Threads are confined by the one that starts them: there must be no other one yet.
    let confined = confine::confine(
        &places.root_path,
        &places.state_path,
        &files_read_later(&arguments),
    );
    let options = ServerOptions {
        anonymous: arguments.anonymous.map(Role::from),
        accounts: Some(accounts),
        tls,
        max_connections: connections,
        idle_timeout: arguments.idle_timeout.unwrap_or(DEFAULT_IDLE),
        limit_rate: arguments.limit_rate,
        relay: RelayOptions {
            allowed: !arguments.switches.no_relay.unwrap_or(false),
            limit_rate: arguments.relay_limit_rate,
            limit: arguments.relay_limit,
        },
        host: machine::host_name(),
        confined,
    };
    let store_options = store_options(&arguments, &places);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start", &error))?;
    let served = runtime.block_on(async {
        // From here on a signal stops the server instead of killing it.
        let signals =
            Signals::listen().map_err(|error| Failure::io("cannot catch signals", &error))?;
        let store = open(store_options).await?;
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
    let (accounts, chosen) = (options.accounts.clone(), options.anonymous);
    let looked = blocking(move || (store.facts(), access(accounts.as_ref(), chosen))).await;
    let (facts, access) = match looked {
        Ok((Ok(facts), access)) => (facts, access),
        Ok((Err(error), _)) => return tracing::warn!(%error, "the folder cannot be counted"),
        Err(failure) => return tracing::warn!(%failure, "the folder cannot be counted"),
    };
    let banner = Banner {
        facts: &facts,
        index,
        host: &options.host,
        address: machine::address(),
        listening,
        fingerprint: options.tls.as_ref().map(ServerTls::fingerprint),
        access,
    };
    banner.lines().iter().for_each(|line| output.line(line));
    output.flush();
}

/// Who may do what at this moment; `None` when the accounts cannot be read.
fn access(accounts: Option<&Accounts>, chosen: Option<Role>) -> Option<Access> {
    let accounts = accounts?;
    let users = accounts.users().ok()?;
    Some(Access {
        anonymous: accounts.anonymous_role(chosen).ok()?,
        users: users.map_or(0, |users| users.count()),
    })
}

/// What may be read while the server runs, outside of its folders.
fn files_read_later(arguments: &Arguments) -> Vec<PathBuf> {
    let files = [&arguments.config, &arguments.tls_cert, &arguments.tls_key];
    files.into_iter().flatten().cloned().collect()
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
        OpenError::NeverServed { .. } => (
            ErrorCode::NotFound,
            "give the folder that a fileshare-server has served, and its --state-dir",
        ),
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

fn root_of(arguments: &Arguments) -> PathBuf {
    let root = arguments.root.clone();
    root.unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT))
}

/// The folders of the server, made when they are missing.
fn places(arguments: &Arguments) -> Result<Places, Failure> {
    let root = root_of(arguments);
    let places = Places::open(&root, arguments.state_dir.as_deref());
    places.map_err(|error| refused(root, &error))
}

/// What connections are encrypted with, unless they are to be plaintext.
fn tls(arguments: &Arguments, places: &Places) -> Result<Option<ServerTls>, Failure> {
    if arguments.switches.plaintext == Some(true) {
        if arguments.tls_cert.is_some() || arguments.tls_key.is_some() {
            return Err(
                Failure::usage("without TLS there is no use for a certificate")
                    .advise("leave out --plaintext, or --tls-cert and --tls-key"),
            );
        }
        return Ok(None);
    }
    let identity = open_identity(arguments, places)?;
    note_identity(
        places,
        arguments.tls_cert.as_ref().map(|_| identity.fingerprint()),
    );
    let tls = ServerTls::new(&identity);
    tls.map(Some)
        .map_err(|error| Failure::new(ErrorCode::Io, error.to_string()))
}

/// Where it stands which certificate of one's own the server was started with last.
fn certificate_note(places: &Places) -> Document {
    Document::new(&places.state, "certificate", 1024)
}

/// Notes what clients see of a certificate of one's own, so that `identity` knows; `None` when the
/// server uses the key that it made itself.
fn note_identity(places: &Places, certificate: Option<Fingerprint>) {
    let note = certificate_note(places);
    let text = certificate.map(|seen| seen.to_string()).unwrap_or_default();
    if text.is_empty() && matches!(note.facts(), Ok(None)) {
        return;
    }
    if let Err(error) = note.update(|_| Ok::<_, io::Error>(text.into_bytes())) {
        tracing::warn!(%error, "the certificate's fingerprint cannot be noted for 'identity'");
    }
}

/// What clients saw of the certificate that the server was started with last, if that was one's
/// own.
fn shown_identity(places: &Places) -> Option<Fingerprint> {
    let noted = certificate_note(places).read().ok()??;
    str::from_utf8(&noted).ok()?.parse().ok()
}

/// The key that the server proves itself with: one's own, or the one made at the first start.
fn open_identity(arguments: &Arguments, places: &Places) -> Result<TlsIdentity, Failure> {
    let (cert, key) = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => {
            return TlsIdentity::open(&places.state).map_err(|error| {
                let what = format!("the server's key in {}", show(&places.state_path));
                Failure::new(ErrorCode::Io, format!("{what} cannot be used: {error}")).advise(
                    "put it back from a backup; without one, remove it, and clients have to \
                     be told the fingerprint of the new one",
                )
            });
        }
        _ => {
            return Err(Failure::usage(
                "a certificate is of no use without its key, and the reverse",
            )
            .advise("give both --tls-cert and --tls-key, or neither"));
        }
    };
    TlsIdentity::from_files(cert, key).map_err(|error| {
        let message = match &error {
            IdentityError::Unusable(_) => format!("{}, {}: {error}", show(cert), show(key)),
            _ => error.to_string(),
        };
        Failure::usage(message)
            .advise("give --tls-cert and --tls-key PEM files that belong together")
    })
}

fn store_options(arguments: &Arguments, places: &Places) -> StoreOptions {
    let usual = StoreOptions::new(&places.root_path);
    if arguments.durability.is_some_and(|how| how == Durable::None) {
        tracing::warn!("--durability none: a power cut may take what was acknowledged");
    }
    StoreOptions {
        root: places.root_path.clone(),
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

fn show(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}
