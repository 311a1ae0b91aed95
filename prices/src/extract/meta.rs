//! Prices in `<meta>` elements: those of previews (`og:…`, `product:…`).

use std::collections::HashMap;

use super::availability;
use crate::{
    amount::{self, Money},
    dom::Dom,
};

/// So many elements are looked at.
const MANY: usize = 5_000;

/// All `<meta>` elements of a page that have a name, in lower case, with their contents.
#[derive(Debug, Default)]
pub(super) struct Meta(HashMap<String, Vec<String>>);

impl Meta {
    pub(super) fn read(dom: &Dom<'_>) -> Self {
        let mut meta: HashMap<String, Vec<String>> = HashMap::new();
        for at in dom.all("meta").take(MANY) {
            let Some(content) = dom.attr(at, "content").or_else(|| dom.attr(at, "value")) else { continue };
            for name in ["property", "name", "itemprop"].into_iter().filter_map(|name| dom.attr(at, name)) {
                meta.entry(name.trim().to_lowercase()).or_default().push(content.trim().to_owned());
            }
        }
        Self(meta)
    }

    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.all(name).iter().find(|content| !content.is_empty())).map(String::as_str)
    }

    pub(super) fn availability(&self) -> Option<&'static str> {
        availability::from_text(self.first(&["product:availability", "og:availability", "og:product:availability"])?)
    }

    /// The currency of whatever price.
    pub(super) fn currency(&self) -> Option<String> {
        let names = [
            "product:price:currency",
            "og:price:currency",
            "og:product:price:currency",
            "og:currency",
            "pricecurrency",
        ];
        self.first(&names).and_then(amount::currency)
    }

    /// The price, unless it is of a used piece or the page gives several.
    pub(super) fn price(&self) -> Option<Money> {
        let condition = self.first(&["product:condition", "og:condition"]).unwrap_or_default().to_lowercase();
        if condition.starts_with("used") {
            return None;
        }
        [
            ("product:sale_price:amount", &["product:sale_price:currency"][..]),
            ("product:price:amount", &["product:price:currency"]),
            ("og:product:price:amount", &["og:product:price:currency"]),
            ("og:price:amount", &["og:price:currency"]),
            ("og:price", &["og:currency"]),
            ("product:price", &["product:currency"]),
            ("twitter:data1", &[]),
            ("twitter:data2", &[]),
        ]
        .into_iter()
        .filter(|(name, _)| name.strip_prefix("twitter:data").is_none_or(|number| self.is_labelled(number)))
        .find_map(|(name, currencies)| self.amount(name, currencies))
    }

    /// Whether a label of a preview says that its value is the price.
    fn is_labelled(&self, number: &str) -> bool {
        let label = self.first(&[format!("twitter:label{number}").as_str()]).unwrap_or_default().to_lowercase();
        let words = [
            "price", "prix", "preis", "precio", "preço", "prezzo", "prijs", "cena", "pris", "hinta", "цена", "ціна",
            "fiyat", "価格",
        ];
        words.contains(&label.trim().trim_end_matches(':'))
    }

    fn amount(&self, name: &str, currencies: &[&str]) -> Option<Money> {
        let any = ["product:price:currency", "og:price:currency", "og:product:price:currency", "og:currency"];
        let currency = self.first(currencies).or_else(|| self.first(&any)).and_then(amount::currency);
        let mut found: Option<Money> = None;
        for content in self.all(name) {
            let money = amount::from_text(content, currency.as_deref());
            let Some(money) = money else { continue };
            match &found {
                None => found = Some(money),
                Some(first) if first.amount == money.amount => {}
                // A preview may carry one price for each currency.
                Some(_) => return None,
            }
        }
        let found = found?;
        Some(Money { currency: found.currency.or(currency), ..found })
    }
}
