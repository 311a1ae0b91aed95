//! What is said over the HTTP API: the body of every request and every answer, once, for whoever serves it and whoever calls it.
//!
//! What a kind takes and makes is told by its own crate, and so is what a schedule is: types that hold such a part are generic over it
//! (`R`, `D`). So are those with JSON that callers give and get back (`G`), because some keep every digit of it and some do not look at it.
//!
//! Order, lowest first: `time`, `problem`, `job`, `text`, `request`, `event`, `queue`, `schedule`, `email`, `usage`, `payment`, `subscribe`, `price`, `store`, `mode`, `status`, `health`.

mod email;
mod event;
mod health;
mod job;
mod mode;
mod payment;
mod price;
mod problem;
mod queue;
mod request;
mod schedule;
mod status;
mod store;
mod subscribe;
mod text;
mod time;
mod usage;

pub use email::{Email, EmailLinks, EmailPage, EmailPreview};
pub use event::{End, JobEvent, LogLine, ProgressReport, Replacement, StateChange};
pub use health::{Health, Live, Part, Ready, Standing};
pub use job::{
    Attempt, AttemptError, AttemptOutcome, DeadPage, Job, JobId, JobPage, Links, Priority, Progress, Snoozes, State,
};
pub use mode::{Change, Mode, ModeReport, ModeRequest, ServiceMode, Switchable};
pub use payment::{
    CancelRequest, ChangeAnswer, ChangePreview, ChangeRequest, Checkout, CheckoutRequest, Entitlements, Invoice,
    InvoicePage, Money, PaymentsConfig, PlanOffer, Portal, PortalRequest, PreviewLine, Subscription,
};
pub use price::{
    CompareRequest, MadeOfProduct, NotWatched, OwnPrice, PriceSeries, Product, ProductAtStore, ProductLinks,
    ProductOffer, Rates, RatesRequest, SeriesPoint,
};
pub use problem::{FieldError, Problem};
pub use queue::{Changed, Depth, Paused, Queue, Selection};
pub use request::{BatchAnswer, BatchLine, BatchRequest, Durability, JobOptions, JobRequest, OnConflict};
pub use schedule::{Run, RunPage, Schedule, SchedulePage};
pub use status::{Probe, ServiceStatus, StatusReport};
pub use store::{
    KeyUse, KeysReport, ParkedStore, StoreCredentials, StorePage, StoreRequest, StoreShop, StoresOf, TenantStore,
};
pub use subscribe::{PageLanguage, SubscribeLink, SubscribeLinkRequest};
pub use time::Timestamp;
pub use usage::{Usage, UsageCost, UsageItem, UsageSum, UsageTokens};
