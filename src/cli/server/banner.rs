//! What the server prints once it accepts connections (contract section 3).

use std::net::{IpAddr, SocketAddr};

use crate::access::Role;
use crate::cli::units;
use crate::client::ServerAddress;
use crate::store::{IndexState, StoreFacts};
use crate::types::Printable;

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
    /// What a client without an account may do.
    pub anonymous: Role,
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
        lines.push("No TLS in this version: for a trusted network only".to_owned());
        lines.push(format!(
            "Everybody who can connect may {}",
            permission(self.anonymous)
        ));
        let (address, loopback) = self.reachable();
        let place = if loopback { "this" } else { "another" };
        lines.push(format!(
            "On {place} machine: fileshare-client --server {address}"
        ));
        if self.index == IndexState::Lost {
            lines.push(
                "The index was lost and is being rebuilt: what the files were when they were stored is no longer known"
                    .to_owned(),
            );
        }
        lines
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
        };
        (address, ip.is_loopback())
    }
}

fn permission(role: Role) -> String {
    let what = match role {
        Role::None => return "do nothing (--anonymous none)".to_owned(),
        Role::Reader => "list and download",
        Role::Contributor => "list, download, add and rename files, but not replace or remove them",
        Role::Editor | Role::Admin => "list, download, add, rename, replace and remove files",
    };
    format!("{what} (--anonymous {role})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Durability, LeftOut, NameRules};

    fn lines(index: IndexState, listening: &[&str]) -> Vec<String> {
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
        Banner {
            facts: &facts,
            index,
            host: "nas",
            address: "192.168.1.5".parse().unwrap(),
            listening: &listening,
            anonymous: Role::Contributor,
        }
        .lines()
    }

    #[test]
    fn says_what_a_user_has_to_know() {
        let text = lines(IndexState::Opened, &["0.0.0.0:2222", "[::]:2222"]).join("\n");
        for line in [
            "Serving /srv/sh\\u{1b}ared: 2 files, 1.50 KiB",
            "Still to be hashed: 1 file",
            "Server host name: nas IP address: 192.168.1.5",
            "On another machine: fileshare-client --server 192.168.1.5:2222",
            "(--anonymous contributor)",
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
