//! E-mail: one message to one recipient.

mod dialogue;
mod mailer;
mod message;
mod mock;
mod reply;
mod smtp;
mod verdict;

use std::{sync::Arc, time::Duration};

use services::{Config, Limit, Limits, Name};

pub use mailer::{Delivery, Email, Mailer, SendStatus};
pub use message::headers;
pub(crate) use smtp::probe;

use crate::{chain::Service, error::ProviderError};

/// The limits of the account: those of every service, and `SMTP_PER_HOUR`.
pub(crate) fn limits(config: &Config) -> Limits {
    let units = config.smtp.as_ref().and_then(|smtp| smtp.per_hour).map(Limit::per_hour);
    Limits { units, ..config.pace.limits(Name::Email) }
}

pub(crate) fn service(config: &Config) -> Result<Service<dyn Mailer>, ProviderError> {
    let mut reals: Vec<Arc<dyn Mailer>> = Vec::new();
    if let Some(smtp) = &config.smtp {
        reals.push(Arc::new(smtp::SmtpMailer::new(smtp)?));
    }
    // The mailer's own timeout is shorter: only it knows whether a message may have been sent.
    Ok(Service::new(Name::Email, config.is_real(Name::Email), reals, Arc::new(mock::NoMail), Duration::from_secs(28)))
}
