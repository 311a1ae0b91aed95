//! What the catalogue says of a service, and what follows from the variables.

use crate::variable::{Environment, Malformed, Variable};

/// How bad it is when a service is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Critical.
    P0,
    /// High.
    P1,
    /// Moderate.
    P2,
}

impl Risk {
    /// `P0`, `P1` or `P2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
        }
    }
}

/// What the catalogue says of a service.
#[derive(Debug)]
pub struct Entry {
    /// What it does for us.
    pub about: &'static str,
    /// How bad it is when it is away.
    pub risk: Risk,
    /// What is lost while it is down, in plain English.
    pub lost: &'static str,
    /// Its own switch, `MOCK_MODE_AI`; `None`: it has no mock and is always real.
    pub switch: Option<&'static str>,
    /// Whether a real provider exists; else it stays mock whatever the mode says.
    pub built: bool,
    /// The variable with the requests that each of its accounts may be asked in a minute; `None`: it has no limit.
    pub requests_per_min: Option<&'static str>,
    /// The same with tokens of language models.
    pub tokens_per_min: Option<&'static str>,
    /// What it reads, whichever account is used.
    pub variables: &'static [Variable],
    /// The accounts it can be reached with.
    pub accounts: Accounts,
}

/// The accounts that a service can be reached with.
#[derive(Debug)]
pub enum Accounts {
    /// It has no others than its variables.
    None,
    /// It works without them; one that is begun must be complete.
    Besides(&'static [Account]),
    /// Any one of them that is complete will do.
    AnyOf(&'static [Account]),
    /// Those that a variable names, separated by commas.
    Chosen {
        /// The variables; the first one that is set counts.
        by: &'static [&'static str],
        /// What they say when none is set.
        default: &'static str,
        /// The choice.
        of: &'static [Account],
    },
}

/// One account of a service.
#[derive(Debug)]
pub struct Account {
    /// `shopify`, …
    pub name: &'static str,
    /// What it reads.
    pub variables: &'static [Variable],
}

/// How a service is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The variables that are set, good or not.
    pub present: Vec<&'static str>,
    /// The variables that it needs and has not.
    pub missing: Vec<&'static str>,
    /// The variables whose values cannot be right.
    pub malformed: Vec<Malformed>,
    /// Whether everything is there that it needs to be real.
    pub configured: bool,
}

impl Accounts {
    pub(crate) fn all(&self) -> &'static [Account] {
        match self {
            Self::None => &[],
            Self::Besides(accounts) | Self::AnyOf(accounts) | Self::Chosen { of: accounts, .. } => accounts,
        }
    }
}

impl Entry {
    /// All variables that it may read; its switch and its limits are not among them.
    pub fn all_variables(&self) -> impl Iterator<Item = &'static Variable> {
        self.variables.iter().chain(self.accounts.all().iter().flat_map(|account| account.variables))
    }

    /// How it is configured in this environment.
    #[must_use]
    pub fn state(&self, environment: &Environment<'_>) -> State {
        let mut state = State::of(self.variables, environment);
        state.configured = state.is_complete();
        match &self.accounts {
            Accounts::None => {}
            Accounts::Besides(accounts) | Accounts::AnyOf(accounts) => {
                let states: Vec<_> = accounts.iter().map(|account| State::of(account.variables, environment)).collect();
                let needs_one = matches!(self.accounts, Accounts::AnyOf(_));
                let untouched = states.iter().all(|state| state.present.is_empty());
                let one_works = states.iter().any(|state| !state.present.is_empty() && state.is_complete());
                state.configured &= one_works || !needs_one;
                // Of accounts that nobody began to set up, none is missed while another is there.
                let all = needs_one && untouched;
                states.into_iter().filter(|other| all || !other.present.is_empty()).for_each(|other| state.add(other));
            }
            Accounts::Chosen { by, default, of, .. } => {
                let choice = by.iter().find_map(|variable| environment.get(variable));
                let choice = choice.unwrap_or_else(|| (*default).to_owned());
                for account in *of {
                    let chosen = choice.split(',').any(|name| name.trim() == account.name);
                    let mut other = State::of(account.variables, environment);
                    if !chosen {
                        other.missing.clear();
                        other.malformed.clear();
                    }
                    state.configured &= other.is_complete();
                    state.add(other);
                }
            }
        }
        state
    }
}

impl State {
    fn of(variables: &'static [Variable], environment: &Environment<'_>) -> Self {
        let mut state = Self::default();
        for variable in variables {
            match variable.value(environment) {
                Some(value) => {
                    state.present.push(variable.name);
                    state.malformed.extend(variable.fault(&value, environment));
                }
                None if variable.is_needed(environment) => state.missing.push(variable.name),
                None => {}
            }
        }
        state
    }

    fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.malformed.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.present.extend(other.present);
        self.missing.extend(other.missing);
        self.malformed.extend(other.malformed);
    }
}
