//! What readers see: the price, whether it can be had, and what shops' scripts are told.

use super::*;
use crate::testing::processor_seconds;

/// A page in the middle of which this stands.
fn shop(main: &str) -> String {
    format!(
        "<html lang=en><head><title>Lamp Moor | Shop</title></head><body><header><a class=mini-cart>Cart <b>99,00 €</b></a>\
         <p>Free shipping over 49 €</p></header><main>{main}</main><footer>From 5 €</footer></body></html>"
    )
}

const BUY: &str = "<button>Add to cart</button>";

/// The amount that readers see, or nothing.
fn seen(main: &str) -> String {
    at("/lamp", &shop(&format!("<h1>Lamp Moor</h1>{main}"))).0
}

fn details(main: &str) -> Details {
    page(&shop(main), &url()).details
}

#[test]
fn the_price_stands_at_the_name_and_the_button() {
    for (main, amount) in [
        (format!("<p class=price>24,50 €</p>{BUY}"), "24.5"),
        (format!("<p>24,50 €</p>{BUY}"), "24.5"),
        (format!("<div><span>24</span><sup>50</sup> <span>€</span></div>{BUY}"), "24.5"),
        (format!("<p class=price><b>24</b><i>,50</i> €</p>{BUY}"), "24.5"),
        (format!("<p class=price><b>$24</b><i>.50</i></p>{BUY}"), "24.5"),
        (format!("<p class=price>899:-</p>{BUY}"), "899"),
        (format!("<p class=price>٢٤٫٥٠ د.إ</p>{BUY}"), "24.5"),
        (format!("{BUY}<p class=price>24,50 €</p>"), "24.5"),
        ("<p class=price>24,50 €</p>".to_owned(), "24.5"),
        (format!("<p>Weighs 24 kg, 50 of them</p>{BUY}"), ""),
    ] {
        assert_eq!(seen(&main), amount, "{main}");
    }
    let price = page(&shop(&format!("<h1>Lamp Moor</h1><p class=price>24,50 €</p>{BUY}")), &url()).price.unwrap();
    assert_eq!((price.method, price.confidence), (Method::Visible, Confidence::Medium));
    assert_eq!((price.currency.as_deref(), price.availability.as_deref()), (Some("EUR"), Some("InStock")));
}

#[test]
fn other_amounts_are_told_from_the_price() {
    for other in [
        "<del>30,00 €</del>",
        "<span class=old-price>30,00 €</span>",
        "<span style='text-decoration: line-through'>30,00 €</span>",
        "<p>Was: 30,00 €</p>",
        "<p><span>UVP</span> 30,00 €</p>",
        "<p>You save 5,50 €</p>",
        "<p>or 3 payments of 8,17 €</p>",
        "<p class=installments>8,17 €</p>",
        "<p>Shipping 4,90 €</p>",
        "<p class=delivery>4,90 €</p>",
        "<p>Member price 19,00 €</p>",
        "<p>Lowest price of the last 30 days: 22,00 €</p>",
        "<p class=unit-price>49,00 €/kg</p>",
        "<p hidden>1,00 €</p>",
        "<p style='display:none'>1,00 €</p>",
        "<div class=related-products><p class=price>9,00 €</p></div>",
        "<section><h2>You may also like</h2><p class=price>9,00 €</p></section>",
        "<p class=price>20,59 € excl. VAT</p>",
    ] {
        assert_eq!(seen(&format!("{other}<p class=price>24,50 €</p>{BUY}")), "24.5", "{other}");
        assert_eq!(seen(&format!("<p class=price>24,50 €</p>{other}{BUY}")), "24.5", "{other}");
    }
}

#[test]
fn several_candidates_are_none() {
    for main in [
        // A range, and the least of several.
        format!("<p class=price>24,50 € – 99,00 €</p>{BUY}"),
        format!("<p class=price><span>24,50 €</span> – <span>99,00 €</span></p>{BUY}"),
        format!("<p class=price>from 24,50 €</p>{BUY}"),
        // Choices, and a list of products.
        format!("<label>10,00 €</label><label>20,00 €</label><label>50,00 €</label>{BUY}"),
        "<ul><li><b>A</b> <p class=price>5 €</p></li><li><b>B</b> <p class=price>6 €</p></li><li><b>C</b> <p class=price>7 €</p></li></ul>".to_owned(),
        // Only what somebody asks for, or a used piece.
        "<p class=price>Price on request</p><p>Assembly 890,00 €</p>".to_owned(),
        format!("<div class=condition>Used</div><p class=price>24,50 €</p>{BUY}"),
    ] {
        assert_eq!(seen(&main), "", "{main}");
    }
    // An old price and a new one, neither marked, at the button.
    assert_eq!(seen(&format!("<p><span class=p>30,00 €</span> <span class=p>24,50 €</span></p>{BUY}")), "24.5");
    assert_eq!(seen("<p><span class=p>30,00 €</span> <span class=p>24,50 €</span></p>"), "");
}

#[test]
fn readers_are_right_where_machines_are_told_otherwise() {
    let with = |price: &str, main: &str| {
        let block = block(&format!(
            r#"{{"@type":"Product","name":"Lamp Moor","offers":{{"price":{price},"priceCurrency":"EUR"}}}}"#
        ));
        let price = page(&shop(&format!("{block}<h1>Lamp Moor</h1>{main}{BUY}")), &url()).price.unwrap();
        (price.amount.normalize().to_string(), price.method, price.confidence)
    };
    let shown = "<p class=price>24,50 €</p>";
    assert_eq!(with("24.50", shown), ("24.5".into(), Method::JsonLd, Confidence::High));
    assert_eq!(with("31.00", shown), ("24.5".into(), Method::Visible, Confidence::Low));
    assert_eq!(with("31.00", "<p>Nothing</p>"), ("31".into(), Method::JsonLd, Confidence::Medium));
    // The dot groups, or cents were written.
    assert_eq!(with("\"1.299\"", "<p class=price>1.299,00 €</p>"), ("1299".into(), Method::JsonLd, Confidence::High));
    assert_eq!(with("1.299", "<p class=price>1.299,00 €</p>"), ("1299".into(), Method::JsonLd, Confidence::High));
    assert_eq!(with("2450", shown), ("24.5".into(), Method::JsonLd, Confidence::High));
    // The earlier price was left in the data.
    let struck = "<p class=price><del>31,00 €</del> <ins>24,50 €</ins></p>";
    assert_eq!(with("31.00", struck).0, "24.5");
}

#[test]
fn the_button_and_what_stands_at_it_tell_whether_it_can_be_had() {
    let stock = |main: &str| {
        details(&format!("<h1>Lamp Moor</h1><p class=price>24,50 €</p>{main}")).availability.unwrap_or_default()
    };
    for (main, word) in [
        (BUY, "InStock"),
        ("<a class='btn add-to-cart' href=#>Go</a>", "InStock"),
        ("<form action=/add-to-cart><input type=submit value=Go></form>", "InStock"),
        ("<input type=button value='In den Warenkorb'>", "InStock"),
        ("<button disabled>Sold out</button>", "OutOfStock"),
        ("<button>Notify me when available</button>", "OutOfStock"),
        ("<button>Pre-order</button>", "PreOrder"),
        ("<p>Derzeit nicht lieferbar</p>", "OutOfStock"),
        ("<p>En rupture de stock</p>", "OutOfStock"),
        ("<p>Нет в наличии</p>", "OutOfStock"),
        ("<p>在庫切れ</p>", "OutOfStock"),
        ("<p class=stock>Out of stock</p><button>Add to cart</button>", "OutOfStock"),
        ("<p>Auf Lager</p>", "InStock"),
        ("<ul><li>S: sold out</li></ul><button>Add to cart</button>", "InStock"),
        ("<p>Available on backorder</p>", "BackOrder"),
        ("<p>A lamp of moor</p>", ""),
        ("<section><h2>You may also like</h2><button>Add to cart</button></section>", ""),
    ] {
        assert_eq!(stock(main), word, "{main}");
    }
}

#[test]
fn scripts_of_shops_are_read() {
    let name = r#""name":"Lamp Moor""#;
    for (main, amount) in [
        (format!(r#"<script>dataLayer.push({{"ecommerce":{{"detail":{{"products":[{{{name},"price":"24.50"}}]}}}}}});</script>"#), "24.5"),
        (r#"<script>gtag('event','view_item',{currency:'EUR',items:[{item_name:'Lamp Moor',price:24.5}]})</script>"#.to_owned(), "24.5"),
        (format!(r#"<script id=__NEXT_DATA__ type="application/json">{{"props":{{"product":{{{name},"price":{{"value":24.5}}}}}}}}</script>"#), "24.5"),
        (r#"<script>var meta = {"product":{"title":"Lamp Moor","variants":[{"price":2450,"name":"Lamp Moor"}]}};</script>"#.to_owned(), "24.5"),
        (r#"<script type="text/x-magento-init">{"*":{"priceBox":{"prices":{"finalPrice":{"amount":24.5},"oldPrice":{"amount":30}}}}}</script>"#.to_owned(), "24.5"),
        (r#"<form data-product_variations='[{"display_price":24.5,"is_in_stock":true},{"display_price":24.5}]'></form>"#.to_owned(), "24.5"),
        (r#"<form data-product_variations='[{"display_price":24.5},{"display_price":30}]'></form>"#.to_owned(), ""),
        (r#"<div data-product='{"price_amount":24.5,"price":"24,50 €"}'></div>"#.to_owned(), "24.5"),
        (r#"<script>window.product = {"name":"Vase","price":9};</script>"#.to_owned(), ""),
        (format!(r#"<script>var product = {{{name},"price":24.5,"related":[{{{name},"price":3}}]}};</script>"#), "24.5"),
        ("<div data-product-price=24.50></div>".to_owned(), "24.5"),
        ("<input type=hidden name=preis value=24.50>".to_owned(), "24.5"),
    ] {
        assert_eq!(seen(&main), amount, "{main}");
    }
    let asked = r#"<form data-product_variations='[{"attributes":{"attribute_pa_size":"s"},"display_price":20},{"attributes":{"attribute_pa_size":"l"},"display_price":30}]'></form>"#;
    assert_eq!(at("/lamp?attribute_pa_size=l", &shop(&format!("<h1>Lamp Moor</h1>{asked}"))).0, "30");
    let embedded =
        page(&shop(r#"<h1>Lamp Moor</h1><div data-product='{"price_amount":24.5}'></div>"#), &url()).price.unwrap();
    assert_eq!((embedded.method, embedded.confidence), (Method::Embedded, Confidence::Medium));
}

#[test]
fn a_selector_names_the_element_with_the_price() {
    let html =
        shop("<h1>Lamp Moor</h1><p class=a>1 €</p><p class=b>2,00 <del>3 €</del> €</p><meta itemprop=price content=7>");
    let read = |css: &str| {
        let hints = Hints { selector: Some(css), ..Hints::on(NaiveDate::from_ymd_opt(2026, 11, 27).unwrap()) };
        let price = super::super::read(&html, &url(), &hints).unwrap().price.unwrap();
        (price.amount.normalize().to_string(), price.method)
    };
    assert_eq!(read("p.b"), ("2".into(), Method::Selector));
    assert_eq!(read("[itemprop=price]"), ("7".into(), Method::Selector));
    assert_ne!(read("p.none").1, Method::Selector);
    assert!(is_selector("a > b, [c]") && !is_selector("a[") && !is_selector(&"a ".repeat(500)));
}

#[test]
fn all_that_data_say_of_a_product_is_read() {
    let json = r#"{"@type":"Product","name":"Lamp  Moor","brand":{"@type":"Brand","name":"Moor"},"gtin13":"4006381333931","mpn":"M-1",
        "sku":"L-1","image":["/lamp.jpg"],"offers":{"price":20,"priceCurrency":"EUR","itemCondition":"https://schema.org/NewCondition",
        "seller":{"name":"Shop"},"shippingDetails":{"shippingRate":{"value":"4.90","currency":"EUR"}},
        "priceSpecification":[{"priceType":"https://schema.org/ListPrice","price":30},
        {"price":40,"referenceQuantity":{"value":1,"unitCode":"KGM"}}]}}"#;
    let Details { name, list_price, unit_price, condition, brand, gtin, mpn, sku, image, seller, shipping, .. } =
        details(&format!("<script type='application/ld+json'>{json}</script>"));
    let texts = [name, condition, brand, gtin, mpn, sku, image, seller].map(Option::unwrap_or_default);
    assert_eq!(
        texts,
        ["Lamp Moor", "NewCondition", "Moor", "4006381333931", "M-1", "L-1", "https://shop.example/lamp.jpg", "Shop"]
    );
    assert_eq!(list_price.map(|price| price.amount.to_string()).as_deref(), Some("30"));
    assert_eq!(unit_price.map(|price| format!("{}/{}", price.amount, price.per)).as_deref(), Some("40/kg"));
    assert_eq!(shipping.map(|price| price.amount.to_string()).as_deref(), Some("4.90"));
    // Without data, what readers see and previews say.
    let seen = details(&format!(
        "<meta property=product:brand content=Moor><h1>Lamp Moor</h1><p><del>30 €</del> <b class=price>20 €</b> <small>(40 €/kg)</small></p>{BUY}"
    ));
    assert_eq!((seen.name.as_deref(), seen.brand.as_deref()), (Some("Lamp Moor"), Some("Moor")));
    let list = seen.list_price.unwrap();
    assert_eq!(
        (list.amount.to_string().as_str(), list.method, list.confidence),
        ("30", Method::Visible, Confidence::Low)
    );
    assert_eq!(seen.unit_price.map(|price| price.per).as_deref(), Some("kg"));
}

#[test]
fn signs_mean_what_they_mean_where_the_page_is() {
    let currency = |url: &str, lang: &str, price: &str| {
        let html = shop(&format!("<h1>Lamp Moor</h1><p class=price>{price}</p>{BUY}"))
            .replace("lang=en", &format!("lang={lang}"));
        page(&html, &Url::parse(url).unwrap()).price.unwrap().currency
    };
    for (url, lang, price, code) in [
        ("https://shop.ca/lamp", "en", "$24.50", Some("CAD")),
        ("https://shop.example/lamp", "en-AU", "$24.50", Some("AUD")),
        ("https://shop.com/lamp", "en", "$24.50", Some("USD")),
        ("https://shop.example/lamp", "sv", "245 kr", Some("SEK")),
        ("https://shop.jp/lamp", "ja", "¥2450", Some("JPY")),
    ] {
        // The cart of the frame is in euros, and beside the product.
        assert_eq!(currency(url, lang, price).as_deref(), code, "{url} {lang} {price}");
    }
}

#[test]
fn pages_that_are_made_to_take_all_time_do_not() {
    let many = |piece: &str, n: usize| shop(&format!("<h1>Lamp Moor</h1>{}{BUY}", piece.repeat(n)));
    let script = |text: &str| shop(&format!("<h1>Lamp Moor</h1><script>{text}</script>{BUY}"));
    for html in [
        many("<p class=price>24,50 €</p>", 60_000),
        many("<span>1</span>", 100_000),
        many("<button>Add to cart</button>", 60_000),
        many("<h1>Lamp Moor</h1>", 60_000),
        many("<h2>You may also like</h2>", 60_000),
        many("<script>dataLayer.push({\"name\":\"Lamp Moor\",\"price\":1})</script>", 20_000),
        many("<div class='a-b-c-d old-price related x y z'>", 1_000),
        shop(&format!("<h1>Lamp Moor</h1>{}24,50 €", "<div class=price>".repeat(1_500))),
        shop(&format!("<h1>Lamp Moor</h1><script>dataLayer.push({}</script>", "{\"price\":".repeat(200_000))),
        shop(&format!("<h1>Lamp Moor</h1><script>{}</script>", "var product = {".repeat(100_000) + "price")),
        shop(&format!("<h1>Lamp Moor</h1><p class=price>{} €</p>", "9".repeat(1_000_000))),
        shop(&format!("<h1>{}</h1>{BUY}", "Lamp ".repeat(200_000))),
        shop(&format!("<h1>Lamp Moor</h1><p class='{}'>5 €</p>", "old-price ".repeat(100_000))),
        script(&"self.__next_f.push([1,\"7:{price:1}\\n\"]);".repeat(40_000)),
        script(&"__next_f.push([".repeat(100_000)),
        script(&format!("self.__next_f.push([1,\"{}\"])", "7:[\\\"product\\\":{price,\\n".repeat(50_000))),
        script(&format!("price;{}", "__NUXT__=(function(a,b){return {".repeat(50_000))),
        script(&format!(
            "window.__NUXT__=(function({}){{return {{price:a}}}}({}))",
            "a,".repeat(200_000),
            "1,".repeat(200_000)
        )),
        shop(&format!(
            "<script type=application/json id=__NUXT_DATA__>[{}0]</script>",
            "{\"name\":1,\"price\":0},".repeat(60_000)
        )),
        shop(&format!(
            "<script type=application/json id=__NUXT_DATA__>[{}]</script>",
            "[0,0,0,0,0,0,0,0],".repeat(60_000)
        )),
        script(&format!("__STATE__={{{}}}", "\"$Product:a.commertialOffer\":{\"Price\":1},".repeat(40_000))),
        many("<i :product='{\"name\":\"Lamp Moor\",\"price\":1}'></i>", 30_000),
        many("<p class=a>24,50 €</p><p class=b>29,50 €</p><p>-17%</p>", 30_000),
    ] {
        let began = processor_seconds();
        let _ = super::super::read(&html, &url(), &Hints::on(NaiveDate::from_ymd_opt(2026, 11, 27).unwrap()));
        // What grows with the square would take hours.
        let took = processor_seconds() - began;
        assert!(took < 60.0, "{took}: {html:.300}");
    }
}
