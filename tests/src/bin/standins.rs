//! `standins`: starts stand-ins of the vendors for a person and prints the variables that lead to them.
//!
//! `standins` starts all on free ports; `standins openai=9001 smtp=0` those alone. Runs until it is ended.

use std::{any::Any, convert::Infallible, process::ExitCode};

use tests::{
    Gate,
    standins::{
        fal::Fal,
        heartbeat::Heartbeat,
        openai::OpenAi,
        prestashop::PrestaShop,
        s3::S3,
        scraping::{BrightData, Pages, ScraperApi},
        shopify::Shopify,
        smtp::Smtp,
        stripe::Stripe,
        woocommerce::WooCommerce,
    },
};

const NAMES: [&str; 12] = [
    "openai",
    "shops",
    "smtp",
    "fal",
    "shopify",
    "woocommerce",
    "prestashop",
    "stripe",
    "scraperapi",
    "brightdata",
    "s3",
    "heartbeat",
];
const OPENAI_MODELS: [&str; 6] =
    ["gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol", "gpt-6.2-sol", "gpt-6-astra", "gpt-6.2-astra"];
const KEY: &str = "standin";

/// A stand-in that runs: what keeps it alive, where it is broken, and the variables that lead to it.
struct Running {
    alive: Box<dyn Any>,
    url: String,
    variables: Vec<(&'static str, String)>,
}

async fn start(name: &str, port: u16) -> anyhow::Result<Running> {
    let given = |name, value: &str| (name, value.to_owned());
    let (alive, url, variables): (Box<dyn Any>, String, Vec<_>) = match name {
        "openai" => {
            let key = format!("sk-{KEY}");
            let openai = OpenAi::on(port, Gate::opened(), &key, &OPENAI_MODELS).await?;
            let base = openai.url().to_owned();
            let root = base.trim_end_matches("/v1").to_owned();
            (Box::new(openai), root, vec![given("OPENAI_API_KEY", &key), ("OPENAI_BASE_URL", base)])
        }
        "shops" => {
            let pages = Pages::start(port).await?;
            let url = pages.url();
            (Box::new(pages), url, vec![given("PROXY_PROVIDER", "direct"), given("SCRAPE_ALLOW_HOSTS", "127.0.0.1")])
        }
        "smtp" => {
            let smtp = Smtp::on(port, 0, Some(("shop", KEY))).await?;
            let (url, port) = (smtp.control_url().to_owned(), smtp.port().to_string());
            let variables = vec![
                given("SMTP_SERVER", "127.0.0.1"),
                ("SMTP_PORT", port),
                given("SMTP_USERNAME", "shop"),
                given("SMTP_PASSWORD", KEY),
                given("SENDER_EMAIL", "shop@ecomsimply.example"),
            ];
            (Box::new(smtp), url, variables)
        }
        "fal" => {
            let key = format!("id:{KEY}");
            let fal = Fal::start(port, &key).await?;
            let url = fal.url().to_owned();
            let variables = vec![
                ("FAL_KEY", key),
                ("FAL_QUEUE_BASE_URL", url.clone()),
                ("FAL_JWKS_URL", fal.jwks_url()),
                given("FAL_MEDIA_HOSTS", "127.0.0.1"),
            ];
            (Box::new(fal), url, variables)
        }
        "woocommerce" => {
            let (key, secret) = (format!("ck_{KEY}"), format!("cs_{KEY}"));
            // Its URL is http, so that a client signs.
            let shop = WooCommerce::plain(port, &key, &secret).await?;
            let url = shop.url().to_owned();
            let variables =
                vec![("WOO_STORE_URL", url.clone()), ("WOO_CONSUMER_KEY", key), ("WOO_CONSUMER_SECRET", secret)];
            (Box::new(shop), url, variables)
        }
        "shopify" => {
            let token = format!("shpat_{KEY}");
            let shop = Shopify::start(port, &token).await?;
            let url = shop.url();
            (Box::new(shop), url.clone(), vec![("SHOPIFY_STORE_URL", url), ("SHOPIFY_ACCESS_TOKEN", token)])
        }
        "prestashop" => {
            let key = format!("{KEY:X<32}");
            let shop = PrestaShop::start(port, &key).await?;
            let url = shop.url();
            (Box::new(shop), url.clone(), vec![("PRESTA_STORE_URL", url), ("PRESTA_API_KEY", key)])
        }
        "stripe" => {
            let key = format!("sk_test_{KEY}");
            let stripe = Stripe::start(port, &key, &["price_pro", "price_premium"]).await?;
            let url = stripe.url();
            let variables = vec![
                ("STRIPE_API_KEY", key),
                ("STRIPE_BASE_URL", url.clone()),
                ("STRIPE_PUBLISHABLE_KEY", format!("pk_test_{KEY}")),
                ("STRIPE_WEBHOOK_SECRET", format!("whsec_{KEY}")),
                given("STRIPE_PRICE_ID_PRO", "price_pro"),
                given("STRIPE_PRICE_ID_PREMIUM", "price_premium"),
            ];
            (Box::new(stripe), url, variables)
        }
        "s3" => {
            let s3 = S3::start(port, "backups", KEY, KEY).await?;
            let url = s3.url();
            let variables = vec![
                given("BACKUP_S3_BUCKET", "backups"),
                given("AWS_ACCESS_KEY_ID", KEY),
                given("AWS_SECRET_ACCESS_KEY", KEY),
                given("AWS_REGION", "us-east-1"),
                ("AWS_ENDPOINT_URL", url.clone()),
            ];
            (Box::new(s3), url, variables)
        }
        "heartbeat" => {
            let service = Heartbeat::start(port, KEY).await?;
            let url = service.url();
            let root = url.trim_end_matches(KEY).trim_end_matches('/').to_owned();
            (Box::new(service), root, vec![("MONITORING_ENDPOINT", url)])
        }
        "scraperapi" => {
            let api = ScraperApi::start(port, KEY, 100_000).await?;
            let url = api.url();
            (Box::new(api), url.clone(), vec![given("SCRAPERAPI_KEY", KEY), ("SCRAPERAPI_BASE_URL", url)])
        }
        "brightdata" => {
            let api = BrightData::start(port, KEY, "unlocker").await?;
            let url = api.url();
            let variables = vec![
                given("BRIGHT_DATA_KEY", KEY),
                given("BRIGHT_DATA_ZONE", "unlocker"),
                ("BRIGHT_DATA_BASE_URL", url.clone()),
            ];
            (Box::new(api), url, variables)
        }
        _ => anyhow::bail!("there is no stand-in {name:?}; there are {}", NAMES.join(", ")),
    };
    Ok(Running { alive, url, variables })
}

/// `openai=9001`, or `openai` for a free port.
fn chosen(argument: &str) -> anyhow::Result<(String, u16)> {
    let (name, port) = argument.split_once('=').unwrap_or((argument, "0"));
    let port = port.parse().map_err(|_| anyhow::anyhow!("{argument:?} is not NAME=PORT"))?;
    Ok((name.to_owned(), port))
}

async fn run() -> anyhow::Result<Infallible> {
    let mut wanted = std::env::args().skip(1).map(|argument| chosen(&argument)).collect::<anyhow::Result<Vec<_>>>()?;
    if wanted.is_empty() {
        wanted = NAMES.map(|name| (name.to_owned(), 0)).into();
    }
    let mut alive = Vec::new();
    for (name, port) in wanted {
        let running =
            start(&name, port).await.map_err(|error| anyhow::anyhow!("cannot start {name} on port {port}: {error}"))?;
        println!("# {name}: {}", running.url);
        for (variable, value) in running.variables {
            println!("{variable}={value}");
        }
        alive.push(running.alive);
    }
    println!(
        "# ready: PUT /_fault at an address above breaks it, DELETE /_fault mends it, GET /_requests tells what came"
    );
    Ok(std::future::pending().await)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("standins: {error}");
            ExitCode::FAILURE
        }
    }
}
