//! The config file: what it says comes last, after flags and environment.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;

use super::args::{Arguments, Switches, parse_address, parse_connections};
use crate::cli::failure::Failure;
use crate::cli::units;
use crate::types::Printable;

impl Arguments {
    /// Fills in from the config file, if one is named, whatever was not given otherwise.
    pub fn with_config(self) -> Result<Self, Failure> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let path = path.display().to_string();
            let path = Printable(&path);
            Failure::usage(format!("--config {path} cannot be read: {error}"))
                .advise("name a TOML file that this user may read")
        })?;
        let path = path.clone();
        self.filled_from(&text, &path)
    }

    /// What `text`, the content of the file `path`, says comes last.
    fn filled_from(self, text: &str, path: &Path) -> Result<Self, Failure> {
        let wrong = |what: String| {
            let path = path.display().to_string();
            let path = Printable(&path);
            Failure::usage(format!("config file {path}: {what}"))
                .advise("correct that line; the names are those of --help")
        };
        let file: ConfigFile =
            toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let key = |key: &'static str| {
            let wrong = &wrong;
            move |error: String| wrong(format!("{key}: {error}"))
        };
        let bind = match file.bind {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one],
            Some(OneOrMany::Many(many)) => many,
        };
        let bind: Result<Vec<IpAddr>, String> =
            bind.iter().map(|text| parse_address(text)).collect();
        let from_file = Arguments {
            help: None,
            command: None,
            root: file.root.map(PathBuf::from),
            port: file.port.map(Scalar::into_text),
            switches: Switches {
                allow_privileged_port: file.allow_privileged_port,
                plaintext: file.plaintext,
                no_relay: file.no_relay,
                quiet: file.quiet,
                debug: file.debug,
            },
            bind: bind.map_err(key("bind"))?,
            anonymous: word(file.anonymous).map_err(key("anonymous"))?,
            tls_cert: file.tls_cert.map(PathBuf::from),
            tls_key: file.tls_key.map(PathBuf::from),
            names: word(file.names).map_err(key("names"))?,
            state_dir: file.state_dir.map(PathBuf::from),
            max_connections: scalar(file.max_connections, parse_connections)
                .map_err(key("max-connections"))?,
            idle_timeout: scalar(file.idle_timeout, units::parse_time)
                .map_err(key("idle-timeout"))?,
            max_file_size: scalar(file.max_file_size, units::parse_size)
                .map_err(key("max-file-size"))?,
            quota: scalar(file.quota, units::parse_size).map_err(key("quota"))?,
            keep_removed: scalar(file.keep_removed, units::parse_time_or_none)
                .map_err(key("keep-removed"))?,
            keep_removed_size: scalar(file.keep_removed_size, units::parse_size)
                .map_err(key("keep-removed-size"))?,
            limit_rate: scalar(file.limit_rate, units::parse_positive_size)
                .map_err(key("limit-rate"))?,
            relay_limit_rate: scalar(file.relay_limit_rate, units::parse_positive_size)
                .map_err(key("relay-limit-rate"))?,
            relay_limit: scalar(file.relay_limit, units::parse_positive_size)
                .map_err(key("relay-limit"))?,
            durability: word(file.durability).map_err(key("durability"))?,
            config: None,
            log_format: word(file.log_format).map_err(key("log-format"))?,
            verbose: file.verbose.unwrap_or(0),
        };
        Ok(self.or(from_file))
    }

    fn or(self, other: Arguments) -> Arguments {
        Arguments {
            help: None,
            command: self.command,
            root: self.root.or(other.root),
            port: self.port.or(other.port),
            switches: Switches {
                allow_privileged_port: self
                    .switches
                    .allow_privileged_port
                    .or(other.switches.allow_privileged_port),
                plaintext: self.switches.plaintext.or(other.switches.plaintext),
                no_relay: self.switches.no_relay.or(other.switches.no_relay),
                quiet: self.switches.quiet.or(other.switches.quiet),
                debug: self.switches.debug.or(other.switches.debug),
            },
            bind: match self.bind.is_empty() {
                true => other.bind,
                false => self.bind,
            },
            anonymous: self.anonymous.or(other.anonymous),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            names: self.names.or(other.names),
            state_dir: self.state_dir.or(other.state_dir),
            max_connections: self.max_connections.or(other.max_connections),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            max_file_size: self.max_file_size.or(other.max_file_size),
            quota: self.quota.or(other.quota),
            keep_removed: self.keep_removed.or(other.keep_removed),
            keep_removed_size: self.keep_removed_size.or(other.keep_removed_size),
            limit_rate: self.limit_rate.or(other.limit_rate),
            relay_limit_rate: self.relay_limit_rate.or(other.relay_limit_rate),
            relay_limit: self.relay_limit.or(other.relay_limit),
            durability: self.durability.or(other.durability),
            config: self.config,
            log_format: self.log_format.or(other.log_format),
            verbose: match self.verbose {
                0 => other.verbose,
                given => given,
            },
        }
    }
}

/// The config file: the same names, as they are typed. Numbers may stand without quotation marks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ConfigFile {
    root: Option<String>,
    port: Option<Scalar>,
    allow_privileged_port: Option<bool>,
    bind: Option<OneOrMany>,
    anonymous: Option<String>,
    plaintext: Option<bool>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    names: Option<String>,
    state_dir: Option<String>,
    max_connections: Option<Scalar>,
    idle_timeout: Option<Scalar>,
    max_file_size: Option<Scalar>,
    quota: Option<Scalar>,
    keep_removed: Option<Scalar>,
    keep_removed_size: Option<Scalar>,
    limit_rate: Option<Scalar>,
    relay_limit_rate: Option<Scalar>,
    relay_limit: Option<Scalar>,
    no_relay: Option<bool>,
    durability: Option<String>,
    log_format: Option<String>,
    verbose: Option<u8>,
    quiet: Option<bool>,
    debug: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(i64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
        }
    }
}

fn scalar<T>(
    value: Option<Scalar>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    value.map(|value| parse(&value.into_text())).transpose()
}

fn word<T: ValueEnum>(value: Option<String>) -> Result<Option<T>, String> {
    let read = |text: String| {
        T::from_str(&text, false).map_err(|_| {
            let known: Vec<String> = T::value_variants()
                .iter()
                .filter_map(|variant| variant.to_possible_value())
                .map(|value| value.get_name().to_owned())
                .collect();
            format!("must be one of {}", known.join(", "))
        })
    };
    value.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::arguments;
    use super::super::args::{Anonymous, LogFormat};
    use super::*;
    use std::time::Duration;

    use crate::protocol::ErrorCode;

    fn filled(line: &str, file: &str) -> Result<Arguments, Failure> {
        arguments(line).filled_from(file, Path::new("server.toml"))
    }

    #[test]
    fn a_flag_beats_the_file() {
        let file = r#"
            root = "files"
            port = 3000
            bind = ["127.0.0.1", "::1"]
            anonymous = "reader"
            quota = "10G"
            relay-limit = "1G"
            relay-limit-rate = "1M"
            no-relay = true
            max-file-size = 5
            idle-timeout = "5m"
            max-connections = 7
            plaintext = true
            quiet = true
            tls-cert = "cert.pem"
            tls-key = "key.pem"
            log-format = "json"
        "#;
        let read = filled("--port 4000 --quiet=false --anonymous editor x", file).unwrap();
        assert_eq!(read.port().unwrap(), 4000);
        assert_eq!(read.root, Some("x".into()));
        assert_eq!(read.anonymous, Some(Anonymous::Editor));
        assert_eq!(read.switches.quiet, Some(false));
        assert_eq!(read.switches.plaintext, Some(true));
        assert_eq!(read.tls_cert, Some("cert.pem".into()));
        assert_eq!(read.tls_key, Some("key.pem".into()));
        assert_eq!(read.quota, Some(10 << 30));
        assert_eq!(read.max_file_size, Some(5));
        assert_eq!(read.relay_limit, Some(1 << 30));
        assert_eq!(read.relay_limit_rate, Some(1 << 20));
        assert_eq!(read.switches.no_relay, Some(true));
        assert_eq!(read.idle_timeout, Some(Duration::from_secs(300)));
        assert_eq!(read.max_connections, Some(7));
        assert_eq!(read.bind.len(), 2);
        assert_eq!(read.log_format, Some(LogFormat::Json));
        let read = filled("--bind 10.0.0.1", file).unwrap();
        assert_eq!(read.bind, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(read.port().unwrap(), 3000);
    }

    #[test]
    fn a_wrong_config_names_file_and_key() {
        for (file, key) in [
            ("prot = 1", "prot"),
            ("quota = \"much\"", "quota"),
            ("anonymous = \"admin\"", "anonymous"),
            ("bind = \"here\"", "bind"),
            ("max-connections = 0", "max-connections"),
            ("port = true", "port"),
            ("plaintext = \"yes\"", "plaintext"),
            ("state_dir = \"x\"", "state_dir"),
            ("[", "["),
        ] {
            let failure = filled("", file).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Usage, "{file}");
            assert!(failure.message.contains("server.toml"), "{file}");
            assert!(failure.message.contains(key), "{}", failure.message);
        }
        // An integer that is no port is the same mistake as on the command line.
        let read = filled("", "port = -1").unwrap();
        assert_eq!(read.port().unwrap_err().code, ErrorCode::InvalidPort);
    }

    #[test]
    fn a_config_file_that_cannot_be_read_is_wrong_usage() {
        for path in ["/nowhere/at/all.toml", "/"] {
            let failure = arguments(&format!("--config {path}"))
                .with_config()
                .unwrap_err();
            assert_eq!(failure.code, ErrorCode::Usage, "{path}");
            assert!(failure.message.contains(path));
        }
    }
}
