//! The variables of the outside services.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

/// Which services are real, and how they are reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Product texts; `None` = mock.
    pub openai: Option<OpenAi>,
    /// A second end point that speaks the same protocol, asked when the first cannot answer.
    pub openai_second: Option<OpenAi>,
    /// `CONTENT_ROUTES`: the file with the table of models; `None` = the one compiled in.
    pub content_routes: Option<PathBuf>,
    /// Fetching of competitors' pages; `None` = mock.
    pub scraping: Option<Scraping>,
    /// E-mail; `None` = mock.
    pub smtp: Option<Smtp>,
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
    /// `OPENAI_MODEL`; `None` = as the table of models says.
    pub model: Option<String>,
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
            openai_second: None,
            content_routes: None,
            scraping: None,
            smtp: None,
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
            Some(OpenAi { api_key, base_url: base_url.trim_end_matches('/').to_owned(), model: var("OPENAI_MODEL") })
        });
        let second = var("OPENAI_SECOND_BASE_URL").filter(|_| real[0]).and_then(|base_url| {
            let model = Some(need("ai: the second end point", "OPENAI_SECOND_MODEL")?);
            // One of our own may want no key.
            let api_key = SecretString::from(var("OPENAI_SECOND_API_KEY").unwrap_or_default());
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
        let openai_second = second.filter(|second| {
            let good = Url::parse(&second.base_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !good {
                complaints.push(
                    "ai: the second end point is not used: OPENAI_SECOND_BASE_URL is no http or https URL".to_owned(),
                );
            }
            good
        });
        let content_routes = var("CONTENT_ROUTES").map(PathBuf::from);
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
            let Ok(port) = port.parse() else {
                complaints.push(format!("email stays mock: SMTP_PORT={port:?} is no port"));
                return None;
            };
            let loopback = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
            let tls = match (use_ssl, loopback || allow_plain) {
                (true, _) => SmtpTls::Implicit,
                (false, true) => SmtpTls::Plain,
                (false, false) => SmtpTls::StartTls,
            };
            let credentials = var("SMTP_USERNAME").zip(var("SMTP_PASSWORD").map(SecretString::from));
            Some(Smtp { host, port, credentials, tls, sender })
        });
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
        Self { openai, openai_second, content_routes, scraping, smtp, pace, real, complaints }
    }

    /// Whether the variables ask for the real service.
    #[must_use]
    pub fn is_real(&self, service: &str) -> bool {
        self.real.contains(&service)
    }
}
