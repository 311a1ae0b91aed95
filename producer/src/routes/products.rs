//! Products: what is known of them, and what other shops ask for them.

use api::{
    FieldError, MadeOfProduct, NotWatched, OwnPrice, Product, ProductAtStore, ProductLinks, ProductOffer, Timestamp,
};
use axum::{Json, body::Body, extract::State, http::HeaderMap};
use jobs::{
    Handler, Shape, content::Content, image::Image, market::MOST_OFFERS, publication::Publication, scrape,
    watched::not_watched,
};
use prices::{Asked, Comparison};
use providers::publication::Listing;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::{FoundListing, Moment, OfProduct, Offer};
use url::form_urlencoded;

use crate::{
    addresses,
    answer::{Problem, Type},
    auth::{Caller, Scope},
    request::{self, Parameters, PathPart},
    state::App,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantQuery {
    tenant: Option<String>,
}

/// What is known of a product: its newest texts, pictures and publication, what other shops ask for it, and the unified price.
///
/// Texts, pictures and publications are found whose jobs ended since this release.
#[utoipa::path(
    get, path = "/api/products/{id}", tag = "products",
    params(
        ("id" = String, Path, description = "The shop's own id of the product"),
        ("tenant" = Option<String>, Query, description = "Of this tenant; others than the token's own need `admin`"),
    ),
    responses((status = 200, description = "The product", body = Product<Comparison>))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
    Parameters(query): Parameters<TenantQuery>,
) -> Result<Json<Product<Comparison>>, Problem> {
    caller.require(Scope::JobsRead)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let store = app.open_store()?;
    let newest = async |collection| store.newest_result(collection, &tenant, &id).await;
    let found = futures::try_join!(
        newest(Content::COLLECTION),
        newest(Image::COLLECTION),
        newest(Publication::COLLECTION),
        store.offers_of(&tenant, &id, MOST_OFFERS),
        store.monitors_of(&tenant, &id, MOST_OFFERS),
        store.unified(&tenant, &id),
        store.listings_of(&tenant, &id),
    );
    let (content, mut images, publication, offers, monitors, unified, listings) = found.map_err(Problem::store_away)?;
    let is_known = content.is_some() || images.is_some() || publication.is_some();
    if !is_known && offers.is_empty() && monitors.is_empty() && listings.is_empty() {
        return Err(Problem::new(Type::NotFound, format!("nothing is known of a product {id:?} of this tenant")));
    }
    if let Some(images) = &mut images {
        addresses::sign(&app.services.links, app.client.now_ms() / 1000, &mut images.result);
    }
    let (mut watched, mut unwatched) = (Vec::new(), Vec::new());
    for monitor in monitors {
        match not_watched(&monitor) {
            None => watched.push(monitor.url),
            Some(reason) => unwatched.push(NotWatched { url: monitor.url, reason: reason.to_owned() }),
        }
    }
    let itself = format!("/api/products/{}", form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>());
    let itself = itself.replace('+', "%20");
    Ok(Json(Product {
        links: ProductLinks { prices: format!("{itself}/prices"), itself },
        product_id: id,
        tenant,
        content: content.map(made),
        images: images.map(made),
        publication: publication.map(made),
        stores: listings.iter().filter_map(at_store).collect(),
        offers: offers.into_iter().map(offer).collect(),
        monitors: watched,
        not_watched: unwatched,
        // What another release has kept is compared anew the next night.
        comparison: unified.and_then(|unified| serde_json::from_value(unified.comparison).ok()),
    }))
}

/// What is remembered of a product at a store; `None` for what another release wrote otherwise.
fn at_store(found: &FoundListing) -> Option<ProductAtStore> {
    let listing: Listing = serde_json::from_value(found.listing.clone()).ok()?;
    // As `jobs` makes it: the shop, whose store it is, its name, the SKU.
    let mut parts = found.key.key.splitn(4, '/').map(str::to_owned);
    let (shop, _, store, folded) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sku = listing.made_of["sku"].as_str().map_or(folded, str::to_owned);
    let written = serde_json::to_value(&listing.written).ok()?;
    Some(ProductAtStore {
        store,
        shop,
        sku,
        external_id: listing.external_id,
        url: listing.url,
        published_since: listing.shown_since_ms.map(Timestamp::from_ms),
        at: Timestamp::from_ms(found.at.ms()),
        hash: hex::encode(&Sha256::digest(written.to_string())[..8]),
    })
}

/// Compares what other shops ask for a product, and says where the own price stands among them.
///
/// The last known price of each page counts. What cannot be compared (older than 30 days, gone, not new, in a currency without a rate) is
/// left out with the reason, and so are outliers.
#[utoipa::path(
    post, path = "/api/prices/compare", tag = "products", operation_id = "products_compare",
    params(("tenant" = Option<String>, Query, description = "Of this tenant; others than the token's own need `admin`")),
    request_body = api::CompareRequest,
    responses((status = 200, description = "What the offers say together", body = Comparison))
)]
pub(crate) async fn compare(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Comparison>, Problem> {
    caller.require(Scope::JobsRead)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let read = |asked: &queue::Json| Shape::<api::CompareRequest>::new().read(asked).map_err(Problem::invalid);
    let asked = request::json(&headers, body, read).await?;
    let own = match asked.own {
        None => None,
        Some(OwnPrice { amount, currency }) => {
            let bad = |_| Problem::invalid(vec![FieldError::new("/own/amount", "must be a decimal number")]);
            Some(Asked { amount: amount.parse().map_err(bad)?, currency })
        }
    };
    let store = app.open_store()?;
    let found = futures::try_join!(store.offers_of(&tenant, &asked.product_id, MOST_OFFERS), store.rates(None));
    let (offers, rates) = found.map_err(Problem::store_away)?;
    let now = Timestamp::from_ms(app.client.now_ms()).time();
    Ok(Json(scrape::compare(&offers, own.as_ref(), rates.as_ref(), now)))
}

fn made(result: OfProduct) -> MadeOfProduct {
    let OfProduct { job_id: job, provider, degraded, created_at, result } = result;
    MadeOfProduct { job, provider, degraded, created_at: timestamp(created_at), result }
}

fn offer(offer: Offer) -> ProductOffer {
    ProductOffer {
        url: offer.url,
        selector: offer.selector,
        name: offer.name,
        amount: offer.amount,
        currency: offer.currency,
        availability: offer.availability,
        condition: offer.condition,
        seller: offer.seller,
        since: timestamp(offer.since),
        seen_at: timestamp(offer.seen_at),
        visited_at: timestamp(offer.visited_at),
        gone: offer.gone,
    }
}

fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_ms(moment.ms())
}
