//! Microdata, `RDFa`, meta elements, and texts as elements cut them.

use super::*;

fn microdata(inside: &str) -> String {
    format!("<div itemscope itemtype='https://schema.org/Product'><h1 itemprop=name>Lamp</h1>{inside}</div>")
}

fn priced(price: &str) -> String {
    microdata(&format!("<div itemprop=offers itemscope itemtype='https://schema.org/Offer'>{price}</div>"))
}

#[test]
fn microdata_are_read_in_all_forms() {
    for html in [
        priced("<meta itemprop=price content=12.99><meta itemprop=priceCurrency content=EUR>"),
        priced("<meta itemprop=price content=12.99><meta itemprop=pricecurrency content=eur>"),
        priced("<span itemprop=priceCurrency content=EUR>€</span><span itemprop=price>12,99</span>"),
        priced("<span itemprop='price lowPrice'>12,99 €</span>"),
        priced("<data itemprop=price value=12.99>about 13</data><b itemprop=priceCurrency>EUR</b>"),
        priced("<a itemprop=price href='/buy'>12,99 €</a>"),
        priced("<span itemprop='http://schema.org/price'>12,99 €</span>"),
        priced("<div itemprop=priceSpecification itemscope><b itemprop=price>12,99 €</b></div>"),
        priced("<b itemprop=price content=12.99>12,99 €</b>"),
        priced("<del><b itemprop=price>20 €</b></del><ins><b itemprop=price>12,99 €</b></ins>"),
        microdata("<div itemprop=offers><b itemprop=price>12,99 €</b></div>"),
        microdata("<div itemprop=offers itemscope></div><b itemprop=price>12,99 €</b>"),
        format!("{}<b itemprop=price>12,99 €</b>", microdata("")),
        microdata("<b itemprop=price>12,99 €</b>"),
        microdata("<div itemprop=offers itemscope itemtype='https://schema.org/AggregateOffer'><b itemprop=lowPrice>12,99 €</b><b itemprop=highPrice>20 €</b></div>"),
        priced("<b itemprop=price>12,99 €</b>").replace("https://schema.org/Product", "http://schema.org/product/"),
        priced("<b itemprop=price>12,99 €</b>").replace("itemscope itemtype='https://schema.org/Product'", "itemtype='schema.org/Product'"),
        priced("<b itemprop=price>12,99 €</b>").replace("https://schema.org/Product", "http://schema.org/Thing http://schema.org/Product"),
        format!("<div itemscope itemtype='https://schema.org/WebPage'><div itemprop=mainEntity {}", &priced("<b itemprop=price>12,99 €</b>")[5..]),
        "<div itemscope itemtype='http://data-vocabulary.org/Product'><div itemprop=offerDetails itemscope><meta itemprop=currency content=EUR><b itemprop=price>12,99</b></div></div>".to_owned(),
        "<div itemscope itemtype='https://schema.org/Product' itemref='o'></div><div id=o itemprop=offers itemscope><b itemprop=price>12,99 €</b></div>".to_owned(),
        "<div itemscope itemtype='https://schema.org/Offer'><b itemprop=price>12,99 €</b></div>".to_owned(),
        "<meta itemprop=price content=12.99><meta itemprop=priceCurrency content=EUR>".to_owned(),
    ] {
        let (amount, currency, _) = at("/lamp", &html);
        assert_eq!((amount.as_str(), currency.as_str()), ("12.99", "EUR"), "{html}");
    }
}

#[test]
fn other_items_of_microdata_are_not_the_product() {
    let other = |name: &str| {
        format!(
            "<div itemprop={name} itemscope itemtype='https://schema.org/Product'><div itemprop=offers itemscope><b itemprop=price>5 €</b></div></div>"
        )
    };
    let own = "<div itemprop=offers itemscope><b itemprop=price>70 €</b></div>";
    for name in ["isRelatedTo", "isSimilarTo", "isAccessoryOrSparePartFor"] {
        assert_eq!(at("/lamp", &microdata(&format!("{}{own}", other(name)))).0, "70", "{name}");
    }
    let second = "<div itemscope itemtype='https://schema.org/Product'><b itemprop=name>Vase</b><div itemprop=offers itemscope><b itemprop=price>5 €</b></div></div>";
    assert_eq!(at("/lamp", &format!("{second}{}", microdata(own))).0, "70");
    let nameless = "<div itemscope itemtype='https://schema.org/Product'><div itemprop=offers itemscope><b itemprop=price>5 €</b></div></div>";
    assert_eq!(at("/lamp", &format!("{nameless}{}", nameless.replace('5', "6"))).0, "");
    assert_eq!(at("/lamp", &priced("<b itemprop=price>20 €</b><b itemprop=price>15 €</b>")).0, "");
    assert_eq!(at("/lamp", &priced("<b itemprop=price>15 €</b><b itemprop=price>15,00 €</b>")).0, "15");
    assert_eq!(at("/lamp", &format!("<template>{}</template>", priced("<b itemprop=price>20 €</b>"))).0, "");
}

#[test]
fn texts_of_elements_are_read_as_people_see_them() {
    for (price, amount) in [
        ("12<sup>99</sup> €", "12.99"),
        ("12,<sup>99</sup> €", "12.99"),
        ("12<sup>,99</sup> €", "12.99"),
        ("<span>12</span><span>99</span> €", "12.99"),
        ("12€<sup>99</sup>", "12.99"),
        ("<sup>$</sup>12<sup>99</sup>", "12.99"),
        ("<b>12</b> <small>99</small> €", "12.99"),
        ("<i>1</i><i>2</i>,<i>9</i><i>9</i> €", "12.99"),
        ("1<span>.</span>299<sup>00</sup> €", "1299"),
        ("<span>1 299</span>,<span>00</span> €", "1299"),
        ("<del>20,00 €</del> 12,99 €", "12.99"),
        ("<s>20,00 €</s><b>12,99 €</b>", "12.99"),
        ("<span>12,99 €</span><span aria-hidden=true>12<sup>99</sup> €</span>", "12.99"),
        ("12,99&nbsp;&euro;", "12.99"),
        ("1&#8239;299&#44;00 €", "1299"),
        ("<div>12,99 €</div><div>statt 20,00 €</div>", "12.99"),
        ("12,99 €<script>var price = 5;</script>", "12.99"),
        ("<!-- 5 € -->12,99 €", "12.99"),
    ] {
        assert_eq!(at("/lamp", &priced(&format!("<span itemprop=price>{price}</span>"))).0, amount, "{price}");
    }
    let json = product(r#"{"price":"1&nbsp;299,00 &euro;"}"#);
    assert_eq!(at("/lamp", &block(&json)), ("1299".into(), "EUR".into(), String::new()));
    assert_eq!(at("/lamp", &block(&product(r#"{"price":"<span class='p'>12,99</span> €"}"#))).0, "12.99");
}

#[test]
fn rdfa_is_read() {
    for html in [
        "<div vocab='https://schema.org/' typeof='Product'><b property=name>Lamp</b><div property=offers typeof=Offer><meta property=priceCurrency content=EUR><b property=price content='12.99'>x</b><link property=availability href='https://schema.org/InStock'></div></div>",
        "<div prefix='schema: http://schema.org/' typeof='schema:Product'><div property='schema:offers' typeof='schema:Offer'><b property='schema:price'>12,99 €</b><meta property='schema:availability' content='schema:InStock'></div></div>",
        "<div typeof='http://schema.org/Product' resource='#p'></div><div typeof=schema:Offer><b property=itemOffered resource='#p'></b></div><div vocab='http://schema.org/' typeof=Product><div property=offers><b property=price>12,99 €</b><b property=availability content=InStock></b></div></div>",
    ] {
        let url = url();
        let price = read(html, &url).1.unwrap_or_else(|| panic!("{html}"));
        assert_eq!((price.amount.to_string().as_str(), price.currency.as_deref()), ("12.99", Some("EUR")), "{html}");
        assert_eq!((price.availability.as_deref(), price.method), (Some("InStock"), Method::Rdfa), "{html}");
    }
}

#[test]
fn prices_of_previews_are_read() {
    let meta = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, content)| format!("<meta property='{name}' content='{content}'>")).collect::<String>()
    };
    for (pairs, amount, currency) in [
        (&[("product:price:amount", "24.50"), ("product:price:currency", "EUR")][..], "24.5", "EUR"),
        (&[("og:price:amount", "24,50"), ("og:price:currency", "EUR")], "24.5", "EUR"),
        (&[("OG:Price:Amount", "1,299.00"), ("og:price:currency", "usd")], "1299", "USD"),
        (&[("og:price:amount", "24.50")], "24.5", ""),
        (&[("og:product:price:amount", "24.50"), ("og:product:price:currency", "EUR")], "24.5", "EUR"),
        (&[("og:price", "24.50"), ("og:currency", "EUR")], "24.5", "EUR"),
        (&[("product:price", "24.50"), ("product:currency", "EUR")], "24.5", "EUR"),
        (&[("product:price:amount", "24.50"), ("og:price:currency", "EUR")], "24.5", "EUR"),
        (&[("og:price:amount", "24,50 €")], "24.5", "EUR"),
        (
            &[("product:price:amount", "30"), ("product:sale_price:amount", "24"), ("product:price:currency", "EUR")],
            "24",
            "EUR",
        ),
        (
            &[
                ("product:original_price:amount", "30"),
                ("product:price:amount", "24"),
                ("product:price:currency", "EUR"),
            ],
            "24",
            "EUR",
        ),
        (
            &[("product:price:amount", "24"), ("product:price:amount", "24.00"), ("product:price:currency", "EUR")],
            "24",
            "EUR",
        ),
        (&[("product:price:amount", "24"), ("product:price:amount", "30")], "", ""),
        (&[("product:price:amount", "24"), ("product:condition", "used")], "", ""),
        (&[("product:price:amount", "0"), ("product:availability", "oos")], "", ""),
        (&[("twitter:label1", "Price"), ("twitter:data1", "$24.50 USD")], "24.5", "USD"),
        (&[("twitter:label1", "Reading time"), ("twitter:data1", "5 minutes")], "", ""),
        (&[("product:price:amount", "call us")], "", ""),
    ] {
        let (found, found_currency, _) = at("/lamp", &meta(pairs));
        assert_eq!((found.as_str(), found_currency.as_str()), (amount, currency), "{pairs:?}");
    }
    let html = meta(&[("product:price:amount", "24.50"), ("product:availability", "out of stock")]);
    let price = read(&html, &url()).1.unwrap();
    assert_eq!((price.availability.as_deref(), price.method), (Some("OutOfStock"), Method::Meta));
    assert_eq!(at("/lamp", "<meta name='og:price:amount' content='24.50'>").0, "24.5");
}

#[test]
fn pages_that_send_on_say_where_to() {
    let moved = |html: &str| page(html, &url()).moved_to.map(String::from);
    assert_eq!(moved("<meta http-equiv='Refresh' content='0; URL=/new'>").as_deref(), Some("https://shop.example/new"));
    assert_eq!(
        moved("<base href='/deep/'><meta http-equiv=refresh content='0;url=new'>").as_deref(),
        Some("https://shop.example/deep/new")
    );
    assert_eq!(moved("<noscript><meta http-equiv=refresh content='0;url=/no'></noscript>"), None);
    assert_eq!(moved("<template><meta http-equiv=refresh content='0;url=/no'></template>"), None);
    assert_eq!(moved("<!-- <meta http-equiv=refresh content='0;url=/no'> -->"), None);
    assert_eq!(moved("<meta http-equiv=refresh content='300'>"), None);
    assert_eq!(moved("<meta http-equiv=refresh content='5;url=https://shop.example/cups/gr%C3%BCn?size=2'>"), None);
}

#[test]
fn hostile_pages_end_soon() {
    let url = url();
    let today = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
    assert!(super::super::read(&"<div>".repeat(300_000), &url, &Hints::on(today)).is_err());
    let same: String =
        (0..10_000).map(|n| format!(r##"{{"@id":"#p","@type":"Product","isVariantOf":{{"@id":"#{n}"}}}},"##)).collect();
    assert_eq!(found(&block(&format!(r#"{{"@graph":[{same}]}}"#))), None);
    let wide: String = (0..100)
        .map(|n| {
            format!(
                r##"{{"@id":"#{n}","@type":"Product","offers":[{}]}},"##,
                (0..100).map(|to| format!(r##"{{"@id":"#{to}"}},"##)).collect::<String>()
            )
        })
        .collect();
    assert_eq!(found(&block(&format!(r#"{{"@graph":[{wide}]}}"#))), None);
    let items = "<div itemscope itemtype='schema.org/Product' itemprop=offers><b itemprop=price>".repeat(300);
    let _ = found(&items);
}

#[test]
fn items_that_refer_to_each_other_in_a_circle_end() {
    let html = "<div itemscope itemtype='https://schema.org/Product' id=x itemref=y itemprop=offers>\
                <b itemprop=price>12,99 €</b></div>\
                <div itemscope itemtype='https://schema.org/Product' id=y itemref=x itemprop=offers>\
                <b itemprop=price>12,99 €</b></div>";
    assert!(matches!(at("/lamp", html).0.as_str(), "" | "12.99"));
}

#[test]
fn a_text_that_is_too_long_or_has_too_much_in_it_has_no_value_instead_of_half_of_one() {
    let far = |between: &str| priced(&format!("<span itemprop=price>1{between}299 €</span>"));
    assert_eq!(at("/lamp", &far("")).0, "1299");
    assert_eq!(at("/lamp", &far(&"<i></i>".repeat(3_000))).0, "");
    // What each element around a text would keep of it.
    let mut graph = graph::Graph::default();
    let nested = format!("<div itemscope>{}{}", "<div itemprop='price name price'>".repeat(1_000), "x".repeat(100_000));
    items::add(&dom::parse(&nested).unwrap(), Dialect::Microdata, &mut graph);
    let value = |(_, value): &(String, graph::Value)| if let graph::Value::Text(text) = value { text.len() } else { 0 };
    let kept: usize = graph.nodes.iter().flat_map(|node| &node.properties).map(value).sum();
    assert_eq!(kept, 0);
    let names = format!("<div itemscope><meta itemprop='{}' content='{}'>", "price ".repeat(1_000), "9".repeat(1_000));
    let mut graph = graph::Graph::default();
    items::add(&dom::parse(&names).unwrap(), Dialect::Microdata, &mut graph);
    assert!(graph.nodes[0].properties.len() <= 2, "a name counts once");
}

#[test]
fn a_footnote_is_no_part_of_the_amount() {
    for html in [
        priced("<span itemprop=price>12,99 €<sup>1</sup></span>"),
        priced("<span itemprop=price>12,99<sup>1</sup> €</span>"),
        priced("<span itemprop=price>12,99 €<sup><a href='#f'>2)</a></sup></span>"),
        priced("<span itemprop=price>12<sup>99</sup> €</span>"),
    ] {
        assert_eq!(at("/lamp", &html).0, "12.99", "{html}");
    }
}

#[test]
fn markup_within_data_takes_no_time() {
    let bomb = "<div>".repeat(50_000);
    for html in [block(&product(&format!(r#"{{"price":"{bomb}"}}"#))), block(&format!("{{&quot;{bomb}"))] {
        assert_eq!(at("/lamp", &html).0, "");
    }
    let links = vec![r#""/lamp""#; 20_000].join(",");
    let offers: Vec<String> = (0..20_000).map(|n| format!(r#"{{"price":{n}}}"#)).collect();
    let many = format!(r#"{{"@type":"Product","url":[{links}],"offers":[{}]}}"#, offers.join(","));
    assert_eq!(at("/lamp", &block(&many)).0, "");
}

#[test]
fn what_is_shown_tells_what_an_attribute_means() {
    for (content, text, amount) in
        [("12.990", "12,99 €", "12.99"), ("1.299", "1.299 €", "1299"), ("1.299", "jetzt kaufen", "1299")]
    {
        let html = priced(&format!("<span itemprop=price content='{content}'>{text}</span>"));
        assert_eq!(at("/lamp", &html).0, amount, "{html}");
    }
}

#[test]
fn prices_as_shop_programs_write_them_are_read() {
    for (amount, price) in [
        (
            "39.9",
            "<del aria-hidden=true><bdi>49,90&nbsp;&euro;</bdi></del> <span>Ursprünglicher Preis war: 49,90&nbsp;&euro;</span>\
                  <ins><bdi>39,90&nbsp;&euro;</bdi></ins><span>Aktueller Preis ist: 39,90&nbsp;&euro;.</span>",
        ),
        ("1299.99", "$<span>1,299<span>.</span></span><span>99</span>"),
        ("12.99", "<span>12,99 €</span><span aria-hidden=true>12<span>,</span>99<span>€</span></span>"),
        ("12.99", "12,99 €<small>(25,98 €* / 1 l)</small>"),
        ("12.99", "12,99 € <small>UVP 15,99 €</small>"),
        ("12", "£10.00 <small>ex VAT</small> £12.00 <small>inc VAT</small>"),
    ] {
        assert_eq!(at("/lamp", &priced(&format!("<div itemprop=price>{price}</div>"))).0, amount, "{price}");
    }
}
