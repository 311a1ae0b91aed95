//! Whose a field is: what a job notes before it writes, and what it says of variants that a later job lists and has yet to make.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    action::Order,
    api::Seen,
    error::PublishError,
    listing::{Desk, Listing},
    patch::{Field, Patch, Variant},
    turns::{EACH, LISTED, dropped, left_of_variants, listed, name_of, nothing_of, said_of, sku_of},
};
use crate::content::Price;

/// Notes that these fields are this job's, before they are written. `said`: what of the order counts; `seen`: the product, where it is there.
pub(super) async fn claim(
    order: Order<'_>,
    said: &Patch,
    seen: Option<&Seen>,
    desk: &mut Desk<'_>,
) -> Result<(), PublishError> {
    if order.keep_edits {
        // It says nothing new, so what an earlier job says that comes after it counts.
        return Ok(());
    }
    let is_made = desk.listing.creating.is_some();
    let before = desk.listing.clone();
    let left = left_of_variants(&order, &before);
    let dropped = dropped(&order, &before);
    let nothing = serde_json::Map::new();
    let there = seen.and_then(|seen| seen.fields.get("variants")?.as_object()).unwrap_or(&nothing);
    let Listing { by, own_prices, prices, making, waiting, .. } = &mut desk.listing;
    for name in said.names() {
        by.insert(name, order.job.to_owned());
    }
    for (name, price) in [("price", &said.price), ("sale_price", &said.sale_price)] {
        keep_price(prices, name.to_owned(), price);
    }
    if let Some(variants) = said.variants.change() {
        let variants = variants.map(Vec::as_slice).unwrap_or_default();
        let known: BTreeSet<&str> = variants.iter().map(|variant| variant.sku.as_str()).collect();
        let stays = |name: &str| sku_of(name).is_none_or(|sku| known.contains(sku));
        by.retain(|name, _| stays(name));
        own_prices.retain(|name, _| stays(name));
        making.retain(|sku| known.contains(sku.as_str()));
        waiting.retain(|sku, _| known.contains(sku.as_str()));
        for sku in known {
            let is_new = by.insert(name_of(sku, "sku"), order.job.to_owned()).is_none();
            // The newest list until now lacks it.
            if let Some(lacking) = before.by.get(EACH).filter(|_| is_new && before.by.contains_key(LISTED)) {
                by.insert(name_of(sku, "-"), lacking.clone());
            }
            if seen.is_some() && !there.contains_key(sku) {
                making.insert(sku.to_owned());
            }
        }
        for name in [EACH, LISTED] {
            by.insert(name.to_owned(), order.job.to_owned());
        }
    }
    let says_price = !(said.price.is_kept() && said.sale_price.is_kept());
    if seen.is_some() && said.variants.is_kept() && says_price {
        let listed: BTreeSet<&str> = listed(&before).collect();
        // Who makes them gives those that are there the price, too: this job may not be able to while they change.
        let are_there = listed.len() == there.len() && listed.iter().all(|sku| there.contains_key(*sku));
        if !are_there {
            making.extend(listed.into_iter().map(str::to_owned));
        }
    }
    for sku in &dropped {
        by.insert(name_of(sku, "-"), order.job.to_owned());
    }
    for variant in said.variants.set().into_iter().flatten().chain(&left) {
        for field in said_of(variant) {
            by.insert(name_of(&variant.sku, field), order.job.to_owned());
        }
        for (field, price) in [("price", &variant.price), ("sale_price", &variant.sale_price)] {
            keep_price(own_prices, name_of(&variant.sku, field), price);
        }
        let is_listed = by.contains_key(&name_of(&variant.sku, "sku"));
        let is_waited_for = said.variants.is_kept() && is_listed && !there.contains_key(&variant.sku);
        let waits = waiting.remove(&variant.sku).unwrap_or_else(|| nothing_of(&variant.sku));
        let waits = waits.after(variant, is_waited_for && !dropped.contains(&variant.sku));
        if said_of(&waits).next().is_some() {
            waiting.insert(variant.sku.clone(), waits);
        }
    }
    if !said.images.is_kept() {
        // A position among other pictures.
        waiting.values_mut().for_each(|waits| waits.image = Field::Keep);
        waiting.retain(|_, waits| said_of(waits).next().is_some());
    }
    if is_made || desk.listing != before { desk.save().await } else { Ok(()) }
}

/// Variants that are there as they shall be wait for nothing more. Whether there were any.
pub(super) fn settle(patch: &Patch, listing: &mut Listing) -> bool {
    let n_before = listing.making.len() + listing.waiting.len();
    for variant in patch.variants.set().into_iter().flatten() {
        listing.making.remove(&variant.sku);
        listing.waiting.remove(&variant.sku);
    }
    listing.making.len() + listing.waiting.len() < n_before
}

impl Variant {
    /// What waits of it when more is said: that goes before what waited, and waits too where it `is_waited_for`. Prices are kept elsewhere.
    fn after(self, more: &Self, is_waited_for: bool) -> Self {
        fn after<T: Clone>(is_waited_for: bool, more: &Field<T>, before: Field<T>) -> Field<T> {
            match more {
                Field::Keep => before,
                _ if is_waited_for => more.clone(),
                _ => Field::Keep,
            }
        }
        Self {
            stock: after(is_waited_for, &more.stock, self.stock),
            gtin: after(is_waited_for, &more.gtin, self.gtin),
            weight_g: after(is_waited_for, &more.weight_g, self.weight_g),
            image: after(is_waited_for, &more.image, self.image),
            ..self
        }
    }
}

fn keep_price(prices: &mut BTreeMap<String, Price>, name: String, price: &Field<Price>) {
    match price {
        Field::Keep => {}
        Field::Clear => _ = prices.remove(&name),
        Field::Set(price) => _ = prices.insert(name, price.clone()),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{BoxFuture, FutureExt};
    use serde_json::{Value, json};

    use super::*;
    use crate::publication::{
        Action, Key, Notes,
        fault::Fault,
        turns::{not_superseded, priced, with_variants},
    };

    fn seen(variants: &Value) -> Seen {
        let fields = [("variants".to_owned(), variants.clone())].into();
        let (external_id, raw) = ("1".to_owned(), Value::Null);
        Seen { external_id, url: None, visible: false, marked: None, fields, raw }
    }

    fn said(job: &str, patch: &Patch, listing: &Listing, shown: &Value) -> Result<Option<Patch>, Fault> {
        let key = Key { sku: "MUG", product_id: "p" };
        let order = Order { job, key, action: Action::Publish, patch, force: false, keep_edits: false, now_ms: 0 };
        let patch = priced(not_superseded(&order, listing), listing);
        with_variants(&order, &patch, &seen(shown), listing)
    }

    struct Kept;

    impl Notes for Kept {
        fn save<'a>(&'a self, _listing: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>> {
            std::future::ready(Ok(())).boxed()
        }
    }

    /// What is remembered after a job has said which variants there are, and came no further.
    async fn claimed(job: &str, variants: Vec<Variant>, listing: Listing, shown: &Value) -> Listing {
        let patch = Patch { variants: Field::Set(variants), ..Patch::default() };
        let key = Key { sku: "MUG", product_id: "p" };
        let order =
            Order { job, key, action: Action::Publish, patch: &patch, force: false, keep_edits: false, now_ms: 0 };
        let said = not_superseded(&order, &listing);
        let mut desk = Desk::new(listing, &Kept);
        claim(order, &said, Some(&seen(shown)), &mut desk).await.unwrap();
        desk.listing
    }

    fn in_stock(sku: &str, stock: i64) -> Variant {
        Variant { stock: Field::Set(stock), ..nothing_of(sku) }
    }

    #[tokio::test]
    async fn what_an_earlier_job_says_of_a_variant_waits_for_the_later_one_that_makes_it() {
        let nothing = json!({});
        let listing = claimed("3", vec![nothing_of("R"), nothing_of("B")], Listing::default(), &nothing).await;
        let listing = claimed("1", vec![in_stock("R", 4), in_stock("G", 1)], listing, &nothing).await;
        let listing = claimed("2", vec![in_stock("R", 5)], listing, &nothing).await;
        assert_eq!(listing.waiting, [("R".to_owned(), in_stock("R", 5))].into(), "G is not listed");
        let both = Patch { variants: Field::Set(vec![nothing_of("R"), nothing_of("B")]), ..Patch::default() };
        // Also when it was made already, and is being given the rest.
        for shown in [nothing, json!({ "R": {}, "B": {} })] {
            let more = said("3", &both, &listing, &shown).unwrap().unwrap();
            assert_eq!(more.variants, Field::Set(vec![in_stock("R", 5), nothing_of("B")]));
        }
        let mut after = listing.clone();
        assert!(settle(&both, &mut after) && !settle(&both, &mut after));
        assert_eq!((after.waiting.len(), after.making.len()), (0, 0));
        let later = claimed("4", vec![in_stock("R", 6)], listing.clone(), &json!({})).await;
        assert!(later.waiting.is_empty(), "a later job says another");
        let gone = claimed("4", vec![nothing_of("B")], listing, &json!({})).await;
        assert!(gone.waiting.is_empty(), "a later job lists it no more");
    }

    #[tokio::test]
    async fn what_was_said_of_a_variant_ends_with_a_list_that_lacks_it_whenever_that_comes() {
        let (red, only_red) = (|| vec![nothing_of("R"), nothing_of("B")], json!({ "R": {}, "B": {} }));
        let lacking = |job: &'static str, listing: Listing| claimed(job, vec![nothing_of("B")], listing, &only_red);
        let early =
            async |job: &'static str, listing: Listing| claimed(job, vec![in_stock("R", 5)], listing, &only_red).await;
        // 3, 1, 2: it was there, and is emptied.
        let listing = early("1", claimed("3", red(), Listing::default(), &only_red).await).await;
        assert_eq!(listing.by["variants.R.stock"], "1");
        let patch = Patch { variants: Field::Set(vec![nothing_of("B")]), ..Patch::default() };
        let more = said("2", &patch, &listing, &json!({ "R": { "stock": 5 }, "B": {} })).unwrap().unwrap();
        let emptied = Variant { stock: Field::Clear, ..nothing_of("R") };
        assert_eq!(more.variants, Field::Set(vec![nothing_of("B"), emptied]));
        // 3, 2, 1, and 2, 3, 1: it does not count.
        let superseded = lacking("2", claimed("3", red(), Listing::default(), &only_red).await).await;
        let relisted = claimed("3", red(), lacking("2", Listing::default()).await, &only_red).await;
        for listing in [superseded, relisted] {
            assert_eq!(listing.by["variants.R.-"], "2");
            assert!(!early("1", listing).await.by.contains_key("variants.R.stock"));
        }
    }
}
