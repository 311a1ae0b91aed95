//! The job `publication` as a worker runs it, with MongoDB, against a stand-in of WooCommerce.

mod healed;
mod missing;

use fleet::Fleet;
use jobs::{Context, Done, Handler, JobError, publication::Publication, publication::PublicationResult};
use providers::Providers;
use serde_json::{Value, json};
use services::Config;
use store::Store;
use tests::standins::woocommerce::WooCommerce;

const KEY: &str = "ck_test";
const SECRET: &str = "cs_test";
const SKU: &str = "CUP-1";

/// A shop, and what a worker has; the database goes with it.
struct Desk {
    shop: WooCommerce,
    store: Store,
    context: Context,
    _database: servers::MongoDatabase,
}

/// The id of the nth job; later ones are greater.
fn job_id(nth: u32) -> String {
    format!("0199a1b2-{nth:04}-7000-8000-000000000000")
}

impl Desk {
    async fn start() -> Self {
        let shop = WooCommerce::plain(0, KEY, SECRET).await.unwrap();
        let url = shop.url().to_owned();
        let config = Config::from_vars(move |name| {
            let value = match name {
                "MOCK_MODE_PUBLICATION" => "false",
                "WOO_STORE_URL" => &url,
                "WOO_CONSUMER_KEY" => KEY,
                "WOO_CONSUMER_SECRET" => SECRET,
                // Shops fetch our pictures from there.
                "PUBLIC_URL" => "https://jobs.example",
                "JWT_SECRET" => "a secret of at least thirty-two characters",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let database = servers::MongoDatabase::new();
        let store = Store::open(servers::mongo(), &database).await.unwrap();
        store.prepare(&["contents", "images"]).await.unwrap();
        let providers = Providers::from_config(&config, &Fleet::alone()).unwrap();
        let first = Context::first_attempt::<Publication>(job_id(0).parse().unwrap(), providers);
        let context = Context { store: Some(store.clone()), ..first };
        Self { shop, store, context, _database: database }
    }

    /// The same at this tenant's jobs.
    fn of(&self, tenant: &str, nth: u32) -> Context {
        Context { tenant: tenant.to_owned(), job_id: job_id(nth).parse().unwrap(), ..self.context.clone() }
    }

    /// One run of the nth job.
    async fn run(&self, nth: u32, fields: &Value) -> Result<Done<PublicationResult>, JobError> {
        read(fields).run(&self.of("default", nth)).await
    }

    /// The product in the shop.
    fn product(&self) -> Value {
        let products = self.shop.products(SKU);
        assert_eq!(products.len(), 1, "{products:?}");
        products[0].clone()
    }
}

/// A payload with these fields.
fn read(fields: &Value) -> Publication {
    let mut payload = json!({ "product_id": "CUP", "sku": SKU });
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(payload).unwrap()
}

fn price(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}
