//! What the shop refuses, in words of the product's fields.

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
    },
    rest::{Refusal, misconfigured, short, transient},
    texts::decoded,
};
use crate::error::ProviderError;

/// A write that the shop refused; `prefix` is in front of the fields' names, as `variants.A.`.
pub(super) fn refused(refusal: &Refusal, prefix: &str) -> PublishError {
    let said = || Wrong::Said { message: short(&decoded(&refusal.message)) };
    let taken = |field: &str| {
        let by = refusal.owner().map_or_else(|| "another product".to_owned(), |id| format!("product {id}"));
        Fault::new(format!("{prefix}{field}"), Wrong::Taken { by }).into()
    };
    match refusal.code.as_str() {
        "product_invalid_sku" => taken("sku"),
        "product_invalid_global_unique_id" => taken("gtin"),
        "woocommerce_product_image_upload_error" => Fault::new(format!("{prefix}images"), said()).into(),
        "rest_invalid_param" | "rest_missing_callback_param" => {
            let params = refusal.data["params"].as_object().into_iter().flatten();
            let faults: Vec<Fault> = params
                .map(|(name, why)| {
                    let message = why.as_str().map_or_else(|| why.to_string(), |why| short(&decoded(why)));
                    Fault::new(format!("{prefix}{}", field(name)), Wrong::Said { message })
                })
                .collect();
            if faults.is_empty() {
                Fault::new(format!("{prefix}product"), said()).into()
            } else {
                PublishError::Refused(faults)
            }
        }
        _ if refusal.is_gone() || refusal.is_no_route() => unexpected(refusal).into(),
        _ => Fault::new(format!("{prefix}product"), said()).into(),
    }
}

/// A refusal of what nobody can refuse: the call itself makes no sense to the shop.
pub(super) fn unexpected(refusal: &Refusal) -> ProviderError {
    if refusal.is_no_route() {
        return misconfigured("the shop has no WooCommerce, or one before 3.5: its REST API v3 is not there");
    }
    if refusal.is_gone() {
        return transient("the product or variation went away while it was worked on", None);
    }
    ProviderError::Rejected {
        service: super::rest::SHOP,
        message: format!("the shop refused a call ({}): {}", refusal.code, short(&refusal.message)),
    }
}

/// What our side calls a field of the API.
fn field(name: &str) -> &str {
    match name {
        "name" => "title",
        "description" => "description_html",
        "short_description" => "short_description_html",
        "slug" => "seo.slug",
        "regular_price" => "price",
        "stock_quantity" | "manage_stock" | "stock_status" => "stock",
        "global_unique_id" => "gtin",
        "weight" => "weight_g",
        "attributes" => "options",
        "brands" => "brand",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(code: &str, data: serde_json::Value) -> String {
        let refusal = Refusal { code: code.to_owned(), message: "It&#039;s bad.".to_owned(), data };
        refused(&refusal, "").to_string()
    }

    #[test]
    fn every_bad_field_is_named_as_ours() {
        let params = json!({ "params": { "regular_price": "regular_price is not of type string.", "name": "bad" } });
        assert_eq!(
            said("rest_invalid_param", params),
            "title: the shop refused it: bad; price: the shop refused it: regular_price is not of type string."
        );
        let gtin = said("product_invalid_global_unique_id", json!({ "resource_id": 7 }));
        assert_eq!(gtin, "gtin: the shop takes it for that of another product, product 7, which stays as it is");
        assert_eq!(said("something_else", json!(null)), "product: the shop refused it: It's bad.");
        assert!(said("rest_no_route", json!(null)).contains("REST API v3 is not there"));
        assert!(said("woocommerce_rest_product_invalid_id", json!(null)).contains("went away"));
    }
}
