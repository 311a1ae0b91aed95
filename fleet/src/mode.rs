//! Which services are mock and which are real, as switched at run time.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Whether a service is asked for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A stand-in answers; nothing leaves the system.
    Mock,
    /// The service itself answers.
    Real,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mock => "mock",
            Self::Real => "real",
        })
    }
}

/// A text that names no [`Mode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no mode is named {0:?}; there are mock and real")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        match name {
            "mock" => Ok(Self::Mock),
            "real" => Ok(Self::Real),
            _ => Err(UnknownMode(name.to_owned())),
        }
    }
}

/// One switch between mock and real: who, when, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The service; `None` is all of them.
    pub service: Option<String>,
    /// What it was switched to.
    pub mode: Mode,
    /// When, in Unix milliseconds.
    pub since_ms: u64,
    /// Who did it: the subject of the token.
    pub by: String,
    /// Why, in the words of who did it.
    pub reason: String,
}

/// So many changes are kept.
pub(crate) const CHANGES_KEPT: usize = 100;

/// What is in force: the last switch of each service, and that of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Modes(BTreeMap<Option<String>, Switch>);

impl Modes {
    pub(crate) fn new(switches: impl IntoIterator<Item = Switch>) -> Self {
        Self(switches.into_iter().map(|switch| (switch.service.clone(), switch)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn of(&self, service: &str) -> Option<Mode> {
        let own = self.0.get(&Some(service.to_owned()));
        own.or_else(|| self.0.get(&None)).map(|switch| switch.mode)
    }

    pub(crate) fn switches(&self) -> Vec<Switch> {
        self.0.values().cloned().collect()
    }

    /// The switches that `before` does not have.
    pub(crate) fn news<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Switch> {
        self.0.iter().filter(|(service, switch)| before.0.get(*service) != Some(*switch)).map(|(_, switch)| switch)
    }
}
