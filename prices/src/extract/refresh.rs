//! `<meta http-equiv="refresh">` and the header of that name: a page that sends its readers to another one.

use url::Url;

use crate::dom::Dom;

/// Later than this it is no redirect: the page is meant to be read.
const LATEST_S: f64 = 10.0;

/// Where the page sends its readers at once.
pub(super) fn target(dom: &Dom<'_>, base: &Url) -> Option<Url> {
    dom.all("meta").find_map(|at| {
        let is_refresh = dom.attr(at, "http-equiv").is_some_and(|name| name.trim().eq_ignore_ascii_case("refresh"));
        let is_read = || dom.around(at).all(|outer| dom.name(outer) != "template");
        if is_refresh && is_read() { parse(&dom.attr(at, "content")?, base) } else { None }
    })
}

/// Where the content of a refresh leads: `0; url='/new'`. `None` when it is no redirect, or a late one.
#[must_use]
pub fn parse(content: &str, base: &Url) -> Option<Url> {
    let content = content.trim();
    let end = content.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(content.len());
    let (delay, rest) = content.split_at(end);
    let delay: f64 = if delay.is_empty() { return None } else { delay.parse().ok()? };
    let rest = rest.trim_start().trim_start_matches([';', ',']).trim_start();
    let rest = match rest.get(..3) {
        Some(url) if url.eq_ignore_ascii_case("url") => {
            let rest = rest[3..].trim_start();
            rest.strip_prefix('=').map_or(rest, str::trim_start)
        }
        _ => rest,
    };
    let link = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next().unwrap_or_default(),
        _ => rest,
    };
    let link = link.trim();
    if link.is_empty() || delay > LATEST_S {
        return None;
    }
    base.join(link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_are_read_in_every_spelling() {
        let base = Url::parse("https://shop.example/a/b").unwrap();
        for (content, target) in [
            ("0;url=/ctl", Some("https://shop.example/ctl")),
            ("0; URL='c'", Some("https://shop.example/a/c")),
            ("1.5 , url = \"//x.example/\" ", Some("https://x.example/")),
            ("0 /ctl", Some("https://shop.example/ctl")),
            ("3;/ctl", Some("https://shop.example/ctl")),
            ("0", None),
            ("600;url=/later", None),
            ("url=/ctl", None),
            ("", None),
            ("0;url=", None),
        ] {
            assert_eq!(parse(content, &base).map(String::from).as_deref(), target, "{content}");
        }
    }
}
