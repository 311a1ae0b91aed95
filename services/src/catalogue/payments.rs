//! Subscriptions, by Stripe.

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::{anything, host, http_url, is_word, must, prefix},
    variable::{Environment, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "subscriptions and payments",
    risk: Risk::P0,
    lost: "subscriptions and payments impossible",
    switch: Some("MOCK_MODE_PAYMENTS"),
    built: true,
    requests_per_min: Some("PAYMENTS_REQUESTS_PER_MIN"),
    tokens_per_min: None,
    variables: &[
        Variable::required(
            "STRIPE_API_KEY",
            "the secret key of Stripe: a live one in production, a test one elsewhere",
            key,
        )
        .secret()
        .example("sk_live_hushhush"),
        Variable::required(
            "STRIPE_WEBHOOK_SECRET",
            "checks that an event is from Stripe; several, separated by commas, while one takes the other's place",
            webhook_secrets,
        )
        .secret()
        .example("whsec_hushhush"),
        Variable::required("STRIPE_PRICE_ID_PRO", "the price of the plan Pro", |value, _| prefix(value, "price_"))
            .example("price_1"),
        Variable::required("STRIPE_PRICE_ID_PREMIUM", "the price of the plan Premium", premium).example("price_2"),
        Variable::required("STRIPE_PUBLISHABLE_KEY", "the key that browsers may see", publishable_key)
            .or("REACT_APP_STRIPE_PUBLISHABLE_KEY")
            .example("pk_live_1"),
        Variable::optional("STRIPE_BASE_URL", "another end point in the place of `https://api.stripe.com`", http_url),
        Variable::optional(
            "PLANS_FILE",
            "a table (TOML) of what each plan allows, in the place of the one built in",
            anything,
        ),
        Variable::optional(
            "PAYMENTS_GRACE_DAYS",
            "days that a tenant may go on while a payment is due; 7 if absent",
            grace_days,
        ),
        Variable::optional(
            "PAYMENTS_TRIAL_DAYS",
            "days of the trial that a tenant may have once; 14 if absent, 0: there is none",
            trial_days,
        ),
        Variable::optional(
            "PAYMENTS_RETURN_HOSTS",
            "hosts, separated by commas, to which Stripe's pages send customers back, beside that of `PUBLIC_URL`",
            hosts,
        )
        .example("app.ecomsimply.example"),
    ],
    accounts: Accounts::None,
};

fn grace_days(value: &str, _: &Environment<'_>) -> Option<String> {
    must(value.parse::<u32>().is_ok_and(|days| days <= 365), "must be a whole number of days, at most 365")
}

fn trial_days(value: &str, _: &Environment<'_>) -> Option<String> {
    must(value.parse::<u32>().is_ok_and(|days| days <= 730), "must be a whole number of days, at most 730")
}

fn hosts(value: &str, environment: &Environment<'_>) -> Option<String> {
    let faults = value.split(',').map(|name| host(name.trim(), environment));
    faults.flatten().next().map(|fault| format!("{fault}; several are separated by commas"))
}

/// How secret and restricted keys begin.
const SECRET: [&str; 2] = ["sk_", "rk_"];

fn key(value: &str, environment: &Environment<'_>) -> Option<String> {
    of_mode(value, &SECRET, environment)
}

fn publishable_key(value: &str, environment: &Environment<'_>) -> Option<String> {
    let fault = of_mode(value, &["pk_"], environment)?;
    let secret = environment.get("STRIPE_API_KEY").unwrap_or_default();
    match (mode(value, &["pk_"]), mode(&secret, &SECRET)) {
        (Some(public), Some(secret)) if public != secret => {
            Some(format!("is a {public} key, and STRIPE_API_KEY is a {secret} key: both must be of one mode"))
        }
        _ => Some(fault),
    }
}

fn webhook_secrets(value: &str, _: &Environment<'_>) -> Option<String> {
    let faults = value.split(',').map(|secret| prefix(secret.trim(), "whsec_"));
    faults.flatten().next().map(|fault| format!("{fault}; several are separated by commas"))
}

fn premium(value: &str, environment: &Environment<'_>) -> Option<String> {
    let is_both = environment.get("STRIPE_PRICE_ID_PRO").is_some_and(|pro| pro == value);
    prefix(value, "price_").or_else(|| must(!is_both, "is the price of STRIPE_PRICE_ID_PRO too: each plan has its own"))
}

/// `live` or `test`, if the key has its form.
fn mode<'v>(value: &'v str, kinds: &[&str]) -> Option<&'v str> {
    let rest = kinds.iter().find_map(|kind| value.strip_prefix(kind))?;
    let (mode, _) = rest.split_once('_').filter(|(_, id)| !id.is_empty() && is_word(id))?;
    matches!(mode, "live" | "test").then_some(mode)
}

fn of_mode(value: &str, kinds: &[&str], environment: &Environment<'_>) -> Option<String> {
    match (mode(value, kinds), environment.production) {
        (Some("live"), true) | (Some("test"), false) => None,
        (Some("test"), true) => Some("is a test key, which takes no money: production needs a live key".to_owned()),
        (Some("live"), false) => Some("is a live key, which moves money: outside production use a test key".to_owned()),
        _ => {
            let forms: Vec<_> =
                kinds.iter().flat_map(|kind| [format!("{kind}live_"), format!("{kind}test_")]).collect();
            Some(format!("must begin with {}", forms.join(", ")))
        }
    }
}
