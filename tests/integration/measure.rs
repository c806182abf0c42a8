//! What a process uses, as Linux tells it.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::harness::RunningServer;

/// One number of a process, in KiB.
pub fn memory(server: &RunningServer, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many sockets a process has open.
pub fn sockets(server: &RunningServer) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// The time that a process has kept processors busy.
pub fn busy(server: &RunningServer) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    // Behind the name, which may hold anything: state is the third field, utime the 14th.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = [fields[11], fields[12]]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    // Linux counts in hundredths of a second there, whatever its own clock does.
    Duration::from_millis(ticks * 10)
}

/// Makes room for so many descriptors in this process.
pub fn more_descriptors(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = Some(wanted);
    limit.maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, limit).expect("enough descriptors: raise 'ulimit -n'");
}
