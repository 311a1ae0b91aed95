//! Subscriptions, by Stripe.

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::{http_url, is_word, prefix},
    variable::{Environment, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "subscriptions and payments",
    risk: Risk::P0,
    lost: "subscriptions and payments impossible",
    switch: Some("MOCK_MODE_PAYMENTS"),
    built: false,
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
        Variable::required("STRIPE_WEBHOOK_SECRET", "checks that an event is from Stripe", |value, _| {
            prefix(value, "whsec_")
        })
        .secret()
        .example("whsec_hushhush"),
        Variable::required("STRIPE_PRICE_ID_PRO", "the price of the plan Pro", |value, _| prefix(value, "price_"))
            .example("price_1"),
        Variable::required("STRIPE_PRICE_ID_PREMIUM", "the price of the plan Premium", |value, _| {
            prefix(value, "price_")
        })
        .example("price_2"),
        Variable::required("STRIPE_PUBLISHABLE_KEY", "the key that browsers may see", publishable_key)
            .or("REACT_APP_STRIPE_PUBLISHABLE_KEY")
            .example("pk_live_1"),
        Variable::optional("STRIPE_BASE_URL", "another end point in its place", http_url),
    ],
    accounts: Accounts::None,
};

fn key(value: &str, environment: &Environment<'_>) -> Option<String> {
    of_mode(value, &["sk_", "rk_"], environment)
}

fn publishable_key(value: &str, environment: &Environment<'_>) -> Option<String> {
    of_mode(value, &["pk_"], environment)
}

fn of_mode(value: &str, kinds: &[&str], environment: &Environment<'_>) -> Option<String> {
    let rest = kinds.iter().find_map(|kind| value.strip_prefix(kind));
    let mode = rest.and_then(|rest| rest.split_once('_')).filter(|(_, id)| !id.is_empty() && is_word(id));
    match (mode.map(|(mode, _)| mode), environment.production) {
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
