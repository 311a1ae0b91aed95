//! What the shop is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use axum::body::Bytes;
use serde_json::{Map, Value, json};

/// Where it counts stock; it has another place, which sends nothing that is bought online.
pub(super) const LOCATION: &str = "gid://shopify/Location/2";
pub(super) const PUBLICATION: &str = "gid://shopify/Publication/2";
const MOST_NOTED: usize = 50;

/// What a field answers: its data, or an error of the whole document.
pub(super) type Answer = Result<Value, (&'static str, String)>;

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) most: f64,
    pub(super) has: f64,
    pub(super) restored_per_s: f64,
    pub(super) at: Instant,
}

impl Bucket {
    /// The whole price must be there.
    pub(super) fn take(&mut self, price: f64) -> bool {
        let now = Instant::now();
        let restored = now.duration_since(self.at).as_secs_f64() * self.restored_per_s;
        (self.has, self.at) = ((self.has + restored).min(self.most), now);
        let is_there = self.has >= price;
        if is_there {
            self.has -= price;
        }
        is_there
    }
}

/// The shop. Products and collections are kept as they are shown, by id, with what is not shown besides.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) url: String,
    pub(super) tokens: BTreeSet<String>,
    pub(super) app: Option<(String, String)>,
    pub(super) scopes: Vec<String>,
    pub(super) locales: Vec<String>,
    last_id: u64,
    pub(super) products: BTreeMap<String, Value>,
    pub(super) collections: BTreeMap<String, Value>,
    /// What searches do not find yet.
    pub(super) unindexed: BTreeSet<String>,
    pub(super) is_lagging: bool,
    pub(super) finds_everything: bool,
    pub(super) published: Vec<String>,
    pub(super) created: BTreeMap<String, usize>,
    pub(super) updated: BTreeMap<String, usize>,
    pub(super) n_throttled: usize,
    pub(super) n_too_dear: usize,
    pub(super) bucket: Bucket,
    pub(super) picture_looks: u64,
    pub(super) failing: Vec<String>,
    pub(super) n_files: usize,
    /// The media type of each place for an upload.
    pub(super) staged: BTreeMap<u64, String>,
    pub(super) uploaded: BTreeMap<u64, Bytes>,
    /// What was sent and answered with a key of idempotency.
    pub(super) keys: BTreeMap<String, (Value, Value)>,
    pub(super) n_failing_keys: usize,
    /// So many are sold just before stock is set the next time.
    pub(super) n_sold: i64,
    pub(super) is_late: bool,
    pub(super) late: Vec<Value>,
    pub(super) n_writes: usize,
    pub(super) visible: Vec<Value>,
    pub(super) asked: BTreeMap<String, Vec<Value>>,
}

pub(super) fn gid(kind: &str, id: u64) -> String {
    format!("gid://shopify/{kind}/{id}")
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn user_error(code: &str, field: &[&str], message: &str) -> Value {
    json!({ "code": code, "field": field, "message": message })
}

impl Stock {
    pub(super) fn new(url: String, token: &str) -> Self {
        let scopes = "write_products write_inventory read_locations read_publications write_publications read_locales \
                      write_translations write_files";
        Self {
            url,
            tokens: [token.to_owned()].into(),
            app: None,
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            locales: vec!["en".to_owned()],
            last_id: 10,
            products: BTreeMap::new(),
            collections: BTreeMap::new(),
            unindexed: BTreeSet::new(),
            is_lagging: false,
            finds_everything: false,
            published: Vec::new(),
            created: BTreeMap::new(),
            updated: BTreeMap::new(),
            n_throttled: 0,
            n_too_dear: 0,
            bucket: Bucket { most: 20_000.0, has: 20_000.0, restored_per_s: 100.0, at: Instant::now() },
            picture_looks: 0,
            failing: Vec::new(),
            n_files: 0,
            staged: BTreeMap::new(),
            uploaded: BTreeMap::new(),
            keys: BTreeMap::new(),
            n_failing_keys: 0,
            n_sold: 0,
            is_late: false,
            late: Vec::new(),
            n_writes: 0,
            visible: Vec::new(),
            asked: BTreeMap::new(),
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn note(&mut self, query: &str, variables: &Value) {
        let noted = self.asked.entry(query.to_owned()).or_default();
        if noted.len() == 2 * MOST_NOTED {
            noted.remove(MOST_NOTED);
        }
        noted.push(variables.clone());
    }

    /// Searches find all that is there.
    pub(super) fn index_all(&mut self) {
        self.unindexed.clear();
    }

    /// A new id of a thing that searches will find.
    pub(super) fn new_id(&mut self, kind: &str) -> String {
        let id = gid(kind, self.next_id());
        if self.is_lagging {
            self.unindexed.insert(id.clone());
        }
        id
    }

    pub(super) fn with_handle(&self, handle: &str) -> Option<String> {
        self.products.iter().find(|(_, product)| product["handle"] == handle).map(|(id, _)| id.clone())
    }

    /// A product with what follows from the rest.
    pub(super) fn shown(&self, id: &str) -> Value {
        let Some(mut product) = self.products.get(id).cloned() else { return Value::Null };
        let n_variants = list(&product["variants"]).len();
        let is_simple = n_variants == 1 && product["options"][0]["name"] == "Title";
        product["hasOnlyDefaultVariant"] = json!(is_simple);
        product["variantsCount"] = json!({ "count": n_variants });
        let is_visible = product["status"] == "ACTIVE" && list(&product["publications"]).contains(&json!(PUBLICATION));
        let handle = product["handle"].as_str().unwrap_or_default();
        product["onlineStoreUrl"] =
            if is_visible { json!(format!("{}/products/{handle}", self.url)) } else { Value::Null };
        let collections =
            list(&product["collections"]).iter().filter_map(|id| self.collections.get(id.as_str()?)).cloned();
        product["collections"] = collections.collect();
        product
    }

    /// Notes a state in which customers see a product.
    pub(super) fn look(&mut self) {
        let shown: Vec<Value> = self
            .products
            .keys()
            .map(|id| self.shown(id))
            .filter(|product| product["onlineStoreUrl"].is_string())
            .collect();
        for product in shown {
            if self.visible.last() != Some(&product) {
                self.visible.push(product);
            }
        }
    }

    pub(super) fn level(quantity: i64, now: u64) -> Value {
        json!({ "updatedAt": format!("2026-11-28T00:00:00.{now:06}Z"), "quantities": [{ "name": "available", "quantity": quantity }] })
    }

    /// A variant that nothing was said of.
    pub(super) fn bare_variant(&mut self) -> Value {
        let (id, item) = (gid("ProductVariant", self.next_id()), gid("InventoryItem", self.next_id()));
        let levels: Map<String, Value> = [(LOCATION.to_owned(), Self::level(0, 0))].into_iter().collect();
        json!({ "id": id, "sku": null, "barcode": null, "price": "0.00", "compareAtPrice": null, "selectedOptions": [], "media": [],
            "inventoryItem": { "id": item, "sku": null, "tracked": false, "levels": levels,
                "measurement": { "weight": { "unit": "KILOGRAMS", "value": 0.0 } } } })
    }

    pub(super) fn bare_product(id: &str, title: &str, handle: &str) -> Value {
        json!({ "id": id, "title": title, "handle": handle, "descriptionHtml": "", "vendor": "Stand-in", "status": "ACTIVE", "tags": [],
            "seo": { "title": null, "description": null }, "metafields": [], "options": [], "variants": [], "media": [],
            "collections": [], "publications": [], "translations": {} })
    }

    pub(super) fn plant(&mut self, title: &str, skus: &[&str]) -> String {
        let id = self.new_id("Product");
        let handle = self.free_handle(&title.to_lowercase().replace(' ', "-"));
        let mut product = Self::bare_product(&id, title, &handle);
        let name = if skus.len() == 1 { "Title" } else { "Size" };
        let value = |at: usize| if skus.len() == 1 { "Default Title".to_owned() } else { format!("size {at}") };
        let values: Vec<Value> =
            (0..skus.len()).map(|at| json!({ "id": format!("v{at}"), "name": value(at) })).collect();
        product["options"] =
            json!([{ "id": gid("ProductOption", self.next_id()), "name": name, "optionValues": values }]);
        for (at, sku) in skus.iter().enumerate() {
            let mut variant = self.bare_variant();
            variant["sku"] = json!(sku);
            variant["price"] = json!("7.00");
            variant["selectedOptions"] = json!([{ "name": name, "value": value(at) }]);
            product["variants"].as_array_mut().into_iter().for_each(|variants| variants.push(variant.clone()));
        }
        self.products.insert(id.clone(), product);
        id
    }

    pub(super) fn free_handle(&self, wanted: &str) -> String {
        let suffixed = (1..).map(|n| format!("{wanted}-{n}"));
        std::iter::once(wanted.to_owned())
            .chain(suffixed)
            .find(|handle| self.with_handle(handle).is_none())
            .unwrap_or_default()
    }

    pub(super) fn plant_collection(&mut self, title: &str, handle: &str, is_smart: bool) -> String {
        let id = self.new_id("Collection");
        let conditions =
            if is_smart { json!([{ "__typename": "CollectionSourceInclusionCondition" }]) } else { json!([]) };
        let source = json!({ "__typename": "CollectionConditionsSource", "inclusion": { "conditions": conditions } });
        let collection = json!({ "id": id, "title": title, "handle": handle, "sources": [source], "metafields": [], "publications": [] });
        self.collections.insert(id.clone(), collection);
        id
    }
}
