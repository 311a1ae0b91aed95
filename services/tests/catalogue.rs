//! What the catalogue says, and how it reads an environment; what is made of it is up to date.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::{collections::HashMap, env, fs, path::Path};

use services::{Accounts, Environment, GENERAL, Name, Need, SERVICES, State, Variable, page};

fn all_variables() -> impl Iterator<Item = &'static Variable> {
    SERVICES.iter().flat_map(|service| service.entry().all_variables())
}

/// A service as the examples have it, for production: what it needs, with one account. Then these changes; an empty one is taken away.
fn state_of(service: &str, production: bool, changes: &[(&str, &str)]) -> State {
    let entry = Name::named(service).unwrap().entry();
    let account = match entry.accounts {
        Accounts::AnyOf(accounts) => accounts[0].variables,
        _ => &[],
    };
    let needed = entry
        .variables
        .iter()
        .chain(account)
        .filter(|v| matches!(v.need, Need::Required | Need::InProduction | Need::Unless(_)));
    let mut vars: HashMap<_, _> = needed.map(|variable| (variable.name, variable.example.unwrap())).collect();
    vars.extend(changes.iter().copied());
    let var = |name: &str| vars.get(name).map(|value| (*value).to_owned());
    entry.state(&Environment::new(production, &var))
}

fn reason(service: &str, production: bool, name: &str, value: &str) -> Option<String> {
    let state = state_of(service, production, &[(name, value)]);
    state.malformed.into_iter().find(|malformed| malformed.variable == name).map(|malformed| malformed.reason)
}

#[test]
fn a_full_environment_configures_every_service() {
    for service in SERVICES {
        let state = state_of(service.as_str(), true, &[]);
        assert!(state.configured && state.missing.is_empty() && state.malformed.is_empty(), "{service}: {state:?}");
    }
}

#[test]
fn an_empty_environment_misses_what_has_no_default() {
    let none = |_: &str| None;
    let configured = |production| {
        let environment = Environment::new(production, &none);
        let services = SERVICES.iter().filter(|service| service.entry().state(&environment).configured);
        services.map(|service| service.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(configured(false), ["scraping", "mongodb", "redis", "security"]);
    assert_eq!(configured(true), ["scraping"]);
}

#[test]
fn names_are_unique_and_switches_are_named_like_their_service() {
    let general = GENERAL.iter().flat_map(|group| group.variables);
    let mut names: Vec<_> = all_variables().chain(general).flat_map(|v| [Some(v.name), v.also]).flatten().collect();
    for service in SERVICES {
        let entry = service.entry();
        names.extend([entry.switch, entry.requests_per_min, entry.tokens_per_min].into_iter().flatten());
        let switch = entry.switch.unwrap_or_default();
        assert!(switch.is_empty() || switch == format!("MOCK_MODE_{}", service.as_str().to_uppercase()), "{switch}");
        assert_eq!(Name::named(service.as_str()), Some(*service));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_example_is_right_in_production_and_those_of_secrets_can_be_found() {
    let examples: HashMap<_, _> = all_variables().filter_map(|v| Some((v.name, v.example?))).collect();
    let var = |name: &str| examples.get(name).map(|value| (*value).to_owned());
    for service in SERVICES {
        let state = service.entry().state(&Environment::new(true, &var));
        assert!(state.configured && state.malformed.is_empty() && state.missing.is_empty(), "{service}: {state:?}");
    }
    for secret in all_variables().filter(|variable| variable.secret) {
        // A key in base64 has the word encoded.
        let example = secret.example.unwrap_or_else(|| panic!("{} has no example", secret.name));
        assert!(example.contains("hushhush") || example.contains("aHVzaGh1c2"), "{example}");
    }
}

#[test]
fn one_complete_shop_is_enough_and_a_half_one_is_named() {
    let none = state_of("publication", true, &[("SHOPIFY_STORE_URL", ""), ("SHOPIFY_ACCESS_TOKEN", "")]);
    assert!(!none.configured);
    assert_eq!(none.missing.len(), 7, "every shop is missed: {:?}", none.missing);
    let half = state_of("publication", true, &[("PRESTA_STORE_URL", "https://p.example")]);
    assert!(half.configured, "Shopify works");
    assert_eq!(half.missing, ["PRESTA_API_KEY"]);
}

#[test]
fn shopify_needs_a_token_or_an_app_with_its_secret() {
    let app = [("SHOPIFY_ACCESS_TOKEN", ""), ("SHOPIFY_CLIENT_ID", "4f2b")];
    assert_eq!(state_of("publication", true, &app).missing, ["SHOPIFY_CLIENT_SECRET"]);
    let secret = [&app[..], &[("SHOPIFY_CLIENT_SECRET", "shpss_hush")]].concat();
    let state = state_of("publication", true, &secret);
    assert!(state.configured && state.missing.is_empty(), "{state:?}");
    for (version, is_good) in
        [("2027-01", true), ("2026-12", false), ("latest", false), ("20é6-10", false), ("2026-1", false)]
    {
        assert_eq!(reason("publication", true, "SHOPIFY_API_VERSION", version).is_none(), is_good, "{version}");
    }
}

#[test]
fn the_proxy_decides_which_key_scraping_needs() {
    assert!(state_of("scraping", true, &[("PROXY_PROVIDER", "direct")]).configured);
    let bright = state_of("scraping", true, &[("PROXY_PROVIDER", "brightdata"), ("SCRAPERAPI_KEY", "k")]);
    assert!(!bright.configured);
    assert_eq!(bright.missing, ["BRIGHT_DATA_KEY", "BRIGHT_DATA_ZONE"]);
    assert!(state_of("scraping", true, &[("PROXY_PROVIDER", "scraperapi"), ("SCRAPERAPI_KEY", "k")]).configured);
    let unknown = state_of("scraping", true, &[("PROXY_PROVIDER", "tor")]);
    assert!(!unknown.configured && unknown.missing.is_empty());
}

#[test]
fn a_mail_account_needs_both_name_and_password() {
    assert_eq!(state_of("email", true, &[("SMTP_USERNAME", "u")]).missing, ["SMTP_PASSWORD"]);
    assert_eq!(state_of("email", true, &[("SMTP_PASSWORD", "p")]).missing, ["SMTP_USERNAME"]);
    assert!(reason("email", true, "SMTP_PORT", "465").unwrap().contains("SMTP_USE_SSL=true"));
    let ssl = [("SMTP_PORT", "465"), ("SMTP_USE_SSL", "true")];
    assert!(state_of("email", true, &ssl).configured);
}

#[test]
fn test_keys_are_refused_in_production_and_live_keys_elsewhere() {
    for (name, test, live) in [
        ("STRIPE_API_KEY", "sk_test_1", "sk_live_1"),
        ("STRIPE_API_KEY", "rk_test_1", "rk_live_1"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_1", "pk_live_1"),
    ] {
        assert!(reason("payments", true, name, test).unwrap().contains("test key"), "{test}");
        assert!(reason("payments", false, name, live).unwrap().contains("live key"), "{live}");
        assert_eq!(reason("payments", true, name, live), None);
        assert_eq!(reason("payments", false, name, test), None);
    }
}

#[test]
fn keys_of_stripe_are_of_one_mode_plans_have_prices_of_their_own_and_secrets_may_be_several() {
    let publishable = |production, value| reason("payments", production, "STRIPE_PUBLISHABLE_KEY", value).unwrap();
    assert!(publishable(true, "pk_test_1").contains("a test key, and STRIPE_API_KEY is a live key"));
    assert!(
        publishable(false, "pk_live_1").contains("is a live key, which moves money"),
        "the secret one is live, too"
    );
    for good in ["whsec_a,whsec_b", " whsec_a , whsec_b\n", "whsec_a\n"] {
        assert_eq!(reason("payments", true, "STRIPE_WEBHOOK_SECRET", good), None, "{good:?}");
    }
    for bad in ["whsec_a whsec_b", "whsec_a,", "whsec_a,wh_b", "whsec_"] {
        assert!(reason("payments", true, "STRIPE_WEBHOOK_SECRET", bad).is_some(), "{bad}");
    }
    assert!(reason("payments", true, "STRIPE_PRICE_ID_PREMIUM", "price_1").unwrap().contains("each plan has its own"));
}

#[test]
fn wrong_formats_are_found_and_never_quoted() {
    let wrong = [
        ("ai", "OPENAI_API_KEY", "pk-hushhush"),
        ("ai", "OPENAI_API_KEY", "sk-hush hush"),
        ("ai", "OPENAI_BASE_URL", "api.openai.com/hushhush"),
        ("images", "FAL_KEY", "hushhush"),
        ("payments", "STRIPE_API_KEY", "pk_live_hushhush"),
        ("payments", "STRIPE_API_KEY", "sk_live_"),
        ("payments", "STRIPE_WEBHOOK_SECRET", "hushhush"),
        ("payments", "STRIPE_WEBHOOK_SECRET", "whsec_1,hushhush"),
        ("payments", "STRIPE_PRICE_ID_PRO", "prod_hushhush"),
        ("publication", "SHOPIFY_STORE_URL", "https://hushhush.example"),
        ("publication", "SHOPIFY_ACCESS_TOKEN", "hushhush"),
        ("publication", "WOO_CONSUMER_KEY", "cs_hushhush"),
        ("publication", "PRESTA_API_KEY", "hushhush"),
        ("email", "SMTP_SERVER", "smtp://hushhush:25"),
        ("email", "SMTP_PORT", "0"),
        ("email", "SMTP_PORT", "66000"),
        ("email", "SENDER_EMAIL", "hushhush"),
        ("email", "SMTP_USE_SSL", "hushhush"),
        ("mongodb", "MONGO_URL", "http://hushhush"),
        ("redis", "REDIS_URL", "hushhush:6379"),
        ("backup", "BACKUP_S3_BUCKET", "Hushhush"),
        ("backup", "AWS_ACCESS_KEY_ID", "hushhush"),
        ("backup", "AWS_SECRET_ACCESS_KEY", "hushhush"),
        ("monitoring", "SENTRY_DSN", "https://sentry.example/hushhush"),
        ("monitoring", "MONITORING_ENDPOINT", "hushhush"),
        ("security", "JWT_SECRET", "hushhush"),
        ("security", "ENCRYPTION_KEY", "hushhush"),
        ("security", "ENCRYPTION_KEY", "TOOLONG99:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ];
    for (service, name, value) in wrong {
        let reason = reason(service, true, name, value).unwrap_or_else(|| panic!("{name}={value} is taken"));
        assert!(!reason.contains("hushhush"), "{reason}");
    }
}

#[test]
fn half_a_second_end_point_is_named_and_harms_nothing() {
    assert_eq!(state_of("ai", true, &[]).missing, [""; 0]);
    let half = state_of("ai", true, &[("OPENAI_FALLBACK_API_KEY", "k")]);
    assert!(half.configured);
    assert_eq!(half.missing, ["OPENAI_FALLBACK_BASE_URL", "OPENAI_FALLBACK_MODEL"]);
}

#[test]
fn another_end_point_may_have_other_keys() {
    let elsewhere = [("OPENAI_API_KEY", "any"), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")];
    assert!(state_of("ai", true, &elsewhere).configured);
    let minio = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
        ("AWS_ACCESS_KEY_ID", "minio"),
        ("AWS_SECRET_ACCESS_KEY", "minio123"),
    ];
    assert!(state_of("backup", true, &minio).configured);
}
/// With `WRITE_DOCS=1` it writes them.
#[test]
fn the_page_and_env_example_are_those_of_the_catalogue() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, text) in [("docs/configuration.md", page::configuration()), (".env.example", page::env_example())] {
        let path = workspace.join(name);
        if env::var_os("WRITE_DOCS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap();
        let changed = there.lines().zip(text.lines()).find(|(there, made)| there != made);
        assert!(
            there == text,
            "{name} is not as the catalogue says: WRITE_DOCS=1 cargo test -p services --test catalogue; {changed:?}"
        );
    }
}
