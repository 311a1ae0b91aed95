//! What the handlers share.

use std::sync::{Arc, OnceLock};

use fleet::Fleet;
use jobs::Checks;
use queue::{Client, JobId, JobView};
use secrecy::SecretString;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{api::status::Board, auth::Auth, history, intake::Intake, openapi, problem::Problem};

/// What stands on e-mails, for previews of them.
#[derive(Debug, Default)]
pub(crate) struct Letterhead {
    /// `SENDER_EMAIL`.
    pub(crate) sender: Option<String>,
    /// `PUBLIC_URL`, without a slash at its end.
    pub(crate) public_url: Option<String>,
}

/// What the handlers share; cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) client: Client,
    pub(crate) intake: Arc<Intake>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) openapi: bytes::Bytes,
    pub(crate) fleet: Fleet,
    /// What the variables say of the outside services.
    pub(crate) services: Arc<providers::Config>,
    pub(crate) status: Arc<Board>,
    /// Cancelled when the process shall end: whoever waits for a job stops waiting.
    pub(crate) closing: CancellationToken,
    pub(crate) letterhead: Arc<Letterhead>,
    /// Empty until MongoDB's address could be looked up.
    store: Arc<OnceLock<Store>>,
}

impl App {
    /// The API on this Redis, with all kinds of `jobs`. Does not wait for Redis. `secret` signs the tokens, `services` is what the
    /// variables say of the outside services. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(redis: &fleet::Redis, secret: &SecretString, services: providers::Config) -> Self {
        let checks = Checks::all();
        Self {
            client: Client::new(redis, checks.kinds()),
            openapi: openapi::build(&checks),
            fleet: Fleet::start(redis),
            services: Arc::new(services),
            status: Arc::default(),
            intake: Arc::new(Intake::new(checks)),
            auth: Arc::new(Auth::new(secret)),
            closing: CancellationToken::new(),
            letterhead: Arc::default(),
            store: Arc::default(),
        }
    }

    /// Says what stands on e-mails.
    #[must_use]
    pub fn with_letterhead(self, sender: Option<String>, public_url: Option<String>) -> Self {
        Self { letterhead: Arc::new(Letterhead { sender, public_url }), ..self }
    }

    /// Gives it the database; the first one stays.
    pub fn set_store(&self, store: Store) {
        self.store.get_or_init(|| store);
    }

    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// The store, or the answer that it is away.
    pub(crate) fn open_store(&self) -> Result<&Store, Problem> {
        self.store().ok_or_else(|| Problem::store_away("its address cannot be looked up"))
    }

    /// A job that ended and is remembered in the history.
    pub(crate) async fn past_job(&self, id: JobId) -> Result<Option<JobView>, Problem> {
        let job = self.open_store()?.past_job(&id.to_string()).await.map_err(Problem::store_away)?;
        Ok(job.and_then(history::view))
    }

    /// Fills in a result that is too large for Redis.
    pub(crate) async fn with_result(&self, mut job: JobView) -> Result<JobView, Problem> {
        if let Some(collection) = job.stored_in.take() {
            job.result =
                self.open_store()?.result(&collection, &job.id.to_string()).await.map_err(Problem::store_away)?;
        }
        Ok(job)
    }
}
