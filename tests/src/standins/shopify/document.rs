//! A small reader of GraphQL documents: one operation, with its fragments, and its variables put in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// One operation.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) is_mutation: bool,
    pub(super) fields: Vec<Selection>,
}

/// What is selected of an object.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    Field(Field),
    /// Only of objects of this type.
    On(String, Vec<Self>),
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Under which it is answered.
    pub(super) alias: String,
    pub(super) name: String,
    /// Variables that were not sent are not there.
    pub(super) arguments: Map<String, Value>,
    /// By name, each with its arguments.
    pub(super) directives: BTreeMap<String, Map<String, Value>>,
    pub(super) fields: Vec<Selection>,
}

/// Reads a document.
pub(super) fn read(text: &str, variables: &Value) -> Result<Document, String> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, variables: Value::Null, fragments: BTreeMap::new() };
    reader.variables = variables.clone();
    let mut operation = None;
    // Fragments stand behind the operation that uses them.
    let mut spans = Vec::new();
    while reader.at < reader.tokens.len() {
        let from = reader.at;
        let is_fragment = reader.peek() == "fragment";
        while reader.peek() != "{" && !reader.peek().is_empty() {
            reader.at += 1;
        }
        reader.skip_block()?;
        if is_fragment {
            reader.fragments.insert(reader.tokens[from + 1].clone(), from);
        } else {
            spans.push(from);
        }
    }
    if let [from] = spans.as_slice() {
        reader.at = *from;
        let is_mutation = reader.peek() == "mutation";
        while reader.peek() != "{" {
            reader.at += 1;
        }
        operation = Some(Document { is_mutation, fields: reader.selection()? });
    }
    operation.ok_or_else(|| "a document with one operation was expected".to_owned())
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\n' | '\r' | '\t' | ',' => {}
            '"' => {
                let mut token = String::from('"');
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\\') => token.extend(letters.next()),
                        Some(letter) => token.push(letter),
                        None => return Err("a string without end".to_owned()),
                    }
                }
                tokens.push(token);
            }
            '.' => {
                if letters.next() != Some('.') || letters.next() != Some('.') {
                    return Err("a single point".to_owned());
                }
                tokens.push("...".to_owned());
            }
            letter if letter.is_alphanumeric() || letter == '_' || letter == '-' => {
                let mut token = String::from(letter);
                while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || matches!(next, '_' | '.')) {
                    token.push(next);
                }
                tokens.push(token);
            }
            '{' | '}' | '(' | ')' | '[' | ']' | ':' | '$' | '!' | '=' | '@' => tokens.push(letter.to_string()),
            other => return Err(format!("what is {other:?}?")),
        }
    }
    Ok(tokens)
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
    variables: Value,
    /// Where each begins.
    fragments: BTreeMap<String, usize>,
}

impl Reader {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map(String::as_str).unwrap_or_default()
    }

    fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        let next = self.next();
        if next == token { Ok(()) } else { Err(format!("{token:?} was expected, not {next:?}")) }
    }

    fn skip_block(&mut self) -> Result<(), String> {
        let mut depth = 0;
        loop {
            match self.next().as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "" => return Err("a block without end".to_owned()),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn selection(&mut self) -> Result<Vec<Selection>, String> {
        self.expect("{")?;
        let mut selection = Vec::new();
        while self.peek() != "}" {
            if self.peek() == "..." {
                self.at += 1;
                match self.next().as_str() {
                    "on" => {
                        let kind = self.next();
                        selection.push(Selection::On(kind, self.selection()?));
                    }
                    name => {
                        let back = self.at;
                        self.at = *self.fragments.get(name).ok_or_else(|| format!("no fragment {name:?}"))? + 2;
                        self.expect("on")?;
                        self.at += 1;
                        selection.extend(self.selection()?);
                        self.at = back;
                    }
                }
                continue;
            }
            selection.push(Selection::Field(self.field()?));
        }
        self.expect("}")?;
        if selection.is_empty() { Err("an empty selection".to_owned()) } else { Ok(selection) }
    }

    fn field(&mut self) -> Result<Field, String> {
        let alias = self.next();
        if !alias.starts_with(|letter: char| letter.is_alphabetic() || letter == '_') {
            return Err(format!("a field was expected, not {alias:?}"));
        }
        let name = if self.peek() == ":" {
            self.at += 1;
            self.next()
        } else {
            alias.clone()
        };
        let arguments = self.arguments()?;
        let mut directives = BTreeMap::new();
        while self.peek() == "@" {
            self.at += 1;
            let name = self.next();
            directives.insert(name, self.arguments()?);
        }
        let fields = if self.peek() == "{" { self.selection()? } else { Vec::new() };
        Ok(Field { alias, name, arguments, directives, fields })
    }

    fn arguments(&mut self) -> Result<Map<String, Value>, String> {
        let mut arguments = Map::new();
        if self.peek() != "(" {
            return Ok(arguments);
        }
        self.at += 1;
        while self.peek() != ")" {
            let name = self.next();
            self.expect(":")?;
            if let Some(value) = self.value()? {
                arguments.insert(name, value);
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    /// `None`: a variable that was not sent.
    fn value(&mut self) -> Result<Option<Value>, String> {
        let token = self.next();
        Ok(Some(match token.as_str() {
            "$" => {
                let name = self.next();
                return Ok(self.variables.get(&name).cloned());
            }
            "[" => {
                let mut list = Vec::new();
                while self.peek() != "]" {
                    list.extend(self.value()?);
                }
                self.at += 1;
                Value::Array(list)
            }
            "{" => {
                let mut object = Map::new();
                while self.peek() != "}" {
                    let name = self.next();
                    self.expect(":")?;
                    if let Some(value) = self.value()? {
                        object.insert(name, value);
                    }
                }
                self.at += 1;
                Value::Object(object)
            }
            "" => return Err("a value was expected".to_owned()),
            text if text.starts_with('"') => Value::from(&text[1..]),
            // Numbers and truth values; an enum's value is its name.
            other => serde_json::from_str(other).unwrap_or_else(|_| Value::from(other)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_read_with_its_variables_fragments_and_directives() {
        let text = r#"mutation M($in: [X!]! = [], $none: ID) { one: set(input: $in, to: { id: "a\"b", n: 3 }, none: $none)
            @idempotent(key: $key) { id ... on Y { z } ...F } two }
            fragment F on X { w(first: 2) { v } }"#;
        let document = read(text, &json!({ "in": [1], "key": "k" })).unwrap();
        assert!(document.is_mutation && document.fields.len() == 2);
        let Selection::Field(field) = &document.fields[0] else { panic!() };
        assert_eq!((field.alias.as_str(), field.name.as_str()), ("one", "set"));
        assert_eq!(json!(field.arguments), json!({ "input": [1], "to": { "id": "a\"b", "n": 3 } }));
        assert_eq!(field.directives["idempotent"]["key"], "k");
        assert!(
            matches!(&field.fields[..], [_, Selection::On(kind, _), Selection::Field(w)] if kind == "Y" && w.name == "w")
        );
        for bad in ["", "{", "{ }", "query A { a } query B { b }", "{ a(x: ) }", "{ ...G }"] {
            assert!(read(bad, &json!({})).is_err(), "{bad}");
        }
    }
}
