use std::fmt;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tracing::{debug, info};

use super::ServerAddress;
use super::known_servers::{KnownServers, Remembered};
use super::local::{blocking, shown};
use crate::net::PresentedKey;
use crate::protocol::{ErrorCode, Failure};
use crate::types::Fingerprint;

/// What to do with the key of a server that was never met (contract section 4, `--trust`). A key
/// that has changed is refused under each of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrustPolicy {
    /// Accept it, remember it, and say so.
    #[default]
    AcceptNew,
    /// Ask.
    Ask,
    /// Refuse it.
    Strict,
}

/// Who hears of the key of a server that was never met, and may be asked about it.
pub trait FirstContact: Send + Sync {
    /// Whether this key of this server is the right one. Nobody waits for the answer but the
    /// caller: no connection is open meanwhile.
    fn accepts<'a>(
        &'a self,
        server: &'a ServerAddress,
        key: Fingerprint,
    ) -> Pin<Box<dyn Future<Output = Consent> + Send + 'a>>;

    /// This key is trusted from now on, because it is remembered in `file`.
    fn met(&self, server: &ServerAddress, key: Fingerprint, file: &Path);
}

/// What somebody says to the key of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// It is the right one.
    Given,
    /// It is not.
    Refused,
    /// There is nobody to ask.
    NobodyToAsk,
}

/// Nobody: there is no one to ask, and what happens goes to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unattended;

impl FirstContact for Unattended {
    fn accepts<'a>(
        &'a self,
        _server: &'a ServerAddress,
        _key: Fingerprint,
    ) -> Pin<Box<dyn Future<Output = Consent> + Send + 'a>> {
        Box::pin(ready(Consent::NobodyToAsk))
    }

    fn met(&self, server: &ServerAddress, key: Fingerprint, file: &Path) {
        info!(%server, %key, file = %shown(file), "met a server");
    }
}

/// Which servers are trusted.
#[derive(Clone)]
pub struct Trust {
    /// What to do with a key that is not known.
    pub policy: TrustPolicy,
    /// The keys that are known, and where new ones go; `None` knows none and keeps none.
    pub known: Option<KnownServers>,
    /// Who hears of new keys.
    pub first_contact: Arc<dyn FirstContact>,
}

/// New keys are accepted, remembered in the user's own file, and go to the log.
impl Default for Trust {
    fn default() -> Self {
        Trust {
            policy: TrustPolicy::default(),
            known: KnownServers::of_user(),
            first_contact: Arc::new(Unattended),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("policy", &self.policy)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

/// What is to be done with a server that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Go on: it is trusted.
    Trusted,
    /// Ask about its key first.
    Ask(Fingerprint),
}

impl Trust {
    /// Decides whether the server at `server` may be told anything, by the key that it has proved
    /// to hold. The first of these that says something decides: the address, the known servers,
    /// the authorities that the system trusts, the policy.
    pub(super) async fn decide(
        &self,
        server: &ServerAddress,
        key: PresentedKey,
    ) -> Result<Decision, Failure> {
        let (trust, server) = (self.clone(), server.clone());
        blocking(move || {
            let vouched_for = || key.is_vouched_for();
            trust.judge(&server, key.fingerprint(), vouched_for)
        })
        .await
    }

    /// Asks whether this is the right key, and remembers it if it is.
    pub(super) async fn ask(
        &self,
        server: &ServerAddress,
        key: Fingerprint,
    ) -> Result<(), Failure> {
        match self.first_contact.accepts(server, key).await {
            Consent::Given => {
                let (trust, server) = (self.clone(), server.clone());
                blocking(move || trust.remember(&server, key)).await
            }
            Consent::Refused => Err(untrusted(format!(
                "the key of {server} was not accepted: {key}"
            ))),
            Consent::NobodyToAsk => Err(untrusted(format!(
                "{server} is not known, and there is no terminal to ask at whether its key is right; say --trust accept-new, or {}",
                server.pinned_url(key)
            ))),
        }
    }

    fn judge(
        &self,
        server: &ServerAddress,
        key: Fingerprint,
        vouched_for: impl FnOnce() -> bool,
    ) -> Result<Decision, Failure> {
        if let Some(pinned) = server.fingerprint {
            return match pinned == key {
                true => Ok(Decision::Trusted),
                false => Err(changed(format!(
                    "{server} does not have the key that the address says: it has {key}, and not {pinned}"
                ))),
            };
        }
        if let Some(known) = &self.known
            && let Some(entry) = known.find(server)?
        {
            return match entry.fingerprint == key {
                true => Ok(Decision::Trusted),
                false => Err(contradicts(
                    known,
                    entry.line,
                    server,
                    entry.fingerprint,
                    key,
                )),
            };
        }
        if vouched_for() {
            debug!(%server, "an authority that the system trusts vouches for it");
            return Ok(Decision::Trusted);
        }
        match self.policy {
            TrustPolicy::AcceptNew => {
                self.remember(server, key)?;
                Ok(Decision::Trusted)
            }
            TrustPolicy::Ask => Ok(Decision::Ask(key)),
            TrustPolicy::Strict => Err(untrusted(format!(
                "{server} is not known, and only known servers are trusted; its key is {key}: if that is right, say {}",
                server.pinned_url(key)
            ))),
        }
    }

    /// A key that is not kept would be accepted again, whatever it is by then: it is no pin.
    fn remember(&self, server: &ServerAddress, key: Fingerprint) -> Result<(), Failure> {
        let unkept = |why: String| {
            untrusted(format!(
                "the key of {server} is new and cannot be remembered ({why}); if {key} is right, say {}",
                server.pinned_url(key)
            ))
        };
        let Some(known) = &self.known else {
            return Err(unkept("no home folder is known".to_owned()));
        };
        match known.remember(server, key) {
            Ok(Remembered::Written) => {
                self.first_contact.met(server, key, known.path());
                Ok(())
            }
            Ok(Remembered::Known(entry)) if entry.fingerprint == key => Ok(()),
            Ok(Remembered::Known(entry)) => Err(contradicts(
                known,
                entry.line,
                server,
                entry.fingerprint,
                key,
            )),
            Err(failure) => Err(unkept(failure.message)),
        }
    }
}

fn contradicts(
    known: &KnownServers,
    line: usize,
    server: &ServerAddress,
    before: Fingerprint,
    now: Fingerprint,
) -> Failure {
    let file = shown(known.path());
    changed(format!(
        "the key of {server} is not the one that is known: it is {now}, and {file}, line {line}, says {before}"
    ))
}

fn changed(message: String) -> Failure {
    Failure::new(ErrorCode::IdentityChanged, message)
}

fn untrusted(message: String) -> Failure {
    Failure::new(ErrorCode::Untrusted, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Notes what it hears, and always says the same.
    struct Witness {
        says: Consent,
        heard: Mutex<Vec<String>>,
    }

    impl FirstContact for Witness {
        fn accepts<'a>(
            &'a self,
            server: &'a ServerAddress,
            _key: Fingerprint,
        ) -> Pin<Box<dyn Future<Output = Consent> + Send + 'a>> {
            self.heard.lock().unwrap().push(format!("asked {server}"));
            Box::pin(ready(self.says))
        }

        fn met(&self, server: &ServerAddress, _key: Fingerprint, file: &Path) {
            let heard = format!("met {server} {}", file.ends_with("known_servers"));
            self.heard.lock().unwrap().push(heard);
        }
    }

    struct Scene {
        folder: tempfile::TempDir,
        witness: Arc<Witness>,
        trust: Trust,
    }

    fn scene(policy: TrustPolicy, says: Consent) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let witness = Arc::new(Witness {
            says,
            heard: Mutex::default(),
        });
        let trust = Trust {
            policy,
            known: Some(KnownServers::at(folder.path().join("known_servers"))),
            first_contact: witness.clone(),
        };
        Scene {
            folder,
            witness,
            trust,
        }
    }

    impl Scene {
        fn judge(&self, address: &str, digit: u8, vouched_for: bool) -> Result<Decision, Failure> {
            let server = address.parse().unwrap();
            self.trust.judge(&server, key(digit), || vouched_for)
        }

        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut *self.witness.heard.lock().unwrap())
        }

        fn keeps_nothing(&self) -> bool {
            std::fs::read_dir(self.folder.path())
                .unwrap()
                .next()
                .is_none()
        }
    }

    fn key(digit: u8) -> Fingerprint {
        Fingerprint::new([digit; 32])
    }

    fn code(result: Result<Decision, Failure>) -> ErrorCode {
        result.unwrap_err().code
    }

    const POLICIES: [TrustPolicy; 3] = [
        TrustPolicy::AcceptNew,
        TrustPolicy::Ask,
        TrustPolicy::Strict,
    ];

    #[test]
    fn what_the_address_says_decides_alone() {
        for policy in POLICIES {
            let scene = scene(policy, Consent::Given);
            std::fs::write(scene.folder.path().join("known_servers"), "garbage").unwrap();
            let address = format!("fileshare://nas#{}", key(1));
            assert_eq!(scene.judge(&address, 1, false), Ok(Decision::Trusted));
            let refused = scene.judge(&address, 2, true).unwrap_err();
            assert_eq!(refused.code, ErrorCode::IdentityChanged);
            for part in [key(1), key(2)] {
                assert!(refused.message.contains(&part.to_string()), "{refused}");
            }
            assert_eq!(code(scene.judge("nas", 1, true)), ErrorCode::Untrusted);
            assert!(scene.heard().is_empty());
        }
    }

    #[test]
    fn a_known_key_must_be_the_same_under_every_policy() {
        for policy in POLICIES {
            let scene = scene(policy, Consent::Given);
            let known = scene.trust.known.as_ref().unwrap();
            known.remember(&"nas".parse().unwrap(), key(1)).unwrap();
            assert_eq!(scene.judge("NAS", 1, false), Ok(Decision::Trusted));
            let refused = scene.judge("nas", 2, true).unwrap_err();
            assert_eq!(refused.code, ErrorCode::IdentityChanged);
            let line = format!("{}, line 1,", known.path().display());
            for part in ["nas:2222", &line, &key(1).to_string(), &key(2).to_string()] {
                assert!(refused.message.contains(part), "{refused}");
            }
            assert!(scene.heard().is_empty());
        }
    }

    #[test]
    fn whom_the_system_vouches_for_is_trusted_and_not_remembered() {
        for policy in POLICIES {
            let scene = scene(policy, Consent::Refused);
            assert_eq!(scene.judge("nas", 1, true), Ok(Decision::Trusted));
            assert!(scene.keeps_nothing() && scene.heard().is_empty());
        }
    }

    #[test]
    fn the_policy_decides_about_strangers() {
        let accepting = scene(TrustPolicy::AcceptNew, Consent::Refused);
        for _ in 0..2 {
            assert_eq!(accepting.judge("nas", 1, false), Ok(Decision::Trusted));
        }
        assert_eq!(accepting.heard(), ["met nas:2222 true"]);
        assert_eq!(
            code(accepting.judge("nas", 2, false)),
            ErrorCode::IdentityChanged
        );

        let asking = scene(TrustPolicy::Ask, Consent::Given);
        let asked = asking.judge("nas", 1, false);
        assert_eq!(asked, Ok(Decision::Ask(key(1))));

        let strict = scene(TrustPolicy::Strict, Consent::Given);
        let refused = strict.judge("nas", 1, false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Untrusted);
        let url = format!("fileshare://nas:2222#{}", key(1));
        assert!(refused.message.contains(&url), "{refused}");
        assert!(strict.keeps_nothing() && strict.heard().is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_kept_and_only_yes_is_one() {
        let server: ServerAddress = "nas".parse().unwrap();
        for says in [Consent::Given, Consent::Refused, Consent::NobodyToAsk] {
            let scene = scene(TrustPolicy::Ask, says);
            let answered = scene.trust.ask(&server, key(1)).await;
            let heard = scene.heard();
            assert_eq!(heard[0], "asked nas:2222");
            if says == Consent::Given {
                assert_eq!(answered, Ok(()));
                assert_eq!(heard[1], "met nas:2222 true");
                assert_eq!(scene.judge("nas", 1, false), Ok(Decision::Trusted));
            } else {
                assert_eq!(answered.unwrap_err().code, ErrorCode::Untrusted);
                assert!(scene.keeps_nothing());
            }
        }
    }

    #[test]
    fn a_key_that_cannot_be_kept_is_refused() {
        let mut scene = scene(TrustPolicy::AcceptNew, Consent::Given);
        let url = format!("fileshare://nas:2222#{}", key(1));
        // Nobody can make a folder there.
        for known in [
            None,
            Some(KnownServers::at("/proc/fileshare/known_servers")),
        ] {
            scene.trust.known = known;
            let refused = scene.judge("nas", 1, false).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Untrusted);
            assert!(refused.message.contains(&url), "{refused}");
            assert!(scene.heard().is_empty());
        }
    }
}
