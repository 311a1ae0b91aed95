//! Reads the price from a product page: from its JSON-LD blocks, or else from its microdata. A pure function of the page.

use std::collections::HashMap;

use rust_decimal::Decimal;
use scraper::{ElementRef, Html, Selector};
use serde_json::value::RawValue;
use url::Url;

use super::{Method, Price, amount};

const TITLE_KEPT: usize = 300;
/// Pages nest a handful of levels; more is an attack on the stack.
const DEPTH: usize = 8;
/// So many microdata items are looked into: nested ones are read once for each item around them.
const ITEMS: usize = 20;

/// The title and the price of a page. `url` helps to choose between several products.
pub(crate) fn read(html: &str, url: &Url) -> (Option<String>, Option<Price>) {
    let page = Html::parse_document(html);
    let price = json_ld(&page, url).or_else(|| microdata(&page));
    (title(&page), price)
}

fn title(page: &Html) -> Option<String> {
    let found = page.select(&selector("title")).next()?;
    let title: String = found.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    let title: String = title.chars().take(TITLE_KEPT).collect();
    (!title.is_empty()).then_some(title)
}

/// An object of JSON whose values are not read yet. Kept raw so that a number's digits stay what they are.
type Object<'a> = HashMap<String, &'a RawValue>;

fn json_ld(page: &Html, url: &Url) -> Option<Price> {
    let blocks: Vec<String> =
        page.select(&selector(r#"script[type="application/ld+json" i]"#)).map(|block| block.text().collect()).collect();
    let mut products = Vec::new();
    for block in &blocks {
        // Broken blocks are common; the page's other blocks still count.
        if let Ok(root) = serde_json::from_str(block.trim()) {
            collect_products(root, DEPTH, &mut products);
        }
    }
    let priced = || products.iter().filter_map(|product| Some((product, product_price(product)?)));
    // Pages list related products too, so the one that names this page goes first.
    let own = priced().find(|(product, _)| names_page(product, url));
    own.or_else(|| priced().next()).map(|(_, price)| price)
}

/// Finds the products in a value: the value itself, an item of it, or an item of what it holds as its main content.
fn collect_products<'a>(value: &'a RawValue, depth: usize, products: &mut Vec<Object<'a>>) {
    if depth == 0 {
        return;
    }
    for object in objects(value) {
        for key in ["@graph", "mainEntity", "hasVariant"] {
            if let Some(inner) = object.get(key) {
                collect_products(inner, depth - 1, products);
            }
        }
        if is_product(&object) {
            products.push(object);
        }
    }
}

fn is_product(object: &Object<'_>) -> bool {
    let types = object.get("@type").map(|types| items(types)).unwrap_or_default();
    types.into_iter().filter_map(text).any(|name| {
        matches!(
            schema_word(&name),
            "Product" | "ProductGroup" | "ProductModel" | "IndividualProduct" | "Vehicle" | "Car"
        )
    })
}

fn names_page(product: &Object<'_>, page: &Url) -> bool {
    ["url", "@id"].into_iter().filter_map(|key| product.get(key).and_then(|value| text(value))).any(|link| {
        page.join(&link).is_ok_and(|link| {
            link.host() == page.host() && link.path().trim_end_matches('/') == page.path().trim_end_matches('/')
        })
    })
}

fn product_price(product: &Object<'_>) -> Option<Price> {
    let offers = product.get("offers")?;
    objects(offers).iter().find_map(|offer| offer_price(offer, None, DEPTH))
}

/// The price of an `Offer` or `AggregateOffer`. `currency`: of the offer around it.
fn offer_price(offer: &Object<'_>, currency: Option<&str>, depth: usize) -> Option<Price> {
    let depth = depth.checked_sub(1)?;
    let own_currency =
        offer.get("priceCurrency").and_then(|value| text(value)).and_then(|text| amount::currency(&text));
    let currency = own_currency.as_deref().or(currency);
    let direct = ["price", "lowPrice"].into_iter().find_map(|key| priced(offer.get(key)?, currency));
    let inner = || {
        let specifications = offer.get("priceSpecification").map(|value| objects(value)).unwrap_or_default();
        let offers = offer.get("offers").map(|value| objects(value)).unwrap_or_default();
        let current = specifications.into_iter().filter(|specification| !is_former_price(specification));
        let price = current.chain(offers).find_map(|inner| offer_price(&inner, currency, depth))?;
        Some((price.amount, price.currency))
    };
    let (amount, currency) = direct.or_else(inner)?;
    let availability = offer.get("availability").and_then(|value| text(value)).and_then(|text| availability(&text));
    Some(Price { amount, currency, availability, method: Method::JsonLd })
}

fn is_former_price(specification: &Object<'_>) -> bool {
    let price_type = specification.get("priceType").and_then(|value| text(value)).unwrap_or_default();
    matches!(schema_word(&price_type), "ListPrice" | "StrikethroughPrice" | "SRP" | "MSRP")
}

/// An amount that is written as a number or as text, with the currency that is known or that the text names.
fn priced(value: &RawValue, currency: Option<&str>) -> Option<(Decimal, Option<String>)> {
    let known = currency.map(str::to_owned);
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Some((amount::from_text(&text, currency)?, known.or_else(|| amount::currency(&text)))),
        Err(_) => Some((amount::from_number(value.get())?, known)),
    }
}

/// The items of an array; anything else is its own only item.
fn items(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value])
}

fn objects(value: &RawValue) -> Vec<Object<'_>> {
    items(value).into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn microdata(page: &Html) -> Option<Price> {
    let products = selector(r#"[itemtype$="schema.org/Product" i]"#);
    page.select(&products).take(ITEMS).find_map(|product| {
        let offers = selector(r#"[itemprop~="offers"]"#);
        product.select(&offers).take(ITEMS).chain([product]).find_map(microdata_offer)
    })
}

fn microdata_offer(offer: ElementRef<'_>) -> Option<Price> {
    let find = |name: &str| offer.select(&selector(&format!("[itemprop~=\"{name}\"]"))).next();
    let named = find("priceCurrency").and_then(|found| amount::currency(&property(found)));
    let price = property(find("price").or_else(|| find("lowPrice"))?);
    let currency = named.or_else(|| amount::currency(&price));
    Some(Price {
        amount: amount::from_text(&price, currency.as_deref())?,
        currency,
        availability: find("availability").and_then(|found| availability(&property(found))),
        method: Method::Microdata,
    })
}

/// The value of a microdata property: the attribute made for it, or else the text.
fn property(element: ElementRef<'_>) -> String {
    let attribute = ["content", "href", "value"].into_iter().find_map(|name| element.attr(name));
    attribute.map_or_else(|| element.text().collect(), str::to_owned)
}

/// `https://schema.org/InStock` → `InStock`.
fn schema_word(text: &str) -> &str {
    text.trim().rsplit(['/', ':', '#']).next().unwrap_or_default()
}

fn availability(text: &str) -> Option<String> {
    let word = schema_word(text);
    let plausible = !word.is_empty() && word.len() <= 40 && word.chars().all(|c| c.is_ascii_alphabetic());
    plausible.then(|| word.to_owned())
}

#[expect(clippy::expect_used, reason = "the selectors are written above")]
fn selector(css: &str) -> Selector {
    Selector::parse(css).expect("a selector of this file is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("https://shop.example/cups/grün?size=2").unwrap()
    }

    fn found(html: &str) -> Option<(String, Option<String>)> {
        read(html, &url()).1.map(|price| (price.amount.to_string(), price.currency))
    }

    fn block(json: &str) -> String {
        format!("<html><head><script type=\"application/ld+json\">{json}</script></head></html>")
    }

    fn price(amount: &str, currency: &str) -> Option<(String, Option<String>)> {
        Some((amount.to_owned(), Some(currency.to_owned())))
    }

    #[test]
    fn offers_are_objects_lists_or_aggregates() {
        for (offers, amount) in [
            (r#"{"price":1299.10,"priceCurrency":"EUR"}"#, "1299.10"),
            (r#"{"price":"1 299,00","priceCurrency":"EUR"}"#, "1299.00"),
            (r#"[{"name":"no price"},{"price":"1.299,00","priceCurrency":"EUR"}]"#, "1299.00"),
            (r#"{"@type":"AggregateOffer","lowPrice":"9.50","highPrice":"12","priceCurrency":"EUR"}"#, "9.50"),
            (r#"{"@type":"AggregateOffer","priceCurrency":"EUR","offers":[{"price":8}]}"#, "8"),
            (r#"{"priceSpecification":{"price":7.5,"priceCurrency":"EUR"}}"#, "7.5"),
            (
                r#"{"priceCurrency":"EUR","priceSpecification":[
                    {"price":"20","priceType":"https://schema.org/ListPrice"},{"price":"15"}]}"#,
                "15",
            ),
        ] {
            assert_eq!(
                found(&block(&format!(r#"{{"@type":"Product","offers":{offers}}}"#))),
                price(amount, "EUR"),
                "{offers}"
            );
        }
    }

    #[test]
    fn products_are_found_in_arrays_graphs_and_main_entities() {
        let product = r#"{"@type":["Thing","http://schema.org/Product"],"offers":{"price":"5","priceCurrency":"CHF"}}"#;
        for json in [
            product.to_owned(),
            format!(r#"[{{"@type":"WebSite"}},{product}]"#),
            format!(r#"{{"@context":"https://schema.org","@graph":[{{"@type":"Person"}},{product}]}}"#),
            format!(r#"{{"@type":"WebPage","mainEntity":{product}}}"#),
            format!(r#"{{"@type":"ProductGroup","hasVariant":[{product}]}}"#),
        ] {
            assert_eq!(found(&block(&json)), price("5", "CHF"), "{json}");
        }
        assert_eq!(found(&block(r#"{"@type":"Service","offers":{"price":1}}"#)), None);
    }

    #[test]
    fn a_broken_block_does_not_hide_the_next() {
        let broken = block(r#"{"@type":"Product","offers":{"price":"1",}}"#);
        let good = block(r#"{"@type":"Product","offers":{"price":"2","priceCurrency":"eur"}}"#);
        assert_eq!(found(&format!("{broken}{good}")), price("2", "EUR"));
        assert_eq!(found(&broken), None);
    }

    #[test]
    fn the_product_that_names_the_page_goes_before_related_ones() {
        let json = r#"[{"@type":"Product","url":"/cups/blue","offers":{"price":1,"priceCurrency":"EUR"}},
                       {"@type":"Product","url":"/cups/gr%C3%BCn/","offers":{"price":2,"priceCurrency":"EUR"}}]"#;
        assert_eq!(found(&block(json)), price("2", "EUR"));
    }

    #[test]
    fn microdata_prefers_the_content_attribute_and_falls_back_to_text() {
        let page = |price: &str| {
            format!(
                "<div itemscope itemtype='http://schema.org/Product'><div itemprop=offers itemscope>{price}\
                 <link itemprop=availability href='https://schema.org/OutOfStock'></div></div>"
            )
        };
        let attribute =
            page("<span itemprop=price content='1299.00'>ab 1.111 €</span><meta itemprop=priceCurrency content=EUR>");
        let (_, read_price) = read(&attribute, &url());
        let read_price = read_price.unwrap();
        assert_eq!(read_price.amount.to_string(), "1299.00");
        assert_eq!(read_price.availability.as_deref(), Some("OutOfStock"));
        assert_eq!(read_price.method, Method::Microdata);
        assert_eq!(found(&page("<b itemprop=price>1&nbsp;299,00&#8239;€</b>")), price("1299.00", "EUR"));
    }

    #[test]
    fn json_ld_goes_before_microdata() {
        let both = block(r#"{"@type":"Product","offers":{"price":2,"priceCurrency":"EUR"}}"#)
            + "<div itemscope itemtype='https://schema.org/Product'><b itemprop=price>3</b></div>";
        assert_eq!(read(&both, &url()).1.unwrap().method, Method::JsonLd);
    }

    #[test]
    fn hostile_nesting_ends_without_harm() {
        let deep = format!("{}{}", r#"{"@graph":["#.repeat(50_000), "]}".repeat(50_000));
        assert_eq!(found(&block(&deep)), None);
        let offers = format!("{}1{}", r#"{"offers":"#.repeat(50_000), "}".repeat(50_000));
        assert_eq!(found(&block(&format!(r#"{{"@type":"Product","offers":{offers}}}"#))), None);
    }

    #[test]
    fn titles_are_one_line_and_cut() {
        let (title, price) = read("<title>\n  Cup &amp;\n saucer </title>", &url());
        assert_eq!((title.as_deref(), price), (Some("Cup & saucer"), None));
        let (title, _) = read(&format!("<title>{}</title>", "x".repeat(1000)), &url());
        assert_eq!(title.unwrap().len(), TITLE_KEPT);
    }

    #[test]
    fn the_example_shops_are_read() {
        let page = |name: &str| {
            let path = format!("{}/../examples/shops/{name}", env!("CARGO_MANIFEST_DIR"));
            let url = Url::parse(&format!("https://shop.example/{name}")).unwrap();
            read(&std::fs::read_to_string(path).unwrap(), &url)
        };
        let (title, json_ld) = page("jsonld.html");
        let json_ld = json_ld.unwrap();
        assert!(title.unwrap().contains("Théière"));
        assert_eq!((json_ld.amount.to_string().as_str(), json_ld.currency.as_deref()), ("39.90", Some("EUR")));
        assert_eq!((json_ld.availability.as_deref(), json_ld.method), (Some("InStock"), Method::JsonLd));
        let microdata = page("microdata.html").1.unwrap();
        assert_eq!((microdata.amount.to_string().as_str(), microdata.currency.as_deref()), ("1042.50", Some("EUR")));
        assert_eq!(microdata.method, Method::Microdata);
        assert_eq!(page("noprice.html").1, None);
    }
}
