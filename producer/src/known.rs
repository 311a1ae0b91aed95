//! Which stores tenants have: a job for another one is refused when it comes, so that it is not found out hours later.
//!
//! In mock mode, where nothing goes to any store, each name will do. While MongoDB does not say, jobs are taken: they wait for it anyway.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jobs::NamedStore;
use providers::publication::DEFAULT_STORE;
use queue::NewJob;
use store::StoredStore;

use crate::{answer::Problem, intake::AskedJob, state::App};

/// A job is taken without its store having been looked for, rather than late.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// What one request has found out.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Whether there is a store of this id.
    stores: BTreeMap<String, bool>,
    /// MongoDB did not answer, and is not asked again.
    is_away: bool,
}

impl Known {
    /// Looks for the stores that these jobs need and that were not looked for yet, all in one call.
    pub(crate) async fn look<'a>(&mut self, app: &App, jobs: impl Iterator<Item = &'a AskedJob>) {
        self.look_for(app, jobs.filter_map(AskedJob::store_id).collect()).await;
    }

    async fn look_for(&mut self, app: &App, needed: BTreeSet<String>) {
        if self.is_away || !app.shops.as_deref().is_some_and(|shops| shops.is_real()) {
            return;
        }
        let new: Vec<String> = needed.into_iter().filter(|id| !self.stores.contains_key(id)).collect();
        if new.is_empty() {
            return;
        }
        let found = match app.store() {
            None => None,
            Some(store) => tokio::time::timeout(LOOK_WITHIN, store.stores_among(&new)).await.ok(),
        };
        match found {
            Some(Ok(there)) => self.stores.extend(new.into_iter().map(|id| {
                let is_there = there.contains(&id);
                (id, is_there)
            })),
            Some(Err(error)) => {
                tracing::debug!(%error, "jobs are taken without a look for their stores");
                self.is_away = true;
            }
            None => self.is_away = true,
        }
    }

    /// Why this job is refused, if its store is not there.
    pub(crate) fn refusal(&self, asked: &AskedJob) -> Option<Problem> {
        let NamedStore { pointer, name } = asked.store.as_ref()?;
        self.is_missing(&asked.store_id()?).then(|| Problem::unknown_store(format!("/payload{pointer}"), name))
    }

    fn is_missing(&self, id: &str) -> bool {
        self.stores.get(id).is_some_and(|is_there| !is_there)
    }
}

/// Refuses a path whose store is not there.
pub(crate) async fn require_of_path(app: &App, tenant: &str, name: &str) -> Result<(), Problem> {
    if name == DEFAULT_STORE {
        return Ok(());
    }
    let (mut known, id) = (Known::default(), StoredStore::id_of(tenant, name));
    known.look_for(app, BTreeSet::from([id.clone()])).await;
    if known.is_missing(&id) { Err(Problem::unknown_store("/path/name", name)) } else { Ok(()) }
}

/// The job to push, unless its store is not there.
pub(crate) async fn require(app: &App, asked: AskedJob) -> Result<NewJob, Problem> {
    let mut known = Known::default();
    known.look(app, std::iter::once(&asked)).await;
    known.refusal(&asked).map_or(Ok(asked.job), Err)
}

impl AskedJob {
    /// The id of the store that it needs.
    fn store_id(&self) -> Option<String> {
        self.store.as_ref().map(|named| StoredStore::id_of(&self.job.tenant, &named.name))
    }
}
