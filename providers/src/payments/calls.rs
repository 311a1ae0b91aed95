//! The calls that are made to Stripe, each with its types.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    event::Event,
    form::Form,
    gateway::{Gateway, NAME, Refusal, Reply, Request},
    invoice::{Invoice, Preview},
    session::{NewCustomer, NewSession, PortalSession, Session},
    subscription::{Customer, Price, Subscription},
};
use crate::{
    chain::{Policy, Service},
    error::ProviderError,
};

/// Objects that are asked for at once; Stripe gives no more.
const PAGE: u32 = 100;
/// Types of events that may be asked for at once.
pub const MOST_EVENT_KINDS: usize = 20;

/// Calls of one job or request, all with the same policy. Nothing stands in for Stripe, whatever the policy says.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    service: &'a Service<dyn Gateway>,
    policy: Policy<'a>,
}

/// A part of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it; what cannot be read is left out.
    pub items: Vec<T>,
    /// The `after` that asks for the next one; `None`: this is the last.
    pub next: Option<String>,
}

/// When a change of price is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proration {
    /// The difference is put on the next invoice.
    CreateProrations,
    /// The difference is asked for at once.
    AlwaysInvoice,
    /// No difference is asked for.
    None,
}

impl Proration {
    /// Stripe's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateProrations => "create_prorations",
            Self::AlwaysInvoice => "always_invoice",
            Self::None => "none",
        }
    }
}

/// A change of a subscription's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePrice<'a> {
    /// `sub_…`
    pub subscription: &'a str,
    /// `si_…`, the item that has the price.
    pub item: &'a str,
    /// `price_…`, the new one.
    pub price: &'a str,
    /// When it is paid for.
    pub proration: Proration,
    /// As of when it is reckoned: that of a preview, so that what was shown is what is paid.
    pub proration_date: Option<DateTime<Utc>>,
}

/// The bank has said no: nothing was paid, and nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment was declined ({code}): {message}; another payment method is needed")]
pub struct Declined {
    /// Stripe's word for why.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Which events are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct WhichEvents<'a> {
    /// Their types, at most [`MOST_EVENT_KINDS`]; none: all.
    pub kinds: &'a [&'a str],
    /// Not older than this; Stripe has those of 30 days.
    pub since: Option<DateTime<Utc>>,
    /// Only those that some webhook end point did not take.
    pub undelivered: bool,
}

impl<'a> Calls<'a> {
    pub(super) fn new(service: &'a Service<dyn Gateway>, policy: Policy<'a>) -> Self {
        Self { service, policy: Policy { allow_fallback: false, ..policy } }
    }

    /// Makes a customer.
    ///
    /// # Errors
    /// As [`Gateway::send`]; `Rejected` for what Stripe refuses. So it is with all calls.
    pub async fn create_customer(&self, key: &str, new: &NewCustomer<'_>) -> Result<Customer, ProviderError> {
        let form =
            Form::new().with("metadata[tenant]", new.tenant).with_some("email", new.email).with_some("name", new.name);
        self.made(&Request::post("customers", form, key), Customer::read).await
    }

    /// A customer, unless it was deleted.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn customer(&self, id: &str) -> Result<Option<Customer>, ProviderError> {
        match self.object(&Request::get(format!("customers/{}", segment(id)), Form::new())).await? {
            Some(object) if object["deleted"] == true => Ok(None),
            Some(object) => read("customer", &object, Customer::read).map(Some),
            None => Ok(None),
        }
    }

    /// Customers of a tenant, by `metadata[tenant]`. Stripe's search is up to a minute behind: a customer that was just made may be
    /// missing, so it is for looking up what is lost, and the idempotency key is what keeps a second one away.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn customers_of(&self, tenant: &str) -> Result<Vec<Customer>, ProviderError> {
        let quoted = tenant.replace('\\', "\\\\").replace('\'', "\\'");
        let form = Form::new().with("query", format!("metadata['tenant']:'{quoted}'").as_str()).with("limit", PAGE);
        let page = self.page(&Request::get("customers/search", form), Customer::read).await?;
        // It is not exact: case does not count.
        Ok(page.items.into_iter().filter(|customer| customer.tenant.as_deref() == Some(tenant)).collect())
    }

    /// Customers in general, or those with exactly this address; not behind, unlike [`Self::customers_of`].
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn customers(&self, email: Option<&str>, after: Option<&str>) -> Result<Page<Customer>, ProviderError> {
        self.page(&Request::get("customers", paged(after).with_some("email", email)), Customer::read).await
    }

    /// Opens a page where a customer subscribes.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn create_session(&self, key: &str, new: &NewSession<'_>) -> Result<Session, ProviderError> {
        let mut form = Form::new()
            .with("mode", "subscription")
            .with("customer", new.customer)
            .with("client_reference_id", new.tenant)
            .with("line_items[0][price]", new.price)
            .with("line_items[0][quantity]", 1)
            .with("success_url", new.success_url)
            .with("cancel_url", new.cancel_url)
            .with("metadata[tenant]", new.tenant)
            .with_pairs("metadata", new.metadata.iter().map(|(key, value)| (*key, *value)))
            .with("subscription_data[metadata][tenant]", new.tenant)
            .with_some("locale", new.locale)
            .with_some("expires_at", new.expires_at.map(|at| at.timestamp()));
        if let Some(trial) = new.trial {
            form = form.with("subscription_data[trial_period_days]", trial.days);
            if let Some(without_card) = trial.without_card {
                form = form.with("payment_method_collection", "if_required").with(
                    "subscription_data[trial_settings][end_behavior][missing_payment_method]",
                    without_card.as_str(),
                );
            }
        }
        self.made(&Request::post("checkout/sessions", form, key), Session::read).await
    }

    /// A checkout session.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn session(&self, id: &str) -> Result<Option<Session>, ProviderError> {
        self.found(format!("checkout/sessions/{}", segment(id)), "checkout session", Session::read).await
    }

    /// Closes an open session; `None`: it was not open.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn expire_session(&self, key: &str, id: &str) -> Result<Option<Session>, ProviderError> {
        let request = Request::post(format!("checkout/sessions/{}/expire", segment(id)), Form::new(), key);
        match self.reply(&request).await? {
            Reply::Done(object) => read("checkout session", &object, Session::read).map(Some),
            Reply::Refused(refusal) if refusal.is_missing() || refusal.param.is_none() && refusal.status == 400 => {
                Ok(None)
            }
            Reply::Refused(refusal) => Err(refusal.rejected(&request)),
        }
    }

    /// The sessions of a customer in any state, newest first.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn sessions(&self, customer: &str) -> Result<Vec<Session>, ProviderError> {
        let form = paged(None).with("customer", customer);
        Ok(self.page(&Request::get("checkout/sessions", form), Session::read).await?.items)
    }

    /// Opens a page where a customer manages its subscription and its payment methods.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn create_portal_session(
        &self,
        key: &str,
        customer: &str,
        return_url: &str,
        locale: Option<&str>,
    ) -> Result<PortalSession, ProviderError> {
        let form = Form::new().with("customer", customer).with("return_url", return_url).with_some("locale", locale);
        self.made(&Request::post("billing_portal/sessions", form, key), PortalSession::read).await
    }

    /// A subscription, also one that has ended.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn subscription(&self, id: &str) -> Result<Option<Subscription>, ProviderError> {
        self.found(format!("subscriptions/{}", segment(id)), "subscription", Subscription::read).await
    }

    /// All subscriptions in any state, of one customer or of all.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn subscriptions(
        &self,
        customer: Option<&str>,
        after: Option<&str>,
    ) -> Result<Page<Subscription>, ProviderError> {
        let form = paged(after).with("status", "all").with_some("customer", customer);
        self.page(&Request::get("subscriptions", form), Subscription::read).await
    }

    /// Changes the price of a subscription; [`Declined`] when the difference is to be paid at once and was not.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn change_price(
        &self,
        key: &str,
        change: &ChangePrice<'_>,
    ) -> Result<Result<Subscription, Declined>, ProviderError> {
        let mut form = Form::new()
            .with("items[0][id]", change.item)
            .with("items[0][price]", change.price)
            .with("proration_behavior", change.proration.as_str())
            .with_some("proration_date", change.proration_date.map(|at| at.timestamp()));
        if change.proration == Proration::AlwaysInvoice {
            // Otherwise the plan changes though nobody has paid.
            form = form.with("payment_behavior", "error_if_incomplete");
        }
        let request = Request::post(of_subscription(change.subscription), form, key);
        match self.reply(&request).await? {
            Reply::Done(object) => read("subscription", &object, Subscription::read).map(Ok),
            Reply::Refused(Refusal { status: 402, code, decline_code, message, .. }) => {
                Ok(Err(Declined { code: decline_code.or(code).unwrap_or_default(), message }))
            }
            Reply::Refused(refusal) => Err(refusal.rejected(&request)),
        }
    }

    /// Has a subscription end with its period; `why` is shown in the dashboard.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn cancel_at_period_end(
        &self,
        key: &str,
        subscription: &str,
        why: Option<&str>,
    ) -> Result<Subscription, ProviderError> {
        self.update(key, subscription, because(why).with("cancel_at_period_end", true)).await
    }

    /// Takes that back, while the period lasts.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn resume(&self, key: &str, subscription: &str) -> Result<Subscription, ProviderError> {
        self.update(key, subscription, Form::new().with("cancel_at_period_end", false)).await
    }

    /// Takes back that it ends at a date, which Stripe keeps beside the end with a period.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn keep_beyond_date(&self, key: &str, subscription: &str) -> Result<Subscription, ProviderError> {
        self.update(key, subscription, Form::new().with("cancel_at", "")).await
    }

    /// Lets a paused subscription go on, with a new period that begins now; it stays paused while that is not paid.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn resume_paused(&self, key: &str, subscription: &str) -> Result<Subscription, ProviderError> {
        let request = Request::post(format!("{}/resume", of_subscription(subscription)), Form::new(), key);
        self.made(&request, Subscription::read).await
    }

    /// Ends a subscription now; nothing is given back. `None`: it had ended, or never was.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn cancel_now(
        &self,
        subscription: &str,
        why: Option<&str>,
    ) -> Result<Option<Subscription>, ProviderError> {
        let request = Request { params: because(why), ..Request::delete(of_subscription(subscription)) };
        self.object(&request).await?.map(|object| read("subscription", &object, Subscription::read)).transpose()
    }

    /// What [`Self::change_price`] would cost. It changes nothing, so that a key is not needed.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn preview(&self, change: &ChangePrice<'_>) -> Result<Preview, ProviderError> {
        let below = |name: &str| format!("subscription_details{name}");
        let form = Form::new()
            .with("subscription", change.subscription)
            .with(below("[items][0][id]"), change.item)
            .with(below("[items][0][price]"), change.price)
            .with(below("[proration_behavior]"), change.proration.as_str())
            .with_some(&below("[proration_date]"), change.proration_date.map(|at| at.timestamp()));
        let request = Request::reckon("invoices/create_preview", form);
        self.made(&request, Preview::read).await
    }

    /// An invoice.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn invoice(&self, id: &str) -> Result<Option<Invoice>, ProviderError> {
        self.found(format!("invoices/{}", segment(id)), "invoice", Invoice::read).await
    }

    /// The invoices of a customer.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn invoices(&self, customer: &str, after: Option<&str>) -> Result<Page<Invoice>, ProviderError> {
        self.page(&Request::get("invoices", paged(after).with("customer", customer)), Invoice::read).await
    }

    /// A price with its product's name. Nothing is kept of it here.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn price(&self, id: &str) -> Result<Option<Price>, ProviderError> {
        let form = Form::new().with_list("expand", &["product"]);
        let object = self.object(&Request::get(format!("prices/{}", segment(id)), form)).await?;
        object.map(|object| read("price", &object, Price::read)).transpose()
    }

    /// Events, newest first.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn events(&self, which: WhichEvents<'_>, after: Option<&str>) -> Result<Page<Event>, ProviderError> {
        let mut form = paged(after).with_some("created[gte]", which.since.map(|since| since.timestamp()));
        if !which.kinds.is_empty() {
            form = form.with_list("types", which.kinds);
        }
        if which.undelivered {
            form = form.with("delivery_success", false);
        }
        self.page(&Request::get("events", form), Event::read).await
    }

    /// An event of the last 30 days.
    ///
    /// # Errors
    /// As [`Self::create_customer`].
    pub async fn event(&self, id: &str) -> Result<Option<Event>, ProviderError> {
        self.found(format!("events/{}", segment(id)), "event", Event::read).await
    }

    async fn update(&self, key: &str, subscription: &str, form: Form) -> Result<Subscription, ProviderError> {
        let request = Request::post(of_subscription(subscription), form, key);
        self.made(&request, Subscription::read).await
    }

    async fn reply(&self, request: &Request) -> Result<Reply, ProviderError> {
        Ok(self.service.call(self.policy, request).await?.value)
    }

    /// The object, unless what the path names is not there.
    async fn object(&self, request: &Request) -> Result<Option<Value>, ProviderError> {
        match self.reply(request).await? {
            Reply::Done(object) => Ok(Some(object)),
            Reply::Refused(refusal) if refusal.is_missing() => Ok(None),
            Reply::Refused(refusal) => Err(refusal.rejected(request)),
        }
    }

    async fn found<T>(
        &self,
        path: String,
        what: &str,
        reader: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ProviderError> {
        let object = self.object(&Request::get(path, Form::new())).await?;
        object.map(|object| read(what, &object, reader)).transpose()
    }

    async fn made<T>(&self, request: &Request, reader: impl Fn(&Value) -> Option<T>) -> Result<T, ProviderError> {
        match self.reply(request).await? {
            Reply::Done(object) => read(&request.words(), &object, reader),
            Reply::Refused(refusal) => Err(refusal.rejected(request)),
        }
    }

    async fn page<T>(&self, request: &Request, reader: impl Fn(&Value) -> Option<T>) -> Result<Page<T>, ProviderError> {
        let reply = self.made(request, |object| object["data"].is_array().then(|| object.clone())).await?;
        let objects = reply["data"].as_array().map_or(&[][..], Vec::as_slice);
        let last = objects.last().and_then(|object| object["id"].as_str());
        let next = last.filter(|_| reply["has_more"] == true).map(str::to_owned);
        let read = |object: &Value| {
            let read = reader(object);
            if read.is_none() {
                tracing::warn!(id = object["id"].as_str(), of = request.words(), "an object of Stripe cannot be read");
            }
            read
        };
        Ok(Page { items: objects.iter().filter_map(read).collect(), next })
    }
}

fn paged(after: Option<&str>) -> Form {
    Form::new().with("limit", PAGE).with_some("starting_after", after)
}

/// Why somebody cancels, if it is known.
fn because(why: Option<&str>) -> Form {
    Form::new().with_some("cancellation_details[comment]", why)
}

fn of_subscription(id: &str) -> String {
    format!("subscriptions/{}", segment(id))
}

/// An id as a part of a path: those of Stripe are words, and another one must lead nowhere else.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

fn read<T>(what: &str, object: &Value, reader: impl Fn(&Value) -> Option<T>) -> Result<T, ProviderError> {
    reader(object).ok_or_else(|| {
        let kind = object["object"].as_str().unwrap_or("something else");
        let message = format!("{what}: the answer cannot be read: it is {kind:?}");
        ProviderError::Transient { service: NAME, message, retry_after: None }
    })
}

#[cfg(test)]
mod tests;
