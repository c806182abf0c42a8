use super::patterns::Depth;
use super::{FileName, PatternError, Patterns};

/// Which names of a walk are meant (`--include`, `--exclude`).
///
/// A glob without a slash is compared with the last part of a name, however deep it is; one with a
/// slash, be it the first character, with the whole name below the folder that is walked. Whatever
/// a glob means, it means with everything in it. What is excluded is not included again.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

impl Filter {
    /// Reads the globs; without any to include, every name is included.
    pub fn parse<T: AsRef<str>>(include: &[T], exclude: &[T]) -> Result<Self, PatternError> {
        Ok(Filter {
            include: globs(include)?,
            exclude: globs(exclude)?,
        })
    }

    /// Whether the name is meant.
    pub fn takes(&self, name: &FileName) -> bool {
        let included = self
            .include
            .as_ref()
            .is_none_or(|globs| globs.is_match(name));
        included && !self.excludes(name)
    }

    /// Whether the name is excluded, and with it everything in it.
    pub fn excludes(&self, name: &FileName) -> bool {
        let exclude = self.exclude.as_ref();
        exclude.is_some_and(|globs| globs.is_match(name))
    }

    /// Whether it takes every name.
    pub fn takes_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }
}

fn globs<T: AsRef<str>>(globs: &[T]) -> Result<Option<Patterns>, PatternError> {
    if globs.is_empty() {
        return Ok(None);
    }
    Patterns::parse_at(globs, Depth::Any).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(include: &[&str], exclude: &[&str], name: &str) -> bool {
        let filter = Filter::parse(include, exclude).unwrap();
        filter.takes(&FileName::parse(name).unwrap())
    }

    #[test]
    fn a_glob_without_a_slash_means_the_last_part_at_any_depth() {
        for name in ["a.o", "src/a.o", "src/deep/a.o", "x.o/in/it"] {
            assert!(!takes(&[], &["*.o"], name), "{name}");
        }
        assert!(takes(&[], &["*.o"], "a.c"));
        assert!(!takes(&[], &["target/"], "a/target/b"));
    }

    #[test]
    fn a_glob_with_a_slash_means_the_whole_name() {
        assert!(!takes(&[], &["/target"], "target/a"));
        assert!(takes(&[], &["/target"], "a/target"));
        assert!(!takes(&[], &["src/*.o"], "src/a.o"));
        assert!(takes(&[], &["src/*.o"], "src/deep/a.o"));
        assert!(takes(&[], &["src/*.o"], "x/src/a.o"));
        assert!(!takes(&[], &["**/src/*.o"], "x/src/a.o"));
    }

    #[test]
    fn what_is_excluded_is_not_included_again() {
        assert!(takes(&["*.jpg"], &[], "a/b.jpg"));
        assert!(takes(&["photos"], &[], "a/photos/b"));
        assert!(!takes(&["*.jpg"], &[], "a/b.png"));
        assert!(!takes(&["*.jpg"], &["a"], "a/b.jpg"));
        assert!(Filter::default().takes_all());
    }

    #[test]
    fn says_which_glob_is_wrong_as_it_was_typed() {
        let error = Filter::parse(&["[a"], &[]).unwrap_err();
        assert_eq!(error.pattern, "[a");
    }
}
