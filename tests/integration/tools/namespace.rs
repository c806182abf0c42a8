//! Networks of their own, as the kernel has them.

use std::process::{Command, Stdio};

use crate::harness::clean;

/// A network of its own, in which only its own loopback is; removed when dropped.
pub struct Namespace(String);

impl Namespace {
    /// `None` where none can be made.
    pub fn make(what: &str) -> Option<Self> {
        let name = format!("fileshare-{what}-{}", std::process::id());
        let made = Command::new("ip")
            .args(["netns", "add", &name])
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return None;
        }
        let namespace = Namespace(name);
        let up = namespace.run("ip", &["link", "set", "lo", "up"]);
        up.then_some(namespace)
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = clean("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// The same command, run in here.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = self.command(command.get_program().to_str().unwrap());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// A wire between this network and another one: `link` here and `eth0` there, with these
    /// addresses. The other one sends everything through this one.
    pub fn wire(&self, link: &str, address: &str, other: &Self, other_address: &str) -> bool {
        let ends = [(self, link, address), (other, "eth0", other_address)];
        self.run(
            "ip",
            &[
                "link", "add", "name", link, "type", "veth", "peer", "name", "eth0", "netns",
                &other.0,
            ],
        ) && ends.iter().all(|(end, link, address)| {
            let address = format!("{address}/24");
            end.run("ip", &["addr", "add", &address, "dev", link])
                && end.run("ip", &["link", "set", link, "up"])
        }) && other.run("ip", &["route", "add", "default", "via", address])
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = self.command(program);
        let status = command.args(arguments).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// From now on arriving packets meet this rule of nftables, and no other one.
    pub fn rule(&self, rule: &str) -> bool {
        let chain = "{ type filter hook input priority 0; }";
        self.run("nft", &["flush", "ruleset"])
            && self.run("nft", &["add", "table", "inet", "faults"])
            && self.run("nft", &["add", "chain", "inet", "faults", "in", chain])
            && self.run("nft", &["add", "rule", "inet", "faults", "in", rule])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}
