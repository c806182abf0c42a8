//! What the server's program does besides serving: `user` and `identity` (contract section 3).
//! Both work while a server runs on the same folder.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::args::Arguments;
use super::password::PasswordFrom;
use super::scrub::{self, ScrubArgs};
use super::{open_identity, places, root_of, show, shown_identity};
use crate::access::{Account, Accounts, AccountsError, PasswordHash, Role};
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::protocol::ErrorCode;
use crate::store::Places;
use crate::types::{RESERVED_PREFIX, UserName};

/// See `fileshare-server --help`.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Who may log in: add, passwd, role, remove, list
    #[command(subcommand, disable_help_subcommand = true)]
    User(UserCommand),
    /// Read every stored file again and compare it with its recorded id
    Scrub(ScrubArgs),
    /// Print the fingerprint that clients see
    Identity {
        /// The folder that the server serves [default: ./shared]
        root: Option<PathBuf>,
        #[command(flatten)]
        state: StateDir,
    },
}

/// See `fileshare-server user --help`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user
    Add {
        /// What to log in as
        name: UserName,
        /// What the user may do: reader, contributor, editor or admin
        #[arg(long, value_name = "ROLE", value_parser = parse_role, default_value = "contributor")]
        role: Role,
        #[command(flatten)]
        password: PasswordFrom,
        #[command(flatten)]
        at: At,
    },
    /// Give a user another password; sessions with the old one end
    Passwd {
        /// Whose password
        name: UserName,
        #[command(flatten)]
        password: PasswordFrom,
        #[command(flatten)]
        at: At,
    },
    /// Give a user another role, in open sessions too
    Role {
        /// Whose role
        name: UserName,
        /// What the user may do: reader, contributor, editor or admin
        #[arg(value_parser = parse_role)]
        role: Role,
        #[command(flatten)]
        at: At,
    },
    /// Remove a user; open sessions end
    Remove {
        /// Which user
        name: UserName,
        #[command(flatten)]
        at: At,
    },
    /// List the users and their roles
    List {
        #[command(flatten)]
        at: At,
    },
}

/// Which server is meant.
#[derive(Debug, Args)]
pub struct At {
    /// The folder that the server serves [default: ./shared]
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    #[command(flatten)]
    state: StateDir,
}

/// Where a server keeps its own files, as it was told itself.
#[derive(Debug, Args)]
pub struct StateDir {
    /// The server's own files [default: ROOT/.fileshare]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The server's TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs a command; `arguments` is what was said before it, and in the environment.
pub fn run(output: &Output, arguments: Arguments, command: ServerCommand) -> Result<u8, Failure> {
    match command {
        ServerCommand::Scrub(args) => scrub::run(output, arguments, args),
        ServerCommand::Identity { root, state } => {
            let arguments = meant(arguments, root, state)?;
            let root = root_of(&arguments);
            if !root.is_dir() {
                return Err(no_folder(&root).advise("say which folder the server serves"));
            }
            let places = places(&arguments)?;
            let own = arguments.tls_cert.is_none() && arguments.tls_key.is_none();
            let shown = own.then(|| shown_identity(&places)).flatten();
            output.line(match shown {
                Some(shown) => shown,
                None => open_identity(&arguments, &places)?.fingerprint(),
            });
            Ok(exit::DONE)
        }
        ServerCommand::User(command) => user(output, arguments, command).map(|()| exit::DONE),
    }
}

fn user(output: &Output, arguments: Arguments, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add {
            name,
            role,
            password,
            at,
        } => {
            let arguments = meant(arguments, at.root, at.state)?;
            let accounts = accounts(&places(&arguments)?);
            // Before anybody types a password in vain.
            let known = accounts.list().map_err(explain)?;
            if known.iter().any(|account| account.name == name) {
                return Err(explain(AccountsError::Exists(name)));
            }
            let hash = hash(&password, output, &name)?;
            let account = Account {
                name: name.clone(),
                role,
                hash,
            };
            accounts.add(account).map_err(explain)?;
            output.line(format!("Added the user {name} with the role {role}"));
            if known.is_empty() {
                output.note(
                    "Clients without a user may do nothing from now on, \
                     unless the server is run with --anonymous",
                );
            }
        }
        UserCommand::Passwd { name, password, at } => {
            let accounts = existing(arguments, at, &name)?;
            let hash = hash(&password, output, &name)?;
            accounts.set_password(&name, hash).map_err(explain)?;
            output.line(format!("The user {name} has another password"));
        }
        UserCommand::Role { name, role, at } => {
            let accounts = existing(arguments, at, &name)?;
            accounts.set_role(&name, role).map_err(explain)?;
            output.line(format!("The user {name} has the role {role}"));
        }
        UserCommand::Remove { name, at } => {
            let accounts = existing(arguments, at, &name)?;
            accounts.remove(&name).map_err(explain)?;
            output.line(format!("Removed the user {name}"));
        }
        UserCommand::List { at } => {
            let Some(accounts) = opened(meant(arguments, at.root, at.state)?)? else {
                return Ok(());
            };
            for account in accounts.list().map_err(explain)? {
                output.line(format!("{}\t{}", account.name, account.role));
            }
        }
    }
    Ok(())
}

/// What was said behind the command beats what was said before it, which beats the config file.
pub fn meant(
    arguments: Arguments,
    root: Option<PathBuf>,
    state: StateDir,
) -> Result<Arguments, Failure> {
    let arguments = Arguments {
        root: root.or(arguments.root),
        state_dir: state.state_dir.or(arguments.state_dir),
        config: state.config.or(arguments.config),
        ..arguments
    };
    arguments.with_config()
}

fn accounts(places: &Places) -> Accounts {
    Accounts::new(&places.state, &places.state_path)
}

/// The accounts of a server that has been run before; `None` when it has no state yet. Makes
/// nothing.
fn opened(arguments: Arguments) -> Result<Option<Accounts>, Failure> {
    let root = root_of(&arguments);
    if !root.is_dir() {
        return Err(no_folder(&root).advise("say with --root which folder the server serves"));
    }
    let state = arguments.state_dir.clone();
    if !state.unwrap_or(root.join(RESERVED_PREFIX)).is_dir() {
        return Ok(None);
    }
    places(&arguments).map(|places| Some(accounts(&places)))
}

fn no_folder(root: &Path) -> Failure {
    let message = format!("there is no folder {}", show(root));
    Failure::new(ErrorCode::NotFound, message)
}

/// The accounts of a server that knows this user.
fn existing(arguments: Arguments, at: At, name: &UserName) -> Result<Accounts, Failure> {
    let unknown = || explain(AccountsError::Unknown(name.clone()));
    let accounts = opened(meant(arguments, at.root, at.state)?)?.ok_or_else(unknown)?;
    let known = accounts.list().map_err(explain)?;
    match known.iter().any(|account| account.name == *name) {
        true => Ok(accounts),
        false => Err(unknown()),
    }
}

fn hash(
    password: &PasswordFrom,
    output: &Output,
    user: &UserName,
) -> Result<PasswordHash, Failure> {
    let password = password.get(output, user)?;
    PasswordHash::of(&password).map_err(|error| {
        let message = format!("the password cannot be hashed: {error}");
        Failure::new(ErrorCode::Internal, message)
    })
}

/// What is wrong with the accounts, and what to do next.
fn explain(error: AccountsError) -> Failure {
    let (code, advice) = match &error {
        AccountsError::Exists(_) => (
            ErrorCode::AlreadyExists,
            "'user passwd' gives it another password, 'user role' another role",
        ),
        AccountsError::Unknown(_) => (
            ErrorCode::NotFound,
            "see 'fileshare-server user list', and say with --root which server is meant",
        ),
        AccountsError::Missing(_) => (ErrorCode::Io, "until then nobody is let in"),
        AccountsError::Malformed { .. } => (
            ErrorCode::Io,
            "correct or remove that line; until then nobody is let in",
        ),
        AccountsError::Io { .. } => (
            ErrorCode::Io,
            "run this as the user who runs the server, and look at the disk",
        ),
    };
    Failure::new(code, error.to_string()).advise(advice)
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_name(text)
        .filter(|role| *role != Role::None)
        .ok_or_else(|| "a role is reader, contributor, editor or admin".to_owned())
}
