//! The list of the services, a file each. To add one: its file here, and two lines below.

mod ai;
mod backup;
mod email;
mod images;
mod mongodb;
mod monitoring;
mod payments;
mod publication;
mod redis;
mod scraping;
mod security;

pub use ai::OpenAi;
pub use email::{Smtp, SmtpTls};

use crate::entry::Entry;

/// The enum of their names. A service is called like its file, wherever people or programs read it.
macro_rules! list {
    ($($name:ident: $file:ident,)*) => {
        /// The name of a service.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Name {
            $(#[doc = concat!("`", stringify!($file), "`")] $name,)*
        }

        /// All services, in the order in which they are listed everywhere.
        pub const SERVICES: &[Name] = &[$(Name::$name),*];

        impl Name {
            /// `ai`, `images`, …
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($file),)* }
            }

            /// What the catalogue says of it.
            #[must_use]
            pub fn entry(self) -> &'static Entry {
                match self { $(Self::$name => &$file::ENTRY,)* }
            }
        }
    };
}

list! {
    Ai: ai,
    Images: images,
    Payments: payments,
    Publication: publication,
    Email: email,
    Scraping: scraping,
    Mongodb: mongodb,
    Redis: redis,
    Backup: backup,
    Monitoring: monitoring,
    Security: security,
}

impl Name {
    /// The service that is called so.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        SERVICES.iter().copied().find(|service| service.as_str() == text)
    }

    /// All of them, as in `ai, images or security`.
    #[must_use]
    pub fn all_in_words() -> String {
        let names: Vec<_> = SERVICES.iter().map(|service| service.as_str()).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("{} or {last}", others.join(", "))
    }

    /// Those that have a mock, in the order of the list.
    pub fn switchable() -> impl Iterator<Item = Self> {
        SERVICES.iter().copied().filter(|service| service.entry().switch.is_some())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}
