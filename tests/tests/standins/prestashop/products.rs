//! Products and their look-up.

use reqwest::Method;
use serde_json::json;
use tests::standins::Fault;

use super::{FIND, answer, call, codes, get, make, mug, product, send, shop};

#[tokio::test]
async fn p7_p25_an_answer_shows_what_was_sent_and_the_shop_keeps_six_decimals() {
    let shop = shop().await;
    let (status, made) = send(&shop, Method::POST, "products", mug().replace("10.40", "12.5055555")).await;
    assert!(status == 201 && made.contains("12.5055555"), "{made}");
    assert!(get(&shop, "products/1").await.1.contains("<price><![CDATA[12.505556]]></price>"));
    assert_eq!((shop.n_created("SKU12"), shop.n_updated("SKU12"), shop.n_writes()), (1, 0, 1));
}

#[tokio::test]
async fn p8_p9_p10_p21_p24_p31_p61_what_is_refused_is_refused_with_its_code() {
    let shop = shop().await;
    let id = make(&shop, mug()).await;
    let post = async |body: String| codes(&send(&shop, Method::POST, "products", body).await);
    assert_eq!(post(mug().replace("<price><![CDATA[10.40]]></price>", "")).await, (400, vec![41]));
    assert_eq!(post(mug().replace("Mug", "").replace("Tasse", "")).await, (500, vec![3]));
    assert_eq!(post(mug().replace("<price>", "<id>1</id><price>")).await, (400, vec![91]));
    assert_eq!(post(mug().replace("<price>", "<quantity>1</quantity><price>")).await, (400, vec![93]));
    assert_eq!(
        post(mug().replace("<price>", "<manufacturer_name>x</manufacturer_name><price>")).await,
        (400, vec![93])
    );
    for price in ["12,50", "-1", "abc", "1e3", " 12.5 ", ""] {
        assert_eq!(post(mug().replace("10.40", price)).await, (400, vec![85]), "{price}");
    }
    for name in ["a<b", "a>b", "a;b", "a=b", "a#b", "{a}", &"x".repeat(129)] {
        assert_eq!(post(mug().replace("[Mug]", &format!("[{name}]"))).await, (400, vec![84]), "{name}");
    }
    assert_eq!(post(mug().replace("<active>1", "<active>2")).await, (400, vec![85]));
    assert_eq!(post(mug().replace("SKU12", "a;b")).await, (400, vec![85]), "P19d");
    let plain = product(&format!("<id>{id}</id><name>Mug</name>"));
    assert_eq!(codes(&send(&shop, Method::PATCH, "products/1", plain).await), (500, vec![3]), "P22");
    assert_eq!(codes(&send(&shop, Method::PATCH, "products/1", product("<price>1</price>")).await), (400, vec![90]));
    assert_eq!(shop.n_products("SKU12"), 1, "nothing of it is saved");
}

#[tokio::test]
async fn p11c_the_id_of_the_body_decides_and_that_of_the_path_is_ignored() {
    let shop = shop().await;
    let (one, two) = (make(&shop, mug()).await, make(&shop, mug().replace("SKU12", "SKU13")).await);
    let body = product(&format!("<id>{one}</id><price>9.9</price>"));
    assert_eq!(send(&shop, Method::PATCH, &format!("products/{two}"), body).await.0, 200);
    assert_eq!((&shop.product("SKU12")["price"], &shop.product("SKU13")["price"]), (&json!(9.9), &json!(10.4)));
}

#[tokio::test]
async fn p12_p13_p21c_a_put_empties_what_it_leaves_out_and_a_patch_keeps_it() {
    let shop = shop().await;
    let id = make(&shop, mug()).await;
    let price = product(&format!("<id>{id}</id><price>9.90</price>"));
    assert_eq!(send(&shop, Method::PATCH, "products/1", price.clone()).await.0, 200);
    assert_eq!(
        (&shop.product("SKU12")["visible"], &shop.product("SKU12")["name"]["en"]),
        (&json!(true), &json!("Mug"))
    );
    let position = price.replace("<price>", "<position_in_category>0</position_in_category><price>");
    assert_eq!(codes(&send(&shop, Method::PUT, "products/1", position).await), (500, vec![3]));
    assert_eq!(
        send(&shop, Method::PUT, "products/1", price.replace("<price>", "<reference>SKU12</reference><price>")).await.0,
        200
    );
    let is = shop.product("SKU12");
    assert_eq!(
        (&is["visible"], &is["name"], &is["categories"]),
        (&json!(false), &json!({}), &json!(["Home"])),
        "associations stay"
    );
}

#[tokio::test]
async fn p14_p14c_a_language_that_is_left_out_is_emptied_also_one_that_is_not_active() {
    let shop = shop().await;
    let id = make(&shop, mug()).await;
    shop.edit_text("SKU12", "name", 3, "Becher");
    let name = |languages: &str| product(&format!("<id>{id}</id><name>{languages}</name>"));
    let both = "<language id=\"1\">Cup</language><language id=\"3\">Becher</language><language id=\"99\">x</language>";
    assert_eq!(send(&shop, Method::PATCH, "products/1", name(both)).await.0, 200);
    assert_eq!(shop.product("SKU12")["name"], json!({ "en": "Cup", "fr": "", "de": "Becher" }));
    send(&shop, Method::PATCH, "products/1", name("")).await;
    assert_eq!(shop.product("SKU12")["name"], json!({ "en": "", "fr": "", "de": "" }), "P14b");
}

#[tokio::test]
async fn p15_p17_p18_p19_p20_a_reference_is_not_unique_and_is_found_by_the_database_s_rules() {
    let shop = shop().await;
    for reference in ["E1x", "\u{c9}1x", "e1X ", "E1x", "[z]", "x]y", "a|b", "a,b", "5", "50"] {
        make(&shop, mug().replace("SKU12", reference)).await;
    }
    let find = async |literal: &str| {
        let path = reqwest::Url::parse_with_params(
            "http://x/products",
            [("filter[reference]", literal), ("display", "[reference]")],
        );
        let path = path.unwrap().to_string().replace("http://x/", "");
        get(&shop, &path).await
    };
    assert_eq!(find("[E1x]").await.1.matches("<product>").count(), 4, "P16, P18");
    assert_eq!(find("[[z]]").await.1.matches("<product>").count(), 10, "P19c: the filter is lost");
    assert_eq!(find("[x]y]").await.1.matches("<product>").count(), 1, "P19c");
    assert_eq!(find("[a|b]").await.1.matches("<product>").count(), 0, "P19b");
    assert_eq!(find("[a,b]").await.1.matches("<product>").count(), 1, "P19");
    assert_eq!(find("[4,60]").await.1.matches("<product>").count(), 2, "P19: an interval");
    assert!(find("[none]").await.1.contains("<products></products>"), "P20");
    assert_eq!(codes(&find("").await), (500, vec![33, 3]), "P20c");
}

#[tokio::test]
async fn p28_p28b_p28c_p58_html_is_refused_or_rewritten_and_seo_titles_are_cut() {
    let shop = shop().await;
    let id = make(&shop, mug()).await;
    let html = async |field: &str, html: &str| {
        let text = format!("<{field}><language id=\"1\"><![CDATA[{html}]]></language></{field}>");
        codes(&send(&shop, Method::PATCH, "products/1", product(&format!("<id>{id}</id>{text}"))).await)
    };
    for bad in [
        "<script>x</script>",
        "<a onclick=\"x\">",
        "I like onclick = x",
        "<a href=\"javascript:x\">",
        "<iframe src=x>",
        "<form>",
    ] {
        assert_eq!(html("description", bad).await, (400, vec![84]), "{bad}");
    }
    assert_eq!(html("description_short", &"x".repeat(801)).await, (400, vec![84]), "P58b");
    assert_eq!(html("description", "<p style=\"color:red\">caf&eacute;<br></p>").await, (200, vec![]));
    assert_eq!(shop.product("SKU12")["description"]["en"], "<p style=\"color:#FF0000;\">caf\u{e9}<br /></p>");
    assert_eq!(html("meta_title", &"x".repeat(200)).await, (200, vec![]));
    assert_eq!(shop.product("SKU12")["meta_title"]["en"], "x".repeat(128));
    shop.html_warns();
    assert_eq!(html("description", "<p>saved</p>").await, (500, vec![11]));
    assert_eq!(shop.product("SKU12")["description"]["en"], "<p>saved</p>");
}

#[tokio::test]
async fn p9b_p34_p35_an_address_is_made_of_the_name_and_a_product_without_state_is_not_shown() {
    let shop = shop().await;
    make(&shop, mug().replace("Mug", "M\u{fb}g 1/2").replace("<state><![CDATA[1]]></state>", "")).await;
    let is = shop.product("SKU12");
    assert_eq!(
        (&is["link_rewrite"]["en"], &is["visible"], &is["for_sale"]),
        (&json!("mug-1-2"), &json!(false), &json!(false))
    );
    for (sent, kept) in [
        ("\u{e9}t\u{e9}", "ete"),
        ("mug/1", "mug-1"),
        ("UPPER", "UPPER"),
        ("\u{65e5}\u{672c}", "ri-ben"),
        ("", "mug-1-2"),
    ] {
        let body = product(&format!("<id>1</id><link_rewrite><language id=\"1\">{sent}</language></link_rewrite>"));
        send(&shop, Method::PATCH, "products/1", body).await;
        assert_eq!(shop.product("SKU12")["link_rewrite"]["en"], kept, "{sent}");
    }
}

#[tokio::test]
async fn p46_p46b_what_is_no_xml_is_told_by_the_last_error_of_an_answer_that_may_be_none_itself() {
    let shop = shop().await;
    let broken = mug().replace("</product>", "");
    let answer = send(&shop, Method::POST, "products", broken).await;
    assert_eq!(codes(&answer), (500, vec![3, 127]));
    assert!(answer.1.contains("<reference><![CDATA[SKU12]]></reference>"), "our own CDATA is in it");
}

#[tokio::test]
async fn p46f_p54_p55_p55b_p56_of_several_rows_unknown_ones_and_associations() {
    let shop = shop().await;
    let two = mug().replace(
        "</product></prestashop>",
        "</product><product><price>1</price><name><language id=\"1\">B</language></name></product></prestashop>",
    );
    assert_eq!(send(&shop, Method::POST, "products", two).await.0, 201);
    assert_eq!(shop.n_rows("products"), 2, "P46f");
    assert_eq!(get(&shop, "products/77").await, (404, String::new()));
    assert_eq!(codes(&send(&shop, Method::PATCH, "products/77", product("<id>77</id>")).await), (404, vec![92]));
    assert_eq!(codes(&answer(call(&shop, Method::DELETE, "products/77")).await), (404, vec![87]));
    let unknown = mug().replace("SKU12", "U").replace("<id><![CDATA[2]]></id>", "<id>99</id>");
    make(&shop, unknown).await;
    assert_eq!(shop.product("U")["categories"], json!([]), "P55");
    let bad = mug().replace("SKU12", "W").replace("categories>", "shelves>");
    assert_eq!(codes(&send(&shop, Method::POST, "products", bad).await), (400, vec![86]));
    assert_eq!(shop.n_products("W"), 1, "P55b: it is saved");
}

#[tokio::test]
async fn p28c_a_php_warning_or_a_lost_answer_hides_a_write_that_was_made() {
    let shop = shop().await;
    shop.warn();
    let (status, body) = send(&shop, Method::POST, "products", mug()).await;
    assert!(status == 500 && body.contains("[PHP Warning #2]"), "{body}");
    shop.faults().next(1, Fault::DropAfter);
    call(&shop, Method::POST, "products").body(mug()).send().await.unwrap_err();
    assert_eq!((shop.n_created("SKU12"), shop.faults().n_answered("SKU12")), (2, 0), "a reference is not unique");
    assert_eq!(get(&shop, FIND).await.1.matches("<product>").count(), 2);
}
