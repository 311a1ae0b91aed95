//! Weights in the shop's unit.

use rust_decimal::{Decimal, prelude::ToPrimitive};

/// More digits than scales have.
const DIGITS: u32 = 6;

/// The unit of a shop's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Kilograms, `kg`.
    Kilogram,
    /// Grams, `g`.
    Gram,
    /// Pounds, `lbs`.
    Pound,
    /// Ounces, `oz`.
    Ounce,
}

impl Unit {
    /// As the setting `woocommerce_weight_unit` names it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "kg" => Some(Self::Kilogram),
            "g" => Some(Self::Gram),
            "lbs" => Some(Self::Pound),
            "oz" => Some(Self::Ounce),
            _ => None,
        }
    }

    fn grams(self) -> Decimal {
        match self {
            Self::Kilogram => Decimal::from(1_000),
            Self::Gram => Decimal::ONE,
            Self::Pound => Decimal::new(45_359_237, 5),
            Self::Ounce => Decimal::new(28_349_523_125, 9),
        }
    }

    /// So many grams, with a point: `1,5` would become 15.
    pub(super) fn written(self, grams: u32) -> String {
        (Decimal::from(grams) / self.grams()).round_dp(DIGITS).normalize().to_string()
    }

    /// In whole grams.
    pub(super) fn read(self, weight: &str) -> Option<u64> {
        let weight = Decimal::from_str_exact(weight.trim()).ok()?;
        (weight * self.grams()).round().to_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_comes_back_in_grams() {
        assert_eq!(Unit::Kilogram.written(1_250), "1.25");
        for unit in ["kg", "g", "lbs", "oz"] {
            let unit = Unit::named(unit).unwrap();
            for grams in [0, 1, 250, 999, 1_250, 4_000_000] {
                assert_eq!(unit.read(&unit.written(grams)), Some(grams.into()), "{unit:?} {grams}");
            }
        }
        assert_eq!((Unit::named("stone"), Unit::Gram.read("")), (None, None));
    }
}
