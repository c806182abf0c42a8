//! A network that cuts connections: the client goes on by itself, and counts what was finished.

use std::path::Path;

use crate::harness::{noise, serve_plaintext, stderr};
use crate::tools::proxy::{Fault, Proxy};

/// Cuts the first `cuts` connections after so many bytes in either direction.
fn cutting_proxy(server: String, cuts: usize, after: usize) -> Proxy {
    Proxy::start(server, move |number, _| match number < cuts {
        true => Fault::CutAfter(after),
        false => Fault::None,
    })
}

fn fill(folder: &Path, files: u64) -> Vec<String> {
    let names: Vec<String> = (0..files).map(|number| format!("f{number:03}")).collect();
    for (seed, name) in (0..).zip(&names) {
        std::fs::write(folder.join(name), noise(seed, 60_000)).unwrap();
    }
    names
}

#[test]
fn a_batch_goes_on_after_cuts_in_both_directions() {
    for command in ["get", "put"] {
        let root = tempfile::tempdir().unwrap();
        let desk = tempfile::tempdir().unwrap();
        let (from, to) = match command {
            "get" => (root.path(), desk.path()),
            _ => (desk.path(), root.path()),
        };
        let names = fill(from, 60);
        let server = serve_plaintext(root.path(), &[]);
        let proxy = cutting_proxy(server.address(), 2, 1_500_000);
        let output = server
            .client_by(proxy.address(), desk.path(), &[command])
            .args(&names)
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{command}: {said}");
        assert!(said.contains("trying again"), "{command}: {said}");
        for (seed, name) in (0..).zip(&names) {
            let arrived = std::fs::read(to.join(name)).unwrap();
            assert!(arrived == noise(seed, 60_000), "{command} {name}");
        }
        // Nothing came twice, nothing is left over.
        let entries = std::fs::read_dir(to).unwrap();
        let left = entries.filter(|entry| entry.as_ref().unwrap().file_name() != ".fileshare");
        assert_eq!(left.count(), names.len(), "{command}");
    }
}

#[test]
fn a_client_that_may_not_retry_says_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let desk = tempfile::tempdir().unwrap();
    let names = fill(root.path(), 60);
    let server = serve_plaintext(root.path(), &[]);
    let proxy = cutting_proxy(server.address(), 1, 1_500_000);
    let output = server
        .client_by(proxy.address(), desk.path(), &["--retries", "0", "get"])
        .args(&names)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
    let arrived = names
        .iter()
        .filter(|name| desk.path().join(name).exists())
        .count();
    let failed = stderr(&output).matches("error: ").count();
    assert!(arrived > 0 && failed > 0);
    assert_eq!(arrived + failed, names.len(), "{}", stderr(&output));
}
