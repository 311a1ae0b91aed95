//! Reads JSON as shops write it into their pages: with comments, CDATA marks, raw newlines, forgotten or surplus commas and semicolons,
//! single quotes, bare words. No crate that forgives as much keeps the digits of a number, and depth and size must be bounded, since
//! anybody writes these pages.

/// Pages nest a handful of levels; more is an attack on the stack.
const DEPTH: usize = 64;
/// So many values of a block are kept.
const VALUES: usize = 200_000;

/// A value. Keys stay in their order, and as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// Its digits as they are written.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// All values of a block, one after the other. What cannot be understood ends the reading; a value that is cut off counts as far as
/// its parts are whole.
pub(super) fn read(block: &str) -> Vec<Json> {
    let entities;
    let mut block = block;
    // Some templates escape the whole block.
    if !block.contains(['"', '\'']) && block.contains("&quot;") {
        entities = super::markup::text_of(block);
        block = &entities;
    }
    let strict = Reader::new(block, false).all();
    // A quotation mark inside a text ends it too early: the second reading takes only those that something fitting follows.
    strict.unwrap_or_else(|| Reader::new(block, true).all().unwrap_or_default())
}

/// The value that a text begins with, and how many bytes were read. `None` when it makes no sense.
pub(super) fn first(text: &str) -> Option<(Json, usize)> {
    let mut reader = Reader::new(text, false);
    let value = reader.value(DEPTH).ok()?;
    let rest: usize = reader.rest.map(char::len_utf8).sum();
    Some((value, text.len() - rest))
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    values: usize,
    wary_of_quotes: bool,
}

/// The block makes no sense from here on.
struct Broken;

impl<'a> Reader<'a> {
    fn new(block: &'a str, wary_of_quotes: bool) -> Self {
        Self { rest: block.chars().peekable(), values: 0, wary_of_quotes }
    }

    /// `None` when nothing was found or something stands where nothing should.
    fn all(mut self) -> Option<Vec<Json>> {
        let mut values = Vec::new();
        loop {
            // Before the first and between values anything may stand: `var data =`, CDATA marks, semicolons.
            let in_script = values.is_empty();
            match self.peek() {
                None => return (!values.is_empty()).then_some(values),
                Some('{' | '[') => values.push(self.value(DEPTH).ok()?),
                Some(_) if in_script || self.is_between() => {
                    self.rest.next();
                }
                Some(_) => return None,
            }
        }
    }

    fn is_between(&mut self) -> bool {
        matches!(self.rest.peek(), Some(';' | ',' | '}' | ']' | '<' | '!' | '>' | ')' | '-'))
    }

    /// The next character that is neither space nor comment nor CDATA mark.
    fn peek(&mut self) -> Option<char> {
        loop {
            let c = *self.rest.peek()?;
            match c {
                _ if is_space(c) => {}
                '/' => self.skip_comment(),
                '<' if self.skips("<!--") || self.skips("<![CDATA[") => continue,
                ']' if self.skips("]]>") => continue,
                '-' if self.skips("-->") => continue,
                _ => return Some(c),
            }
            self.rest.next();
        }
    }

    /// Passes over `mark` when it is next.
    fn skips(&mut self, mark: &str) -> bool {
        let mut ahead = self.rest.clone();
        if !mark.chars().all(|c| ahead.next() == Some(c)) {
            return false;
        }
        self.rest = ahead;
        true
    }

    /// At `/`: goes to the last character of the comment.
    fn skip_comment(&mut self) {
        let mut ahead = self.rest.clone();
        ahead.next();
        match ahead.next() {
            // "//<![CDATA[" may stand on one line with what follows it.
            Some('/') => {
                self.rest.next();
                if ["/<![CDATA[", "/]]>", "/<!--", "/-->"].into_iter().any(|mark| self.is_next(mark)) {
                    return;
                }
                while self.rest.peek().is_some_and(|c| !matches!(c, '\n' | '\r')) {
                    self.rest.next();
                }
            }
            Some('*') => {
                self.rest.next();
                self.rest.next();
                let mut star = false;
                while let Some(c) = self.rest.peek() {
                    if star && *c == '/' {
                        return;
                    }
                    star = *c == '*';
                    self.rest.next();
                }
            }
            _ => {}
        }
    }

    fn is_next(&self, mark: &str) -> bool {
        let mut ahead = self.rest.clone();
        mark.chars().all(|c| ahead.next() == Some(c))
    }

    fn value(&mut self, depth: usize) -> Result<Json, Broken> {
        self.values += 1;
        if depth == 0 || self.values > VALUES {
            return Err(Broken);
        }
        match self.peek().ok_or(Broken)? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            quote @ ('"' | '\'' | '“' | '”') => Ok(self.quoted(quote)?.map_or(Json::Null, Json::Text)),
            // A value that a template left out.
            ',' | '}' | ']' => Ok(Json::Null),
            _ => self.bare(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, Broken> {
        self.rest.next();
        let mut pairs: Vec<(String, Json)> = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(Json::Object(pairs)),
                Some('}') => {
                    self.rest.next();
                    return Ok(Json::Object(pairs));
                }
                Some(',' | ';') => {
                    self.rest.next();
                    self.join_decimals(&mut pairs);
                }
                Some(_) => {
                    let Some(key) = self.key()? else { return Ok(Json::Object(pairs)) };
                    match self.peek() {
                        Some(':' | '=') => {
                            self.rest.next();
                        }
                        None => return Ok(Json::Object(pairs)),
                        Some(_) => return Err(Broken),
                    }
                    if self.peek().is_none() {
                        return Ok(Json::Object(pairs));
                    }
                    let value = self.value(depth - 1)?;
                    pairs.push((key, value));
                }
            }
        }
    }

    /// `"price": 12,99` without quotation marks: behind the comma stands no key but the rest of the number.
    fn join_decimals(&mut self, pairs: &mut [(String, Json)]) {
        if let Some((_, value)) = pairs.last_mut()
            && let Json::Number(number) = value
            && self.rest.peek().is_some_and(char::is_ascii_digit)
        {
            let mut text = format!("{number},");
            while let Some(c) = self.rest.next_if(|c| c.is_ascii_digit() || *c == '.') {
                text.push(c);
            }
            *value = Json::Text(text);
        }
    }

    fn key(&mut self) -> Result<Option<String>, Broken> {
        match self.peek().ok_or(Broken)? {
            quote @ ('"' | '\'' | '“' | '”') => self.quoted(quote),
            _ => {
                let mut key = String::new();
                while let Some(c) =
                    self.rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '-' | '.'))
                {
                    key.push(c);
                }
                if key.is_empty() { Err(Broken) } else { Ok(Some(key)) }
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, Broken> {
        self.rest.next();
        let mut items = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(Json::List(items)),
                Some(']') => {
                    self.rest.next();
                    return Ok(Json::List(items));
                }
                Some(',' | ';') => {
                    self.rest.next();
                }
                Some('}' | ':') => return Err(Broken),
                Some(_) => items.push(self.value(depth - 1)?),
            }
        }
    }

    /// At the opening mark. `None` when the text is cut off: half a text would be another one.
    fn quoted(&mut self, open: char) -> Result<Option<String>, Broken> {
        self.rest.next();
        let close = |c: char| c == open || (matches!(open, '“' | '”') && matches!(c, '“' | '”' | '"'));
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape(&mut text),
                _ if close(c) && (!self.wary_of_quotes || self.ends_text()) => return Ok(Some(text)),
                _ => text.push(c),
            }
        }
        Ok(None)
    }

    /// Whether what follows a quotation mark is what follows a text.
    fn ends_text(&self) -> bool {
        let mut ahead = self.rest.clone().skip_while(|c| is_space(*c));
        match ahead.next() {
            None | Some(':' | '}' | ']') => true,
            Some(',') => {
                let next = ahead.find(|c| !is_space(*c));
                next.is_none_or(|c| matches!(c, '"' | '\'' | '{' | '[' | '}' | ']' | '/') || c.is_ascii_digit())
            }
            _ => false,
        }
    }

    /// Behind a backslash.
    fn escape(&mut self, text: &mut String) {
        match self.rest.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b' | 'f') => text.push(' '),
            Some('u') => {
                let unit = self.hexadecimal(4);
                text.push(self.character(unit));
            }
            Some('x') => {
                let unit = self.hexadecimal(2);
                text.push(self.character(unit));
            }
            // A line that goes on.
            Some('\n') | None => {}
            Some(c) => text.push(c),
        }
    }

    fn hexadecimal(&mut self, n: usize) -> u32 {
        let mut unit = 0;
        for _ in 0..n {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(16)) else { break };
            self.rest.next();
            unit = unit * 16 + digit;
        }
        unit
    }

    /// Two units of UTF-16 can make one character.
    fn character(&mut self, unit: u32) -> char {
        if (0xd800..0xdc00).contains(&unit) && self.skips("\\u") {
            let low = self.hexadecimal(4);
            if (0xdc00..0xe000).contains(&low) {
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}');
            }
        }
        char::from_u32(unit).unwrap_or('\u{fffd}')
    }

    /// A number or a word.
    fn bare(&mut self) -> Result<Json, Broken> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, ',' | '}' | ']' | '\n' | '\r' | ';' | '"' | '{' | '[')) {
            text.push(c);
        }
        // A number at the very end may be half of one.
        if self.rest.peek().is_none() {
            return Ok(Json::Null);
        }
        let text = text.split("//").next().unwrap_or_default().split("/*").next().unwrap_or_default().trim();
        match text.to_ascii_lowercase().as_str() {
            "" => Err(Broken),
            "true" => Ok(Json::Bool(true)),
            "false" => Ok(Json::Bool(false)),
            "null" | "none" | "undefined" | "nan" | "nil" => Ok(Json::Null),
            _ if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E')) => {
                Ok(Json::Number(text.to_owned()))
            }
            _ => Ok(Json::Text(text.to_owned())),
        }
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(pairs: &[(&str, Json)]) -> Json {
        Json::Object(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    fn number(digits: &str) -> Json {
        Json::Number(digits.to_owned())
    }

    #[test]
    fn blocks_are_read_with_all_that_shops_put_around_them() {
        let plain = object(&[("a", number("1.10")), ("b", text("x"))]);
        for block in [
            r#"{"a":1.10,"b":"x"}"#,
            "\u{feff} {\"a\":1.10,\"b\":\"x\"} ",
            "{\u{feff}\"a\":1.10,\u{2028}\"b\":\"x\"}",
            r#"{"a":1.10,"b":"x"};"#,
            r#"{"a":1.10,"b":"x",}"#,
            r#"{"a":1.10,,"b":"x"}"#,
            r#"{"a":1.10 "b":"x"}"#,
            r#"{"a":1.10,"b":"x"}}"#,
            r#"{"a":1.10,"b":"x""#,
            "//<![CDATA[\n{\"a\":1.10,\"b\":\"x\"}\n//]]>",
            "//<![CDATA[ {\"a\":1.10,\"b\":\"x\"} //]]>",
            r#"/*<![CDATA[*/{"a":1.10,"b":"x"}/*]]>*/"#,
            r#"<![CDATA[{"a":1.10,"b":"x"}]]>"#,
            r#"<!-- {"a":1.10,"b":"x"} -->"#,
            "<!--//--><![CDATA[//><!--\n{\"a\":1.10,\"b\":\"x\"}\n//--><!]]>",
            "// product\n{\"a\":1.10, // price\n\"b\":\"x\" /* name */}",
            r#"{/* { */"a":1.10,"b":"x"}"#,
            r#"{a:1.10,b:'x'}"#,
            r#"{“a”:1.10,“b”:“x”}"#,
            r#"var data = {"a":1.10,"b":"x"};"#,
            "{&quot;a&quot;:1.10,&quot;b&quot;:&quot;x&quot;}",
        ] {
            assert_eq!(read(block), std::slice::from_ref(&plain), "{block}");
        }
    }

    #[test]
    fn texts_keep_newlines_quotes_and_escapes() {
        for (block, value) in [
            ("{\"a\":\"1\n2\t3\"}", "1\n2\t3"),
            (r#"{"a":"\u00e9\ud83d\ude00\x41\/\'\q"}"#, "é😀A/'q"),
            (r#"{"a":"\ud83d"}"#, "\u{fffd}"),
            (r#"{"a":"27" screen, new"}"#, "27\" screen, new"),
            (r#"{"a":"http://x/y"}"#, "http://x/y"),
            (r#"{"a":"/* no */ // comment"}"#, "/* no */ // comment"),
        ] {
            assert_eq!(read(block), [object(&[("a", text(value))])], "{block}");
        }
        let both = r#"{"name":"27" screen","price":"5"}"#;
        assert_eq!(read(both), [object(&[("name", text("27\" screen")), ("price", text("5"))])]);
    }

    #[test]
    fn values_that_are_missing_or_bare_are_read() {
        let read_one = |block: &str| read(block).pop();
        assert_eq!(read_one(r#"{"a": , "b": }"#), Some(object(&[("a", Json::Null), ("b", Json::Null)])));
        assert_eq!(
            read_one(r#"{"a": undefined, "b": True}"#),
            Some(object(&[("a", Json::Null), ("b", Json::Bool(true))]))
        );
        assert_eq!(
            read_one(r#"{"a": 12,99, "b": 1.299,00}"#),
            Some(object(&[("a", text("12,99")), ("b", text("1.299,00"))]))
        );
        assert_eq!(read_one(r#"{"a": 12 €}"#), Some(object(&[("a", text("12 €"))])));
        assert_eq!(
            read_one(r#"[1,[2,[]],]"#),
            Some(Json::List(vec![number("1"), Json::List(vec![number("2"), Json::List(vec![])])]))
        );
    }

    #[test]
    fn what_is_cut_off_is_never_half_a_value() {
        assert_eq!(read(r#"{"a":"x","price":"12.9"#), [object(&[("a", text("x")), ("price", Json::Null)])]);
        assert_eq!(read(r#"{"a":"x","price":12"#), [object(&[("a", text("x")), ("price", Json::Null)])]);
        assert_eq!(read(r#"{"a":"x","pri"#), [object(&[("a", text("x"))])]);
    }

    #[test]
    fn several_values_stand_in_a_block() {
        assert_eq!(read("{\"a\":1}\n{\"a\":2}").len(), 2);
        assert_eq!(read("{\"a\":1},{\"a\":2}").len(), 2);
    }

    #[test]
    fn hostile_blocks_end_without_harm() {
        assert_eq!(read(&"[".repeat(500_000)), []);
        assert_eq!(read(&r#"{"a":"#.repeat(300_000)), []);
        assert_eq!(read(&format!("[{}]", "1,".repeat(1_000_000))), []);
        for nonsense in ["", "nothing", "{]", "{:}", "\"", "}{", "<html>", "{\"a\" \"b\"}", "/*", "//", "\\"] {
            let _ = read(nonsense);
        }
    }
}
