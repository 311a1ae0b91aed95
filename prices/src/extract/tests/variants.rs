//! Which of several products and variants the URL names.

use super::*;

fn group(variants: &str) -> String {
    block(&format!(r#"{{"@type":"ProductGroup","name":"Lamp","url":"/lamp","hasVariant":[{variants}]}}"#))
}

#[test]
fn the_variant_that_the_url_names_is_taken() {
    let by_url = group(
        r#"{"@type":"Product","url":"/lamp?variant=1","offers":{"price":"19","availability":"InStock"}},
           {"@type":"Product","url":"/lamp?variant=2","offers":{"price":"49","availability":"OutOfStock"}}"#,
    );
    let by_offer = group(
        r#"{"@type":"Product","offers":{"price":"19","url":"https://shop.example/lamp?variant=1"}},
           {"@type":"Product","offers":{"price":"49","url":"https://shop.example/lamp?variant=2"}}"#,
    );
    let by_sku = group(
        r#"{"@type":"Product","sku":"1","offers":{"price":"19"}},{"@type":"Product","sku":"2","offers":{"price":"49"}}"#,
    );
    let offers = block(&product(r#"[{"price":"19","url":"/lamp?variant=1"},{"price":"49","url":"/lamp?variant=2"}]"#));
    let items = block(&product(
        r#"[{"price":"19","itemOffered":{"@type":"Product","url":"/lamp?variant=1"}},{"price":"49","itemOffered":{"@type":"Product","url":"/lamp?variant=2"}}]"#,
    ));
    let apart = block(
        r##"{"@graph":[{"@type":"ProductGroup","@id":"#g","name":"Lamp"},
             {"@type":"Product","isVariantOf":{"@id":"#g"},"url":"/lamp?variant=1","offers":{"price":"19"}},
             {"@type":"Product","isVariantOf":{"@id":"#g"},"url":"/lamp?variant=2","offers":{"price":"49"}}]}"##,
    );
    let by_group_id = block(
        r#"[{"@type":"ProductGroup","productGroupID":"L"},
            {"@type":"Product","inProductGroupWithID":"L","url":"/lamp?variant=1","offers":{"price":"19"}},
            {"@type":"Product","inProductGroupWithID":"L","url":"/lamp?variant=2","offers":{"price":"49"}}]"#,
    );
    let aggregate = block(&product(
        r#"{"@type":"AggregateOffer","lowPrice":19,"offers":[{"price":19,"url":"/lamp?variant=1"},{"price":49,"url":"/lamp?variant=2"}]}"#,
    ));
    let entities = group(
        r#"{"@type":"Product","url":"/lamp?a=1&amp;variant=1","offers":{"price":"19"}},{"@type":"Product","url":"/lamp?a=1&amp;variant=2","offers":{"price":"49"}}"#,
    );
    for html in [&by_url, &by_offer, &by_sku, &offers, &items, &apart, &by_group_id, &aggregate] {
        assert_eq!(at("/lamp?variant=2", html).0, "49", "{html}");
        assert_eq!(at("/lamp?utm_source=mail&variant=1", html).0, "19", "{html}");
    }
    assert_eq!(at("/lamp?a=1&variant=2", &entities).0, "49");
    assert_eq!(at("/lamp?variant=2", &by_url).2, "OutOfStock");
    // Without a name in the URL: only what can be bought.
    assert_eq!(at("/lamp", &by_url).0, "19");
    assert_eq!(at("/lamp", &by_offer).0, "");
    assert_eq!(at("/lamp", &aggregate).0, "19");
    // Another variant's price is not that of the one that was asked for.
    assert_eq!(at("/lamp?variant=3", &by_url).0, "");
    let one = block(&product(r#"{"price":"19","url":"/lamp?variant=1"}"#));
    assert_eq!((at("/lamp?variant=3", &one).0, at("/lamp", &one).0), (String::new(), "19".to_owned()));
    assert_eq!(at("/lamp?ref=mail&page=2", &one).0, "19");
    // Its address outweighs a colour that is called otherwise there.
    let called = group(r#"{"@type":"Product","color":"Red","url":"/lamp?variant=2","offers":{"price":"49"}}"#);
    assert_eq!(at("/lamp?variant=2&color=rot", &called).0, "49");
    // What is known of another product is not known of the one that was asked for.
    let two = |others: &str| {
        let other = format!(r#"{{"@type":"Product",{others}"offers":{{"price":"19","availability":"InStock"}}}}"#);
        block(&format!(r#"[{other},{{"@type":"Product","url":"/lamp?variant=2","offers":{{"price":"49"}}}}]"#))
    };
    assert_eq!(at("/lamp?variant=2", &two(r#""url":"/lamp","#)), ("49".into(), String::new(), String::new()));
    let named = two("").replace("?variant=2", "");
    assert_eq!(at("/lamp", &named), ("49".into(), String::new(), String::new()));
    let outer = group(
        r#"{"@type":"Product","url":"/lamp?variant=1","availability":"OutOfStock","offers":{"price":"19"}},
           {"@type":"Product","url":"/lamp?variant=2","availability":"InStock","offers":{"price":"49"}}"#,
    );
    assert_eq!(at("/lamp?variant=1", &outer), ("19".into(), String::new(), "OutOfStock".into()));
    let parts = block(&product(r#"[{"price":"19","url":"/lamp"},{"price":"49","url":"/lamp?variant=2"}]"#));
    assert_eq!(at("/lamp", &parts).0, "19", "the offer of the page itself");
}

#[test]
fn variants_are_one_product_however_the_page_says_so() {
    let red = r#""@type":"Product","name":"Lamp, red","offers":{"price":"19","availability":"OutOfStock"}"#;
    let blue = r#""@type":"Product","name":"Lamp, blue","offers":{"price":"19","availability":"InStock"}"#;
    let vase = r#"{"@type":"Product","name":"Vase","offers":{"price":"5","availability":"InStock"}}"#;
    for json in [
        format!(r#"[{vase},{{"@type":"ProductGroup","name":"Lamp","hasVariant":[{{{red}}},{{{blue}}}]}}]"#),
        format!(r#"[{vase},{{"@type":"Product","name":"Lamp","hasVariant":[{{{red}}},{{{blue}}}]}}]"#),
        format!(
            r##"{{"@graph":[{vase},{{"@id":"#r",{red}}},{{"@id":"#b",{blue}}},
                {{"@type":"ProductGroup","name":"Lamp","hasVariant":[{{"@id":"#r"}},{{"@id":"#b"}}]}}]}}"##
        ),
        format!(
            r##"{{"@graph":[{vase},{{"@type":"ProductGroup","@id":"#g","name":"Lamp"}},
                {{"isVariantOf":{{"@id":"#g"}},{red}}},{{"isVariantOf":{{"@id":"#g"}},{blue}}}]}}"##
        ),
        format!(
            r#"[{vase},{{"@type":"ProductGroup","productGroupID":"L","name":"Lamp"}},
                {{"inProductGroupWithID":"L",{red}}},{{"inProductGroupWithID":"L",{blue}}}]"#
        ),
    ] {
        let found = at("/p/1", &format!("{}<h1>Lamp</h1>", block(&json)));
        assert_eq!(found, ("19".into(), String::new(), "InStock".into()), "{json}");
    }
    // The page shows no group, only variants of one.
    let json = format!(r#"[{vase},{{"inProductGroupWithID":"L",{red}}},{{"inProductGroupWithID":"L",{blue}}}]"#);
    let found = at("/p/1", &format!("{}<h1>Lamp, red</h1>", block(&json)));
    assert_eq!(found, ("19".into(), String::new(), "InStock".into()), "{json}");
}

#[test]
fn the_fragment_names_a_variant() {
    let html = group(
        r#"{"@type":"Product","url":"/lamp#a","offers":{"price":"17.63"}},{"@type":"Product","url":"/lamp#b","offers":{"price":"99"}}"#,
    );
    assert_eq!(at("/lamp#b", &html).0, "99");
    assert_eq!(at("/lamp#a", &html).0, "17.63");
    assert_eq!(at("/lamp", &html).0, "");
    let by_id = group(
        r##"{"@type":"Product","@id":"#a","offers":{"price":"1"}},{"@type":"Product","@id":"#b","offers":{"price":"2"}}"##,
    );
    assert_eq!(at("/lamp#b", &by_id).0, "2");
    let by_sku = group(
        r#"{"@type":"Product","sku":"A-1","offers":{"price":"1"}},{"@type":"Product","sku":"B-2","offers":{"price":"2"}}"#,
    );
    assert_eq!(at("/lamp#B-2", &by_sku).0, "2");
    assert_eq!(at("/lamp#sku=b-2", &by_sku).0, "2");
    // Names of nodes are no variants.
    let plain = block(r##"{"@type":"Product","@id":"/lamp#product","offers":{"@id":"/lamp#offer","price":"5"}}"##);
    assert_eq!(at("/lamp#reviews", &plain).0, "5");
}

#[test]
fn features_in_the_url_name_a_variant() {
    let html = group(
        r#"{"@type":"Product","color":"Red","size":"S","offers":{"price":"1"}},
           {"@type":"Product","color":"Red","size":"L","offers":{"price":"2"}},
           {"@type":"Product","color":"Dark Blue","size":"L","offers":{"price":"3"}}"#,
    );
    assert_eq!(at("/lamp?color=red&size=L", &html).0, "2");
    assert_eq!(at("/lamp?color=dark-blue", &html).0, "3");
    assert_eq!(at("/lamp?attribute_pa_color=red&attribute_size=s", &html).0, "1");
    assert_eq!(at("/lamp?color=red", &html).0, "");
    assert_eq!(at("/lamp?color=green", &html).0, "");
}

#[test]
fn related_products_are_not_the_product() {
    for json in [
        r#"{"@type":"Product","isRelatedTo":{"@type":"Product","offers":{"price":1}},"offers":{"price":5}}"#,
        r#"{"@type":"Product","isSimilarTo":[{"@type":"Product","offers":{"price":1}}],"offers":{"price":5}}"#,
        r##"{"@graph":[{"@type":"Product","isRelatedTo":{"@id":"#r"},"offers":{"price":5}},{"@id":"#r","@type":"Product","offers":{"price":1}}]}"##,
        r#"[{"@type":"ItemList","itemListElement":[{"@type":"ListItem","item":{"@type":"Product","offers":{"price":1}}}]},{"@type":"Product","offers":{"price":5}}]"#,
        r#"[{"@type":"Product","url":"/vase","offers":{"price":1}},{"@type":"Product","url":"/lamp","offers":{"price":5}}]"#,
        r#"[{"@type":"Product","url":"/vase","offers":{"price":1}},{"@type":"Product","offers":{"price":5}}]"#,
        r#"[{"@type":"Product","offers":{"price":1}},{"@type":"WebPage","mainEntity":{"@type":"Product","offers":{"price":5}}}]"#,
        r##"{"@graph":[{"@type":"Product","offers":{"price":1}},{"@type":"WebPage","mainEntity":{"@id":"#p"}},{"@id":"#p","@type":"Product","offers":{"price":5}}]}"##,
        r##"{"@graph":[{"@type":"BreadcrumbList","itemListElement":[{"item":{"@id":"/lamp"}}]},{"@id":"/lamp","@type":"Product","offers":{"price":5}}]}"##,
    ] {
        assert_eq!(at("/lamp", &block(json)).0, "5", "{json}");
    }
    // A list alone names no product, unless it is the page's.
    let list = |url: &str| {
        format!(
            r#"{{"@type":"ItemList","itemListElement":[{{"item":{{"@type":"Product","url":"{url}","offers":{{"price":1}}}}}}]}}"#
        )
    };
    amounts(&[(&list("/vase"), ""), (&list("/lamp"), "1")]);
    // The page's headings tell which it is, and its canonical address does.
    let two = block(
        r#"[{"@type":"Product","name":"Vase","offers":{"price":1}},{"@type":"Product","name":"Lamp &amp; Shade","offers":{"price":5}}]"#,
    );
    assert_eq!(at("/p/1", &format!("{two}<h1> Lamp &amp; shade</h1>")).0, "5");
    assert_eq!(at("/p/1", &format!("<title>Lamp & Shade – Shop</title>{two}")).0, "5");
    assert_eq!(at("/p/1", &format!("<title>A vase for Lamp & Shade</title><h1>Vase</h1>{two}")).0, "1");
    let two = block(
        r#"[{"@type":"Product","url":"/vase","offers":{"price":1}},{"@type":"Product","url":"/lamp","offers":{"price":5}}]"#,
    );
    assert_eq!(at("/p/1", &format!("<link rel=canonical href='/lamp'>{two}")).0, "5");
    assert_eq!(at("/p/1", &two).0, "");
}
