//! The page of plans, for people: behind a signed link of their tenant's, and without a token.

use api::{SubscribeLink, SubscribeLinkRequest, Timestamp};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use jobs::Shape;
use minijinja::{Value, context, value::Serde};
use providers::content::Language;
use serde::Deserialize;
use services::Name;
use store::StoredSubscription;
use url::form_urlencoded;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    page::{self, Page, message, origin, say, word},
    plans::{Current, Reader, ShownOffer, may_try},
    versions::TenantQuery,
};
use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    payments::{Ask, Desk, in_time, key},
    request::{self, Parameters},
    state::App,
};

/// Where Stripe's pages are.
const STRIPE: [&str; 2] = ["https://checkout.stripe.com", "https://billing.stripe.com"];

/// Gives the address of the page of plans: signed, of the tenant, good for an hour. Without `PUBLIC_URL` it begins with its path.
#[utoipa::path(
    post, path = "/api/payments/subscribe-link", tag = "payments", operation_id = "payments_subscribe_link",
    request_body = SubscribeLinkRequest, params(TenantQuery),
    responses((status = 200, description = "The address; whoever has it can subscribe for the tenant", body = SubscribeLink))
)]
pub(crate) async fn link(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SubscribeLink>, Problem> {
    caller.require(Scope::PaymentsWrite)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let read = |body: &queue::Json| Shape::<SubscribeLinkRequest>::new().read(body).map_err(Problem::invalid);
    let asked = request::json(&headers, body, read).await?;
    let no_secret = || Problem::needs("JWT_SECRET", "links are signed with it");
    let (url, exp) = app.services.links.subscribe(&tenant, app.client.now_ms() / 1000).ok_or_else(no_secret)?;
    let url = asked.lang.map_or(url.clone(), |lang| format!("{url}&lang={}", lang.as_str()));
    Ok(Json(SubscribeLink { url, expires_at: Timestamp::from_ms(exp * 1000) }))
}

/// What a form of the page sends.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct SubscribeForm {
    /// As in the link.
    t: String,
    /// The plan.
    #[schema(example = "pro")]
    plan: String,
    /// `fr` or `en`.
    #[serde(default)]
    lang: Option<String>,
}

/// The same without a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct ManageForm {
    /// As in the link.
    t: String,
    /// `fr` or `en`.
    #[serde(default)]
    lang: Option<String>,
}

/// The page of plans: what each costs and allows, with a button for each; or the subscription, with a button to manage it.
#[utoipa::path(
    get, path = "/subscribe", tag = "payments", operation_id = "payments_plans_page", security(()),
    params(
        ("t" = Option<String>, Query, description = "As in the link of `POST /api/payments/subscribe-link`"),
        ("lang" = Option<String>, Query, description = "`fr` or `en`; as the browser prefers if absent"),
    ),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 403, description = "The link is not one that we signed, or no longer good", body = String, content_type = "text/html"),
        (status = 503, description = "Neither Stripe nor what is kept can tell", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn show(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let visit = match Visit::new(&app, query.as_deref().unwrap_or_default().as_bytes(), &headers, "subscribe") {
        Ok(visit) => visit,
        Err(refused) => return refused.page(),
    };
    in_time(visit.plans(&app)).await.unwrap_or_else(|problem| visit.refusal(&problem))
}

/// Begins a subscription: the button of the page.
#[utoipa::path(
    post, path = "/subscribe", tag = "payments", operation_id = "payments_begin", security(()),
    request_body(content = SubscribeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page with the link to the checkout, where that has an address of its own", body = String, content_type = "text/html"),
        (status = 303, description = "To the checkout"),
        (status = 403, description = "The link is not one that we signed, or no longer good", body = String, content_type = "text/html"),
        (status = 409, description = "The tenant has a subscription", body = String, content_type = "text/html"),
        (status = 422, description = "There is no such plan", body = String, content_type = "text/html"),
        (status = 503, description = "Stripe does not answer, or refuses it", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn begin(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let form = read(&headers, body).await?;
    let visit = match Visit::new(&app, &form, &headers, "subscribe") {
        Ok(visit) => visit,
        Err(refused) => return Ok(refused.page()),
    };
    let plan = field(&form, "plan").unwrap_or_default();
    Ok(in_time(visit.begin(&app, &plan)).await.unwrap_or_else(|problem| visit.refusal(&problem)))
}

/// Leads to where a subscription is managed: the other button of the page.
#[utoipa::path(
    post, path = "/subscribe/portal", tag = "payments", operation_id = "payments_manage", security(()),
    request_body(content = ManageForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page with the link to the portal, where that has an address of its own", body = String, content_type = "text/html"),
        (status = 303, description = "To the portal"),
        (status = 403, description = "The link is not one that we signed, or no longer good", body = String, content_type = "text/html"),
        (status = 409, description = "The tenant has never subscribed", body = String, content_type = "text/html"),
        (status = 503, description = "Stripe does not answer, or refuses it", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn manage(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let form = read(&headers, body).await?;
    let visit = match Visit::new(&app, &form, &headers, "../subscribe") {
        Ok(visit) => visit,
        Err(refused) => return Ok(refused.page()),
    };
    Ok(in_time(visit.manage(&app)).await.unwrap_or_else(|problem| visit.refusal(&problem)))
}

/// Lets a subscription that is paused go on: a button of the page of whoever has one.
#[utoipa::path(
    post, path = "/subscribe/resume", tag = "payments", operation_id = "payments_go_on", security(()),
    request_body(content = ManageForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the page of plans"),
        (status = 402, description = "It is still paused, because the new period was not paid", body = String, content_type = "text/html"),
        (status = 403, description = "The link is not one that we signed, or no longer good", body = String, content_type = "text/html"),
        (status = 409, description = "There is nothing that is paused", body = String, content_type = "text/html"),
        (status = 503, description = "Stripe does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn resume(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let form = read(&headers, body).await?;
    let visit = match Visit::new(&app, &form, &headers, "../subscribe") {
        Ok(visit) => visit,
        Err(refused) => return Ok(refused.page()),
    };
    Ok(in_time(visit.resume(&app)).await.unwrap_or_else(|problem| visit.refusal(&problem)))
}

/// Where checkout and portal lead back to.
#[utoipa::path(
    get, path = "/subscribe/done", tag = "payments", operation_id = "payments_done_page", security(()),
    params(
        ("outcome" = Option<String>, Query, description = "`thanks`: somebody has subscribed; otherwise nothing was changed"),
        ("t" = Option<String>, Query, description = "As in the link of the page of plans, which the page then leads to"),
        ("lang" = Option<String>, Query, description = "`fr` or `en`; as the browser prefers if absent"),
    ),
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(crate) async fn done(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let language = page::language(field(query.as_bytes(), "lang").as_deref(), &headers);
    let text = if field(query.as_bytes(), "outcome").as_deref() == Some("thanks") {
        let text = say(
            language,
            "Votre abonnement est enregistré. Il peut se passer quelques secondes avant qu’il soit visible partout.",
            "Your subscription is in place. It may take some seconds until it shows everywhere.",
        );
        (say(language, "Merci !", "Thank you!"), text)
    } else {
        let text = say(
            language,
            "Vous n’êtes pas abonné et rien ne vous est demandé.",
            "You have not subscribed, and nothing is asked of you.",
        );
        (say(language, "Rien n’a changé", "Nothing was changed"), text)
    };
    let t = field(query.as_bytes(), "t").filter(|t| app.services.links.is_subscribe(t, now_s(&app)).is_some());
    let back = t.map(|t| format!("../subscribe?{}", parameters(&t, language)));
    let words = say(language, "Voir les formules", "See the plans");
    message(language, StatusCode::OK, text, back.as_deref().map(|back| (back, words)))
}

/// Somebody who came with a good link.
struct Visit {
    tenant: String,
    t: String,
    language: Language,
    /// The page of plans, as this page leads to it.
    plans: &'static str,
    /// Where the API is reached from outside.
    base: Option<String>,
}

/// Somebody who came without one.
struct NoLink(Language);

impl NoLink {
    fn page(&self) -> Response {
        let title = say(self.0, "Ce lien n’est plus valable", "This link is no longer good");
        let text = say(
            self.0,
            "Il est incomplet, ou plus d’une heure a passé. Demandez-en un nouveau là où vous l’avez trouvé.",
            "It is not complete, or more than an hour has passed. Ask for a new one where you found it.",
        );
        message(self.0, StatusCode::FORBIDDEN, (title, text), None)
    }
}

impl Visit {
    /// Nothing is told and nothing done without the signature.
    fn new(app: &App, fields: &[u8], headers: &HeaderMap, plans: &'static str) -> Result<Self, NoLink> {
        let language = page::language(field(fields, "lang").as_deref(), headers);
        let t = field(fields, "t").unwrap_or_default();
        let tenant = app.services.links.is_subscribe(&t, now_s(app)).ok_or(NoLink(language))?;
        let public = app.services.links.public_url().map(str::to_owned);
        // On one's own machine it can do without: other hosts are not taken for return addresses.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let base = public.or_else(|| host.map(|host| format!("http://{host}")));
        Ok(Self { tenant, t, language, plans, base })
    }

    async fn plans(&self, app: &App) -> Result<Response, Problem> {
        let desk = app.desk()?;
        let (offers, kept) = (desk.offers().await?, desk.kept(&self.tenant).await?);
        let tenant = app.open_store()?.tenant(&self.tenant).await.map_err(Problem::store_away)?;
        let reader = Reader::new(self.language, tenant.as_ref());
        let name = tenant.as_ref().map(|tenant| tenant.name.as_str()).filter(|name| !name.is_empty());
        let shown = offers.iter().map(|offer| {
            let (_, allows) = desk.plans().plan(Some(&offer.plan));
            Value::from(Serde(ShownOffer::new(offer, allows, &reader)))
        });
        let other = match self.language {
            Language::Fr => Language::En,
            Language::En => Language::Fr,
        };
        let values = context! {
            t => self.t.clone(),
            account => name.unwrap_or(&self.tenant),
            mock => !desk.is_real(),
            trial_days => desk.trial_days.filter(|_| may_try(kept.as_ref())),
            current => Current::of(kept.as_ref(), &reader).map(|current| Value::from(Serde(current))),
            offers => shown.collect::<Vec<_>>(),
            other_language => parameters(&self.t, other),
        };
        let forms_to = forms_to(app);
        let page =
            Page { template: "subscribe.html", language: self.language, status: StatusCode::OK, forms_to: &forms_to };
        Ok(page.answer(values))
    }

    async fn begin(&self, app: &App, plan: &str) -> Result<Response, Problem> {
        let desk = app.desk()?;
        desk.admit(&self.tenant).await?;
        let kept = desk.kept(&self.tenant).await?;
        if self.current(kept.as_ref()).is_some() {
            return Err(Problem::new(Type::Conflict, "the tenant has a subscription"));
        }
        let ask = Ask {
            tenant: &self.tenant,
            plan,
            trial_days: desk.trial_days.filter(|_| may_try(kept.as_ref())),
            without_card: false,
            success_url: self.done("thanks")?,
            cancel_url: self.done("nothing")?,
        };
        let opened = match desk.checkout(&ask).await {
            Ok(opened) => opened,
            Err(problem) => {
                let kept = desk.kept(&self.tenant).await?;
                // Where it is not refused for a subscription that there is, the reader can do nothing about it.
                let is_theirs = self.current(kept.as_ref()).is_some();
                return Err(if is_theirs { problem } else { not_for_the_reader(problem) });
            }
        };
        let no_address = || Problem::new(Type::VendorUnavailable, "the checkout has no address");
        self.go_on(app, opened.session.url.ok_or_else(no_address)?)
    }

    async fn manage(&self, app: &App) -> Result<Response, Problem> {
        let base = self.base()?;
        let back = format!("{base}/subscribe?{}", parameters(&self.t, self.language));
        let desk: &Desk = app.desk()?;
        desk.admit(&self.tenant).await?;
        // Each is good for minutes, so none is given twice.
        let key = key(&["page", "portal", &self.tenant, &Uuid::new_v4().to_string()]);
        let portal = desk.portal(&self.tenant, &back, &key).await.map_err(not_for_the_reader)?;
        self.go_on(app, portal.url)
    }

    async fn resume(&self, app: &App) -> Result<Response, Problem> {
        let desk = app.desk()?;
        desk.admit(&self.tenant).await?;
        // A second click asks for something new: the first may have been declined.
        let key = key(&["page", "resume", &self.tenant, &Uuid::new_v4().to_string()]);
        desk.resume(&self.tenant, &key, false).await?;
        let plans = format!("{}?{}", self.plans, parameters(&self.t, self.language));
        page::go_to(&plans)
            .ok_or_else(|| Problem::new(Type::Internal, "the address of the page of plans cannot be written"))
    }

    fn current(&self, kept: Option<&StoredSubscription>) -> Option<Current> {
        Current::of(kept, &Reader::new(self.language, None))
    }

    /// To a page of Stripe's, or of the mock's. Browsers let a form lead only to where the policy of its page allows; an account whose
    /// checkout has an address of its own is reached by a link.
    fn go_on(&self, app: &App, address: String) -> Result<Response, Problem> {
        // The mock's pages have both languages, too.
        let is_mock = !app.desk()?.is_real();
        let address = if is_mock { format!("{address}?lang={}", word(self.language)) } else { address };
        let address = address.as_str();
        let is_allowed = origin(address).map_or(address.starts_with('/'), |origin| forms_to(app).contains(&origin));
        if let Some(redirect) = page::go_to(address).filter(|_| is_allowed) {
            return Ok(redirect);
        }
        if origin(address).is_none() {
            return Err(Problem::new(Type::VendorUnavailable, "the address of the next page cannot be read"));
        }
        let title = say(self.language, "Encore un pas", "One more step");
        let words = say(self.language, "Continuer sur la page de Stripe", "Go on to Stripe’s page");
        Ok(message(self.language, StatusCode::OK, (title, ""), Some((address, words))))
    }

    fn base(&self) -> Result<&str, Problem> {
        self.base.as_deref().ok_or_else(|| Problem::needs("PUBLIC_URL", "customers come back to an address below it"))
    }

    fn done(&self, outcome: &str) -> Result<String, Problem> {
        let parameters = parameters(&self.t, self.language);
        Ok(format!("{}/subscribe/done?outcome={outcome}&{parameters}", self.base()?))
    }

    /// Why there is nothing else to show.
    fn refusal(&self, problem: &Problem) -> Response {
        let say = |french, english| say(self.language, french, english);
        let back = format!("{}?{}", self.plans, parameters(&self.t, self.language));
        let back = Some((back.as_str(), say("Revenir aux formules", "Back to the plans")));
        let no_plan = problem.tells_of("/plan");
        let (status, title, text) = match problem.kind() {
            Type::Conflict => (
                StatusCode::CONFLICT,
                say("Vous êtes déjà abonné", "You have subscribed already"),
                say(
                    "La page des formules vous mène à votre abonnement.",
                    "The page of plans leads to your subscription.",
                ),
            ),
            Type::PaymentFailed => (
                StatusCode::PAYMENT_REQUIRED,
                say("Le paiement n’a pas abouti", "The payment did not go through"),
                say(
                    "L’abonnement reste en pause. Ajoutez un moyen de paiement dans « Gérer mon abonnement », puis reprenez-le.",
                    "The subscription is still paused. Add a payment method under “Manage my subscription”, then let it go on.",
                ),
            ),
            Type::NotFound => (
                StatusCode::CONFLICT,
                say("Vous n’êtes pas encore abonné", "You have not subscribed yet"),
                say("Choisissez d’abord une formule.", "Choose a plan first."),
            ),
            Type::InvalidPayload if no_plan => (
                StatusCode::UNPROCESSABLE_ENTITY,
                say("Cette formule n’existe pas", "There is no such plan"),
                say("Choisissez-en une sur la page des formules.", "Choose one on the page of plans."),
            ),
            Type::InvalidPayload if problem.tells_of("/trial_days") => (
                StatusCode::UNPROCESSABLE_ENTITY,
                say("L’essai gratuit a déjà été utilisé", "The free trial was used already"),
                say("La page des formules montre ce qui est possible.", "The page of plans shows what is possible."),
            ),
            _ => {
                tracing::warn!(tenant = self.tenant, problem = ?problem, "the page of plans has nothing to show");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    say("Les paiements sont indisponibles", "Payments are not available"),
                    say(
                        "Rien n’a changé. Réessayez dans quelques minutes.",
                        "Nothing was changed. Try again in some minutes.",
                    ),
                )
            }
        };
        message(self.language, status, (title, text), back)
    }
}

/// Where Stripe refuses what a page asks for, its reader can do nothing about it: the log tells it, and the page that payments are not available.
fn not_for_the_reader(problem: Problem) -> Problem {
    if problem.kind() != Type::Conflict {
        return problem;
    }
    tracing::error!(?problem, "stripe refuses what the page of plans asks for");
    Problem::new(Type::VendorUnavailable, "stripe refuses it; the log has the reason")
}

/// Other origins that the forms of the page may lead to.
fn forms_to(app: &App) -> Vec<String> {
    let other = app.services.value(Name::Payments, "STRIPE_BASE_URL");
    let ours = [app.services.links.public_url(), other].into_iter().flatten().filter_map(origin);
    STRIPE.into_iter().map(str::to_owned).chain(ours).collect()
}

fn parameters(t: &str, language: Language) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("t", t).append_pair("lang", word(language)).finish()
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    request::read(headers, body, request::JOB_LIMIT).await
}

/// What a field of a form or a query says.
pub(super) fn field(fields: &[u8], wanted: &str) -> Option<String> {
    form_urlencoded::parse(fields).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}

fn now_s(app: &App) -> u64 {
    app.client.now_ms() / 1000
}
