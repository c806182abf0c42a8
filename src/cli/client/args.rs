//! What the client's command line can say besides the command, and what it means.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use etcetera::BaseStrategy;

use super::password::PasswordSource;
use crate::cli::failure::Failure;
use crate::cli::units;
use crate::client::{AddressError, ClientOptions, FirstContact, ServerAddress, Trust, TrustPolicy};
use crate::protocol::ErrorCode;
use crate::types::{Compression, Printable, UserName};

const EVERY: &str = "Options of every command";

/// Which server, and how to speak to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = EVERY)]
pub struct Connection {
    /// Where the server is.
    #[arg(
        long,
        global = true,
        env = "FILESHARE_SERVER",
        hide_env = true,
        value_name = "HOST[:PORT]",
        help = "The server: HOST, HOST:PORT, [IPV6]:PORT or fileshare://USER@HOST:PORT#sha256:FINGERPRINT [default: 127.0.0.1:2222]"
    )]
    pub server: Option<String>,
    /// The server's port, when --server names none [default: 2222]
    #[arg(
        long,
        global = true,
        env = "FILESHARE_PORT",
        hide_env = true,
        value_name = "N",
        allow_hyphen_values = true
    )]
    pub port: Option<String>,
    /// Who to log in as. The password comes from --password-file, --password-command, the variable FILESHARE_PASSWORD, or a prompt
    #[arg(
        long,
        global = true,
        env = "FILESHARE_USER",
        hide_env = true,
        value_name = "NAME"
    )]
    pub user: Option<String>,
    /// The file whose first line is the password
    #[arg(
        long,
        global = true,
        env = "FILESHARE_PASSWORD_FILE",
        hide_env = true,
        value_name = "F"
    )]
    pub password_file: Option<PathBuf>,
    /// The shell command that prints the password in its first line
    #[arg(
        long,
        global = true,
        env = "FILESHARE_PASSWORD_COMMAND",
        hide_env = true,
        value_name = "CMD"
    )]
    pub password_command: Option<String>,
    /// What to do with the key of a server that was never met; a changed key is always refused
    #[arg(
        long,
        global = true,
        env = "FILESHARE_TRUST",
        hide_env = true,
        value_enum,
        default_value_t,
        value_name = "HOW"
    )]
    pub trust: TrustChoice,
    /// How long to wait for a connection or an answer [default: 30s]
    #[arg(long, global = true, env = "FILESHARE_TIMEOUT", hide_env = true, value_name = "T", value_parser = units::parse_time)]
    pub timeout: Option<Duration>,
    /// How many connections a batch of files uses at most [default: 1]
    #[arg(long, global = true, env = "FILESHARE_CONNECTIONS", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub connections: Option<u8>,
    /// The most bytes of file content per second, either way, like 10M
    #[arg(long, global = true, env = "FILESHARE_LIMIT_RATE", hide_env = true, value_name = "S", value_parser = units::parse_positive_size)]
    pub limit_rate: Option<u64>,
    /// When to compress file content on its way: auto where that makes the transfer faster, always wherever it gets smaller
    #[arg(
        long,
        global = true,
        env = "FILESHARE_COMPRESS",
        hide_env = true,
        value_enum,
        default_value_t,
        value_name = "WHEN"
    )]
    pub compress: CompressChoice,
    /// How often to go on by itself after a cut; never at first contact [default: 3]
    #[arg(long, global = true, env = "FILESHARE_RETRIES", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub retries: Option<u32>,
    /// No TLS, for a trusted wire (both sides must say it)
    #[arg(long, global = true, env = "FILESHARE_PLAINTEXT", hide_env = true, value_parser = parse_switch)]
    pub plaintext: bool,
}

/// What to print, and how; can be given for a single line of the prompt or a script too.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = EVERY)]
pub struct Display {
    /// One JSON object a line on standard output
    #[arg(long, global = true, env = "FILESHARE_JSON", hide_env = true, value_parser = parse_switch)]
    pub json: bool,
    /// Print nothing but what was asked for, and errors
    #[arg(short, long, global = true, env = "FILESHARE_QUIET", hide_env = true, value_parser = parse_switch)]
    pub quiet: bool,
    /// Draw no progress bars
    #[arg(long, global = true, env = "FILESHARE_NO_PROGRESS", hide_env = true, value_parser = parse_switch)]
    pub no_progress: bool,
}

/// What to say of the program's own doing.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = EVERY)]
pub struct Diagnosis {
    /// Say more of what happens; twice for even more
    #[arg(short, long, global = true, env = "FILESHARE_VERBOSE", hide_env = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say all that helps to find a fault
    #[arg(long, global = true, env = "FILESHARE_DEBUG", hide_env = true, value_parser = parse_switch)]
    pub debug: bool,
    /// Colours: auto obeys NO_COLOR
    #[arg(
        long,
        global = true,
        env = "FILESHARE_COLOR",
        hide_env = true,
        value_enum,
        default_value_t,
        value_name = "WHEN"
    )]
    pub color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do with the key of a server that was never met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TrustChoice {
    /// Accept it, remember it, and say so.
    #[default]
    AcceptNew,
    /// Ask at the terminal.
    Ask,
    /// Refuse it.
    Strict,
}

impl From<TrustChoice> for TrustPolicy {
    fn from(choice: TrustChoice) -> Self {
        match choice {
            TrustChoice::AcceptNew => TrustPolicy::AcceptNew,
            TrustChoice::Ask => TrustPolicy::Ask,
            TrustChoice::Strict => TrustPolicy::Strict,
        }
    }
}

/// When to compress file content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CompressChoice {
    /// Where that makes the transfer faster.
    #[default]
    Auto,
    /// Wherever it gets smaller.
    Always,
    /// Never.
    Never,
}

impl From<CompressChoice> for Compression {
    fn from(choice: CompressChoice) -> Self {
        match choice {
            CompressChoice::Auto => Compression::Auto,
            CompressChoice::Always => Compression::Always,
            CompressChoice::Never => Compression::Never,
        }
    }
}

impl Connection {
    /// The server's address, with the user to log in as. `matches` tells what was typed and what
    /// the environment said: a typed address with a port or user beats a port or user of the
    /// environment, and the other way round.
    pub fn address(&self, matches: &ArgMatches) -> Result<ServerAddress, Failure> {
        let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        // An empty variable is the shell's way of having none.
        let server = self
            .server
            .as_deref()
            .filter(|text| !text.is_empty() || typed("server"));
        let port = self
            .port
            .as_deref()
            .filter(|text| !text.is_empty() || typed("port"));
        let user = self
            .user
            .as_deref()
            .filter(|text| !text.is_empty() || typed("user"));
        let beside = |id| match (typed("server"), typed(id)) {
            (true, false) => Typed::Server,
            (false, true) => Typed::Other,
            _ => Typed::BothOrNeither,
        };
        let mut address = resolve(server, port, beside("port"))?;
        address.user = resolve_user(address.user, user, beside("user"))?;
        Ok(address)
    }

    /// How the client is to behave, and who hears of servers that it meets.
    pub fn options(&self, first_contact: Arc<dyn FirstContact>) -> ClientOptions {
        let usual = ClientOptions::default();
        ClientOptions {
            timeout: self.timeout.unwrap_or(usual.timeout),
            retries: self.retries.unwrap_or(usual.retries),
            limit_rate: self.limit_rate.or(usual.limit_rate),
            connections: self.connections.map_or(usual.connections, usize::from),
            compression: self.compress.into(),
            state_dir: state_dir(),
            plaintext: self.plaintext,
            trust: Trust {
                policy: self.trust.into(),
                first_contact,
                ..usual.trust
            },
            login: None,
        }
    }

    /// Where the password of `user` is to come from: what was typed, the environment, or whoever
    /// sits at the terminal. Without a user there is none to be had.
    pub fn password(
        &self,
        matches: &ArgMatches,
        user: Option<&UserName>,
    ) -> Result<PasswordSource, Failure> {
        let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let file = self.password_file.clone().map(PasswordSource::File);
        let command = self.password_command.clone().map(PasswordSource::Command);
        let file_typed = file.clone().filter(|_| typed("password_file"));
        let command_typed = command.clone().filter(|_| typed("password_command"));
        if file_typed.is_some() && command_typed.is_some() {
            let message = "--password-file and --password-command are two ways to one password";
            return Err(Failure::usage(message).advise("leave one of them out"));
        }
        let typed = file_typed.or(command_typed);
        if typed.is_some() && user.is_none() {
            let message = "a password without a user";
            return Err(Failure::usage(message).advise("say whose it is with --user"));
        }
        Ok(typed
            .or_else(PasswordSource::in_environment)
            .or(file.filter(PasswordSource::is_named))
            .or(command.filter(PasswordSource::is_named))
            .unwrap_or(PasswordSource::Terminal))
    }
}

/// Where this user's state is kept: `$XDG_STATE_HOME/fileshare` or what the system has for it.
pub fn state_dir() -> Option<std::path::PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Some(state.join("fileshare"))
}

/// What can be told from arguments that do not parse: how to say so.
pub fn wants_json<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> bool {
    let before_end = arguments
        .into_iter()
        .take_while(|argument| *argument != "--");
    let set = |value: String| parse_switch(&value) == Ok(true);
    before_end.into_iter().any(|argument| argument == "--json")
        || std::env::var("FILESHARE_JSON").is_ok_and(set)
}

/// Reads a switch in the environment. An empty variable is the shell's way of having none.
fn parse_switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "y" | "yes" | "t" | "true" | "on" => Ok(true),
        "" | "0" | "n" | "no" | "f" | "false" | "off" => Ok(false),
        _ => Err("must be true or false, in the environment too".to_owned()),
    }
}

/// Which of the address and what stands beside it (port, user) was typed while the other one stands
/// in the environment: it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typed {
    Server,
    Other,
    BothOrNeither,
}

fn resolve(
    server: Option<&str>,
    port: Option<&str>,
    typed: Typed,
) -> Result<ServerAddress, Failure> {
    let mut address = match server {
        Some(text) => text.parse().map_err(|error| wrong_address(text, error))?,
        None => ServerAddress::default(),
    };
    let server_has_port = server.is_some_and(names_a_port);
    let port = match port {
        Some(text) if !(typed == Typed::Server && server_has_port) => parse_port(text)?,
        _ => return Ok(address),
    };
    if server_has_port && port != address.port && typed != Typed::Other {
        return Err(Failure::usage(format!(
            "--server says port {}, --port says {port}",
            address.port
        ))
        .advise("leave one of them out"));
    }
    address.port = port;
    Ok(address)
}

fn resolve_user(
    in_url: Option<UserName>,
    named: Option<&str>,
    typed: Typed,
) -> Result<Option<UserName>, Failure> {
    let named = named.map(|text| {
        let wrong = |error| Failure::usage(format!("--user '{}': {error}", Printable(text)));
        text.parse::<UserName>().map_err(wrong)
    });
    match (in_url, named.transpose()?) {
        (Some(in_url), Some(named)) if in_url != named => match typed {
            Typed::Server => Ok(Some(in_url)),
            Typed::Other => Ok(Some(named)),
            Typed::BothOrNeither => Err(Failure::usage(format!(
                "--server names the user {in_url}, --user {named}"
            ))
            .advise("leave one of them out")),
        },
        (in_url, named) => Ok(in_url.or(named)),
    }
}

fn wrong_address(text: &str, error: AddressError) -> Failure {
    match error {
        AddressError::Port => wrong_port(text),
        // A password may stand in it, which is not to be repeated.
        error if text.contains('@') => Failure::usage(format!("--server: {error}")),
        error => Failure::usage(format!("--server '{}': {error}", Printable(text))),
    }
}

fn parse_port(text: &str) -> Result<u16, Failure> {
    text.parse()
        .ok()
        .filter(|port| *port != 0 && text.bytes().all(|digit| digit.is_ascii_digit()))
        .ok_or_else(|| wrong_port(text))
}

fn wrong_port(text: &str) -> Failure {
    let message = format!("[Invalid server port] '{}'", Printable(text));
    Failure::new(ErrorCode::InvalidPort, message).advise("give a number from 1 to 65535")
}

/// Whether an address that parses has a port in it: `ServerAddress` does not tell.
fn names_a_port(text: &str) -> bool {
    let place = match text.split_once("://") {
        Some((_, rest)) => {
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            place.split_once('#').map_or(place, |(place, _)| place)
        }
        None => text,
    };
    match place.rsplit_once(']') {
        Some((_, after)) => after.starts_with(':'),
        None => place.contains(':') && place.parse::<std::net::Ipv6Addr>().is_err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_of(server: Option<&str>, port: Option<&str>) -> Result<u16, ErrorCode> {
        resolve(server, port, Typed::BothOrNeither)
            .map(|address| address.port)
            .map_err(|failure| failure.code)
    }

    #[test]
    fn a_port_fills_in_and_may_not_disagree() {
        for (server, port, expected) in [
            (None, None, Ok(2222)),
            (None, Some("2300"), Ok(2300)),
            (Some("nas"), None, Ok(2222)),
            (Some("nas"), Some("2300"), Ok(2300)),
            (Some("nas:2400"), None, Ok(2400)),
            (Some("nas:2400"), Some("2400"), Ok(2400)),
            (Some("nas:2400"), Some("2300"), Err(ErrorCode::Usage)),
            (Some("::1"), Some("2300"), Ok(2300)),
            (Some("[::1]"), Some("2300"), Ok(2300)),
            (Some("[::1]:1"), Some("2300"), Err(ErrorCode::Usage)),
            (Some("fileshare://nas:1/"), Some("2"), Err(ErrorCode::Usage)),
            (Some("fileshare://nas/"), Some("2"), Ok(2)),
            (Some("fileshare://bob@nas"), Some("2"), Ok(2)),
            (
                Some("fileshare://bob@nas:1"),
                Some("2"),
                Err(ErrorCode::Usage),
            ),
            (Some("nas:0"), None, Err(ErrorCode::InvalidPort)),
            (Some("a b"), None, Err(ErrorCode::Usage)),
        ] {
            assert_eq!(port_of(server, port), expected, "{server:?} {port:?}");
        }
    }

    #[test]
    fn a_bad_port_says_so() {
        for port in ["0", "65536", "-1", "+1", "x", "", "22 ", "²"] {
            let failure = resolve(None, Some(port), Typed::BothOrNeither).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidPort, "{port}");
            assert!(failure.message.starts_with("[Invalid server port]"));
        }
    }

    #[test]
    fn what_was_typed_beats_the_environment() {
        for (server, typed, port) in [
            ("nas:2400", Typed::Server, 2400),
            ("nas", Typed::Server, 2300),
            ("nas:2400", Typed::Other, 2300),
        ] {
            let address = resolve(Some(server), Some("2300"), typed).unwrap();
            assert_eq!(address.port, port, "{server} {typed:?}");
        }
    }

    #[test]
    fn a_user_in_the_address_and_beside_it_may_not_disagree() {
        let user = |name: &str| Some(name.parse::<UserName>().unwrap());
        let both = Typed::BothOrNeither;
        for (in_url, named, typed, expected) in [
            (None, None, both, Ok(None)),
            (user("bob"), None, both, Ok(user("bob"))),
            (None, Some("bob"), both, Ok(user("bob"))),
            (user("bob"), Some("bob"), both, Ok(user("bob"))),
            (user("bob"), Some("eve"), both, Err(ErrorCode::Usage)),
            (user("bob"), Some("eve"), Typed::Server, Ok(user("bob"))),
            (user("bob"), Some("eve"), Typed::Other, Ok(user("eve"))),
            (None, Some("b b"), both, Err(ErrorCode::Usage)),
            (None, Some(""), both, Err(ErrorCode::Usage)),
        ] {
            let resolved = resolve_user(in_url, named, typed).map_err(|failure| failure.code);
            assert_eq!(resolved, expected, "{named:?} {typed:?}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_not_repeated() {
        for text in [
            "fileshare://bob:canary@nas",
            "fileshare://bob@canary:x@nas:1",
            "bob:canary@nas",
        ] {
            let failure = resolve(Some(text), None, Typed::BothOrNeither).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Usage, "{text}");
            assert!(!failure.message.contains("canary"), "{failure}");
        }
    }

    #[test]
    fn a_switch_is_true_or_false() {
        assert_eq!(parse_switch("Yes"), Ok(true));
        assert_eq!(parse_switch(""), Ok(false));
        assert!(parse_switch("maybe").is_err());
    }
}
