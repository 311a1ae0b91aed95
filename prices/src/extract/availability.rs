//! Whether something can be bought, in the words of schema.org.

use super::graph;

/// From what can be had now to what never can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Here,
    Later,
    Unknown,
    Gone,
}

/// The words of schema.org, and how others write them, without anything but letters and digits.
const WORDS: &[(&str, Rank, &[&str])] = &[
    (
        "InStock",
        Rank::Here,
        &[
            "instock",
            "available",
            "availablenow",
            "true",
            "yes",
            "onstock",
            "instocknow",
            "auflager",
            "verfügbar",
            "sofortlieferbar",
            "sofortverfügbar",
            "lieferbar",
            "vorrätig",
            "enstock",
            "disponible",
            "disponibile",
            "disponível",
            "emestoque",
            "opvoorraad",
            "leverbaar",
            "beschikbaar",
            "pålager",
            "ilager",
            "skladem",
            "naskladě",
            "dostępny",
            "wmagazynie",
            "вналичии",
            "внаявності",
            "instoc",
            "raktáron",
            "stoktavar",
            "stokta",
            "varastossa",
            "在庫あり",
            "有货",
            "有貨",
            "재고있음",
            "disponibileinmagazzino",
            "nasklade",
            "instockonline",
        ],
    ),
    ("InStoreOnly", Rank::Here, &["instoreonly", "instore"]),
    ("OnlineOnly", Rank::Here, &["onlineonly"]),
    (
        "LimitedAvailability",
        Rank::Here,
        &["limitedavailability", "limited", "limitedstock", "lowstock", "limitedsupply", "fewleft"],
    ),
    ("PreOrder", Rank::Later, &["preorder", "vorbestellbar", "précommande", "preventa", "availablefororderpreorder"]),
    ("PreSale", Rank::Later, &["presale"]),
    (
        "BackOrder",
        Rank::Later,
        &["backorder", "onbackorder", "backordered", "availableonbackorder", "availablefororder"],
    ),
    ("MadeToOrder", Rank::Later, &["madetoorder"]),
    ("Reserved", Rank::Later, &["reserved", "onreserve"]),
    (
        "OutOfStock",
        Rank::Gone,
        &[
            "outofstock",
            "oos",
            "notinstock",
            "notavailable",
            "unavailable",
            "false",
            "no",
            "nostock",
            "temporarilyoutofstock",
            "currentlyunavailable",
            "nichtauflager",
            "nichtverfügbar",
            "nichtlieferbar",
            "nichtvorrätig",
            "rupturedestock",
            "enrupturedestock",
            "enrupture",
            "indisponible",
            "nodisponible",
            "sinexistencias",
            "sinstock",
            "nondisponibile",
            "indisponível",
            "foradeestoque",
            "semestoque",
            "nietopvoorraad",
            "nietbeschikbaar",
            "ikkepålager",
            "ejilager",
            "slutilager",
            "nenískladem",
            "niedostępny",
            "нетвналичии",
            "немаєвнаявності",
            "stocepuizat",
            "elfogyott",
            "stoktayok",
            "在庫なし",
            "缺货",
            "缺貨",
            "품절",
        ],
    ),
    (
        "SoldOut",
        Rank::Gone,
        &[
            "soldout",
            "ausverkauft",
            "épuisé",
            "agotado",
            "esgotado",
            "esaurito",
            "uitverkocht",
            "udsolgt",
            "utsolgt",
            "slutsåld",
            "vyprodáno",
            "wyprzedany",
            "распродано",
            "売り切れ",
            "售罄",
        ],
    ),
    ("Discontinued", Rank::Gone, &["discontinued", "nolongeravailable", "eingestellt", "endoflife"]),
];

/// The word that a text or an address means.
pub(super) fn from_text(text: &str) -> Option<&'static str> {
    let simple =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    // Longer texts are sentences.
    if text.len() > 200 {
        return None;
    }
    let (last, whole) = (simple(&graph::word(text)), simple(text));
    // "In stock - ready to ship"
    let start = text.split(['-', '–', ',', '.', ';', '|', '(', '!']).next().map(simple).unwrap_or_default();
    let means = |way: &String| WORDS.iter().find(|(_, _, ways)| ways.contains(&way.as_str())).map(|(word, _, _)| *word);
    [last, whole, start].iter().find_map(means)
}

pub(super) fn rank(word: Option<&str>) -> Rank {
    let known = WORDS.iter().find(|(own, _, _)| Some(*own) == word);
    known.map_or(Rank::Unknown, |(_, rank, _)| *rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability_is_read_in_every_spelling() {
        for (text, word) in [
            ("https://schema.org/InStock", "InStock"),
            ("http://schema.org/InStock/", "InStock"),
            ("http://www.schema.org/instock", "InStock"),
            ("schema:OutOfStock", "OutOfStock"),
            ("InStock", "InStock"),
            ("in stock", "InStock"),
            ("In Stock.", "InStock"),
            ("out_of_stock", "OutOfStock"),
            ("out of stock", "OutOfStock"),
            ("OUT-OF-STOCK", "OutOfStock"),
            ("SoldOut", "SoldOut"),
            ("sold out", "SoldOut"),
            ("pre-order", "PreOrder"),
            ("https://schema.org/BackOrder", "BackOrder"),
            ("https://schema.org/ItemAvailability/LimitedAvailability", "LimitedAvailability"),
            ("Auf Lager", "InStock"),
            ("En rupture de stock", "OutOfStock"),
            ("oos", "OutOfStock"),
            ("In stock - ready to ship", "InStock"),
            ("Out of stock, back in May", "OutOfStock"),
        ] {
            assert_eq!(from_text(text), Some(word), "{text}");
        }
        for none in ["", "https://schema.org/", "soon", "2", "https://shop.example/instocks"] {
            assert_eq!(from_text(none), None, "{none}");
        }
    }

    #[test]
    fn what_can_be_had_comes_first() {
        let ranks = [Some("InStock"), Some("PreOrder"), None, Some("SoldOut")].map(rank);
        assert!(ranks.is_sorted());
    }
}
