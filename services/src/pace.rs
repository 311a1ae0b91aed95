//! How fast and for how much money services are asked, by variables.

use std::{collections::HashMap, time::Duration};

use rust_decimal::{Decimal, prelude::ToPrimitive};

use crate::catalogue::{Name, SERVICES};

/// At most so many in any time as long as the window, in all replicas together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub n: u32,
    /// In how long.
    pub window: Duration,
}

/// How often an account of a service may be asked; `None`: as often as it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests.
    pub requests: Option<Limit>,
    /// What requests use besides: tokens of language models, or messages.
    pub units: Option<Limit>,
}

impl Limit {
    /// `n` in a minute; a full minute's worth may be let through at once.
    #[must_use]
    pub const fn per_min(n: u32) -> Self {
        Self { n, window: Duration::from_secs(60) }
    }

    /// `n` in an hour, evenly.
    #[must_use]
    pub const fn per_hour(n: u32) -> Self {
        Self { n, window: Duration::from_secs(3600) }
    }
}

/// Results of stand-ins that are replaced in a minute, unless told otherwise.
const HEAL_PER_MIN: u32 = 120;

/// What `Config` has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// `<SERVICE>_REQUESTS_PER_MIN` and `AI_TOKENS_PER_MIN`, of each account of the service.
    limits: HashMap<Name, Limits>,
    /// `SPENDING_CAP_USD`: what a tenant may spend in a UTC day, in millionths of a US dollar.
    pub spending_cap: Option<u64>,
    /// `HEAL_PER_MIN`: how many results of stand-ins are replaced in a minute, for each service.
    pub heal_per_min: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { limits: HashMap::new(), spending_cap: None, heal_per_min: HEAL_PER_MIN }
    }
}

impl Pace {
    /// Reads the variables; says in `complaints` which ones cannot be used.
    pub(crate) fn from_vars(var: impl Fn(&str) -> Option<String>, complaints: &mut Vec<String>) -> Self {
        let mut number = |name: &str| {
            let text = var(name)?;
            let number = text.parse::<u32>().ok().filter(|number| *number > 0);
            if number.is_none() {
                complaints.push(format!("{name}={text:?} is no number over 0; there is no such limit"));
            }
            number
        };
        let mut limits = HashMap::new();
        for service in SERVICES {
            let mut limit = |variable: Option<&str>| number(variable?).map(Limit::per_min);
            let requests = limit(service.entry().requests_per_min);
            let units = limit(service.entry().tokens_per_min);
            limits.insert(*service, Limits { requests, units });
        }
        let heal_per_min = number("HEAL_PER_MIN").unwrap_or(HEAL_PER_MIN);
        let cap = var("SPENDING_CAP_USD");
        let spending_cap = cap.as_ref().and_then(|text| micro_usd(text.parse().ok()?));
        if let (Some(text), None) = (cap, spending_cap) {
            complaints.push(format!("SPENDING_CAP_USD={text:?} is no amount such as 2.50; spending is not limited"));
        }
        Self { limits, spending_cap, heal_per_min }
    }

    /// Of each account of a service.
    #[must_use]
    pub fn limits(&self, service: Name) -> Limits {
        self.limits.get(&service).copied().unwrap_or_default()
    }
}

/// Millionths of a US dollar, rounded up; `None` below 0 and for more than there is.
#[must_use]
pub fn micro_usd(usd: Decimal) -> Option<u64> {
    (usd.checked_mul(Decimal::from(1_000_000))?).ceil().to_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Pace, Vec<String>) {
        let mut complaints = Vec::new();
        let var = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        (Pace::from_vars(var, &mut complaints), complaints)
    }

    #[test]
    fn money_is_counted_in_millionths_rounded_up() {
        assert_eq!(micro_usd("0.00034".parse().unwrap()), Some(340));
        assert_eq!(micro_usd("0.0000001".parse().unwrap()), Some(1));
        assert_eq!((micro_usd(Decimal::ZERO), micro_usd(Decimal::NEGATIVE_ONE)), (Some(0), None));
    }

    #[test]
    fn limits_and_the_cap_are_read_and_nonsense_is_named() {
        let (pace, complaints) = read(&[
            ("AI_REQUESTS_PER_MIN", "60"),
            ("AI_TOKENS_PER_MIN", "90000"),
            ("EMAIL_REQUESTS_PER_MIN", "0"),
            ("SPENDING_CAP_USD", "2.5000001"),
        ]);
        let ai = Limits { requests: Some(Limit::per_min(60)), units: Some(Limit::per_min(90_000)) };
        assert_eq!(pace.limits(Name::Ai), ai);
        assert_eq!((pace.limits(Name::Email), pace.heal_per_min), (Limits::default(), HEAL_PER_MIN));
        assert_eq!(pace.spending_cap, Some(2_500_001));
        assert!(complaints.len() == 1 && complaints[0].starts_with("EMAIL_REQUESTS_PER_MIN=\"0\""), "{complaints:?}");
        for bad in ["much", "-1"] {
            assert_eq!(read(&[("SPENDING_CAP_USD", bad)]).0.spending_cap, None);
            assert!(read(&[("SPENDING_CAP_USD", bad)]).1[0].contains(bad));
        }
        assert_eq!(read(&[]), (Pace::default().with_all_services(), vec![]));
    }

    impl Pace {
        fn with_all_services(mut self) -> Self {
            self.limits = SERVICES.iter().map(|service| (*service, Limits::default())).collect();
            self
        }
    }
}
