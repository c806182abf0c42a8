//! The names that could leave the root, fool a terminal, a shell or a check, or trip another
//! system, each with what must become of it.

/// What a server says to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not even text: the message that carries it is malformed.
    NotText,
    /// Never a name, whatever the rules.
    Never,
    /// A name that only `--names native` creates.
    Native,
    /// Odd, and a name like any other.
    Allowed,
}

/// A name, as bytes because not all of them are text.
#[derive(Debug, Clone)]
pub struct HostileName {
    pub bytes: Vec<u8>,
    pub class: Class,
}

impl HostileName {
    /// The name as text; `None` when it is none.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

const NOT_TEXT: &[&[u8]] = &[
    // Lone surrogates, as a Windows or Java program might write them.
    b"a\xed\xa0\x80b",
    b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    // Overlong forms of a slash, two dots and NUL.
    b"..\xc0\xafsecret",
    b"..\xe0\x80\xafsecret",
    b"..\xf0\x80\x80\xafsecret",
    b"\xc0\xae\xc0\xae/secret",
    b"a\xc0\x80b",
    // Cut short, out of place, out of range.
    b"caf\xe9",
    b"a\xc3",
    b"\x80",
    b"\xfe",
    b"\xff",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
];

const NEVER: &[&str] = &[
    // Ways up.
    "",
    ".",
    "..",
    "./a",
    "a/.",
    "a/./b",
    "../a",
    "../secret",
    "../outside/secret",
    "../../secret",
    "../root/a",
    "..//a",
    "a/..",
    "a/../b",
    "a/../../secret",
    "a/b/../../../secret",
    "../../../../../../../../../../etc/passwd",
    ".../../secret",
    "....//secret",
    "..././secret",
    "C:/../secret",
    "~/../../secret",
    "a/../.fileshare/identity.pem",
    // Absolute, and empty parts.
    "/",
    "//",
    "/a",
    "/a/",
    "/..",
    "/etc/passwd",
    "/tmp/x",
    "/dev/null",
    "/proc/self/root/etc/passwd",
    "/.fileshare",
    "file:///etc/passwd",
    "//server/share/x",
    "//?/C:/x",
    "a/",
    "a//b",
    "a///b",
    "a/b/",
    "a//",
    // The program's own.
    ".fileshare",
    ".fileshare/identity.pem",
    ".fileshare/accounts",
    ".fileshare/index.sqlite",
    ".fileshare/staging/x",
    ".fileshare-a.part",
    ".fileshare.part",
    ".fileshareX",
    ".fileshare ",
    ".fileshare.",
    ".fileshare~1",
    ".fileshare::$INDEX_ALLOCATION",
    ".FILESHARE",
    ".FileShare/identity.pem",
    ".FILESHARE-x",
    "a/.fileshare",
    "a/.FiLeShArE/x",
    ".file\u{17f}hare",
    ".\u{fb01}leshare",
    ".\u{200c}fileshare",
    ".f\u{200d}ileshare",
    ".file\u{200e}share",
    ".fileshare\u{200f}",
    ".\u{feff}fileshare",
    "\u{206a}.fileshare",
    "\u{200c}.fileshare",
    // Where text ends for another reader, and lines that forge a log or a header.
    "\0",
    "\0a",
    "a\0",
    "a.txt\0.jpg",
    "../secret\0",
    "a\r\nb",
    "a\r\n",
    "a\n",
    "a\nerror: all is lost",
    "a\r\nSet-Cookie: x",
    // What a terminal obeys.
    "\u{1b}[2J",
    "\u{1b}]52;c;cm0gLXJmIH4=\u{7}",
    "\u{1b}]0;owned\u{7}",
    "\u{1b}[1A\u{1b}[2K",
    "\u{1b}P1$r\u{1b}\\",
    "a\rb",
    "a\u{8}\u{8}\u{8}b",
    "\u{9b}2J",
    "\u{9d}52;c;eA==\u{9c}",
    "invoice\u{202e}fdp.exe",
    // Not in Normalization Form C.
    "cafe\u{301}",
    "A\u{30a}",
    "\u{212b}",
    "\u{212a}",
    "\u{2126}",
    "\u{340}",
    "\u{37e}",
    "\u{958}",
    "\u{1f71}",
    "\u{2000}",
    "\u{2329}",
    "\u{f900}",
    "\u{fb1d}",
    "\u{1100}\u{1161}",
    "q\u{307}\u{323}",
    "\u{1d15e}",
    "a/e\u{301}/b",
];

const NATIVE: &[&str] = &[
    // Drives, shares, devices and streams of Windows.
    "C:",
    "c:x",
    "C:/x",
    "C:\\x",
    "C:\\Windows\\System32\\x",
    "\\",
    "\\x",
    "\\\\server\\share\\x",
    "\\\\?\\C:\\x",
    "\\\\.\\pipe\\x",
    "\\??\\x",
    "..\\secret",
    "..\\..\\secret",
    "a\\..\\..\\secret",
    "a\\b",
    "a/..\\b",
    "a:stream",
    "a::$DATA",
    "a.txt:Zone.Identifier",
    "server:a",
    "id:d41d8c",
    "id:notes",
    // Characters.
    "<script>",
    ">x",
    "a|b",
    "|x",
    "what?",
    "?",
    "*",
    "**",
    "*.txt",
    "\"",
    "\"a\"",
    "a:b",
    // Ends.
    "a.",
    "a..",
    "a ",
    "a. ",
    "a .",
    "...",
    "....",
    ".. ",
    ". ",
    " .",
    " ..",
    " ",
    "a./b",
    "a /b",
    ".. /secret",
    // Devices.
    "CON",
    "con",
    "CoN",
    "PRN",
    "AUX",
    "NUL",
    "nul.txt",
    "nul.tar.gz",
    "NUL .txt",
    "aux.",
    "COM0",
    "COM1",
    "com9.log",
    "COM\u{b9}",
    "com\u{b2}.x",
    "COM\u{b3}",
    "LPT1",
    "lpt9",
    "LPT\u{b9}.txt",
    "CONIN$",
    "conout$",
    "a/nul",
    "prn/a",
    "a/com1.x/b",
];

const ALLOWED: &[&str] = &[
    // Options, shells, formats.
    "-",
    "--",
    "-rf",
    "-o",
    "--help",
    "--as",
    "-1",
    "+x",
    "$(x)",
    "$(touch owned)",
    "`touch owned`",
    ";x",
    "; touch owned",
    "& touch owned",
    "x && touch owned",
    "$HOME",
    "${IFS}",
    "~",
    "~root",
    "!x",
    "#x",
    "@x",
    "=1+1",
    "%s%n",
    "%PATH%",
    "{a,b}",
    "{}",
    "[a]",
    "[!a]",
    "(x)",
    "'",
    "a'b",
    "x^y",
    "a=b",
    "a b",
    " a",
    "null",
    "0",
    "1e999",
    // Percent and other encodings of a way up are just characters.
    "%2e%2e",
    "%2e%2e%2fsecret",
    "..%2fsecret",
    "..%2Fsecret",
    "..%5csecret",
    "..%c0%afsecret",
    "..%252fsecret",
    "%00",
    "a%00b",
    "%0d%0a",
    "&#46;&#46;&#47;",
    "..;",
    "..a",
    "a..b",
    ".hidden",
    ".ssh/authorized_keys",
    "etc/passwd",
    "proc/self/environ",
    ".files",
    "fileshare",
    "x.fileshare",
    ".bash_profile",
    "desktop.ini",
    // Almost devices.
    "console",
    "com",
    "com10",
    "nul1",
    "x.con",
    ".con",
    "\u{ff43}\u{ff4f}\u{ff4e}",
    // Almost slashes and dots.
    "..\u{2215}secret",
    "..\u{2044}secret",
    "..\u{29f8}secret",
    "..\u{ff0f}secret",
    "..\u{2571}secret",
    "..\u{2216}secret",
    "..\u{29f5}secret",
    "..\u{ff3c}secret",
    "..\u{fe68}secret",
    "\u{2024}\u{2024}/secret",
    "\u{2025}/secret",
    "\u{ff0e}\u{ff0e}/secret",
    "\u{2026}",
    // Invisible, and escaped wherever it is shown.
    "a\u{200b}b",
    "a\u{200c}b",
    "a\u{200d}b",
    "a\u{200e}b",
    "a\u{200f}b",
    "a\u{61c}b",
    "a\u{ad}b",
    "a\u{180e}b",
    "a\u{2060}b",
    "a\u{feff}b",
    "a\u{fffa}b",
    "a\u{e0041}b",
    "\u{200b}",
    "\u{3000}",
    "\u{a0}",
    // Letters of all sorts.
    "ü/漢字",
    "👩\u{200d}🚀.png",
    "İ",
    "ß",
    "\u{fffd}",
    "\u{fdd0}",
    "\u{ffff}",
    "\u{e000}",
    "\u{378}",
    "\u{10ffff}",
    "\u{fb00}",
    "\u{ff0e}fileshare",
];

/// All of them, some 400, none twice.
pub fn all() -> Vec<HostileName> {
    let mut names = Vec::new();
    let mut add = |bytes: &[u8], class| {
        let bytes = bytes.to_vec();
        names.push(HostileName { bytes, class });
    };
    for bytes in NOT_TEXT {
        add(bytes, Class::NotText);
    }
    for (texts, class) in [
        (NEVER, Class::Never),
        (NATIVE, Class::Native),
        (ALLOWED, Class::Allowed),
    ] {
        for text in texts {
            add(text.as_bytes(), class);
        }
    }
    // Every control character, line separator and direction override, inside a name.
    let controls = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}');
    let directions = ('\u{2028}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    for character in controls.chain(directions) {
        add(format!("in{character}side").as_bytes(), Class::Never);
    }
    // Every character that Windows refuses, at the beginning and at the end.
    for character in r#"<>:"|?*\"#.chars() {
        add(format!("{character}first").as_bytes(), Class::Native);
        add(format!("last{character}").as_bytes(), Class::Native);
    }
    // Lengths: parts, depth, and the whole.
    let longest = "n".repeat(255);
    let deepest = vec!["d"; 128].join("/");
    let whole = vec![longest.as_str(); 16].join("/");
    for (text, class) in [
        (longest.clone(), Class::Allowed),
        (format!("{longest}n"), Class::Never),
        (format!("{}x", "é".repeat(127)), Class::Allowed),
        ("é".repeat(128), Class::Never),
        (format!("a/{longest}n/b"), Class::Never),
        (format!("x{}", "\u{317}".repeat(127)), Class::Allowed),
        (deepest.clone(), Class::Allowed),
        (format!("{deepest}/d"), Class::Never),
        (whole.clone(), Class::Allowed),
        (format!("{whole}/"), Class::Never),
        (format!("{whole}/n"), Class::Never),
        ("/".repeat(4096), Class::Never),
        ("../".repeat(1000) + "secret", Class::Never),
        ("x".repeat(20_000), Class::Never),
    ] {
        add(text.as_bytes(), class);
    }
    names
}

#[test]
fn there_are_at_least_300_and_none_is_there_twice() {
    let names = all();
    let mut bytes: Vec<_> = names.iter().map(|name| &name.bytes).collect();
    bytes.sort();
    bytes.dedup();
    assert_eq!(bytes.len(), names.len());
    assert!(names.len() >= 300, "{}", names.len());
}
