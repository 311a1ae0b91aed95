//! E-mail addresses, as we take them.

use email_address::EmailAddress;
use url::Host;

/// Who writes: what `SENDER_EMAIL` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// How people read it.
    pub name: Option<String>,
    /// As it goes over the wire.
    pub address: String,
}

/// An address as it goes over the wire: an international domain becomes its ASCII form; before the `@` only ASCII is taken.
///
/// # Errors
/// Why it cannot be written to.
pub fn ascii_address(address: &str) -> Result<String, &'static str> {
    const NONE: &str = "is no e-mail address";
    if address.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(NONE);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(NONE)?;
    if !local.is_ascii() {
        return Err("must be ASCII before the @: mail servers take other letters there only by agreement");
    }
    let host = Host::parse(domain);
    // Nobody outside takes mail there, and servers refuse it as if the sender were to blame.
    if domain.starts_with('[') || matches!(host, Ok(Host::Ipv4(_) | Host::Ipv6(_))) {
        return Err("must have the name of a domain after the @, and no number of a machine");
    }
    let domain = match host {
        _ if domain.is_ascii() => domain.to_owned(),
        Ok(Host::Domain(ascii)) => ascii,
        _ => return Err("has a domain that cannot exist"),
    };
    let good = EmailAddress::is_valid_local_part(local) && EmailAddress::is_valid_domain(&domain);
    if good { Ok(format!("{local}@{domain}")) } else { Err(NONE) }
}

impl Sender {
    /// An address, perhaps in angle brackets behind a name.
    ///
    /// # Errors
    /// Why nobody can write as it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) else {
            return Ok(Self { name: None, address: ascii_address(text)? });
        };
        let name = words(name).ok_or("is no e-mail address: a sign in the name needs quotes around it")?;
        Ok(Self { name: Some(name).filter(|name| !name.is_empty()), address: ascii_address(address)? })
    }
}

/// A name without its quotes; `None` where a sign stands outside of them that means something else there (RFC 5322, 3.2.5).
fn words(name: &str) -> Option<String> {
    let (mut plain, mut quoted, mut escaped) = (String::new(), false, false);
    for character in name.chars() {
        match character {
            character if character.is_control() && character != '\t' => return None,
            _ if escaped => {
                plain.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted || !"()<>[]:;@\\,".contains(character) => plain.push(character),
            _ => return None,
        }
    }
    (!quoted).then(|| plain.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_international_domain_is_written_in_ascii_and_other_letters_before_the_at_are_refused() {
        assert_eq!(ascii_address("zoe@bücher.example").as_deref(), Ok("zoe@xn--bcher-kva.example"));
        assert_eq!(ascii_address("zoe+tea@customer.example").as_deref(), Ok("zoe+tea@customer.example"));
        assert!(ascii_address("zoé@customer.example").unwrap_err().contains("before the @"));
        for bad in
            ["zoe", "zoe@", "@b.example", "a b@c.example", "a@b\u{e9} c.example", "a@b.example\r\nx", "a@\u{2603}:25"]
        {
            assert!(ascii_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_of_a_machine_is_refused() {
        for literal in ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@[x]", "a@192.0.2.1", "a@0x7f.1", "a@2130706433"] {
            assert!(ascii_address(literal).unwrap_err().contains("name of a domain"), "{literal}");
        }
        assert!(ascii_address("a@1and1.example").is_ok() && ascii_address("a@7.example").is_ok());
    }

    #[test]
    fn a_sender_may_have_a_name() {
        for (text, name, address) in [
            ("Büro <tee@bücher.example>", Some("Büro"), "tee@xn--bcher-kva.example"),
            (" shop@example.org ", None, "shop@example.org"),
            ("<shop@example.org>", None, "shop@example.org"),
            ("Tea  Shop Ltd. <shop@example.org>", Some("Tea Shop Ltd."), "shop@example.org"),
            ("\"Tea, \\\"Shop\\\"\" & Co <shop@example.org>", Some("Tea, \"Shop\" & Co"), "shop@example.org"),
        ] {
            let sender = Sender { name: name.map(str::to_owned), address: address.to_owned() };
            assert_eq!(Sender::parse(text), Ok(sender), "{text}");
        }
        for bad in [
            "nobody",
            "té@shop.example",
            "shop@[192.0.2.1]",
            "Tea, Shop <shop@example.org>",
            "a@b.example <shop@example.org>",
            "\"Tea <shop@example.org>",
            "Tea <shop@example.org",
            "Tea\u{7} <shop@example.org>",
        ] {
            assert!(Sender::parse(bad).is_err(), "{bad}");
        }
    }
}
