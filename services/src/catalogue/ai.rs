//! Product texts, from models of `OpenAI` or of whoever speaks the same protocol.

use secrecy::SecretString;

use crate::{
    entry::{Account, Accounts, Entry, Risk},
    formats::{anything, http_url, prefix, web_url, without_slash, word},
    variable::{Environment, Variable},
};

const BASE_URL: &str = "https://api.openai.com/v1";

pub(super) static ENTRY: Entry = Entry {
    about: "product texts",
    risk: Risk::P0,
    lost: "templates instead of written texts",
    switch: Some("MOCK_MODE_AI"),
    built: true,
    requests_per_min: Some("AI_REQUESTS_PER_MIN"),
    tokens_per_min: Some("AI_TOKENS_PER_MIN"),
    variables: &[
        Variable::required("OPENAI_API_KEY", "the key of OpenAI", key).secret().example("sk-hushhush"),
        Variable::optional(
            "OPENAI_BASE_URL",
            "another end point that speaks the same protocol, with its version",
            http_url,
        )
        .default(BASE_URL),
        Variable::optional("OPENAI_MODEL", "one model for all texts; without it the table of models decides", word),
        Variable::optional(
            "CONTENT_ROUTES",
            "a TOML file with the table of models and prices, in place of the built-in one (providers/src/content/routes.toml); read \
             again within 10 s of a change",
            anything,
        ),
    ],
    accounts: Accounts::Besides(&[Account {
        name: "a second end point",
        variables: &[
            Variable::required("OPENAI_FALLBACK_BASE_URL", "of one that speaks chat completions and is asked before a template stands in: its address, with its version", http_url)
                .example("https://models.example/v1"),
            Variable::required("OPENAI_FALLBACK_API_KEY", "its key", word).secret().example("second-hushhush"),
            Variable::required("OPENAI_FALLBACK_MODEL", "its model", word).example("some-model"),
        ],
    }]),
};

/// `OPENAI_*` or `OPENAI_FALLBACK_*`.
#[derive(Debug, Clone)]
pub struct OpenAi {
    /// `OPENAI_API_KEY`.
    pub api_key: SecretString,
    /// `OPENAI_BASE_URL`, with its version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// `OPENAI_MODEL`; `None` = as the table of models says.
    pub model: Option<String>,
}

impl OpenAi {
    /// The usual end point, if its key is there.
    pub(crate) fn first(environment: &Environment<'_>) -> Option<Self> {
        let base_url = environment.get("OPENAI_BASE_URL").unwrap_or_else(|| BASE_URL.to_owned());
        Some(Self {
            api_key: environment.get("OPENAI_API_KEY")?.into(),
            base_url: without_slash(&base_url),
            model: environment.get("OPENAI_MODEL"),
        })
    }

    /// The one that stands in for it, if all of it is there.
    pub(crate) fn second(environment: &Environment<'_>) -> Option<Self> {
        Some(Self {
            api_key: environment.get("OPENAI_FALLBACK_API_KEY")?.into(),
            base_url: without_slash(&environment.get("OPENAI_FALLBACK_BASE_URL")?),
            model: Some(environment.get("OPENAI_FALLBACK_MODEL")?),
        })
    }
}

/// Another end point may have keys of another form.
fn key(value: &str, environment: &Environment<'_>) -> Option<String> {
    let base = environment.get("OPENAI_BASE_URL").and_then(|url| web_url(&url));
    let elsewhere = base.is_some_and(|url| url.host_str() != Some("api.openai.com"));
    if elsewhere { word(value, environment) } else { prefix(value, "sk-") }
}
