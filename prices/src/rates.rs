//! Exchange rates of a day, and what an amount is in another currency by them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use iso_currency::Currency;
use rust_decimal::{Decimal, RoundingStrategy};

/// What all rates count from.
pub const BASE: &str = "EUR";
/// There are about 180 currencies.
const MOST: usize = 300;
/// Digits before and behind the dot of a rate.
const DIGITS: (usize, usize) = (12, 12);

/// How much of each currency one euro is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    date: NaiveDate,
    rates: BTreeMap<String, Decimal>,
}

/// What is wrong with rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRates {
    /// One rate: of which currency, and why.
    #[error("the rate of {currency:?} {reason}")]
    Rate {
        /// As it is written.
        currency: String,
        /// Completes "the rate of …".
        reason: &'static str,
    },
    /// All of them.
    #[error("{0}")]
    Whole(String),
}

impl Rates {
    /// The day that they are of.
    #[must_use]
    pub fn date(&self) -> NaiveDate {
        self.date
    }

    /// How much of each currency one euro is; the euro itself is not among them.
    #[must_use]
    pub fn rates(&self) -> &BTreeMap<String, Decimal> {
        &self.rates
    }

    /// Rates as they are written: `USD` is `1.0712`.
    ///
    /// # Errors
    /// For the first that is none.
    pub fn read<'a>(date: NaiveDate, written: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadRates> {
        let mut rates = BTreeMap::new();
        for (currency, rate) in written {
            let bad = |reason| BadRates::Rate { currency: currency.chars().take(20).collect(), reason };
            if !is_code(currency) {
                return Err(bad("is not of a currency: a code has three capital letters"));
            }
            if currency == BASE {
                return Err(bad("is always 1 and must be left out"));
            }
            let rate = number(rate).ok_or_else(|| bad("must be a decimal number above 0, such as 1.0712"))?;
            if rates.insert(currency.to_owned(), rate).is_some() {
                return Err(bad("is given twice"));
            }
            if rates.len() > MOST {
                return Err(BadRates::Whole(format!("there are more than {MOST} rates")));
            }
        }
        if rates.is_empty() {
            return Err(BadRates::Whole("there is no rate".to_owned()));
        }
        Ok(Self { date, rates })
    }

    /// The newest day of a file of the European Central Bank, such as `eurofxref-daily.xml`.
    ///
    /// # Errors
    /// Why it is no such file, or not a whole one: nothing of it counts then.
    pub fn from_ecb(xml: &str) -> Result<Self, BadRates> {
        let whole = |what: String| BadRates::Whole(what);
        if !xml.contains("eurofxref") {
            let begin: String = xml.trim_start().chars().take(40).collect();
            return Err(whole(format!("it is no file of the ECB's reference rates: it begins with {begin:?}")));
        }
        // A file that was cut off would have fewer currencies, and nobody would know.
        if !xml.contains("</gesmes:Envelope>") {
            return Err(whole("the file is cut off: it does not end".to_owned()));
        }
        let (mut newest, mut rates, mut is_newest) = (None::<NaiveDate>, Vec::new(), false);
        for cube in cubes(xml) {
            let attribute = |name: &str| cube.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
            if let Some(time) = attribute("time") {
                let date = time.parse().map_err(|_| whole(format!("{time:.20?} is no day")))?;
                is_newest = newest.is_none_or(|newest| date > newest);
                if is_newest {
                    (newest, rates) = (Some(date), Vec::new());
                }
            }
            match (attribute("currency"), attribute("rate")) {
                (Some(_), None) | (None, Some(_)) => {
                    return Err(whole(format!("a currency has no rate, or a rate no currency: {cube:?}")));
                }
                (Some(currency), Some(rate)) if newest.is_some() => {
                    if is_newest {
                        rates.push((currency, rate));
                    }
                }
                (Some(_), Some(_)) => return Err(whole("the rates have no day".to_owned())),
                (None, None) => {}
            }
        }
        Self::read(newest.ok_or_else(|| whole("the rates have no day".to_owned()))?, rates)
    }

    /// An amount in another currency, rounded as that is counted; `None` when there is no rate for one of the two.
    #[must_use]
    pub fn convert(&self, amount: Decimal, from: &str, to: &str) -> Option<Decimal> {
        let rate = |currency: &str| {
            if currency == BASE { Some(Decimal::ONE) } else { self.rates.get(currency).copied() }
        };
        // Multiplied first: that loses no digit where it divides evenly.
        let converted = amount.checked_mul(rate(to)?)?.checked_div(rate(from)?)?;
        Some(rounded(converted, to))
    }
}

/// Rounded to what a currency is counted in: cents for most, none of yen.
pub(crate) fn rounded(amount: Decimal, currency: &str) -> Decimal {
    let places = Currency::from_code(currency).and_then(|currency| currency.exponent()).map_or(2, u32::from);
    let mut rounded = amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(places);
    rounded
}

/// Whether this may be the code of a currency.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Digits, and a dot with digits behind it; above 0. The parser of the library takes more, such as `1e3` and `1_000`.
fn number(text: &str) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let are_digits =
        |digits: &str, most| (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let good = are_digits(whole, DIGITS.0) && fraction.is_none_or(|fraction| are_digits(fraction, DIGITS.1));
    text.parse().ok().filter(|number: &Decimal| good && !number.is_zero())
}

/// The attributes of each element `Cube`, in order.
fn cubes(xml: &str) -> impl Iterator<Item = Vec<(&str, &str)>> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('<')? + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = &comment[comment.find("-->")?..];
                continue;
            }
            let (tag, behind) = rest.split_once('>')?;
            rest = behind;
            let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
            let name = name.trim_end_matches('/');
            if name.rsplit(':').next() == Some("Cube") && !name.starts_with('/') {
                return Some(pairs(attributes));
            }
        }
    })
}

/// `currency='USD' rate="1.0712"`.
fn pairs(mut text: &str) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let rest = rest.trim_start();
        let Some(quote) = rest.chars().next().filter(|quote| matches!(quote, '"' | '\'')) else { break };
        let Some((value, behind)) = rest[1..].split_once(quote) else { break };
        pairs.push((name.trim(), value.trim()));
        text = behind;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAILY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject>
	<gesmes:Sender>
		<gesmes:name>European Central Bank</gesmes:name>
	</gesmes:Sender>
	<Cube>
		<Cube time='2026-11-27'>
			<Cube currency='USD' rate='1.0712'/>
			<Cube currency='JPY' rate='164.25'/>
			<Cube currency="GBP" rate="0.83215" />
			<!-- <Cube currency='RUB' rate='1'/> -->
		</Cube>
	</Cube>
</gesmes:Envelope>
<!-- a cache's own line -->
"#;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn the_file_of_the_ecb_is_read() {
        let rates = Rates::from_ecb(DAILY).unwrap();
        assert_eq!(rates.date().to_string(), "2026-11-27");
        let read: Vec<_> = rates.rates().iter().map(|(currency, rate)| (currency.as_str(), rate.to_string())).collect();
        assert_eq!(read, [("GBP", "0.83215".into()), ("JPY", "164.25".into()), ("USD", "1.0712".into())]);
    }

    #[test]
    fn of_a_file_with_many_days_the_newest_counts() {
        let older = "<Cube time='2026-11-26'><Cube currency='USD' rate='1.0'/></Cube>";
        for history in [
            DAILY.replace("\t</Cube>\n</gesmes", &format!("{older}</Cube></gesmes")),
            DAILY.replace("<Cube time='2026-11-27'>", &format!("{older}<Cube time='2026-11-27'>")),
        ] {
            let rates = Rates::from_ecb(&history).unwrap();
            assert_eq!((rates.rates().len(), rates.rates()["USD"]), (3, dec("1.0712")), "{history}");
        }
    }

    #[test]
    fn nothing_of_a_bad_file_counts_and_the_reason_is_told() {
        let cut = |at: &str| DAILY[..DAILY.find(at).unwrap()].to_owned();
        for (file, told) in [
            (String::new(), "no file of the ECB's"),
            ("<html>Service unavailable</html>".to_owned(), "begins with \"<html>Service unavailable</html>\""),
            (cut("<Cube currency='JPY'"), "cut off"),
            (cut("currency='JPY'"), "cut off"),
            (DAILY.replace(" time='2026-11-27'", ""), "no day"),
            (DAILY.replace("2026-11-27", "27.11.2026"), "\"27.11.2026\" is no day"),
            (DAILY.replace("'1.0712'", "'1,0712'"), "the rate of \"USD\" must be a decimal number"),
            (DAILY.replace("'1.0712'", "'0'"), "the rate of \"USD\" must be a decimal number above 0"),
            (DAILY.replace("'1.0712'", "'-1.0'"), "the rate of \"USD\""),
            (DAILY.replace("'1.0712'", "'N/A'"), "the rate of \"USD\""),
            (DAILY.replace("'1.0712'", "'1e3'"), "the rate of \"USD\""),
            (DAILY.replace("'USD'", "'usd'"), "three capital letters"),
            (DAILY.replace("'USD'", "'GBP'"), "the rate of \"GBP\" is given twice"),
            (DAILY.replace("'USD'", "'EUR'"), "always 1"),
            (DAILY.replace(" rate='1.0712'", ""), "a currency has no rate"),
        ] {
            let error = Rates::from_ecb(&file).unwrap_err().to_string();
            assert!(error.contains(told), "{error}: {file}");
        }
        let empty = "<gesmes:Envelope xmlns='eurofxref'><Cube><Cube time='2026-11-27'/></Cube></gesmes:Envelope>";
        assert_eq!(Rates::from_ecb(empty).unwrap_err().to_string(), "there is no rate");
    }

    #[test]
    fn amounts_are_converted_and_rounded_as_their_currency_is_counted() {
        let rates = Rates::from_ecb(DAILY).unwrap();
        for (amount, from, to, expected) in [
            ("100", "EUR", "USD", "107.12"),
            ("107.12", "USD", "EUR", "100.00"),
            ("10", "GBP", "USD", "12.87"),
            ("10", "USD", "JPY", "1533"),
            ("1533", "JPY", "USD", "10.00"),
            ("0.005", "EUR", "EUR", "0.01"),
            ("19.9", "USD", "USD", "19.90"),
        ] {
            let converted = rates.convert(dec(amount), from, to).unwrap();
            assert_eq!(converted.to_string(), expected, "{amount} {from} in {to}");
        }
        assert_eq!(rates.convert(dec("1"), "CHF", "EUR"), None);
        assert_eq!(rates.convert(dec("1"), "EUR", "CHF"), None);
        assert_eq!(rates.convert(Decimal::MAX, "EUR", "JPY"), None, "too large");
    }
}
