//! The templates' texts for every product of the example catalogue, in both languages, through the validator.
//! After a wanted change: `INSTA_UPDATE=always cargo test -p providers --test content_golden`, then read the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::time::Duration;

use providers::{
    Policy,
    content::{self, ContentRequest, Language},
};
use services::Config;

fn catalogue() -> Vec<ContentRequest> {
    let csv = include_bytes!("../../examples/catalogue.csv");
    content::from_csv(csv.as_slice()).unwrap()
}

#[tokio::test]
async fn templates_for_the_catalogue() {
    let service = content::service(&Config::mock()).unwrap();
    let time = Duration::from_secs(60);
    let policy = Policy { allow_fallback: false, last_attempt: false, tenant: "default", time };
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots/content");
    settings.set_omit_expression(true);
    for product in catalogue() {
        for (language, suffix) in [(Language::Fr, "fr"), (Language::En, "en")] {
            let name = format!("{}_{suffix}", product.product_id);
            let request = ContentRequest { language, ..product.clone() };
            let answer = service.call(policy, &request).await.unwrap();
            assert_eq!((answer.provider, &answer.degraded_reason), ("mock", &None));
            settings.bind(|| insta::assert_json_snapshot!(name, answer.value));
        }
    }
}

#[test]
fn the_catalogue_is_varied() {
    let catalogue = catalogue();
    assert_eq!(catalogue.len(), 25);
    let any = |test: &dyn Fn(&ContentRequest) -> bool| catalogue.iter().any(test);
    assert!(any(&|product| product.description.as_ref().is_some_and(|text| text.chars().count() == 1_000)));
    assert!(any(&|product| product.name.contains('"')) && any(&|product| product.name.contains(',')));
    assert!(any(&|product| product.name.contains('ü')) && any(&|product| product.price.is_none()));
    assert!(any(&|product| product.language == Language::Fr) && any(&|product| product.language == Language::En));
    let categories: std::collections::HashSet<&str> =
        catalogue.iter().map(|product| product.category.as_str()).collect();
    assert!(categories.len() >= 20);
}
