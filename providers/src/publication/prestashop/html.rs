//! HTML that the shop keeps: what it refuses is cleaned away before, or named.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// What formats text. `style`, `class` and the like are rewritten by the shop, so they are not sent.
const TAGS: [&str; 40] = [
    "a",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
];
/// Those whose content is no text.
const EMPTIED: [&str; 6] = ["script", "style", "iframe", "object", "noscript", "template"];

/// The same as the shop takes it; lists included.
pub(super) fn clean(html: &str) -> String {
    static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
        let mut tags = HashSet::from(TAGS);
        tags.insert("ul");
        let attributes = [
            ("a", HashSet::from(["href", "title"])),
            ("img", HashSet::from(["src", "alt", "width", "height"])),
            ("td", HashSet::from(["colspan", "rowspan"])),
            ("th", HashSet::from(["colspan", "rowspan"])),
        ];
        let mut cleaner = ammonia::Builder::empty();
        cleaner
            .tags(tags)
            .clean_content_tags(HashSet::from(EMPTIED))
            .tag_attributes(HashMap::from(attributes))
            .link_rel(None)
            .url_schemes(HashSet::from(["http", "https", "mailto", "tel"]));
        cleaner
    });
    CLEANER.clean(html).to_string().trim().to_owned()
}

/// What is left after cleaning for which the shop refuses the whole text (code 84), even where it is plain words: `onclick =`,
/// `javascript:`.
pub(super) fn refused(html: &str) -> Option<String> {
    let lower = html.to_lowercase();
    if let Some((before, _)) = lower.split_once("script:") {
        let word: String = before.chars().rev().take_while(|c| c.is_alphanumeric()).collect();
        return Some(word.chars().rev().chain("script:".chars()).collect());
    }
    for (at, _) in lower.match_indices('=') {
        let word = lower[..at].trim_end();
        let from = word
            .rfind(|c: char| !c.is_ascii_alphabetic())
            .map_or(0, |at| at + word[at..].chars().next().map_or(1, char::len_utf8));
        let word = &word[from..];
        // Its list of events grows with each version; all begin so.
        if word.len() > 4 && word.starts_with("on") {
            return Some(format!("{word} ="));
        }
    }
    None
}

/// How many characters are left without tags, which is what a short description is measured by.
pub(super) fn n_chars(html: &str) -> usize {
    let mut in_tag = false;
    let is_text = |c: &char| {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                return false;
            }
            _ => {}
        }
        !in_tag && !matches!(c, '\n' | '\r')
    };
    html.chars().filter(is_text).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shop_refuses_is_cleaned_away_and_what_formats_stays() {
        // P28, P28b.
        let html = "<p style=\"color:red\" onclick=\"x()\">A <b>mug</b></p><script>alert(1)</script><iframe src=\"x\"></iframe>\
                    <form><input>in</form><a href=\"javascript:x()\">y</a><ul><li>1</li></ul>";
        assert_eq!(clean(html), "<p>A <b>mug</b></p>in<a>y</a><ul><li>1</li></ul>");
        assert_eq!(clean(&clean(html)), clean(html));
        assert_eq!(refused(&clean(html)), None);
    }

    #[test]
    fn plain_words_that_the_shop_takes_for_scripts_are_named() {
        assert_eq!(refused("<p>I like onclick = x</p>").as_deref(), Some("onclick ="));
        assert_eq!(refused("data: onload=").as_deref(), Some("onload ="));
        assert_eq!(refused("Manuscript: 200 pages").as_deref(), Some("manuscript:"));
        assert_eq!(refused("Condition = new, on = off, é=3, a = 1"), None);
    }

    #[test]
    fn tags_do_not_count() {
        assert_eq!(n_chars("<p>ab\n<b>c</b> &amp;</p>"), 9);
    }
}
