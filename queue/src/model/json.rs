//! JSON that callers give and get back, with every digit of its numbers.

use std::{cell::LazyCell, collections::BTreeMap, fmt, ops::Deref, sync::OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Number, Value, value::RawValue};
use uuid::Uuid;

/// The most digits of a whole number that certainly comes back as it was.
const SURE_DIGITS: usize = 15;
/// Text of more levels than this is taken apart at once.
const LEVELS: usize = 32;

/// JSON as somebody wrote it. It reads like a [`Value`], whose numbers are as near as may be; written, each number is as it was given. The
/// members of objects are in the order of their names, and of two with one name the last is left.
///
/// `serde_json` can keep numbers as text itself (`arbitrary_precision`), but then for every crate of a program, and `flatten`, untagged and
/// tagged types read no more numbers.
#[derive(Debug, Clone, Default)]
pub struct Json {
    /// Made when somebody looks, if the text is there.
    value: OnceLock<Value>,
    /// As it is written.
    text: Option<Box<str>>,
    /// Whether the value alone would be written otherwise than the text.
    is_exact: bool,
}

impl Json {
    /// Reads JSON text.
    ///
    /// # Errors
    /// As [`serde_json::from_slice`]; but numbers may be of any size.
    pub fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let read = serde_json::from_slice::<Value>(text);
        // What is no text is no JSON either.
        let Ok(text) = std::str::from_utf8(text) else { return read.map(Self::from) };
        // Made when there is something to mark, which is seldom.
        let mark = LazyCell::new(|| Uuid::new_v4().simple().to_string());
        let mark_inexact = |number: &str| (!comes_back(number)).then(|| format!("\"{}{number}\"", *mark));
        let Some(marked) = replace_numbers(text, mark_inexact) else { return read.map(Self::from) };
        let value = match read {
            Ok(value) => value,
            Err(error) => match replace_numbers(text, nearest) {
                Some(text) => serde_json::from_str(&text)?,
                None => return Err(error),
            },
        };
        let marked: Value = serde_json::from_str(&marked)?;
        let text = unmarked(&marked.to_string(), &mark).into();
        Ok(Self { value: value.into(), text: Some(text), is_exact: true })
    }

    /// Reads JSON text like [`Json::read`]; but what is written already as it would be written here is taken apart only when somebody looks
    /// into it. For what is only passed on.
    ///
    /// # Errors
    /// As [`Json::read`].
    pub fn pass_on(text: &[u8]) -> Result<Self, serde_json::Error> {
        match std::str::from_utf8(text) {
            Ok(text) if is_as_written(text) => {
                Ok(Self { value: OnceLock::new(), text: Some(text.into()), is_exact: false })
            }
            _ => Self::read(text),
        }
    }

    /// JSON text that a [`Json`] or a [`Value`] was written as, to be passed on as it is.
    #[must_use]
    pub fn written(text: String) -> Self {
        debug_assert!(serde_json::from_str::<&RawValue>(&text).is_ok());
        Self { value: OnceLock::new(), text: Some(text.into()), is_exact: false }
    }

    /// The text, where the value alone would be written otherwise.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.is_exact)
    }

    fn value(&self) -> &Value {
        // What is passed on is JSON.
        self.value
            .get_or_init(|| self.text.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// A member of an object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Self> {
        match self.exact().map(serde_json::from_str::<BTreeMap<String, &RawValue>>) {
            Some(members) => Self::read(members.ok()?.get(name)?.get().as_bytes()).ok(),
            None => self.value().get(name).cloned().map(Self::from),
        }
    }

    /// The value, with numbers as near as may be.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value();
        self.value.into_inner().unwrap_or_default()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self { value: value.into(), text: None, is_exact: false }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.exact() == other.exact() && self.value() == other.value()
    }
}

impl Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.value()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            // Most jobs have no metadata.
            None if self.value().as_object().is_some_and(Map::is_empty) => f.write_str("{}"),
            // Takes a third of the time of the value's own `Display`.
            None => f.write_str(&serde_json::to_string(self.value()).map_err(|_| fmt::Error)?),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A text that was read is JSON.
        match self.text.as_deref().map(serde_json::from_str::<&RawValue>) {
            Some(Ok(text)) => text.serialize(serializer),
            _ => self.value().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(text.get().as_bytes()).map_err(D::Error::custom)
    }
}

/// Whether a number is written by `serde_json` as it was read.
fn comes_back(number: &str) -> bool {
    let is_short = number.len() <= SURE_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    is_short || number.parse::<Number>().is_ok_and(|read| read.to_string() == number)
}

/// Whether this is JSON as `serde_json` writes a [`Value`], byte for byte. May say no where it would be.
fn is_as_written(text: &str) -> bool {
    let mut scan = Scan { text, at: 0 };
    scan.value(LEVELS) && scan.at == text.len()
}

/// Goes through text, and answers whether what comes next is as it would be written.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn value(&mut self, levels: usize) -> bool {
        match self.peek() {
            Some(b'"') => self.string().is_some(),
            Some(b'{') => levels > 0 && self.object(levels - 1),
            Some(b'[') => levels > 0 && self.array(levels - 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.is("true"),
            Some(b'f') => self.is("false"),
            _ => self.is("null"),
        }
    }

    /// The members are in the order of their names, and no two have the same.
    fn object(&mut self, levels: usize) -> bool {
        let mut before = None;
        self.at += 1;
        if self.passes(b'}') {
            return true;
        }
        loop {
            let Some(name) = self.string() else { return false };
            // Names are compared as what they say, and this one says something else than it reads.
            if name.contains('\\') || before.is_some_and(|before| before >= name) {
                return false;
            }
            before = Some(name);
            if !(self.passes(b':') && self.value(levels)) {
                return false;
            }
            if !self.passes(b',') {
                return self.passes(b'}');
            }
        }
    }

    fn array(&mut self, levels: usize) -> bool {
        self.at += 1;
        if self.passes(b']') {
            return true;
        }
        loop {
            if !self.value(levels) {
                return false;
            }
            if !self.passes(b',') {
                return self.passes(b']');
            }
        }
    }

    /// What stands between the quotes.
    fn string(&mut self) -> Option<&'a str> {
        if !self.passes(b'"') {
            return None;
        }
        let (bytes, start) = (self.text.as_bytes(), self.at);
        loop {
            let rest = bytes.get(self.at..)?;
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            match bytes[self.at] {
                b'"' => break,
                b'\\' if matches!(bytes.get(self.at + 1)?, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => {
                    self.at += 2;
                }
                _ => return None,
            }
        }
        self.at += 1;
        self.text.get(start..self.at - 1)
    }

    fn number(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let number = &self.text[start..self.at];
        comes_back(number) && (number.len() == 1 || !number.starts_with('0') || number.starts_with("0."))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether `byte` comes next; if so, goes behind it.
    fn passes(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Whether `part` comes next; if so, goes behind it.
    fn is(&mut self, part: &str) -> bool {
        let is = self.text.as_bytes()[self.at..].starts_with(part.as_bytes());
        if is {
            self.at += part.len();
        }
        is
    }
}

/// About the largest number that there is, for one that is larger: one that is read with any features of `serde_json`.
fn nearest(number: &str) -> Option<String> {
    let read: f64 = number.parse().ok()?;
    read.is_infinite().then(|| if read > 0.0 { "1e308" } else { "-1e308" }.to_owned())
}

/// The JSON text with other texts in the place of some of its numbers; `None` when all stay.
fn replace_numbers(text: &str, replace: impl Fn(&str) -> Option<String>) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut replaced, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                while at < bytes.len() && matches!(bytes[at], b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') {
                    at += 1;
                }
                if let Some(other) = replace(&text[start..at]) {
                    replaced.push_str(&text[copied..start]);
                    replaced.push_str(&other);
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    (copied > 0).then(|| replaced + &text[copied..])
}

/// The JSON text with the marked strings as the numbers that they were.
fn unmarked(text: &str, mark: &str) -> String {
    let begin = format!("\"{mark}");
    let mut parts = text.split(begin.as_str());
    let mut unmarked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('"').unwrap_or((part, ""));
        unmarked.push_str(number);
        unmarked.push_str(rest);
    }
    unmarked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn back(text: &str) -> String {
        Json::read(text.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn numbers_of_any_size_come_back_as_they_were_written() {
        for text in [
            "0",
            "-0",
            "-1",
            "123456789012345",
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "12345678901234567890123456789",
            "-12345678901234567890123456789",
            "1.10",
            "1e5",
            "1E+5",
            "0.1000000000000000055511151231257827",
            "3.0",
            "5e-324",
            "1e-999",
            "1e400",
            "-1.5E400",
        ] {
            assert_eq!(back(text), text);
            let nested = format!(r#"{{"a":[{text},"{text}"],"b":{{"c":{text}}}}}"#);
            assert_eq!(back(&nested), nested);
            let json = Json::read(nested.as_bytes()).unwrap();
            assert_eq!(serde_json::to_string(&json).unwrap(), nested);
            assert_eq!(serde_json::from_str::<Json>(&nested).unwrap(), json);
            assert!(json["b"]["c"].is_number(), "{text}");
            assert_eq!(json.member("b").unwrap().member("c").unwrap().to_string(), text);
            assert_eq!((json.member("c"), json.member("a").unwrap().member("a")), (None, None));
        }
    }

    #[test]
    fn the_same_json_is_the_same_text() {
        let (one, other) = (r#"{"b":1.10,"a":[1e400],"b":2.50}"#, " {\"a\" : [ 1e400 ],\n\"\\u0062\":2.50 } ");
        assert_eq!(back(one), r#"{"a":[1e400],"b":2.50}"#);
        assert_eq!(back(one), back(other));
        assert_ne!(back("[1.0]"), back("[1.00]"));
    }

    #[test]
    fn strings_and_what_is_no_json_are_left_alone() {
        let text = r#"{"1e400":"-1e400 \\\" 12345678901234567890123","n":1.10,"é":"\\"}"#;
        assert_eq!(back(text), text);
        assert_eq!(Json::read(b"{\"a\":\"1.10\"}").unwrap(), Json::from(json!({ "a": "1.10" })));
        for broken in ["", "{", "1e400x", "[1.10", "\"1.10", "01", "-", "1e400 1", "[1e400,]", "\"\\"] {
            assert!(Json::read(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(Json::read(b"\"\xff 1.10\"").is_err());
    }

    #[test]
    fn what_is_passed_on_is_what_would_have_been_read() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "0.5",
            "1.0",
            "123456789012345",
            "\"\"",
            "\"a\\n\\\"é\"",
            "[]",
            "{}",
            "[1,[],{}]",
            r#"{"":1,"a":[true,null],"b":{"c":"x"}}"#,
        ] {
            assert!(is_as_written(text), "{text}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for text in [
            "",
            " 1",
            "1 ",
            "01",
            "00",
            "-0",
            "1.10",
            "1e5",
            "1e400",
            "-",
            "12345678901234567890123",
            "nul",
            "[1,]",
            "[1",
            "[,1]",
            "{",
            "{\"a\"}",
            "{\"a\":1,}",
            "{\"a\":}",
            "[1] ",
            "[1, 2]",
            "{\"b\":1,\"a\":2}",
            "{\"a\":1,\"a\":2}",
            "{\"\\n\":1}",
            "\"\\/\"",
            "\"\\u0041\"",
            "\"\\",
            "\"",
            "\"\n\"",
            "\"\u{1}\"",
            &deep(LEVELS + 1),
            &deep(1_000),
        ] {
            assert!(!is_as_written(text), "{text}");
            let (passed, read) = (Json::pass_on(text.as_bytes()).ok(), Json::read(text.as_bytes()).ok());
            assert_eq!(passed.map(|json| json.to_string()), read.map(|json| json.to_string()), "{text}");
        }
        assert!(Json::pass_on(b"\"\xff\"").is_err());
        let text = r#"{"a":[1,"\"x\""],"b":null}"#;
        let passed = Json::pass_on(text.as_bytes()).unwrap();
        assert_eq!((passed.value.get(), passed.exact()), (None, None), "nobody has looked");
        assert_eq!((passed.to_string().as_str(), serde_json::to_string(&passed).unwrap().as_str()), (text, text));
        assert_eq!(passed["a"][1], "\"x\"");
        assert_eq!(passed, Json::read(text.as_bytes()).unwrap());
        assert_eq!(passed.member("a").unwrap().into_value(), json!([1, "\"x\""]));
        assert_eq!(Json::pass_on(b"[1]").unwrap().into_value(), json!([1]));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_as_written_is_written_so(text in "[\\[{\\]},:\"\\\\abnu01e.\\- ]{0,12}|[\\x00-\\x7fé]{0,8}") {
            if is_as_written(&text) {
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value.to_string(), text);
            }
        }
    }

    #[test]
    fn nobody_can_write_a_mark() {
        let mark = "0123456789abcdef0123456789abcdef";
        let text = format!(r#"["{mark}1","\"{mark}1",1.10]"#);
        assert_eq!(back(&text), text);
    }
}
