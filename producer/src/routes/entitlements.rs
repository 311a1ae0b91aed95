//! What a tenant may use now.

use api::{Entitlements, Money, Timestamp};
use axum::{Json, extract::State};
use jobs::payments::{self, Plans, tier_word};
use store::{Moment, StoredSubscription};

use super::versions::TenantQuery;
use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    entitled,
    request::Parameters,
    state::App,
};

/// Tells what a tenant may use now. What somebody has just paid for may be ten seconds late.
#[utoipa::path(
    get, path = "/api/payments/entitlements", tag = "payments", operation_id = "payments_entitlements",
    params(TenantQuery),
    responses((status = 200, description = "What may be used", body = Entitlements))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
) -> Result<Json<Entitlements>, Problem> {
    caller.require(Scope::PaymentsRead)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let desk = app.desk()?;
    let (allowed, is_real) = (entitled::entitlements(&app, desk, &tenant).await, desk.is_real());
    let kept = app.gate.kept(&tenant, app.store()).await.filter(|kept| kept.mock != is_real);
    let jobs_today = app.client.n_taken(&tenant).await?;
    Ok(Json(answer(&allowed, kept.as_deref(), is_real, jobs_today, desk.plans())))
}

fn answer(
    allowed: &payments::Entitlements,
    kept: Option<&StoredSubscription>,
    is_real: bool,
    jobs_today: u64,
    plans: &Plans,
) -> Entitlements {
    // No plan says anything against a job without kind and tier; so it is the state.
    let by_state =
        if allowed.may_enqueue { None } else { allowed.allow(plans, "content", &serde_json::Value::Null).err() };
    let used_up = allowed.jobs_per_day.is_some_and(|most| jobs_today >= most);
    let reason = match by_state {
        Some(required) => Some(required.reason),
        None if used_up => Some("the plan's jobs of this day are used up until midnight UTC".to_owned()),
        None => None,
    };
    let time = |moment: Option<Moment>| moment.map(|moment| Timestamp::from_ms(moment.ms()));
    Entitlements {
        plan: allowed.plan.clone(),
        state: allowed.state.clone(),
        enforced: is_real,
        may_enqueue: reason.is_none(),
        reason,
        kinds: allowed.kinds.clone(),
        tier: tier_word(allowed.tier).to_owned(),
        jobs_per_day: allowed.jobs_per_day,
        jobs_today,
        spending_cap_per_day: allowed
            .spending_cap_per_day
            .clone()
            .map(|amount| Money { amount, currency: "USD".to_owned() }),
        trial_ends_at: time(kept.and_then(|kept| kept.trial_end)),
        period_ends_at: time(kept.and_then(|kept| kept.period_end)),
        cancel_at_period_end: kept.is_some_and(|kept| kept.cancel_at_period_end),
        cancel_at: time(kept.and_then(|kept| kept.cancel_at)),
        grace_ends_at: allowed.grace_until.map(Timestamp::from),
        mock: !is_real,
    }
}
