//! What the client's command line can say besides the command, and what it means.

use std::ffi::OsStr;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use etcetera::BaseStrategy;

use crate::cli::failure::Failure;
use crate::cli::units;
use crate::client::{AddressError, ClientOptions, ServerAddress};
use crate::protocol::ErrorCode;
use crate::types::Printable;

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
        help = "The server: HOST, HOST:PORT, [IPV6]:PORT or fileshare://HOST:PORT [default: 127.0.0.1:2222]"
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
    /// How long to wait for a connection or an answer [default: 30s]
    #[arg(long, global = true, env = "FILESHARE_TIMEOUT", hide_env = true, value_name = "T", value_parser = units::parse_time)]
    pub timeout: Option<Duration>,
    /// How many connections to use at most
    #[arg(long, global = true, env = "FILESHARE_CONNECTIONS", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub connections: Option<u8>,
    /// The most bytes of file content per second, either way, like 10M
    #[arg(long, global = true, env = "FILESHARE_LIMIT_RATE", hide_env = true, value_name = "S", value_parser = units::parse_positive_size)]
    pub limit_rate: Option<u64>,
    /// How often to go on by itself after a cut; never at first contact [default: 3]
    #[arg(long, global = true, env = "FILESHARE_RETRIES", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub retries: Option<u32>,
    /// No TLS, for a trusted wire (this version has no TLS yet)
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

impl Connection {
    /// The server's address. `matches` tells what was typed and what the environment said: a
    /// typed address with a port beats a port of the environment, and the other way round.
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
        let typed = match (typed("server"), typed("port")) {
            (true, false) => Typed::Server,
            (false, true) => Typed::Port,
            _ => Typed::BothOrNeither,
        };
        resolve(server, port, typed)
    }

    /// How the client is to behave.
    pub fn options(&self) -> ClientOptions {
        let usual = ClientOptions::default();
        ClientOptions {
            timeout: self.timeout.unwrap_or(usual.timeout),
            retries: self.retries.unwrap_or(usual.retries),
            limit_rate: self.limit_rate.or(usual.limit_rate),
            state_dir: state_dir(),
        }
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

/// Which of address and port was typed while the other one stands in the environment: it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typed {
    Server,
    Port,
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
    if server_has_port && port != address.port && typed != Typed::Port {
        return Err(Failure::usage(format!(
            "--server says port {}, --port says {port}",
            address.port
        ))
        .advise("leave one of them out"));
    }
    address.port = port;
    Ok(address)
}

fn wrong_address(text: &str, error: AddressError) -> Failure {
    match error {
        AddressError::Port => wrong_port(text),
        AddressError::Malformed | AddressError::NeedsTls => {
            Failure::usage(format!("--server '{}': {error}", Printable(text)))
        }
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
    let rest = text.strip_prefix("fileshare://").unwrap_or(text);
    match rest.rsplit_once(']') {
        Some((_, after)) => after.starts_with(':'),
        None => rest.contains(':') && rest.parse::<std::net::Ipv6Addr>().is_err(),
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
            ("nas:2400", Typed::Port, 2300),
        ] {
            let address = resolve(Some(server), Some("2300"), typed).unwrap();
            assert_eq!(address.port, port, "{server} {typed:?}");
        }
    }

    #[test]
    fn a_switch_is_true_or_false() {
        assert_eq!(parse_switch("Yes"), Ok(true));
        assert_eq!(parse_switch(""), Ok(false));
        assert!(parse_switch("maybe").is_err());
    }
}
