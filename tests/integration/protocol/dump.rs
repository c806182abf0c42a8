//! A second encoder, written from `docs/PROTOCOL.md` and not from bincode's source: it lays values
//! out byte by byte, and says of each byte what it is.

use std::fmt::Write;

use fileshare::protocol::frame::{FrameHeader, FrameKind};
use serde::ser::{self, Serialize};

/// A value laid out.
#[derive(Default)]
pub struct Dump {
    /// Each run of bytes and what it is.
    pub runs: Vec<(Vec<u8>, String)>,
    /// Each field met: the struct or variant, the field's name, and its type.
    pub fields: Vec<(String, String, String)>,
    /// Each variant met: the enum, the number and the name.
    pub variants: Vec<(String, u32, String)>,
    path: Vec<String>,
}

/// Lays a message's body out.
pub fn dump<M: Serialize>(message: &M) -> Dump {
    let mut dump = Dump::default();
    message.serialize(&mut dump).expect("everything is covered");
    dump
}

/// The message's frame as a commented hexdump.
pub fn render<M: Serialize>(message: &M) -> String {
    let dump = dump(message);
    let body = dump.bytes().len();
    let header = FrameHeader {
        kind: FrameKind::Message,
        body,
    };
    let length = body + 1;
    let mut text = line(
        &header.to_bytes(),
        &format!("length {length}; kind 0: message"),
    );
    for (bytes, what) in &dump.runs {
        text += &line(bytes, what);
    }
    text
}

/// One run of bytes, 16 to the line, with its comment beside the first.
pub fn line(bytes: &[u8], what: &str) -> String {
    let mut text = String::new();
    for (at, row) in bytes.chunks(16).enumerate() {
        let hex: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.join(" ");
        let comment = if at == 0 {
            format!("# {what}")
        } else {
            String::new()
        };
        let row = format!("{hex:<48} {comment}");
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// The bytes of a hexdump: hex digits up to a `#`; `61*300` stands for 300 times `61`.
pub fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let digits = line.split('#').next().unwrap_or_default();
        for word in digits.split_whitespace() {
            let (byte, times) = word.split_once('*').unwrap_or((word, "1"));
            assert_eq!(byte.len(), 2, "{line}");
            let byte = u8::from_str_radix(byte, 16).expect(line);
            bytes.extend(std::iter::repeat_n(byte, times.parse().expect(line)));
        }
    }
    bytes
}

impl Dump {
    /// All bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.runs
            .iter()
            .flat_map(|(bytes, _)| bytes.clone())
            .collect()
    }

    fn put(&mut self, bytes: &[u8], value: &str) {
        let path = self.path.join(".").replace(".[", "[");
        let what = match (path.as_str(), value) {
            ("", value) => value.to_owned(),
            (path, value) => format!("{path}: {value}"),
        };
        self.runs.push((bytes.to_vec(), what));
    }

    fn variant(&mut self, name: &str, index: u32, variant: &str) {
        self.variants.push((plain(name), index, variant.to_owned()));
        self.put(&index.to_le_bytes(), &format!("variant {index}: {variant}"));
    }

    fn field<T: Serialize + ?Sized>(
        &mut self,
        of: &str,
        name: &str,
        value: &T,
    ) -> Result<(), Never> {
        self.path.push(name.to_owned());
        let kind = value.serialize(&mut *self)?;
        self.path.pop();
        self.fields.push((of.to_owned(), name.to_owned(), kind));
        Ok(())
    }
}

/// A type's name as the document calls it.
fn plain(name: &str) -> String {
    name.strip_prefix("Wire").unwrap_or(name).to_owned()
}

/// Nothing goes wrong; and what the wire does not have is not implemented.
#[derive(Debug)]
pub struct Never;

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a type that the wire does not have")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Never
    }
}

macro_rules! integers {
    ($($method:ident $kind:ident)+) => {$(
        fn $method(self, value: $kind) -> Result<String, Never> {
            self.put(&value.to_le_bytes(), &value.to_string());
            Ok(stringify!($kind).to_owned())
        }
    )+};
}

macro_rules! absent {
    ($($method:ident $kind:ty)+) => {$(
        fn $method(self, _: $kind) -> Result<String, Never> { Err(Never) }
    )+};
}

impl<'a> ser::Serializer for &'a mut Dump {
    type Ok = String;
    type Error = Never;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = ser::Impossible<String, Never>;
    type SerializeTupleVariant = ser::Impossible<String, Never>;
    type SerializeMap = ser::Impossible<String, Never>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    integers! {
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64 serialize_i64 i64
    }

    absent! {
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_f32 f32 serialize_f64 f64
        serialize_char char serialize_bytes &[u8] serialize_unit_struct &'static str
    }

    fn serialize_bool(self, value: bool) -> Result<String, Never> {
        self.put(&[value.into()], &value.to_string());
        Ok("bool".to_owned())
    }

    fn serialize_str(self, value: &str) -> Result<String, Never> {
        let length = value.len() as u64;
        self.put(&length.to_le_bytes(), &format!("{length} bytes"));
        if !value.is_empty() {
            self.runs
                .push((value.as_bytes().to_vec(), format!("{value:?}")));
        }
        Ok("string".to_owned())
    }

    fn serialize_none(self) -> Result<String, Never> {
        self.put(&[0], "none");
        Ok("option<?>".to_owned())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<String, Never> {
        self.put(&[1], "some");
        let kind = value.serialize(&mut *self)?;
        Ok(format!("option<{kind}>"))
    }

    fn serialize_unit(self) -> Result<String, Never> {
        Err(Never)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<String, Never> {
        self.variant(name, index, variant);
        Ok(plain(name))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<String, Never> {
        value.serialize(self)?;
        Ok(plain(name))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<String, Never> {
        self.variant(name, index, variant);
        let kind = value.serialize(&mut *self)?;
        let of = format!("{}::{variant}", plain(name));
        self.fields.push((of, String::new(), kind));
        Ok(plain(name))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<List<'a>, Never> {
        let length = length.ok_or(Never)?;
        self.put(&(length as u64).to_le_bytes(), &format!("{length} items"));
        Ok(List::new(self, true))
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>, Never> {
        Ok(List::new(self, false))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Never> {
        Err(Never)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Never> {
        Err(Never)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Never> {
        Err(Never)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, Never> {
        let name = plain(name);
        Ok(Fields {
            dump: self,
            of: name.clone(),
            name,
        })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Never> {
        self.variant(name, index, variant);
        Ok(Fields {
            dump: self,
            of: format!("{}::{variant}", plain(name)),
            name: plain(name),
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The items of a list or tuple.
pub struct List<'a> {
    dump: &'a mut Dump,
    counted: bool,
    kinds: Vec<String>,
    /// Where the items begin.
    start: usize,
}

impl<'a> List<'a> {
    fn new(dump: &'a mut Dump, counted: bool) -> Self {
        let start = dump.runs.len();
        List {
            dump,
            counted,
            kinds: Vec::new(),
            start,
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.dump.path.push(format!("[{}]", self.kinds.len()));
        let kind = value.serialize(&mut *self.dump)?;
        self.dump.path.pop();
        self.kinds.push(kind);
        Ok(())
    }

    fn finish(self) -> String {
        let is_bytes = self.kinds.iter().all(|kind| kind == "u8") && !self.kinds.is_empty();
        let kind = match (self.counted, self.kinds.first()) {
            (false, _) if is_bytes => format!("[u8; {}]", self.kinds.len()),
            (false, _) => format!("({})", self.kinds.join(", ")),
            (true, first) => format!("list<{}>", first.map_or("?", String::as_str)),
        };
        if is_bytes {
            // Bytes in one run, rather than one by one.
            let bytes: Vec<u8> = self
                .dump
                .runs
                .drain(self.start..)
                .flat_map(|run| run.0)
                .collect();
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            match self.counted {
                true => self.dump.runs.push((bytes, digits)),
                false => self.dump.put(&bytes, &digits),
            }
        }
        kind
    }
}

impl ser::SerializeSeq for List<'_> {
    type Ok = String;
    type Error = Never;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.item(value)
    }

    fn end(self) -> Result<String, Never> {
        Ok(self.finish())
    }
}

impl ser::SerializeTuple for List<'_> {
    type Ok = String;
    type Error = Never;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.item(value)
    }

    fn end(self) -> Result<String, Never> {
        Ok(self.finish())
    }
}

/// The fields of a struct or of a variant.
pub struct Fields<'a> {
    dump: &'a mut Dump,
    of: String,
    name: String,
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = String;
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        if self.of == "ClientMessage" || self.of == "ServerMessage" {
            // The names of the two outermost fields say nothing in a path.
            let kind = match name {
                "number" => {
                    self.dump.path.push(name.to_owned());
                    let kind = value.serialize(&mut *self.dump)?;
                    self.dump.path.pop();
                    kind
                }
                _ => value.serialize(&mut *self.dump)?,
            };
            self.dump
                .fields
                .push((self.of.clone(), name.to_owned(), kind));
            return Ok(());
        }
        self.dump.field(&self.of, name, value)
    }

    fn end(self) -> Result<String, Never> {
        Ok(self.name)
    }
}

impl ser::SerializeStructVariant for Fields<'_> {
    type Ok = String;
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.dump.field(&self.of, name, value)
    }

    fn end(self) -> Result<String, Never> {
        Ok(self.name)
    }
}
