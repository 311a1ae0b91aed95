//! Prices in what the shop's own scripts are told: the variations of WooCommerce, the boxes of Magento, the product of Shopify, `PrestaShop`
//! and `BigCommerce`, the state of Next.js and its like, and events for statistics. All of it is JSON, in scripts or attributes; an
//! object counts when it is known to be the page's product, by its place or by its name.

use rust_decimal::Decimal;
use url::Url;

use super::{
    availability,
    json::{self, Json},
    markup,
    products::simple,
    scripts::{self, Piece},
    view::View,
};
use crate::{
    amount::{self, Money},
    dom::Dom,
};

/// So many objects are looked at.
const OBJECTS: usize = 60_000;
const DEPTH: usize = 40;
/// So many prices are kept.
const FOUND: usize = 200;

/// A price that scripts are told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) money: Money,
    pub(super) former: Option<Money>,
    pub(super) availability: Option<&'static str>,
    /// The page's address names this variant.
    pub(super) is_asked: bool,
}

/// All prices of the page's product. `names`: what the page calls it.
pub(super) fn read(dom: &Dom<'_>, names: &[String], url: &Url) -> Vec<Told> {
    let asked = url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.to_lowercase())).take(50).collect();
    let mut walk = Walk { names, asked, found: Vec::new(), objects: 0 };
    for (name, value) in dom.attributes() {
        if value.len() > 20
            && value.len() < 400_000
            && value.trim_start().starts_with(['{', '[', '&'])
            && value.contains("rice")
        {
            let value = crate::dom::decode(value, true);
            if value.trim_start().starts_with(['{', '[']) {
                let is_product =
                    name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("data-product")) && name.len() <= 40;
                walk.values(json::read(&value), &Around { is_product, ..Around::default() });
            }
        }
    }
    scripts::each(dom, |Piece { value, is_product, in_cents }| {
        walk.values(vec![value], &Around { is_product, in_cents, ..Around::default() });
    });
    let named: Vec<Told> = walk.found.iter().filter(|told| told.is_asked).cloned().collect();
    if named.is_empty() { walk.found } else { named }
}

/// Amounts in attributes and hidden fields of the product's own elements: `data-product-price="135.00"`.
pub(super) fn attributes(view: &View<'_>) -> Vec<Told> {
    let dom = view.dom;
    let Some(name) = view.name else { return Vec::new() };
    let to = view.button_of_product().map_or(name + FAR, |button| button.end.max(name));
    let around = dom.around(name).take(8).filter(|at| !matches!(dom.name(*at), "body" | "html" | ""));
    let mut found = Vec::new();
    for at in around.chain(name..to.min(dom.len())) {
        if dom.is_text(at) || (at >= name && view.is_aside(at) && dom.name(at) != "input") {
            continue;
        }
        let get = |names: &[&str]| names.iter().find_map(|name| dom.attr(at, name));
        let is_field = dom.name(at) == "input"
            && get(&["type"]).is_some_and(|kind| kind.eq_ignore_ascii_case("hidden"))
            && get(&["name"]).is_some_and(|name| FIELDS.contains(&name.to_lowercase().as_str()));
        let amount = if is_field {
            get(&["value"])
        } else {
            get(&["data-product-price", "data-price-amount", "data-price", "data-sale-price", "data-item-price"])
        };
        let currency = get(&["data-product-currency", "data-currency", "data-currency-code"])
            .and_then(|text| amount::currency(&text));
        let money = amount
            .and_then(|text| amount::from_text(&text, currency.as_deref()))
            .filter(|money| !money.amount.is_zero());
        if let Some(money) = money {
            let money = Money { currency: money.currency.or(currency), ..money };
            found.push(Told { money, former: None, availability: None, is_asked: false });
        }
    }
    found
}

/// Names of hidden fields with a price.
const FIELDS: [&str; 10] =
    ["price", "preis", "prix", "precio", "prezzo", "preco", "prijs", "product_price", "productprice", "item_price"];
/// Without a button, so many parts behind the name are looked at.
const FAR: usize = 200;

/// So many scripts are asked for their currency.
const SCRIPTS: usize = 60;

/// The currency that the shop's scripts speak of, where it is only one.
pub(super) fn currency(dom: &Dom<'_>) -> Option<String> {
    let mut found: Option<String> = None;
    for content in dom
        .all("script")
        .map(|at| dom.content(at))
        .filter(|content| memchr::memmem::find(content.as_bytes(), b"urrency").is_some())
        .take(SCRIPTS)
    {
        for (at, _) in content.match_indices("urrency").take(40) {
            let behind: String = content[at..].chars().take(60).collect();
            let mut words = behind.split(['"', '\'', '\\']);
            let code = words.find(|word| word.len() == 3 && word.bytes().all(|b| b.is_ascii_uppercase()));
            let code = code.and_then(amount::currency);
            match (&found, code) {
                (_, None) => {}
                (None, code) => found = code,
                (Some(first), Some(other)) if *first == other => {}
                (Some(_), Some(_)) => return None,
            }
        }
    }
    found
}

/// What is around an object.
#[derive(Debug, Clone, Default)]
struct Around {
    currency: Option<String>,
    /// It is the page's product for sure, or a variant of it.
    is_product: bool,
    /// Whole numbers are cents.
    in_cents: bool,
}

struct Walk<'a> {
    names: &'a [String],
    /// What the query of the page's address says.
    asked: Vec<(String, String)>,
    found: Vec<Told>,
    objects: usize,
}

/// Keys without marks, in lower case: of the price, the best first.
const PRICES: [&str; 24] = [
    "bestpriceformated",
    "productpriceto",
    "saleprice",
    "specialprice",
    "finalprice",
    "currentprice",
    "sellingprice",
    "offerprice",
    "displayprice",
    "discountedprice",
    "discountprice",
    "pricewithtax",
    "pricetopay",
    "bestprice",
    "salesprice",
    "nowprice",
    "priceamount",
    "price",
    "productprice",
    "productunitprice",
    "pricevalue",
    "prices",
    "pricing",
    "priceinfo",
];
const FORMER: [&str; 13] = [
    "listpriceformated",
    "productpricefrom",
    "regularprice",
    "listprice",
    "compareatprice",
    "originalprice",
    "oldprice",
    "wasprice",
    "msrp",
    "displayregularprice",
    "baseprice",
    "strikeprice",
    "rrp",
];
const AMOUNTS: [&str; 18] = [
    "pricewithtax",
    "finalprice",
    "saleprice",
    "sale",
    "currentprice",
    "current",
    "withtax",
    "withouttax",
    "amount",
    "value",
    "price",
    "centamount",
    "now",
    "formatted",
    "number",
    "minactivityamount",
    "baseprice",
    "min",
];
const NAMES: [&str; 8] =
    ["name", "title", "productname", "itemname", "displayname", "producttitle", "contentname", "subject"];
/// The ends of a range.
const ENDS: [(&str, &str); 4] =
    [("min", "max"), ("minactivityamount", "maxactivityamount"), ("minprice", "maxprice"), ("lowprice", "highprice")];
/// Keys of an object with the name of what stands around it.
const ABOUT: [&str; 4] = ["productinfo", "productinfocomponent", "productbasicinfo", "basicinfo"];
/// What the state of VTEX keeps apart from its product: `$Product:cup.items.0.sellers.0.commertialOffer`.
const OFFER: &str = ".commertialOffer";
const CURRENCIES: [&str; 7] =
    ["currency", "currencycode", "pricecurrency", "currencyiso", "isocurrencycode", "currencyisocode", "ordercurrency"];
const STOCKS: [&str; 8] =
    ["available", "isinstock", "instock", "availability", "stockstatus", "isavailable", "productavailability", "stock"];
/// Keys behind which other products are, or no prices of it.
const ASIDE: [&str; 22] = [
    "related",
    "recommend",
    "similar",
    "impressions",
    "upsell",
    "crosssell",
    "cart",
    "basket",
    "minicart",
    "recent",
    "bundle",
    "accessor",
    "shipping",
    "payment",
    "installment",
    "facet",
    "filter",
    "tierprice",
    "promotion",
    "navigation",
    "review",
    "wishlist",
];

impl Walk<'_> {
    fn values(&mut self, values: Vec<Json>, around: &Around) {
        for value in values {
            self.value(&value, around, DEPTH);
        }
    }

    fn value(&mut self, value: &Json, around: &Around, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Json::List(items) => {
                for item in items {
                    self.value(item, around, depth);
                }
            }
            Json::Object(pairs) => self.object(pairs, around, depth),
            // JSON within a text of JSON.
            Json::Text(text)
                if text.len() > 40 && text.starts_with('{') && text.contains("rice") && text.len() < 400_000 =>
            {
                self.objects += text.len() / 50;
                for value in json::read(text) {
                    self.value(&value, around, depth.min(DEPTH / 2));
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, pairs: &[(String, Json)], around: &Around, depth: usize) {
        self.objects += 1;
        if self.objects > OBJECTS || self.found.len() >= FOUND {
            return;
        }
        let keys: Vec<String> = pairs.iter().map(|(key, _)| simple_key(key)).collect();
        let get = |name: &str| keys.iter().position(|key| key == name).map(|at| &pairs[at].1);
        let first = |names: &[&str]| names.iter().find_map(|name| get(name).filter(|value| **value != Json::Null));
        let mut own = around.clone();
        if let Some(Json::Text(text)) = first(&CURRENCIES) {
            own.currency = amount::currency(text).or(own.currency);
        }
        own.in_cents |= get("compareatprice").is_some()
            && (get("pricevaries").is_some() || get("variants").is_some() || get("inventorymanagement").is_some());
        let about = || match first(&ABOUT) {
            Some(Json::Object(about)) => {
                about.iter().find(|(key, _)| NAMES.contains(&simple_key(key).as_str())).map(|(_, name)| name)
            }
            _ => None,
        };
        let is_named = match first(&NAMES).or_else(about) {
            Some(Json::Text(name)) => Some(self.is_name(name)),
            _ => None,
        };
        own.is_product = (own.is_product && is_named != Some(false)) || is_named == Some(true);
        let is_magento = get("finalprice").is_some_and(|value| matches!(value, Json::Object(_)));
        if own.is_product || is_magento {
            self.take(&first, &own);
        }
        self.offers(pairs, &own, depth);
        for (key, (_, value)) in keys.iter().zip(pairs) {
            if !matches!(value, Json::Object(_) | Json::List(_) | Json::Text(_))
                || (ASIDE.iter().any(|aside| key.contains(aside)) && !key.contains("addtocart"))
            {
                continue;
            }
            // The event of a product's page has one product, or its variants.
            let is_detail = matches!(key.as_str(), "detail" | "productdetail" | "viewitem");
            let inner = Around { is_product: own.is_product || is_detail, ..own.clone() };
            self.value(value, &inner, depth);
        }
    }

    /// The offers that a state keeps apart from their product.
    fn offers(&mut self, pairs: &[(String, Json)], around: &Around, depth: usize) {
        let is_offer = |key: &str| key.starts_with('$') && key.ends_with(OFFER);
        if !pairs.iter().any(|(key, _)| is_offer(key)) {
            return;
        }
        let is_named = |(_, value): &&(String, Json)| {
            let Json::Object(own) = value else { return false };
            own.iter().any(|(key, name)| {
                matches!(name, Json::Text(name) if simple_key(key) == "productname" && self.is_name(name))
            })
        };
        let Some((owner, _)) = pairs.iter().find(is_named) else { return };
        let is_own = |key: &str| key[1..].strip_prefix(owner.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let own: Vec<&Json> =
            pairs.iter().filter(|(key, _)| is_offer(key) && is_own(key)).map(|(_, value)| value).collect();
        for value in own {
            self.value(value, &Around { is_product: true, ..around.clone() }, depth);
        }
    }

    fn take<'j>(&mut self, first: &impl Fn(&[&str]) -> Option<&'j Json>, around: &Around) {
        let money = |names: &[&str]| {
            names.iter().filter_map(|name| first(&[name])).find_map(|value| money_of(value, around, 3))
        };
        let Some(money_found) = money(&PRICES).filter(|money| !money.amount.is_zero()) else { return };
        let former = money(&FORMER).filter(|former| former.amount > money_found.amount);
        let availability = match first(&STOCKS) {
            Some(Json::Bool(here)) => Some(if *here { "InStock" } else { "OutOfStock" }),
            Some(Json::Text(text)) => availability::from_text(text),
            _ => None,
        };
        let is_asked = match first(&["attributes"]) {
            Some(Json::Object(attributes)) => {
                let same = |(name, value): &(String, Json)| {
                    let value = if let Json::Text(text) = value { text.to_lowercase() } else { return false };
                    self.asked
                        .iter()
                        .any(|(asked, wanted)| *asked == name.to_lowercase() && (value.is_empty() || *wanted == value))
                };
                !attributes.is_empty() && attributes.iter().all(same)
            }
            _ => self.is_asked_by_id(first),
        };
        self.found.push(Told { money: money_found, former, availability, is_asked });
    }

    /// `?variant=123`
    fn is_asked_by_id<'j>(&self, first: &impl Fn(&[&str]) -> Option<&'j Json>) -> bool {
        let id = match first(&["id", "variantid", "variationid"]) {
            Some(Json::Number(id) | Json::Text(id)) => id.to_lowercase(),
            _ => return false,
        };
        self.asked.iter().any(|(name, wanted)| {
            matches!(name.as_str(), "variant" | "variation" | "variation_id" | "variantid") && *wanted == id
        })
    }

    fn is_name(&self, name: &str) -> bool {
        let name = simple(&markup::text_of(name.get(..300).unwrap_or(name)));
        name.len() >= 4
            && self.names.iter().any(|own| own.contains(&name) || (own.len() >= 8 && name.contains(own.as_str())))
    }
}

fn simple_key(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The amount of a value: a number, a text, or an object around one.
fn money_of(value: &Json, around: &Around, depth: usize) -> Option<Money> {
    let depth = depth.checked_sub(1)?;
    match value {
        Json::Number(digits) => {
            let amount = amount::from_number(digits)?;
            let is_whole = !digits.contains(['.', 'e', 'E']);
            let amount = if around.in_cents && is_whole { amount / Decimal::ONE_HUNDRED } else { amount };
            Some(Money { amount, currency: around.currency.clone() })
        }
        Json::Text(text) if text.len() <= 80 => {
            let money = amount::from_text(&markup::text_of(text), around.currency.as_deref())?;
            Some(Money { currency: money.currency.or_else(|| around.currency.clone()), ..money })
        }
        Json::List(items) => match items.as_slice() {
            [only] => money_of(only, around, depth),
            _ => None,
        },
        Json::Object(pairs) => {
            let find = |name: &str| pairs.iter().find(|(key, _)| simple_key(key) == name).map(|(_, value)| value);
            let mut own = around.clone();
            if let Some(Json::Text(text)) = CURRENCIES.iter().find_map(|name| find(name)) {
                own.currency = amount::currency(text).or(own.currency);
            }
            // A range.
            let ends = ENDS.iter().find_map(|(lower, upper)| Some((find(lower)?, find(upper)?)));
            if let Some((lower, upper)) = ends
                && money_of(lower, &own, depth).map(|money| money.amount)
                    != money_of(upper, &own, depth).map(|money| money.amount)
            {
                return None;
            }
            let (value, name) = AMOUNTS.iter().find_map(|name| Some((find(name)?, *name)))?;
            own.in_cents |= name == "centamount";
            money_of(value, &own, depth)
        }
        _ => None,
    }
}
