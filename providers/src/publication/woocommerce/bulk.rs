//! Many products at once: 100 a call where that is safe, one by one where it is not.
//!
//! What is new and simple is looked up, made as a draft and shown in batches. All else goes the way of one product, which goes on from
//! what the batches did: the engine sees what is there.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde_json::{Map, Value, json};

use super::{
    super::{
        action::{Action, Order, Publication, PublicationStatus},
        api::{Key, Seen, StoreApi},
        engine::{self, carry_out, differing, made, needed, still_coming, told},
        error::PublishError,
        fields::Fields,
        listing::{Desk, Listing, Written},
        patch::{Field, Patch},
        turns::{claim, not_superseded},
    },
    WooCommerce,
    at_once::{Answer, Limits, MOST, checked},
    client::{Client, EDIT, LONG_TIMEOUT, PAGE, not_as_documented},
    find::{Chosen, choose},
    read::{id, text},
    refusals::{refused, unexpected},
    rest::Refusal,
    sign::encoded,
    texts::{decoded, folded, sku},
};
use crate::error::ProviderError;

/// Of a look-up's SKUs, in bytes of the address: web servers take 8 KiB of it.
const MOST_SKUS: usize = 6_000;

/// One order of many, with what is remembered of its product.
pub struct Item<'a> {
    /// What is ordered.
    pub order: Order<'a>,
    /// What is remembered.
    pub desk: Desk<'a>,
}

/// One that goes in batches.
struct Simple {
    /// Its place among all.
    at: usize,
    patch: Patch,
    wanted: Fields,
    body: Value,
}

/// One that was made.
struct Made {
    simple: Simple,
    seen: Seen,
}

/// Carries out all orders; the outcomes are in their order, each its own.
pub(in super::super) async fn bulk(
    api: &WooCommerce<'_>,
    limits: &Limits,
    items: &mut [Item<'_>],
) -> Vec<Result<Publication, PublishError>> {
    let mut outcomes: BTreeMap<usize, Result<Publication, PublishError>> = BTreeMap::new();
    let mut simple = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match prepared(api, at, item).await {
            Ok(Some(one)) => simple.push(one),
            Ok(None) => {}
            Err(error) => {
                outcomes.insert(at, Err(error));
            }
        }
    }
    for chunk in chunks(simple, items) {
        in_batches((api, limits), items, chunk, &mut outcomes).await;
    }
    for (at, item) in items.iter_mut().enumerate() {
        if let Entry::Vacant(left) = outcomes.entry(at) {
            left.insert(carry_out(api, item.order, &mut item.desk).await);
        }
    }
    outcomes.into_values().collect()
}

/// What goes into a batch: a product that was not in the shop, without what takes calls of its own. `None`: it goes its own way.
async fn prepared(api: &WooCommerce<'_>, at: usize, item: &Item<'_>) -> Result<Option<Simple>, PublishError> {
    let Item { order, desk } = item;
    let Listing { external_id, creating, written, .. } = &desk.listing;
    let is_new = external_id.is_none() && creating.is_none() && written.is_empty();
    let is_new = is_new && order.action == Action::Publish && !order.key.sku.contains(',');
    let patch = not_superseded(order, &desk.listing);
    let is_plain = patch.variants.is_kept()
        && patch.options.is_kept()
        && patch.categories.is_kept()
        && patch.brand.is_kept()
        && patch.slug.is_kept()
        && patch.translations.is_empty();
    if !is_new || !is_plain || needed(&patch).is_err() {
        return Ok(None);
    }
    let wanted = api.normal(order.key, &patch).await?;
    let body = Value::Object(api.new_body(order.key, &patch).await?);
    checked(&body)?;
    Ok(Some(Simple { at, patch, wanted, body }))
}

/// By 100, and by the length of their SKUs. Two of one SKU by the shop's rules are not in one batch: the second goes its own way.
fn chunks(simple: Vec<Simple>, items: &[Item<'_>]) -> Vec<Vec<Simple>> {
    let mut chunks: Vec<Vec<Simple>> = Vec::new();
    let mut n_bytes = 0;
    let mut taken = BTreeSet::new();
    for one in simple {
        let name = items[one.at].order.key.sku;
        if !taken.insert(folded(name)) {
            continue;
        }
        let n = encoded(name).len() + 3;
        match chunks.last_mut().filter(|chunk| chunk.len() < MOST && n_bytes + n <= MOST_SKUS) {
            Some(chunk) => {
                n_bytes += n;
                chunk.push(one);
            }
            None => {
                n_bytes = n;
                chunks.push(vec![one]);
            }
        }
    }
    chunks
}

type Outcomes = BTreeMap<usize, Result<Publication, PublishError>>;

/// The shop, and how many items it takes.
type At<'a> = (&'a WooCommerce<'a>, &'a Limits);

async fn in_batches((api, limits): At<'_>, items: &mut [Item<'_>], chunk: Vec<Simple>, outcomes: &mut Outcomes) {
    let names: Vec<&str> = chunk.iter().map(|one| items[one.at].order.key.sku).collect();
    let free = match api.client.free(&names).await {
        Ok(free) => free,
        // Nobody can be asked now: each would be told the same.
        Err(error) => return all_failed(chunk.iter().map(|one| one.at), &error, outcomes),
    };
    let mut new = Vec::new();
    for (one, is_free) in chunk.into_iter().zip(free) {
        if !is_free {
            continue;
        }
        let item = &mut items[one.at];
        match begin(item, &one).await {
            Ok(()) => new.push(one),
            Err(error) => {
                outcomes.insert(one.at, Err(error));
            }
        }
    }
    let made = create((api, limits), items, new, outcomes).await;
    show((api, limits), items, made, outcomes).await;
}

fn all_failed(places: impl Iterator<Item = usize>, error: &ProviderError, outcomes: &mut Outcomes) {
    for at in places {
        outcomes.insert(at, Err(error.clone().into()));
    }
}

/// Notes that the product is being made.
async fn begin(item: &mut Item<'_>, one: &Simple) -> Result<(), PublishError> {
    let Item { order, desk } = item;
    desk.now_ms = order.now_ms;
    engine::begin(created_within_ms(), *order, &one.patch, &one.wanted, desk);
    claim(*order, &one.patch, desk).await
}

fn created_within_ms() -> u64 {
    2 * u64::try_from(LONG_TIMEOUT.as_millis()).unwrap_or(u64::MAX / 4)
}

async fn create((api, limits): At<'_>, items: &mut [Item<'_>], new: Vec<Simple>, outcomes: &mut Outcomes) -> Vec<Made> {
    let bodies: Vec<&Value> = new.iter().map(|one| &one.body).collect();
    let answers = api.client.answers("create", &bodies, limits).await;
    let mut made = Vec::new();
    for (one, answer) in new.into_iter().zip(answers) {
        let Item { order, desk } = &mut items[one.at];
        let failed = match answer {
            Answer::Failed(ProviderError::UnknownOutcome { .. }) => {
                still_coming(*order, order.now_ms + created_within_ms())
            }
            Answer::Failed(error) => {
                desk.listing.creating = None;
                saved(desk, error).await
            }
            Answer::Done(raw) if is_draft_of(&raw, order.key) => {
                let seen = api.client.reader(order.key, &Listing::default()).seen(raw);
                desk.listing.creating = None;
                desk.listing.external_id = Some(seen.external_id.clone());
                desk.listing.made_by_us = true;
                match desk.save().await {
                    Ok(()) => {
                        made.push(Made { simple: one, seen });
                        continue;
                    }
                    Err(error) => error,
                }
            }
            Answer::Refused(refusal) if !is_taken(&refusal) => {
                desk.listing.creating = None;
                match desk.save().await {
                    Ok(()) => refused(&refusal, ""),
                    Err(error) => error,
                }
            }
            // It is something else than what was sent; or it is taken, in the trash, or made in this moment: the single way finds out.
            Answer::Done(_) | Answer::Refused(_) | Answer::Alone => {
                desk.listing.creating = None;
                continue;
            }
        };
        outcomes.insert(one.at, Err(failed));
    }
    made
}

fn is_draft_of(raw: &Value, key: Key<'_>) -> bool {
    id(raw) != "0" && raw["status"] == "draft" && sku(&decoded(text(raw, "sku"))) == sku(key.sku)
}

fn is_taken(refusal: &Refusal) -> bool {
    matches!(refusal.code.as_str(), "product_invalid_sku" | "woocommerce_rest_product_not_created")
}

async fn saved(desk: &Desk<'_>, error: ProviderError) -> PublishError {
    desk.save().await.err().unwrap_or_else(|| error.into())
}

/// Lets customers see those that are complete. Others, as with pictures, go on alone.
async fn show((api, limits): At<'_>, items: &mut [Item<'_>], made: Vec<Made>, outcomes: &mut Outcomes) {
    let mut complete = Vec::new();
    for one in made {
        let Item { desk, .. } = &mut items[one.simple.at];
        let contents: Fields = one
            .simple
            .wanted
            .iter()
            .filter(|(name, _)| *name != "status")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !differing(&one.seen.fields, &contents, api, desk, true).is_empty() {
            continue;
        }
        for (field, sent) in &contents {
            let shown = one.seen.fields.get(field).unwrap_or(&Value::Null);
            desk.listing.written.insert(field.clone(), Written::new(sent, shown));
        }
        desk.listing.missing.clear();
        complete.push(one);
    }
    let (shall, stay): (Vec<Made>, Vec<Made>) =
        complete.into_iter().partition(|one| items[one.simple.at].desk.listing.to_show);
    for one in stay {
        finish(items, one, outcomes).await;
    }
    let updates: Vec<Value> =
        shall.iter().map(|one| json!({ "id": one.seen.raw["id"], "status": "publish" })).collect();
    let answers = api.client.answers("update", &updates.iter().collect::<Vec<_>>(), limits).await;
    for (mut one, answer) in shall.into_iter().zip(answers) {
        let Item { order, desk } = &mut items[one.simple.at];
        let raw = match answer {
            Answer::Done(raw) => raw,
            Answer::Failed(error) => {
                let error = saved(desk, error).await;
                outcomes.insert(one.simple.at, Err(error));
                continue;
            }
            // What is not shown now is shown, or refused, alone.
            Answer::Refused(_) | Answer::Alone => continue,
        };
        if raw["status"] != "publish" || id(&raw) != one.seen.external_id {
            continue;
        }
        one.seen = api.client.reader(order.key, &desk.listing).seen(raw);
        desk.listing.to_show = false;
        finish(items, one, outcomes).await;
    }
}

async fn finish(items: &mut [Item<'_>], one: Made, outcomes: &mut Outcomes) {
    let Made { simple, seen } = one;
    let desk = &items[simple.at].desk;
    let outcome = match desk.save().await {
        Ok(()) => {
            let was = [("status".to_owned(), Value::Null)].into();
            let changes = made(&was, &seen.fields, &simple.wanted, true);
            let status = if seen.visible { PublicationStatus::Published } else { PublicationStatus::Draft };
            Ok(told(status, &seen, changes))
        }
        Err(error) => Err(error),
    };
    outcomes.insert(simple.at, outcome);
}

impl Client<'_> {
    /// Which of these SKUs the shop does not have; one that is not certain is none. What is in the trash comes to light when it is made.
    async fn free(&self, skus: &[&str]) -> Result<Vec<bool>, ProviderError> {
        let wanted: Vec<String> = skus.iter().map(|name| sku(name)).collect();
        let (wanted, per_page) = (wanted.join(","), PAGE.to_string());
        let query = [("sku", wanted.as_str()), ("status", "any"), ("per_page", &per_page), EDIT];
        let rows = match self.get("/products", &query).await? {
            Ok(Value::Array(rows)) => rows,
            Ok(other) => return Err(not_as_documented("/products", &other)),
            Err(refusal) => return Err(unexpected(&refusal)),
        };
        let known: Vec<String> = skus.iter().map(|sku| folded(sku)).collect();
        let strange = rows.iter().any(|row| !known.contains(&folded(&decoded(text(row, "sku")))));
        // A full page may have another behind it, and a strange row says that the filter was dropped.
        if strange || rows.len() >= PAGE {
            return Ok(vec![false; skus.len()]);
        }
        let is_free = |sku: &&str| {
            let alike: Vec<Value> =
                rows.iter().filter(|row| folded(&decoded(text(row, "sku"))) == folded(sku)).cloned().collect();
            matches!(choose(Key { sku, product_id: "" }, &alike), Chosen::Nothing)
        };
        Ok(skus.iter().map(is_free).collect())
    }
}

impl WooCommerce<'_> {
    /// The body by which a product is made.
    pub(super) async fn new_body(&self, key: Key<'_>, patch: &Patch) -> Result<Map<String, Value>, PublishError> {
        let patch = Patch { images: Field::Keep, ..patch.clone() };
        self.body_of_new(key, &patch).await
    }
}
