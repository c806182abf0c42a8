//! The grammar: one for the one-shot form, the prompt and scripts (contract section 5).

mod sync;
mod walk;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::args::{Connection, Diagnosis, Display};
use super::grammar;
use crate::types::{Digest, OnConflict};

pub use sync::{EditArgs, REMOTE_MARK, SyncArgs};
pub use walk::{FilterArgs, RetryArgs, WalkArgs};

/// What stands below the options in `--help`.
const AFTER_HELP: &str = "\
Without COMMAND: the prompt, or the commands in standard input when that is no terminal. Every
option can also be given in the environment (--limit-rate as FILESHARE_LIMIT_RATE).
'help COMMAND' explains a command.

Examples:
  fileshare-client --server 192.168.1.5 put report.pdf
  fileshare-client get report.pdf -o ~/inbox/
  fileshare-client put photos --exclude '*.tmp'
  tar c project | fileshare-client put - --as project.tar";

/// Moves files to and from a fileshare-server, verified by MD5
#[derive(Debug, Parser)]
#[command(
    name = "fileshare-client",
    version,
    disable_help_subcommand = true,
    disable_help_flag = true,
    after_help = AFTER_HELP
)]
pub struct Invocation {
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort, display_order = 1000)]
    help: Option<bool>,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub diagnosis: Diagnosis,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// One line of the prompt or of a script.
#[derive(Debug, Parser)]
#[command(
    name = "",
    about = "The commands of fileshare-client; see 'help COMMAND' for one of them. !CMD runs a local shell command.",
    no_binary_name = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    subcommand_required = true
)]
pub struct Line {
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort, display_order = 1000)]
    help: Option<bool>,
    #[command(flatten)]
    pub display: Display,
    #[command(subcommand)]
    pub command: Command,
}

/// What a person can ask for.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the files below the current remote folder
    #[command(visible_aliases = ["ls", "LIST_FILES"])]
    List(ListArgs),
    /// Download files and folders, and verify them
    #[command(visible_alias = "download")]
    Get(GetArgs),
    /// Upload files and folders, and verify them
    #[command(visible_alias = "upload")]
    Put(PutArgs),
    /// Rename a file or folder on the server
    #[command(visible_aliases = ["change", "mv"])]
    Rename(RenameArgs),
    /// Remove files on the server; a folder needs -r
    #[command(visible_aliases = ["rm", "delete"])]
    Remove(RemoveArgs),
    /// Make an empty folder on the server
    Mkdir(MkdirArgs),
    /// List what was replaced or removed and is kept
    Trash(TrashArgs),
    /// Bring a replaced or removed file back
    Restore(RestoreArgs),
    /// Take back your last command that changed something
    Undo(UndoArgs),
    /// Show one entry in full
    Stat(NameArgs),
    /// Print a file
    Cat(NameArgs),
    /// Compare local files with the server's, without transferring
    Verify(VerifyArgs),
    /// Make a folder like one on the other side
    #[command(visible_alias = "mirror")]
    Sync(SyncArgs),
    /// Edit a file of the server's in $VISUAL or $EDITOR
    Edit(EditArgs),
    /// What the server says of itself
    Info,
    /// The round-trip time
    Ping,
    /// Who is connected, from where, and doing what (needs the role admin)
    Sessions,
    /// End a session (needs the role admin)
    Kick {
        /// Its number, from 'sessions'
        id: u64,
    },
    /// Be online under a name, so that other clients can fetch what you offer
    Register(RegisterArgs),
    /// Set the local folder out of which files are offered
    Setdir {
        /// The folder
        dir: PathBuf,
    },
    /// Offer files of that folder to other clients
    Offer(OfferArgs),
    /// List the files that clients offer
    Offers,
    /// List the clients that the server knows
    Peers,
    /// Download a file straight from the client that offers it
    Request(RequestArgs),
    /// Go offline
    Dereg {
        /// Your own name
        name: Option<String>,
    },
    /// Change the current remote folder ('..' and '/' work)
    Cd {
        /// The folder; without it the root
        dir: Option<String>,
    },
    /// Print the current remote folder
    Pwd,
    /// Change the local folder
    Lcd {
        /// The folder; without it your home
        dir: Option<PathBuf>,
    },
    /// Print the local folder
    Lpwd,
    /// List a local folder
    Lls {
        /// The folder; without it the current one
        dir: Option<PathBuf>,
    },
    /// Explain the commands, or one of them
    #[command(visible_alias = "?")]
    Help {
        /// The command
        command: Option<String>,
    },
    /// Leave
    #[command(visible_aliases = ["quit", "bye", "DISCONNECT"])]
    Exit,
    /// Whatever is none of these.
    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Names, folders or globs below the current remote folder
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// The order
    #[arg(long, value_enum, default_value_t, value_name = "KEY")]
    pub sort: SortKey,
    /// The other way round
    #[arg(long)]
    pub reverse: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// By name.
    #[default]
    Name,
    /// Small files first.
    Size,
    /// Old files first.
    Time,
}

#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// Names, folders, globs or id:PREFIX
    #[arg(
        value_name = "NAME",
        required_unless_present = "retry_from",
        conflicts_with = "retry_from"
    )]
    pub names: Vec<String>,
    /// The new name, or a folder to put things into (made when it ends in '/'); - for standard output
    #[arg(
        short,
        long,
        value_name = "PATH",
        allow_hyphen_values = true,
        conflicts_with = "retry_from"
    )]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub conflict: ConflictArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub retry: RetryArgs,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct PutArgs {
    /// Local files, folders or globs; - reads standard input (needs --as)
    #[arg(
        value_name = "PATH",
        required_unless_present = "retry_from",
        conflicts_with = "retry_from"
    )]
    pub paths: Vec<PathBuf>,
    /// The name to get on the server
    #[arg(
        long = "as",
        value_name = "NAME",
        allow_hyphen_values = true,
        conflicts_with = "retry_from"
    )]
    pub name: Option<String>,
    /// The remote folder to put things into, made when missing
    #[arg(
        long,
        value_name = "DIR",
        allow_hyphen_values = true,
        conflicts_with = "retry_from"
    )]
    pub to: Option<String>,
    #[command(flatten)]
    pub conflict: ConflictArgs,
    #[command(flatten)]
    pub version: IfMatch,
    #[command(flatten)]
    pub walk: WalkArgs,
    #[command(flatten)]
    pub retry: RetryArgs,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct RenameArgs {
    /// The file or folder, or id:PREFIX
    pub old: String,
    /// Its new name
    pub new: String,
    #[command(flatten)]
    pub version: IfMatch,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// Names, globs or id:PREFIX
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Folders too, with everything in them
    #[arg(short, long)]
    pub recursive: bool,
    #[command(flatten)]
    pub version: IfMatch,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct MkdirArgs {
    /// The folder; missing ones above it are made too
    #[arg(value_name = "DIR")]
    pub name: String,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct TrashArgs {
    /// Names, folders or globs below the current remote folder
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The name that the file had
    pub name: String,
    /// Which one of those that had the name; 1 is the one that went last
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub version: u32,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct UndoArgs {
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct NameArgs {
    /// A name or id:PREFIX
    pub name: String,
}

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Names or globs below both current folders; without them everything
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
    #[command(flatten)]
    pub walk: WalkArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RegisterArgs {
    /// The name under which other clients know you
    pub name: String,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ListenArgs {
    /// The TCP port on which to listen for other clients, 1024 to 65535; --port means the same here [default: the system chooses]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub listen_port: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct OfferArgs {
    /// Files of the folder that 'setdir' or --dir named; without them all of its files
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// Take these offers back, or all of them
    #[arg(long)]
    pub withdraw: bool,
    /// Register under this name first
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Set this folder first, as 'setdir' does
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// The file, as 'offers' shows it
    pub file: String,
    /// The client that offers it
    pub client: String,
    /// The new name, or a folder to put the file into (made when it ends in '/'); - for standard output
    #[arg(short, long, value_name = "PATH", allow_hyphen_values = true)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub conflict: ConflictArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ConflictArgs {
    /// What to do when a file of that name exists [default: error]
    #[arg(long, value_enum, value_name = "HOW")]
    pub on_conflict: Option<Conflict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Conflict {
    /// Fail, and say whether the content is the same.
    Error,
    /// Replace it.
    Overwrite,
    /// Keep both: the new one gets a free name.
    Rename,
    /// Leave it alone.
    Skip,
}

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Error => OnConflict::Error,
            Conflict::Overwrite => OnConflict::Overwrite,
            Conflict::Rename => OnConflict::Rename,
            Conflict::Skip => OnConflict::Skip,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct IfMatch {
    /// Only if the file that stands there has this id
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub if_match: Option<Digest>,
}

#[derive(Debug, Clone, Args)]
pub struct DryRun {
    /// Say what would be done, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Reads the arguments of the program, its name first.
pub fn parse_invocation(arguments: Vec<OsString>) -> Result<(Invocation, ArgMatches), clap::Error> {
    parse(grammar::invocation(), arguments)
}

/// Reads the words of one line of the prompt or of a script.
pub fn parse_line(words: Vec<String>) -> Result<Line, clap::Error> {
    let words = words.into_iter().map(OsString::from).collect();
    parse(grammar::line(), words).map(|(line, _)| line)
}

/// The canonical command for a word in any case, or an alias of it.
pub fn canonical(word: &str) -> Option<String> {
    Line::command()
        .get_subcommands()
        .find(|command| {
            command
                .get_name_and_visible_aliases()
                .iter()
                .any(|name| name.eq_ignore_ascii_case(word))
        })
        .map(|command| command.get_name().to_owned())
}

/// Command words ignore case: clap knows them in one form only, so a word that it does not know
/// is brought to that form, if it has one, and everything is read again.
fn parse<P: FromArgMatches>(
    grammar: clap::Command,
    mut arguments: Vec<OsString>,
) -> Result<(P, ArgMatches), clap::Error> {
    grammar::own_ports(&mut arguments);
    let read = |arguments: &[OsString]| {
        let read = grammar.clone().try_get_matches_from(arguments);
        read.map_err(|error| grammar::placed(&grammar, arguments, error))
    };
    let matches = read(&arguments)?;
    let unknown = matches
        .subcommand()
        .filter(|(word, _)| grammar.find_subcommand(word).is_none());
    if let Some((word, rest)) = unknown
        && let Some(canonical) = canonical(word)
    {
        // The unknown word swallowed everything behind it.
        let behind = rest.get_many::<OsString>("").map_or(0, |rest| rest.len());
        if let Some(word) = arguments
            .len()
            .checked_sub(behind + 1)
            .and_then(|at| arguments.get_mut(at))
        {
            *word = canonical.into();
        }
        let matches = read(&arguments)?;
        return Ok((P::from_arg_matches(&matches)?, matches));
    }
    Ok((P::from_arg_matches(&matches)?, matches))
}

fn parse_id(text: &str) -> Result<Digest, String> {
    let digits = text.strip_prefix("id:").unwrap_or(text);
    digits
        .parse()
        .map_err(|error| format!("{error}, all 32 of them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::usage::is_answer;

    fn one_shot(line: &str) -> Result<Invocation, clap::Error> {
        let arguments = shlex::split(line).unwrap();
        parse_invocation(arguments.into_iter().map(OsString::from).collect()).map(|(read, _)| read)
    }

    fn line(text: &str) -> Result<Line, clap::Error> {
        parse_line(shlex::split(text).unwrap())
    }

    #[test]
    fn the_grammar_is_sound() {
        Invocation::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn command_words_ignore_case_and_have_aliases() {
        for (words, command) in [
            ("list ls LIST LIST_FILES list_files Ls", "list"),
            ("get GET Get download DOWNLOAD", "get"),
            ("put upload Put", "put"),
            ("rename change mv MV", "rename"),
            ("remove rm delete Delete", "remove"),
            ("sync mirror Mirror", "sync"),
            ("help ? HELP", "help"),
            ("exit quit bye DISCONNECT disconnect", "exit"),
        ] {
            for word in words.split(' ') {
                assert_eq!(canonical(word).as_deref(), Some(command), "{word}");
            }
        }
        assert_eq!(canonical("lst"), None);
        assert_eq!(canonical(""), None);
        for text in ["GET a b", "Download a b", "--json gEt a b"] {
            match line(text).unwrap().command {
                Command::Get(args) => assert_eq!(args.names, ["a", "b"]),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_arguments_of_a_word_in_another_case_stay_as_they_are() {
        let read = one_shot("fileshare-client --server GET -q GET GET -o GET --json").unwrap();
        assert!(read.display.json && read.display.quiet);
        assert_eq!(read.connection.server.as_deref(), Some("GET"));
        match read.command {
            Some(Command::Get(args)) => {
                assert_eq!(args.names, ["GET"]);
                assert_eq!(args.output, Some("GET".into()));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_stand_before_or_behind_the_command() {
        for text in [
            "c --server nas --json --port 1 list a",
            "c list a --server nas --json --port 1",
            "c --json list --server nas a --port=1",
        ] {
            let read = one_shot(text).unwrap();
            assert_eq!(read.connection.server.as_deref(), Some("nas"), "{text}");
            assert_eq!(read.connection.port.as_deref(), Some("1"), "{text}");
            assert!(read.display.json, "{text}");
        }
    }

    #[test]
    fn an_unknown_word_is_left_as_it_is() {
        for text in ["frobnicate", "frobnicate --json x", "!ls", "list.x"] {
            assert!(
                matches!(line(text).unwrap().command, Command::Unknown(_)),
                "{text}"
            );
        }
        assert!(one_shot("c").unwrap().command.is_none());
    }

    #[test]
    fn wrong_usage_is_refused() {
        for text in [
            "get",
            "put",
            "rename a",
            "rename a b c",
            "list --sort colour",
            "get a --on-conflict maybe",
            "remove a --if-match 12",
            "info x",
            "exit now",
            "list --connections 3",
            "sync a",
            "sync a server: --max-delete 3",
            "sync a server: --delete --max-delete -1",
        ] {
            assert!(line(text).is_err_and(|error| !is_answer(&error)), "{text}");
        }
        for text in [
            "c --connections 0 ping",
            "c --connections 65 ping",
            "c --timeout 0 ping",
        ] {
            assert!(one_shot(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_whole() {
        let id = "d41d8cd98f00b204e9800998ecf8427e";
        assert!(parse_id(id).is_ok());
        assert_eq!(parse_id(&format!("id:{id}")), parse_id(id));
        assert!(parse_id("id:d41d8c").is_err());
    }

    #[test]
    fn every_command_explains_itself() {
        for command in Invocation::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let error = one_shot(&format!("c {name} --help")).unwrap_err();
            assert!(is_answer(&error), "{name}");
        }
        let help = Invocation::command().render_help().to_string();
        for word in [
            "LIST_FILES",
            "DISCONNECT",
            "FILESHARE_LIMIT_RATE",
            "--no-progress",
            "--retries",
        ] {
            assert!(help.contains(word), "{word}");
        }
    }
}
