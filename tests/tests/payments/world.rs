//! A tenant whose customer is at the stand-in, and what happens on our side: deliveries, the outbox, jobs.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use fleet::Fleet;
use jobs::{
    Context, Handler,
    email::Email,
    maintenance::{Maintenance, Task},
    payment::Payment,
    payments::{AtStripe, Plans, kept, stored_event},
};
use mongodb::bson::{Document, doc};
use providers::{
    Policy, Providers,
    payments::{
        Calls, Event, Method, NewCustomer, NewSession, Payments, Trial, WithoutCard,
        simulation::{Card, Params},
    },
};
use queue::{Claimed, Client, Clock, Failure, Job, JobId, Kind, Outcome, Session, Success, Timing, Verdict};
use schedules::Outbox;
use serde_json::{Value, json};
use servers::{MongoDatabase, RedisKind};
use services::Config;
use store::{Moment, Store, StoredSubscription};
use tests::standins::stripe::Stripe;

pub(crate) const KEY: &str = "sk_test_standin";
pub(crate) const TENANT: &str = "acme";
/// The second push of a job is so much later.
const AGAIN_MS: u64 = 11_000;

pub(crate) struct World {
    pub(crate) stripe: Stripe,
    clock: Clock,
    client: Client,
    pub(crate) store: Store,
    database: MongoDatabase,
    context: Context,
    pub(crate) outbox: Outbox,
    session: Session,
    /// How often the job of each e-mail was run, and its payload.
    pub(crate) mails: BTreeMap<JobId, (usize, Value)>,
    n_tasks: u64,
    /// Jobs that run side by side; a worker runs those of one customer one after the other.
    pub(crate) at_once: usize,
}

pub(crate) fn config(url: &str) -> Config {
    Config::from_vars(|name| {
        let value = match name {
            "MOCK_MODE_PAYMENTS" => "false",
            "STRIPE_API_KEY" => KEY,
            "STRIPE_BASE_URL" => url,
            "STRIPE_WEBHOOK_SECRET" => "whsec_standin",
            "STRIPE_PRICE_ID_PRO" => "price_pro",
            "STRIPE_PRICE_ID_PREMIUM" => "price_premium",
            "STRIPE_PUBLISHABLE_KEY" => "pk_test_standin",
            "PAYMENTS_RETURN_HOSTS" => "app.example",
            _ => return None,
        };
        Some(value.to_owned())
    })
}

fn kind<J: Job>() -> Kind {
    Kind { history: false, ..Kind::of::<J>() }
}

impl World {
    pub(crate) async fn new() -> Self {
        let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
        let database = MongoDatabase::new();
        let redis = fleet::Redis::open_within(servers::redis(RedisKind::Valkey).unwrap(), &database, servers::PATIENCE);
        let clock = Clock::simulated(u64::try_from(stripe.with(|simulation| simulation.now_s())).unwrap() * 1000);
        let kinds = vec![kind::<Payment>(), kind::<Email>(), kind::<Maintenance>()];
        let client = Client::with_clock(&redis.unwrap(), kinds, clock.clone());
        let store = Store::open(servers::mongo(), &database).await.unwrap();
        store.prepare(&[]).await.unwrap();
        let providers = Providers::from_config(&config(&stripe.url()), &Fleet::alone()).unwrap();
        let context = Context {
            job_id: client.fixed_id("payment", "none", clock.now_ms()).await.unwrap(),
            tenant: "default".to_owned(),
            attempt: 1,
            max_attempts: Payment::MAX_ATTEMPTS,
            timeout: Duration::from_secs(30),
            allow_fallback: false,
            so_far: None,
            healing: false,
            plans: Arc::new(Plans::built_in(&providers.payments.prices)),
            providers: Arc::new(providers),
            store: Some(store.clone()),
            client: Some(client.clone()),
            keys: None,
            progress: queue::Reporter::nobody(),
        };
        let world = Self {
            outbox: Outbox::new(client.clone(), store.clone()),
            session: Session::new(client.clone(), "host", 1, Timing::default()),
            stripe,
            clock,
            client,
            store,
            database,
            context,
            mails: BTreeMap::new(),
            n_tasks: 0,
            at_once: 20,
        };
        let tenant = doc! { "_id": TENANT, "email": "a@shop.example", "name": "Acmé", "language": "fr", "time_zone": "Europe/Paris" };
        world.raw("tenants").await.insert_one(tenant).await.unwrap();
        world
    }

    /// A collection, behind the store's back.
    pub(crate) async fn raw(&self, collection: &str) -> mongodb::Collection<Document> {
        let client = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap();
        client.database(&self.database).collection(collection)
    }

    pub(crate) fn calls(&self) -> Calls<'_> {
        let policy =
            Policy { allow_fallback: false, last_attempt: true, tenant: TENANT, time: Duration::from_secs(10) };
        self.context.providers.payments.calls(policy)
    }

    pub(crate) fn payments(&self) -> &Payments {
        &self.context.providers.payments
    }

    /// A customer that has subscribed to Pro; its id and the subscription's.
    pub(crate) async fn subscribe(&self, name: &str, trial_days: Option<u32>, card: Card) -> (String, String) {
        let new = NewCustomer { tenant: TENANT, email: Some("a@shop.example"), name: None };
        let customer = self.calls().create_customer(&format!("{name}:customer"), &new).await.unwrap().id;
        let session = NewSession {
            customer: &customer,
            tenant: TENANT,
            price: "price_pro",
            trial: trial_days.map(|days| Trial { days, without_card: Some(WithoutCard::Pause) }),
            success_url: "https://app.example/ok",
            cancel_url: "https://app.example/no",
            locale: None,
            expires_at: None,
            metadata: BTreeMap::new(),
        };
        let session = self.calls().create_session(&format!("{name}:session"), &session).await.unwrap().id;
        let subscription = self.stripe.complete_with(&session, card).unwrap();
        (customer, subscription)
    }

    /// What a webhook does with an event, before it answers.
    pub(crate) fn deliver(&self, id: &str) -> impl Future<Output = Result<bool, store::Error>> + use<> {
        let event = self.stripe.with(|simulation| simulation.object(id).cloned()).unwrap();
        let event = stored_event(Event::read(&event).unwrap(), self.payments().livemode, self.now());
        let store = self.store.clone();
        async move { store.put_stripe_event(&event).await }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::from_ms(self.clock.now_ms())
    }

    /// Both clocks go on.
    pub(crate) fn wait_days(&self, days: i64) {
        self.stripe.advance_days(days);
        let now_s = self.stripe.with(|simulation| simulation.now_s());
        let now_ms = u64::try_from(now_s).unwrap() * 1000;
        self.clock.advance(now_ms.saturating_sub(self.clock.now_ms()));
    }

    /// Stripe ends a trial in so many days.
    pub(crate) fn cut_trial(&self, subscription: &str, days: i64) -> bool {
        self.stripe.with(|simulation| {
            let end = simulation.now_s() + days * 86_400;
            let params = Params::from([("trial_end".to_owned(), end.to_string())]);
            let answered = simulation.call(Method::Post, &format!("subscriptions/{subscription}"), &params, None);
            simulation.advance_to(simulation.now_s());
            answered.status == 200
        })
    }

    /// Pushes what is in the outbox, twice each, so that days may pass: who has waited for long asks the history, which is not kept here.
    pub(crate) async fn push_all(&self) {
        for _ in 0..2 {
            self.outbox.look().await.unwrap();
            self.clock.advance(AGAIN_MS);
        }
    }

    /// Claims the jobs of a kind that are to be run.
    async fn claim(&self, queue: &str) -> Vec<Claimed> {
        self.session.claim(queue, self.at_once).await.unwrap().jobs
    }

    /// Runs the `payment` jobs that wait, side by side; `kill_after`: for each, when its worker dies, if it does. Returns how many ran.
    pub(crate) async fn run_jobs(&mut self, mut kill_after: impl FnMut() -> Option<Duration>) -> usize {
        let jobs = self.claim(Payment::KIND).await;
        let runs = jobs.iter().map(|job| {
            let payload: Payment = serde_json::from_slice(job.payload().unwrap()).unwrap();
            let context = Context { job_id: job.id(), attempt: job.attempt(), ..self.context.clone() };
            let kill_after = kill_after();
            async move {
                let run = async { payload.run(&context).await };
                let ended = match kill_after {
                    Some(after) => tokio::time::timeout(after, run).await.ok(),
                    None => Some(run.await),
                };
                match ended {
                    Some(Ok(_)) => Outcome::Done(Success::default()),
                    Some(Err(error)) => error.into(),
                    // Its lease ends, and others have it again.
                    None => {
                        let (error, after) = (Failure::new("killed", "its worker died"), Duration::from_secs(1));
                        Outcome::Snooze { error, after, draft: None }
                    }
                }
            }
        });
        let outcomes = futures::future::join_all(runs).await;
        let n_ran = outcomes.len();
        let verdicts = jobs.iter().zip(outcomes).map(|(job, outcome)| {
            assert!(!matches!(outcome, Outcome::Dead(_)), "{outcome:?}");
            self.session.verdict(job, Verdict::Ran(outcome), self.clock.now_ms()).unwrap()
        });
        let mut verdicts: Vec<_> = verdicts.collect();
        assert_eq!(self.session.settle(&mut verdicts).await.unwrap(), 0);
        for job in self.claim(Email::KIND).await {
            let payload = serde_json::from_slice(job.payload().unwrap()).unwrap();
            self.mails.entry(job.id()).or_insert((0, payload)).0 += 1;
            let done = Verdict::Ran(Outcome::Done(Success::default()));
            let mut verdict = vec![self.session.verdict(&job, done, self.clock.now_ms()).unwrap()];
            assert_eq!(self.session.settle(&mut verdict).await.unwrap(), 0);
        }
        n_ran
    }

    /// Works off all that waits; nobody dies.
    pub(crate) async fn drain(&mut self) {
        let mut idle = 0;
        while idle < 2 {
            self.push_all().await;
            let n_ran = self.run_jobs(|| None).await;
            let waits = self.store.next_outbox_ms().await.unwrap().is_some();
            idle = if n_ran == 0 && !waits { idle + 1 } else { 0 };
        }
    }

    /// A task of the timetable, to its end; its result.
    pub(crate) async fn task(&mut self, task: Task, dry_run: bool) -> Value {
        self.n_tasks += 1;
        let name = format!("task {}", self.n_tasks);
        let job_id = self.client.fixed_id("maintenance", &name, self.clock.now_ms()).await.unwrap();
        let context = Context { job_id, timeout: Duration::from_secs(600), ..self.context.clone() };
        let done = Maintenance { task, service: None, job: None, dry_run }.run(&context).await.unwrap();
        json!(done.result)
    }

    /// What is kept, and what would be if nothing were known but what Stripe has.
    pub(crate) async fn both(&self, customer: &str) -> (Option<StoredSubscription>, StoredSubscription) {
        let subscriptions = self.calls().subscriptions(Some(customer), None).await.unwrap().items;
        let invoices = self.calls().invoices(customer, None).await.unwrap().items;
        let found = AtStripe { customer, subscriptions: &subscriptions, invoices: &invoices, mock: false };
        let fresh = kept(TENANT, None, &found, &self.context.plans, self.now());
        (self.store.subscription(TENANT).await.unwrap(), fresh)
    }
}
