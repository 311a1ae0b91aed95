//! Every page of `examples/pages` is read, and each field is compared with what `expected.json` there says of the page.
//!
//! A price that is wrong fails, whatever the rest is like; one that is not found counts against the floors. The tables, and what was
//! read differently from what is said, are seen with `cargo test -p prices --test pages -- --nocapture`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::PathBuf,
    str::FromStr,
};

use chrono::NaiveDate;
use prices::{Extract, Hints, Method};
use rust_decimal::Decimal;
use serde::Deserialize;
use url::Url;

/// Of pages with a price: the harmonic mean of how many prices that were given are right, and how many prices were found.
const PRICE_F1: f64 = 0.96;
/// Of pages that tell whether the product can be had: how many were read right.
const AVAILABILITY: f64 = 0.97;
/// The least of the other fields that must be right, of those that pages state.
const FIELDS: [(&str, f64); 10] = [
    ("currency", 0.95),
    ("list_price", 0.75),
    ("unit_price", 0.60),
    ("condition", 0.65),
    ("name", 0.95),
    ("brand", 0.90),
    ("gtin", 1.0),
    ("sku", 0.90),
    ("image", 0.90),
    ("seller", 0.90),
];
/// Pages whose price or currency is known to be read wrong. One that is mended leaves this list.
const KNOWN_WRONG: [&str; 4] =
    ["ld-aggregate-sellers", "null-aggregate-range", "null-store-finder", "two-buy-buttons-editions"];
/// When all of it is read: offers that end later still hold.
const TODAY: (i32, u32, u32) = (2026, 11, 28);

/// What a page says, as a human reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    page: String,
    url: String,
    /// Why the page is here.
    why: String,
    /// The best place of the page to read its price from.
    method: Option<String>,
    price: Option<String>,
    #[serde(default)]
    currency: Said,
    #[serde(default)]
    list_price: Said,
    #[serde(default)]
    unit_price: Said,
    #[serde(default)]
    availability: Said,
    #[serde(default)]
    condition: Said,
    #[serde(default)]
    name: Said,
    #[serde(default)]
    brand: Said,
    #[serde(default)]
    gtin: Said,
    #[serde(default)]
    mpn: Said,
    #[serde(default)]
    sku: Said,
    #[serde(default)]
    image: Said,
    #[serde(default)]
    seller: Said,
    #[serde(default)]
    shipping: Said,
}

/// What a page says of one field.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Said {
    /// Nothing.
    #[default]
    Nothing,
    One(String),
    /// Any of these will do; `null` among them: so will nothing.
    AnyOf(Vec<Option<String>>),
}

impl Said {
    /// Whether the field must be there.
    fn is_stated(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::One(_) => true,
            Self::AnyOf(values) => values.iter().all(Option::is_some),
        }
    }

    fn is(&self, same: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::One(value) => same(value),
            Self::AnyOf(values) => values.iter().flatten().any(|value| same(value)),
        }
    }
}

/// How often a field was read right.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    /// Pages that state it.
    stated: usize,
    right: usize,
    wrong: usize,
    missed: usize,
    /// Read where the page does not state it.
    beyond: usize,
}

impl Figures {
    fn of(said: &Said, got: Option<&str>, same: impl Fn(&str, &str) -> bool) -> Self {
        let mut figures = Self { stated: usize::from(said.is_stated()), ..Self::default() };
        match got {
            Some(got) if said.is(|value| same(value, got)) => figures.right = usize::from(said.is_stated()),
            Some(_) if matches!(said, Said::Nothing) => figures.beyond = 1,
            Some(_) => figures.wrong = 1,
            None => figures.missed = usize::from(said.is_stated()),
        }
        figures
    }

    fn add(&mut self, other: Self) {
        self.stated += other.stated;
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
        self.beyond += other.beyond;
    }

    /// Of those stated.
    fn share_right(&self) -> f64 {
        self.right as f64 / self.stated as f64
    }

    /// A value that the page does not state is a wrong one here.
    fn f1(&self) -> f64 {
        let given = self.right + self.wrong + self.beyond;
        2.0 * self.right as f64 / (given + self.stated) as f64
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/pages")
}

fn expected() -> Vec<Page> {
    let text = fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn read(page: &Page) -> Extract {
    let html = fs::read_to_string(folder().join(format!("{}.html", page.page))).unwrap();
    let (year, month, day) = TODAY;
    let hints = Hints::on(NaiveDate::from_ymd_opt(year, month, day).unwrap());
    prices::read(&html, &Url::parse(&page.url).unwrap(), &hints).unwrap()
}

fn same_amount(left: &str, right: &str) -> bool {
    match (Decimal::from_str(left), Decimal::from_str(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

fn same_text(left: &str, right: &str) -> bool {
    left.split_whitespace().eq(right.split_whitespace())
}

/// Leading zeros only make a number longer.
fn same_number(left: &str, right: &str) -> bool {
    left.trim_start_matches('0') == right.trim_start_matches('0')
}

/// `25.80/kg`; `1 kg` and `kg` are the same measure.
fn same_unit_price(left: &str, right: &str) -> bool {
    let (Some((left, of_left)), Some((right, of_right))) = (left.split_once('/'), right.split_once('/')) else {
        return false;
    };
    let measure = |text: &str| text.trim().strip_prefix("1 ").unwrap_or(text.trim()).to_lowercase();
    same_amount(left, right) && measure(of_left) == measure(of_right)
}

fn word(method: Method) -> String {
    serde_json::to_value(method).unwrap().as_str().unwrap().to_owned()
}

/// One row a field of what was read, in the order of the table.
fn compare(page: &Page, got: &Extract) -> Vec<(&'static str, Figures, Option<String>)> {
    let Extract { price, details, .. } = got;
    let exact = |left: &str, right: &str| left == right;
    let amount = |price: Option<&prices::Price>| price.map(|price| price.amount.to_string());
    let availability = price.as_ref().and_then(|price| price.availability.as_ref()).or(details.availability.as_ref());
    let price_said = page.price.clone().map_or(Said::Nothing, Said::One);
    let unit = details.unit_price.as_ref().map(|unit| format!("{}/{}", unit.amount, unit.per));
    let row = |field, said: &Said, got: Option<String>, same: fn(&str, &str) -> bool| {
        (field, Figures::of(said, got.as_deref(), same), got)
    };
    let currency = price.as_ref().and_then(|price| price.currency.clone());
    // A price that was missed, or made up, has its own row; the currency is that of a price that is there on both sides.
    let both = page.price.is_some() && price.is_some();
    let (currency_said, currency) = if both { (&page.currency, currency) } else { (&Said::Nothing, None) };
    vec![
        row("price", &price_said, amount(price.as_ref()), same_amount),
        row("currency", currency_said, currency, exact),
        row("list_price", &page.list_price, amount(details.list_price.as_ref()), same_amount),
        row("unit_price", &page.unit_price, unit, same_unit_price),
        row("availability", &page.availability, availability.cloned(), exact),
        row("condition", &page.condition, details.condition.clone(), exact),
        row("name", &page.name, details.name.clone(), same_text),
        row("brand", &page.brand, details.brand.clone(), same_text),
        row("gtin", &page.gtin, details.gtin.clone(), same_number),
        row("mpn", &page.mpn, details.mpn.clone(), exact),
        row("sku", &page.sku, details.sku.clone(), exact),
        row("image", &page.image, details.image.clone(), exact),
        row("seller", &page.seller, details.seller.clone(), same_text),
        row("shipping", &page.shipping, amount(details.shipping.as_ref()), same_amount),
    ]
}

fn table<'a>(heading: &str, rows: impl Iterator<Item = (&'a str, &'a Figures)>) -> String {
    let mut text = format!(
        "| {heading} | stated | right | wrong | missed | beyond | F1 |\n| --- | --: | --: | --: | --: | --: | --: |\n"
    );
    for (name, figures) in rows {
        let Figures { stated, right, wrong, missed, beyond } = figures;
        let f1 = if *stated == 0 { "–".to_owned() } else { format!("{:.3}", figures.f1()) };
        let _ = writeln!(text, "| {name} | {stated} | {right} | {wrong} | {missed} | {beyond} | {f1} |");
    }
    text
}

#[test]
fn pages_are_read_as_they_say() {
    let mut fields: Vec<(&str, Figures)> = Vec::new();
    let mut methods: BTreeMap<String, Figures> = BTreeMap::new();
    let (mut notes, mut wrong) = (String::new(), BTreeSet::new());
    for page in expected() {
        let got = read(&page);
        for (at, (field, figures, value)) in compare(&page, &got).into_iter().enumerate() {
            if fields.len() == at {
                fields.push((field, Figures::default()));
            }
            fields[at].1.add(figures);
            if field == "price" {
                let place = page.method.clone().unwrap_or_else(|| "no price".to_owned());
                methods.entry(place).or_default().add(figures);
            }
            let matters = matches!(field, "price" | "currency");
            if matters && figures.wrong + figures.beyond > 0 {
                wrong.insert(page.page.clone());
            }
            if figures.wrong + figures.missed > 0 || (figures.beyond > 0 && matters) {
                let by = got.price.as_ref().map_or("-".to_owned(), |price| word(price.method));
                let _ = writeln!(notes, "{}: {field} {value:?}, price by {by} ({})", page.page, page.why);
            }
        }
    }
    println!("{}", table("field", fields.iter().map(|(name, figures)| (*name, figures))));
    println!("{}", table("best place of the price", methods.iter().map(|(name, figures)| (name.as_str(), figures))));
    println!("{notes}");
    let figures = |name: &str| fields.iter().find(|(field, _)| *field == name).unwrap().1;
    let known: BTreeSet<String> = KNOWN_WRONG.map(str::to_owned).into();
    assert_eq!(wrong, known, "pages with a wrong price, which is worse than none");
    assert!(figures("price").f1() >= PRICE_F1, "F1 of the price: {:.3}", figures("price").f1());
    let share = figures("availability").share_right();
    assert!(share >= AVAILABILITY, "availability: {share:.3}");
    for (field, least) in FIELDS {
        let share = figures(field).share_right();
        assert!(share >= least, "{field}: {share:.3} is below {least}");
    }
}

#[test]
fn each_page_is_told_once_and_is_there() {
    let mut told: Vec<String> = expected().into_iter().map(|page| page.page).collect();
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<String> = entries.filter_map(|name| Some(name.strip_suffix(".html")?.to_owned())).collect();
    told.sort();
    there.sort();
    assert_eq!(told, there);
    assert!(told.len() >= 120, "{}", told.len());
}

#[test]
fn what_is_told_of_the_pages_is_whole() {
    let mut n_without_price = 0;
    for page in expected() {
        let Page { page: name, why, method, price, gtin, .. } = &page;
        assert!(!why.is_empty(), "{name}");
        assert_eq!(method.is_some(), price.is_some(), "{name}: a price has a place where it stands");
        assert!(price.is_none() || page.currency.is_stated() || matches!(page.currency, Said::AnyOf(_)), "{name}");
        assert!(price.as_ref().is_none_or(|price| Decimal::from_str(price).is_ok()), "{name}");
        if let Said::One(gtin) = gtin {
            let digits: Vec<u32> = gtin.chars().rev().map(|c| c.to_digit(10).unwrap()).collect();
            let sum: u32 = digits.iter().enumerate().map(|(at, digit)| digit * if at % 2 == 1 { 3 } else { 1 }).sum();
            assert!(sum.is_multiple_of(10), "{name}: {gtin} ends in a wrong digit");
        }
        n_without_price += usize::from(price.is_none());
    }
    assert!(n_without_price >= 15, "{n_without_price}");
}
