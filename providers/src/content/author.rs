//! A model as an author, whatever the protocol: which model is asked, in which dialect, the second try after a bad answer, and what
//! it cost.
//!
//! An answer that is refused, cut off or breaks a rule is asked for once more with the reason. When the second is bad too, a refusal is
//! final ([`ProviderError::Rejected`]: what a model will not write about, no template shall advertise unseen), anything else may go
//! better at the next attempt ([`ProviderError::Transient`]).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use rust_decimal::Decimal;
use services::micro_usd;

use super::answer::{BadAnswer, Written};
use super::dialect::Dialect;
use super::end_point::{EndPoint, Failure, quote};
use super::exchange::Pause;
use super::page::{PageAnswer, PageText};
use super::prompt;
use super::routes::{Choice, Plan, Routes};
use super::task::Task;
use super::validate::{self, Origin};
use super::{
    provider::{ContentProvider, Step, Tell},
    request::ContentRequest,
    text::{ContentText, Tokens},
};
use crate::{Hold, Provider, ProviderError, Usage};

/// A model that was not there is not asked again for so long.
const GONE_FOR: Duration = Duration::from_secs(3600);
/// When a job that no model may write for may be worth another look, if it waits at all.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The protocol: how one request is put and its answer read.
pub(super) trait Wire: Send + Sync {
    /// The best way to put a request.
    const DIALECT: Dialect;

    /// Asks `model` once. `complaint` says what was wrong with the answer before.
    fn ask<'a>(
        &'a self,
        model: &'a str,
        task: &'a dyn Task,
        complaint: Option<&'a str>,
        dialect: Dialect,
    ) -> BoxFuture<'a, Result<Reply, Failure>>;
}

/// What came of one request that the service answered.
pub(super) struct Reply {
    pub(super) written: Result<Written, BadAnswer>,
    /// As the vendor names it; with its date, for some.
    pub(super) model: Option<String>,
    /// `None` when the end point does not tell.
    pub(super) tokens: Option<Tokens>,
}

/// Whose models write.
#[derive(Debug)]
pub(super) enum Models {
    /// Those of the table.
    Routed,
    /// This one, whatever the table says.
    One(String),
}

/// One account at a vendor of language models.
pub(super) struct Author<W> {
    end_point: EndPoint,
    wire: W,
    models: Models,
    routes: Arc<Routes>,
    pause: Arc<Pause>,
    /// Models that the vendor did not have, and when it said so.
    gone: Mutex<HashMap<String, Instant>>,
    /// In which dialect the end point took a request for a model.
    dialects: Mutex<HashMap<String, Dialect>>,
}

impl<W> fmt::Debug for Author<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end_point, models, .. } = self;
        formatter.debug_struct("Author").field("end_point", end_point).field("models", models).finish_non_exhaustive()
    }
}

impl<W: Wire> Author<W> {
    /// `pause` is the one that `wire` asks for.
    pub(super) fn new(end_point: EndPoint, wire: W, models: Models, routes: Arc<Routes>, pause: Arc<Pause>) -> Self {
        Self { end_point, wire, models, routes, pause, gone: Mutex::default(), dialects: Mutex::default() }
    }

    async fn write(&self, request: &ContentRequest, tell: Tell<'_>) -> Result<ContentText, ProviderError> {
        let plan = self.plan(request)?;
        let mut last_gone = String::new();
        for choice in self.those_there(&plan) {
            match self.write_with(choice, request, tell).await {
                Err(Failure::ModelGone(message)) => {
                    self.has_gone(choice, &message);
                    last_gone = message;
                }
                Err(Failure::Other(error) | Failure::Unfit { error, .. }) => return Err(error),
                Ok(text) => return Ok(text),
            }
        }
        Err(self.none_is_there(&plan, &last_gone))
    }

    /// Has the price of a page read.
    async fn read(&self, page: &PageText, tell: Tell<'_>) -> Result<PageAnswer, ProviderError> {
        let (plan, service) = (self.readers(), self.end_point.service);
        let mut last_gone = String::new();
        for choice in self.those_there(&plan) {
            let model = &choice.model;
            tell(Step::Asked { service, model });
            match self.ask_in_its_dialect(model, page, None).await {
                Err(Failure::ModelGone(message)) => {
                    self.has_gone(choice, &message);
                    last_gone = message;
                }
                Err(Failure::Other(error) | Failure::Unfit { error, .. }) => return Err(error),
                Ok(Reply { written, tokens, .. }) => {
                    let letters = written.as_ref().map_or(0, |written| written.texts.iter().map(String::len).sum());
                    let tokens = tokens.unwrap_or_else(|| page.tokens(letters));
                    let nano_usd = choice.rate.map(|rate| rate.nano_usd(tokens));
                    tell(Step::Answered { service, model, tokens, nano_usd });
                    // A bad answer names no price.
                    let said = written.and_then(|written| written.form("price")).ok();
                    return Ok(PageAnswer { price: said.and_then(|said| page.check(&said)), tokens, nano_usd });
                }
            }
        }
        Err(self.none_is_there(&plan, &last_gone))
    }

    fn readers(&self) -> Plan {
        match &self.models {
            Models::Routed => self.routes.readers(),
            Models::One(model) => {
                Plan { route: self.end_point.model.to_owned(), choices: vec![self.routes.table().choice(model)] }
            }
        }
    }

    fn has_gone(&self, Choice { model, .. }: &Choice, message: &str) {
        tracing::error!(service = self.end_point.service, model, message, "the model is gone");
        self.gone().insert(model.clone(), Instant::now());
    }

    fn none_is_there(&self, plan: &Plan, last_gone: &str) -> ProviderError {
        let models: Vec<&str> = plan.choices.iter().map(|choice| choice.model.as_str()).collect();
        let EndPoint { model, base_url, .. } = self.end_point;
        self.end_point.misconfigured(format!(
            "none of the models {} is there ({last_gone}): check CONTENT_ROUTES or {model}, and {base_url}",
            models.join(", ")
        ))
    }

    async fn write_with(
        &self,
        choice: &Choice,
        request: &ContentRequest,
        tell: Tell<'_>,
    ) -> Result<ContentText, Failure> {
        let service = self.end_point.service;
        tell(Step::Asked { service, model: &choice.model });
        let (first, spent) = self.ask(choice, request, None, Tokens::default(), tell).await?;
        let bad = match first {
            Ok(text) => return Ok(text),
            Err(bad) => bad,
        };
        let reason = reason(&bad);
        tracing::warn!(service, product.id = %request.product_id, reason, "bad answer, asking once more");
        tell(Step::AskedAgain { reason: &reason });
        let (second, _) = self.ask(choice, request, Some(&reason), spent, tell).await?;
        second.map_err(|bad| self.final_error(&bad, request).into())
    }

    /// Asks once. `spent` was used before for the same text.
    async fn ask(
        &self,
        choice: &Choice,
        request: &ContentRequest,
        complaint: Option<&str>,
        spent: Tokens,
        tell: Tell<'_>,
    ) -> Result<(Result<ContentText, BadAnswer>, Tokens), Failure> {
        let reply = self.ask_in_its_dialect(&choice.model, request, complaint).await?;
        let rate = choice.rate;
        let used = reply.tokens.unwrap_or_else(|| prompt::guessed(request, reply.written.as_ref().ok()));
        tell(Step::Answered {
            service: self.end_point.service,
            model: &choice.model,
            tokens: used,
            nano_usd: rate.map(|rate| rate.nano_usd(used)),
        });
        let tokens = spent.plus(used);
        let origin = Origin {
            model: reply.model.unwrap_or_else(|| choice.model.clone()),
            tokens,
            cost: rate.map(|rate| rate.cost(tokens)),
        };
        let draft = reply.written.and_then(|written| written.draft());
        let text = draft.and_then(|draft| validate::finish(draft, request, origin).map_err(BadAnswer::Broken));
        Ok((text, tokens))
    }

    /// Puts the request as the end point took it last, and in a simpler way when that is refused.
    async fn ask_in_its_dialect(
        &self,
        model: &str,
        task: &dyn Task,
        complaint: Option<&str>,
    ) -> Result<Reply, Failure> {
        let known = self.dialects().get(model).copied();
        let mut dialect = known.unwrap_or(W::DIALECT);
        loop {
            match self.wire.ask(model, task, complaint, dialect).await {
                Ok(reply) => {
                    self.dialects().insert(model.to_owned(), dialect);
                    return Ok(reply);
                }
                Err(Failure::Unfit { said, error }) => {
                    let Some(simpler) = dialect.after(&said) else { return Err(error.into()) };
                    tracing::info!(service = self.end_point.service, model, %error, ?simpler, "refused, asking in another way");
                    dialect = simpler;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn dialects(&self) -> std::sync::MutexGuard<'_, HashMap<String, Dialect>> {
        self.dialects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn final_error(&self, bad: &BadAnswer, request: &ContentRequest) -> ProviderError {
        let message = format!("no usable text for product {:?} in two answers: {}", request.product_id, reason(bad));
        match bad {
            BadAnswer::Refused(_) => ProviderError::Rejected { service: self.end_point.service, message },
            BadAnswer::Broken(_) => self.end_point.transient(message),
        }
    }

    /// The models that were there when they were asked last; when none was, all: the vendor may have mended it.
    fn those_there<'a>(&self, plan: &'a Plan) -> Vec<&'a Choice> {
        let there: Vec<&Choice> = plan.choices.iter().filter(|choice| !self.is_gone(&choice.model)).collect();
        if there.is_empty() { plan.choices.iter().collect() } else { there }
    }

    fn is_gone(&self, model: &str) -> bool {
        self.gone().get(model).is_some_and(|at| at.elapsed() < GONE_FOR)
    }

    fn gone(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn only(&self, model: &str, request: &ContentRequest) -> Result<Plan, ProviderError> {
        let choice = self.routes.table().choice(model);
        let expected = choice.rate.map(|rate| rate.of(prompt::expected(request)));
        match request.most_cost().zip(expected) {
            // Others may be cheaper; waiting changes nothing.
            Some((most, cost)) if cost > most => Err(ProviderError::Held {
                service: self.end_point.service,
                hold: Hold::NotConfigured,
                message: format!("{model} would cost about {cost} USD, more than the job's max_cost of {most} USD"),
                retry_in: LOOK_AGAIN,
            }),
            _ => Ok(Plan { route: self.end_point.model.to_owned(), choices: vec![choice] }),
        }
    }
}

impl<W: Wire> Provider for Author<W> {
    fn name(&self) -> &'static str {
        self.end_point.service
    }

    fn take_pause(&self) -> Option<Duration> {
        self.pause.take()
    }
}

impl<W: Wire> ContentProvider for Author<W> {
    fn write_telling<'a>(
        &'a self,
        request: &'a ContentRequest,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        self.write(request, tell).boxed()
    }

    fn read_price<'a>(
        &'a self,
        page: &'a PageText,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<PageAnswer, ProviderError>> {
        self.read(page, tell).boxed()
    }

    fn estimate_reading(&self, page: &PageText) -> Usage {
        let (most, plan) = (page.most(), self.readers());
        let rate = self.those_there(&plan).first().and_then(|choice| choice.rate);
        Usage { units: most.total, micro_usd: rate.and_then(|rate| micro_usd(rate.of(most))) }
    }

    fn plan(&self, request: &ContentRequest) -> Result<Plan, ProviderError> {
        match &self.models {
            Models::Routed => self
                .routes
                .plan(request)
                .map_err(|message| ProviderError::Rejected { service: self.end_point.service, message }),
            Models::One(model) => self.only(model, request),
        }
    }

    fn estimate_tokens(&self, request: &ContentRequest) -> u64 {
        prompt::most(request).total
    }

    fn estimate_usd(&self, request: &ContentRequest) -> Option<Decimal> {
        let plan = self.plan(request).ok()?;
        let rate = self.those_there(&plan).first()?.rate?;
        Some(rate.of(prompt::most(request)))
    }
}

fn reason(bad: &BadAnswer) -> String {
    match bad {
        BadAnswer::Refused(text) => format!("the model refused: {}", quote(text)),
        BadAnswer::Broken(text) => text.clone(),
    }
}
