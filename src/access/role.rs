use std::fmt;

/// What somebody may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nothing at all.
    None,
    /// List and download.
    Reader,
    /// Add what does not replace anything: upload new files, make folders, rename to a free name.
    Contributor,
    /// Also replace and remove.
    Editor,
    /// Also see and end other people's sessions.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Role; 5] = [
        Role::None,
        Role::Reader,
        Role::Contributor,
        Role::Editor,
        Role::Admin,
    ];

    /// The role as a number for the wire, 0 to 4.
    pub fn level(self) -> u8 {
        self as u8
    }

    /// The role with this number on the wire.
    pub fn from_level(level: u8) -> Option<Self> {
        Self::ALL.get(usize::from(level)).copied()
    }

    /// The role that is called so, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The word for the role, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Reader => "reader",
            Role::Contributor => "contributor",
            Role::Editor => "editor",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that needs a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Learn that a file exists, or read it.
    Read,
    /// Add a file or folder, or give one a free name.
    Add,
    /// Replace a file.
    Overwrite,
    /// Remove a file or folder.
    Remove,
    /// See what was removed, and bring it back.
    Restore,
    /// Take back what one did oneself.
    Undo,
    /// See other people's sessions, or end one.
    Administer,
    /// Be known to other clients by a name, and offer files to them.
    Offer,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 8] = [
        Action::Read,
        Action::Add,
        Action::Overwrite,
        Action::Remove,
        Action::Restore,
        Action::Undo,
        Action::Administer,
        Action::Offer,
    ];

    /// The least role that may do it.
    pub fn needs(self) -> Role {
        match self {
            Action::Read => Role::Reader,
            Action::Add | Action::Undo | Action::Offer => Role::Contributor,
            Action::Overwrite | Action::Remove | Action::Restore => Role::Editor,
            Action::Administer => Role::Admin,
        }
    }
}

/// The one check: whether `role` may do `action`.
pub fn check(role: Role, action: Action) -> Result<(), Denied> {
    if role >= action.needs() {
        Ok(())
    } else {
        Err(Denied { role, action })
    }
}

/// A refusal; it names the role that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// The role that somebody has.
    pub role: Role,
    /// What they wanted to do.
    pub action: Action,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.action {
            Action::Read => "reading",
            Action::Add => "adding files",
            Action::Overwrite => "replacing files",
            Action::Remove => "removing files",
            Action::Restore => "seeing and restoring what was removed",
            Action::Undo => "taking back changes",
            Action::Administer => "seeing and ending sessions",
            Action::Offer => "registering and offering files",
        };
        let (needs, role) = (self.action.needs(), self.role);
        write!(f, "{what} needs the role {needs}, and yours is {role}")
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_contract_says() {
        use Action::*;
        for (role, allowed) in [
            (Role::None, &[][..]),
            (Role::Reader, &[Read]),
            (Role::Contributor, &[Read, Add, Undo, Offer]),
            (
                Role::Editor,
                &[Read, Add, Overwrite, Remove, Restore, Undo, Offer],
            ),
            (Role::Admin, &Action::ALL),
        ] {
            for action in Action::ALL {
                assert_eq!(
                    check(role, action).is_ok(),
                    allowed.contains(&action),
                    "{role} {action:?}"
                );
            }
            assert_eq!(Role::from_level(role.level()), Some(role));
            assert_eq!(Role::from_name(role.name()), Some(role));
        }
        assert_eq!(Role::from_level(5), None);
    }

    #[test]
    fn a_refusal_names_the_role_needed() {
        let denied = check(Role::Contributor, Action::Remove).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "removing files needs the role editor, and yours is contributor"
        );
    }
}
