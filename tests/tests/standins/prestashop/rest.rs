//! Keys, shops, stock, variants, pictures, names.

use reqwest::Method;
use serde_json::json;

use super::{FIND, KEY, answer, call, codes, get, make, mug, product, row, send, shop};
use crate::client;

#[tokio::test]
async fn p1_to_p6b_p62_keys_and_rights() {
    let shop = shop().await;
    assert_eq!(answer(client().get(format!("{}/api/", shop.url()))).await, (401, "401 Unauthorized".to_owned()), "P1");
    let with =
        async |key: &str| codes(&answer(client().get(format!("{}/api/", shop.url())).basic_auth(key, Some(""))).await);
    assert_eq!(with("short").await, (401, vec![18]));
    assert_eq!(with(&"x".repeat(32)).await, (401, vec![20, 21]));
    assert_eq!(with("").await, (401, vec![17]));
    let by_address = answer(client().get(format!("{}/api/products?ws_key={KEY}", shop.url()))).await;
    assert_eq!(by_address.0, 200, "P4");
    let (status, index) = get(&shop, "").await;
    assert!(status == 200 && index.contains("<products get=\"true\" put=\"true\""), "P6: {index}");
    assert_eq!(get(&shop, "?output_format=JSON").await, (500, String::new()), "P6b");
    shop.deny("products", "post");
    assert_eq!(codes(&send(&shop, Method::POST, "products", mug()).await), (405, vec![25]), "P5");
    shop.deny("tags", "*");
    assert_eq!(codes(&get(&shop, "tags").await), (401, vec![26]), "P62");
    shop.revoke(true);
    assert_eq!(codes(&get(&shop, "products").await), (401, vec![20, 21]));
    shop.revoke(false);
    shop.switch_off();
    assert_eq!(codes(&get(&shop, "products").await), (503, vec![22]));
}

#[tokio::test]
async fn p63_p71_another_shop_or_host_is_a_redirect_and_p36_each_shop_has_its_stock() {
    let shop = shop().await;
    // Which sees to TLS for all clients of the process.
    let _ = client();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let status = async |path: &str| {
        let request = client.post(format!("{}/api/{path}", shop.url())).basic_auth(KEY, Some("")).body(mug());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("products?id_shop=7").await, 302);
    shop.second_shop();
    assert_eq!(status("products?id_shop=1").await, 201);
    let rows = async |shop_named: &str| {
        let (_, rows) =
            get(&shop, &format!("stock_availables?filter%5Bid_product%5D=%5B1%5D&display=full{shop_named}")).await;
        rows.matches("<stock_available>").count()
    };
    assert_eq!((rows("").await, rows("&id_shop=1").await), (2, 1));
    shop.only_at("shop.example");
    assert_eq!(status("products?id_shop=1").await, 302);
}

#[tokio::test]
async fn p36_to_p40_stock_and_variants() {
    let shop = shop().await;
    let id = make(&shop, mug()).await;
    let stock =
        |id: u64, quantity: i64| row("stock_available", &format!("<id>{id}</id><quantity>{quantity}</quantity>"));
    assert_eq!(send(&shop, Method::PATCH, "stock_availables/1", stock(1, -3)).await.0, 200, "P37");
    assert_eq!(shop.quantities("SKU12"), [-3]);
    assert_eq!(codes(&send(&shop, Method::PUT, "stock_availables/1", stock(1, 4)).await), (400, vec![41]), "P38");
    assert_eq!(
        codes(&send(&shop, Method::POST, "stock_availables", row("stock_available", "<quantity>1</quantity>")).await).0,
        405
    );
    let variant =
        |more: &str| row("combination", &format!("<id_product>{id}</id_product><reference>A</reference>{more}"));
    assert_eq!(codes(&send(&shop, Method::POST, "combinations", variant("")).await), (400, vec![41]), "P39");
    for _ in 0..2 {
        let body = variant("<minimal_quantity>1</minimal_quantity>");
        assert_eq!(send(&shop, Method::POST, "combinations", body).await.0, 201, "P39: the same twice");
    }
    assert_eq!(shop.n_rows("combinations"), 2);
    send(&shop, Method::PATCH, "stock_availables/2", stock(2, 3)).await;
    send(&shop, Method::PATCH, "stock_availables/3", stock(3, 1)).await;
    assert_eq!(shop.quantities("SKU12"), [4], "P40: the sum");
    send(&shop, Method::PATCH, "stock_availables/1", stock(1, 100)).await;
    assert_eq!(shop.quantities("SKU12"), [100], "P40: broken");
    let empty = product(&format!("<id>{id}</id><associations><combinations></combinations></associations>"));
    send(&shop, Method::PATCH, "products/1", empty).await;
    assert_eq!(shop.n_rows("combinations"), 0, "P39h");
}

#[tokio::test]
async fn p41_to_p45_p72_to_p74_pictures() {
    let shop = shop().await;
    make(&shop, mug()).await;
    assert_eq!(get(&shop, "images/products/1").await, (404, String::new()), "P45");
    let upload = async |method: Method, path: &str, name: &str, bytes: &[u8]| {
        let mut body =
            format!("--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\r\n").into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n--x--\r\n");
        answer(call(&shop, method, path).header("Content-Type", "multipart/form-data; boundary=x").body(body)).await
    };
    let jpeg: &[u8] = b"\xff\xd8\xff\xe0 picture";
    let codes_of =
        async |name: &str, bytes: &[u8]| codes(&upload(Method::POST, "images/products/1", name, bytes).await);
    assert_eq!(codes_of("a.avif", jpeg).await, (400, vec![76]), "P42");
    assert_eq!(codes_of("none", jpeg).await, (400, vec![76]), "P42");
    assert_eq!(codes_of("big.jpg", &vec![0xff; 2_100_000]).await, (400, vec![72]), "P72");
    assert_eq!(codes_of("text.jpg", b"text").await, (400, vec![76]), "P43");
    assert_eq!(
        shop.product("SKU12")["pictures"],
        json!(["(no file)"]),
        "P43: a row without a file, and it is the face"
    );
    let (status, shown) = upload(Method::POST, "images/products/1", "a.jpg", jpeg).await;
    assert!(status == 200 && shown.contains("/9j/"), "P41: {shown}");
    upload(Method::POST, "images/products/1", "a.jpg", jpeg).await;
    assert_eq!(shop.product("SKU12")["pictures"], json!(["(no file)", "a.jpg", "a.jpg"]), "P44");
    assert_eq!(get(&shop, "images/products/1/1").await.0, 500);
    assert_eq!(get(&shop, "images/products/1/2").await.0, 200);
    assert_eq!(codes(&upload(Method::PUT, "images/products/1/2", "b.jpg", jpeg).await), (400, vec![76]), "P73");
    assert_eq!(upload(Method::POST, "images/products/1/2?ps_method=PUT", "b.jpg", jpeg).await.0, 200);
    assert_eq!(answer(call(&shop, Method::DELETE, "images/products/1")).await.0, 200, "P74e");
    assert_eq!(answer(call(&shop, Method::DELETE, "images/products/1/1")).await.0, 200);
    let is = shop.product("SKU12");
    assert_eq!((&is["pictures"], &is["has_face"]), (&json!(["b.jpg", "a.jpg"]), &json!(false)), "P74");
    send(&shop, Method::PATCH, "products/1", product("<id>1</id><id_default_image>3</id_default_image>")).await;
    assert_eq!(shop.product("SKU12")["pictures"], json!(["a.jpg", "b.jpg"]));
    assert_eq!(get(&shop, "images/products/1?output_format=JSON").await.0, 500, "P45d");
}

#[tokio::test]
async fn p69_the_same_name_is_taken_again_and_found_by_it() {
    let shop = shop().await;
    for _ in 0..2 {
        let tag = row("tag", "<id_lang>1</id_lang><name>blue</name>");
        assert_eq!(send(&shop, Method::POST, "tags", tag).await.0, 201);
    }
    let (_, found) = get(&shop, "tags?filter%5Bname%5D=%5BBLUE%5D&display=%5Bid%5D").await;
    assert_eq!(found.matches("<tag>").count(), 2);
    let (_, home) = get(&shop, "categories?filter%5Bname%5D=%5Bhome%5D&display=full").await;
    assert_eq!(home.matches("<category>").count(), 1);
}

#[tokio::test]
async fn an_older_shop_knows_no_patch_and_a_product_is_deleted_with_all_that_it_has() {
    let shop = shop().await;
    let id = make(&shop, mug()).await;
    assert_ne!(shop.plant_variant(id, "A"), 0);
    shop.plant_picture(id, "a.jpg");
    shop.without_patch();
    let price = product("<id>1</id><price>1</price>");
    assert_eq!(codes(&send(&shop, Method::PATCH, "products/1", price).await), (405, vec![23]));
    assert_eq!(answer(call(&shop, Method::DELETE, "products/1")).await.0, 200);
    assert!(get(&shop, FIND).await.1.contains("<products></products>"));
    assert_eq!((shop.n_rows("combinations"), shop.n_rows("stock_availables")), (0, 0));
    assert_eq!(shop.product_of_id(id), json!(null));
}
