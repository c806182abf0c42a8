use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::FileName;

/// Globs over names: `*` and `?` stay within a part, `**` crosses slashes, `[]` are classes.
///
/// A pattern means a name when it matches it or one of its folders, or is spelled like one of
/// them. No pattern at all means every name.
#[derive(Debug, Clone)]
pub struct Patterns {
    texts: Vec<String>,
    globs: GlobSet,
}

/// The longest pattern, in bytes: that of a name.
const MAX_BYTES: usize = FileName::MAX_BYTES;

/// How many alternatives (`{a,b}`) may stand inside of each other. The glob library recurses over
/// them, and a stranger must not choose how deep.
const MAX_NESTING: usize = 8;

/// A pattern that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} cannot be understood: {reason}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How deep a pattern without a slash may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Right at the top.
    Top,
    /// Anywhere, unless a slash before it ties it to the top.
    Any,
}

impl Patterns {
    /// Reads the patterns.
    pub fn parse<T: AsRef<str>>(patterns: &[T]) -> Result<Self, PatternError> {
        Self::parse_at(patterns, Depth::Top)
    }

    pub(super) fn parse_at<T: AsRef<str>>(
        patterns: &[T],
        depth: Depth,
    ) -> Result<Self, PatternError> {
        let mut globs = GlobSetBuilder::new();
        let mut texts = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            // Completion leaves a slash behind folders.
            let text = pattern.strip_suffix('/').unwrap_or(pattern);
            check_cost(text).map_err(|reason| bad(shortened(text), reason))?;
            let text = match (depth, text.strip_prefix('/')) {
                (Depth::Top, _) => text.to_owned(),
                (Depth::Any, Some(tied)) => tied.to_owned(),
                (Depth::Any, None) if text.contains('/') => text.to_owned(),
                (Depth::Any, None) => format!("**/{text}"),
            };
            let glob = GlobBuilder::new(&text).literal_separator(true).build();
            globs.add(glob.map_err(|error| bad(pattern, error.kind()))?);
            texts.push(text);
        }
        let globs = globs.build().map_err(|error| {
            let pattern = error.glob().unwrap_or_default().to_owned();
            bad(&pattern, error.kind())
        })?;
        Ok(Patterns { texts, globs })
    }

    /// Whether the name or one of its folders is meant by one of the patterns.
    pub fn is_match(&self, name: &FileName) -> bool {
        let mut ancestors = name.ancestors();
        self.texts.is_empty()
            || self.is_match_text(name.as_str())
            || ancestors.any(|folder| self.is_match_text(folder.as_str()))
    }

    /// The names that the patterns spell out, when there are patterns and none has a wildcard:
    /// then nothing but these and what is in them can be meant.
    pub fn spelled_out(&self) -> Option<Vec<FileName>> {
        if self.texts.is_empty() || self.texts.iter().any(|text| Self::is_wild(text)) {
            return None;
        }
        self.texts
            .iter()
            .map(|text| FileName::parse(text).ok())
            .collect()
    }

    /// Whether a pattern is more than a name.
    pub fn is_wild(pattern: &str) -> bool {
        pattern.contains(['*', '?', '[', '{', '\\'])
    }

    fn is_match_text(&self, text: &str) -> bool {
        self.texts.iter().any(|spelled| spelled == text) || self.globs.is_match(text)
    }
}

/// Refuses what would take too much time or stack to compile.
fn check_cost(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 4096 bytes");
    }
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err("its alternatives are nested more than 8 deep");
        }
    }
    Ok(())
}

/// Enough of a text to recognise it by.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(60)).unwrap_or(text)
}

fn bad(pattern: &str, reason: impl ToString) -> PatternError {
    PatternError {
        pattern: pattern.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], name: &str) -> bool {
        let patterns = Patterns::parse(patterns).unwrap();
        patterns.is_match(&FileName::parse(name).unwrap())
    }

    #[test]
    fn stars_stay_within_a_part() {
        assert!(matches(&["*.txt"], "a.txt"));
        assert!(!matches(&["*.txt"], "docs/a.txt"));
        assert!(matches(&["**/*.txt"], "docs/deep/a.txt"));
        assert!(matches(&["docs"], "docs/deep/a.txt"));
        assert!(matches(&["d*"], "docs/a.txt"));
        assert!(matches(&["docs/"], "docs/a.txt"));
        assert!(matches(&["[a].txt"], "[a].txt"), "spelled like it");
        assert!(matches(&["[ab].txt"], "b.txt"));
        assert!(!matches(&["b"], "a"));
        assert!(matches(&[], "anything"));
    }

    #[test]
    fn knows_when_names_are_spelled_out() {
        let spelled = |patterns: &[&str]| Patterns::parse(patterns).unwrap().spelled_out();
        assert_eq!(spelled(&["a", "b/c"]).unwrap().len(), 2);
        assert!(spelled(&["a*"]).is_none());
        assert!(spelled(&[]).is_none());
    }

    #[test]
    fn says_what_is_wrong() {
        let error = Patterns::parse(&["a[".to_owned()]).unwrap_err();
        assert_eq!(error.pattern, "a[");
        let nested = format!("{}a{}", "{".repeat(30_000), "}".repeat(30_000));
        assert!(Patterns::parse(&[nested]).is_err());
        let nested = format!("{}a{}", "{".repeat(9), "}".repeat(9));
        assert!(Patterns::parse(&[nested]).is_err());
        assert!(Patterns::parse(&["x".repeat(4097)]).is_err());
        assert!(Patterns::parse(&["{a,{b,c}}*".to_owned()]).is_ok());
    }
}
