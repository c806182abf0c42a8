//! What the server prints once it accepts connections (contract section 3).

use std::net::{IpAddr, SocketAddr};

use crate::access::Role;
use crate::cli::units;
use crate::client::ServerAddress;
use crate::store::{Durability, IndexState, StoreFacts};
use crate::types::{Fingerprint, Printable};

/// What there is to say.
#[derive(Debug)]
pub struct Banner<'a> {
    /// What is served.
    pub facts: &'a StoreFacts,
    /// Whether the index had to be made anew.
    pub index: IndexState,
    /// The machine's name.
    pub host: &'a str,
    /// The machine's address for others.
    pub address: IpAddr,
    /// Where the server listens.
    pub listening: &'a [SocketAddr],
    /// What clients know the server by; `None` without TLS.
    pub fingerprint: Option<Fingerprint>,
    /// Who may do what; `None` when the accounts cannot be read.
    pub access: Option<Access>,
}

/// Who may do what.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// What a client without an account may do.
    pub anonymous: Role,
    /// How many accounts there are.
    pub users: usize,
}

/// The very first line; scripts wait for it.
pub fn first_line(address: SocketAddr) -> String {
    format!("fileshare-server listening on {address}")
}

impl Banner<'_> {
    /// The lines after the first.
    pub fn lines(&self) -> Vec<String> {
        let root = self.facts.root.to_string_lossy();
        let mut lines = vec![format!(
            "Serving {}: {}, {}",
            Printable(&root),
            units::count(self.facts.files, "file"),
            units::size(self.facts.bytes)
        )];
        if self.facts.unhashed_files > 0 {
            let files = units::count(self.facts.unhashed_files, "file");
            lines.push(format!("Still to be hashed: {files}"));
        }
        lines.push(format!(
            "Server host name: {} IP address: {}",
            Printable(self.host),
            self.address
        ));
        lines.push(match self.fingerprint {
            Some(fingerprint) => format!("Fingerprint: {fingerprint}"),
            None => "No TLS (--plaintext): for a trusted network only".to_owned(),
        });
        lines.push(self.who_may_do_what());
        let (address, loopback) = self.reachable();
        if let Some(fingerprint) = self.fingerprint {
            lines.push("Its address together with the fingerprint, for --server:".to_owned());
            lines.push(format!("fileshare://{address}#{fingerprint}"));
        }
        let place = if loopback { "this" } else { "another" };
        let user = match self.access {
            Some(access) if access.anonymous > Role::None => "",
            _ => " --user NAME",
        };
        let plaintext = match self.fingerprint {
            Some(_) => "",
            None => " --plaintext",
        };
        lines.push(format!(
            "On {place} machine: fileshare-client --server {address}{user}{plaintext}"
        ));
        if self.facts.durability == Durability::None {
            lines.push(
                "Not durable (--durability none): a power cut may take what was acknowledged"
                    .to_owned(),
            );
        }
        if self.index == IndexState::Lost {
            lines.push(
                "The index was lost and is being rebuilt: what the files were when they were stored is no longer known"
                    .to_owned(),
            );
        }
        lines
    }

    fn who_may_do_what(&self) -> String {
        let Some(Access { anonymous, users }) = self.access else {
            return "Nobody is let in: the accounts cannot be read, see the log".to_owned();
        };
        let may = permission(anonymous);
        let (who, users) = match users {
            0 => ("Everybody who can connect", "no users yet".to_owned()),
            1 => ("Everybody else", "1 user".to_owned()),
            users => ("Everybody else", format!("{users} users")),
        };
        format!("{who} may {may} (--anonymous {anonymous}; {users})")
    }

    /// The address to type elsewhere: the machine's, unless the server listens on others only; and
    /// whether only this machine can use it.
    fn reachable(&self) -> (ServerAddress, bool) {
        let fits = |listening: &&SocketAddr| {
            let ip = listening.ip();
            ip == self.address || (ip.is_unspecified() && ip.is_ipv4() == self.address.is_ipv4())
        };
        let port = self.listening.first().map_or(0, SocketAddr::port);
        let ip = match self.listening.iter().find(fits) {
            Some(_) => self.address,
            None => self
                .listening
                .iter()
                .map(SocketAddr::ip)
                .find(|ip| !ip.is_unspecified())
                .unwrap_or(self.address),
        };
        let address = ServerAddress {
            host: ip.to_string(),
            port,
            ..ServerAddress::default()
        };
        (address, ip.is_loopback())
    }
}

fn permission(role: Role) -> &'static str {
    match role {
        Role::None => "do nothing",
        Role::Reader => "list and download",
        Role::Contributor => "list, download, add and rename files, but not replace or remove them",
        Role::Editor | Role::Admin => "list, download, add, rename, replace and remove files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LeftOut, NameRules};

    fn lines(index: IndexState, listening: &[&str]) -> Vec<String> {
        changed(index, listening, |_| {})
    }

    fn changed(
        index: IndexState,
        listening: &[&str],
        change: impl FnOnce(&mut Banner),
    ) -> Vec<String> {
        let facts = StoreFacts {
            files: 2,
            bytes: 1536,
            unhashed_files: 1,
            unhashed_bytes: 5,
            left_out: LeftOut::default(),
            free_space: None,
            quota: None,
            max_file_size: None,
            names: NameRules::Portable,
            durability: Durability::Fsync,
            trash_files: 0,
            trash_bytes: 0,
            keep_removed: std::time::Duration::ZERO,
            keep_removed_size: 0,
            damaged_files: 0,
            damaged: Vec::new(),
            root: "/srv/sh\u{1b}ared".into(),
        };
        let listening: Vec<SocketAddr> = listening.iter().map(|at| at.parse().unwrap()).collect();
        let mut banner = Banner {
            facts: &facts,
            index,
            host: "nas",
            address: "192.168.1.5".parse().unwrap(),
            listening: &listening,
            fingerprint: Some(Fingerprint::new([7; 32])),
            access: Some(Access {
                anonymous: Role::Contributor,
                users: 0,
            }),
        };
        change(&mut banner);
        banner.lines()
    }

    #[test]
    fn says_what_a_user_has_to_know() {
        let text = lines(IndexState::Opened, &["0.0.0.0:2222", "[::]:2222"]).join("\n");
        for line in [
            "Serving /srv/sh\\u{1b}ared: 2 files, 1.50 KiB",
            "Still to be hashed: 1 file",
            "Server host name: nas IP address: 192.168.1.5",
            "On another machine: fileshare-client --server 192.168.1.5:2222",
            "(--anonymous contributor; no users yet)",
            "Fingerprint: sha256:0707",
            "\nfileshare://192.168.1.5:2222#sha256:0707",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("index"));
        assert!(
            lines(IndexState::Lost, &["0.0.0.0:1"])
                .join("\n")
                .contains("index was lost")
        );
    }

    #[test]
    fn the_command_fits_the_server() {
        let last = |change: fn(&mut Banner)| {
            let lines = changed(IndexState::Opened, &["0.0.0.0:2222"], change);
            (lines.join("\n"), lines.last().unwrap().clone())
        };
        let (text, command) = last(|banner| banner.fingerprint = None);
        assert!(command.ends_with("--server 192.168.1.5:2222 --plaintext"));
        assert!(text.contains("No TLS (--plaintext)") && !text.contains("sha256"));
        let (text, command) = last(|banner| {
            banner.access = Some(Access {
                anonymous: Role::None,
                users: 2,
            });
        });
        assert!(command.ends_with("--server 192.168.1.5:2222 --user NAME"));
        assert!(text.contains("Everybody else may do nothing (--anonymous none; 2 users)"));
        let (text, _) = last(|banner| banner.access = None);
        assert!(text.contains("Nobody is let in"));
    }

    #[test]
    fn names_an_address_that_it_listens_on() {
        let text = lines(IndexState::Created, &["127.0.0.1:2222"]).join("\n");
        assert!(text.contains("On this machine: fileshare-client --server 127.0.0.1:2222"));
        let text = lines(IndexState::Created, &["[::1]:2222"]).join("\n");
        assert!(text.contains("--server [::1]:2222"));
        let address: SocketAddr = "[::]:2222".parse().unwrap();
        assert_eq!(
            first_line(address),
            "fileshare-server listening on [::]:2222"
        );
    }
}
