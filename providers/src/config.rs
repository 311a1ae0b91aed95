//! The variables of the outside services.

use secrecy::SecretString;
use url::Url;

use crate::email::SMALLEST_PER_HOUR;

/// Which services are real, and how they are reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Product texts; `None` = mock.
    pub openai: Option<OpenAi>,
    /// Fetching of competitors' pages; `None` = mock.
    pub scraping: Option<Scraping>,
    /// E-mail; `None` = mock.
    pub smtp: Option<Smtp>,
    /// `PUBLIC_URL` without a slash at its end: where the API is reached from outside.
    pub public_url: Option<String>,
    /// Limits and spending.
    pub pace: crate::Pace,
    /// Services that the variables ask to be real.
    pub real: Vec<&'static str>,
    /// What is asked for but cannot be, with the variable that is missing or malformed; told at start.
    pub complaints: Vec<String>,
}

/// `OPENAI_*`.
#[derive(Debug, Clone)]
pub struct OpenAi {
    /// `OPENAI_API_KEY`.
    pub api_key: SecretString,
    /// `OPENAI_BASE_URL`, with its version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// `OPENAI_MODEL`.
    pub model: String,
}

/// `PROXY_PROVIDER` and what belongs to it. Only `direct` is built.
#[derive(Debug, Clone, Default)]
pub struct Scraping {
    /// `SCRAPE_ALLOW_HOSTS`: hosts that the guard against private addresses lets pass.
    pub allow_hosts: Vec<String>,
}

/// `SMTP_*` and `SENDER_EMAIL`.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// `SMTP_SERVER`.
    pub host: String,
    /// `SMTP_PORT`.
    pub port: u16,
    /// `SMTP_USERNAME` and `SMTP_PASSWORD`.
    pub credentials: Option<(String, SecretString)>,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// `SENDER_EMAIL`.
    pub sender: String,
    /// `SMTP_CA_FILE`: certificates in PEM that are trusted besides the public ones.
    pub ca_file: Option<String>,
    /// `SMTP_HELO`: what we call ourselves in EHLO; the machine's name if absent.
    pub helo: Option<String>,
    /// `SMTP_PER_HOUR`: messages an hour, over all replicas.
    pub per_hour: Option<u32>,
}

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// `SMTP_USE_SSL=true`: TLS from the first byte.
    Implicit,
    /// STARTTLS, or fail.
    StartTls,
    /// None: only to a loopback host, or with `SMTP_ALLOW_PLAIN=true`.
    Plain,
}

impl Config {
    /// Everything mocked, as on a fresh checkout.
    #[must_use]
    pub fn mock() -> Self {
        Self {
            openai: None,
            scraping: None,
            smtp: None,
            public_url: None,
            pace: crate::Pace::default(),
            real: Vec::new(),
            complaints: Vec::new(),
        }
    }

    /// Reads the variables through `var`, so that tests need not touch the process's own.
    ///
    /// A service is real when `MOCK_MODE=false` or its own `MOCK_MODE_AI|SCRAPING|EMAIL=false` says so (its own wins) and its
    /// variables are there; one that is asked for but half configured stays mock and is named in [`Config::complaints`].
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut complaints = Vec::new();
        let mut flag = |name: &str, default: bool| match var(name).as_deref() {
            None => default,
            Some("true" | "1" | "yes") => true,
            Some("false" | "0" | "no") => false,
            Some(other) => {
                complaints.push(format!("{name}={other:?} is neither true nor false; {default} is used"));
                default
            }
        };
        let mock_all = flag("MOCK_MODE", true);
        let real = ["MOCK_MODE_AI", "MOCK_MODE_SCRAPING", "MOCK_MODE_EMAIL"].map(|name| !flag(name, mock_all));
        let unbuilt = ["MOCK_MODE_IMAGES", "MOCK_MODE_PUBLICATION"].map(|name| (name, !flag(name, mock_all)));
        let use_ssl = flag("SMTP_USE_SSL", false);
        let allow_plain = flag("SMTP_ALLOW_PLAIN", false);

        let mut need = |service: &str, name: &str| {
            let value = var(name);
            if value.is_none() {
                complaints.push(format!("{service} stays mock: {name} is not set"));
            }
            value
        };
        let openai = real[0].then(|| {
            let api_key = SecretString::from(need("ai", "OPENAI_API_KEY")?);
            let base_url = var("OPENAI_BASE_URL").unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
            let model = var("OPENAI_MODEL").unwrap_or_else(|| "gpt-6-luna".to_owned());
            Some(OpenAi { api_key, base_url: base_url.trim_end_matches('/').to_owned(), model })
        });
        let smtp = real[2].then(|| {
            let (host, port, sender) =
                (need("email", "SMTP_SERVER"), need("email", "SMTP_PORT"), need("email", "SENDER_EMAIL"));
            Some((host?, port?, sender?))
        });
        let scraping = real[1].then(|| var("PROXY_PROVIDER").unwrap_or_else(|| "direct".to_owned()));

        let openai = openai.flatten().filter(|openai| {
            let good = Url::parse(&openai.base_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !good {
                complaints.push("ai stays mock: OPENAI_BASE_URL is no http or https URL".to_owned());
            }
            good
        });
        let scraping = scraping.and_then(|provider| {
            if provider != "direct" {
                complaints
                    .push(format!("scraping stays mock: PROXY_PROVIDER={provider:?} is not built yet, only direct"));
                return None;
            }
            let hosts = var("SCRAPE_ALLOW_HOSTS").unwrap_or_default();
            let allow_hosts = hosts.split(',').map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty());
            Some(Scraping { allow_hosts: allow_hosts.collect() })
        });
        let smtp = smtp.flatten().and_then(|(host, port, sender)| {
            let smtp = Smtp::read(host, &port, sender, use_ssl, allow_plain, &var);
            smtp.map_err(|complaint| complaints.push(format!("email stays mock: {complaint}"))).ok()
        });
        let public_url = var("PUBLIC_URL").filter(|url| {
            let good = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !good {
                complaints.push(format!("PUBLIC_URL={url:?} is no http or https URL; it is not used"));
            }
            good
        });
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        for (name, real) in unbuilt {
            if real {
                complaints.push(format!("{name}: the real service is not built yet; it stays mock"));
            }
        }
        let pace = crate::Pace::from_vars(var, &mut complaints);
        let real = [("ai", real[0]), ("scraping", real[1]), ("email", real[2])]
            .into_iter()
            .filter(|(_, real)| *real)
            .map(|(name, _)| name)
            .collect();
        Self { openai, scraping, smtp, public_url, pace, real, complaints }
    }

    /// Whether the variables ask for the real service.
    #[must_use]
    pub fn is_real(&self, service: &str) -> bool {
        self.real.contains(&service)
    }
}

impl Smtp {
    fn read(
        host: String,
        port: &str,
        sender: String,
        use_ssl: bool,
        allow_plain: bool,
        var: &impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let port = port.parse().map_err(|_| format!("SMTP_PORT={port:?} is no port"))?;
        // A server that waits for TLS and a client that waits for a greeting would wait for each other.
        match (use_ssl, port) {
            (true, 25 | 587 | 2525) => {
                return Err(format!(
                    "SMTP_USE_SSL=true does not fit SMTP_PORT={port}, which begins in clear text: set SMTP_USE_SSL=false \
                     (STARTTLS is insisted on), or the port for TLS, mostly 465"
                ));
            }
            (false, 465) => {
                return Err("SMTP_PORT=465 speaks TLS from the first byte: set SMTP_USE_SSL=true".to_owned());
            }
            _ => {}
        }
        let ca_file = var("SMTP_CA_FILE");
        // Who names an authority wants TLS, on loopback too.
        let plain = ca_file.is_none() && (allow_plain || matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1"));
        let tls = match (use_ssl, plain) {
            (true, _) => SmtpTls::Implicit,
            (false, true) => SmtpTls::Plain,
            (false, false) => SmtpTls::StartTls,
        };
        let credentials = match (var("SMTP_USERNAME"), var("SMTP_PASSWORD")) {
            (Some(user), Some(password)) => Some((user, SecretString::from(password))),
            (None, None) => None,
            (Some(_), None) => return Err("SMTP_USERNAME is set and SMTP_PASSWORD is not".to_owned()),
            (None, Some(_)) => return Err("SMTP_PASSWORD is set and SMTP_USERNAME is not".to_owned()),
        };
        let per_hour = match var("SMTP_PER_HOUR").map(|text| (text.parse(), text)) {
            None => None,
            Some((Ok(limit @ SMALLEST_PER_HOUR..), _)) => Some(limit),
            Some((_, text)) => {
                return Err(format!("SMTP_PER_HOUR={text:?} is no whole number of at least {SMALLEST_PER_HOUR}"));
            }
        };
        let helo = var("SMTP_HELO");
        if let Some(name) = helo.as_ref().filter(|name| !name.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(format!("SMTP_HELO={name:?} is no name of a machine"));
        }
        Ok(Self { host, port, credentials, tls, sender, ca_file, helo, per_hour })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn email(more: &[(&str, &str)]) -> Config {
        let all: HashMap<&str, &str> = [
            ("MOCK_MODE_EMAIL", "false"),
            ("SMTP_SERVER", "mail.example"),
            ("SMTP_PORT", "587"),
            ("SENDER_EMAIL", "shop@ecomsimply.example"),
        ]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
        Config::from_vars(|name| all.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_port_and_the_kind_of_tls_must_fit() {
        let tls = |more: &[(&str, &str)]| email(more).smtp.map(|smtp| smtp.tls);
        assert_eq!(tls(&[]), Some(SmtpTls::StartTls));
        assert_eq!(tls(&[("SMTP_PORT", "465"), ("SMTP_USE_SSL", "true")]), Some(SmtpTls::Implicit));
        assert_eq!(tls(&[("SMTP_SERVER", "127.0.0.1"), ("SMTP_PORT", "1025")]), Some(SmtpTls::Plain));
        let with_authority = [("SMTP_SERVER", "127.0.0.1"), ("SMTP_PORT", "1025"), ("SMTP_CA_FILE", "ca.pem")];
        assert_eq!(tls(&with_authority), Some(SmtpTls::StartTls));
        for (more, told) in [
            (&[("SMTP_USE_SSL", "true")][..], "SMTP_USE_SSL=true does not fit SMTP_PORT=587"),
            (&[("SMTP_PORT", "465")], "set SMTP_USE_SSL=true"),
            (&[("SMTP_PORT", "smtp")], "is no port"),
            (&[("SMTP_USERNAME", "shop")], "SMTP_PASSWORD is not"),
            (&[("SMTP_PASSWORD", "hush")], "SMTP_USERNAME is not"),
            (&[("SMTP_PER_HOUR", "99")], "SMTP_PER_HOUR"),
            (&[("SMTP_HELO", "my host")], "SMTP_HELO"),
        ] {
            let config = email(more);
            assert!(config.smtp.is_none(), "{more:?}");
            let [complaint] = config.complaints.as_slice() else { panic!("{more:?}: {:?}", config.complaints) };
            assert!(complaint.starts_with("email stays mock: ") && complaint.contains(told), "{complaint}");
            assert!(!complaint.contains("hush"), "{complaint}");
        }
    }

    #[test]
    fn the_public_address_is_one() {
        assert_eq!(
            email(&[("PUBLIC_URL", "https://jobs.example/")]).public_url.as_deref(),
            Some("https://jobs.example")
        );
        let bad = email(&[("PUBLIC_URL", "jobs.example")]);
        assert!(bad.public_url.is_none() && bad.complaints[0].contains("PUBLIC_URL"), "{:?}", bad.complaints);
    }
}
