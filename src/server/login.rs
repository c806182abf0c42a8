use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::attempts::Attempts;
use super::conversation::blocking;
use super::permission::Rules;
use crate::access::{Account, Password, PasswordHash};
use crate::protocol::message::Login;
use crate::protocol::{ErrorCode, Failure};

/// How many passwords are checked at once at most, however many cores there are: each one takes
/// 19 MiB.
const MAX_CHECKS: usize = 4;

/// How long before the deadline an answer has to leave.
const MARGIN: Duration = Duration::from_secs(1);

/// Where logins are checked: each in the same time and with the same answer, whether there is such
/// a user or not; few at once, one address at a time; and slower where they keep failing.
pub(super) struct Logins {
    attempts: Attempts,
    checks: Arc<Semaphore>,
    #[cfg(test)]
    counted: Arc<tests::Counted>,
}

impl Default for Logins {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Logins {
            attempts: Attempts::default(),
            checks: Arc::new(Semaphore::new(cores.min(MAX_CHECKS))),
            #[cfg(test)]
            counted: Arc::default(),
        }
    }
}

impl Logins {
    /// The account that `login` opens. Its answer, yes or no, waits before `deadline` where logins
    /// from `address` have failed often.
    pub(super) async fn check(
        &self,
        rules: &Rules,
        login: Login,
        address: Option<SocketAddr>,
        deadline: Instant,
    ) -> Result<Account, Failure> {
        let source = self.attempts.source(address);
        let turn = source.turn().await;
        let permit = self.checks.clone().acquire_owned().await;
        let permit = permit.map_err(|_| wrong())?;
        let (rules, failing) = (rules.clone(), source.clone());
        #[cfg(test)]
        let counted = self.counted.clone();
        let checked = blocking(move || {
            // To the end of the check, should nobody wait for it any more.
            let _held = (turn, permit);
            #[cfg(test)]
            let _counting = counted.begin();
            let account = verify(&rules, login)?;
            if account.is_none() {
                failing.failed();
            }
            Ok(account)
        });
        let account = checked.await?;
        let left = deadline.saturating_duration_since(Instant::now() + MARGIN);
        sleep(source.wait().min(left)).await;
        account.ok_or_else(|| {
            info!("a login failed");
            wrong()
        })
    }
}

/// The answer to every login that fails, whatever the reason.
fn wrong() -> Failure {
    Failure::new(ErrorCode::Unauthorized, "wrong user or password")
}

/// The account that has this name and password; always hashes one password.
fn verify(rules: &Rules, login: Login) -> Result<Option<Account>, Failure> {
    let Login { user, password } = login;
    let password = Password::new(password);
    let users = rules.users()?;
    let named = user.parse().ok().zip(users);
    let account = named.and_then(|(user, users)| users.get(&user).cloned());
    match (account, password) {
        (Some(account), Ok(password)) => {
            Ok(Some(account).filter(|account| account.hash.verifies(&password)))
        }
        (_, password) => {
            let stand_in = || Password::new("nobody".to_owned());
            if let (Ok(nobody), Ok(password)) =
                (PasswordHash::of_nobody(), password.or_else(|_| stand_in()))
            {
                nobody.verifies(&password);
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::access::{Accounts, Role};
    use crate::disk::Folder;
    use crate::protocol::limits::GREETING_TIME;
    use tempfile::TempDir;

    /// How many checks there were, and how many at once.
    #[derive(Default)]
    pub struct Counted {
        begun: AtomicUsize,
        running: AtomicUsize,
        most: AtomicUsize,
    }

    pub struct Counting(Arc<Counted>);

    impl Counted {
        pub fn begin(self: Arc<Self>) -> Counting {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let running = 1 + self.running.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(running, Ordering::SeqCst);
            Counting(self)
        }
    }

    impl Drop for Counting {
        fn drop(&mut self) {
            self.0.running.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The rules of a server with the user bob, whose password is "secret".
    fn rules() -> (TempDir, Rules) {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(&Folder::open(folder.path()).unwrap(), folder.path());
        let password = Password::new("secret".to_owned()).unwrap();
        let account = Account {
            name: "bob".parse().unwrap(),
            role: Role::Reader,
            hash: PasswordHash::of(&password).unwrap(),
        };
        accounts.add(account).unwrap();
        (folder, Rules::new(Some(accounts), None))
    }

    fn login(user: &str, password: &str) -> Login {
        Login {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn address(number: u8) -> Option<SocketAddr> {
        Some((Ipv4Addr::new(192, 0, 2, number), 5000).into())
    }

    fn deadline() -> Instant {
        Instant::now() + GREETING_TIME
    }

    #[tokio::test]
    async fn every_wrong_login_takes_the_same_work_and_gets_the_same_answer() {
        let (_folder, rules) = rules();
        let nobody = Rules::new(None, None);
        let logins = Logins::default();
        for (number, (rules, user, password)) in [
            (&rules, "bob", "wrong"),
            (&rules, "eve", "secret"),
            (&rules, "eve", "wrong"),
            (&rules, "Bob", "secret"),
            (&rules, "", ""),
            (&rules, "bob", ""),
            (&rules, "bob", "sec\0ret"),
            (&rules, "bob\n", "secret"),
            (&rules, "bob", "secret "),
            (&nobody, "bob", "secret"),
        ]
        .into_iter()
        .enumerate()
        {
            let from = address(number as u8);
            let answer = logins.check(rules, login(user, password), from, deadline());
            assert_eq!(answer.await.unwrap_err(), wrong(), "{user} {password}");
            assert_eq!(logins.counted.begun.load(Ordering::SeqCst), number + 1);
        }
        let right = logins.check(&rules, login("bob", "secret"), address(99), deadline());
        assert_eq!(right.await.unwrap().name.as_str(), "bob");
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_password_is_never_refused_however_often_it_was_wrong_before() {
        let (_folder, rules) = rules();
        let logins = Logins::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            let answer = logins.check(&rules, login("bob", "?"), address(1), deadline());
            answer.await.unwrap_err();
            waits.push(start.elapsed().as_millis() / 100);
        }
        assert_eq!(waits, [0, 0, 0, 5, 10, 20, 40, 50, 50]);
        for (from, waits) in [(1, 5), (2, 0)] {
            let start = Instant::now();
            let answer = logins.check(&rules, login("bob", "secret"), address(from), deadline());
            answer.await.unwrap();
            assert_eq!(start.elapsed().as_secs(), waits);
        }
        // Whoever came late still hears before the greeting is over.
        let soon = Instant::now() + Duration::from_secs(3);
        let answer = logins.check(&rules, login("bob", "secret"), address(1), soon);
        answer.await.unwrap();
        assert!(Instant::now() < soon);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_logins_at_once_hash_few_at_a_time_and_leave_room_for_another_address() {
        let (_folder, rules) = rules();
        let logins = Arc::new(Logins::default());
        let mut flood = tokio::task::JoinSet::new();
        for number in 0..1000u32 {
            let (logins, rules) = (logins.clone(), rules.clone());
            flood.spawn(async move {
                let login = login("bob", &number.to_string());
                let _ = logins.check(&rules, login, address(1), deadline()).await;
            });
        }
        // The flood has begun.
        while logins.counted.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let good = logins.check(&rules, login("bob", "secret"), address(2), deadline());
        good.await.unwrap();
        // And one from the very place that the flood comes from, as the last one there.
        let good = logins.check(&rules, login("bob", "secret"), address(1), deadline());
        good.await.unwrap();
        // They waited for a few other checks and not for all of them.
        let begun = logins.counted.begun.load(Ordering::SeqCst);
        assert!(begun < 500, "{begun}");
        assert!(logins.counted.most.load(Ordering::SeqCst) <= 2);
        flood.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn logins_from_everywhere_hash_few_at_a_time() {
        let (_folder, rules) = rules();
        let logins = Arc::new(Logins::default());
        let mut flood = tokio::task::JoinSet::new();
        for number in 0..40 {
            let (logins, rules) = (logins.clone(), rules.clone());
            let login = login("bob", "?");
            let from = address(number);
            flood.spawn(async move { logins.check(&rules, login, from, deadline()).await });
        }
        while let Some(answer) = flood.join_next().await {
            assert_eq!(answer.unwrap().unwrap_err(), wrong());
        }
        let most = logins.counted.most.load(Ordering::SeqCst);
        assert!(most <= MAX_CHECKS, "{most}");
        assert_eq!(logins.counted.begun.load(Ordering::SeqCst), 40);
    }
}
