//! Finds a product. By the id that is remembered; by the handles at which we make one, which is seen at once; by SKU in the shop's index,
//! which is behind, and takes other cases for the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        api::{Found, Key, Seen},
        fault::{Fault, Wrong},
        listing::Listing,
    },
    client::Client,
    names, queries, read,
};
use crate::error::ProviderError;

/// So many pages of 50 are looked through for one SKU. A shop that has more of them does not look for what it was asked.
const MOST_PAGES: usize = 10;
const EVERYTHING: &str = "the shop's search by SKU finds everything, so nobody knows whether it has this product";
/// So many are looked for at once.
const MOST_SKUS: usize = 20;

/// What is at the place of a SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// The id of the product.
    Product(String),
    Taken(Fault),
}

pub(super) async fn find(
    client: &Client<'_>,
    key: Key<'_>,
    listing: &Listing,
    languages: &[String],
) -> Result<Found, ProviderError> {
    if let Some(id) = &listing.external_id
        && let Some(product) = client.product(id, languages).await?
    {
        return Ok(Found::Product(Box::new(seen(client, key, product, listing).await?)));
    }
    match place(client, key).await? {
        Place::Free => Ok(Found::Nothing),
        Place::Taken(fault) => Ok(Found::Foreign(fault)),
        Place::Product(id) => match client.product(&id, languages).await? {
            Some(product) => Ok(Found::Product(Box::new(seen(client, key, product, listing).await?))),
            // Deleted a moment ago: the index does not know it yet.
            None => Ok(Found::Nothing),
        },
    }
}

/// The product of ours at one of the handles at which it is made, or what has the SKU.
pub(super) async fn place(client: &Client<'_>, key: Key<'_>) -> Result<Place, ProviderError> {
    let [first, second] = names::handles(key);
    let mark = names::mark(key);
    let mut variants = Vec::new();
    let mut after = Value::Null;
    for page in 0.. {
        let data = client
            .ask(
                &queries::FIND,
                json!({ "first": { "handle": first }, "second": { "handle": second },
                    "sku": format!("sku:{}", names::quoted(key.sku)), "after": after }),
            )
            .await?;
        let ours =
            [&data["first"], &data["second"]].into_iter().find(|product| product["mark"]["value"] == mark.as_str());
        if let Some(ours) = ours {
            return Ok(Place::Product(read::id(ours).to_owned()));
        }
        variants.extend(read::nodes(&data["productVariants"]).cloned());
        let info = &data["productVariants"]["pageInfo"];
        if info["hasNextPage"] != true {
            break;
        }
        if page + 1 == MOST_PAGES {
            return Ok(Place::Taken(Fault::new("sku", Wrong::Said { message: EVERYTHING.to_owned() })));
        }
        after = info["endCursor"].clone();
    }
    Ok(among(key, &mark, &variants))
}

/// Which product has the SKU, of all that the shop's search found. It finds more than it is asked for.
fn among(key: Key<'_>, mark: &str, variants: &[Value]) -> Place {
    let of_sku = |is_meant: &dyn Fn(&str) -> bool| {
        let variants = variants.iter().filter(|variant| variant["sku"].as_str().is_some_and(is_meant));
        variants.map(|variant| (read::id(&variant["product"]), &variant["product"])).collect::<BTreeMap<_, _>>()
    };
    let exact = of_sku(&|sku| sku == key.sku);
    let taken = |by: String| Place::Taken(Fault::new("sku", Wrong::Taken { by }));
    match exact.values().collect::<Vec<_>>().as_slice() {
        [] => {
            of_sku(&|sku| names::is_near(sku, key.sku)).values().next().map_or(Place::Free, |near| taken(named(near)))
        }
        [product] if product["mark"]["value"] == mark || product["variantsCount"]["count"] == 1 => {
            Place::Product(read::id(product).to_owned())
        }
        [product] => taken(format!("{}, of which it is a variant", named(product))),
        products => {
            let ids = products.iter().map(|product| read::id(product).to_owned()).collect();
            Place::Taken(Fault::new("sku", Wrong::Several { ids }))
        }
    }
}

/// What is wrong with SKUs that a product's variants are about to get: other products have them.
pub(super) async fn others(client: &Client<'_>, id: &str, skus: &[&str]) -> Result<Vec<Fault>, ProviderError> {
    let mut faults = Vec::new();
    for skus in skus.chunks(MOST_SKUS) {
        let query: Vec<String> = skus.iter().map(|sku| format!("sku:{}", names::quoted(sku))).collect();
        let (query, mut after) = (query.join(" OR "), Value::Null);
        for page in 1.. {
            let data = client.ask(&queries::SKUS, json!({ "skus": query, "after": after })).await?;
            let found = &data["productVariants"];
            for variant in read::nodes(found).filter(|variant| read::id(&variant["product"]) != id) {
                let has = variant["sku"].as_str().unwrap_or_default();
                let taken = skus.iter().filter(|sku| has == **sku || names::is_near(has, sku));
                faults.extend(
                    taken.map(|sku| {
                        Fault::new(format!("variants.{sku}"), Wrong::Taken { by: named(&variant["product"]) })
                    }),
                );
            }
            if found["pageInfo"]["hasNextPage"] != true {
                break;
            }
            if page == MOST_PAGES {
                faults.push(Fault::new("variants", Wrong::Said { message: EVERYTHING.to_owned() }));
                return Ok(faults);
            }
            after = found["pageInfo"]["endCursor"].clone();
        }
    }
    Ok(faults)
}

/// A product for people.
fn named(product: &Value) -> String {
    format!("{:?} ({})", product["title"].as_str().unwrap_or_default(), read::id(product))
}

pub(super) async fn seen(
    client: &Client<'_>,
    key: Key<'_>,
    mut product: Value,
    listing: &Listing,
) -> Result<Seen, ProviderError> {
    let settings = client.settings().await?;
    // Whoever writes to it needs to know for whom.
    product["ours"] = json!({ "sku": key.sku, "product_id": key.product_id });
    Ok(Seen {
        external_id: read::id(&product).to_owned(),
        url: product["onlineStoreUrl"].as_str().map(str::to_owned),
        visible: read::is_visible(&product),
        marked: Some(product["mark"]["value"] == names::mark(key).as_str()),
        fields: read::fields(&product, &settings, listing),
        raw: product,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'static> = Key { sku: "MUG-12", product_id: "p" };

    fn variant(sku: &str, product: &str, n_variants: u32, mark: &str) -> Value {
        json!({ "sku": sku, "product": { "id": product, "title": "Mug", "variantsCount": { "count": n_variants }, "mark": { "value": mark } } })
    }

    fn place_among(variants: &[Value]) -> Place {
        among(KEY, "ours", variants)
    }

    #[test]
    fn only_what_has_exactly_the_sku_alone_is_adopted() {
        assert_eq!(place_among(&[]), Place::Free);
        assert_eq!(place_among(&[variant("MUG-12-RED", "1", 1, ""), variant("MUG", "2", 1, "")]), Place::Free);
        let own = variant("MUG-12", "1", 1, "");
        assert_eq!(place_among(&[variant("MUG-12-RED", "2", 1, ""), own.clone()]), Place::Product("1".to_owned()));
        assert_eq!(place_among(&[variant("mug-12", "2", 1, ""), own]), Place::Product("1".to_owned()));
    }

    #[test]
    fn a_variant_of_anothers_product_and_a_sku_that_is_nearly_the_same_are_foreign() {
        let fault = |variants: &[Value]| match place_among(variants) {
            Place::Taken(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(fault(&[variant("MUG-12", "1", 3, "")]).contains("a variant"));
        assert_eq!(place_among(&[variant("MUG-12", "1", 3, "ours")]), Place::Product("1".to_owned()));
        assert!(fault(&[variant("mug-12", "1", 1, "")]).contains("\"Mug\" (1)"));
        assert!(fault(&[variant("MUG-12", "1", 1, ""), variant("MUG-12", "2", 1, "")]).contains("1, 2"));
    }
}
