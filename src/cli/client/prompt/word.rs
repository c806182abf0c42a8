//! Words of a line that is still being typed, by the rules of shell quoting.

/// The word that the cursor stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it begins in the line, in bytes, its quotation mark included.
    pub start: usize,
    /// What it says, without quoting.
    pub text: String,
    /// The quotation mark that is still open.
    pub quote: Option<char>,
}

/// Splits what stands before the cursor into whole words and the one being typed, which is empty
/// after a space.
pub fn split(line: &str) -> (Vec<String>, Word) {
    let mut whole = Vec::new();
    let mut word = Word {
        start: 0,
        text: String::new(),
        quote: None,
    };
    let mut begun = false;
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        if !begun && !character.is_whitespace() {
            begun = true;
            word.start = at;
        }
        match (word.quote, character) {
            (Some(quote), end) if quote == end => word.quote = None,
            (Some('\''), other) => word.text.push(other),
            (None, quote @ ('\'' | '"')) => word.quote = Some(quote),
            (None, space) if space.is_whitespace() => {
                if begun {
                    whole.push(std::mem::take(&mut word.text));
                    begun = false;
                }
            }
            (Some('"'), '\\') => match characters.next() {
                Some((_, escaped @ ('"' | '\\' | '$' | '`'))) => word.text.push(escaped),
                Some((_, other)) => word.text.extend(['\\', other]),
                None => {}
            },
            (None, '\\') => word
                .text
                .extend(characters.next().map(|(_, escaped)| escaped)),
            (_, other) => word.text.push(other),
        }
    }
    if !begun {
        word.start = line.len();
    }
    (whole, word)
}

/// `text` as it has to stand in the line, inside `quote` if one is open. A `finished` word is
/// closed and followed by a space; one that goes on (a folder) is not.
pub fn quoted(text: &str, quote: Option<char>, finished: bool) -> String {
    let mut line = String::with_capacity(text.len() + 3);
    line.extend(quote);
    for (at, character) in text.chars().enumerate() {
        match quote {
            Some('\'') if character == '\'' => line.push_str("'\\''"),
            Some('\'') => line.push(character),
            Some(_) if "\"\\$`".contains(character) => line.extend(['\\', character]),
            Some(_) => line.push(character),
            None if is_plain(character) && !(at == 0 && "#!".contains(character)) => {
                line.push(character);
            }
            None => line.extend(['\\', character]),
        }
    }
    if finished {
        line.extend(quote);
        line.push(' ');
    }
    line
}

/// Whether a character means nothing but itself outside of quotation marks.
fn is_plain(character: char) -> bool {
    !character.is_whitespace() && !"'\"\\$`&|;<>()*?[]{}~#!".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_word_at_the_cursor() {
        for (line, words, start, text, quote) in [
            ("", &[][..], 0, "", None),
            ("ge", &[], 0, "ge", None),
            ("get ", &["get"], 4, "", None),
            ("get a b", &["get", "a"], 6, "b", None),
            ("get 'a b", &["get"], 4, "a b", Some('\'')),
            ("get \"a \\\"b", &["get"], 4, "a \"b", Some('"')),
            ("get a\\ b", &["get"], 4, "a b", None),
            ("get 'a b' c", &["get", "a b"], 10, "c", None),
            ("get '' ", &["get", ""], 7, "", None),
            ("get x'y z", &["get"], 4, "xy z", Some('\'')),
            ("get a\\", &["get"], 4, "a", None),
            ("é 漢", &["é"], 3, "漢", None),
        ] {
            let (whole, word) = split(line);
            assert_eq!(whole, words, "{line}");
            let expected = Word {
                start,
                text: text.to_owned(),
                quote,
            };
            assert_eq!(word, expected, "{line}");
        }
    }

    #[test]
    fn quotes_what_would_mean_something_else() {
        for (text, quote, finished, expected) in [
            ("a.txt", None, true, "a.txt "),
            ("a b", None, true, "a\\ b "),
            ("docs/", None, false, "docs/"),
            ("a b", Some('\''), true, "'a b' "),
            ("a'b", Some('\''), true, "'a'\\''b' "),
            ("a\"$b", Some('"'), true, "\"a\\\"\\$b\" "),
            ("#a", None, true, "\\#a "),
            ("é漢", None, true, "é漢 "),
        ] {
            assert_eq!(quoted(text, quote, finished), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(text in "[^\\x00-\\x1f\\x7f]{1,12}", quote in prop::sample::select(vec![None, Some('\''), Some('"')])) {
            let line = format!("get {}", quoted(&text, quote, true));
            prop_assert_eq!(shlex::split(&line), Some(vec!["get".to_owned(), text.clone()]));
            let (whole, word) = split(&line);
            prop_assert_eq!(whole, vec!["get".to_owned(), text]);
            prop_assert_eq!(word.text, "");
        }

        #[test]
        fn no_line_is_too_strange(line in any::<String>()) {
            let (_, word) = split(&line);
            prop_assert!(line.is_char_boundary(word.start));
        }
    }
}
