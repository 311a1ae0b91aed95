//! The webservice's four verbs on its resources, in one shop, and what a refusal says of a field.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use reqwest::Method;
use tokio::sync::OnceCell;

use super::super::{
    error::PublishError,
    fault::{Fault, Wrong},
    send::{Body, Calls, Reply, Request},
};
use super::{
    answer::{Complaint, NAME, complaints, content, transient, words},
    compare::is_as_sent,
    settings::{Settings, TIMEOUT},
    xml::Node,
};
use crate::error::ProviderError;

/// Pictures are resized by the shop before it answers.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(120);
/// What no PUT may carry, although a GET shows it.
const READ_ONLY: [&str; 3] = ["quantity", "manufacturer_name", "position_in_category"];
/// Of 400: something is wrong with an association, and the rest is saved.
const SAVED: u16 = 86;
/// It is not there.
const GONE: [u16; 3] = [87, 92, 131];

/// What came of a write that was answered.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was made so.
    Done(Node),
    /// Something went wrong in the shop in the middle of it: whether it was made is seen by looking.
    Perhaps(String),
    /// There is nothing of that id.
    Gone,
}

/// One store's webservice, for the calls of one attempt.
#[derive(Debug)]
pub(super) struct Webservice<'a> {
    pub(super) calls: Calls<'a>,
    pub(super) settings: OnceCell<Settings>,
    /// An older shop, which does not know PATCH.
    without_patch: AtomicBool,
}

impl<'a> Webservice<'a> {
    pub(super) fn new(calls: Calls<'a>) -> Self {
        Self { calls, settings: OnceCell::new(), without_patch: AtomicBool::new(false) }
    }

    /// Sends one call; `shop`: the one shop that it is about.
    async fn send(
        &self,
        method: Method,
        path: String,
        mut query: Vec<(String, String)>,
        body: Body,
        shop: u64,
    ) -> Result<Reply, ProviderError> {
        query.push(("id_shop".to_owned(), shop.to_string()));
        let timeout = if matches!(body, Body::File { .. }) { PICTURE_TIMEOUT } else { TIMEOUT };
        let is_write = method != Method::GET;
        self.calls.send(&Request { method, path, query, body, timeout, is_write }).await
    }

    /// The settings, which are read once.
    pub(super) async fn settings(&self) -> Result<&Settings, ProviderError> {
        self.settings.get_or_try_init(|| super::settings::read(&self.calls)).await
    }

    async fn in_shop(
        &self,
        method: Method,
        path: String,
        query: Vec<(String, String)>,
        body: Body,
    ) -> Result<Reply, ProviderError> {
        let shop = self.settings().await?.shop;
        self.send(method, path, query, body, shop).await
    }

    /// One row; `None`: there is none.
    pub(super) async fn row(&self, resource: &str, id: u64) -> Result<Option<Node>, ProviderError> {
        let reply = self.in_shop(Method::GET, format!("/{resource}/{id}"), Vec::new(), Body::None).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        let row = content(&reply, &format!("GET /{resource}/{id}"))?;
        // Whoever answers with another row, answers something else.
        (row.id() == id)
            .then_some(Some(row))
            .ok_or_else(|| strange(&format!("{resource} {id} was asked for, and another one answered")))
    }

    /// All rows that have these values; `display`: `full`, or `[id,name]`.
    pub(super) async fn rows(
        &self,
        resource: &str,
        filters: &[(&str, String)],
        display: &str,
    ) -> Result<Vec<Node>, ProviderError> {
        let filters = filters.iter().map(|(name, value)| (format!("filter[{name}]"), format!("[{value}]")));
        let query = filters.chain([("display".to_owned(), display.to_owned())]).collect();
        let reply = self.in_shop(Method::GET, format!("/{resource}"), query, Body::None).await?;
        Ok(content(&reply, &format!("GET /{resource}"))?.children)
    }

    /// Makes a row. `field`: what a refusal is about, if it names none of ours.
    pub(super) async fn add(&self, resource: &str, row: &Node, field: &str) -> Result<Outcome, PublishError> {
        let body = Body::Text("text/xml; charset=utf-8", row.document());
        let reply = self.in_shop(Method::POST, format!("/{resource}"), Vec::new(), body).await?;
        outcome(&reply, field, &format!("POST /{resource}"))
    }

    /// Changes the row of this id: what `row` does not carry stays. The id is put in here, once for path and body: the shop goes by the
    /// body's, whatever the path says.
    pub(super) async fn change(&self, resource: &str, id: u64, row: &Node, field: &str) -> Result<(), PublishError> {
        let what = format!("PATCH /{resource}/{id}");
        let mut sent = row.clone();
        sent.children.insert(0, Node::value("id", id));
        let reply = if self.without_patch.load(Ordering::Relaxed) {
            self.put(resource, id, &sent).await?
        } else {
            let body = Body::Text("text/xml; charset=utf-8", sent.document());
            let reply = self.in_shop(Method::PATCH, format!("/{resource}/{id}"), Vec::new(), body).await?;
            if reply.status == 405 {
                self.without_patch.store(true, Ordering::Relaxed);
                self.put(resource, id, &sent).await?
            } else {
                reply
            }
        };
        match outcome(&reply, field, &what)? {
            Outcome::Done(_) => Ok(()),
            Outcome::Gone => Err(transient(format!("{what}: it went away meanwhile")).into()),
            Outcome::Perhaps(said) => match self.row(resource, id).await? {
                Some(is) if is_as_sent(&sent, &is) => Ok(()),
                _ => Err(unknown(said).into()),
            },
        }
    }

    /// A PUT empties what it does not carry, so it carries all that is there, but for what it must not.
    async fn put(&self, resource: &str, id: u64, sent: &Node) -> Result<Reply, PublishError> {
        let Some(mut whole) = self.row(resource, id).await? else {
            return Err(transient(format!("PUT /{resource}/{id}: it went away meanwhile")).into());
        };
        let is_stock = resource == "stock_availables";
        whole.children.retain(|child| {
            let is_read_only = !is_stock && READ_ONLY.contains(&child.name.as_str());
            !is_read_only && child.name != "associations" && sent.child(&child.name).is_none()
        });
        whole.children.extend(sent.children.iter().cloned());
        let body = Body::Text("text/xml; charset=utf-8", whole.document());
        Ok(self.in_shop(Method::PUT, format!("/{resource}/{id}"), Vec::new(), body).await?)
    }

    /// Deletes a row; one that is gone is no error.
    pub(super) async fn remove(&self, path: &str, field: &str) -> Result<(), PublishError> {
        let reply = self.in_shop(Method::DELETE, format!("/{path}"), Vec::new(), Body::None).await?;
        match outcome(&reply, field, &format!("DELETE /{path}"))? {
            Outcome::Done(_) | Outcome::Gone => Ok(()),
            Outcome::Perhaps(said) => Err(unknown(said).into()),
        }
    }

    /// Sends a picture of a product.
    pub(super) async fn add_picture(
        &self,
        product: u64,
        name: &str,
        bytes: bytes::Bytes,
    ) -> Result<Outcome, PublishError> {
        let body = Body::File { part: "image", name: name.to_owned(), bytes };
        let path = format!("/images/products/{product}");
        let reply = self.in_shop(Method::POST, path.clone(), Vec::new(), body).await?;
        outcome(&reply, "images", &format!("POST {path}"))
    }

    /// The ids of a product's pictures, in their order. None at all is told as 404.
    pub(super) async fn pictures(&self, product: u64) -> Result<Vec<u64>, ProviderError> {
        let path = format!("/images/products/{product}");
        let reply = self.in_shop(Method::GET, path.clone(), Vec::new(), Body::None).await?;
        if reply.status == 404 {
            return Ok(Vec::new());
        }
        // Sizes may stand beside it.
        let root = Node::parse(&reply.body).map_err(|error| transient(format!("GET {path}: {error}")))?;
        let list = root.child("image").map(|list| list.children.as_slice()).unwrap_or_default();
        Ok(list.iter().filter_map(|row| row.attribute("id")?.parse().ok()).collect())
    }

    /// Whether the shop has the file of a picture, and not only its row.
    pub(super) async fn has_file(&self, product: u64, picture: u64) -> Result<bool, ProviderError> {
        let path = format!("/images/products/{product}/{picture}");
        match self.in_shop(Method::GET, path, Vec::new(), Body::None).await {
            Ok(reply) => Ok(reply.status == 200 && !reply.body.is_empty()),
            // A missing file is answered with 500.
            Err(ProviderError::Transient { retry_after: None, message, .. }) if message.contains("(code ") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn unknown(message: String) -> ProviderError {
    ProviderError::UnknownOutcome { service: NAME, message }
}

fn strange(message: &str) -> ProviderError {
    transient(message.to_owned())
}

/// What an answer to a write says.
fn outcome(reply: &Reply, field: &str, what: &str) -> Result<Outcome, PublishError> {
    let said = complaints(&reply.body);
    let has = |codes: &[u16]| said.iter().any(|complaint| codes.contains(&complaint.code));
    match reply.status {
        200..=299 => {
            let root = Node::parse(&reply.body).unwrap_or_default();
            Ok(Outcome::Done(root.children.into_iter().next().unwrap_or_default()))
        }
        404 if reply.body.is_empty() || has(&GONE) => Ok(Outcome::Gone),
        400 if !said.is_empty() && said.iter().all(|complaint| complaint.code == SAVED) => {
            Ok(Outcome::Perhaps(format!("{what}: {}", words(&said))))
        }
        405 => {
            let message = format!("the key has no right to {what}: {}", words(&said));
            Err(ProviderError::Misconfigured { service: NAME, message }.into())
        }
        400 if !said.is_empty() => {
            let mut faults: Vec<Fault> = Vec::new();
            for complaint in &said {
                let fault = fault(complaint, field);
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
            Err(PublishError::Refused(faults))
        }
        500 => Ok(Outcome::Perhaps(format!("{what}: {}", words(&said)))),
        status => {
            let message = format!("{what} was answered with {status}: {}", words(&said));
            Err(ProviderError::Rejected { service: NAME, message }.into())
        }
    }
}

/// What a refusal says, of our field if it names one of the shop's.
fn fault(complaint: &Complaint, field: &str) -> Fault {
    let message = &complaint.message;
    let named = message
        .split_once("Product->")
        .or_else(|| message.split_once("parameter \""))
        .map(|(_, rest)| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default());
    let ours = match named.unwrap_or_default() {
        "name" => "title",
        "description" => "description_html",
        "description_short" => "short_description_html",
        "meta_title" => "seo.title",
        "meta_description" => "seo.description",
        "link_rewrite" => "seo.slug",
        "price" => "price",
        "ean13" | "upc" => "gtin",
        "weight" => "weight_g",
        "reference" => "sku",
        "id_manufacturer" => "brand",
        _ => field,
    };
    // Only of the product itself do the shop's names say something.
    let ours = if matches!(field, "variants" | "images" | "stock" | "sale_price") { field } else { ours };
    Fault::new(ours, Wrong::Said { message: format!("{message} (code {})", complaint.code) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, errors: &[(u16, &str)]) -> Reply {
        let error = |(code, message): &(u16, &str)| {
            Node::new("error").with(Node::value("code", code)).with(Node::value("message", message))
        };
        let body = Node::new("errors").with_all(errors.iter().map(error)).document();
        Reply { status, headers: reqwest::header::HeaderMap::new(), body: body.into_bytes().into() }
    }

    #[test]
    fn a_refusal_is_of_the_field_that_it_names() {
        // P31, P8.
        let said = reply(
            400,
            &[(84, "Validation error: \"Property Product->name is not valid\""), (41, "parameter \"price\" required")],
        );
        let Err(PublishError::Refused(faults)) = outcome(&said, "product", "POST /products") else { panic!() };
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["title", "price"]);
    }

    #[test]
    fn a_refused_association_may_have_been_saved_and_a_php_warning_too() {
        // P55b, P28c.
        assert!(matches!(outcome(&reply(400, &[(86, "unknown")]), "x", "x").unwrap(), Outcome::Perhaps(_)));
        assert!(matches!(outcome(&reply(500, &[(11, "[PHP]")]), "x", "x").unwrap(), Outcome::Perhaps(_)));
        assert!(matches!(outcome(&reply(404, &[(92, "gone")]), "x", "x").unwrap(), Outcome::Gone));
        assert!(matches!(
            outcome(&reply(400, &[(86, "unknown"), (85, "bad")]), "x", "x"),
            Err(PublishError::Refused(_))
        ));
    }
}
