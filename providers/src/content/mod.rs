//! Product texts: what is asked for, what is answered, and who writes it: models ([`providers()`]) or the templates.

mod answer;
mod author;
mod catalogue;
mod check;
mod compatible;
mod dialect;
mod end_point;
mod exchange;
mod html;
mod openai;
mod page;
mod phrases;
mod prompt;
mod provider;
mod refusal;
mod request;
mod routes;
mod task;
mod template;
mod text;
mod validate;

use std::{sync::Arc, time::Duration};

use services::{Config, Name, OpenAi};

pub use catalogue::{CsvError, from_csv};
pub use check::Problem;
pub use page::{PageAnswer, PageText, ReadPrice};
pub use provider::{ContentProvider, Reading, Step, Tell, Writing};
pub use request::{ContentRequest, Language, Price, Tier, Tone};
pub use routes::{Choice, Plan, Rate};
pub use text::{ContentText, Cost, Question, Tokens};

use crate::{chain::Service, error::ProviderError};

/// Under the 120 s of a job's attempt, so that a stand-in can still answer within the last one.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(110);
/// Of one request; a bad answer is asked for once more within [`SERVICE_TIMEOUT`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// The service as `config` says: the models that are configured, and templates, which stand in for them.
///
/// # Errors
/// Like [`providers()`].
pub fn service(config: &Config) -> Result<Service<dyn ContentProvider>, ProviderError> {
    let reals = providers(config)?;
    Ok(Service::new(Name::Ai, config.is_real(Name::Ai), reals, Arc::new(template::Template), SERVICE_TIMEOUT))
}

/// The real providers that are configured, in the order in which they are asked.
///
/// # Errors
/// [`ProviderError::Misconfigured`] when a key cannot be sent as a header or no HTTP client can be built.
pub fn providers(config: &Config) -> Result<Vec<Arc<dyn ContentProvider>>, ProviderError> {
    real_providers(config, REQUEST_TIMEOUT)
}

/// `OpenAI` with the models of the table, or the one that `settings` name; each request may take `timeout` in all.
///
/// # Errors
/// Like [`providers()`].
pub fn openai(settings: &OpenAi, timeout: Duration) -> Result<Arc<dyn ContentProvider>, ProviderError> {
    let routes = routes::Routes::open(None, settings.model.clone());
    Ok(Arc::new(openai::author(settings, timeout, routes)?))
}

fn real_providers(config: &Config, timeout: Duration) -> Result<Vec<Arc<dyn ContentProvider>>, ProviderError> {
    let only = config.openai.as_ref().and_then(|openai| openai.model.clone());
    let routes = routes::Routes::open(config.content_routes.clone(), only);
    let mut providers: Vec<Arc<dyn ContentProvider>> = Vec::new();
    if let Some(settings) = &config.openai {
        providers.push(Arc::new(openai::author(settings, timeout, Arc::clone(&routes))?));
    }
    if let Some(settings) = &config.openai_second {
        providers.push(Arc::new(compatible::author(settings, timeout, routes)?));
    }
    Ok(providers)
}

/// The model of `OpenAI` that writes texts of the usual length and tier.
pub(crate) fn usual_model(config: &Config) -> String {
    let only = config.openai.as_ref().and_then(|openai| openai.model.clone());
    only.unwrap_or_else(|| routes::usual_model(config.content_routes.as_deref()))
}

/// The name under which results carry this provider, if there is or was one of that name.
#[must_use]
pub fn provider_named(name: &str) -> Option<&'static str> {
    ["openai", "openai-second", "mock"].into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_found_by_its_name() {
        let variables = [
            ("OPENAI_API_KEY", "sk-1"),
            ("OPENAI_FALLBACK_BASE_URL", "http://127.0.0.1:1/v1"),
            ("OPENAI_FALLBACK_API_KEY", "k"),
            ("OPENAI_FALLBACK_MODEL", "m"),
        ];
        let var = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let providers = providers(&Config::from_vars(var)).unwrap();
        let names: Vec<_> = providers.iter().map(|provider| provider.name()).chain(["mock"]).collect();
        assert_eq!(names.iter().filter_map(|name| provider_named(name)).collect::<Vec<_>>(), names);
        assert_eq!((names.len(), provider_named("x")), (3, None));
    }
}
