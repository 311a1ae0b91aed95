//! Fills in a template: subject, text and HTML of one file a template and language, so that both bodies say the same.
//!
//! `templates/<name>.<language>.jinja` has the words. It is made of parts (paragraph, table, button), which `parts.html` and `parts.txt` write
//! in their own way, around which `layout.html` and `layout.txt` go. In HTML everything is escaped.

use std::{
    fmt::{self, Display},
    sync::{Arc, LazyLock},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, context, escape_formatter,
    syntax::SyntaxConfig,
    value::{Object, Serde, Value, from_args},
};
use serde_json::Map;

use super::{data::TemplateName, locale::Locale};

/// A message whose template has been filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

macro_rules! sources {
    ($($name:literal),+) => {
        [$(
            (concat!($name, ".fr"), include_str!(concat!("templates/", $name, ".fr.jinja"))),
            (concat!($name, ".en"), include_str!(concat!("templates/", $name, ".en.jinja"))),
        )+]
    };
}

const SOURCES: [(&str, &str); 2 * TemplateName::ALL.len()] = sources!(
    "welcome",
    "trial_ending",
    "payment_failed",
    "price_alert",
    "weekly_summary",
    "job_failed",
    "store_parked"
);
const FRAMES: [(&str, &str); 4] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("layout.txt", include_str!("templates/layout.txt")),
    ("parts.html", include_str!("templates/parts.html")),
    ("parts.txt", include_str!("templates/parts.txt")),
];

static TEMPLATES: LazyLock<Environment<'static>> =
    LazyLock::new(|| load().unwrap_or_else(|error| panic!("the templates of e-mails cannot be read: {error:#}")));

fn load() -> Result<Environment<'static>, Error> {
    let mut templates = Environment::new();
    templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    // What is not there is an error, except when a template asks whether it is.
    templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Like the engine's own, which would also escape slashes and so make addresses hard to read.
    templates.set_formatter(|output, state, value| {
        if matches!(state.auto_escape(), AutoEscape::Html) && !value.is_safe() && !value.is_undefined() {
            return output.write_str(&escaped(&value.to_string())).map_err(Error::from);
        }
        escape_formatter(output, state, value)
    });
    templates.add_filter("one_line", |text: &Value| same_kind(text, one_line));
    templates.add_filter("compact", |text: &Value| same_kind(text, without_empty_lines));
    for (name, source) in FRAMES {
        templates.add_template(name, source)?;
    }
    for (name, source) in SOURCES {
        // The ending decides whether values are escaped.
        for ending in ["html", "txt"] {
            templates.add_template_owned(format!("{name}.{ending}"), source)?;
        }
    }
    Ok(templates)
}

/// Fills in the template of a message to somebody of this name. `unsubscribe_url` is where the recipient asks for no more reminders.
pub(super) fn render(
    template: TemplateName,
    locale: &Locale,
    to_name: Option<&str>,
    data: &Map<String, serde_json::Value>,
    unsubscribe_url: Option<&str>,
) -> Result<Rendered, Error> {
    let name = format!("{}.{}", template.name(), locale.language_name());
    let values = |ending: &str| {
        context! {
            layout => format!("layout.{ending}"),
            parts => format!("parts.{ending}"),
            language => locale.language_name(),
            here => Value::from_object(Here(locale.clone())),
            to_name => to_name,
            data => Value::from(Serde(data.clone())),
            unsubscribe_url => unsubscribe_url,
        }
    };
    let mut text = TEMPLATES.get_template(&format!("{name}.txt"))?.render_captured(values("txt"))?;
    let subject = text.with_state_mut(|state| state.render_block("subject"))?;
    let text = text.into_output();
    let html = TEMPLATES.get_template(&format!("{name}.html"))?.render(values("html"))?;
    Ok(Rendered { subject: one_line(&subject), text: paragraphs(&text), html })
}

/// In HTML, in an attribute too.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#39;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What is escaped already must not be escaped again.
fn same_kind(text: &Value, change: fn(&str) -> String) -> Value {
    let changed = change(text.as_str().unwrap_or_default());
    if text.is_safe() { Value::from_safe_string(changed) } else { Value::from(changed) }
}

fn without_empty_lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

/// Without the line breaks of the template's file. Spaces that must not break stay what they are.
fn one_line(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// With one empty line between paragraphs, whatever the template left there.
fn paragraphs(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    format!("{}\n", lines.join("\n").trim())
}

/// Dates, amounts and numbers for templates.
#[derive(Debug)]
struct Here(Locale);

impl Object for Here {
    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, arguments: &[Value]) -> Result<Value, Error> {
        let bad_time = || Error::new(ErrorKind::InvalidOperation, format!("{arguments:?} is no time"));
        match method {
            "moment" => from_args(arguments).and_then(|(text,)| self.0.moment(text).ok_or_else(bad_time)),
            "day" => from_args(arguments).and_then(|(text,)| self.0.day(text).ok_or_else(bad_time)),
            "money" => from_args(arguments).map(|(amount, currency)| self.0.money(amount, currency)),
            "number" => from_args(arguments).map(|(number,)| self.0.number(number)),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
        .map(Value::from)
    }
}

impl Display for Here {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.language_name())
    }
}

#[cfg(test)]
mod tests {
    use crate::handler::Handler;
    use providers::content::Language;
    use serde_json::{Map, json};

    use super::{
        super::{Email, data::samples},
        *,
    };

    fn rendered(email: &Email, unsubscribe_url: Option<&str>) -> Rendered {
        assert_eq!(email.check(), []);
        let time_zone = email.time_zone.as_ref().map_or(zones::Zone::UTC, |name| name.parse().unwrap());
        let locale = Locale { language: email.language.unwrap(), time_zone };
        email.rendered(email.template.unwrap(), &locale, unsubscribe_url).unwrap()
    }

    fn sample(language: Language, template: &super::super::Template) -> Email {
        let zone = Some("Europe/Paris".to_owned());
        Email::from_template("zoe@customer.example", Some("Zoé <Müller>".to_owned()), language, zone, template)
    }

    /// The words of HTML, as a reader sees them.
    fn words_of_html(html: &str) -> Vec<String> {
        let body = html.split_once("<body").unwrap().1;
        let mut text = String::new();
        for part in body.split('<').skip(1) {
            let (tag, after) = part.split_once('>').unwrap();
            if let Some((_, rest)) = tag.split_once("href=\"") {
                text.push_str(&format!(" {} ", rest.split_once('"').unwrap().0));
            }
            text.push_str(if tag.starts_with("strong") || tag.starts_with("/strong") { "" } else { " " });
            text.push_str(after);
        }
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'");
        let mut words: Vec<String> =
            text.replace("&#x2f;", "/").replace("&amp;", "&").split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    }

    #[test]
    fn every_template_says_the_same_in_text_and_html() {
        for template in samples() {
            for language in [Language::Fr, Language::En] {
                let url = template.name().is_reminder().then_some("https://jobs.example/unsubscribe?a=1&b=2");
                let message = rendered(&sample(language, &template), url);
                let mut in_text: Vec<String> = message
                    .text
                    .split_whitespace()
                    .filter(|word| !matches!(*word, "-" | "---" | ":"))
                    .map(|word| word.to_owned())
                    .collect();
                in_text.push("ECOMSIMPLY".to_owned());
                in_text.sort();
                let colons = |words: Vec<String>| -> Vec<String> {
                    let bare = words.into_iter().map(|word| word.trim_end_matches(':').to_owned());
                    let mut bare: Vec<String> = bare.filter(|word| !word.is_empty()).collect();
                    bare.sort();
                    bare
                };
                assert_eq!(colons(in_text), colons(words_of_html(&message.html)), "{template:?}\n{}", message.text);
                assert!(!message.subject.is_empty() && message.subject.chars().count() <= 200, "{}", message.subject);
                assert!(message.text.starts_with(&message.subject), "{}", message.text);
                assert!(!message.text.contains("\n\n\n") && !message.text.contains("{{"), "{}", message.text);
                assert!(message.html.contains("Zoé &lt;Müller&gt;") && message.text.contains("Zoé <Müller>"));
            }
        }
    }

    #[test]
    fn a_template_needs_no_field_that_may_be_absent() {
        let bare = [
            (TemplateName::Welcome, json!({})),
            (TemplateName::TrialEnding, json!({ "trial_ends_at": "2026-03-04T13:05:00Z" })),
            (TemplateName::PaymentFailed, json!({ "amount": "29", "currency": "EUR" })),
            (
                TemplateName::PriceAlert,
                json!({ "product": "Tea", "competitor": "T", "new_price": "3", "currency": "EUR", "old_price": null }),
            ),
            (
                TemplateName::WeeklySummary,
                json!({ "from": "2026-03-02", "to": "2026-03-08", "texts": 0, "images": 0, "published": 0, "prices": 0,
                    "failed": 0 }),
            ),
            (
                TemplateName::JobFailed,
                json!({ "what": "x", "error": "y", "failed_at": "2026-03-04T13:05:00Z", "attempts": 1, "job_id": "z" }),
            ),
            (
                TemplateName::StoreParked,
                json!({ "store": "main", "address": "shop.example", "reason": "401", "since": "2026-03-04T13:05:00Z" }),
            ),
        ];
        for (template, data) in bare {
            for language in [Language::Fr, Language::En] {
                let data: Map<_, _> = data.as_object().unwrap().clone();
                let email = Email {
                    to: "zoe@customer.example".to_owned(),
                    to_name: None,
                    subject: None,
                    text: None,
                    html: None,
                    template: Some(template),
                    language: Some(language),
                    time_zone: None,
                    data: Some(data),
                };
                let message = rendered(&email, None);
                assert!(!message.html.contains("href") && !message.text.contains("None"), "{}", message.text);
            }
        }
    }

    #[test]
    fn harmful_data_stays_text() {
        let mut email = sample(Language::En, &samples()[3]);
        let data = email.data.as_mut().unwrap();
        data.insert("product".to_owned(), json!("<script>alert(1)</script>{{ to_name }}"));
        data.insert("action_url".to_owned(), json!("https://shop.example/?a=1&b=\"onclick='x'"));
        let message = rendered(&email, None);
        assert!(!message.html.contains("<script") && message.html.contains("&lt;script&gt;"), "{}", message.html);
        assert!(message.html.contains(r#"href="https://shop.example/?a=1&amp;b=&quot;onclick=&#39;x&#39;""#));
        assert!(message.subject.contains("<script>alert(1)</script>{{ to_name }}"), "{}", message.subject);
    }

    #[test]
    fn the_reminder_of_a_trials_end_reads_as_expected() {
        let french = rendered(&sample(Language::Fr, &samples()[1]), Some("https://jobs.example/u"));
        assert_eq!(french.subject, "Votre essai se termine dans 3\u{a0}jours");
        insta::assert_snapshot!(french.text);
        let english = rendered(&sample(Language::En, &samples()[1]), None);
        insta::assert_snapshot!(english.text);
    }
}
