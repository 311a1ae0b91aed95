//! Who writes, and how it is asked.

use std::fmt::Debug;

use futures::future::{self, BoxFuture, FutureExt};
use rust_decimal::Decimal;
use services::micro_usd;

use super::{
    page::{PageAnswer, PageText},
    request::ContentRequest,
    routes::Plan,
    text::{ContentText, Tokens},
};
use crate::{
    chain::{Ask, Provider, Usage},
    error::ProviderError,
};

/// Writes product texts.
pub trait ContentProvider: Provider + Debug {
    /// Writes the texts of one product, and tells each step.
    ///
    /// # Errors
    /// What kept the provider from answering, and an answer that breaks a rule of [`ContentText`]: a bad answer is never
    /// handed on.
    fn write_telling<'a>(
        &'a self,
        request: &'a ContentRequest,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>>;

    /// Like [`ContentProvider::write_telling`], to nobody.
    fn write<'a>(&'a self, request: &'a ContentRequest) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        self.write_telling(request, &nobody)
    }

    /// Reads the price of a page whose text this is, and tells each step. It names no price that is not on the page.
    ///
    /// # Errors
    /// What kept the provider from answering.
    fn read_price<'a>(
        &'a self,
        _page: &'a PageText,
        _tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<PageAnswer, ProviderError>> {
        let message = format!("{} reads no pages", self.name());
        future::ready(Err(ProviderError::Unable { service: "ai", message })).boxed()
    }

    /// What reading it takes at most.
    fn estimate_reading(&self, _page: &PageText) -> Usage {
        Usage::default()
    }

    /// Who would write these texts.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] when the budget of the request is too small for every model.
    fn plan(&self, request: &ContentRequest) -> Result<Plan, ProviderError>;

    /// How many tokens these texts take at most, when the first answer is good.
    fn estimate_tokens(&self, request: &ContentRequest) -> u64;

    /// What that many tokens cost, in US dollars; `None` when the price is not known.
    fn estimate_usd(&self, request: &ContentRequest) -> Option<Decimal>;
}

/// Hears of each step.
pub type Tell<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// A step on the way to the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// A model is asked.
    Asked {
        /// Whose.
        service: &'static str,
        /// Which.
        model: &'a str,
    },
    /// It is asked once more.
    AskedAgain {
        /// What was wrong with its first answer.
        reason: &'a str,
    },
    /// An answer came, good or bad: it is paid for.
    Answered {
        /// Whose model.
        service: &'static str,
        /// Which.
        model: &'a str,
        /// What this answer took.
        tokens: Tokens,
        /// What it cost, in billionths of a US dollar; `None` when the price is not known.
        nano_usd: Option<u64>,
    },
}

fn nobody(_: Step<'_>) {}

/// A request, and who hears of the steps on the way to its texts.
#[derive(Clone, Copy)]
pub struct Writing<'w> {
    /// What is to be written.
    pub request: &'w ContentRequest,
    /// Hears of each step.
    pub tell: Tell<'w>,
}

impl<'p> Ask<dyn ContentProvider + 'p> for Writing<'_> {
    type Value = ContentText;

    fn ask<'a>(
        &'a self,
        provider: &'a (dyn ContentProvider + 'p),
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        provider.write_telling(self.request, self.tell)
    }

    fn estimate(&self, provider: &(dyn ContentProvider + 'p)) -> Usage {
        Usage {
            units: provider.estimate_tokens(self.request),
            micro_usd: provider.estimate_usd(self.request).and_then(micro_usd),
        }
    }

    fn used(&self, text: &ContentText) -> Option<Usage> {
        let usd = text.cost.as_ref().and_then(|cost| cost.amount.parse().ok());
        Some(Usage { units: text.tokens.total, micro_usd: usd.and_then(micro_usd) })
    }
}

/// A page whose price is asked for, and who hears of the steps on the way to it.
#[derive(Clone, Copy)]
pub struct Reading<'w> {
    /// What is to be read.
    pub page: &'w PageText,
    /// Hears of each step.
    pub tell: Tell<'w>,
}

impl<'p> Ask<dyn ContentProvider + 'p> for Reading<'_> {
    type Value = PageAnswer;

    fn ask<'a>(&'a self, provider: &'a (dyn ContentProvider + 'p)) -> BoxFuture<'a, Result<PageAnswer, ProviderError>> {
        provider.read_price(self.page, self.tell)
    }

    fn estimate(&self, provider: &(dyn ContentProvider + 'p)) -> Usage {
        provider.estimate_reading(self.page)
    }

    fn used(&self, answer: &PageAnswer) -> Option<Usage> {
        Some(Usage { units: answer.tokens.total, micro_usd: answer.nano_usd.map(|nano| nano.div_ceil(1000)) })
    }
}

impl<'p> Ask<dyn ContentProvider + 'p> for ContentRequest {
    type Value = ContentText;

    fn ask<'a>(
        &'a self,
        provider: &'a (dyn ContentProvider + 'p),
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        provider.write(self)
    }

    fn estimate(&self, provider: &(dyn ContentProvider + 'p)) -> Usage {
        Writing { request: self, tell: &nobody }.estimate(provider)
    }

    fn used(&self, text: &ContentText) -> Option<Usage> {
        Writing { request: self, tell: &nobody }.used(text)
    }
}
