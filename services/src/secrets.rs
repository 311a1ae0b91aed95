//! Keeps secrets out of texts that others wrote: a vendor may quote in its error what it was sent.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use url::{Url, form_urlencoded};

use crate::{catalogue::SERVICES, variable::Environment};

/// What takes a secret's place.
const MASK: &str = "[secret]";
/// A shorter one would be found everywhere.
const AT_LEAST: usize = 4;
/// A text that was cut in the middle of a secret still shows its beginning; one this long is taken out too.
const BEGINNING: usize = 12;

/// The values of all secret variables, in the forms in which they are sent. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[SecretString]>);

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Those of every service in the catalogue that are set.
    pub(crate) fn of(environment: &Environment<'_>) -> Self {
        let variables =
            SERVICES.iter().flat_map(|service| service.entry().all_variables()).filter(|variable| variable.secret);
        let values = variables.filter_map(|variable| variable.value(environment));
        let mut values: Vec<String> = values.flat_map(parts).collect();
        if let (Some(user), Some(password)) = (environment.get("SMTP_USERNAME"), environment.get("SMTP_PASSWORD")) {
            values.push(STANDARD.encode(format!("\0{user}\0{password}")));
        }
        Self::new(values)
    }

    /// These, in the forms in which they are sent.
    #[must_use]
    pub fn new(mut values: Vec<String>) -> Self {
        let encoded: Vec<String> = values
            .iter()
            .flat_map(|value| [STANDARD.encode(value), form_urlencoded::byte_serialize(value.as_bytes()).collect()])
            .collect();
        values.extend(encoded);
        values.retain(|value| value.len() >= AT_LEAST);
        // The longest first: one may be part of another.
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self(values.into_iter().map(SecretString::from).collect())
    }

    /// The text without secrets and without long beginnings of them.
    #[must_use]
    pub fn redact(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| without(text, secret.expose_secret()))
    }
}

/// What is secret of a value. Of an address not its beginning, which says nothing and is found in many texts: its password, and
/// for those of monitoring also its user and path.
fn parts(value: String) -> Vec<String> {
    // Several of Stripe's, of which each is one.
    if value.starts_with("whsec_") {
        return value.split(',').map(|secret| secret.trim().to_owned()).collect();
    }
    let Some(url) = Url::parse(&value).ok().filter(Url::has_host) else { return vec![value] };
    let mut parts: Vec<_> = url.password().map(str::to_owned).into_iter().collect();
    if matches!(url.scheme(), "http" | "https") {
        parts.extend([url.username(), url.path().trim_matches('/')].map(str::to_owned));
    }
    let decoded = |part: &String| {
        let query = format!("={}", part.replace('+', "%2B"));
        form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()).collect::<String>()
    };
    parts.extend(parts.iter().map(decoded).collect::<Vec<_>>());
    parts
}

fn without(text: String, secret: &str) -> String {
    let beginning = secret.char_indices().nth(BEGINNING).map_or(secret, |(end, _)| &secret[..end]);
    if !text.contains(beginning) {
        return text;
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(beginning) {
        let found = &rest[start..];
        let same = found.chars().zip(secret.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
        kept.push_str(&rest[..start]);
        kept.push_str(MASK);
        rest = &found[same..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(text: &str) -> String {
        let var = |name: &str| {
            let value = match name {
                "OPENAI_API_KEY" => "sk-proj-0123456789abcdef",
                "SMTP_USERNAME" => "anna",
                "SMTP_PASSWORD" => "p@ss word",
                "MONGO_URL" => "mongodb://anna:hush%40hush@db",
                "MONITORING_ENDPOINT" => "https://beat.example/0123-4567",
                "FAL_KEY" => "abc",
                "STRIPE_WEBHOOK_SECRET" => "whsec_0123456789, whsec_9876543210",
                _ => return None,
            };
            Some(value.to_owned())
        };
        Secrets::of(&Environment::new(true, &var)).redact(text.to_owned())
    }

    #[test]
    fn a_secret_is_taken_out_wherever_it_stands() {
        assert_eq!(redact("sk-proj-0123456789abcdef: bad, sk-proj-0123456789abcdef"), "[secret]: bad, [secret]");
        assert_eq!(redact("no primary at mongodb://anna:hush%40hush@db"), "no primary at mongodb://anna:[secret]@db");
        assert_eq!(redact("anna, hush@hush"), "anna, [secret]");
        assert_eq!(redact("https://beat.example/0123-4567 is gone"), "https://beat.example/[secret] is gone");
        assert_eq!(redact("whsec_9876543210 and whsec_0123456789"), "[secret] and [secret]");
        assert_eq!(redact("nothing to hide"), "nothing to hide");
    }

    #[test]
    fn a_secret_that_was_cut_is_taken_out_too() {
        assert_eq!(redact("bad key sk-proj-0123456"), "bad key [secret]");
        assert_eq!(redact("bad key sk-proj-0123456…"), "bad key [secret]…");
        assert_eq!(redact("keys begin with sk-proj-"), "keys begin with sk-proj-", "what says nothing stays");
    }

    #[test]
    fn the_forms_in_which_it_is_sent_are_taken_out() {
        for form in ["p%40ss+word", "cEBzcyB3b3Jk", "AGFubmEAcEBzcyB3b3Jk"] {
            assert_eq!(redact(&format!("you said {form}.")), "you said [secret].", "{form}");
        }
    }

    #[test]
    fn what_is_too_short_to_be_told_from_words_stays() {
        assert_eq!(redact("the abc of shops"), "the abc of shops");
    }
}
