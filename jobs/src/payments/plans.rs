//! The table of plans: what each allows, and by which prices it is paid.

use std::{collections::BTreeMap, fs};

use providers::{content::Tier, payments::PlanPrices};
use rust_decimal::Decimal;
use serde::Deserialize;
use services::{Config, Name};

/// The table that is built in.
const BUILT_IN: &str = include_str!("../../plans.toml");
/// Of tenants without a subscription.
const DEFAULT: &str = "default";
/// Days that a tenant may go on while a payment is due.
const GRACE_DAYS: u32 = 7;
/// The kinds that a plan may name.
const KINDS: [&str; 6] = ["content", "image", "scrape", "email", "publication", "product"];

/// What a plan allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The variable with the id of its price.
    price: Option<String>,
    /// Further ids: older ones, which customers keep.
    #[serde(default)]
    prices: Vec<String>,
    /// The kinds of jobs that may be enqueued; `None`: all.
    pub kinds: Option<Vec<String>>,
    /// The best tier that may be asked for.
    #[serde(default = "best")]
    pub tier: Tier,
    /// Jobs that may be enqueued on a UTC day; `None`: no limit of the plan's.
    pub jobs_per_day: Option<u64>,
    /// US dollars that models may cost on a UTC day; `None`: no cap of the plan's.
    pub spending_cap_per_day: Option<Decimal>,
}

fn best() -> Tier {
    Tier::Premium
}

fn everything() -> Plan {
    Plan { tier: best(), ..Plan::default() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    plans: BTreeMap<String, Plan>,
}

/// All plans, and the days of grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans {
    plans: BTreeMap<String, Plan>,
    /// Of tenants without a subscription.
    default: Plan,
    of_price: BTreeMap<String, String>,
    /// Days that a tenant may go on while a payment is due.
    pub grace_days: u32,
}

impl Plans {
    /// As the variables say: `PLANS_FILE`, or the table that is built in, and `PAYMENTS_GRACE_DAYS`.
    ///
    /// # Errors
    /// What is wrong with the table, and where.
    pub fn from_config(config: &Config, prices: &PlanPrices) -> Result<Self, String> {
        let file = config.value(Name::Payments, "PLANS_FILE");
        let text = match file {
            Some(path) => fs::read_to_string(path).map_err(|error| format!("PLANS_FILE={path}: {error}"))?,
            None => BUILT_IN.to_owned(),
        };
        let plans = Self::read(&text, prices).map_err(|fault| match file {
            Some(path) => format!("PLANS_FILE={path}: {fault}"),
            None => fault,
        })?;
        let days = config.value(Name::Payments, "PAYMENTS_GRACE_DAYS").and_then(|days| days.parse().ok());
        Ok(Self { grace_days: days.unwrap_or(GRACE_DAYS), ..plans })
    }

    /// The table that is built in, with these prices.
    #[must_use]
    pub fn built_in(prices: &PlanPrices) -> Self {
        let empty =
            Self { plans: BTreeMap::new(), default: everything(), of_price: BTreeMap::new(), grace_days: GRACE_DAYS };
        // A test reads it.
        Self::read(BUILT_IN, prices).unwrap_or(empty)
    }

    /// A table as text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str, prices: &PlanPrices) -> Result<Self, String> {
        let Table { mut plans } = toml::from_str(text).map_err(|error| error.to_string())?;
        let default = plans.remove(DEFAULT).unwrap_or_else(everything);
        for (name, plan) in plans.iter().chain([(&DEFAULT.to_owned(), &default)]) {
            plan.fault().map_or(Ok(()), |fault| Err(format!("plan {name}: {fault}")))?;
        }
        let mut of_price = BTreeMap::new();
        for (name, plan) in &plans {
            let by_variable = match plan.price.as_deref() {
                Some("STRIPE_PRICE_ID_PRO") => Some(&prices.pro),
                Some("STRIPE_PRICE_ID_PREMIUM") => Some(&prices.premium),
                Some(other) => {
                    return Err(format!(
                        "plan {name}: price = {other:?}: must be STRIPE_PRICE_ID_PRO or STRIPE_PRICE_ID_PREMIUM"
                    ));
                }
                None => None,
            };
            for price in by_variable.into_iter().chain(&plan.prices) {
                if let Some(other) = of_price.insert(price.clone(), name.clone()) {
                    return Err(format!("plans {other} and {name}: both have the price {price}"));
                }
            }
        }
        for (variable, price) in [("STRIPE_PRICE_ID_PRO", &prices.pro), ("STRIPE_PRICE_ID_PREMIUM", &prices.premium)] {
            if !of_price.contains_key(price) {
                return Err(format!("no plan has price = {variable:?}: whoever pays that price might use everything"));
            }
        }
        Ok(Self { plans, default, of_price, grace_days: GRACE_DAYS })
    }

    /// The plan that is paid by a price.
    #[must_use]
    pub fn of_price(&self, price: &str) -> Option<&str> {
        self.of_price.get(price).map(String::as_str)
    }

    /// A plan by its name; one that is not in the table allows what `default` allows.
    #[must_use]
    pub fn plan(&self, name: Option<&str>) -> (&str, &Plan) {
        let named = name.and_then(|name| self.plans.get_key_value(name));
        named.map_or((DEFAULT, &self.default), |(name, plan)| (name, plan))
    }

    /// The names of plans that can be paid for and allow jobs of all these kinds, and texts of this tier.
    #[must_use]
    pub fn that_allow(&self, kinds: &[&str], tier: Option<Tier>) -> Vec<String> {
        let paid = self.plans.iter().filter(|(_, plan)| plan.price.is_some());
        let allows = |plan: &Plan| {
            kinds.iter().all(|kind| plan.allows_kind(kind)) && tier.is_none_or(|tier| plan.allows_tier(tier))
        };
        paid.filter(|(_, plan)| allows(plan)).map(|(name, _)| name.clone()).collect()
    }
}

impl Plan {
    /// What would count in nobody's sense.
    fn fault(&self) -> Option<String> {
        let unknown = self.kinds.iter().flatten().find(|kind| !KINDS.contains(&kind.as_str()));
        let of_kinds = unknown.map(|kind| format!("kinds: there is no kind {kind:?}, only {}", KINDS.join(", ")));
        let negative = self.spending_cap_per_day.filter(Decimal::is_sign_negative);
        of_kinds.or_else(|| negative.map(|cap| format!("spending_cap_per_day = \"{cap}\": must not be negative")))
    }

    /// Whether jobs of this kind may be enqueued. Many products at once are `publication`, too.
    #[must_use]
    pub fn allows_kind(&self, kind: &str) -> bool {
        let kind = if kind == "publication-batch" { "publication" } else { kind };
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|allowed| allowed == kind))
    }

    /// Whether no payload can ask for too much.
    pub(super) fn allows_every_payload(&self) -> bool {
        self.tier == best() && self.kinds.is_none()
    }

    /// Whether texts of this tier may be asked for.
    #[must_use]
    pub fn allows_tier(&self, tier: Tier) -> bool {
        let height = |tier| match tier {
            Tier::Basic => 0,
            Tier::Standard => 1,
            Tier::Premium => 2,
        };
        height(tier) <= height(self.tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> PlanPrices {
        PlanPrices { pro: "price_pro".to_owned(), premium: "price_premium".to_owned() }
    }

    #[test]
    fn the_table_that_is_built_in_can_be_read() {
        let plans = Plans::read(BUILT_IN, &prices()).unwrap();
        assert_eq!((plans.of_price("price_pro"), plans.of_price("price_premium")), (Some("pro"), Some("premium")));
        assert_eq!(plans.of_price("price_x"), None);
        let (name, default) = plans.plan(None);
        assert_eq!((name, default), ("default", &everything()), "whoever has no subscription may use everything");
        let (_, pro) = plans.plan(Some("pro"));
        assert!(pro.allows_kind("content") && pro.allows_tier(Tier::Standard) && !pro.allows_tier(Tier::Premium));
        assert_eq!(plans.that_allow(&["content"], Some(Tier::Premium)), ["premium"]);
        assert_eq!(plans.that_allow(&["content"], Some(Tier::Basic)), ["premium", "pro"]);
        assert_eq!((Plans::built_in(&prices()), plans.grace_days), (plans.clone(), 7));
    }

    #[test]
    fn a_plan_may_name_the_kinds_that_tenants_may_push() {
        let kinds = crate::Checks::all().kinds();
        let mut kinds: Vec<_> = kinds.iter().map(|kind| kind.name.as_str()).collect();
        kinds.retain(|kind| !crate::payments::is_exempt(kind) && *kind != "publication-batch");
        let mut known = KINDS.to_vec();
        kinds.sort_unstable();
        known.sort_unstable();
        assert_eq!(kinds, known);
    }

    #[test]
    fn another_table_has_plans_of_its_own() {
        let text = r#"
            [plans.pro]
            price = "STRIPE_PRICE_ID_PRO"
            prices = ["price_2024"]
            kinds = ["content"]
            [plans.premium]
            price = "STRIPE_PRICE_ID_PREMIUM"
            kinds = ["content", "publication"]
            [plans.gift]
            jobs_per_day = 5
        "#;
        let plans = Plans::read(text, &prices()).unwrap();
        assert_eq!(plans.of_price("price_2024"), Some("pro"));
        assert!(!plans.plan(Some("pro")).1.allows_kind("image"));
        assert!(!plans.plan(Some("pro")).1.allows_kind("publication-batch"));
        assert_eq!(plans.plan(Some("gift")).1.jobs_per_day, Some(5));
        assert_eq!(plans.plan(Some("gone")).0, "default");
        assert_eq!(plans.that_allow(&["image"], None), Vec::<String>::new(), "a gift is not paid for");
    }

    #[test]
    fn a_table_with_a_mistake_is_refused_with_its_place() {
        for (text, named) in [
            ("[plans.pro]\ntier = \"best\"", "tier"),
            ("[plans.pro]\nprice = \"PRICE\"", "STRIPE_PRICE_ID_PRO"),
            ("[plans.pro]\nprices = [\"a\"]\n[plans.gift]\nprices = [\"a\"]", "both have the price a"),
            ("[plans.pro]\njobs = 3", "jobs"),
            ("[plans.pro]\njobs_per_day = -1", "jobs_per_day"),
            ("[plans.pro]\nkinds = [\"contnt\"]", "plan pro: kinds: there is no kind \"contnt\""),
            ("[plans.default]\nkinds = [\"payment\"]", "plan default: kinds"),
            ("[plans.pro]\nspending_cap_per_day = \"-5\"", "must not be negative"),
            ("[plans.pro]\nprice = \"STRIPE_PRICE_ID_PRO\"", "no plan has price = \"STRIPE_PRICE_ID_PREMIUM\""),
            ("[plans]", "no plan has price = \"STRIPE_PRICE_ID_PRO\""),
        ] {
            let fault = Plans::read(text, &prices()).unwrap_err();
            assert!(fault.contains(named), "{fault}");
        }
    }
}
