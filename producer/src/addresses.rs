//! Addresses of pictures. A result has them bare; they are signed when it is answered, so that a new secret makes none of them
//! worthless that was stored, and an answer never has one that expires soon.

use serde_json::Value;
use services::Links;

/// The addresses in the result of an image job as they are good from now on: signed, and whole if it is known how the API is reached.
pub(crate) fn sign(links: &Links, now_s: u64, result: &mut Value) {
    for image in result["images"].as_array_mut().into_iter().flatten() {
        let Some(behind) = image["id"].as_str().and_then(|id| links.behind_image(id, now_s)) else { continue };
        let finish = |address: &mut Value| {
            if let Value::String(text) = address {
                *text = format!("{}{text}{behind}", links.before_images());
            }
        };
        finish(&mut image["url"]);
        for size in image["sizes"].as_object_mut().into_iter().flat_map(|sizes| sizes.values_mut()) {
            finish(&mut size["jpg"]);
            finish(&mut size["webp"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn every_address_of_a_result_is_signed() {
        let size = json!({ "jpg": "/api/images/j-0/150.jpg", "webp": "/api/images/j-0/150.webp", "width": 150, "height": 150 });
        let result = json!({ "images": [{ "id": "j-0", "url": "/api/images/j-0/master.jpg", "sizes": { "150": size } }], "mock": true });
        let links = Links::new(Some("https://jobs.example".to_owned()), Some("a secret".into()));
        let mut signed = result.clone();
        sign(&links, NOW, &mut signed);
        let image = &signed["images"][0];
        for address in [&image["url"], &image["sizes"]["150"]["jpg"], &image["sizes"]["150"]["webp"]] {
            let (address, query) = address.as_str().unwrap().split_once("?exp=").unwrap();
            assert!(address.starts_with("https://jobs.example/api/images/j-0/"), "{address}");
            let (exp, sig) = query.split_once("&sig=").unwrap();
            assert!(links.is_image("j-0", exp, sig, NOW));
        }
        assert_eq!((&image["sizes"]["150"]["width"], &signed["mock"]), (&json!(150), &json!(true)));
        // Without a secret they stay as they are; results of older releases have none.
        let mut unsigned = result.clone();
        sign(&Links::default(), NOW, &mut unsigned);
        assert_eq!(unsigned, result);
        let mut old = json!({ "data": "<svg/>" });
        sign(&links, NOW, &mut old);
        assert_eq!(old["data"], "<svg/>");
    }
}
