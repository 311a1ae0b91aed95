//! Dates, amounts and numbers as a reader in this language and time zone expects them.

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use providers::content::Language;
use zones::Zone;

/// Between a number and its unit, and before French signs.
const NO_BREAK: char = '\u{a0}';
/// Between groups of digits in French.
const NARROW_NO_BREAK: char = '\u{202f}';

const DAYS: [(&str, &str); 7] = [
    ("lundi", "Monday"),
    ("mardi", "Tuesday"),
    ("mercredi", "Wednesday"),
    ("jeudi", "Thursday"),
    ("vendredi", "Friday"),
    ("samedi", "Saturday"),
    ("dimanche", "Sunday"),
];
const MONTHS: [(&str, &str); 12] = [
    ("janvier", "January"),
    ("février", "February"),
    ("mars", "March"),
    ("avril", "April"),
    ("mai", "May"),
    ("juin", "June"),
    ("juillet", "July"),
    ("août", "August"),
    ("septembre", "September"),
    ("octobre", "October"),
    ("novembre", "November"),
    ("décembre", "December"),
];

/// Where the reader is, and what they read.
#[derive(Debug, Clone)]
pub struct Locale {
    pub(crate) language: Language,
    pub(crate) time_zone: Zone,
}

impl Locale {
    /// Of a reader in this time zone; UTC, if there is none of that name.
    #[must_use]
    pub fn new(language: Language, time_zone: &str) -> Self {
        Self { language, time_zone: time_zone.parse().unwrap_or(Zone::UTC) }
    }

    /// The name in its language: `fr`, `en`.
    #[must_use]
    pub fn language_name(&self) -> &'static str {
        match self.language {
            Language::Fr => "fr",
            Language::En => "en",
        }
    }

    fn choose<'a>(&self, (french, english): (&'a str, &'a str)) -> &'a str {
        match self.language {
            Language::Fr => french,
            Language::En => english,
        }
    }

    /// The day, the time and the zone of an RFC 3339 time.
    #[must_use]
    pub fn moment(&self, text: &str) -> Option<String> {
        let at = self.time_zone.local(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
        let (day, zone) = (self.day_of(at.date_naive()), self.time_zone.name());
        Some(match self.language {
            Language::Fr => {
                format!("{day} à {}{NO_BREAK}h{NO_BREAK}{:02} ({zone})", at.hour(), at.minute())
            }
            Language::En => format!("{day} at {:02}:{:02} ({zone})", at.hour(), at.minute()),
        })
    }

    /// The day of an RFC 3339 time where the recipient is, or of a plain date.
    #[must_use]
    pub fn day(&self, text: &str) -> Option<String> {
        let date = match text.parse::<NaiveDate>() {
            Ok(date) => date,
            Err(_) => self.time_zone.local(DateTime::parse_from_rfc3339(text).ok()?.to_utc()).date_naive(),
        };
        Some(self.day_of(date))
    }

    fn day_of(&self, date: NaiveDate) -> String {
        let name = DAYS.get(date.weekday().num_days_from_monday() as usize).map_or("", |names| self.choose(*names));
        let month = MONTHS.get(date.month0() as usize).map_or("", |names| self.choose(*names));
        let first = self.language == Language::Fr && date.day() == 1;
        let number = if first { "1er".to_owned() } else { date.day().to_string() };
        format!("{name} {number}{NO_BREAK}{month} {}", date.year())
    }

    /// An amount like `1299.5` of a currency.
    #[must_use]
    pub fn money(&self, amount: &str, currency: &str) -> String {
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        let whole = self.grouped(whole);
        let sign = match currency {
            "EUR" => "€",
            "USD" => "$",
            "GBP" => "£",
            other => other,
        };
        let number = match (self.language, fraction) {
            (_, "") => whole,
            (Language::Fr, fraction) => format!("{whole},{fraction:0<2}"),
            (Language::En, fraction) => format!("{whole}.{fraction:0<2}"),
        };
        match self.language {
            Language::En if sign.len() < 3 || sign == "€" => format!("{sign}{number}"),
            _ => format!("{number}{NO_BREAK}{sign}"),
        }
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, number: u64) -> String {
        self.grouped(&number.to_string())
    }

    fn grouped(&self, digits: &str) -> String {
        let separator = match self.language {
            Language::Fr => NARROW_NO_BREAK,
            Language::En => ',',
        };
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(separator);
            }
            grouped.push(digit);
        }
        grouped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(language: Language, zone: &str) -> Locale {
        Locale { language, time_zone: zone.parse().unwrap() }
    }

    #[test]
    fn a_time_is_that_of_the_recipient() {
        let at = "2026-03-31T22:05:00Z";
        let paris = locale(Language::Fr, "Europe/Paris").moment(at).unwrap();
        assert_eq!(paris, "mercredi 1er\u{a0}avril 2026 à 0\u{a0}h\u{a0}05 (Europe/Paris)");
        let new_york = locale(Language::En, "America/New_York").moment(at).unwrap();
        assert_eq!(new_york, "Tuesday 31\u{a0}March 2026 at 18:05 (America/New_York)");
        assert_eq!(locale(Language::En, "Pacific/Apia").day(at).unwrap(), "Wednesday 1\u{a0}April 2026");
        assert_eq!(locale(Language::Fr, "UTC").day("2028-02-29").unwrap(), "mardi 29\u{a0}février 2028");
        assert_eq!(locale(Language::Fr, "UTC").moment("soon"), None);
    }

    /// By the laws of 2026; older tables of time zones are an hour off.
    #[test]
    fn clocks_that_were_changed_lately_are_those_of_the_recipient() {
        let at = |zone: &str| locale(Language::En, zone).moment("2026-12-01T12:00:00Z").unwrap();
        for (zone, shows) in [
            ("Africa/Casablanca", "12:00"),
            ("America/Vancouver", "05:00"),
            ("America/Edmonton", "06:00"),
            ("America/Winnipeg", "07:00"),
            ("America/Havana", "08:00"),
        ] {
            assert_eq!(at(zone), format!("Tuesday 1\u{a0}December 2026 at {shows} ({zone})"));
        }
    }

    #[test]
    fn amounts_and_numbers_are_written_as_the_language_does() {
        let (fr, en) = (locale(Language::Fr, "UTC"), locale(Language::En, "UTC"));
        assert_eq!(fr.money("1299.5", "EUR"), "1\u{202f}299,50\u{a0}€");
        assert_eq!(en.money("1299.5", "EUR"), "€1,299.50");
        assert_eq!((fr.money("29", "USD"), en.money("29", "GBP")), ("29\u{a0}$".to_owned(), "£29".to_owned()));
        assert_eq!(en.money("120000", "JPY"), "120,000\u{a0}JPY");
        assert_eq!((fr.number(0), en.number(1_234_567)), ("0".to_owned(), "1,234,567".to_owned()));
        assert_eq!(fr.number(999), "999");
    }
}
