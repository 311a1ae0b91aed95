//! Pages for people: one look in light and dark, French and English, without scripts, and with a policy that allows nothing else.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::{Environment, Error, State, UndefinedBehavior, Value, context};
use providers::content::Language;
use sha2::{Digest, Sha256};
use url::Url;

use crate::answer::{Problem, Type};

const CSS: &str = include_str!("page/look.css");
/// All but the layout are pages.
const TEMPLATES: [(&str, &str); 7] = [
    ("layout.html", include_str!("page/layout.html")),
    ("message.html", include_str!("page/message.html")),
    ("subscribe.html", include_str!("page/subscribe.html")),
    ("unsubscribe.html", include_str!("page/unsubscribe.html")),
    ("mock_checkout.html", include_str!("page/mock_checkout.html")),
    ("mock_portal.html", include_str!("page/mock_portal.html")),
    ("mock_invoice.html", include_str!("page/mock_invoice.html")),
];
/// Long enough for a restart of MongoDB or a new try at Stripe.
const RETRY_AFTER_S: u32 = 5;

static ENVIRONMENT: LazyLock<Environment<'static>> =
    LazyLock::new(|| load().unwrap_or_else(|error| panic!("the templates of pages cannot be read: {error:#}")));
/// The one style that is allowed, by its hash.
static STYLE: LazyLock<String> = LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(CSS))));

fn load() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    // What is not there is an error, except when a template asks whether it is.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.add_function("say", |state: &State<'_, '_>, french: &str, english: &str| {
        let is_french = state.lookup("language").is_some_and(|language| language.as_str() == Some("fr"));
        if is_french { french.to_owned() } else { english.to_owned() }
    });
    for (name, source) in TEMPLATES {
        // The ending has all values escaped.
        environment.add_template(name, source)?;
    }
    Ok(environment)
}

/// How a page is answered.
#[derive(Debug, Clone)]
pub(super) struct Page<'a> {
    /// The file of its template.
    pub(super) template: &'static str,
    /// The reader's.
    pub(super) language: Language,
    /// 200, or why there is nothing else to show.
    pub(super) status: StatusCode,
    /// Other origins that its forms may lead to: browsers look at redirects, too.
    pub(super) forms_to: &'a [String],
}

impl Page<'_> {
    /// The page with these values.
    pub(super) fn answer(&self, values: Value) -> Response {
        let css = Value::from_safe_string(CSS.to_owned());
        let beside = context! { css => css, language => word(self.language) };
        let filled = ENVIRONMENT
            .get_template(self.template)
            .and_then(|template| template.render(context! { ..beside, ..values }));
        match filled {
            Ok(html) => self.whole(html),
            Err(error) => {
                tracing::error!(page = self.template, error = format!("{error:#}"), "a page cannot be shown");
                Problem::new(Type::Internal, "the page cannot be shown; the log has the reason").into_response()
            }
        }
    }

    fn whole(&self, html: String) -> Response {
        let mut response = (self.status, Html(html)).into_response();
        let headers = response.headers_mut();
        let forms_to: String = self.forms_to.iter().map(|origin| format!(" {origin}")).collect();
        let policy = format!(
            "default-src 'none'; style-src {}; form-action 'self'{forms_to}; base-uri 'none'; frame-ancestors 'none'",
            *STYLE
        );
        // Origins and hashes are ASCII; without a policy a page is not shown at all.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        private(headers);
        response
    }
}

/// Sends the reader on, to an address of which this one shall not tell.
pub(super) fn go_to(address: &str) -> Option<Response> {
    let address = HeaderValue::from_str(address).ok()?;
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response();
    private(response.headers_mut());
    Some(response)
}

/// What has a signed address is for one reader, and the address is not told to where its links lead.
fn private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// A page that says one thing: `title`, `text`, and where a link leads.
pub(super) fn message(
    language: Language,
    status: StatusCode,
    (title, text): (&str, &str),
    link: Option<(&str, &str)>,
) -> Response {
    let page = Page { template: "message.html", language, status, forms_to: &[] };
    let link = link.map(|(address, words)| context! { address => address, words => words });
    page.answer(context! { title => title, text => text, link => link })
}

/// As in the attribute `lang`.
pub(super) fn word(language: Language) -> &'static str {
    match language {
        Language::Fr => "fr",
        Language::En => "en",
    }
}

/// What is said in this language.
pub(super) fn say<'a>(language: Language, french: &'a str, english: &'a str) -> &'a str {
    match language {
        Language::Fr => french,
        Language::En => english,
    }
}

/// The language of a reader: the one that is asked for, or else what the browser prefers, or else English.
pub(super) fn language(asked: Option<&str>, headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.and_then(named).or_else(|| preferred(accepted)).unwrap_or(Language::En)
}

fn named(tag: &str) -> Option<Language> {
    match tag.split('-').next()?.to_ascii_lowercase().as_str() {
        "fr" => Some(Language::Fr),
        "en" => Some(Language::En),
        _ => None,
    }
}

fn preferred(accepted: &str) -> Option<Language> {
    let weighed = accepted.split(',').filter_map(|part| {
        let mut parts = part.split(';').map(str::trim);
        let language = named(parts.next()?)?;
        let weight = parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        weight.filter(|weight: &f32| *weight > 0.0).map(|weight| (language, weight))
    });
    // Of equal ones the first.
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(language, _)| language)
}

/// What `form-action` names an address by; `None`: it has no other origin.
pub(super) fn origin(address: &str) -> Option<String> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_has_the_language_that_is_asked_for_or_else_what_the_browser_prefers() {
        let of = |asked: Option<&str>, accepted: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accepted))]);
            word(language(asked, &headers))
        };
        assert_eq!((of(Some("fr"), "en"), of(Some("en-GB"), "fr")), ("fr", "en"));
        for (accepted, expected) in [
            ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
            ("de, en;q=0.5, fr;q=0.7", "fr"),
            ("en;q=0.8, fr;q=0.8", "en"),
            ("fr;q=0, en;q=0.1", "en"),
            ("fr;q=x", "en"),
            ("*", "en"),
            ("de", "en"),
            ("", "en"),
        ] {
            assert_eq!(of(None, accepted), expected, "{accepted}");
        }
        assert_eq!(of(Some("de"), "fr"), "fr", "what is not known is not asked for");
        assert_eq!(word(language(None, &HeaderMap::new())), "en");
    }

    #[test]
    fn a_page_allows_its_own_style_and_its_forms_alone_and_escapes_what_is_shown() {
        let forms_to = ["https://checkout.stripe.com".to_owned()];
        let page =
            Page { template: "message.html", language: Language::Fr, status: StatusCode::OK, forms_to: &forms_to };
        let response = page.answer(context! { title => "<b>&\"'", text => "x", link => () });
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("; form-action 'self' https://checkout.stripe.com;"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        assert_eq!(
            (header(header::CACHE_CONTROL), header(header::REFERRER_POLICY)),
            ("no-store".into(), "no-referrer".into())
        );
        let html = ENVIRONMENT
            .get_template("message.html")
            .unwrap()
            .render(context! { css => Value::from_safe_string(CSS.to_owned()), language => "fr", title => "<b>&\"'", text => "x", link => () })
            .unwrap();
        assert!(html.contains("&lt;b&gt;&amp;&quot;&#x27;") && !html.contains("<b>"), "{html}");
        assert!(html.contains("<html lang=\"fr\">") && !html.contains("<script"), "{html}");
        let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        assert_eq!(
            format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style))),
            *STYLE,
            "the hash is of what stands there"
        );
    }

    #[test]
    fn an_origin_is_that_of_web_addresses_alone() {
        assert_eq!(origin("https://a.example:8443/x?y#z").as_deref(), Some("https://a.example:8443"));
        assert_eq!(origin("http://127.0.0.1:3000/").as_deref(), Some("http://127.0.0.1:3000"));
        for other in ["/subscribe", "javascript:alert(1)", "data:text/html,x", ""] {
            assert_eq!(origin(other), None, "{other}");
        }
    }

    #[test]
    fn all_templates_can_be_read() {
        assert_eq!(load().unwrap().templates().count(), TEMPLATES.len());
    }
}
