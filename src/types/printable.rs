use std::fmt::{self, Write};

/// Text from somebody else, escaped so that a terminal shows it and never obeys it.
///
/// Every string that came over the wire or from a foreign file name is printed through this type:
/// control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls and
/// zero-width characters appear as `\u{..}`; everything else stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl Printable<'_> {
    /// Whether the character is escaped, for texts that have escapes of their own kind.
    pub fn escapes(character: char) -> bool {
        acts_on_a_terminal(character)
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if acts_on_a_terminal(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal would act on the character, or hide it, instead of showing it.
fn acts_on_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_a_terminal_obeys_and_keeps_the_rest() {
        let hostile = "a\u{1b}]52;c;AAAA\u{7}\r\n\u{9b}2J\u{202e}gpj\u{200b}é漢🎉";
        assert_eq!(
            Printable(hostile).to_string(),
            "a\\u{1b}]52;c;AAAA\\u{7}\\u{d}\\u{a}\\u{9b}2J\\u{202e}gpj\\u{200b}é漢🎉"
        );
    }

    proptest! {
        #[test]
        fn never_prints_anything_a_terminal_acts_on(text in any::<String>()) {
            prop_assert!(!Printable(&text).to_string().chars().any(acts_on_a_terminal));
        }

        #[test]
        fn leaves_plain_text_alone(text in "[ -~]*") {
            prop_assert_eq!(Printable(&text).to_string(), text);
        }
    }
}
