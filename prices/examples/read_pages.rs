//! Reads the pages of a list: lines `file<TAB>url`. Prints what was read, or with `--bench` how many pages a second.
use chrono::NaiveDate;
use std::{fs, time::Instant};
use url::Url;
fn main() {
    let mut args = std::env::args().skip(1);
    let list = fs::read_to_string(args.next().unwrap()).unwrap();
    let bench = args.next().is_some();
    let today = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();
    for line in list.lines() {
        let (file, url) = line.split_once('\t').unwrap();
        let html = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let url = Url::parse(url).unwrap();
        let hints = prices::Hints::on(today);
        if bench {
            let began = Instant::now();
            let mut n = 0;
            while began.elapsed().as_millis() < 600 {
                let _ = std::hint::black_box(prices::read(&html, &url, &hints));
                n += 1;
            }
            println!(
                "{file}: {} KB {:.2} ms",
                html.len() / 1000,
                began.elapsed().as_secs_f64() * 1000.0 / f64::from(n)
            );
            continue;
        }
        match prices::read(&html, &url, &hints) {
            Ok(page) => {
                let p = page.price.as_ref();
                let text = |t: &Option<String>| t.clone().unwrap_or_default().replace('\t', " ");
                let d = &page.details;
                println!(
                    "{file}\t{}\t{}\t{}\t{}\t{}",
                    p.map(|p| p.amount.normalize().to_string()).unwrap_or_default(),
                    p.and_then(|p| p.currency.clone()).unwrap_or_default(),
                    text(&d.availability.clone().or(p.and_then(|p| p.availability.clone()))),
                    p.map(|p| format!("{:?}/{:?}", p.method, p.confidence)).unwrap_or_default(),
                    format_args!(
                        "{} | {} | {} | {} | {} | {:?} | {:?}",
                        text(&d.name),
                        text(&d.brand),
                        text(&d.gtin),
                        text(&d.sku),
                        text(&d.condition),
                        d.list_price.as_ref().map(|p| p.amount),
                        d.unit_price.as_ref().map(|p| (p.amount, p.per.clone()))
                    )
                );
            }
            Err(why) => println!("{file}\tERROR {why}"),
        }
    }
}
