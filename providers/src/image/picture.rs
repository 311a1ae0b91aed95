//! What is drawn, and who draws: a run is begun, looked after until it is done, and its pictures are fetched.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use fleet::Reserved;
use futures::future::{self, BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::{
    chain::{Ask, Provider, Usage},
    content::Cost,
    error::ProviderError,
};

/// Makes pictures of products.
pub trait ImageProvider: Provider + Debug {
    /// Begins to make as many pictures as are asked for. `webhook` is where it may tell that they are done.
    ///
    /// # Errors
    /// [`ProviderError`], sorted by what follows; [`ProviderError::UnknownOutcome`] when it may have begun.
    fn begin<'a>(
        &'a self,
        request: &'a ImageRequest,
        webhook: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Begun, ProviderError>>;

    /// Whether a run can be asked for: the addresses that came with it are there, and ours to trust.
    fn can_look(&self, _run: &Run) -> bool {
        true
    }

    /// How far a run is.
    ///
    /// # Errors
    /// [`ProviderError`], when that could not be told. That the run failed is [`RunState::Failed`].
    fn look<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<RunState, ProviderError>> {
        future::ready(Err(no_runs(self, &run.request_id))).boxed()
    }

    /// How far a run is by the `body` of a webhook; `None` when that does not tell.
    fn read_webhook(&self, _run: &Run, _body: &Value) -> Option<RunState> {
        None
    }

    /// A run that only a webhook tells of.
    fn run_of_webhook(&self, _request: &ImageRequest, _body: &Value) -> Option<Run> {
        None
    }

    /// The bytes of a picture, whatever they are.
    ///
    /// # Errors
    /// [`ProviderError`], when it may be had later.
    fn fetch<'a>(&'a self, address: &'a Url) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        future::ready(Err(no_runs(self, address.as_str()))).boxed()
    }

    /// Asks for no more of a run. False when it has ended.
    ///
    /// # Errors
    /// [`ProviderError`], when it may go on.
    fn stop<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, Result<bool, ProviderError>> {
        future::ready(Err(no_runs(self, &run.request_id))).boxed()
    }

    /// How long a run may take.
    fn deadline(&self) -> Duration {
        Duration::ZERO
    }

    /// What it takes for what is asked for, in millionths of a US dollar; `None` when that is not known.
    fn price(&self, _request: &ImageRequest) -> Option<u64> {
        None
    }
}

/// Of a provider that draws at once. It was not the one that began the run: the mode was switched meanwhile.
fn no_runs<P: Provider + ?Sized>(provider: &P, what: &str) -> ProviderError {
    ProviderError::Unable { service: provider.name(), message: format!("it knows nothing of {what}") }
}

/// What the pictures shall show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// The product's name.
    pub name: String,
    /// What to show besides, in words.
    pub prompt: Option<String>,
    /// How it shall look, in a word or two.
    pub style: Option<String>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How many.
    pub count: u32,
    /// The same one gives the same pictures; without it, the provider chooses.
    pub seed: Option<u32>,
    /// What may be shown, from 1, the strictest, to 6; without it, as the provider has it.
    pub safety_tolerance: Option<u8>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The pictures are there.
    Made(Pictures),
    /// They are being made.
    Run(Run),
}

/// Pictures that are being made, and billed: written down as soon as it is begun, so that nobody begins it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The provider's name of it.
    pub request_id: String,
    /// The model.
    pub model: String,
    /// Where to ask for it; none of a run that only a webhook tells of.
    pub addresses: Option<Addresses>,
    /// In Unix milliseconds.
    pub begun_ms: u64,
    /// How long it may take, in seconds.
    pub deadline_s: u64,
    /// How many pictures.
    pub count: u32,
    /// What they cost.
    pub cost: Option<Cost>,
    /// What counts as spent for it; absent where nobody is capped, and of a run that only a webhook tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Reserved>,
}

/// Where a run is asked for, as the provider told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// How far it is.
    pub status: String,
    /// What came of it.
    pub response: String,
    /// To end it.
    pub cancel: Option<String>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It is not done.
    UnderWay,
    /// It is.
    Made(Pictures),
    /// It has ended without pictures.
    Failed(RunFailure),
}

/// Why there are no pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure {
    /// Tells whether another run may do better.
    pub error: ProviderError,
    /// Whether it is paid all the same.
    pub is_billed: bool,
    /// Whether it was the run that failed, and not the way to it.
    pub is_certain: bool,
}

/// What there was at a picture's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing that could be had, now or later; why.
    Nothing(String),
}

/// Pictures, as their provider made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// The model that made them.
    pub model: String,
    /// What they cost; `None` when nothing was paid, or it is not known how much.
    pub cost: Option<Cost>,
    /// Whether they are placeholders that show no product.
    pub mock: bool,
    /// As many as were asked for, without those that were flagged.
    pub pictures: Vec<Original>,
    /// Those that the provider thinks should not be shown, by their places from 0.
    pub flagged: Vec<u32>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its place among those that were asked for, from 0.
    pub place: u32,
    /// What it was made with.
    pub seed: u64,
    /// Where its pixels come from.
    pub pixels: Pixels,
}

/// Where the pixels of a picture come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// They are still to be drawn: the product's name, in colours that follow this text.
    Placeholder(String),
    /// They are to be [fetched](ImageProvider::fetch).
    At(Url),
}

/// Begins a run; what is billed.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    /// What to make.
    pub request: &'a ImageRequest,
    /// Where the provider may tell that it is done.
    pub webhook: Option<&'a str>,
}

impl<'p> Ask<dyn ImageProvider + 'p> for Begin<'_> {
    type Value = Begun;

    fn ask<'a>(&'a self, provider: &'a (dyn ImageProvider + 'p)) -> BoxFuture<'a, Result<Begun, ProviderError>> {
        provider.begin(self.request, self.webhook)
    }

    fn is_write(&self) -> bool {
        true
    }

    fn estimate(&self, provider: &(dyn ImageProvider + 'p)) -> Usage {
        Usage { units: 0, micro_usd: provider.price(self.request) }
    }

    /// A run that fails is not billed.
    fn keep_spent(&self, begun: &mut Begun, spent: Reserved) {
        if let Begun::Run(run) = begun {
            run.spent = Some(spent);
        }
    }
}

/// Asks how far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a>(pub &'a Run);

impl<'p> Ask<dyn ImageProvider + 'p> for Look<'_> {
    type Value = RunState;

    fn ask<'a>(&'a self, provider: &'a (dyn ImageProvider + 'p)) -> BoxFuture<'a, Result<RunState, ProviderError>> {
        provider.look(self.0)
    }

    /// That runs are told of says nothing of whether others may be begun.
    fn account(&self) -> Option<&str> {
        Some("runs")
    }

    fn is_limited(&self) -> bool {
        false
    }
}

/// Fetches a picture.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a>(pub &'a Url);

impl<'p> Ask<dyn ImageProvider + 'p> for Fetch<'_> {
    type Value = Fetched;

    fn ask<'a>(&'a self, provider: &'a (dyn ImageProvider + 'p)) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        provider.fetch(self.0)
    }

    /// Files are given by other servers than runs.
    fn account(&self) -> Option<&str> {
        Some("media")
    }

    fn is_limited(&self) -> bool {
        false
    }
}

/// Ends a run.
#[derive(Debug, Clone, Copy)]
pub struct Stop<'a>(pub &'a Run);

impl<'p> Ask<dyn ImageProvider + 'p> for Stop<'_> {
    type Value = bool;

    fn ask<'a>(&'a self, provider: &'a (dyn ImageProvider + 'p)) -> BoxFuture<'a, Result<bool, ProviderError>> {
        provider.stop(self.0)
    }

    fn account(&self) -> Option<&str> {
        Some("runs")
    }

    fn is_limited(&self) -> bool {
        false
    }
}
