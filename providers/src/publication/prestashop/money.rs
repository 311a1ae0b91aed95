//! Prices and weights: PrestaShop keeps prices without tax, with six decimals, and those of a variant as a difference.

use rust_decimal::{Decimal, RoundingStrategy};

/// Decimals that a column has.
const STORED: u32 = 6;
/// Decimals that survive being divided by a tax and multiplied with it again.
const SHOWN: u32 = 5;

fn rounded(number: Decimal, decimals: u32) -> Decimal {
    number.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero)
}

/// A number of the shop.
pub(super) fn read(text: &str) -> Decimal {
    Decimal::from_str_exact(text.trim()).unwrap_or_default()
}

/// As it is sent: with a point, no exponent.
pub(super) fn sent(number: Decimal) -> String {
    rounded(number, STORED).normalize().to_string()
}

/// What the shop keeps for a price that customers pay. `rate`: the tax in it, 0.2 for 20 %.
pub(super) fn without_tax(paid: Decimal, rate: Decimal) -> Decimal {
    rounded(rounded(paid, SHOWN) / (Decimal::ONE + rate), STORED)
}

/// What customers pay for a price that the shop keeps.
pub(super) fn with_tax(kept: Decimal, rate: Decimal) -> Decimal {
    rounded(kept * (Decimal::ONE + rate), SHOWN).normalize()
}

/// A price as a job says it, in the form in which it is shown. `None`: it is no such number.
pub(super) fn normal(amount: &str) -> Option<Decimal> {
    let amount = Decimal::from_str_exact(amount.trim()).ok()?;
    (!amount.is_sign_negative()).then(|| rounded(amount, SHOWN).normalize())
}

/// Grams as the shop's unit of weight, which has so many grams.
pub(super) fn of_grams(weight_g: u32, grams: Decimal) -> Decimal {
    rounded(Decimal::from(weight_g) / grams, STORED)
}

/// The shop's unit of weight as whole grams.
pub(super) fn to_grams(weight: Decimal, grams: Decimal) -> Option<u32> {
    use rust_decimal::prelude::ToPrimitive;
    rounded(weight * grams, 0).to_u32().filter(|weight| *weight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_is_paid_survives_the_tax() {
        for rate in ["0", "0.2", "0.055", "0.21", "0.077", "1"].map(read) {
            for paid in ["12.5", "9.99", "0.01", "1234567.8912", "19.9"].map(read) {
                let kept = without_tax(paid, rate);
                assert!(kept.scale() <= STORED);
                assert_eq!(with_tax(read(&sent(kept)), rate), paid, "{paid} with {rate}");
            }
        }
        assert_eq!(sent(without_tax(read("12"), read("0.2"))), "10");
        assert_eq!(sent(read("12.505556")), "12.505556");
    }

    #[test]
    fn a_price_is_a_plain_number() {
        assert_eq!(["12,50", "-1", "1e3", "abc", ""].map(normal), [None; 5]);
        assert_eq!(normal(" 12.50 "), Some(read("12.5")));
    }

    #[test]
    fn grams_survive_the_unit() {
        for unit in ["1000", "1", "453.59237", "28.349523125"].map(read) {
            for weight in [1, 250, 12_345] {
                assert_eq!(to_grams(of_grams(weight, unit), unit), Some(weight), "{weight} g in {unit} g");
            }
        }
        assert_eq!(to_grams(Decimal::ZERO, Decimal::ONE), None);
    }
}
