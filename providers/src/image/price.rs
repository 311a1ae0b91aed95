//! What pictures cost, by the table `prices.toml`.

use std::sync::LazyLock;

use rust_decimal::Decimal;
use serde::Deserialize;

use super::ImageRequest;

/// As it is billed, in pixels.
const MEGAPIXEL: u64 = 1024 * 1024;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("prices.toml")).unwrap_or_else(|error| panic!("prices.toml: {error}"))
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    models: Vec<Model>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    name: String,
    picture: Option<Decimal>,
    megapixel: Option<Decimal>,
    further: Option<Decimal>,
}

/// What `model` takes for what is asked for, in US dollars; `None` when the table does not have it.
pub(super) fn of(model: &str, request: &ImageRequest) -> Option<Decimal> {
    let Model { picture, megapixel, further, .. } = TABLE.models.iter().find(|known| known.name == model)?;
    let one = match (picture, megapixel) {
        (Some(price), _) => *price,
        (None, Some(first)) => {
            let n = (u64::from(request.width) * u64::from(request.height)).div_ceil(MEGAPIXEL).max(1);
            *first + further.unwrap_or(*first) * Decimal::from(n - 1)
        }
        (None, None) => return None,
    };
    Some((one * Decimal::from(request.count)).normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::lamp;

    fn price(model: &str, width: u32, height: u32, count: u32) -> Option<String> {
        of(model, &ImageRequest { width, height, count, ..lamp() }).map(|price| price.to_string())
    }

    #[test]
    fn a_picture_costs_what_the_table_says() {
        let flux = "fal-ai/flux-pro/v1.1";
        assert_eq!(price(flux, 1024, 1024, 1).as_deref(), Some("0.04"));
        assert_eq!(price(flux, 64, 64, 1).as_deref(), Some("0.04"), "a part of a megapixel is one");
        assert_eq!(price(flux, 1025, 1024, 1).as_deref(), Some("0.08"));
        assert_eq!(price(flux, 2048, 2048, 4).as_deref(), Some("0.64"));
        assert_eq!(price("fal-ai/flux-2-pro", 2048, 1024, 2).as_deref(), Some("0.09"));
        assert_eq!(price("fal-ai/flux-pro/v1.1-ultra", 4096, 4096, 3).as_deref(), Some("0.18"));
        assert_eq!(price("somebody/else", 1024, 1024, 1), None);
        assert!(TABLE.models.iter().all(|model| model.picture.is_some() != model.megapixel.is_some()));
    }
}
