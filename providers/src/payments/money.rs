//! Money as Stripe counts it: whole numbers of a currency's smallest unit.

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

/// Of these the smallest unit is the whole (docs.stripe.com/currencies, November 2026). Not as in ISO 4217: Stripe counts ISK and UGX in
/// hundredths, which neither has, so that old integrations go on; and MGA in wholes, though it has fifths.
const WHOLE: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Of these it is a thousandth.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// An amount of money; as JSON `{ "amount": "29.00", "currency": "EUR" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// With as many digits behind the point as the currency has at Stripe.
    pub amount: Decimal,
    /// Three capital letters.
    pub currency: String,
}

impl Money {
    /// What Stripe means by so many smallest units.
    #[must_use]
    pub fn of_units(units: i64, currency: &str) -> Self {
        let currency = currency.to_ascii_uppercase();
        Self { amount: Decimal::new(units, digits(&currency)), currency }
    }

    /// The same as Stripe counts it; `None` for a part of a smallest unit and for more than there is.
    #[must_use]
    pub fn units(&self) -> Option<i64> {
        let units = self.amount.checked_mul(Decimal::from(10_u32.pow(digits(&self.currency))))?;
        units.is_integer().then(|| units.to_i64()).flatten()
    }
}

fn digits(currency: &str) -> u32 {
    if WHOLE.contains(&currency) {
        0
    } else if THOUSANDTHS.contains(&currency) {
        3
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_digits_that_its_currency_has_at_stripe() {
        for (units, currency, text) in [
            (2_900, "eur", "29.00"),
            (-1_450, "usd", "-14.50"),
            (500, "jpy", "500"),
            (5_120, "kwd", "5.120"),
            (500, "ugx", "5.00"),
            (500, "isk", "5.00"),
            (500, "mga", "500"),
            (0, "eur", "0.00"),
            (i64::MAX, "eur", "92233720368547758.07"),
        ] {
            let money = Money::of_units(units, currency);
            assert_eq!((money.amount.to_string().as_str(), money.units()), (text, Some(units)), "{currency}");
            assert_eq!(money.currency, currency.to_uppercase());
        }
        let json = serde_json::to_value(Money::of_units(2_900, "eur")).unwrap();
        assert_eq!(json, serde_json::json!({ "amount": "29.00", "currency": "EUR" }));
        let money =
            |amount: &str, currency: &str| Money { amount: amount.parse().unwrap(), currency: currency.to_owned() };
        assert_eq!((money("29", "EUR").units(), money("0.5", "JPY").units()), (Some(2_900), None));
    }
}
