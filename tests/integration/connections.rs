//! A batch over several connections (`--connections`): all arrives once, whatever becomes of one of
//! them, and it is one command all the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{RunningServer, noise, serve, serve_plaintext, stderr, stdout};
use crate::tools::proxy::{Direction, Fault, Proxy};
use crate::tools::surroundings::Surroundings;

/// Files of all sizes, and their names.
fn mixed(folder: &Path) -> Vec<String> {
    let sizes = [
        0, 1, 100, 65_536, 70_000, 300_000, 3_000_000, 5_000_000, 9_000_000,
    ];
    (0..60)
        .map(|number: usize| {
            let name = format!("f{number:02}");
            // Five large ones, and small ones around them.
            let size = sizes[if number % 12 == 5 {
                6 + number % 3
            } else {
                number % 6
            }];
            std::fs::write(folder.join(&name), noise(number as u64, size)).unwrap();
            name
        })
        .collect()
}

fn contents(folder: &Path, names: &[String]) -> BTreeMap<String, Option<Vec<u8>>> {
    let content = |name: &String| (name.clone(), std::fs::read(folder.join(name)).ok());
    names.iter().map(content).collect()
}

/// The arguments of a command over four connections.
fn with<'a>(command: &'a str, names: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let names = names.iter().map(String::as_str);
    let mut arguments = vec!["--connections", "4", command];
    arguments.extend(names);
    arguments.extend(more);
    arguments
}

/// Counts the connections that go through it, and does to each what is wanted.
fn counting(
    server: &RunningServer,
    fault: impl Fn(usize, Direction) -> Fault + Send + 'static,
) -> (Proxy, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let counted = most.clone();
    let proxy = Proxy::start(server.address(), move |number, direction| {
        counted.fetch_max(number + 1, Ordering::SeqCst);
        fault(number, direction)
    });
    (proxy, most)
}

#[test]
fn four_connections_carry_everything_once_and_one_undo_takes_it_back() {
    let surroundings = Surroundings::new();
    let options = ["--durability", "none", "--anonymous", "editor"];
    let server = serve(&surroundings.root(), &options);
    let folder = tempfile::tempdir().unwrap();
    let names = mixed(folder.path());
    let local = contents(folder.path(), &names);
    let (proxy, connections) = counting(&server, |_, _| Fault::None);
    let arguments = with("put", &names, &["--json"]);
    let put = server
        .client_by(proxy.address(), folder.path(), &arguments)
        .output()
        .unwrap();
    assert!(put.status.success(), "{}", stderr(&put));
    assert_eq!(connections.load(Ordering::SeqCst), 4);
    let said = stdout(&put);
    for name in &names {
        let line = format!("\"action\":\"put\",\"name\":\"{name}\"");
        assert_eq!(said.matches(&line).count(), 1, "{name}");
    }
    let bytes: usize = local.values().flatten().map(Vec::len).sum();
    assert!(said.contains(&format!("\"sent\":{bytes},")), "{said}");
    assert!(contents(&surroundings.root(), &names) == local);

    let back = tempfile::tempdir().unwrap();
    server.ok(back.path(), &with("get", &names, &[]));
    assert!(contents(back.path(), &names) == local);

    let rehearsed = server.ok(
        folder.path(),
        &with("put", &names, &["--dry-run", "--to", "x"]),
    );
    assert_eq!(
        rehearsed.matches("would").count(),
        names.len(),
        "{rehearsed}"
    );
    assert!(!surroundings.root().join("x").exists());

    server.ok(folder.path(), &["undo"]);
    let left = contents(&surroundings.root(), &names);
    assert!(left.values().all(Option::is_none), "one command");
}

#[test]
fn a_connection_that_is_cut_costs_no_file() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &["--durability", "none"]);
    let folder = tempfile::tempdir().unwrap();
    let names = mixed(folder.path());
    let local = contents(folder.path(), &names);
    for cut in [0, 2] {
        for (command, direction) in [("put", Direction::ToServer), ("get", Direction::ToClient)] {
            let (proxy, _) = counting(&server, move |number, which| {
                match number == cut && which == direction {
                    true => Fault::CutAfter(2_500_000),
                    false => Fault::None,
                }
            });
            let back = tempfile::tempdir().unwrap();
            let more: &[&str] = match command {
                "put" => &["--on-conflict", "overwrite", "--to", "there"],
                _ => &[],
            };
            let place = match command {
                "put" => folder.path(),
                _ => back.path(),
            };
            let remote: Vec<String> = match command {
                "put" => names.clone(),
                _ => names.iter().map(|name| format!("there/{name}")).collect(),
            };
            let arguments = with(command, &remote, more);
            let ran = server
                .client_by(proxy.address(), place, &arguments)
                .output()
                .unwrap();
            assert!(ran.status.success(), "{command}: {}", stderr(&ran));
            assert!(stderr(&ran).contains("trying again"), "{}", stderr(&ran));
            match command {
                "put" => assert!(contents(&surroundings.root().join("there"), &names) == local),
                _ => assert!(contents(back.path(), &names) == local),
            }
        }
        std::fs::remove_dir_all(surroundings.root().join("there")).unwrap();
    }
}

#[test]
fn one_connection_that_never_comes_back_leaves_its_files_to_the_others() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &["--durability", "none"]);
    let folder = tempfile::tempdir().unwrap();
    let names = mixed(folder.path());
    // From the fifth on, connections are cut at once: who is cut once cannot go on.
    let (proxy, _) = counting(&server, |number, direction| match (number, direction) {
        (1, Direction::ToServer) => Fault::CutAfter(2_500_000),
        (4.., Direction::ToClient) => Fault::CutAfter(0),
        _ => Fault::None,
    });
    let mut arguments = with("put", &names, &[]);
    arguments.extend(["--retries", "1"]);
    let put = server
        .client_by(proxy.address(), folder.path(), &arguments)
        .output()
        .unwrap();
    assert!(put.status.success(), "{}", stderr(&put));
    assert!(contents(&surroundings.root(), &names) == contents(folder.path(), &names));
}

#[test]
fn fewer_connections_do_where_a_server_takes_no_more() {
    let surroundings = Surroundings::new();
    for most in ["1", "2"] {
        let root = surroundings.root().join(most);
        let options = ["--durability", "none", "--max-connections", most];
        let server = serve(&root, &options);
        let folder = tempfile::tempdir().unwrap();
        let names = mixed(folder.path());
        server.ok(folder.path(), &with("put", &names, &[]));
        assert!(contents(&root, &names) == contents(folder.path(), &names));
    }
}

#[test]
fn one_file_takes_one_connection() {
    let surroundings = Surroundings::new();
    let server = serve_plaintext(&surroundings.root(), &["--durability", "none"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one"), noise(1, 3_000_000)).unwrap();
    let (proxy, connections) = counting(&server, |_, _| Fault::None);
    let one = ["one".to_owned()];
    let put = server
        .client_by(proxy.address(), folder.path(), &with("put", &one, &[]))
        .output()
        .unwrap();
    assert!(put.status.success(), "{}", stderr(&put));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
