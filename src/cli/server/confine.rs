//! Giving up what the server does not need: on Linux its process reaches its own folders and nothing
//! else (Landlock).

use std::path::{Path, PathBuf};

use crate::cli::signals;
use crate::disk;

/// Confines this process for the rest of its life, and tells whether it is confined.
///
/// It may then read, write, rename and remove below `root` and `state`, may read the files
/// `read_only`, and can open no other file of the system by any name, start no program, and make
/// no link or device. Where the kernel has it (6.7, 6.12) it can also connect to nothing and listen
/// on no other TCP port, and reach no other process by signals or abstract sockets. What is open
/// already stays open: standard error, listeners.
///
/// Files are meant as they are now: one that is put in the place of a `read_only` file later cannot
/// be read, and neither can a new folder in the place of `root` or of `state`.
///
/// Only the calling thread and those that it starts later are confined: call it before there are
/// others. Where Linux cannot do this (before 5.19, or without Landlock) it says so in the log and
/// changes nothing, as on other systems.
pub fn confine(root: &Path, state: &Path, read_only: &[PathBuf]) -> bool {
    // What is asked of /proc later cannot be read there then.
    disk::remember_umask();
    signals::remember_ignored();
    restrict(root, state, read_only)
}

#[cfg(target_os = "linux")]
fn restrict(root: &Path, state: &Path, read_only: &[PathBuf]) -> bool {
    match linux::restrict(root, state, read_only) {
        Ok(true) => {
            tracing::debug!("confined to the shared folder (Landlock)");
            true
        }
        Ok(false) => {
            tracing::info!("not confined: this kernel has no Landlock, or it is switched off");
            false
        }
        Err(error) => {
            tracing::info!(%error, "not confined: this kernel's Landlock cannot do it");
            false
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn restrict(_root: &Path, _state: &Path, _read_only: &[PathBuf]) -> bool {
    false
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
        Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
        make_bitflags,
    };

    /// Renames between folders need this version's REFER; without it nothing could be published.
    const NEEDED: ABI = ABI::V2;

    /// Whatever this version can forbid is forbidden, as far as the kernel knows it.
    const KNOWN: ABI = ABI::V9;

    /// What SQLite reads besides its own files. (The C library asks `/sys` and `/proc` for
    /// processors and overcommitment too, and goes on without an answer.)
    const RANDOMNESS: &str = "/dev/urandom";

    pub(super) fn restrict(
        root: &Path,
        state: &Path,
        read_only: &[PathBuf],
    ) -> Result<bool, RulesetError> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(NEEDED))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        for folder in [root, state] {
            ruleset = allow(ruleset, folder, in_folders())?;
        }
        for file in read_only {
            ruleset = allow(ruleset, file, AccessFs::ReadFile.into())?;
        }
        ruleset = allow(ruleset, Path::new(RANDOMNESS), AccessFs::ReadFile.into())?;
        let status = ruleset.restrict_self()?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }

    /// What the store does in its folders. It makes regular files and folders only, and renames
    /// nothing else.
    fn in_folders() -> BitFlags<AccessFs> {
        make_bitflags!(AccessFs::{
            ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir
                | Refer
        })
    }

    fn allow(
        ruleset: landlock::RulesetCreated,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> Result<landlock::RulesetCreated, RulesetError> {
        match PathFd::new(path) {
            Ok(handle) => ruleset.add_rule(PathBeneath::new(handle, access)),
            // What cannot be opened now cannot be opened later either.
            Err(error) => {
                tracing::warn!(%error, "out of reach from now on");
                Ok(ruleset)
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{ErrorKind, Read};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::process::Command;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    };

    const TEST: &str =
        "cli::server::confine::tests::a_confined_process_reaches_its_folders_and_nothing_else";
    const PLACE: &str = "FILESHARE_TEST_CONFINE_IN";

    type Attempt = fn(&Path) -> std::io::Result<()>;

    /// Whether this kernel can do what a version of Landlock can, for files or for the network.
    fn kernel_has(files: Option<ABI>, network: Option<ABI>) -> bool {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = files.map(AccessFs::from_all);
        let network = network.map(AccessNet::from_all);
        let ruleset = match files {
            Some(access) => ruleset.handle_access(access),
            None => Ok(ruleset),
        };
        let handled = ruleset.and_then(|ruleset| match network {
            Some(access) => ruleset.handle_access(access),
            None => Ok(ruleset),
        });
        handled.is_ok()
    }

    /// Runs itself once more: the second process confines itself and looks around.
    #[test]
    fn a_confined_process_reaches_its_folders_and_nothing_else() {
        if let Some(place) = std::env::var_os(PLACE) {
            return look_around(Path::new(&place));
        }
        let place = tempfile::tempdir().unwrap();
        for folder in ["root/a", "root/b", "state", "outside"] {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        for file in [
            "root/a/file",
            "root/a/other",
            "outside/secret",
            "outside/config",
        ] {
            fs::write(place.path().join(file), "content").unwrap();
        }
        std::os::unix::fs::symlink("../outside/secret", place.path().join("root/link")).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST])
            .env(PLACE, place.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
    }

    fn look_around(place: &Path) {
        let at = |name: &str| place.join(name);
        let mut held = fs::File::open(at("outside/secret")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();

        let confined = confine(&at("root"), &at("state"), &[at("outside/config")]);
        assert_eq!(confined, kernel_has(Some(ABI::V2), None));
        if !confined {
            eprintln!("SKIPPED: this kernel has no Landlock with REFER");
            return;
        }
        // All that the store does in its folders, between them too.
        fs::write(at("root/b/new"), "new").unwrap();
        fs::rename(at("root/a/file"), at("root/b/file")).unwrap();
        fs::rename(at("root/b/file"), at("state/file")).unwrap();
        fs::rename(at("state/file"), at("root/a/file")).unwrap();
        fs::hard_link(at("root/a/file"), at("state/link")).unwrap();
        fs::rename(at("root/b"), at("state/b")).unwrap();
        fs::remove_file(at("state/b/new")).unwrap();
        fs::remove_dir(at("state/b")).unwrap();
        fs::create_dir(at("state/c")).unwrap();
        assert_eq!(fs::read_dir(at("root")).unwrap().count(), 2);
        fs::File::options()
            .write(true)
            .truncate(true)
            .open(at("root/a/other"))
            .unwrap();
        // What is needed besides.
        assert_eq!(fs::read_to_string(at("outside/config")).unwrap(), "content");
        let mut content = String::new();
        held.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
        fs::File::open("/dev/urandom").unwrap();

        // And nothing else, on a thread of its own as well.
        let denied: [(&str, Attempt); 10] = [
            ("outside/secret", |path| fs::read(path).map(drop)),
            ("root/link", |path| fs::read(path).map(drop)),
            ("root/../outside/secret", |path| fs::read(path).map(drop)),
            ("outside", |path| fs::read_dir(path).map(drop)),
            ("outside/config", |path| fs::write(path, "changed")),
            ("outside/new", |path| fs::write(path, "new")),
            ("outside/secret", |path| fs::remove_file(path)),
            ("root/new", |path| std::os::unix::fs::symlink("/etc", path)),
            ("/etc/passwd", |path| fs::read(path).map(drop)),
            ("/proc/self/environ", |path| fs::read(path).map(drop)),
        ];
        for (name, attempt) in denied {
            let path = at(name);
            let here = attempt(&path).unwrap_err();
            let there = std::thread::spawn(move || attempt(&path)).join().unwrap();
            for error in [here, there.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{name}");
            }
        }
        for (from, to) in [
            ("root/a/file", "outside/file"),
            ("outside/secret", "root/secret"),
        ] {
            assert!(fs::rename(at(from), at(to)).is_err(), "{from}");
            assert!(fs::hard_link(at(from), at(to)).is_err(), "{from}");
        }
        assert!(Command::new("/bin/true").status().is_err());
        if kernel_has(None, Some(ABI::V4)) {
            assert!(TcpStream::connect(address).is_err());
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_err());
        } else {
            eprintln!("SKIPPED: this kernel's Landlock knows no network");
        }
    }
}
