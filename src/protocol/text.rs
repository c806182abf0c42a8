//! Texts on the wire: nothing is set aside for bytes that are not there.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::list;

/// Reads a text.
///
/// Asked for an owned string, bincode sets aside whatever length the bytes claim before it looks
/// whether they are there. Asked for a borrowed one it looks first, and the copy is exact.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(String::from)
}

/// Reads a text that may be missing.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<Text>::deserialize(deserializer)?;
    Ok(text.map(String::from))
}

/// Reads a list of at most `MAX` texts.
pub(super) fn several<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let texts = list::bounded::<D, Text, MAX, 8>(deserializer)?;
    Ok(texts.into_iter().map(String::from).collect())
}

struct Text(String);

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text that is all there")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }
}
