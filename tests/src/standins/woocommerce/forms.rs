//! What `WordPress` and WooCommerce make of words and numbers.

/// Tags whose text stays when they are removed (W28).
const REMOVED: &[&str] = &["script", "style", "iframe", "form", "input", "svg"];

/// As `sanitize_text_field`: tags and percent-octets vanish, `<` alone becomes `&lt;`, blanks are one (W16, W18).
pub(super) fn one_line(text: &str) -> String {
    let text = without_tags(text, |_| true);
    let blank = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = blank(&text);
    loop {
        let octet = text
            .as_bytes()
            .windows(3)
            .position(|three| three[0] == b'%' && three[1..].iter().all(u8::is_ascii_hexdigit));
        match octet {
            Some(at) => text.replace_range(at..at + 3, ""),
            None => return blank(&text),
        }
    }
}

/// As `wp_kses_post` in a body that was unslashed: some tags vanish and their text stays, backslashes vanish, and all between `<` and `>`
/// that is no tag (W28).
pub(super) fn html(text: &str) -> String {
    let is_removed = |tag: &str| {
        let name = tag.trim_start_matches('/');
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        name.is_empty() || REMOVED.contains(&name.to_lowercase().as_str())
    };
    without_tags(&text.replace('\\', ""), is_removed)
}

/// A name: HTML with entities, the same when it comes again (W29).
pub(super) fn name(text: &str) -> String {
    ampersands(&html(text))
}

/// A bare `&` becomes `&amp;`.
pub(super) fn ampersands(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(c);
        let is_entity = || {
            let end = text[at + 1..].find(';').map(|end| &text[at + 1..=at + end]);
            end.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '#'))
        };
        if c == '&' && !is_entity() {
            out.push_str("amp;");
        }
    }
    out
}

fn without_tags(text: &str, is_removed: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('>').map(|end| at + end) else {
            out.push_str("&lt;");
            rest = &rest[at + 1..];
            continue;
        };
        if !is_removed(&rest[at + 1..end]) {
            out.push_str(&rest[at..=end]);
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

/// A description as a reader gets it: `wpautop`.
pub(super) fn paragraphs(html: &str) -> String {
    match html.trim() {
        "" => String::new(),
        html if html.starts_with('<') => format!("{html}\n"),
        html => format!("<p>{html}</p>\n"),
    }
}

/// As `wc_format_decimal`: all but digits, points and minus vanishes (W21 to W27).
pub(super) fn decimal(text: &str, decimal_comma: bool) -> String {
    let text = if decimal_comma { text.replace(',', ".") } else { text.to_owned() };
    let last_point = text.rfind('.');
    let kept =
        text.char_indices().filter(|(at, c)| c.is_ascii_digit() || *c == '-' || (*c == '.' && Some(*at) == last_point));
    kept.map(|(_, c)| c).collect()
}

/// Digits and dashes (W66).
pub(super) fn gtin(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect()
}

/// What the database takes for the same: without case and accents, in whatever form of Unicode (W12b, W15).
pub(super) fn collated(text: &str) -> String {
    let bare = |c: char| match c {
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' => 'o',
        'ù'..='ü' => 'u',
        'ý' | 'ÿ' => 'y',
        c => c,
    };
    text.to_lowercase().chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).map(bare).collect()
}

/// Whether the database takes them for the same. Most are plain ASCII, and are compared with every row.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    collated(one) == collated(other)
}

/// The last part of an address.
pub(super) fn slug(text: &str) -> String {
    let text = collated(text).replace("&amp;", "");
    let dashed: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
