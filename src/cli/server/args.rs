//! What the server's command line and environment can say (contract section 3).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Parser, ValueEnum};

use super::command::ServerCommand;
use crate::access::Role;
use crate::cli::failure::Failure;
use crate::cli::logging::Format;
use crate::cli::units;
use crate::client::DEFAULT_PORT;
use crate::protocol::ErrorCode;
use crate::store::{Durability, NameRules};

/// What stands below the options in `--help`.
const AFTER_HELP: &str = "\
Sizes take K, M, G, T (powers of 1024), times s, m, h, d. Every option can also be given in the
environment (--max-file-size as FILESHARE_MAX_FILE_SIZE) or in the TOML file of --config
(max-file-size = \"1G\"): flag beats environment beats file.

Examples:
  fileshare-server                                serve ./shared on port 2222
  fileshare-server --port 2300 --anonymous reader ~/music
  fileshare-server --anonymous editor --quota 50G --limit-rate 20M /srv/exchange
  fileshare-server user add anna --role editor --root /srv/exchange";

/// Serves a folder: clients list it, upload to it, download from it
#[derive(Debug, Default, Parser)]
#[command(
    name = "fileshare-server",
    version,
    disable_help_flag = true,
    disable_help_subcommand = true,
    override_usage = "fileshare-server [OPTIONS] [ROOT]\n       fileshare-server user|identity|scrub …",
    after_help = AFTER_HELP
)]
pub struct Arguments {
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort, display_order = 1000)]
    pub help: Option<bool>,
    /// The folder to serve, made when missing [default: ./shared]
    #[arg(env = "FILESHARE_ROOT", hide_env = true)]
    pub root: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<ServerCommand>,
    /// The TCP port, 1024 to 65535; 0 lets the system choose [default: 2222]
    #[arg(
        long,
        env = "FILESHARE_PORT",
        hide_env = true,
        value_name = "N",
        allow_hyphen_values = true
    )]
    pub port: Option<String>,
    #[command(flatten)]
    pub switches: Switches,
    /// An address to listen on; can be given more than once [default: all, IPv4 and IPv6]
    #[arg(long, env = "FILESHARE_BIND", hide_env = true, value_name = "ADDR", value_delimiter = ',', value_parser = parse_address)]
    pub bind: Vec<IpAddr>,
    /// What a client without an account may do [default: contributor, and none once there are users]
    #[arg(
        long,
        env = "FILESHARE_ANONYMOUS",
        hide_env = true,
        value_name = "ROLE",
        value_enum
    )]
    pub anonymous: Option<Anonymous>,
    /// A certificate of your own (PEM, with what vouches for it) instead of a self-signed one
    #[arg(long, env = "FILESHARE_TLS_CERT", hide_env = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "FILESHARE_TLS_KEY", hide_env = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Which names may be created: those that every system can store, or what this one can [default: portable]
    #[arg(
        long,
        env = "FILESHARE_NAMES",
        hide_env = true,
        value_name = "RULES",
        value_enum
    )]
    pub names: Option<Names>,
    /// The server's own files, outside of ROOT [default: ROOT/.fileshare]
    #[arg(long, env = "FILESHARE_STATE_DIR", hide_env = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The most connections at once [default: 16384]
    #[arg(long, env = "FILESHARE_MAX_CONNECTIONS", hide_env = true, value_name = "N", value_parser = parse_connections)]
    pub max_connections: Option<usize>,
    /// Close a connection that is idle for so long [default: 30m]
    #[arg(long, env = "FILESHARE_IDLE_TIMEOUT", hide_env = true, value_name = "T", value_parser = units::parse_time)]
    pub idle_timeout: Option<Duration>,
    /// The largest file to take [default: none]
    #[arg(long, env = "FILESHARE_MAX_FILE_SIZE", hide_env = true, value_name = "S", value_parser = units::parse_size)]
    pub max_file_size: Option<u64>,
    /// The most bytes to store in all [default: none]
    #[arg(long, env = "FILESHARE_QUOTA", hide_env = true, value_name = "S", value_parser = units::parse_size)]
    pub quota: Option<u64>,
    /// Keep what is replaced or removed for so long; 0 keeps nothing [default: 7d]
    #[arg(long, env = "FILESHARE_KEEP_REMOVED", hide_env = true, value_name = "T", value_parser = units::parse_time_or_none)]
    pub keep_removed: Option<Duration>,
    /// Keep so many bytes of it at most; 0 keeps nothing [default: 1G]
    #[arg(long, env = "FILESHARE_KEEP_REMOVED_SIZE", hide_env = true, value_name = "S", value_parser = units::parse_size)]
    pub keep_removed_size: Option<u64>,
    /// The most bytes of file content per second, each way [default: none]
    #[arg(long, env = "FILESHARE_LIMIT_RATE", hide_env = true, value_name = "S", value_parser = units::parse_positive_size)]
    pub limit_rate: Option<u64>,
    /// The most bytes per second that are relayed between clients, all together [default: none]
    #[arg(long, env = "FILESHARE_RELAY_LIMIT_RATE", hide_env = true, value_name = "S", value_parser = units::parse_positive_size)]
    pub relay_limit_rate: Option<u64>,
    /// The most bytes that are relayed between clients until the server ends [default: none]
    #[arg(long, env = "FILESHARE_RELAY_LIMIT", hide_env = true, value_name = "S", value_parser = units::parse_positive_size)]
    pub relay_limit: Option<u64>,
    /// Whether a stored file is on disk before it is acknowledged [default: fsync]
    #[arg(
        long,
        env = "FILESHARE_DURABILITY",
        hide_env = true,
        value_name = "HOW",
        value_enum
    )]
    pub durability: Option<Durable>,
    /// A TOML file with the same names
    #[arg(long, env = "FILESHARE_CONFIG", hide_env = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How a log line looks [default: text]
    #[arg(
        long,
        env = "FILESHARE_LOG_FORMAT",
        hide_env = true,
        value_name = "FORMAT",
        value_enum
    )]
    pub log_format: Option<LogFormat>,
    /// Log more; twice for even more
    #[arg(short, long, env = "FILESHARE_VERBOSE", hide_env = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Switches: each may be given alone or with `=true` or `=false`, so that a flag can take back what
/// a file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct Switches {
    /// Take a port below 1024 too
    #[arg(long, env = "FILESHARE_ALLOW_PRIVILEGED_PORT", hide_env = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true, value_name = "BOOL")]
    pub allow_privileged_port: Option<bool>,
    /// No TLS, for a trusted wire; clients must say it too
    #[arg(long, env = "FILESHARE_PLAINTEXT", hide_env = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true, value_name = "BOOL")]
    pub plaintext: Option<bool>,
    /// Never carry bytes between two clients that cannot reach each other
    #[arg(long, env = "FILESHARE_NO_RELAY", hide_env = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true, value_name = "BOOL")]
    pub no_relay: Option<bool>,
    /// Log errors only, and print only the line that says where the server listens
    #[arg(short, long, env = "FILESHARE_QUIET", hide_env = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true, value_name = "BOOL")]
    pub quiet: Option<bool>,
    /// Log all that helps to find a fault
    #[arg(long, env = "FILESHARE_DEBUG", hide_env = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true, value_name = "BOOL")]
    pub debug: Option<bool>,
}

/// See `--anonymous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Anonymous {
    /// Nothing.
    None,
    /// List and download.
    Reader,
    /// Also add and rename, but destroy nothing.
    Contributor,
    /// Also replace and remove.
    Editor,
}

/// See `--names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Those that every system can store.
    Portable,
    /// Whatever this system can.
    Native,
}

/// See `--durability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durable {
    /// On disk first.
    Fsync,
    /// When the system gets to it.
    None,
}

/// See `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of text.
    Text,
    /// JSON objects.
    Json,
}

impl Arguments {
    /// The port to listen on; 0 lets the system choose.
    pub fn port(&self) -> Result<u16, Failure> {
        let Some(text) = &self.port else {
            return Ok(DEFAULT_PORT);
        };
        let privileged = self.switches.allow_privileged_port.unwrap_or(false);
        let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        match text.parse::<u16>().ok().filter(|_| digits) {
            Some(port) if port == 0 || port >= 1024 || privileged => Ok(port),
            low => {
                let advice = match low {
                    Some(_) => "say --allow-privileged-port too, or choose 1024 to 65535, or 0",
                    None => "choose 1024 to 65535, or 0 to let the system choose",
                };
                Err(Failure::new(ErrorCode::InvalidPort, "[Invalid server port]").advise(advice))
            }
        }
    }
}

impl From<Anonymous> for Role {
    fn from(anonymous: Anonymous) -> Self {
        match anonymous {
            Anonymous::None => Role::None,
            Anonymous::Reader => Role::Reader,
            Anonymous::Contributor => Role::Contributor,
            Anonymous::Editor => Role::Editor,
        }
    }
}

impl From<Names> for NameRules {
    fn from(names: Names) -> Self {
        match names {
            Names::Portable => NameRules::Portable,
            Names::Native => NameRules::Native,
        }
    }
}

impl From<Durable> for Durability {
    fn from(durable: Durable) -> Self {
        match durable {
            Durable::Fsync => Durability::Fsync,
            Durable::None => Durability::None,
        }
    }
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        }
    }
}

/// Reads an IP address, in brackets or not.
pub fn parse_address(text: &str) -> Result<IpAddr, String> {
    let inside = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    inside
        .unwrap_or(text)
        .parse()
        .map_err(|_| "not an IP address, like 192.168.1.5 or ::1".to_owned())
}

/// Reads a number of connections.
pub fn parse_connections(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=1_000_000).contains(number))
        .ok_or_else(|| "not a number from 1 to 1000000".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use clap::CommandFactory;

    pub(crate) fn arguments(line: &str) -> Arguments {
        let words = shlex::split(&format!("fileshare-server {line}")).unwrap();
        Arguments::try_parse_from(words).unwrap()
    }

    #[test]
    fn the_grammar_is_sound_and_explains_itself() {
        Arguments::command().debug_assert();
        let help = Arguments::command().render_long_help().to_string();
        for word in [
            "--port",
            "--allow-privileged-port",
            "--bind",
            "--anonymous",
            "--plaintext",
            "--tls-cert",
            "--tls-key",
            "--names",
            "--state-dir",
            "--max-connections",
            "--idle-timeout",
            "--max-file-size",
            "--quota",
            "--keep-removed",
            "--keep-removed-size",
            "--limit-rate",
            "--relay-limit-rate",
            "--relay-limit",
            "--no-relay",
            "--durability",
            "--config",
            "--log-format",
            "--quiet",
            "--verbose",
            "--debug",
            "FILESHARE_MAX_FILE_SIZE",
        ] {
            assert!(help.contains(word), "{word}");
        }
    }

    #[test]
    fn a_port_is_unprivileged_unless_allowed() {
        for (line, port) in [
            ("", Some(2222)),
            ("--port 0", Some(0)),
            ("--port 1024", Some(1024)),
            ("--port 65535", Some(65535)),
            ("--port 80 --allow-privileged-port", Some(80)),
            ("--port 1023", None),
            ("--port 80 --allow-privileged-port=false", None),
            ("--port 65536", None),
            ("--port -1", None),
            ("--port +2222", None),
            ("--port x", None),
            ("--port ''", None),
            ("--port=2222x", None),
        ] {
            let read = arguments(line).port();
            assert_eq!(read.as_ref().ok(), port.as_ref(), "{line}");
            if let Err(failure) = read {
                assert_eq!(failure.message, "[Invalid server port]", "{line}");
                assert_eq!(failure.code, ErrorCode::InvalidPort);
            }
        }
    }
}
