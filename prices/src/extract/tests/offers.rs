//! Which of an offer's prices is the price.

use super::*;

fn offers(cases: &[(&str, &str)]) {
    let cases: Vec<(String, &str)> = cases.iter().map(|(offers, amount)| (product(offers), *amount)).collect();
    amounts(&cases.iter().map(|(json, amount)| (json.as_str(), *amount)).collect::<Vec<_>>());
}

#[test]
fn types_and_names_are_read_in_any_case_and_form() {
    let offer = r#"{"@type":"Offer","price":"5","priceCurrency":"EUR"}"#;
    for json in [
        format!(r#"{{"@type":"product","offers":{offer}}}"#),
        format!(r#"{{"@type":"PRODUCT","Offers":{offer}}}"#),
        format!(r#"{{"@type":["Thing","Product"],"OFFERS":{offer}}}"#),
        format!(r#"{{"@type":"http://schema.org/Product","offers":{offer}}}"#),
        format!(r#"{{"@type":"https://schema.org/Product/","offers":{offer}}}"#),
        format!(r#"{{"@type":"http://www.schema.org/product","offers":{offer}}}"#),
        format!(r#"{{"@type":"schema:Product","schema:offers":{offer}}}"#),
        format!(r#"{{"@type":"https://schema.org/Product","https://schema.org/offers":{offer}}}"#),
        format!(r#"{{"type":"Product","offers":{offer}}}"#),
        format!(r#"{{"@type":[["Product"]],"offers":[[[{offer}]]]}}"#),
        format!(r#"{{"@type":"Product","offers":{{"@list":[{offer}]}}}}"#),
        format!(r#"[[{{"@type":"Product","offers":{offer}}}]]"#),
        format!(r#"{{"@graph":[[{{"@type":"Product","offers":{offer}}}]]}}"#),
        format!(r#"{{"@context":"x","@graph":{{"@type":"Product","offers":{offer}}}}}"#),
        format!(r#"{{"@type":"ItemPage","mainEntity":{{"@type":"Product","offers":{offer}}}}}"#),
        format!(r#"{{"@type":"WebPage","about":{{"@type":"Product","offers":{offer}}}}}"#),
        format!(r#"{{"@type":"Review","itemReviewed":{{"@type":"Product","offers":{offer}}}}}"#),
        format!(r#"{{"@type":["Book","Product"],"offers":{offer}}}"#),
        format!(r#"{{"@type":"Book","offers":{offer}}}"#),
        format!(r#"{{"@type":"Product","name":null,"offers":{offer},"review":[],"aggregateRating":{{}}}}"#),
        r#"{"@type":"Product","price":"5","priceCurrency":"EUR"}"#.to_owned(),
        r#"{"@type":"Product","offers":{"Price":{"@value":"5.00","@type":"xsd:decimal"},"PRICECURRENCY":"eur"}}"#
            .to_owned(),
        r#"{"@type":"Offer","price":"5","priceCurrency":"EUR","itemOffered":{"@type":"Product","name":"Lamp"}}"#
            .to_owned(),
        r#"{"@graph":[{"@type":"Product","name":"Lamp"},{"@type":"Offer","price":"5","priceCurrency":"EUR"}]}"#
            .to_owned(),
    ] {
        assert_eq!(at("/lamp", &block(&json)), ("5".into(), "EUR".into(), String::new()), "{json}");
    }
}

#[test]
fn references_lead_to_what_they_name() {
    let offer = r##"{"@type":"Offer","@id":"#o","price":"5","priceCurrency":"EUR"}"##;
    amounts(&[
        (&format!(r##"{{"@graph":[{{"@type":"Product","offers":{{"@id":"#o"}}}},{offer}]}}"##), "5"),
        (&format!(r##"{{"@graph":[{offer},{{"@type":"Product","offers":[{{"@id":"#o"}}]}}]}}"##), "5"),
        (&format!(r##"{{"@graph":[{{"@type":"Product","offers":"#o"}},{offer}]}}"##), "5"),
        (
            &format!(
                r##"[{{"@type":"Product","url":"/vase","offers":{{"price":7}}}},{{"@type":"Product","url":"/lamp","offers":"#o"}},{offer}]"##
            ),
            "5",
        ),
        (
            &format!(
                r##"{{"@graph":[{{"@type":"Product","offers":{{"@id":"https://shop.example/lamp#o"}}}},{offer}]}}"##
            ),
            "5",
        ),
        (r##"{"@graph":[{"@type":"Product","offers":{"@id":"_:b0"}},{"@id":"_:b0","price":5}]}"##, "5"),
        (
            r##"{"@graph":[{"@type":"WebPage","mainEntity":{"@id":"#p"}},{"@id":"#p","@type":"Product","offers":{"price":5}}]}"##,
            "5",
        ),
        (r##"{"@graph":[{"@id":"#p","@type":"Product","name":"Lamp"},{"@id":"#p","offers":{"price":5}}]}"##, "5"),
        (
            r##"{"@graph":[{"@type":"Product","offers":{"priceSpecification":{"@id":"#s"}}},{"@id":"#s","price":5}]}"##,
            "5",
        ),
        (
            r##"{"@graph":[{"@type":"Product","@id":"#p"},{"@type":"Offer","price":5,"itemOffered":{"@id":"#p"}}]}"##,
            "5",
        ),
        (r##"{"@type":"Product","@reverse":{"itemOffered":[{"@type":"Offer","price":5}]}}"##, "5"),
        // Circles, and references to nothing.
        (r##"{"@graph":[{"@type":"Product","@id":"#p","offers":{"@id":"#p"}}]}"##, ""),
        (
            r##"{"@graph":[{"@type":"Product","offers":{"@id":"#a"}},{"@id":"#a","offers":{"@id":"#b"}},{"@id":"#b","offers":{"@id":"#a"}}]}"##,
            "",
        ),
        (r##"{"@type":"Product","offers":{"@id":"#nothing"}}"##, ""),
    ]);
    // In two blocks.
    let two =
        block(r##"{"@type":"Product","@id":"#p","name":"Lamp"}"##) + &block(r##"{"@id":"#p","offers":{"price":"5"}}"##);
    assert_eq!(at("/lamp", &two).0, "5");
}

#[test]
fn specifications_are_told_apart() {
    offers(&[
        (r#"{"priceSpecification":[{"price":"80","priceType":"https://schema.org/ListPrice"},{"price":"60"}]}"#, "60"),
        (r#"{"priceSpecification":[{"price":"60"},{"price":"80","priceType":"StrikethroughPrice"}]}"#, "60"),
        (
            r#"{"priceSpecification":[{"price":"80","priceType":"RegularPrice"},{"price":"60","priceType":"SalePrice"}]}"#,
            "60",
        ),
        (
            r#"{"priceSpecification":[{"price":"60","priceType":"SalePrice"},{"price":"80","priceType":"https://schema.org/RegularPrice"}]}"#,
            "60",
        ),
        (r#"{"priceSpecification":{"price":"80","priceType":"RegularPrice"}}"#, "80"),
        (r#"{"priceSpecification":[{"price":"80","priceType":"RegularPrice"},{"price":"60"}]}"#, "60"),
        (r#"{"priceSpecification":{"price":"80","priceType":"ListPrice"}}"#, ""),
        (r#"{"priceSpecification":{"price":"80","priceType":"http://schema.org/MSRP"}}"#, ""),
        (r#"{"price":"60","priceSpecification":{"price":"80","priceType":"ListPrice"}}"#, "60"),
        (r#"{"price":"80","priceSpecification":{"price":"60","priceType":"SalePrice"}}"#, "60"),
        (r#"[{"price":"80","priceType":"ListPrice"},{"price":"60"}]"#, "60"),
        // One shop's program writes this type for every price.
        (
            r#"{"priceSpecification":[{"@type":"UnitPriceSpecification","price":"20.00","priceCurrency":"GBP","valueAddedTaxIncluded":false}]}"#,
            "20",
        ),
        (
            r#"{"priceSpecification":[{"@type":"UnitPriceSpecification","price":"20"},{"@type":"UnitPriceSpecification","price":"25","priceType":"https://schema.org/ListPrice"}]}"#,
            "20",
        ),
        (
            r#"{"priceSpecification":[{"@type":"UnitPriceSpecification","price":"49.80","referenceQuantity":{"value":"1","unitCode":"KGM"}},{"price":"12.45"}]}"#,
            "12.45",
        ),
        (
            r#"{"priceSpecification":{"@type":"UnitPriceSpecification","price":"49.80","referenceQuantity":{"value":"100","unitText":"g"}}}"#,
            "",
        ),
        (r#"{"priceSpecification":{"@type":"UnitPriceSpecification","price":"49.80","unitCode":"KGM"}}"#, ""),
        (
            r#"{"price":"12.45","priceSpecification":{"@type":"UnitPriceSpecification","price":"49.80","unitCode":"LTR"}}"#,
            "12.45",
        ),
        (
            r#"{"priceSpecification":{"@type":"UnitPriceSpecification","price":"9","referenceQuantity":{"value":1,"unitCode":"C62"}}}"#,
            "9",
        ),
        (
            r#"{"priceSpecification":[{"@type":"PriceSpecification","price":"9"},{"@type":"DeliveryChargeSpecification","price":"4.90"}]}"#,
            "9",
        ),
        (r#"{"priceSpecification":{"@type":"DeliveryChargeSpecification","price":"4.90"}}"#, ""),
        (
            r#"{"price":"9","shippingDetails":{"@type":"OfferShippingDetails","shippingRate":{"@type":"MonetaryAmount","value":"4.90","currency":"EUR"}}}"#,
            "9",
        ),
        (r#"{"shippingDetails":{"shippingRate":{"value":"4.90"}}}"#, ""),
        (
            r#"{"priceSpecification":[{"price":"8","validForMemberTier":{"@type":"MemberProgramTier","name":"gold"}},{"price":"10"}]}"#,
            "10",
        ),
        (r##"{"priceSpecification":{"price":"8","validForMemberTier":{"@id":"#gold"}}}"##, ""),
        (r#"[{"price":"8","validForMemberTier":[{"@id":"x"}]},{"price":"10"}]"#, "10"),
        (
            r#"{"priceSpecification":[{"price":"10","valueAddedTaxIncluded":true},{"price":"8.40","valueAddedTaxIncluded":false}]}"#,
            "10",
        ),
        (r#"{"priceSpecification":[{"price":"10","validFrom":"2026-12-24"},{"price":"12"}]}"#, "12"),
        (
            r#"{"priceSpecification":[{"price":"10","priceType":"SalePrice","validThrough":"2026-11-20T23:59:59Z"},{"price":"12"}]}"#,
            "12",
        ),
        (
            r#"{"priceSpecification":[{"price":"10","validThrough":"2026-12-20"},{"price":"12","priceType":"ListPrice"}]}"#,
            "10",
        ),
        (r#"{"price":"10","priceValidUntil":"2020-01-01"}"#, "10"),
        (r#"{"priceSpecification":[{"price":"10"},{"price":"12"}]}"#, ""),
        (r#"{"priceSpecification":[{"price":"10"},{"price":"10.00"}]}"#, "10"),
        (r#"{"price":{"@type":"PriceSpecification","price":"7"}}"#, "7"),
        (r#"{"price":{"@type":"MonetaryAmount","value":"7","currency":"EUR"}}"#, "7"),
    ]);
}

/// Read on 2026-11-27.
#[test]
fn the_first_day_is_told_on_which_a_date_of_the_page_has_it_read_otherwise() {
    for (offers, until) in [
        (r#"{"price":"10"}"#, ""),
        // A sale that ends, one that has ended, one that is to come, and one of today.
        (
            r#"{"priceSpecification":[{"price":"10","priceType":"SalePrice","validThrough":"2026-11-30T23:59"},{"price":"12"}]}"#,
            "2026-12-01",
        ),
        (
            r#"{"priceSpecification":[{"price":"10","priceType":"SalePrice","validThrough":"2026-11-26"},{"price":"12"}]}"#,
            "",
        ),
        (r#"{"priceSpecification":[{"price":"10","validFrom":"2026-12-24"},{"price":"12"}]}"#, "2026-12-24"),
        (
            r#"{"priceSpecification":[{"price":"10","validFrom":"2026-11-27","validThrough":"2026-11-27"},{"price":"12"}]}"#,
            "2026-11-28",
        ),
        (r#"{"price":"10","priceValidUntil":"2026-12-31"}"#, "2027-01-01"),
        (r#"{"price":"10","priceValidUntil":"2020-01-01"}"#, ""),
        (r#"[{"price":"10","validThrough":"2027-01-01"},{"price":"9","validFrom":"2026-12-01"}]"#, "2026-12-01"),
        // Nobody knows which day that is.
        (r#"{"price":"10","validThrough":"2026-12-XX"}"#, "2026-11-28"),
        (r#"{"price":"10","validThrough":"soon"}"#, ""),
    ] {
        let until_read = page(&block(&product(offers)), &url()).until.map(|day| day.to_string()).unwrap_or_default();
        assert_eq!(until_read, until, "{offers}");
    }
    let microdata = r#"<div itemscope itemtype="http://schema.org/Product"><div itemprop=offers itemscope itemtype="http://schema.org/Offer">
        <b itemprop=price content=10>10 €</b><meta itemprop=priceValidUntil content=2026-12-02></div></div>"#;
    assert_eq!(page(microdata, &url()).until.map(|day| day.to_string()).as_deref(), Some("2026-12-03"));
}

#[test]
fn offers_for_others_do_not_count() {
    offers(&[
        (
            r#"[{"price":"30","itemCondition":"https://schema.org/UsedCondition"},{"price":"60","itemCondition":"https://schema.org/NewCondition"}]"#,
            "60",
        ),
        (r#"[{"price":"60"},{"price":"30","itemCondition":"UsedCondition"}]"#, "60"),
        (r#"[{"price":"60"},{"price":"30","itemOffered":{"itemCondition":"http://schema.org/UsedCondition"}}]"#, "60"),
        (r#"[{"price":"60"},{"price":"45","itemCondition":"https://schema.org/RefurbishedCondition"}]"#, "60"),
        (r#"{"price":"45","itemCondition":"https://schema.org/RefurbishedCondition"}"#, "45"),
        (r#"{"price":"30","itemCondition":"https://schema.org/UsedCondition"}"#, ""),
        (r#"[{"price":"60"},{"price":"5","eligibleQuantity":{"minValue":10}}]"#, "60"),
        (r#"[{"price":"60"},{"price":"50","eligibleCustomerType":"http://purl.org/goodrelations/v1#Business"}]"#, "60"),
        (r#"[{"@type":"Demand","price":"1"},{"@type":"Offer","price":"60"}]"#, "60"),
        (r#"[{"price":"55","priceType":"https://schema.org/MemberPrice"},{"price":"60"}]"#, "60"),
        (r#"{"priceSpecification":[{"price":"55","priceType":"MemberPrice"},{"price":"60"}]}"#, "60"),
        (
            r#"[{"price":"5","businessFunction":"http://purl.org/goodrelations/v1#LeaseOut"},{"price":"60","businessFunction":"http://purl.org/goodrelations/v1#Sell"}]"#,
            "60",
        ),
        (r#"{"price":"5","businessFunction":"LeaseOut"}"#, ""),
        (r#"{"price":"60","businessFunction":""}"#, "60"),
    ]);
    let used = r#"{"@type":"Product","itemCondition":"UsedCondition","offers":{"price":"30"}}"#;
    let other = r#"{"@type":"Product","url":"/vase","itemCondition":"UsedCondition","offers":{"price":"30"}}"#;
    amounts(&[(used, ""), (&format!(r#"[{other},{{"@type":"Product","url":"/lamp","price":"5"}}]"#), "5")]);
    // No other data bring the price of a used piece back.
    let twice = block(&product(r#"{"price":"30","itemCondition":"UsedCondition"}"#))
        + r#"<meta property="og:price:amount" content="30.00"><meta property="og:price:currency" content="EUR">"#;
    assert_eq!(at("/lamp", &twice).0, "");
}

#[test]
fn aggregates_have_a_lowest_price() {
    offers(&[
        (r#"{"@type":"AggregateOffer","lowPrice":"10","highPrice":"20"}"#, "10"),
        (r#"{"lowPrice":"10","highPrice":"20"}"#, "10"),
        (r#"{"@type":"AggregateOffer","price":"10","highPrice":"20"}"#, "10"),
        (r#"{"@type":"AggregateOffer","lowPrice":10,"offers":[{"price":10},{"price":12}]}"#, "10"),
        (
            r#"{"@type":"AggregateOffer","lowPrice":5,"offers":[{"price":5,"availability":"Discontinued"},{"price":9,"availability":"InStock"},{"price":11,"availability":"InStock"}]}"#,
            "9",
        ),
        (r#"{"@type":"AggregateOffer","highPrice":"20"}"#, ""),
        (r#"{"@type":"AggregateOffer","lowPrice":"0","offers":[{"price":7}]}"#, "7"),
        (r#"{"@type":"AggregateOffer","offers":[{"price":7}]}"#, "7"),
        (r#"{"@type":"AggregateOffer","offerCount":3}"#, ""),
        (r#"[{"@type":"AggregateOffer","lowPrice":"10"},{"@type":"AggregateOffer","lowPrice":"12"}]"#, ""),
        (r#"[{"@type":"AggregateOffer","lowPrice":"10"},{"@type":"AggregateOffer","lowPrice":"10.00"}]"#, "10"),
    ]);
}

#[test]
fn several_prices_are_not_guessed_from() {
    offers(&[
        (r#"[{"price":"10"},{"price":"12"}]"#, ""),
        (r#"[{"price":"10"},{"price":"10.00"}]"#, "10"),
        (r#"[{"price":"10","availability":"OutOfStock"},{"price":"12","availability":"InStock"}]"#, "12"),
        (r#"[{"price":"10","availability":"OutOfStock"},{"price":"12","availability":"SoldOut"}]"#, ""),
        (r#"[{"price":"10","priceCurrency":"EUR"},{"price":"10","priceCurrency":"USD"}]"#, ""),
        (r#"{"price":["10","12"]}"#, ""),
        (r#"{"price":["10","10.0"]}"#, "10"),
        (r#"{"price":"12","price":"10"}"#, "10"),
    ]);
    let two =
        r#"[{"@type":"Product","name":"A","offers":{"price":1}},{"@type":"Product","name":"B","offers":{"price":2}}]"#;
    amounts(&[(two, "")]);
    // What the page itself shows or says tells them apart.
    let open =
        block(&product(r#"[{"price":"1249","availability":"InStock"},{"price":"1399","availability":"InStock"}]"#));
    assert_eq!(at("/lamp", &format!("{open}<p>1.399,00 €</p>")), ("1399".into(), "EUR".into(), "InStock".into()));
    assert_eq!(at("/lamp", &format!("{open}<p>1 249.00 and 1,399.00</p>")).0, "");
    assert_eq!(at("/lamp", &format!("{open}<p>41,249.00</p><script>1249.00</script>")).0, "");
    let meta = r#"<meta property="product:price:amount" content="1249.00"><meta property="product:price:currency" content="EUR">"#;
    assert_eq!(at("/lamp", &format!("{open}{meta}")), ("1249".into(), "EUR".into(), "InStock".into()));
    let few = block(&product(
        r#"[{"price":"1399","availability":"InStock"},{"price":"1249","availability":"LimitedAvailability"}]"#,
    ));
    assert_eq!(at("/lamp", &format!("{few}{meta}")), ("1249".into(), "EUR".into(), "LimitedAvailability".into()));
}

#[test]
fn nothing_is_no_price() {
    offers(&[
        (r#"{"price":"0","availability":"OutOfStock"}"#, ""),
        (r#"{"price":0.00,"availability":"https://schema.org/SoldOut"}"#, ""),
        (r#"{"price":"0","availability":"InStock"}"#, "0"),
        (r#"[{"price":"0"},{"price":"12"}]"#, "12"),
        (r#"{"price":"","availability":"InStock"}"#, ""),
        (r#"{"price":null}"#, ""),
        (r#"{"price":"-5"}"#, ""),
        (r#"{"price":-5}"#, ""),
        (r#"{"price":true}"#, ""),
        (r#"{"price":"25% OFF"}"#, ""),
        (r#"{"price":"NaN"}"#, ""),
    ]);
    // The price of what is sold out is none, although something else without a price is there.
    offers(&[(r#"[{"price":"0","availability":"SoldOut"},{"name":"Vase","availability":"InStock"}]"#, "")]);
    let elsewhere =
        block(&product(r#"{"availability":"SoldOut"}"#)) + r#"<meta property="og:price:amount" content="0.00">"#;
    assert_eq!(at("/lamp", &elsewhere).0, "");
    amounts(&[
        (r#"{"@type":"Service","offers":{"price":1}}"#, ""),
        (r#"{"@type":"Product"}"#, ""),
        ("null", ""),
        ("[]", ""),
    ]);
}

#[test]
fn availability_is_read_from_where_it_is() {
    for (json, availability) in [
        (product(r#"{"price":5,"availability":["https://schema.org/OutOfStock"]}"#), "OutOfStock"),
        (product(r#"{"price":5,"availability":{"@id":"https://schema.org/InStock"}}"#), "InStock"),
        (product(r#"{"price":5,"availability":"out_of_stock"}"#), "OutOfStock"),
        (product(r#"{"price":5,"availability":true}"#), "InStock"),
        (product(r#"{"price":5,"availability":"maybe"}"#), ""),
        (product(r#"{"price":5,"availability":["OutOfStock","InStock"]}"#), "InStock"),
        (product(r#"{"@type":"AggregateOffer","availability":"InStock","offers":[{"price":5}]}"#), "InStock"),
        (
            r#"{"@type":"ProductGroup","hasVariant":[{"@type":"Product","offers":{"price":5}},
                {"@type":"Product","offers":{"availability":"InStock"}}]}"#
                .to_owned(),
            "InStock",
        ),
        (
            product(
                r#"{"@type":"AggregateOffer","lowPrice":5,"offers":[{"price":5,"availability":"OutOfStock"},{"price":6,"availability":"InStock"}]}"#,
            ),
            "InStock",
        ),
        (product(r#"{"@type":"AggregateOffer","lowPrice":5,"offers":[{"availability":"InStock"}]}"#), "InStock"),
        (product(r#"{"@type":"AggregateOffer","lowPrice":5,"availability":"InStock"}"#), "InStock"),
        (product(r#"[{"price":5,"availability":"OutOfStock"},{"price":5,"availability":"InStock"}]"#), "InStock"),
        (
            product(r#"[{"price":5,"availability":"OutOfStock"},{"price":"5.00","availability":"SoldOut"}]"#),
            "OutOfStock",
        ),
        (r#"{"@type":"Product","availability":"InStock","offers":{"price":5}}"#.to_owned(), "InStock"),
    ] {
        assert_eq!(at("/lamp", &block(&json)).2, availability, "{json}");
    }
    let priced = block(&product(r#"{"price":5}"#));
    let microdata = "<div itemscope itemtype='https://schema.org/Product'><div itemprop=offers itemscope>\
                     <link itemprop=availability href='https://schema.org/OutOfStock'></div></div>";
    assert_eq!(at("/lamp", &format!("{priced}{microdata}")).2, "OutOfStock");
    assert_eq!(at("/lamp", &format!("{priced}<meta property='product:availability' content='in stock'>")).2, "InStock");
}
