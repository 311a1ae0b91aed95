//! Redis goes away while jobs run, and comes back.

use std::time::Duration;

use serde_json::json;
use servers::{RedisKind, RedisServer, wait_until};
use tests::{Gate, Options, PATIENCE, Shop, System};

use crate::{assert_ran_once, n_asked, product, real_texts, slow_model};

/// How long Redis is away; longer than a lease.
const OUTAGE: Duration = Duration::from_secs(20);
const N_TEXTS: usize = 8;
const N_PAGES: usize = 60;

/// Texts outlast the outage, the pages that are being fetched at its start end in the middle of it, other pages have not begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_for_20_s_loses_no_job_and_runs_none_twice() {
    let redis = RedisServer::start(RedisKind::Valkey);
    let (texts, pages) = (Gate::closed(), Gate::closed());
    let model = slow_model(&texts).await;
    let shop = Shop::behind(pages.clone()).await;
    let options = Options { redis_url: Some(redis.url()), ..Options::default() };
    let options = real_texts(options.real_scraping(4), &model, N_TEXTS).env("CONCURRENCY", "scrape=4");
    let system = System::start(options).await;
    let pids = system.pids();
    let mut ids = system.post_jobs("content", (0..N_TEXTS).map(product)).await;
    ids.extend(system.post_jobs("scrape", (0..N_PAGES).map(|n| shop.one_page(n))).await);
    // A worker fetches one page at a time from a shop.
    wait_until("both workers are busy", PATIENCE, async || model.n_requests() == N_TEXTS && shop.n_visits() == 2).await;

    redis.stop();
    let began = std::time::Instant::now();
    pages.open();
    let refused = system.post("/api/jobs", &json!({ "kind": "content", "payload": product(99) })).await;
    refused.assert_problem(503, "queue-unavailable");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(system.get("/api/health/ready").await.status, 503);
    // why: the length of the outage is what is promised to be survived, so it has to pass.
    tokio::time::sleep(OUTAGE.saturating_sub(began.elapsed())).await;
    let still_refused = system.post("/api/jobs", &json!({ "kind": "content", "payload": product(99) })).await;
    still_refused.assert_problem(503, "queue-unavailable");
    redis.restart();

    // Long enough for the workers to notice, and for whoever would wrongly take the jobs to do so: their leases are over.
    system.wait_until_ready(2).await;
    wait_until("all pages are fetched", PATIENCE, async || shop.n_visits() >= N_PAGES).await;
    texts.open();
    let jobs = system.wait_jobs(&ids).await;
    for job in &jobs {
        assert_ran_once(job);
    }
    assert!((0..N_TEXTS).all(|n| n_asked(&model, n) == 1), "each text was asked for once");
    assert!((0..N_PAGES).all(|n| shop.visits(&Shop::page(n)) == 1), "each page was fetched once");
    assert_eq!(system.pids(), pids);
    for queue in ["content", "scrape"] {
        let depth = system.depth(queue).await;
        assert!(depth.as_object().unwrap().values().all(|n| *n == 0), "{queue}: {depth}");
    }
}
