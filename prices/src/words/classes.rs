//! How shops name the parts of their pages in classes and ids.

/// What a part of a page is for, as a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Part(u16);

impl Part {
    pub(crate) const PRICE: Self = Self(1);
    /// An earlier price, surely.
    pub(crate) const OLD: Self = Self(1 << 1);
    /// An earlier price where it has another one beside it.
    pub(crate) const REGULAR: Self = Self(1 << 2);
    pub(crate) const UNIT: Self = Self(1 << 3);
    pub(crate) const INSTALMENT: Self = Self(1 << 4);
    pub(crate) const SHIPPING: Self = Self(1 << 5);
    pub(crate) const SAVING: Self = Self(1 << 6);
    /// Other products, the cart, menus, reviews.
    pub(crate) const ASIDE: Self = Self(1 << 7);
    pub(crate) const HIDDEN: Self = Self(1 << 8);
    pub(crate) const UNTAXED: Self = Self(1 << 9);
    /// About whether it can be had.
    pub(crate) const STOCK: Self = Self(1 << 10);
    /// Perhaps beside the product.
    pub(crate) const LOOSE: Self = Self(1 << 12);
    /// The lower end of a range, or what it costs at least.
    pub(crate) const FROM: Self = Self(1 << 13);
    /// What is called old is struck out, too, or words say so.
    pub(crate) const SURE: Self = Self(1 << 14);
    /// The price that counts: the sale's, the current one.
    pub(crate) const NOW: Self = Self(1 << 11);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Words of names, as they stand between hyphens, underscores and capitals.
fn word(word: &str) -> Part {
    match word {
        "price" | "prices" | "pricing" | "prix" | "preis" | "precio" | "precios" | "prezzo" | "preco" | "prijs"
        | "cena" | "pris" | "tsena" | "fiyat" | "hinta" | "pret" | "amount" | "priceblock" | "pricevalue" | "kaina"
        | "gia" | "harga" => Part::PRICE,
        "saleprice" | "finalprice" | "currentprice" | "sellingprice" | "specialprice" | "productprice" | "ourprice"
        | "offerprice" | "nowprice" | "actualprice" => Part::PRICE.and(Part::NOW),
        "sale" | "special" | "current" | "final" | "now" | "actual" | "selling" | "promo" | "reduced" | "sales" => {
            Part::NOW
        }
        "strike" | "striked" | "strikethrough" | "crossed" | "crossedout" | "linethrough" | "barre" | "struck"
        | "strikeout" | "stroked" | "slashed" | "del" => Part::OLD.and(Part::SURE),
        "old" | "was" | "previous" | "before" | "oldprice" | "wasprice" | "statt" | "ancien" | "anterior" | "uvp"
        | "rrp" | "msrp" | "srp" | "mrp" | "listprice" | "compareat" | "former" | "streichpreis" | "retailprice"
        | "pvp" | "vorher" | "pseudo" | "pseudoprice" | "slash" | "originalprice" | "highprice" | "compare"
        | "eski" | "foer" | "antes" | "vroeger" | "prije" => Part::OLD,
        "regular" | "original" | "list" | "retail" | "regularprice" | "normal" | "standard" | "base" | "full" => {
            Part::REGULAR
        }
        "unit" | "perunit" | "unitprice" | "priceperunit" | "ppu" | "baseprice" | "grundpreis" | "measure"
        | "pricepermeasure" | "kilo" | "per" | "perkg" | "einheit" | "referenceprice" | "basispreis" => Part::UNIT,
        "installment" | "installments" | "instalment" | "instalments" | "finance" | "financing" | "klarna"
        | "affirm" | "afterpay" | "sezzle" | "paypal" | "clearpay" | "raten" | "ratenzahlung" | "monthly" | "lease"
        | "emi" | "laybuy" | "parcelas" | "parcela" | "cuotas" | "cuota" | "leasing" | "credit" | "zippay"
        | "quadpay" | "alma" | "mensualite" | "installmentprice" | "rate" | "financeprice" | "subscription"
        | "autoship" | "subscribe" => Part::INSTALMENT,
        "shipping" | "delivery" | "versand" | "livraison" | "freight" | "envio" | "postage" | "shippingcost"
        | "frete" | "spedizione" | "lieferung" => Part::SHIPPING,
        "save" | "saving" | "savings" | "yousave" | "saved" | "rabatt" | "ersparnis" | "coupon" | "voucher"
        | "points" | "cashback" | "rewards" | "bonus" | "loyalty" | "giftcard" | "warranty" | "protection"
        | "insurance" | "garantie" | "tradein" | "refund" | "member" | "members" | "adherent" | "clubcard"
        | "clubprice" | "memberprice" | "approx" | "openbox" | "secondchance" | "deposit" | "pfand" | "threshold"
        | "spend" => Part::SAVING,
        "related" | "recommend" | "recommended" | "recommendation" | "recommendations" | "recommender" | "recs"
        | "upsell" | "upsells" | "crosssell" | "crosssells" | "crossselling" | "crossell" | "similar"
        | "alsobought" | "alsoviewed" | "recently" | "viewed" | "minicart" | "minibasket" | "cartdrawer" | "nav"
        | "navbar" | "navigation" | "megamenu" | "footer" | "breadcrumb" | "breadcrumbs" | "testimonial"
        | "testimonials" | "sponsored" | "bundles" | "frequently" | "accessories" | "wishlist" | "suggestions"
        | "suggestion" | "newsletter" | "bestsellers" | "bestseller" | "autocomplete" | "cookie" | "topbar"
        | "announcement" | "ymal" | "cartitems" | "alternatives" | "alternative" | "advert" | "sims" | "fbt"
        | "quickview" | "certona" | "monetate" | "richrelevance" | "nosto" | "addon" | "addons" | "upselling"
        | "lookbook" | "shoplook" | "miniatures" | "topseller" => Part::ASIDE,
        "also" | "featured" | "sidebar" | "ads" | "others" | "carousel" | "modal" | "popup" | "marketplace"
        | "suggested" | "accessory" | "companion" | "compared" | "bundle" | "recent" | "trending" | "comment"
        | "comments" | "menu" | "bought" | "review" | "reviews" => Part::LOOSE,
        "netto" | "exvat" | "extax" | "excltax" | "excl" | "exclusive" | "notax" | "withouttax" => Part::UNTAXED,
        "stock" | "availability" | "verfuegbarkeit" | "verfugbarkeit" | "disponibilite" | "disponibilidad"
        | "lieferzeit" | "instock" | "outofstock" | "soldout" | "inventory" | "voorraad" | "dostepnosc"
        | "available" | "unavailable" | "disponibilita" | "lieferbarkeit" | "availibility" | "skladem"
        | "deliverytime" => Part::STOCK,
        _ => Part::default(),
    }
}

/// Words that mean something together.
const PAIRS: [(&str, &str, Part); 23] = [
    ("you", "save", Part::SAVING),
    ("mini", "cart", Part::ASIDE),
    ("cart", "items", Part::ASIDE),
    ("cart", "item", Part::ASIDE),
    ("cart", "drawer", Part::ASIDE),
    ("cart", "total", Part::ASIDE),
    ("cart", "subtotal", Part::ASIDE),
    ("header", "cart", Part::ASIDE),
    ("side", "cart", Part::ASIDE),
    ("shopping", "bag", Part::ASIDE),
    ("cross", "sell", Part::ASIDE),
    ("cross", "sells", Part::ASIDE),
    ("up", "sell", Part::ASIDE),
    ("up", "sells", Part::ASIDE),
    ("other", "products", Part::ASIDE),
    ("product", "grid", Part::LOOSE),
    ("product", "list", Part::LOOSE),
    ("products", "list", Part::LOOSE),
    ("product", "slider", Part::LOOSE),
    ("product", "card", Part::LOOSE),
    ("per", "month", Part::INSTALMENT),
    ("line", "through", Part::OLD.and(Part::SURE)),
    ("without", "tax", Part::UNTAXED),
];

/// What the names of an element say of it.
pub(crate) fn part(names: &str) -> Part {
    let mut found = Part::default();
    for name in names.split_ascii_whitespace().take(40) {
        // Names that programs of style make up say nothing: "md:w-1/2", "before:content-['']".
        if name.len() > 80 || name.contains([':', '[']) {
            continue;
        }
        let hides = matches!(name, "hidden" | "hide" | "d-none" | "invisible" | "ng-hide" | "display-none")
            || name.strip_suffix("hidden").and_then(|start| start.strip_suffix(['-', '_'])).is_some_and(|start| {
                matches!(start.trim_end_matches(['-', '_']), "is" | "js" | "u" | "pl" | "ui" | "aok" | "util" | "state")
            });
        if hides && !names.contains("block") {
            found = found.and(Part::HIDDEN);
        }
        let mut last = String::new();
        for own in split(name) {
            let own = own.to_ascii_lowercase();
            found = found.and(word(&own));
            for (first, second, means) in PAIRS {
                if own == second && last == first {
                    found = found.and(means);
                }
            }
            last = own;
        }
        if name.len() <= 24 && name.bytes().any(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_') {
            let whole: String =
                name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
            found = found.and(word(&whole));
        }
    }
    found
}

/// The words of a name: `oldPrice-box` → `old`, `Price`, `box`.
fn split(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_alphanumeric()).flat_map(|piece| {
        let bytes = piece.as_bytes();
        let starts: Vec<usize> = (0..bytes.len())
            .filter(|at| *at == 0 || (bytes[*at].is_ascii_uppercase() && !bytes[at - 1].is_ascii_uppercase()))
            .collect();
        let ends: Vec<usize> = starts.iter().skip(1).copied().chain([bytes.len()]).collect();
        starts.into_iter().zip(ends).map(move |(from, to)| &piece[from..to]).collect::<Vec<_>>()
    })
}

/// Whether the names of a button say that it buys.
pub(crate) fn names_buy(names: &str) -> bool {
    let may = ["art", "ART", "uy", "UY", "asket", "ASKET", "ag", "AG", "rolley"]
        .into_iter()
        .any(|piece| names.contains(piece));
    if !may || names.len() > 600 {
        return false;
    }
    let simple: String = names.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    [
        "addtocart",
        "addtobasket",
        "addtobag",
        "add2cart",
        "addcart",
        "addbasket",
        "addtotrolley",
        "buynow",
        "buybutton",
        "btnbuy",
        "btncart",
        "buybtn",
        "intocart",
        "cartadd",
        "tocart",
        "tobasket",
    ]
    .into_iter()
    .any(|name| simple.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_part_is_for() {
        for (names, means) in [
            ("product-price", Part::PRICE),
            ("oldPrice", Part::OLD),
            ("price--was", Part::OLD),
            ("price_regular", Part::REGULAR),
            ("pricePerUnit", Part::UNIT),
            ("mini-cart", Part::ASIDE),
            ("relatedProducts", Part::ASIDE),
            ("you-save", Part::SAVING),
            ("d-none", Part::HIDDEN),
        ] {
            assert!(part(names).has(means), "{names}");
        }
        for names in ["md:hidden", "product-info", "main", "cart", "threshold-x y"] {
            assert!(!part(names).has(Part::ASIDE.and(Part::OLD).and(Part::HIDDEN)), "{names}");
        }
        assert!(names_buy("btn js-add_to_cart") && !names_buy("btn-primary"));
    }
}
