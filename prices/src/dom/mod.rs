//! A page as a tree, for reading only: a list of its parts in the order of the page, each of which knows where it ends. It closes elements
//! by the rules of HTML as far as shops' pages ask for them, in one pass that no page can make long.
//!
//! Order, lowest first: `entities`, `kinds`, `parse`.

mod entities;
mod kinds;
mod parse;

use std::borrow::Cow;

pub(crate) use entities::decode;
pub(crate) use parse::parse;

/// A place in the page.
pub(crate) type At = usize;

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Dom<'a> {
    parts: Vec<Part<'a>>,
    attributes: Vec<(&'a str, &'a str)>,
    /// Elements that are asked for by their names.
    notable: Vec<u32>,
    has_microdata: bool,
    has_rdfa: bool,
}

/// An element, or a text between two tags.
#[derive(Debug)]
struct Part<'a> {
    /// In lower case; empty for texts.
    name: &'a str,
    /// Of a text, as it is written. What scripts and the like hold is a text in them.
    text: &'a str,
    parent: u32,
    /// Behind the last part in it.
    end: u32,
    attributes: (u32, u32),
    kind: kinds::Kind,
}

impl<'a> Dom<'a> {
    /// How many parts the page has. Its first is the page itself.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// How many elements stand within each other.
    pub(crate) fn depth(&self) -> usize {
        let (mut deepest, mut ends) = (0, Vec::new());
        for at in 1..self.len() {
            while ends.last().is_some_and(|end| *end <= at) {
                ends.pop();
            }
            if !self.is_text(at) {
                ends.push(self.end(at));
                deepest = deepest.max(ends.len());
            }
        }
        deepest
    }

    /// The name of an element; empty for texts.
    pub(crate) fn name(&self, at: At) -> &'a str {
        self.parts[at].name
    }

    pub(crate) fn is_text(&self, at: At) -> bool {
        self.parts[at].name.is_empty() && at > 0
    }

    pub(crate) fn parent(&self, at: At) -> At {
        self.parts[at].parent as At
    }

    /// The elements around a part, the innermost first.
    pub(crate) fn around(&self, at: At) -> impl Iterator<Item = At> {
        std::iter::successors((at > 0).then(|| self.parent(at)), |at| (*at > 0).then(|| self.parent(*at)))
    }

    /// Behind the last part of an element.
    pub(crate) fn end(&self, at: At) -> At {
        self.parts[at].end as At
    }

    /// The value of an attribute.
    pub(crate) fn attr(&self, at: At, name: &str) -> Option<Cow<'a, str>> {
        let (from, to) = self.parts[at].attributes;
        let all = &self.attributes[from as usize..to as usize];
        let (_, value) = all.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(decode(value, true))
    }

    pub(crate) fn has_attr(&self, at: At, name: &str) -> bool {
        self.written(at).any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// The attributes of an element as they are written, entities included.
    pub(crate) fn written(&self, at: At) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (from, to) = self.parts[at].attributes;
        self.attributes[from as usize..to as usize].iter().copied()
    }

    /// The attributes of all elements as they are written.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.attributes.iter().copied()
    }

    /// A text, decoded unless it is that of a script.
    pub(crate) fn text(&self, at: At) -> Cow<'a, str> {
        let part = &self.parts[at];
        let is_code = matches!(self.parts[part.parent as At].name, "script" | "style" | "noscript" | "iframe" | "xmp");
        if is_code { Cow::Borrowed(part.text) } else { decode(part.text, false) }
    }

    /// A text, as it is written.
    pub(crate) fn raw(&self, at: At) -> &'a str {
        self.parts[at].text
    }

    /// What a script or the like holds.
    pub(crate) fn content(&self, at: At) -> &'a str {
        let next = at + 1;
        if next < self.end(at) { self.parts[next].text } else { "" }
    }

    /// All elements of a name, which is one of [`kinds::is_notable`].
    pub(crate) fn all<'d>(&'d self, name: &'d str) -> impl Iterator<Item = At> + 'd {
        self.notable.iter().map(|at| *at as At).filter(move |at| self.parts[*at].name == name)
    }

    /// Whether any element has an attribute of microdata.
    pub(crate) fn has_microdata(&self) -> bool {
        self.has_microdata
    }

    /// Whether any element has an attribute of `RDFa` that previews do not have.
    pub(crate) fn has_rdfa(&self) -> bool {
        self.has_rdfa
    }

    /// The texts of an element on one line.
    pub(crate) fn line(&self, at: At) -> String {
        let mut line = String::new();
        for at in at..self.end(at) {
            if self.is_text(at) {
                line.push_str(&self.text(at));
            }
        }
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests;
