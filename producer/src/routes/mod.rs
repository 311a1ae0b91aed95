//! One file a resource.

pub(crate) mod batch;
pub(crate) mod catalogue;
pub(crate) mod emails;
pub(crate) mod entitlements;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod least;
pub(crate) mod list;
pub(crate) mod mode;
pub(crate) mod payments;
pub(crate) mod prices;
pub(crate) mod products;
pub(crate) mod publish;
pub(crate) mod queues;
pub(crate) mod rates;
pub(crate) mod reconcile;
pub(crate) mod schedules;
pub(crate) mod status;
pub(crate) mod stores;
pub(crate) mod stripe;
pub(crate) mod usage;
pub(crate) mod versions;
pub(crate) mod webhooks;
