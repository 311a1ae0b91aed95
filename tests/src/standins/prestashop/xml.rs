//! XML as the shop reads and writes it.

use std::fmt::Write as _;

use quick_xml::{Reader, XmlVersion, events::Event};

/// An element of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Element {
    pub(super) name: String,
    /// Its attribute `id`.
    pub(super) id: Option<u64>,
    pub(super) text: String,
    pub(super) children: Vec<Self>,
}

impl Element {
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The root; `None`: it is not well formed.
    pub(super) fn parse(body: &str) -> Option<Self> {
        let mut reader = Reader::from_str(body);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let done = match reader.read_event().ok()? {
                event @ (Event::Start(_) | Event::Empty(_)) => {
                    let is_empty = matches!(event, Event::Empty(_));
                    let (Event::Start(start) | Event::Empty(start)) = event else { return None };
                    let id = start.try_get_attribute("id").ok()?;
                    let id = id.and_then(|id| id.normalized_value(XmlVersion::Implicit1_0).ok()?.parse().ok());
                    let element = Self { name: start.name().as_ref().to_owned(), id, ..Self::default() };
                    if is_empty {
                        Some(element)
                    } else {
                        open.push(element);
                        None
                    }
                }
                Event::End(_) => open.pop(),
                Event::Eof => return None,
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                    None
                }
                Event::CData(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                    None
                }
                Event::GeneralRef(reference) => {
                    let entity = format!("&{};", reference.xml10_content());
                    let text = quick_xml::escape::unescape(&entity).ok()?.into_owned();
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                    None
                }
                _ => None,
            };
            if let Some(mut element) = done {
                if !element.children.is_empty() {
                    // Blanks between elements.
                    element.text.clear();
                }
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Some(element),
                }
            }
        }
    }
}

/// `<name><![CDATA[value]]></name>`
pub(super) fn value(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", cdata(value))
}

pub(super) fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}

/// A list of `associations`.
pub(super) fn list(name: &str, one: &str, ids: &[u64]) -> String {
    let mut shown = String::new();
    for id in ids {
        let _ = write!(shown, "<{one}>{}</{one}>", value("id", &id.to_string()));
    }
    format!("<{name} nodeType=\"{one}\" api=\"{name}\">{shown}</{name}>")
}

pub(super) fn document(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<prestashop xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n{body}\n</prestashop>\n"
    )
}
