//! Pages that stand in a page's place when a shop takes us for a robot that it does not want.

/// A page without a price that is longer than this is no challenge.
const LONGEST: usize = 200 * 1024;

/// What such pages have, each with who makes them. All of it must be there.
const MARKS: &[(&str, &[&str])] = &[
    ("Cloudflare", &["<title>just a moment...</title>"]),
    ("Cloudflare", &["cf-chl-"]),
    ("Cloudflare", &["cf-error-details", "cloudflare"]),
    ("DataDome", &["captcha-delivery.com"]),
    ("HUMAN", &["px-captcha"]),
    ("Akamai", &["<title>access denied</title>", "edgesuite.net"]),
    ("Imperva", &["_incapsula_resource", "incident id"]),
    ("AWS WAF", &["awswafcookiedomainlist"]),
    ("AWS WAF", &["gokuprops"]),
    ("Amazon", &["/errors/validatecaptcha"]),
    ("Kasada", &["/ips.js?", "kpsdk"]),
    ("a captcha", &["<title>robot check</title>"]),
    ("a captcha", &["<title>captcha"]),
    ("a captcha", &["g-recaptcha", "are you a robot"]),
    ("a captcha", &["h-captcha", "not a robot"]),
];

/// Who asks for a proof that we are no robot, if this page, in which there is no price, does.
pub(super) fn by(html: &str) -> Option<&'static str> {
    if html.len() > LONGEST {
        return None;
    }
    let html = html.to_lowercase();
    MARKS.iter().find(|(_, marks)| marks.iter().all(|mark| html.contains(mark))).map(|(who, _)| *who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_known_and_shops_that_are_only_protected_are_not_taken_for_one() {
        for (html, who) in [
            ("<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>", "Cloudflare"),
            ("<script>var dd={'rt':'c','host':'geo.captcha-delivery.com'}</script>", "DataDome"),
            ("<div id=\"px-captcha\"></div>", "HUMAN"),
            ("<TITLE>Access Denied</TITLE> Reference https://errors.edgesuite.net/18.2", "Akamai"),
            ("<iframe src=\"/_Incapsula_Resource?SWUDNSAI=31\">Incident ID: 7</iframe>", "Imperva"),
            ("<form action=\"/errors/validateCaptcha\">", "Amazon"),
        ] {
            assert_eq!(by(html), Some(who), "{html}");
        }
        for fine in [
            "<title>Cup</title><script src=\"/cdn-cgi/challenge-platform/scripts/jsd/main.js\"></script>",
            "<title>Login</title><div class=g-recaptcha></div>",
            "<script src=\"/_Incapsula_Resource?x=1\"></script><h1>Cup</h1>",
            "",
        ] {
            assert_eq!(by(fine), None, "{fine}");
        }
    }
}
