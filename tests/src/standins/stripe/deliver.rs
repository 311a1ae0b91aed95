//! Signs events and delivers them: at once, twice, when told and in any order, or never.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::Account;
use crate::standins::lock;

/// So often an event is tried, until it is taken.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_millis(200);

/// When events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Once each, one after the other, until each is taken.
    AtOnce,
    /// The same, each once more after it was taken.
    Twice,
    /// When [`super::Stripe::release`] says so.
    Held,
    /// Never: lists of what was not delivered have them.
    Never,
}

/// The order in which held events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they were made.
    AsMade,
    /// The newest first.
    Reversed,
    /// In an order that follows from this number.
    Shuffled(u64),
}

/// One call of the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Of which event.
    pub event: String,
    /// What was answered; `None` when nobody did.
    pub status: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Deliveries {
    end_point: Mutex<Option<EndPoint>>,
    delivered: Mutex<Vec<Delivered>>,
    /// How far the time that is signed with is ahead of the machine's.
    ahead_s: AtomicI64,
    client: reqwest::Client,
}

#[derive(Debug)]
struct EndPoint {
    address: String,
    secrets: Vec<String>,
    mode: Mode,
    /// The last event that was seen: ids follow the order in which they were made.
    last: String,
    held: Vec<String>,
    /// Those to be delivered, to the task that does so.
    queue: Option<UnboundedSender<String>>,
}

/// The value of `Stripe-Signature` for an event's raw body, signed at `timestamp` (seconds) with the whole `whsec_…`.
#[must_use]
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    format!("t={timestamp},v1={}", digest(secret, timestamp, body))
}

fn digest(secret: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

impl Deliveries {
    pub(super) fn new() -> Self {
        let ahead_s = AtomicI64::new(0);
        Self { end_point: Mutex::default(), delivered: Mutex::default(), ahead_s, client: crate::client() }
    }

    /// Signs so much further ahead of the machine's clock from now on.
    pub(super) fn sign_ahead(&self, by_s: i64) {
        self.ahead_s.fetch_add(by_s, Ordering::Relaxed);
    }

    pub(super) fn to(&self, address: &str, secrets: &[&str], mode: Mode, last: String) {
        let secrets = secrets.iter().map(|&secret| secret.to_owned()).collect();
        let mut end_point = lock(&self.end_point);
        let held = end_point.take().map(|before| before.held).unwrap_or_default();
        *end_point = Some(EndPoint { address: address.to_owned(), secrets, mode, last, held, queue: None });
    }

    /// The last event that was seen, if there is an end point.
    pub(super) fn last(&self) -> Option<String> {
        lock(&self.end_point).as_ref().map(|end_point| end_point.last.clone())
    }

    /// Takes note of events. Some may have been seen.
    pub(super) fn note(&self, account: &Arc<Account>, events: Vec<String>) {
        let mut end_point = lock(&self.end_point);
        let Some(end_point) = end_point.as_mut() else { return };
        let new: Vec<String> = events.into_iter().filter(|id| *id > end_point.last).collect();
        end_point.last = new.last().unwrap_or(&end_point.last).clone();
        match end_point.mode {
            Mode::Never => {}
            Mode::Held => end_point.held.extend(new),
            Mode::AtOnce | Mode::Twice => {
                let n_times = if end_point.mode == Mode::Twice { 2 } else { 1 };
                let queue = end_point.queue.get_or_insert_with(|| run(account, n_times));
                // It fails when the task is gone, which it is when the stand-in is.
                new.into_iter().for_each(|event| drop(queue.send(event)));
            }
        }
    }

    pub(super) fn delivered(&self) -> Vec<Delivered> {
        lock(&self.delivered).clone()
    }

    pub(super) async fn release(&self, account: &Arc<Account>, order: Order) -> Vec<Delivered> {
        let held = lock(&self.end_point).as_mut().map(|end_point| std::mem::take(&mut end_point.held));
        let mut released = Vec::new();
        for event in ordered(held.unwrap_or_default(), order) {
            let status = self.deliver(account, &event, None).await;
            released.push(Delivered { event, status });
        }
        released
    }

    pub(super) async fn deliver(&self, account: &Arc<Account>, event: &str, at_s: Option<i64>) -> Option<u16> {
        let body = account.simulation().object(event)?.to_string();
        let at_s = at_s.unwrap_or_else(|| Utc::now().timestamp() + self.ahead_s.load(Ordering::Relaxed));
        let (address, header) = {
            let end_point = lock(&self.end_point);
            let EndPoint { address, secrets, .. } = end_point.as_ref()?;
            let signatures = secrets.iter().map(|secret| format!(",v1={}", digest(secret, at_s, &body)));
            (address.clone(), format!("t={at_s}{}", signatures.collect::<String>()))
        };
        let request = self.client.post(address).header("content-type", "application/json; charset=utf-8");
        let answer = request.header("stripe-signature", header).body(body).send().await;
        let status = answer.ok().map(|answer| answer.status().as_u16());
        lock(&self.delivered).push(Delivered { event: event.to_owned(), status });
        if is_taken(status) {
            account.simulation().set_delivered(event);
        }
        status
    }
}

fn is_taken(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}

/// Delivers one event after the other, as long as the stand-in is there.
fn run(account: &Arc<Account>, n_times: u32) -> UnboundedSender<String> {
    let (queue, mut events) = unbounded_channel::<String>();
    let account = Arc::downgrade(account);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let (mut n_taken, mut n_tries) = (0, 0);
            while n_taken < n_times && n_tries < TRIES {
                let Some(account) = account.upgrade() else { return };
                if is_taken(account.deliveries.deliver(&account, &event, None).await) {
                    n_taken += 1;
                } else {
                    n_tries += 1;
                    drop(account);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    queue
}

fn ordered(mut events: Vec<String>, order: Order) -> Vec<String> {
    match order {
        Order::AsMade => {}
        Order::Reversed => events.reverse(),
        Order::Shuffled(seed) => {
            let mut state = seed | 1;
            for last in (1..events.len()).rev() {
                // Xorshift: any order will do, the same for the same number.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                events.swap(last, usize::try_from(state % (last as u64 + 1)).unwrap_or(0));
            }
        }
    }
    events
}
