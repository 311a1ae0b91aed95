//! Subscriptions, by Stripe.
//!
//! Order, lowest first: `money`, `form`, `read`, `words`, `subscription`, `invoice`, `session`, `event`, `gateway`, `answer`, `stripe`,
//! `calls`, `webhook`.

mod answer;
mod calls;
mod event;
mod form;
mod gateway;
mod invoice;
mod money;
mod read;
mod session;
mod stripe;
mod subscription;
pub mod webhook;
mod words;

pub use calls::{Calls, ChangePrice, MOST_EVENT_KINDS, Page, Proration, WhichEvents};
pub use event::Event;
pub use form::Form;
pub use gateway::{Gateway, Method, Refusal, Reply, Request};
pub use invoice::{Invoice, Preview, PreviewLine};
pub use money::Money;
pub use session::{NewCustomer, NewSession, PortalSession, Session, Trial, WithoutCard};
pub use stripe::{API_VERSION, Stripe};
pub use subscription::{Customer, Price, Subscription};
pub use words::{InvoiceStatus, PauseReason, SessionStatus, Status};
