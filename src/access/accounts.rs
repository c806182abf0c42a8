use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::{Account, AccountBook, AccountBookError, PasswordHash, Role};
use crate::disk::{Document, FileFacts, FileKind, Folder};
use crate::types::{Printable, UserName};

/// The name of the accounts file in the state folder.
const LEAF: &str = "accounts";

/// The name of the file that says that there have been users: it stays when the accounts file goes.
const MARKER: &str = "had-users";

/// The largest accounts file, in bytes: some 20,000 users.
const LIMIT: u64 = 4 << 20;

/// A file whose time of change is younger than this may change again under the same time.
const SETTLES_AFTER: Duration = Duration::from_secs(2);

/// The users of a server: the file `accounts` in its state folder, one line `NAME:ROLE:HASH` each
/// (contract section 7).
///
/// Any number of processes may change it at any time. Every question looks at the file first and
/// reads it again when it has changed, so that each answer holds for this moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    document: Document,
    marker: Document,
    path: PathBuf,
    known: Mutex<Known>,
}

/// What the file said when it was last read.
#[derive(Debug, Default)]
struct Known {
    /// The facts of the file that was read, when they can be trusted to change with it.
    facts: Option<FileFacts>,
    users: Option<Arc<Users>>,
    /// Why it could not be read, when it could not.
    error: Option<Arc<AccountsError>>,
}

/// The accounts of one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Users(HashMap<UserName, Account>);

/// Why the accounts cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file has a line that makes no sense.
    #[error("{}, {source}", show(path))]
    Malformed {
        /// The accounts file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        source: AccountBookError,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", show(path))]
    Io {
        /// The accounts file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There have been users, and the file is gone: what they protected stays closed.
    #[error(
        "{} is missing: put it back, or remove {MARKER} beside it, too, to begin without users",
        show(.0)
    )]
    Missing(PathBuf),
    /// There is such a user already.
    #[error("there is a user {0} already")]
    Exists(UserName),
    /// There is no such user.
    #[error("there is no user {0}")]
    Unknown(UserName),
}

impl Users {
    /// The account with this name.
    pub fn get(&self, user: &UserName) -> Option<&Account> {
        self.0.get(user)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Accounts {
    /// The accounts in the state folder `state`, whose path is for messages. The file need not be
    /// there.
    pub fn new(state: &Folder, path: &Path) -> Self {
        Accounts {
            shared: Arc::new(Shared {
                document: Document::new(state, LEAF, LIMIT),
                marker: Document::new(state, MARKER, LIMIT),
                path: path.join(LEAF),
                known: Mutex::default(),
            }),
        }
    }

    /// Who may log in now; `None` as long as no user has ever existed. An accounts file that
    /// cannot be read says so in the log, once for each change.
    pub fn users(&self) -> Result<Option<Arc<Users>>, Arc<AccountsError>> {
        let shared = &self.shared;
        let mut known = shared.known.lock().unwrap_or_else(|e| e.into_inner());
        let facts = match shared.document.facts() {
            Ok(None) if shared.had_users() => {
                return known.fail(AccountsError::Missing(shared.path.clone()));
            }
            Ok(None) => {
                *known = Known::default();
                return Ok(None);
            }
            Ok(Some(facts)) if known.facts == Some(facts) => return known.answer(),
            Ok(Some(facts)) => facts,
            Err(source) => return known.fail(shared.io(source)),
        };
        match shared.read(facts) {
            Ok(users) => {
                // The same Arc for the same users: who compares them sees at once what is new.
                if known.users.as_deref() != Some(&users) {
                    known.users = Some(Arc::new(users));
                }
                known.error = None;
            }
            Err(error) => {
                let _ = known.fail(error);
            }
        }
        known.facts = Some(facts).filter(is_settled);
        known.answer()
    }

    /// What a client without an account may do now, if `chosen` is what whoever runs the server
    /// says about it: without a word a contributor as long as no user has ever existed, and from
    /// then on nothing.
    pub fn anonymous_role(&self, chosen: Option<Role>) -> Result<Role, Arc<AccountsError>> {
        let users = self.users()?;
        Ok(chosen.unwrap_or(match users {
            None => Role::Contributor,
            Some(_) => Role::None,
        }))
    }

    /// All accounts, in the order of the file.
    pub fn list(&self) -> Result<Vec<Account>, AccountsError> {
        let shared = &self.shared;
        let read = shared.document.read().map_err(|e| shared.io(e))?;
        let book = shared.parse(read.as_deref())?;
        Ok(book.accounts().cloned().collect())
    }

    /// Adds a user; the file is made when this is the first one.
    pub fn add(&self, account: Account) -> Result<(), AccountsError> {
        self.change(move |book| match book.add(account.clone()) {
            true => Ok(()),
            false => Err(AccountsError::Exists(account.name)),
        })
    }

    /// Gives a user another password.
    pub fn set_password(&self, user: &UserName, hash: PasswordHash) -> Result<(), AccountsError> {
        self.change(|book| {
            book.account_mut(user)
                .map(|account| account.hash = hash)
                .ok_or_else(unknown(user))
        })
    }

    /// Gives a user another role.
    pub fn set_role(&self, user: &UserName, role: Role) -> Result<(), AccountsError> {
        self.change(|book| {
            book.account_mut(user)
                .map(|account| account.role = role)
                .ok_or_else(unknown(user))
        })
    }

    /// Removes a user. The file stays, even without users: the next server start must not open
    /// what they were there to protect.
    pub fn remove(&self, user: &UserName) -> Result<(), AccountsError> {
        self.change(|book| match book.remove(user) {
            true => Ok(()),
            false => Err(AccountsError::Unknown(user.clone())),
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut AccountBook) -> Result<(), AccountsError>,
    ) -> Result<(), AccountsError> {
        let shared = &self.shared;
        let changed = shared.document.update(|before| {
            let mut book = shared.parse(before.as_deref())?;
            change(&mut book)?;
            Ok(book.to_string().into_bytes())
        });
        changed.map_err(|error| match error {
            ChangeError::Io(source) => shared.io(source),
            ChangeError::Refused(error) => error,
        })?;
        shared.mark();
        Ok(())
    }
}

impl Shared {
    fn read(&self, facts: FileFacts) -> Result<Users, AccountsError> {
        if facts.kind != FileKind::File {
            return Err(self.io(io::Error::other("it is not a regular file")));
        }
        let text = self.document.read().map_err(|error| self.io(error))?;
        let book = self.parse(text.as_deref())?;
        self.mark();
        let accounts = book.accounts();
        let users = accounts.map(|account| (account.name.clone(), account.clone()));
        Ok(Users(users.collect()))
    }

    fn parse(&self, text: Option<&[u8]>) -> Result<AccountBook, AccountsError> {
        let text = match text {
            Some(text) => text,
            None if self.had_users() => return Err(AccountsError::Missing(self.path.clone())),
            None => return Ok(AccountBook::default()),
        };
        AccountBook::parse(text).map_err(|source| AccountsError::Malformed {
            path: self.path.clone(),
            source,
        })
    }

    /// Whether there has ever been an accounts file. Where that cannot be told, there has.
    fn had_users(&self) -> bool {
        !matches!(self.marker.facts(), Ok(None))
    }

    /// Notes for good that there is an accounts file.
    fn mark(&self) {
        if self.had_users() {
            return;
        }
        let text = b"There have been users here: see the file accounts.\n".to_vec();
        if let Err(error) = self.marker.update(|_| Ok::<_, io::Error>(text)) {
            tracing::warn!(%error, "it cannot be noted that there are users");
        }
    }

    fn io(&self, source: io::Error) -> AccountsError {
        AccountsError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

impl Known {
    fn answer(&self) -> Result<Option<Arc<Users>>, Arc<AccountsError>> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None => Ok(self.users.clone()),
        }
    }

    /// Remembers why nobody is let in, and says it unless it was said before.
    fn fail(&mut self, error: AccountsError) -> Result<Option<Arc<Users>>, Arc<AccountsError>> {
        let before = self.error.as_ref().map(|before| before.to_string());
        if before != Some(error.to_string()) {
            tracing::error!(%error, "nobody is let in: the accounts cannot be read");
        }
        self.facts = None;
        self.users = None;
        self.error = Some(Arc::new(error));
        self.answer()
    }
}

/// Whether another change would show in the time of change.
fn is_settled(facts: &FileFacts) -> bool {
    let age = SystemTime::now().duration_since(facts.modified.into());
    age.is_ok_and(|age| age >= SETTLES_AFTER)
}

fn unknown(user: &UserName) -> impl FnOnce() -> AccountsError {
    || AccountsError::Unknown(user.clone())
}

fn show(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}

/// Why a change was not made: the document knows no accounts.
enum ChangeError {
    Io(io::Error),
    Refused(AccountsError),
}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> Self {
        ChangeError::Io(error)
    }
}

impl From<AccountsError> for ChangeError {
    fn from(error: AccountsError) -> Self {
        ChangeError::Refused(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn accounts() -> (TempDir, Accounts) {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(&Folder::open(folder.path()).unwrap(), folder.path());
        (folder, accounts)
    }

    fn account(name: &str, role: Role) -> Account {
        Account {
            name: name.parse().unwrap(),
            role,
            hash: PasswordHash::of_nobody().unwrap(),
        }
    }

    #[test]
    fn accounts_that_are_lost_open_nothing() {
        let (folder, accounts) = accounts();
        assert_eq!(accounts.anonymous_role(None).unwrap(), Role::Contributor);
        accounts.add(account("bob", Role::Reader)).unwrap();
        std::fs::remove_file(folder.path().join("accounts")).unwrap();
        let anew = Accounts::new(&Folder::open(folder.path()).unwrap(), folder.path());
        for accounts in [&accounts, &anew] {
            assert!(accounts.anonymous_role(None).is_err());
            assert!(accounts.anonymous_role(Some(Role::Editor)).is_err());
            assert!(matches!(accounts.list(), Err(AccountsError::Missing(_))));
            let eve = account("eve", Role::Admin);
            assert!(matches!(accounts.add(eve), Err(AccountsError::Missing(_))));
        }
        std::fs::remove_file(folder.path().join("had-users")).unwrap();
        assert_eq!(anew.anonymous_role(None).unwrap(), Role::Contributor);
        // One that somebody wrote by hand counts too.
        std::fs::write(folder.path().join("accounts"), "").unwrap();
        assert_eq!(anew.anonymous_role(None).unwrap(), Role::None);
        std::fs::remove_file(folder.path().join("accounts")).unwrap();
        assert!(anew.anonymous_role(None).is_err());
    }

    #[test]
    fn each_change_shows_at_once_to_whoever_asks_in_another_process() {
        let (folder, ours) = accounts();
        let theirs = Accounts::new(&Folder::open(folder.path()).unwrap(), folder.path());
        let role = |user: &str| {
            let users = ours.users().unwrap()?;
            users
                .get(&user.parse().unwrap())
                .map(|account| account.role)
        };
        assert_eq!(ours.anonymous_role(None).unwrap(), Role::Contributor);
        let bob = account("bob", Role::Reader);
        theirs.add(bob.clone()).unwrap();
        assert_eq!(ours.anonymous_role(None).unwrap(), Role::None);
        assert_eq!(
            ours.anonymous_role(Some(Role::Reader)).unwrap(),
            Role::Reader
        );
        assert_eq!(role("bob"), Some(Role::Reader));
        // As long a word, in the same moment.
        for wanted in [Role::Editor, Role::Reader, Role::Editor, Role::Reader] {
            theirs.set_role(&bob.name, wanted).unwrap();
            assert_eq!(role("bob"), Some(wanted));
        }
        assert!(matches!(
            theirs.add(bob.clone()),
            Err(AccountsError::Exists(_))
        ));
        let hash = PasswordHash::of_nobody().unwrap();
        theirs.set_password(&bob.name, hash.clone()).unwrap();
        assert_eq!(
            ours.users().unwrap().unwrap().get(&bob.name).unwrap().hash,
            hash
        );
        theirs.remove(&bob.name).unwrap();
        assert_eq!(role("bob"), None);
        for missing in [
            theirs.remove(&bob.name),
            theirs.set_role(&bob.name, Role::Admin),
            theirs.set_password(&bob.name, hash),
        ] {
            assert!(matches!(missing, Err(AccountsError::Unknown(_))));
        }
        // A user has existed.
        assert_eq!(ours.anonymous_role(None).unwrap(), Role::None);
        assert_eq!(theirs.list().unwrap(), []);
    }

    #[test]
    fn the_same_users_are_the_same_however_often_the_file_is_read() {
        let (folder, accounts) = accounts();
        accounts.add(account("bob", Role::Reader)).unwrap();
        let first = accounts.users().unwrap().unwrap();
        let text = std::fs::read(folder.path().join(LEAF)).unwrap();
        std::fs::write(folder.path().join(LEAF), text).unwrap();
        assert!(Arc::ptr_eq(&first, &accounts.users().unwrap().unwrap()));
        assert_eq!(first.count(), 1);
    }

    #[test]
    fn a_file_that_makes_no_sense_refuses_everybody_and_is_not_overwritten() {
        let (folder, accounts) = accounts();
        accounts.add(account("bob", Role::Reader)).unwrap();
        let path = folder.path().join(LEAF);
        let good = std::fs::read(&path).unwrap();
        for garbage in [
            &b"what?"[..],
            b"\0\0\0",
            b"\xff\xfe",
            b"bob:reader:secret",
            &vec![b'#'; 5 << 20],
        ] {
            std::fs::write(&path, garbage).unwrap();
            let error = accounts.users().unwrap_err().to_string();
            assert!(error.contains("accounts"), "{error}");
            assert!(accounts.anonymous_role(Some(Role::Editor)).is_err());
            assert!(accounts.add(account("eve", Role::Reader)).is_err());
            assert!(accounts.list().is_err());
            assert_eq!(std::fs::read(&path).unwrap(), garbage);
        }
        std::fs::write(&path, good).unwrap();
        assert_eq!(accounts.users().unwrap().unwrap().count(), 1);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(accounts.users().is_err());
        #[cfg(unix)]
        {
            std::fs::remove_dir(&path).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
            assert!(accounts.users().is_err());
        }
    }
}
