//! Characters that are written as names or numbers: `&euro;`, `&#8364;`.

use std::borrow::Cow;

/// The names of the characters from 160 on, in their order.
const LATIN: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro \
    para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc \
    Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig \
    agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc \
    otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

/// Others that shops use.
const OTHERS: [(&str, char); 62] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("AMP", '&'),
    ("LT", '<'),
    ("GT", '>'),
    ("QUOT", '"'),
    ("apos", '\''),
    ("euro", '€'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("horbar", '―'),
    ("minus", '−'),
    ("hyphen", '‐'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("hellip", '…'),
    ("bull", '•'),
    ("dagger", '†'),
    ("Dagger", '‡'),
    ("permil", '‰'),
    ("trade", '™'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("numsp", '\u{2007}'),
    ("puncsp", '\u{2008}'),
    ("thinsp", '\u{2009}'),
    ("hairsp", '\u{200a}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("lrm", '\u{200e}'),
    ("rlm", '\u{200f}'),
    ("NoBreak", '\u{2060}'),
    ("comma", ','),
    ("period", '.'),
    ("colon", ':'),
    ("semi", ';'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("plus", '+'),
    ("equals", '='),
    ("num", '#'),
    ("sol", '/'),
    ("lpar", '('),
    ("rpar", ')'),
    ("excl", '!'),
    ("ast", '*'),
    ("lowbar", '_'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("rarr", '→'),
];

/// What the numbers 128 to 159 mean, which are no characters: Windows wrote them so.
const WINDOWS: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d,
    0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d,
    0x17e, 0x178,
];
const LONGEST: usize = 10;

/// The text with characters in the place of their names. In attributes a name needs its semicolon: addresses have `&copy=1` in them.
pub(crate) fn decode(text: &str, in_attribute: bool) -> Cow<'_, str> {
    if !text.as_bytes().contains(&b'&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, length) = character(&rest[1..], in_attribute).unwrap_or(('&', 0));
        decoded.push(c);
        rest = &rest[1 + length..];
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The character that the text behind an ampersand names, and how long its name is.
fn character(text: &str, in_attribute: bool) -> Option<(char, usize)> {
    let length = |fits: fn(&u8) -> bool| text.bytes().take(LONGEST).take_while(fits).count();
    if let Some(number) = text.strip_prefix('#') {
        let hexadecimal = number.starts_with(['x', 'X']);
        let digits = if hexadecimal { &number[1..] } else { number };
        let fits = |b: &u8| if hexadecimal { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        let n = digits.bytes().take(LONGEST).take_while(fits).count();
        let code = u32::from_str_radix(&digits[..n], if hexadecimal { 16 } else { 10 }).ok()?;
        let code = match code {
            128..=159 => u32::from(WINDOWS[code as usize - 128]),
            _ => code,
        };
        let c = char::from_u32(code).filter(|c| *c != '\0').unwrap_or('\u{fffd}');
        let whole = 1 + usize::from(hexadecimal) + n;
        return Some((c, whole + usize::from(digits[n..].starts_with(';'))));
    }
    let n = length(u8::is_ascii_alphanumeric);
    if text[n..].starts_with(';')
        && let Some(c) = named(&text[..n])
    {
        return Some((c, n + 1));
    }
    if in_attribute {
        return None;
    }
    let n =
        (2..=n).rev().find(|n| latin(&text[..*n]).is_some() || matches!(&text[..*n], "amp" | "lt" | "gt" | "quot"))?;
    Some((named(&text[..n])?, n))
}

fn named(name: &str) -> Option<char> {
    OTHERS.iter().find(|(known, _)| *known == name).map(|(_, c)| *c).or_else(|| latin(name))
}

fn latin(name: &str) -> Option<char> {
    let at = LATIN.split_ascii_whitespace().position(|known| known == name)?;
    char::from_u32(160 + u32::try_from(at).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_read_by_name_and_number() {
        for (text, expected) in [
            ("12&nbsp;&euro;", "12\u{a0}€"),
            ("&pound12", "£12"),
            ("&#8364;&#x20AC;&#128;", "€€€"),
            ("&yuml;&Agrave;&eacute;", "ÿÀé"),
            ("a & b &; &x; &#; &#x;", "a & b &; &x; &#; &#x;"),
            ("&amp;euro;", "&euro;"),
            ("&notit;", "¬it;"),
            ("&#0;&#1114112;", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(decode(text, false), expected, "{text}");
        }
        assert_eq!(decode("/?a=1&copy=2&amp;b=3", true), "/?a=1&copy=2&b=3");
    }
}
