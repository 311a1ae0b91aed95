//! The price of a page in which nothing else finds one, by a language model: `SCRAPE_AI`. When no model can answer, the page simply has no
//! price.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use providers::{
    Policy,
    content::{PageText, Reading, Step},
    scraping::{Confidence, Method, PagePrice, Price},
};
use services::Name;

use crate::{handler::Context, usage};

/// A model has so long at most.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether models may be asked. In mock mode they are not: what the mock makes up is on no page.
pub(super) fn may_read(context: &Context) -> bool {
    context.providers.scrape_ai && context.providers.is_real(Name::Ai)
}

/// Has the page read, if its text was kept for that. `ticket` names it among those of all jobs.
pub(super) async fn read(page: &mut PagePrice, url: &str, ticket: &str, left: Duration, context: &Context) {
    let Some(text) = page.text.take().filter(|text| page.price.is_none() && has_digit(text)) else { return };
    let used = Mutex::new(Vec::new());
    let tell = |step: Step<'_>| {
        if let Step::Answered { service, model, tokens, nano_usd } = step {
            usage::add(&mut used.lock().unwrap_or_else(PoisonError::into_inner), service, model, tokens, nano_usd);
        }
    };
    let text = PageText { url: url.to_owned(), text };
    let policy = Policy { allow_fallback: false, last_attempt: false, time: left.min(LONGEST), ..context.policy() };
    let answer = context.providers.content.call(policy, &Reading { page: &text, tell: &tell }).await;
    if let Some(store) = &context.store {
        // A healing is another run of the same attempt.
        let healing = if context.healing { "/healing" } else { "" };
        let id = format!("{ticket}/{}{healing}", context.attempt);
        let used = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        usage::count(store, &context.tenant, &id, used).await;
    }
    match answer {
        Ok(answer) => {
            page.price = answer.value.price.map(|read| Price {
                amount: read.amount,
                currency: read.currency,
                availability: page.details.availability.clone().or(read.availability),
                method: Method::Ai,
                confidence: Confidence::Low,
            });
        }
        Err(error) => context.progress.log(format!("no model reads {url}: {error}")),
    }
}

/// Without one there is no price to be read.
fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}
