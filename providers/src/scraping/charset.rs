//! Turns the bytes of a page into text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// So far into a page its own words on its encoding are looked for.
const PROLOGUE: usize = 16 * 1024;

/// The text of a page. Its encoding is what its first bytes, the header, the page itself or its contents say, in this order.
///
/// # Errors
/// Why the bytes are no text.
pub(crate) fn decode(body: &[u8], content_type: Option<&str>, host: Option<&str>) -> Result<String, &'static str> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty");
    }
    if body.starts_with(b"\x1f\x8b") || body.starts_with(b"\x28\xb5\x2f\xfd") {
        return Err("is packed, but no header tells how");
    }
    let text = if let Some((encoding, mark)) = Encoding::for_bom(body) {
        encoding.decode_without_bom_handling(&body[mark..]).0.into_owned()
    } else {
        let header = content_type.and_then(|value| label(value.as_bytes())).and_then(|label| named(&label));
        decode_as(body, header, host)
    };
    // A stray mark or two stand in the best pages; a picture is full of them.
    let strays =
        text.chars().filter(|c| *c == '\u{fffd}' || (c.is_ascii_control() && !c.is_ascii_whitespace())).count();
    let unreadable = text.contains('\0') || strays > 20 + text.len() / 200;
    if unreadable { Err("cannot be read as text") } else { Ok(text) }
}

fn decode_as(body: &[u8], header: Option<&'static Encoding>, host: Option<&str>) -> String {
    if let Some(wide) = wide(body, header) {
        return wide.decode_without_bom_handling(body).0.into_owned();
    }
    // What is named as wide but is not has been decided above.
    let header = header.filter(|encoding| ![UTF_16LE, UTF_16BE].contains(encoding));
    let utf8 = std::str::from_utf8(body);
    for encoding in [header, of_page(body)].into_iter().flatten() {
        // Bytes that make sense as UTF-8 are that, although servers call all pages Latin by default.
        if encoding != UTF_8 && encoding.is_single_byte() && utf8.is_ok_and(|text| !text.is_ascii()) {
            break;
        }
        let (text, broken) = encoding.decode_without_bom_handling(body);
        if !broken {
            return text.into_owned();
        }
    }
    if let Ok(text) = utf8 {
        return text.to_owned();
    }
    let lossy = String::from_utf8_lossy(body);
    let broken = lossy.chars().filter(|c| *c == '\u{fffd}').count();
    let sound = lossy.chars().filter(|c| !c.is_ascii() && *c != '\u{fffd}').count();
    if sound > broken {
        return lossy.into_owned();
    }
    guess(body, host).decode_without_bom_handling(body).0.into_owned()
}

/// UTF-16 without its mark: every other byte of markup is zero.
fn wide(body: &[u8], header: Option<&'static Encoding>) -> Option<&'static Encoding> {
    let start = &body[..body.len().min(256)];
    let zeros = |odd: usize| start.iter().skip(odd).step_by(2).filter(|b| **b == 0).count() * 4 > start.len();
    match (zeros(0), zeros(1)) {
        (false, true) => Some(UTF_16LE),
        (true, false) => Some(UTF_16BE),
        (true, true) => header.filter(|encoding| [UTF_16LE, UTF_16BE].contains(encoding)),
        (false, false) => None,
    }
}

/// What the page's own `<meta>` or XML declaration says.
fn of_page(body: &[u8]) -> Option<&'static Encoding> {
    let start = &body[..body.len().min(PROLOGUE)];
    let mut at = 0;
    while let Some(found) = start[at..].iter().position(|b| *b == b'<') {
        at += found + 1;
        let rest = &start[at..];
        if rest.starts_with(b"!--") {
            at += rest.windows(3).position(|window| window == b"-->")?;
            continue;
        }
        let name = |name: &[u8]| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let tag = &rest[..rest.iter().position(|b| *b == b'>').unwrap_or(rest.len())];
        let said = if name(b"meta") || name(b"?xml") { label(tag) } else { None };
        if let Some(encoding) = said.and_then(|label| named(&label)) {
            // A page that can be read so far is not wide.
            return Some(if [UTF_16LE, UTF_16BE].contains(&encoding) { UTF_8 } else { encoding });
        }
    }
    None
}

/// The value behind `charset=` or `encoding=`.
fn label(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    ["charset", "encoding"].into_iter().find_map(|key| {
        text.match_indices(key).find_map(|(at, _)| {
            let value = text[at + key.len()..].trim_start().strip_prefix('=')?.trim_start();
            let value = value.trim_start_matches(['"', '\'', '\\']);
            let end = value
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | ',' | '>' | '\\'))
                .unwrap_or(value.len());
            (end > 0).then(|| value[..end].to_owned())
        })
    })
}

/// Labels that servers use besides those of the standard.
fn named(label: &str) -> Option<&'static Encoding> {
    let other = match label {
        "latin9" | "latin-9" | "iso8859-15" => "iso-8859-15",
        "utf8mb4" | "utf-8mb4" | "utf_8" | "utf 8" => "utf-8",
        "cp932" | "windows-932" => "shift_jis",
        "cp936" => "gbk",
        "cp949" => "euc-kr",
        "cp950" => "big5",
        "win-1251" | "win1251" => "windows-1251",
        "win-1250" | "win1250" => "windows-1250",
        label => label,
    };
    Encoding::for_label_no_replacement(other.as_bytes())
}

fn guess(body: &[u8], host: Option<&str>) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(body, true);
    let end = host.and_then(|host| host.rsplit('.').next()).map(str::to_ascii_lowercase);
    let country = end.filter(|end| end.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !end.is_empty());
    let guessed = detector.guess(country.as_deref().map(str::as_bytes), Utf8Detection::Allow);
    // Signs alone, such as that of the pound, are no mark of a language: without letters the guess would be Polish.
    let letters = body.iter().any(|b| *b >= 0xc0 && *b != 0xd7 && *b != 0xf7);
    if !letters && guessed.is_single_byte() && is_central_european(guessed) { WINDOWS_1252 } else { guessed }
}

fn is_central_european(encoding: &'static Encoding) -> bool {
    matches!(
        encoding.name(),
        "windows-1250" | "ISO-8859-2" | "windows-1257" | "ISO-8859-4" | "ISO-8859-13" | "windows-1254" | "windows-1258"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], content_type: Option<&str>) -> String {
        decode(body, content_type, Some("shop.example")).unwrap()
    }

    #[test]
    fn the_header_goes_before_the_page_and_the_mark_before_both() {
        let meta = |charset: &str| [b"<meta charset=", charset.as_bytes(), b"><p>"].concat();
        let czech = [meta("utf-8").as_slice(), b"K\xe8"].concat();
        assert!(read(&czech, Some("text/html; charset=windows-1250")).ends_with("Kč"));
        assert!(read(&[meta("windows-1250").as_slice(), b"K\xe8"].concat(), Some("text/html")).ends_with("Kč"));
        let other = [meta("windows-1251").as_slice(), b"K\xe8"].concat();
        assert!(read(&other, Some("text/html; charset=windows-1250")).ends_with("Kč"));
        assert!(read(&[meta("ISO-8859-2").as_slice(), b"z\xb3"].concat(), None).ends_with("zł"));
        assert!(read(&[meta("shift_jis").as_slice(), b"\x89\x7e"].concat(), None).ends_with('円'));
        assert!(read(&[meta("gb2312").as_slice(), b"\xd4\xaa"].concat(), None).ends_with('元'));
        assert!(read(&[meta("iso-8859-15").as_slice(), b"\xa4"].concat(), None).ends_with('€'));
        let commented = b"<!-- <meta charset=koi8-r> --><meta charset=windows-1250><p>K\xe8";
        assert!(read(commented, None).ends_with("Kč"));
        let quoted = b"<META http-equiv=Content-Type content='text/html; charset=\"koi8-r\"'>\xd2\xd5\xc2";
        assert!(read(quoted, None).ends_with("руб"));
        assert!(read(b"<?xml version='1.0' encoding='windows-1251'?>\xf0\xf3\xe1", None).ends_with("руб"));
        assert_eq!(read(b"\xef\xbb\xbf<p>\xe2\x82\xac", Some("text/html; charset=iso-8859-1")), "<p>€");
        assert_eq!(read(b"\xff\xfe<\0p\0>\0\xac\x20", Some("text/html; charset=utf-8")), "<p>€");
        assert_eq!(read(b"\xfe\xff\0<\0p\0>\x20\xac", None), "<p>€");
        assert_eq!(read(b"<\0p\0>\0\xac\x20", Some("text/html; charset=utf-16")), "<p>€");
        assert_eq!(read(b"\0<\0p\0>\x20\xac", Some("text/html; charset=utf-16")), "<p>€");
        assert_eq!(read(b"<p>1", Some("text/html; charset=utf-16")), "<p>1");
    }

    #[test]
    fn labels_are_read_with_quotes_and_other_names() {
        for value in [
            "text/html; charset=\"utf-8\"",
            "text/html;charset=UTF8",
            "text/html; charset=utf-8;",
            "text/html; charset = 'utf8mb4'",
        ] {
            assert_eq!(read("<p>€".as_bytes(), Some(value)), "<p>€", "{value}");
        }
        assert_eq!(read(b"<p>\xa4", Some("text/html; charset=latin9")), "<p>€");
        assert_eq!(read("<p>€".as_bytes(), Some("text/html; charset=nonsense")), "<p>€");
    }

    #[test]
    fn a_wrong_label_does_not_spoil_what_is_utf_8() {
        assert_eq!(read("<p>12 €".as_bytes(), Some("text/html; charset=ISO-8859-1")), "<p>12 €");
        assert_eq!(read(b"<p>12 \x80", Some("text/html; charset=utf-8")), "<p>12 €");
        assert_eq!(
            read(b"<meta charset=windows-1250><p>12 K\xe8", Some("text/html; charset=utf-8")),
            "<meta charset=windows-1250><p>12 Kč"
        );
    }

    #[test]
    fn without_a_label_the_text_itself_tells() {
        assert_eq!(read(b"<p>Price \xa312.99", None), "<p>Price £12.99");
        assert_eq!(read(b"<p>Preis 12 \x80", None), "<p>Preis 12 €");
        assert_eq!(read("<p>1 299,00\u{a0}€".as_bytes(), None), "<p>1 299,00\u{a0}€");
        let russian: &[u8] = b"<p>\xd6\xe5\xed\xe0 \xf2\xee\xe2\xe0\xf0\xe0 \xe2 \xec\xe0\xe3\xe0\xe7\xe8\xed\xe5 1 299 \xf0\xf3\xe1\xeb\xe5\xe9";
        assert!(read(russian, None).contains("магазине"));
        // One stray byte in a page of UTF-8.
        let stray = ["Prix 12 € été à\u{a0}".as_bytes(), b"\xff", "é".as_bytes()].concat();
        assert!(read(&stray, None).starts_with("Prix 12 € été à"));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let noise: Vec<u8> = (0_u32..20_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
        for body in [&b""[..], b" \n ", b"\x1f\x8b\x08\0\0\0", b"<p>\0\0\0 %PDF", &noise] {
            assert!(decode(body, Some("text/html; charset=utf-8"), None).is_err(), "{:?}", &body[..body.len().min(20)]);
        }
    }
}
