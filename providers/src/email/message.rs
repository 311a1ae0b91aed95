//! From an [`Email`] to what goes over the wire: addresses, headers, encodings.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use services::{Sender, ascii_address};

use super::mailer::{Email, SERVICE};
use crate::ProviderError;

/// Who writes when nobody is configured, as in previews; `invalid` is nobody's domain.
const NOBODY: &str = "ECOMSIMPLY <nobody@mock.invalid>";

/// The Message-ID of every try of this message.
pub(super) fn message_id(email: &Email, sender: &Mailbox) -> String {
    format!("<{}@{}>", email.key, sender.email.domain())
}

pub(super) fn compose(email: &Email, sender: &Mailbox) -> Result<Message, ProviderError> {
    let rejected = |message: String| ProviderError::Rejected { service: SERVICE, message };
    let (name, unsubscribe_url) = (email.to_name.as_deref(), email.unsubscribe_url.as_deref());
    for (field, text) in [
        ("key", email.key.as_str()),
        ("subject", &email.subject),
        ("name", name.unwrap_or_default()),
        ("unsubscribe address", unsubscribe_url.unwrap_or_default()),
    ] {
        // A line break would let the text write headers of its own.
        if text.chars().any(char::is_control) {
            return Err(rejected(format!("the {field} has a line break or another control character")));
        }
    }
    let unsendable = |problem: &dyn std::fmt::Display| rejected(format!("{:?} {problem}", email.to));
    let address = ascii_address(&email.to).map_err(|problem| unsendable(&problem))?;
    let address = address.parse::<lettre::Address>().map_err(|error| unsendable(&error))?;
    let builder = Message::builder()
        .from(sender.clone())
        .to(Mailbox::new(email.to_name.clone(), address))
        .subject(&email.subject)
        .message_id(Some(message_id(email, sender)));
    let text = lines(&email.text);
    let message = match &email.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, lines(html))),
        None => builder.singlepart(SinglePart::plain(text)),
    };
    let mut message = message.map_err(|error| rejected(format!("the message cannot be built: {error}")))?;
    if email.subject.contains("=?") {
        let value = HeaderValue::dangerous_new_pre_encoded(
            HeaderName::new_from_ascii_str("Subject"),
            email.subject.clone(),
            encoded_words(&email.subject),
        );
        message.headers_mut().insert_raw(value);
    }
    let mut add = |name: &'static str, value: String| {
        let name = HeaderName::new_from_ascii_str(name);
        message.headers_mut().insert_raw(HeaderValue::new(name, value));
    };
    add("Auto-Submitted", "auto-generated".to_owned());
    if let Some(url) = unsubscribe_url {
        add("List-Unsubscribe", format!("<{url}>"));
        // One click is only allowed over TLS (RFC 8058).
        if url.starts_with("https://") {
            add("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned());
        }
    }
    Ok(message)
}

/// As encoded words (RFC 2047), whole: what looks like an encoded word already would be decoded at the other end.
fn encoded_words(text: &str) -> String {
    let mut chunks = vec![String::new()];
    for character in text.chars() {
        match chunks.last_mut() {
            // No line may be longer than 76 characters.
            Some(chunk) if chunk.len() + character.len_utf8() <= 42 => chunk.push(character),
            _ => chunks.push(character.to_string()),
        }
    }
    let words = chunks.iter().map(|chunk| format!("=?utf-8?b?{}?=", BASE64.encode(chunk)));
    words.collect::<Vec<_>>().join("\r\n ")
}

/// With one kind of line break: a lone CR or LF before a dot is what some servers take for the end of the text.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The headers of a message as they go over the wire, unfolded. `sender` is `SENDER_EMAIL`, if that is set.
///
/// # Errors
/// [`ProviderError::Rejected`] when the message cannot be built, [`ProviderError::Misconfigured`] when `sender` is no address.
pub fn headers(email: &Email, sender: Option<&str>) -> Result<Vec<(String, String)>, ProviderError> {
    let message = compose(email, &parse_sender(sender.unwrap_or(NOBODY))?)?;
    let wire = message.headers().to_string().replace("\r\n ", " ").replace("\r\n\t", " ");
    let pairs = wire.lines().filter_map(|line| line.split_once(": "));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

pub(super) fn parse_sender(sender: &str) -> Result<Mailbox, ProviderError> {
    let misconfigured = |problem: &dyn std::fmt::Display| ProviderError::Misconfigured {
        service: SERVICE,
        message: format!("SENDER_EMAIL={sender:?} {problem}"),
    };
    let Sender { name, address } = Sender::parse(sender).map_err(|problem| misconfigured(&problem))?;
    Ok(Mailbox::new(name, address.parse().map_err(|error: lettre::address::AddressError| misconfigured(&error))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email {
        Email {
            key: "0199a1b2".to_owned(),
            to: "zoe@customer.example".to_owned(),
            to_name: Some("Müller, Zoé \u{1f375}".to_owned()),
            subject: "Votre thé est prêt".to_owned(),
            text: "Bonjour".to_owned(),
            html: None,
            unsubscribe_url: Some("https://jobs.example/u".to_owned()),
        }
    }

    fn header(email: &Email, name: &str) -> Option<String> {
        let all = headers(email, Some("Shop <noreply@shop.example>")).unwrap();
        let mut values = all.into_iter().filter(|(header, _)| header == name).map(|(_, value)| value);
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        first
    }

    #[test]
    fn a_sender_of_an_international_domain_is_written_in_ascii() {
        let sender = parse_sender("Büro <tee@bücher.example>").unwrap();
        assert_eq!((sender.name.as_deref(), sender.email.as_ref()), (Some("Büro"), "tee@xn--bcher-kva.example"));
        for bad in ["nobody", "té@shop.example", "shop@[192.0.2.1]"] {
            let error = parse_sender(bad).unwrap_err().to_string();
            assert!(error.contains("SENDER_EMAIL"), "{error}");
        }
    }

    #[test]
    fn an_automatic_message_says_so_and_a_reminder_can_be_unsubscribed() {
        assert_eq!(header(&email(), "Auto-Submitted").as_deref(), Some("auto-generated"));
        assert_eq!(header(&email(), "Message-ID").as_deref(), Some("<0199a1b2@shop.example>"));
        assert_eq!(header(&email(), "MIME-Version").as_deref(), Some("1.0"));
        assert!(header(&email(), "Date").is_some());
        assert_eq!(header(&email(), "List-Unsubscribe").as_deref(), Some("<https://jobs.example/u>"));
        assert_eq!(header(&email(), "List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
        let insecure = Email { unsubscribe_url: Some("http://jobs.example/u".to_owned()), ..email() };
        assert_eq!(header(&insecure, "List-Unsubscribe-Post"), None);
        assert_eq!(header(&Email { unsubscribe_url: None, ..email() }, "List-Unsubscribe"), None);
    }

    #[test]
    fn without_a_sender_nobody_writes() {
        let from = headers(&email(), None).unwrap().into_iter().find(|(name, _)| name == "From").unwrap().1;
        assert!(from.ends_with("<nobody@mock.invalid>"), "{from}");
    }
}
