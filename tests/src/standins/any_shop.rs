//! Any of the three shops, for tests that do the same at each: what it holds is told in the words of a job's payload, read from the
//! stand-in's own rows.

use providers::publication::{Fields, Shop};
use serde_json::{Map, Value, json};

use super::{
    fault::{Fault, Faults},
    prestashop::PrestaShop,
    shopify::Shopify,
    woocommerce::WooCommerce,
};

const TOKEN: &str = "shpat_any_shop";
const KEY: &str = "ck_any_shop";
const SECRET: &str = "cs_any_shop";
const PRESTA: &str = "0123456789ABCDEF0123456789ABCDEF";

/// A stand-in of one of the shops. It has English and French, except for WooCommerce, which has one language.
#[derive(Debug)]
pub enum AnyShop {
    /// Of Shopify.
    Shopify(Shopify),
    /// Of WooCommerce.
    Woocommerce(WooCommerce),
    /// Of PrestaShop.
    Prestashop(PrestaShop),
}

impl AnyShop {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(shop: Shop) -> anyhow::Result<Self> {
        Ok(match shop {
            Shop::Shopify => {
                let shop = Shopify::start(0, TOKEN).await?;
                shop.speak(&["en", "fr"]);
                Self::Shopify(shop)
            }
            Shop::Woocommerce => {
                let shop = WooCommerce::plain(0, KEY, SECRET).await?;
                shop.set(|settings| settings.allow_loopback = true);
                Self::Woocommerce(shop)
            }
            Shop::Prestashop => Self::Prestashop(PrestaShop::start(0, PRESTA).await?),
        })
    }

    /// Which it is.
    #[must_use]
    pub fn shop(&self) -> Shop {
        match self {
            Self::Shopify(_) => Shop::Shopify,
            Self::Woocommerce(_) => Shop::Woocommerce,
            Self::Prestashop(_) => Shop::Prestashop,
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Shopify(shop) => shop.url(),
            Self::Woocommerce(shop) => shop.url().to_owned(),
            Self::Prestashop(shop) => shop.url(),
        }
    }

    /// The variables that make it the environment's store.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let own = |name: &str| self.credentials()[name].as_str().unwrap_or_default().to_owned();
        match self {
            Self::Shopify(_) => {
                vec![("SHOPIFY_STORE_URL", self.url()), ("SHOPIFY_ACCESS_TOKEN", own("access_token"))]
            }
            Self::Woocommerce(_) => vec![
                ("WOO_STORE_URL", self.url()),
                ("WOO_CONSUMER_KEY", own("consumer_key")),
                ("WOO_CONSUMER_SECRET", own("consumer_secret")),
            ],
            Self::Prestashop(_) => vec![("PRESTA_STORE_URL", self.url()), ("PRESTA_API_KEY", own("api_key"))],
        }
    }

    /// What opens it, as `PUT /api/stores/{name}` takes it.
    #[must_use]
    pub fn credentials(&self) -> Value {
        match self {
            Self::Shopify(_) => json!({ "access_token": TOKEN }),
            Self::Woocommerce(_) => json!({ "consumer_key": KEY, "consumer_secret": SECRET }),
            Self::Prestashop(_) => json!({ "api_key": PRESTA }),
        }
    }

    /// Takes back the credentials.
    pub fn revoke(&self) {
        match self {
            Self::Shopify(shop) => shop.revoke(),
            Self::Woocommerce(shop) => {
                let body = r#"{"code":"woocommerce_rest_cannot_view","message":"no","data":{"status":401}}"#.to_owned();
                shop.faults().always(Fault::Status { status: 401, headers: [].into(), body });
            }
            Self::Prestashop(shop) => shop.revoke(true),
        }
    }

    /// Gives credentials anew, which are told.
    #[must_use]
    pub fn renew(&self) -> Value {
        match self {
            Self::Shopify(shop) => {
                shop.take_app("any-app", "shpss_any_shop");
                return json!({ "client_id": "any-app", "client_secret": "shpss_any_shop" });
            }
            Self::Woocommerce(shop) => shop.faults().recover(),
            Self::Prestashop(shop) => shop.revoke(false),
        }
        self.credentials()
    }

    /// Fails whole requests, and counts them.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        match self {
            Self::Shopify(shop) => shop.faults(),
            Self::Woocommerce(shop) => shop.faults(),
            Self::Prestashop(shop) => shop.faults(),
        }
    }

    /// How many calls changed something; of WooCommerce: were to change something, of the last 1,000.
    #[must_use]
    pub fn n_writes(&self) -> usize {
        match self {
            Self::Shopify(shop) => shop.n_writes(),
            Self::Woocommerce(shop) => shop.faults().last().iter().filter(|seen| seen.method != "GET").count(),
            Self::Prestashop(shop) => shop.n_writes(),
        }
    }

    /// Somebody gives the product another title in the shop's own pages; at Shopify each that there is.
    pub fn edit_title(&self, sku: &str, title: &str) {
        match self {
            Self::Shopify(shop) => {
                for id in shop.products().iter().filter_map(|product| product["id"].as_str()) {
                    shop.edit(id, |product| product["title"] = json!(title));
                }
            }
            Self::Woocommerce(shop) => {
                for id in shop.products(sku).iter().filter_map(|product| product["id"].as_u64()) {
                    shop.edit(id, &json!({ "name": title }));
                }
            }
            Self::Prestashop(shop) => shop.edit_text(sku, "name", 1, title),
        }
    }

    /// All products that it has.
    #[must_use]
    pub fn products(&self) -> Vec<Fields> {
        match self {
            Self::Shopify(shop) => shop.products().iter().map(of_shopify).collect(),
            Self::Woocommerce(shop) => shop.all().iter().map(of_woocommerce).collect(),
            Self::Prestashop(shop) => {
                let ids = (1..).map(|id| shop.product_of_id(id)).filter(|product| !product.is_null());
                ids.take(shop.n_rows("products")).map(|product| of_prestashop(&product)).collect()
            }
        }
    }

    /// Each state in which customers saw a product, one after the other.
    #[must_use]
    pub fn shown(&self) -> Vec<Fields> {
        match self {
            Self::Shopify(shop) => shop.visible_states().iter().map(of_shopify).collect(),
            Self::Woocommerce(shop) => shop.shown().iter().map(of_woocommerce).collect(),
            Self::Prestashop(shop) => shop.shown().iter().map(of_prestashop).collect(),
        }
    }
}

fn filled(value: &Value) -> Value {
    let is_empty = match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if is_empty { Value::Null } else { value.clone() }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// `12.50` is `12.5`.
fn money(value: &Value) -> Value {
    number(value).map_or(Value::Null, |amount| json!(((amount * 100.0).round() / 100.0).to_string()))
}

fn grams(kilograms: &Value) -> Value {
    let grams = number(kilograms).unwrap_or_default() * 1_000.0;
    if grams > 0.0 { json!(grams.round() as u64) } else { Value::Null }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn sorted(names: impl Iterator<Item = Value>) -> Value {
    let mut names: Vec<String> = names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect();
    names.sort_unstable();
    filled(&json!(names))
}

fn named(values: &Value, field: &str) -> Value {
    sorted(list(values).iter().map(|value| value[field].clone()))
}

/// `…/front.jpg` is `front`.
fn key(address: &Value) -> Value {
    let file = address.as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    json!(file.trim_end_matches(".jpg"))
}

fn status(is_visible: bool) -> Value {
    json!(if is_visible { "active" } else { "draft" })
}

fn fields(fields: &Value) -> Fields {
    fields.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn of_woocommerce(row: &Value) -> Fields {
    let stock = |row: &Value| if row["manage_stock"] == true { row["stock_quantity"].clone() } else { Value::Null };
    let variants = list(&row["variations"]).iter().map(|row| {
        let (price, sale) = (money(&row["regular_price"]), money(&row["sale_price"]));
        let variant = json!({ "price": price, "sale_price": sale, "stock": stock(row) });
        (row["sku"].as_str().unwrap_or_default().to_owned(), variant)
    });
    // Which all products are in that are in no other.
    let categories = list(&row["categories"]).iter().map(|category| category["name"].clone());
    let categories = categories.filter(|name| name != "Uncategorized");
    fields(&json!({
        "title": row["name"], "description_html": filled(&row["description"]),
        "price": money(&row["regular_price"]), "sale_price": money(&row["sale_price"]), "stock": stock(row),
        "images": filled(&list(&row["images"]).iter().map(|image| key(&image["src"])).collect()),
        "categories": sorted(categories), "tags": named(&row["tags"], "name"),
        "brand": filled(&row["brands"][0]["name"]), "weight_g": grams(&row["weight"]),
        "status": status(row["status"] == "publish"), "variants": filled(&Value::Object(variants.collect())),
    }))
}

fn of_shopify(product: &Value) -> Fields {
    const LOCATION: &str = "gid://shopify/Location/2";
    let stock = |variant: &Value| {
        let item = &variant["inventoryItem"];
        let is_counted = item["tracked"] == true;
        if is_counted { item["levels"][LOCATION]["quantities"][0]["quantity"].clone() } else { Value::Null }
    };
    let first = &product["variants"][0];
    let prices = |variant: &Value| match &variant["compareAtPrice"] {
        Value::Null => (money(&variant["price"]), Value::Null),
        before => (money(before), money(&variant["price"])),
    };
    let (price, sale) = prices(first);
    let weight = &first["inventoryItem"]["measurement"]["weight"];
    let in_kilograms = if weight["unit"] == "GRAMS" { 0.001 } else { 1.0 };
    let variants = list(&product["variants"]).iter().map(|variant| {
        let (price, sale) = prices(variant);
        let is = json!({ "price": price, "sale_price": sale, "stock": stock(variant) });
        (variant["sku"].as_str().unwrap_or_default().to_owned(), is)
    });
    let variants: Map<String, Value> =
        if product["hasOnlyDefaultVariant"] == true { Map::new() } else { variants.collect() };
    let french = list(&product["translations"]["fr"]).iter().find(|text| text["key"] == "title");
    let brand = filled(&product["vendor"]);
    fields(&json!({
        "title": product["title"], "description_html": filled(&product["descriptionHtml"]),
        "price": price, "sale_price": sale, "stock": stock(first),
        "images": filled(&list(&product["media"]).iter().map(|media| key(&media["source"])).collect()),
        "categories": named(&product["collections"], "title"), "tags": sorted(list(&product["tags"]).iter().cloned()),
        "brand": if brand == "Stand-in" { Value::Null } else { brand },
        "weight_g": grams(&json!(number(&weight["value"]).unwrap_or_default() * in_kilograms)),
        "status": status(product["onlineStoreUrl"].is_string()), "variants": filled(&Value::Object(variants)),
        "translations.fr.title": french.map_or(Value::Null, |text| text["value"].clone()),
    }))
}

fn of_prestashop(product: &Value) -> Fields {
    let price = number(&product["price"]).unwrap_or_default();
    let sale = |price: f64, less: &Value| number(less).map_or(Value::Null, |less| money(&json!(price - less)));
    let variants = product["variants"].as_object().into_iter().flatten().map(|(sku, variant)| {
        let price = price + number(&variant["more"]).unwrap_or_default();
        let sale = sale(price, &variant["reduction"]);
        // The one that is shown first has a star.
        let sku = sku.trim_end_matches('*').to_owned();
        (sku, json!({ "price": money(&json!(price)), "sale_price": sale, "stock": variant["stock"] }))
    });
    let categories = list(&product["categories"]).iter().filter(|name| **name != "Home").cloned();
    // What has no text of its own has that of the shop's language.
    let french = Some(&product["name"]["fr"]).filter(|french| **french != product["name"]["en"]);
    fields(&json!({
        "title": product["name"]["en"], "description_html": filled(&product["description"]["en"]),
        "price": money(&product["price"]), "sale_price": sale(price, &product["reduction"]),
        "stock": if product["sold_without_stock"] == true { Value::Null } else { product["stock"].clone() },
        "images": filled(&list(&product["pictures"]).iter().map(key).collect()),
        "categories": sorted(categories), "tags": sorted(list(&product["tags"]).iter().cloned()),
        "brand": filled(&product["brand"]), "weight_g": grams(&product["weight"]),
        "status": status(product["visible"] == true), "variants": filled(&Value::Object(variants.collect())),
        "translations.fr.title": french.map_or(Value::Null, filled),
    }))
}
