//! Words as WooCommerce keeps them, and SKUs as it compares them.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// Of a SKU: the column by which it is found is as wide.
pub(super) const MOST_SKU: usize = 100;
/// Of a name: much longer ones end in an error of the database.
pub(super) const MOST_NAME: usize = 1_000;

/// Without blanks at its ends, with one blank where there are several.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Plain text as a name shows it: the shop drops backslashes.
pub(super) fn plain(text: &str) -> String {
    one_line(&text.replace('\\', ""))
}

/// Plain text as it is sent where HTML is read.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What a name that comes back says: `R&amp;D` is `R&D`.
pub(super) fn decoded(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.char_indices().take(12).find(|(_, c)| *c == ';').map(|(end, _)| end);
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((c, end)) => {
                text.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        "nbsp" => return Some('\u{a0}'),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

/// HTML without what the shop removes. It would leave the text of scripts and styles standing, and cut `5 < 6` (W28).
pub(super) fn cleaned(html: &str) -> String {
    static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
        let mut cleaner = ammonia::Builder::default();
        cleaner
            .add_tags(["video", "audio", "source", "track", "button", "section", "main", "address"])
            .add_generic_attributes(["class", "id", "style", "title", "lang", "dir"])
            .generic_attribute_prefixes(HashSet::from(["data-"]))
            .add_tag_attributes(
                "video",
                ["src", "controls", "width", "height", "poster", "muted", "loop", "autoplay", "preload"],
            )
            .add_tag_attributes("audio", ["src", "controls", "loop", "muted", "preload"])
            .add_tag_attributes("source", ["src", "type"])
            .add_tag_attributes("button", ["type", "disabled", "name", "value"])
            .add_tag_attributes("a", ["target", "rel", "name"])
            .add_clean_content_tags(["iframe", "object", "svg", "select", "textarea", "noscript", "template"])
            .link_rel(None)
            .tag_attribute_values(HashMap::new());
        cleaner
    });
    CLEANER.clean(html).to_string().replace('\\', "").trim().to_owned()
}

/// A SKU as the shop keeps it, if it can.
pub(super) fn sku(sku: &str) -> String {
    one_line(sku)
}

/// Why the shop cannot hold a SKU.
pub(super) enum Bad {
    /// Its look-up drops the filter: all products come back (W20b).
    Empty,
    /// It is found, but no longer taken only once (W19).
    TooLong,
    /// They are removed or rewritten, so that two SKUs become one (W18).
    Characters(String),
}

/// Whether the shop can hold a SKU.
pub(super) fn bad_sku(text: &str) -> Option<Bad> {
    let text = sku(text);
    if text.is_empty() || text == "0" {
        return Some(Bad::Empty);
    }
    if text.chars().count() > MOST_SKU {
        return Some(Bad::TooLong);
    }
    if let Some(found) = text.chars().find(|c| matches!(c, '<' | '>') || c.is_control()) {
        return Some(Bad::Characters(found.escape_default().to_string()));
    }
    let bytes = text.as_bytes();
    let octet = bytes.windows(3).position(|three| three[0] == b'%' && three[1..].iter().all(u8::is_ascii_hexdigit));
    octet.map(|at| Bad::Characters(String::from_utf8_lossy(&bytes[at..at + 3]).into_owned()))
}

/// Letters that the shop's database takes for one, by the one.
const ALIKE: &[(&str, &str)] = &[
    ("a", "àáâãäåāăąǎ"),
    ("ae", "æ"),
    ("c", "çćĉċč"),
    ("d", "ďđð"),
    ("e", "èéêëēĕėęě"),
    ("g", "ĝğġģ"),
    ("h", "ĥħ"),
    ("i", "ìíîïĩīĭįı"),
    ("j", "ĵ"),
    ("k", "ķ"),
    ("l", "ĺļľŀł"),
    ("n", "ñńņňŉ"),
    ("o", "òóôõöøōŏőǒ"),
    ("oe", "œ"),
    ("r", "ŕŗř"),
    ("s", "śŝşšș"),
    ("ss", "ß"),
    ("t", "ţťŧț"),
    ("u", "ùúûüũūŭůűųǔ"),
    ("w", "ŵ"),
    ("y", "ýÿŷ"),
    ("z", "źżž"),
];

/// What is equal of two texts that the shop's database takes for the same: without case, accents and Unicode's forms (W12b, W15).
pub(super) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in one_line(text).to_lowercase().chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)) {
        match ALIKE.iter().find(|(_, letters)| letters.contains(c)) {
            Some((one, _)) => folded.push_str(one),
            None => folded.push(c),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_were_meant() {
        for name in ["R&D <1>", "Lamps & Co", "5 > 3", "a\"b'c", "AT&amp;T"] {
            assert_eq!(decoded(&escaped(name)), name);
        }
        assert_eq!(decoded("a &#039;b&#8217; &nbsp;&unknown; & &#x41;"), "a 'b’ \u{a0}&unknown; & A");
        assert_eq!(plain(" a\\b  c\n"), "ab c");
    }

    #[test]
    fn html_loses_what_the_shop_would_remove_together_with_its_text() {
        let html = "<p class=\"x\" onclick=\"y()\">5 < 6 & 7 > 3 a\\b</p><script>alert(1)</script><style>p{color:red}</style>\
            <iframe src=\"x\">inside</iframe><a href=\"javascript:x()\">go</a><table><tr><td>1</td></tr></table>";
        assert_eq!(
            cleaned(html),
            "<p class=\"x\">5 &lt; 6 &amp; 7 &gt; 3 ab</p><a>go</a><table><tbody><tr><td>1</td></tr></tbody></table>"
        );
    }

    #[test]
    fn skus_that_the_shop_cannot_hold_are_known() {
        let fine = [
            "SKU12",
            " a  b ",
            "R&D 1",
            "100%",
            "A|B",
            "[z]",
            "日本1",
            "a,b",
            "00",
            "\"q\"",
            "50%off",
            &"x".repeat(100),
        ];
        for sku in fine {
            assert!(bad_sku(sku).is_none(), "{sku}");
        }
        for sku in ["", " ", "0", " 0 ", "a<b", "<b>x</b>", "a%41b", "a%20b", "a%ffb", &"x".repeat(101), "a\u{7}b"] {
            assert!(bad_sku(sku).is_some(), "{sku}");
        }
    }

    #[test]
    fn what_the_database_takes_for_the_same_is_folded_to_the_same() {
        for (one, other) in [
            ("CAFÉ9", "cafe9"),
            ("abc", "ABC"),
            ("e\u{301}1", "é1"),
            (" a  b", "A B"),
            ("Straße", "STRASSE"),
            ("ŁÓDŹ", "lodz"),
        ] {
            assert_eq!(folded(one), folded(other), "{one}");
        }
        assert_ne!(folded("a-1"), folded("a1"));
    }
}
