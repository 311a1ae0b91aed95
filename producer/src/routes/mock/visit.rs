//! What the mock's pages show, and what their buttons do.

use std::time::Duration;

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use minijinja::{Value, context, value::Serde};
use providers::{
    Policy, ProviderError,
    content::Language,
    payments::{
        Calls, ChangePrice, Event, Invoice, InvoiceStatus, Mock, PortalSession, Proration, Session, SessionStatus,
        Status, Subscription, simulation::Card,
    },
};
use serde::Serialize;
use serde_json::Value as Json;
use store::Moment;
use uuid::Uuid;

use super::super::{
    page::{self, Page, go_to, message, origin, say, word},
    plans::{Reader, name},
    stripe,
    subscribe::field,
};
use crate::{payments::Desk, state::App};

const TIME: Duration = Duration::from_secs(10);
/// So much later than its end a period has ended.
const BEHIND_S: i64 = 60;

/// Somebody who looks at such a page.
pub(super) struct Visit<'a> {
    desk: &'a Desk,
    reader: Reader,
}

/// Why there is no page.
pub(super) enum NoPage {
    NotThere,
    /// It cannot be done as things are; for people.
    Refused(String),
    Away(ProviderError),
}

impl From<ProviderError> for NoPage {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Rejected { message, .. } => Self::Refused(message),
            error => Self::Away(error),
        }
    }
}

pub(super) type Shown = Result<Response, NoPage>;

/// An invoice in the portal.
#[derive(Debug, Clone, Serialize)]
struct ShownInvoice {
    day: String,
    amount: String,
    status: String,
    address: Option<String>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(desk: &'a Desk, query: Option<&str>, headers: &HeaderMap) -> Self {
        let language = page::language(field(query.unwrap_or_default().as_bytes(), "lang").as_deref(), headers);
        Self { desk, reader: Reader::new(language, None) }
    }

    fn language(&self) -> Language {
        self.reader.language
    }

    fn mock(&self) -> Result<&Mock, NoPage> {
        if self.desk.is_real() { Err(NoPage::NotThere) } else { Ok(self.desk.payments().mock()) }
    }

    fn calls(&self) -> Calls<'_> {
        self.desk.payments().calls(Policy { allow_fallback: false, last_attempt: true, tenant: "", time: TIME })
    }

    /// An object of the mock's of this type.
    async fn object(&self, kind: &str, id: &str) -> Result<Json, NoPage> {
        let object = self.mock()?.object(id).await?;
        object.filter(|object| object["object"] == kind).ok_or(NoPage::NotThere)
    }

    async fn open_session(&self, id: &str) -> Result<(Session, Json), NoPage> {
        let object = self.object("checkout.session", id).await?;
        let session = Session::read(&object).filter(|session| session.status == SessionStatus::Open);
        session.map(|session| (session, object)).ok_or(NoPage::NotThere)
    }

    pub(super) async fn checkout(&self, id: &str, declined: Option<StatusCode>) -> Shown {
        let (session, object) = self.open_session(id).await?;
        // What Stripe keeps to itself until the session is complete.
        let begins =
            self.mock()?.object(&format!("begins_{id}")).await?.map_or(Json::Null, |kept| kept["begins"].clone());
        let price = self.calls().price(begins["price"].as_str().unwrap_or_default()).await?.ok_or(NoPage::NotThere)?;
        let back = [session.success_url, session.cancel_url];
        let forms_to: Vec<String> = back.iter().flatten().filter_map(|address| origin(address)).collect();
        let page = Page {
            template: "mock_checkout.html",
            language: self.language(),
            status: declined.unwrap_or(StatusCode::OK),
            forms_to: &forms_to,
        };
        let trial_days = begins["trial_days"].as_i64();
        Ok(page.answer(context! {
            price => self.reader.price(&price),
            every => self.reader.every(&price),
            product => price.product_name,
            trial_days => trial_days,
            without_card => trial_days.is_some() && object["payment_method_collection"] == "if_required",
            declined => declined.is_some(),
        }))
    }

    /// As at Stripe, a checkout stays open for whoever goes back from it.
    pub(super) async fn complete(&self, app: &App, id: &str, action: &str) -> Shown {
        let (session, _) = self.open_session(id).await?;
        let back = match card(action) {
            None => session.cancel_url,
            Some(card) => match self.mock()?.complete(id, card).await {
                Ok(_) => {
                    deliver(app, self.mock()?, id).await;
                    session.success_url.map(|address| address.replace("{CHECKOUT_SESSION_ID}", id))
                }
                Err(ProviderError::Rejected { .. }) => {
                    return self.checkout(id, Some(StatusCode::PAYMENT_REQUIRED)).await;
                }
                Err(error) => return Err(error.into()),
            },
        };
        let done = || {
            let title = say(self.language(), "C’est fait", "Done");
            message(self.language(), StatusCode::OK, (title, ""), None)
        };
        Ok(back.as_deref().and_then(go_to).unwrap_or_else(done))
    }

    /// The subscription of a portal's customer that has not ended.
    async fn subscription(&self, customer: &str) -> Result<Option<Subscription>, NoPage> {
        let all = self.calls().subscriptions(Some(customer), None).await?.items;
        let has_ended = |one: &Subscription| matches!(one.status, Status::Canceled | Status::IncompleteExpired);
        Ok(all.into_iter().find(|one| !has_ended(one)))
    }

    pub(super) async fn portal(&self, id: &str, failed: Option<&str>) -> Shown {
        let object = self.object("billing_portal.session", id).await?;
        let customer = object["customer"].as_str().unwrap_or_default();
        let subscription = self.subscription(customer).await?;
        let offers = self.desk.offers().await.map_err(|_| NoPage::NotThere)?;
        let now = subscription.as_ref().and_then(|one| one.price.as_deref());
        let product = offers.iter().find(|offer| Some(offer.price.id.as_str()) == now);
        let product = product.map(|offer| offer.price.product_name.clone().unwrap_or_else(|| name(&offer.plan)));
        let others = offers.iter().filter(|offer| Some(offer.price.id.as_str()) != now).map(|offer| {
            let price = format!("{} {}", self.reader.price(&offer.price), self.reader.every(&offer.price));
            context! { plan => offer.plan.clone(), name => name(&offer.plan), price => price }
        });
        let invoices = self.calls().invoices(customer, None).await?.items;
        let status = if failed.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
        let page = Page { template: "mock_portal.html", language: self.language(), status, forms_to: &[] };
        let day = |at: DateTime<Utc>| self.reader.day(moment(at));
        Ok(page.answer(context! {
            back => object["return_url"].as_str(),
            failed => failed,
            subscription => subscription.as_ref().map(|one| context! {
                product => product.or_else(|| one.price.clone()),
                status => one.status.as_str(),
                ends => one.cancel_at_period_end,
                period_end => one.current_period_end.map(day),
            }),
            others => others.collect::<Vec<_>>(),
            invoices => invoices.iter().map(|invoice| Value::from(Serde(self.shown(invoice)))).collect::<Vec<_>>(),
        }))
    }

    fn shown(&self, invoice: &Invoice) -> ShownInvoice {
        ShownInvoice {
            day: self.reader.day(moment(invoice.created)),
            amount: self.reader.money(&invoice.amount_due),
            status: invoice.status.as_str().to_owned(),
            // Our own pages, wherever they are reached.
            address: (invoice.status != InvoiceStatus::Draft).then(|| format!("../invoice/{}", invoice.id)),
        }
    }

    pub(super) async fn manage(&self, app: &App, id: &str, action: &str) -> Shown {
        let object = self.object("billing_portal.session", id).await?;
        let session = PortalSession::read(&object).ok_or(NoPage::NotThere)?;
        let customer = object["customer"].as_str().unwrap_or_default();
        let Some(subscription) = self.subscription(customer).await? else {
            let text = say(self.language(), "il n’y a pas d’abonnement", "there is no subscription");
            return self.portal(id, Some(text)).await;
        };
        let done = self.act(customer, &subscription, action).await;
        // Also of what was done in part.
        deliver(app, self.mock()?, customer).await;
        match done {
            Ok(()) => Ok(self.again(&session.id)),
            Err(NoPage::Refused(why)) => self.portal(id, Some(&why)).await,
            Err(error) => Err(error),
        }
    }

    async fn act(&self, customer: &str, subscription: &Subscription, action: &str) -> Result<(), NoPage> {
        let (mock, calls, key) = (self.mock()?, self.calls(), Uuid::new_v4().to_string());
        let period_end = subscription.current_period_end.map_or(0, |end| end.timestamp() + BEHIND_S);
        match action {
            "cancel" => calls.cancel_at_period_end(&key, &subscription.id, None).await.map(drop)?,
            "resume" => calls.resume(&key, &subscription.id).await.map(drop)?,
            "next" => mock.advance_to(customer, period_end).await?,
            "fail" => {
                mock.set_card(customer, Card::Declining).await?;
                mock.advance_to(customer, period_end).await?;
            }
            "good" => {
                mock.set_card(customer, Card::Good).await?;
                let invoices = calls.invoices(customer, None).await?.items;
                for invoice in invoices.iter().filter(|invoice| invoice.status == InvoiceStatus::Open) {
                    mock.pay(&invoice.id).await?;
                }
            }
            other => {
                let plan = other.strip_prefix("plan:").unwrap_or_default();
                let offers = self.desk.offers().await.map_err(|_| NoPage::NotThere)?;
                let Some(offer) = offers.iter().find(|offer| offer.plan == plan) else { return Ok(()) };
                let change = ChangePrice {
                    subscription: &subscription.id,
                    item: subscription.item.as_deref().unwrap_or_default(),
                    price: &offer.price.id,
                    proration: if subscription.status == Status::Trialing {
                        Proration::None
                    } else {
                        Proration::AlwaysInvoice
                    },
                    proration_date: None,
                };
                calls.change_price(&key, &change).await?.map_err(|declined| NoPage::Refused(declined.to_string()))?;
            }
        }
        Ok(())
    }

    pub(super) async fn invoice(&self, id: &str, declined: bool) -> Shown {
        let invoice = Invoice::read(&self.object("invoice", id).await?).ok_or(NoPage::NotThere)?;
        let status = if declined { StatusCode::PAYMENT_REQUIRED } else { StatusCode::OK };
        let page = Page { template: "mock_invoice.html", language: self.language(), status, forms_to: &[] };
        Ok(page.answer(context! {
            number => invoice.number,
            amount => self.reader.money(&invoice.amount_due),
            status => invoice.status.as_str(),
            open => invoice.status == InvoiceStatus::Open,
            declined => declined,
        }))
    }

    pub(super) async fn pay(&self, app: &App, id: &str, card: Card) -> Shown {
        let invoice = Invoice::read(&self.object("invoice", id).await?).ok_or(NoPage::NotThere)?;
        let mock = self.mock()?;
        if let Some(customer) = &invoice.customer {
            mock.set_card(customer, card).await?;
        }
        let paid = mock.pay(id).await;
        deliver(app, mock, id).await;
        match paid {
            Ok(()) => Ok(self.again(id)),
            Err(ProviderError::Rejected { .. }) => self.invoice(id, true).await,
            Err(error) => Err(error.into()),
        }
    }

    /// To the page as it is now, by its last part.
    fn again(&self, id: &str) -> Response {
        go_to(&format!("{id}?lang={}", word(self.language()))).unwrap_or_else(|| self.refusal(&NoPage::NotThere))
    }

    pub(super) fn refusal(&self, why: &NoPage) -> Response {
        let language = self.language();
        let (status, text) = match why {
            NoPage::NotThere | NoPage::Refused(_) => {
                let title = say(language, "Cette page n’existe pas, ou plus", "This page is not there, or no longer");
                (StatusCode::NOT_FOUND, (title, ""))
            }
            NoPage::Away(error) => {
                tracing::warn!(%error, "a page of the mock cannot be shown");
                let title = say(language, "Indisponible", "Not available");
                let text = say(language, "Réessayez dans quelques minutes.", "Try again in some minutes.");
                (StatusCode::SERVICE_UNAVAILABLE, (title, text))
            }
        };
        message(language, status, text, None)
    }
}

/// Tells of what has happened to a customer by the way that Stripe's events take. What cannot be told now, reconciliation finds.
async fn deliver(app: &App, mock: &Mock, id: &str) {
    if let Err(error) = try_deliver(app, mock, id).await {
        tracing::warn!(error, "events of the mock could not be stored: reconciliation has to find them");
    }
}

async fn try_deliver(app: &App, mock: &Mock, id: &str) -> Result<(), String> {
    let mut taken = Vec::new();
    for event in mock.untaken_events(id).await.map_err(|error| error.to_string())? {
        let Some(event) = Event::read(&event) else { continue };
        taken.push(event.id.clone());
        stripe::keep(app, event).await.map_err(|problem| format!("{problem:?}"))?;
    }
    mock.set_taken(id, &taken).await.map_err(|error| error.to_string())
}

/// What somebody pays with; `None`: they do not.
pub(super) fn card(action: &str) -> Option<Card> {
    match action {
        "good" => Some(Card::Good),
        "declining" => Some(Card::Declining),
        "none" => Some(Card::None),
        _ => None,
    }
}

fn moment(at: DateTime<Utc>) -> Moment {
    Moment::from_ms(u64::try_from(at.timestamp_millis()).unwrap_or(0))
}
