//! What shops write around their prices and buttons, and how they name the parts of their pages: a list a language, in lower case.
//!
//! Order, lowest first: `asides`, `buy`, `stock`, `classes`.

mod asides;
mod buy;
mod classes;
mod stock;

use std::{collections::HashSet, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

pub(crate) use classes::{Part, names_buy, part};

/// Longer texts are no labels.
const LONGEST: usize = 120;

/// What a label says, as a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Said(u16);

impl Said {
    /// It buys.
    pub(crate) const BUY: Self = Self(1);
    /// It orders what is not out yet.
    pub(crate) const PREORDER: Self = Self(1 << 1);
    /// It cannot be had.
    pub(crate) const GONE: Self = Self(1 << 2);
    /// It can be had. Look for [`Said::GONE`] first: "not available" has "available" in it.
    pub(crate) const HERE: Self = Self(1 << 3);
    /// It comes later.
    pub(crate) const LATER: Self = Self(1 << 4);

    /// What follows are other products.
    pub(crate) const RELATED: Self = Self(1 << 5);
    /// Only some pay it.
    pub(crate) const FEW: Self = Self(1 << 6);
    /// An earlier price.
    pub(crate) const LOWEST: Self = Self(1 << 7);
    /// There is no price for everybody.
    pub(crate) const ON_REQUEST: Self = Self(1 << 8);
    /// Without the tax.
    pub(crate) const UNTAXED: Self = Self(1 << 9);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a label in lower case says.
pub(crate) fn said(text: &str) -> Said {
    static PHRASES: LazyLock<Option<(AhoCorasick, Vec<Said>)>> = LazyLock::new(|| {
        let lists: [(&[(&str, &str)], Said); 10] = [
            (&buy::BUY, Said::BUY),
            (&buy::PREORDER, Said::PREORDER),
            (&stock::GONE, Said::GONE),
            (&stock::HERE, Said::HERE),
            (&stock::LATER, Said::LATER),
            (&asides::RELATED, Said::RELATED),
            (&asides::FEW, Said::FEW),
            (&[("all", asides::LOWEST)], Said::LOWEST),
            (&asides::ON_REQUEST, Said::ON_REQUEST),
            (&[("all", asides::UNTAXED)], Said::UNTAXED),
        ];
        let phrases = lists.into_iter().flat_map(|(list, means)| {
            list.iter().flat_map(|(_, phrases)| phrases.split('|')).map(move |phrase| (phrase, means))
        });
        let (phrases, means): (Vec<&str>, Vec<Said>) = phrases.unzip();
        let kind = Some(AhoCorasickKind::ContiguousNFA);
        Some((AhoCorasick::builder().kind(kind).build(phrases).ok()?, means))
    });
    static ALONE: LazyLock<HashSet<&str>> = LazyLock::new(|| buy::ALONE.split('|').collect());
    let mut said = Said::default();
    if text.len() > LONGEST {
        return said;
    }
    if ALONE.contains(text) {
        said = Said::BUY;
    }
    if let Some((phrases, means)) = PHRASES.as_ref() {
        for found in phrases.find_overlapping_iter(text) {
            said = Said(said.0 | means[found.pattern().as_usize()].0);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_whether_something_can_be_had() {
        for (text, means) in [
            ("in den warenkorb", Said::BUY),
            ("ajouter au panier", Said::BUY),
            ("add", Said::BUY),
            ("vorbestellen", Said::PREORDER),
            ("derzeit nicht lieferbar", Said::GONE),
            ("en rupture de stock", Said::GONE),
            ("нет в наличии", Said::GONE),
            ("auf lager", Said::HERE),
            ("在庫あり", Said::HERE),
            ("available on backorder", Said::LATER),
            ("das könnte ihnen auch gefallen", Said::RELATED),
            ("prix adhérent", Said::FEW),
            ("niedrigster preis der letzten 30 tage", Said::LOWEST),
            ("preis auf anfrage", Said::ON_REQUEST),
            ("fără tva: 54,54 lei", Said::UNTAXED),
        ] {
            assert!(said(text).has(means), "{text}");
        }
        assert_eq!((said("read more"), said("address")), <(Said, Said)>::default());
        assert!(!said("in stock").has(Said::GONE));
    }
}
