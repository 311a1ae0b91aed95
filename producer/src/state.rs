//! What the handlers share.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use axum::extract::FromRef;
use fleet::{Fleet, Mode};
use jobs::{Checks, maintenance::Maintenance, payments::Gate};
use providers::{image::FalWebhooks, payments::webhook::Webhooks as StripeWebhooks, publication::Shops};
use queue::Client;
use secrecy::SecretString;
use services::Name;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::{Page, Problem, Type},
    auth::Auth,
    board::Board,
    intake::Intake,
    metrics::Accepted,
    payments::Desk,
    shops::AskStores,
    together::{Question, Together},
};

/// What the handlers share; cheap to clone, which happens several times a request.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// See [`App`].
pub struct Shared {
    pub(crate) client: Client,
    pub(crate) intake: Arc<Intake>,
    pub(crate) accepted: Accepted,
    pub(crate) auth: Arc<Auth>,
    pub(crate) fleet: Fleet,
    /// What the variables say of the outside services.
    pub(crate) services: services::Config,
    /// Tells what fal delivers from what others do.
    pub(crate) fal: FalWebhooks,
    /// The same of Stripe's.
    pub(crate) stripe: StripeWebhooks,
    pub(crate) board: Board,
    /// Asks stores; `None` when that cannot be done at all.
    pub(crate) shops: Option<Arc<dyn AskStores>>,
    /// What tenants may enqueue.
    pub(crate) gate: Gate,
    /// Payments, or why their variables cannot be used at all.
    desk: Result<Desk, String>,
    /// Lists of jobs that are being made.
    pub(crate) lists: Together<Question, Result<Page, Problem>>,
    /// Cancelled when the process shall end: whoever waits for a job stops waiting.
    pub(crate) closing: CancellationToken,
    /// Empty until MongoDB's address could be looked up.
    store: Arc<OnceLock<Store>>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// The API on this Redis, with all kinds of `jobs`. Does not wait for Redis. `secret` signs the tokens, `services` is what the
    /// variables say of the outside services. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(redis: &fleet::Redis, secret: &SecretString, services: services::Config) -> Self {
        Self::asking(redis, secret, services, None)
    }

    /// The same, where `shops` asks the stores, if it is given.
    pub(crate) fn asking(
        redis: &fleet::Redis,
        secret: &SecretString,
        mut services: services::Config,
        shops: Option<Arc<dyn AskStores>>,
    ) -> Self {
        // In development there may be no variable, but a secret that was made up.
        services.links = services.links.with_secret(secret.clone());
        let checks = Checks::all();
        let kinds = checks.kinds();
        let fleet = Fleet::start(redis);
        let shops = shops.or_else(|| match Shops::new(&services, &fleet) {
            Ok(shops) => Some(Arc::new(shops)),
            Err(error) => {
                tracing::error!(%error, "no store can be asked");
                None
            }
        });
        let store = Arc::new(OnceLock::new());
        let desk = Desk::new(&services, &fleet, store.clone());
        if let Err(error) = &desk {
            let error = services.secrets.redact(error.clone());
            tracing::error!(
                error,
                "payments cannot be used: nobody can subscribe, and while they are real, no job of a tenant is taken"
            );
        }
        Self(Arc::new(Shared {
            accepted: Accepted::new(&kinds),
            client: Client::new(redis, kinds).with_follow_up(Maintenance::after_cancel(&services)),
            fleet,
            shops,
            gate: Gate::default(),
            desk,
            fal: FalWebhooks::new(&services),
            stripe: StripeWebhooks::new(&services),
            services,
            board: Board::default(),
            lists: Together::default(),
            intake: Arc::new(Intake::new(checks)),
            auth: Arc::new(Auth::new(secret)),
            closing: CancellationToken::new(),
            store,
        }))
    }

    /// Gives it the database; the first one stays.
    pub fn set_store(&self, store: Store) {
        self.store.get_or_init(|| store);
    }

    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// Who asks stores.
    pub(crate) fn shops(&self) -> Result<&dyn AskStores, Problem> {
        let detail = "no store can be asked; the log has the reason";
        self.shops.as_deref().ok_or_else(|| Problem::new(Type::Internal, detail))
    }

    /// Payments.
    pub(crate) fn desk(&self) -> Result<&Desk, Problem> {
        let detail = "payments are not set up as they must be; the log has the reason";
        self.desk.as_ref().map_err(|_| Problem::new(Type::Internal, detail))
    }

    /// Why payments cannot be used at all, for operators.
    pub(crate) fn desk_fault(&self) -> Option<&str> {
        self.desk.as_ref().err().map(String::as_str)
    }

    /// Whether a service is to be real: as it was switched, or else as the variables say.
    pub(crate) fn is_real(&self, service: Name) -> bool {
        let switched = service.entry().switch.and_then(|_| self.fleet.mode(service.as_str()));
        switched.map_or_else(|| self.services.is_real(service), |mode| mode == Mode::Real)
    }

    /// The store, or the answer that it is away.
    pub(crate) fn open_store(&self) -> Result<&Store, Problem> {
        self.store().ok_or_else(|| Problem::store_away("its address cannot be looked up"))
    }
}

impl FromRef<App> for Arc<Auth> {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}
