//! Subscriptions, by Stripe.
//!
//! Order, lowest first: `money`, `form`, `read`, `words`, `subscription`, `invoice`, `session`, `event`, `gateway`, `answer`, `stripe`,
//! `calls`, `simulation`, `shelf`, `mock`, `webhook`, `service`.

mod answer;
mod calls;
mod event;
mod form;
mod gateway;
mod invoice;
mod mock;
mod money;
mod read;
mod service;
mod session;
mod shelf;
pub mod simulation;
mod stripe;
mod subscription;
pub mod webhook;
mod words;

pub use calls::{Calls, ChangePrice, Declined, MOST_EVENT_KINDS, Page, Proration, WhichEvents};
pub use event::Event;
pub use form::{Form, Text};
pub use gateway::{Gateway, Method, Refusal, Reply, Request};
pub use invoice::{Invoice, Preview, PreviewLine};
pub use mock::{Mock, is_mock};
pub use money::Money;
pub(crate) use service::probe;
pub use service::{Payments, PaymentsMode, PlanPrices};
pub use session::{NewCustomer, NewSession, PortalSession, Session, Trial, WithoutCard};
pub use shelf::{Memory, Shelf};
pub use stripe::{API_VERSION, Stripe};
pub use subscription::{Customer, Price, Subscription};
pub use words::{InvoiceStatus, PauseReason, SessionStatus, Status};
