//! What data for machines say of a product beside its price.

use super::{
    graph::{Graph, Value, word},
    markup,
};
use crate::amount::{self, Money};

/// So many nodes of one product are asked.
const MEMBERS: usize = 200;
const LONGEST: usize = 300;

/// All that is known beside price and availability.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) name: Option<String>,
    pub(super) brand: Option<String>,
    pub(super) gtin: Option<String>,
    pub(super) mpn: Option<String>,
    pub(super) sku: Option<String>,
    pub(super) image: Option<String>,
    pub(super) seller: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) list_price: Option<Money>,
    pub(super) shipping: Option<Money>,
    /// With the measure.
    pub(super) unit_price: Option<(Money, String)>,
}

/// The facts of a product with its variants.
pub(super) fn read(graph: &Graph, members: &[usize]) -> Facts {
    let members = &members[..members.len().min(MEMBERS)];
    let first = |find: &dyn Fn(usize) -> Option<String>| members.iter().find_map(|at| find(*at));
    // Variants have numbers of their own: those that differ are not the product's.
    let shared = |find: &dyn Fn(usize) -> Option<String>| {
        let mut all = members.iter().filter_map(|at| find(*at));
        let only = all.next()?;
        all.all(|other| other == only).then_some(only)
    };
    let offers: Vec<usize> =
        members.iter().flat_map(|at| graph.children(*at, "offers").into_iter().chain([*at])).take(MEMBERS).collect();
    let of_offers = |find: &dyn Fn(usize) -> Option<String>| offers.iter().find_map(|at| find(*at));
    let gtin = |at: usize| {
        let names = ["gtin13", "gtin", "gtin14", "gtin12", "gtin8", "isbn", "productid"];
        names.iter().flat_map(|name| graph.texts(at, name)).find_map(|text| valid_gtin(&text))
    };
    let specifications: Vec<usize> =
        offers.iter().flat_map(|at| graph.children(*at, "pricespecification")).take(MEMBERS).collect();
    Facts {
        name: first(&|at| label(graph, at, "name")),
        brand: first(&|at| label(graph, at, "brand")).or_else(|| first(&|at| label(graph, at, "manufacturer"))),
        gtin: shared(&gtin).or_else(|| if offers.len() <= 2 { of_offers(&gtin) } else { None }),
        mpn: shared(&|at| graph.text(at, "mpn").filter(|text| text.len() <= 100)),
        sku: shared(&|at| graph.text(at, "sku").filter(|text| text.len() <= 100))
            .or_else(|| if offers.len() <= 2 { of_offers(&|at| graph.text(at, "sku")) } else { None }),
        image: first(&|at| image(graph, at)),
        seller: of_offers(&|at| label(graph, at, "seller").or_else(|| label(graph, at, "offeredby"))),
        condition: of_offers(&|at| {
            ["itemcondition", "condition"].into_iter().find_map(|name| condition(&graph.text(at, name)?))
        }),
        list_price: specifications.iter().find_map(|at| list_price(graph, *at)),
        shipping: offers
            .iter()
            .flat_map(|at| graph.children(*at, "shippingdetails"))
            .flat_map(|at| graph.children(at, "shippingrate"))
            .find_map(|at| money(graph, at, "value")),
        unit_price: specifications.iter().find_map(|at| unit_price(graph, *at)),
    }
}

/// A text, or the name of the thing.
fn label(graph: &Graph, at: usize, name: &str) -> Option<String> {
    let text = graph.values(at, name).into_iter().find_map(|value| match value {
        Value::Text(text) if text.len() <= markup::LONGEST_TEXT => Some(markup::text_of(text)),
        Value::Node(node) => graph.text(*node, "name"),
        _ => None,
    })?;
    short(&text)
}

/// On one line, and not too long.
pub(super) fn short(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(LONGEST).collect();
    (!line.is_empty()).then_some(line)
}

fn image(graph: &Graph, at: usize) -> Option<String> {
    graph.values(at, "image").into_iter().find_map(|value| match value {
        Value::Text(text) => Some(text.trim().to_owned()),
        Value::Node(node) => ["contenturl", "url"].into_iter().find_map(|name| graph.text(*node, name)),
        _ => None,
    })
}

/// The word of schema.org for a condition.
pub(super) fn condition(text: &str) -> Option<String> {
    let word = word(text).replace([' ', '-', '_'], "");
    let known = match word.trim_end_matches("condition") {
        "new" | "neu" | "neuf" | "nuevo" | "nuovo" | "новый" => "NewCondition",
        "used" | "gebraucht" | "occasion" | "usado" | "usato" => "UsedCondition",
        "refurbished" | "renewed" | "generalüberholt" | "reconditionné" => "RefurbishedCondition",
        "damaged" => "DamagedCondition",
        _ => return None,
    };
    Some(known.to_owned())
}

fn money(graph: &Graph, at: usize, name: &str) -> Option<Money> {
    let currency = ["currency", "pricecurrency"].into_iter().find_map(|name| graph.text(at, name));
    let currency = currency.and_then(|text| amount::currency(&text));
    let money = amount::from_text(&graph.text(at, name)?, currency.as_deref())?;
    Some(Money { currency: money.currency.or(currency), ..money })
}

fn list_price(graph: &Graph, at: usize) -> Option<Money> {
    let kinds = graph.texts(at, "pricetype");
    let is_list = kinds.iter().map(|kind| word(kind)).any(|kind| {
        matches!(
            kind.as_str(),
            "listprice" | "strikethroughprice" | "srp" | "msrp" | "suggestedretailprice" | "regularprice"
        )
    });
    if is_list { money(graph, at, "price") } else { None }
}

fn unit_price(graph: &Graph, at: usize) -> Option<(Money, String)> {
    let quantity = graph.children(at, "referencequantity");
    let of = |at: &usize| {
        let unit = ["unittext", "unitcode"].into_iter().find_map(|name| graph.text(*at, name))?;
        let unit = match unit.to_ascii_uppercase().as_str() {
            "KGM" => "kg".to_owned(),
            "GRM" => "g".to_owned(),
            "LTR" => "l".to_owned(),
            "MLT" => "ml".to_owned(),
            "MTR" => "m".to_owned(),
            "MTK" => "m²".to_owned(),
            _ => unit.to_lowercase(),
        };
        let many = graph.text(*at, "value").filter(|value| value != "1");
        Some(many.map_or(unit.clone(), |value| format!("{value} {unit}")))
    };
    let per = quantity.iter().find_map(of)?;
    Some((money(graph, at, "price")?, per))
}

/// The digits of a number of trade whose check digit is right.
pub(super) fn valid_gtin(text: &str) -> Option<String> {
    let digits: String =
        text.trim_start_matches(|c: char| !c.is_ascii_digit()).chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    if !matches!(digits.len(), 8 | 12 | 13 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let sum: u32 =
        digits.bytes().rev().enumerate().map(|(at, b)| u32::from(b - b'0') * if at % 2 == 1 { 3 } else { 1 }).sum();
    (sum.is_multiple_of(10) && digits.bytes().any(|b| b != b'0')).then_some(digits)
}

/// The measure that words behind an amount name: `/ 100 g`, `per kg`.
pub(super) fn measure(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let marks = ["/", " per ", " pro ", " je ", " par ", " al ", " por ", " za ", " ="];
    marks.into_iter().flat_map(|mark| lower.match_indices(mark)).find_map(|(at, mark)| {
        let rest = lower[at + mark.len()..].trim_start();
        let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',')).collect();
        let unit = rest[number.len()..].trim_start();
        let unit: String = unit.chars().take_while(|c| c.is_alphabetic() || matches!(c, '²' | '³')).collect();
        let fits = amount::is_measure(&unit)
            || matches!(unit.as_str(), "piece" | "stück" | "stk" | "unit" | "ea" | "each" | "count" | "pièce");
        let per = if number.is_empty() { unit } else { format!("{number} {unit}") };
        fits.then_some(per)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_trade_have_a_right_check_digit() {
        for (text, gtin) in [
            ("4006381333931", Some("4006381333931")),
            ("EAN: 4006381333931", Some("4006381333931")),
            ("978-1-84975-709-9", None),
            ("9781849757096", Some("9781849757096")),
            ("4006381333932", None),
            ("12345", None),
            ("00000000", None),
        ] {
            assert_eq!(valid_gtin(text).as_deref(), gtin, "{text}");
        }
    }

    #[test]
    fn measures_are_read_behind_an_amount() {
        for (text, per) in [
            ("12,90 €/kg", Some("kg")),
            ("1,29 € / 100 g", Some("100 g")),
            ("£0.70/ea", Some("ea")),
            ("1 kg = 12 €", None),
            ("3 € per litre", Some("litre")),
            ("12 €/Monat", None),
        ] {
            assert_eq!(measure(text).as_deref(), per, "{text}");
        }
    }

    #[test]
    fn conditions_are_words_of_schema_org() {
        assert_eq!(condition("https://schema.org/NewCondition").as_deref(), Some("NewCondition"));
        assert_eq!(condition("used").as_deref(), Some("UsedCondition"));
        assert_eq!(condition("fine"), None);
    }
}
