//! `kill -9` at each step of a publication: many stores of a shop, each with a stand-in of its own, of which the first hangs at the first
//! request of its job, the second at the second, … The only worker is killed once, with all of these jobs under way.

use providers::publication::Shop;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    JOB_PATIENCE, System, is_finished,
    standins::{Fault, any_shop::AnyShop},
};

use super::{assert_holds, coloured, images, pictures, put_store, said, store_at, variant, with, with_stores};
use crate::{n_snoozes, outcomes};

/// A system with stores of one shop.
struct Killing {
    system: System,
    worker: usize,
    shop: Shop,
    n_stores: usize,
}

/// A stand-in, and the name of its store.
type Place = (AnyShop, String);

impl Killing {
    async fn open(&mut self) -> Place {
        let shop = AnyShop::start(self.shop).await.unwrap();
        self.n_stores += 1;
        let name = format!("s{}", self.n_stores);
        put_store(&self.system, &name, &store_at(&shop, &shop.credentials())).await;
        (shop, name)
    }

    async fn begin(&self, places: &[Place], payload: &Value) -> Vec<String> {
        let payloads = places.iter().map(|(_, store)| with(payload, &json!({ "store": store })));
        self.system.post_jobs("publication", payloads).await
    }

    async fn done(&self, places: &[Place], payload: &Value) {
        for job in self.system.wait_jobs(&self.begin(places, payload).await).await {
            assert_eq!(outcomes(&job), ["succeeded"], "{job}");
        }
    }

    /// How many requests this job takes after the other.
    async fn n_requests(&mut self, before: Option<&Value>, order: &Value) -> usize {
        let place = [self.open().await];
        if let Some(before) = before {
            self.done(&place, before).await;
        }
        let n_before = place[0].0.faults().n_requests();
        self.done(&place, order).await;
        assert_holds(&place[0].0, order, "undisturbed");
        place[0].0.faults().n_requests() - n_before
    }

    /// Kills the worker at each request of this job, before the shop carried it out and after.
    async fn at_each_request(&mut self, before: Option<&Value>, order: &Value) -> usize {
        let n = self.n_requests(before, order).await;
        let steps: Vec<(usize, Fault)> =
            (1..=n).flat_map(|step| [(step, Fault::Hang), (step, Fault::HangAfter)]).collect();
        let mut places = Vec::new();
        for _ in &steps {
            places.push(self.open().await);
        }
        if let Some(before) = before {
            self.done(&places, before).await;
        }
        for ((shop, _), (step, fault)) in places.iter().zip(&steps) {
            shop.faults().nth(*step, fault.clone());
        }
        let ids = self.begin(&places, order).await;
        for ((shop, _), id) in places.iter().zip(&ids) {
            wait_until("the job has come to its step", JOB_PATIENCE, async || {
                shop.faults().n_hanging() > 0 || is_finished(&self.system.job(id).await)
            })
            .await;
        }
        let n_under_way = places.iter().filter(|(shop, _)| shop.faults().n_hanging() > 0).count();
        self.system.kill_worker(self.worker);
        places.iter().for_each(|(shop, _)| shop.faults().recover());
        self.worker = self.system.start_worker().await;
        let mut n_waiting = 0;
        for (((shop, _), (step, fault)), id) in places.iter().zip(&steps).zip(&ids) {
            let about = format!("{fault:?} at request {step}");
            let is_finished = self.look(shop, id, before.is_none(), order, &about).await;
            n_waiting += usize::from(!is_finished);
        }
        println!(
            "{}: killed at {n_under_way} requests; {n_waiting} jobs wait for what the shop may still be at",
            self.shop
        );
        assert!(n_waiting * 2 < n_under_way, "{n_waiting} of {n_under_way}");
        n_under_way
    }

    /// A job that was killed ends well, or waits for a call of which nobody knows whether the shop is still at it: a minute or more, which
    /// is not waited for here, but where time is made up.
    async fn look(&self, shop: &AnyShop, id: &str, is_new: bool, order: &Value, about: &str) -> bool {
        let mut job = Value::Null;
        let about = format!("{} {about}", self.shop);
        wait_until(&format!("{about}: the job goes on"), JOB_PATIENCE, async || {
            // An API that has to refuse meanwhile is asked again.
            job = self.system.get(&format!("/api/jobs/{id}")).await.body;
            is_finished(&job) || (job["state"] == "scheduled" && n_snoozes(&job) > 0)
        })
        .await;
        assert!(outcomes(&job).iter().all(|outcome| ["crashed", "succeeded"].contains(outcome)), "{about}: {job}");
        let is_finished = is_finished(&job);
        if is_finished {
            assert_eq!(job["state"], "succeeded", "{about}: {job}");
            assert_holds(shop, order, &about);
        } else {
            assert!(shop.products().len() <= 1, "{about}: {:?}", shop.products());
        }
        for shown in if is_new { shop.shown() } else { Vec::new() } {
            for (name, ought) in said(self.shop, order) {
                assert_eq!(shown.get(&name), Some(&ought), "{about}: customers saw {shown:?}");
            }
        }
        is_finished
    }
}

async fn kill_at_each_step(shop: Shop, least_kills: usize) {
    let (pictures, variants) =
        (pictures().await, [variant("V-R", "red", "31.00", 3), variant("V-B", "blue", "32.00", 4)]);
    let options = with_stores().env("LEASE_S", "3").env("RENEWAL_S", "1").env("CONCURRENCY", "publication=200");
    let system = System::start(options.workers(1)).await;
    let mut killing = Killing { system, worker: 0, shop, n_stores: 0 };
    let made = coloured(&pictures, "CUP-1", &json!(variants));
    let n_made = killing.at_each_request(None, &made).await;
    let changed = [variant("V-B", "blue", "33.00", 9), variant("V-G", "green", "34.00", 1)];
    let mut order = coloured(&pictures, "CUP-1", &json!(changed));
    order["images"] = images(&pictures, &["side", "back"]);
    order["tags"] = json!(["new"]);
    order
        .as_object_mut()
        .unwrap()
        .retain(|name, _| ["product_id", "sku", "options", "variants", "images", "tags"].contains(&name.as_str()));
    let n_changed = killing.at_each_request(Some(&made), &order).await;
    println!("{shop}: killed at {n_made} requests of a creation and {n_changed} of a change");
    assert!(n_made >= least_kills && n_changed >= 8, "{n_made}, {n_changed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_it_leaves_one_whole_product_at_woocommerce() {
    kill_at_each_step(Shop::Woocommerce, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_it_leaves_one_whole_product_at_prestashop() {
    kill_at_each_step(Shop::Prestashop, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_it_leaves_one_whole_product_at_shopify() {
    kill_at_each_step(Shop::Shopify, 12).await;
}
