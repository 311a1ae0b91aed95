//! XML of the webservice, both ways: a tree of elements, values in CDATA, no blanks that would become data.

use quick_xml::{
    Reader, Writer, XmlVersion,
    events::{BytesCData, BytesEnd, BytesStart, Event},
};

const NAMESPACE: (&str, &str) = ("xmlns:xlink", "http://www.w3.org/1999/xlink");

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    /// All of its own text, CDATA included.
    pub(super) text: String,
    pub(super) children: Vec<Self>,
}

impl Node {
    /// An empty one.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// One with a value.
    #[expect(clippy::needless_pass_by_value, reason = "texts and numbers alike are handed over")]
    pub(super) fn value(name: &str, value: impl ToString) -> Self {
        Self { text: value.to_string(), ..Self::new(name) }
    }

    /// The same with another child.
    pub(super) fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The same with these children besides.
    pub(super) fn with_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of this name; nothing where there is none.
    pub(super) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }

    /// The number in the first child of this name; 0 where there is none.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.text_of(name).trim().parse().unwrap_or(0)
    }

    /// Its `id`.
    pub(super) fn id(&self) -> u64 {
        self.number("id")
    }

    /// The ids in `associations/NAME`.
    pub(super) fn associated(&self, name: &str) -> Vec<u64> {
        let list = self.child("associations").and_then(|associations| associations.child(name));
        list.map(|list| list.children.iter().map(Self::id).filter(|id| *id > 0).collect()).unwrap_or_default()
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The root of a document.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|error| format!("no UTF-8: {error}"))?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let done = match event {
                Event::Start(start) => {
                    open.push(begun(&start)?);
                    None
                }
                Event::Empty(start) => Some(begun(&start)?),
                Event::End(_) => open.pop(),
                Event::Eof => return Err("it ends too early".to_owned()),
                event => {
                    // Around the root there is nothing but blanks and declarations.
                    if let Some(element) = open.last_mut() {
                        add_text(element, event)?;
                    }
                    None
                }
            };
            if let Some(element) = done {
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Ok(element),
                }
            }
        }
    }

    /// As the body of a request.
    pub(super) fn document(&self) -> String {
        let mut writer = Writer::new(Vec::new());
        let root = BytesStart::new("prestashop").with_attributes([NAMESPACE]);
        let end = root.to_end().into_owned();
        let write = || -> std::io::Result<()> {
            writer.write_event(Event::Start(root))?;
            write_node(&mut writer, self)?;
            writer.write_event(Event::End(end))
        };
        // A `Vec` takes everything.
        let _ = write();
        String::from_utf8_lossy(&writer.into_inner()).into_owned()
    }
}

fn begun(start: &BytesStart<'_>) -> Result<Node, String> {
    let mut node = Node::new(start.name().as_ref());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        node.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(node)
}

fn add_text(element: &mut Node, event: Event<'_>) -> Result<(), String> {
    match event {
        Event::Text(text) => element.text.push_str(&text.xml10_content()),
        Event::CData(text) => element.text.push_str(&text.xml10_content()),
        Event::GeneralRef(reference) => {
            let entity = format!("&{};", reference.xml10_content());
            let text = quick_xml::escape::unescape(&entity).map_err(|error| error.to_string())?;
            element.text.push_str(&text);
        }
        _ => {}
    }
    Ok(())
}

fn write_node(writer: &mut Writer<Vec<u8>>, node: &Node) -> std::io::Result<()> {
    let attributes = node.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let start = BytesStart::new(node.name.as_str()).with_attributes(attributes);
    writer.write_event(Event::Start(start))?;
    if node.children.is_empty() {
        let text: String = node.text.chars().filter(|c| is_xml(*c)).collect();
        // A value that holds the end of CDATA goes as two.
        for part in BytesCData::escaped(&text) {
            writer.write_event(Event::CData(part))?;
        }
    }
    for child in &node.children {
        write_node(writer, child)?;
    }
    writer.write_event(Event::End(BytesEnd::new(node.name.as_str())))
}

/// Whether XML 1.0 has the character at all.
fn is_xml(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r') || c > '\u{7f}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let name =
            Node { attributes: vec![("id".to_owned(), "1".to_owned())], ..Node::value("language", "A ]]> & <b> é") };
        let node = Node::new("product").with(Node::value("price", "1.5")).with(Node::new("name").with(name));
        let document = node.document();
        assert!(document.starts_with(
            "<prestashop xmlns:xlink=\"http://www.w3.org/1999/xlink\"><product><price><![CDATA[1.5]]></price>"
        ));
        assert_eq!(Node::parse(document.as_bytes()).unwrap().children, [node]);
    }

    #[test]
    fn characters_that_xml_does_not_have_are_left_out() {
        let node = Node::value("name", "a\u{b}b\u{0}c\td");
        assert!(node.document().contains("<![CDATA[abc\td]]>"), "{}", node.document());
    }

    #[test]
    fn entities_and_empty_elements_are_read() {
        let body = "<?xml version=\"1.0\"?>\n<prestashop>\n<a b='x&amp;y'/><c>1 &lt; 2</c></prestashop>\n";
        let root = Node::parse(body.as_bytes()).unwrap();
        assert_eq!((root.children[0].attribute("b"), root.text_of("c"), root.text_of("z")), (Some("x&y"), "1 < 2", ""));
        for bad in ["", "<a>", "<a></b>", "text", "<a>&eacute;</a>", "<a><![CDATA[x</a>"] {
            assert!(Node::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
