//! Whether a tenant's plan lets it enqueue what it asks for: at every door by which jobs of tenants come.
//!
//! Only while payments are real, and never for tokens with `admin`. What it is decided by is in `jobs::payments`.

use chrono::{DateTime, Utc};
use jobs::payments::{By, Entitlements, NotLetIn, is_exempt};
use queue::{Client, Json, NewJob, Taken};
use services::Name;

use crate::{
    answer::{Problem, Type},
    auth::Caller,
    payments::Desk,
    state::App,
};

/// A door for the jobs of one caller.
pub(crate) struct Door {
    app: App,
    tenant: String,
    entitlements: Entitlements,
}

/// Jobs that were counted before they are pushed.
#[must_use]
pub(crate) struct Ticket {
    client: Client,
    taken: Taken,
}

impl Ticket {
    /// How many jobs were let in.
    pub(crate) fn n(&self) -> u64 {
        self.taken.n()
    }

    /// So many were pushed; the others do not count.
    pub(crate) async fn pushed(self, n: u64) {
        self.client.give_back(&self.taken, self.taken.n().saturating_sub(n)).await;
    }
}

impl Door {
    /// The door that a caller comes through; `None`: it is open for everything. Where nobody can say what plans allow, it is shut: that may be
    /// mended in minutes, and what was used for nothing is not given back.
    pub(crate) async fn of(app: &App, caller: &Caller) -> Result<Option<Self>, Problem> {
        if caller.is_admin() {
            return Ok(None);
        }
        let desk = match app.desk() {
            Ok(desk) => Some(desk).filter(|desk| desk.is_real()),
            Err(_) if app.is_real(Name::Payments) => {
                let detail = "what plans allow cannot be told, because payments are not set up as they must be: the status has the reason";
                return Err(Problem::new(Type::VendorUnavailable, detail));
            }
            Err(_) => None,
        };
        let Some(desk) = desk else { return Ok(None) };
        let entitlements = entitlements(app, desk, &caller.tenant).await;
        Ok(Some(Self { app: app.clone(), tenant: caller.tenant.clone(), entitlements }))
    }

    /// Refuses a job that the plan does not allow. Does not count it.
    pub(crate) fn allow(&self, kind: &str, payload: &[u8]) -> Result<(), Problem> {
        let allowed = self.entitlements.allow_text(self.app.desk()?.plans(), kind, payload);
        allowed.map_err(Problem::plan_required)
    }

    /// The same for a job that was answered.
    pub(crate) fn allow_again(&self, kind: &str, payload: &Json) -> Result<(), Problem> {
        self.allow(kind, payload.to_string().as_bytes())
    }

    /// Lets up to `n` jobs in that are allowed, and counts them; `None`: the plan does not limit how many.
    pub(crate) async fn take(&self, n: usize) -> Result<Option<Ticket>, Problem> {
        let client = &self.app.client;
        let taken = self.entitlements.take(client, &self.tenant, n.try_into().unwrap_or(u64::MAX)).await?;
        Ok(taken.map(|taken| Ticket { client: client.clone(), taken }))
    }

    /// That no more jobs are let in today.
    pub(crate) fn over_quota(&self) -> Problem {
        Problem::over_quota(&self.entitlements.over_quota(self.app.client.rest_of_day()))
    }
}

/// Lets one job in, if it is allowed, and counts it; `None`: it need not be counted.
pub(crate) async fn let_in(app: &App, caller: &Caller, job: &NewJob) -> Result<Option<Ticket>, Problem> {
    if is_exempt(&job.kind) {
        return Ok(None);
    }
    let Some(door) = Door::of(app, caller).await? else { return Ok(None) };
    let by = (&app.client, app.desk()?.plans());
    match door.entitlements.let_in(by, &job.tenant, &job.kind, &job.payload).await {
        Ok(taken) => Ok(taken.map(|taken| Ticket { client: app.client.clone(), taken })),
        Err(NotLetIn::Plan(required)) => Err(Problem::plan_required(required)),
        Err(NotLetIn::Quota(over)) => Err(Problem::over_quota(&over)),
        Err(NotLetIn::Queue(error)) => Err(error.into()),
    }
}

/// Refuses a job that is only kept for later, if it would not be let in now. Does not count it.
pub(crate) async fn require(app: &App, caller: &Caller, job: &NewJob) -> Result<(), Problem> {
    if is_exempt(&job.kind) {
        return Ok(());
    }
    Door::of(app, caller).await?.map_or(Ok(()), |door| door.allow(&job.kind, &job.payload))
}

/// The same for a job that has ended and is to run again, which was counted when it came.
pub(crate) async fn require_again(app: &App, caller: &Caller, kind: &str, payload: &Json) -> Result<(), Problem> {
    if is_exempt(kind) {
        return Ok(());
    }
    Door::of(app, caller).await?.map_or(Ok(()), |door| door.allow_again(kind, payload))
}

/// What a tenant may use now.
pub(crate) async fn entitlements(app: &App, desk: &Desk, tenant: &str) -> Entitlements {
    let by = By { plans: desk.plans(), is_real: desk.is_real(), store: app.store() };
    app.gate.entitlements(tenant, by, now(app)).await
}

pub(crate) fn now(app: &App) -> DateTime<Utc> {
    let ms = i64::try_from(app.client.now_ms()).unwrap_or_default();
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
