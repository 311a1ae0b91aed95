//! Which country's page it is: what `$`, `kr` and `¥` mean there.

use url::Url;

use crate::dom::Dom;

/// Endings of hosts and regions of languages, by the sign that means several currencies.
const DOLLARS: [(&str, &str); 19] = [
    ("us", "USD"),
    ("com", "USD"),
    ("ca", "CAD"),
    ("au", "AUD"),
    ("nz", "NZD"),
    ("sg", "SGD"),
    ("hk", "HKD"),
    ("tw", "TWD"),
    ("mx", "MXN"),
    ("ar", "ARS"),
    ("cl", "CLP"),
    ("co", "COP"),
    ("uy", "UYU"),
    ("jm", "JMD"),
    ("tt", "TTD"),
    ("ec", "USD"),
    ("pr", "USD"),
    ("fj", "FJD"),
    ("bb", "BBD"),
];
const CROWNS: [(&str, &str); 4] = [("se", "SEK"), ("no", "NOK"), ("dk", "DKK"), ("is", "ISK")];
const YEN: [(&str, &str); 2] = [("jp", "JPY"), ("cn", "CNY")];
const RUPEES: [(&str, &str); 5] = [("in", "INR"), ("pk", "PKR"), ("lk", "LKR"), ("np", "NPR"), ("mu", "MUR")];

/// The currency that the sign in a text means on this page.
pub(super) fn currency(text: &str, dom: &Dom<'_>, url: &Url, language: Option<&str>) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let table: &[(&str, &str)] = if lower.contains('$') {
        &DOLLARS
    } else if lower.contains("kr") || lower.contains(":-") || lower.contains(",-") {
        &CROWNS
    } else if lower.contains('¥') || lower.contains('￥') {
        &YEN
    } else if lower.contains("rs") || lower.contains('₨') {
        &RUPEES
    } else {
        return None;
    };
    let of = |region: &str| table.iter().find(|(own, _)| *own == region).map(|(_, currency)| *currency);
    let of_page = dom.all("html").find_map(|at| dom.attr(at, "lang"));
    let region = |language: &str| {
        let (tongue, region) = language.split_once(['-', '_']).unwrap_or((language, ""));
        match (tongue.to_ascii_lowercase().as_str(), region.to_ascii_lowercase()) {
            ("sv", region) if region.is_empty() => "se".to_owned(),
            ("da", region) if region.is_empty() => "dk".to_owned(),
            ("nb" | "nn" | "no", region) if region.is_empty() => "no".to_owned(),
            ("ja", region) if region.is_empty() => "jp".to_owned(),
            ("zh", region) if region.is_empty() => "cn".to_owned(),
            (_, region) => region,
        }
    };
    let host = url.host_str().and_then(|host| host.rsplit('.').next()).filter(|end| *end != "com" && *end != "co");
    let by_host = host.and_then(of);
    let by_language = of_page.iter().map(AsRef::as_ref).chain(language).find_map(|language| of(&region(language)));
    let is_com = url.host_str().is_some_and(|host| host.ends_with(".com"));
    by_host.or(by_language).or_else(|| if is_com { of("com") } else { None })
}
