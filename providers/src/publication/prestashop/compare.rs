//! Whether the shop shows what was sent, after it answered a write with an error of its own.

use std::{collections::HashSet, sync::LazyLock};

use rust_decimal::Decimal;

use super::xml::Node;

/// What a person sees of HTML, without blanks: what the shop's cleaner of HTML leaves alone.
pub(super) fn visible(html: &str) -> String {
    static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
        let mut cleaner = ammonia::Builder::empty();
        cleaner.clean_content_tags(HashSet::from(["script", "style"]));
        cleaner
    });
    let text = CLEANER.clean(html).to_string().replace("&nbsp;", "");
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Whether a row shows all that was sent of it; associations are not compared.
pub(super) fn is_as_sent(sent: &Node, is: &Node) -> bool {
    sent.children.iter().filter(|child| child.name != "associations").all(|sent| {
        let Some(is) = is.child(&sent.name) else { return false };
        if sent.children.is_empty() {
            return is_same_value(&sent.text, &is.text);
        }
        sent.children.iter().all(|sent| {
            let mut languages = is.children.iter();
            let is = languages.find(|is| is.attribute("id") == sent.attribute("id"));
            is.is_some_and(|is| visible(&sent.text) == visible(&is.text))
        })
    })
}

fn is_same_value(sent: &str, is: &str) -> bool {
    let number = |text: &str| Decimal::from_str_exact(text.trim()).ok();
    sent == is || number(sent).zip(number(is)).is_some_and(|(sent, is)| sent == is)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(html: &str) -> Node {
        let language = Node { attributes: vec![("id".to_owned(), "1".to_owned())], ..Node::value("language", html) };
        Node::new("product").with(Node::new("description").with(language)).with(Node::value("price", "1.50"))
    }

    #[test]
    fn html_that_the_shop_rewrote_is_still_what_was_sent_and_other_words_are_not() {
        let is = texts("<p>caf\u{e9} &amp; tea</p>\n").with(Node::value("id", "7"));
        assert!(is_as_sent(&texts("<p><b>caf&eacute;</b> &amp; tea</p>"), &is));
        assert!(!is_as_sent(&texts("<p>coffee</p>"), &is));
        assert!(is_as_sent(&Node::new("product").with(Node::value("price", "1.500000")), &is));
        assert!(!is_as_sent(&Node::new("product").with(Node::value("price", "1.6")), &is));
    }
}
