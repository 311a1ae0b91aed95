//! Reading prices from pages: how many pages a second, and how many prices of `examples/pages` are right.

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use chrono::NaiveDate;
use prices::Hints;
use rust_decimal::Decimal;
use serde::Deserialize;
use url::Url;

use crate::big_pages;

/// Pages a second, F1 of the price, wrong prices.
pub(crate) type Figures = [f64; 3];

/// The pages, for all systems the same; the folder of the large ones leaves with this.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The large ones, and a list of them.
    pub(crate) large: PathBuf,
    /// Those with known prices, and the list of them.
    pub(crate) known: PathBuf,
    /// For how long the large ones are read.
    pub(crate) time: Duration,
}

/// A line of a list.
#[derive(Debug, Deserialize)]
struct Listed {
    page: String,
    url: String,
    price: Option<Decimal>,
}

impl Pages {
    /// Writes the large pages.
    pub(crate) fn write(known: &Path, time: Duration) -> anyhow::Result<Self> {
        ensure!(known.join("expected.json").exists(), "there are no pages in {}", known.display());
        let large = std::env::temp_dir().join(format!("bench-pages-{}", std::process::id()));
        fs::create_dir_all(&large)?;
        let mut list = Vec::new();
        for (number, page) in big_pages::pages().into_iter().enumerate() {
            fs::write(large.join(format!("{number}.html")), &page.html)?;
            let url = format!("https://big.example/p/{number}");
            list.push(serde_json::json!({ "page": number.to_string(), "url": url, "price": page.price }));
        }
        fs::write(large.join("expected.json"), serde_json::to_string(&list)?)?;
        Ok(Self { large, known: known.to_owned(), time })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.large);
    }
}

/// Ours, on one thread.
pub(crate) fn ours(pages: &Pages) -> anyhow::Result<Figures> {
    let large = listed(&pages.large)?;
    for (html, url, price) in &large {
        let got = read(html, url)?;
        ensure!(got.is_none() || got == *price, "{url}: {got:?} instead of {price:?}");
    }
    let began = Instant::now();
    let mut n_read = 0;
    while n_read == 0 || began.elapsed() < pages.time {
        for (html, url, _) in &large {
            black_box(read(html, url)?);
        }
        n_read += large.len();
    }
    let per_s = n_read as f64 / began.elapsed().as_secs_f64();

    let (mut given, mut right, mut there) = (0.0, 0.0, 0.0);
    for (html, url, price) in listed(&pages.known)? {
        let got = read(&html, &url)?;
        given += f64::from(u8::from(got.is_some()));
        there += f64::from(u8::from(price.is_some()));
        right += f64::from(u8::from(got.is_some() && got == price));
    }
    Ok([per_s, 2.0 * right / (given + there), given - right])
}

fn listed(folder: &Path) -> anyhow::Result<Vec<(String, Url, Option<Decimal>)>> {
    let list: Vec<Listed> = serde_json::from_slice(&fs::read(folder.join("expected.json"))?)?;
    let read = |Listed { page, url, price }| {
        let html = fs::read_to_string(folder.join(format!("{page}.html")))?;
        anyhow::Ok((html, Url::parse(&url)?, price))
    };
    list.into_iter().map(read).collect()
}

fn read(html: &str, url: &Url) -> anyhow::Result<Option<Decimal>> {
    // The day of the corpus, so that an offer that ended since is still one.
    let day = NaiveDate::from_ymd_opt(2026, 11, 28).context("no such day")?;
    let read = prices::read(html, url, &Hints::on(day)).map_err(|why| anyhow::anyhow!("{url}: {why}"))?;
    Ok(read.price.map(|price| price.amount))
}
