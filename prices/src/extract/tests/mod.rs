use super::*;

mod markup;
mod offers;
mod readers;
mod variants;

fn url() -> Url {
    Url::parse("https://shop.example/cups/grün?size=2").unwrap()
}

fn page(html: &str, url: &Url) -> Extract {
    super::read(html, url, &Hints::on(NaiveDate::from_ymd_opt(2026, 11, 27).unwrap())).unwrap()
}

fn read(html: &str, url: &Url) -> (Option<String>, Option<Price>) {
    let page = page(html, url);
    (page.title, page.price)
}

fn found(html: &str) -> Option<(String, Option<String>)> {
    read(html, &url()).1.map(|price| (price.amount.to_string(), price.currency))
}

fn block(json: &str) -> String {
    format!("<html><head><script type=\"application/ld+json\">{json}</script></head></html>")
}

/// Amount, currency and availability of what is found at a path of the shop, or nothing.
fn at(path: &str, html: &str) -> (String, String, String) {
    let url = Url::parse("https://shop.example").unwrap().join(path).unwrap();
    let price = page(html, &url).price;
    let Some(price) = price else { return <(String, String, String)>::default() };
    (price.amount.normalize().to_string(), price.currency.unwrap_or_default(), price.availability.unwrap_or_default())
}

/// Amounts (empty for none) of JSON-LD at the path `/lamp`.
fn amounts(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(json, amount)| {
            let found = at("/lamp", &block(json)).0;
            (found != *amount).then(|| format!("{json}: {found:?}, not {amount:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A product with these offers.
fn product(offers: &str) -> String {
    format!(r#"{{"@type":"Product","name":"Lamp","offers":{offers}}}"#)
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
fn blocks_are_known_by_their_type_as_shops_write_it() {
    let block = |media_type: &str| {
        format!(
            r#"<script type="{media_type}">{{"@type":"Product","offers":{{"price":"5","priceCurrency":"CHF"}}}}</script>"#
        )
    };
    for media_type in [
        "application/ld+json; charset=utf-8",
        "APPLICATION/LD+JSON",
        "application/json+ld",
        "application/ld-json",
        "text/ld+json",
    ] {
        assert_eq!(found(&block(media_type)), price("5", "CHF"), "{media_type}");
    }
    assert_eq!(found(&block("application/json")), None);
}

#[test]
fn a_broken_block_does_not_hide_the_next() {
    let broken = block(r#"{"@type":"Product","offers":{"price" "1"}}"#);
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
