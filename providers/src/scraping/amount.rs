//! Amounts of money as shops write them. No floating point number comes near them.

use std::str::FromStr;

use rust_decimal::Decimal;

/// Currencies with three decimal places: there `1.299` is less than two.
const THREE_PLACES: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const SIGNS: [(&str, &str); 7] =
    [("€", "EUR"), ("£", "GBP"), ("zł", "PLN"), ("EUR", "EUR"), ("CHF", "CHF"), ("USD", "USD"), ("GBP", "GBP")];

/// A number as JSON writes it. `None` when it is negative or too large.
pub(crate) fn from_number(literal: &str) -> Option<Decimal> {
    let amount = Decimal::from_str(literal).or_else(|_| Decimal::from_scientific(literal)).ok()?;
    (!amount.is_sign_negative() || amount.is_zero()).then_some(amount)
}

/// The first amount in a text: `1 299,00 €`, `1.299,00`, `CHF 1'299.00`, `$1,299`.
///
/// A single separator before exactly three digits groups thousands (`1.299` is over a thousand), but in currencies with three
/// decimal places. `None` when there is no amount or a negative one.
pub(crate) fn from_text(text: &str, currency: Option<&str>) -> Option<Decimal> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let before = text[..start].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '€' | '$' | '£'));
    if before.ends_with(['-', '−']) {
        return None;
    }
    let (number, grouped) = number_at(&text[start..]);
    let three_places = currency.is_some_and(|currency| THREE_PLACES.contains(&currency));
    let point = decimal_point(&number, grouped || three_places)?;
    let plain: String = number
        .char_indices()
        .filter_map(|(at, c)| if Some(at) == point { Some('.') } else { c.is_ascii_digit().then_some(c) })
        .collect();
    Decimal::from_str_exact(&plain).ok()
}

/// The currency that a text names: `EUR`, or a sign that only one currency has.
pub(crate) fn currency(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() == 3 && text.chars().all(|c| c.is_ascii_alphabetic()) {
        return Some(text.to_ascii_uppercase());
    }
    SIGNS.iter().find(|(sign, _)| text.contains(sign)).map(|(_, currency)| (*currency).to_owned())
}

/// The number that `text` begins with, without the separators that can only group (spaces, apostrophes), and whether there
/// were such.
fn number_at(text: &str) -> (String, bool) {
    let mut number = String::new();
    let mut grouped = false;
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        match c {
            '0'..='9' => number.push(c),
            '.' | ',' if digits > 0 => number.push(c),
            // A space joins only groups of three, and none after a point or comma: "12,99 159,00" are two prices.
            ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’' if digits == 3 && !number.contains(['.', ',']) => {
                grouped = true;
            }
            _ => break,
        }
    }
    (number, grouped)
}

/// Where the decimal point of a number of digits, points and commas is: `Some(None)` when it has none. `None` when the number
/// makes no sense. `single_is_point`: a single separator is the decimal point, whatever follows it.
fn decimal_point(number: &str, single_is_point: bool) -> Option<Option<usize>> {
    let Some(last) = number.rfind(['.', ',']) else {
        return Some(None);
    };
    let separator = &number[last..=last];
    let other = if separator == "." { "," } else { "." };
    let several = number.matches(separator).count() > 1;
    match (several, number.contains(other)) {
        (true, true) => None,
        (true, false) => Some(None),
        (false, true) => Some(Some(last)),
        (false, false) => {
            let (whole, places) = (&number[..last], number.len() - last - 1);
            let groups = places == 3 && whole.len() <= 3 && !whole.starts_with('0');
            Some((single_is_point || !groups).then_some(last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_shops_write_them() {
        for (text, amount) in [
            ("1299", "1299"),
            ("1299.00", "1299.00"),
            ("1 299,00", "1299.00"),
            ("1\u{a0}299,00 €", "1299.00"),
            ("1\u{202f}299,00\u{a0}€ TTC", "1299.00"),
            ("1.299,00", "1299.00"),
            ("1,299.00", "1299.00"),
            ("€ 1.299,-", "1299"),
            ("CHF 1'299.50", "1299.50"),
            ("CHF 1’299.50", "1299.50"),
            ("$1,299", "1299"),
            ("1.299.000,5", "1299000.5"),
            ("2,499,000", "2499000"),
            ("0.999", "0.999"),
            ("12,9", "12.9"),
            ("ab 12,99 €, statt 159,00 €", "12.99"),
            ("12,99 159,00", "12.99"),
            ("129.0000", "129.0000"),
            ("0", "0"),
        ] {
            assert_eq!(from_text(text, Some("EUR")).map(|a| a.to_string()).as_deref(), Some(amount), "{text}");
        }
        for none in ["", "auf Anfrage", "-5,00 €", "- € 5", "−5", "1.2,3.4,5", "99999999999999999999999999999999"]
        {
            assert_eq!(from_text(none, Some("EUR")), None, "{none}");
        }
    }

    #[test]
    fn three_digits_are_decimal_places_where_the_currency_has_three() {
        assert_eq!(from_text("1.299", Some("EUR")), Some(Decimal::from(1299)));
        assert_eq!(from_text("1,299 DT", Some("TND")), Some(Decimal::new(1299, 3)));
        assert_eq!(from_text("1 299.000", Some("EUR")), Some(Decimal::new(1_299_000, 3)));
    }

    #[test]
    fn numbers_of_json_keep_their_digits() {
        assert_eq!(from_number("1299.10").unwrap().to_string(), "1299.10");
        assert_eq!(from_number("0.1").unwrap().to_string(), "0.1");
        assert_eq!(from_number("1.3e2").unwrap(), Decimal::from(130));
        assert_eq!(from_number("-1"), None);
        assert_eq!(from_number("1e99"), None);
    }

    #[test]
    fn a_currency_is_a_code_or_a_sign_that_only_one_has() {
        assert_eq!(currency(" eur ").as_deref(), Some("EUR"));
        assert_eq!(currency("1 299,00 €").as_deref(), Some("EUR"));
        assert_eq!(currency("CHF 12.-").as_deref(), Some("CHF"));
        assert_eq!(currency("$ 12"), None);
    }
}
