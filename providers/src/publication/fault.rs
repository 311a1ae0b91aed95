//! What is wrong with a product for its store, in words that a merchant understands.

use std::fmt;

use crate::content::Language;

/// One field that a store does not take as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its name, as in [`super::Fields`].
    pub field: String,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The product is new in the shop, and cannot be made without it.
    Needed,
    /// It has more than so many characters.
    TooLong {
        /// So many are taken.
        most: usize,
    },
    /// It has more than so many entries.
    TooMany {
        /// So many are taken.
        most: usize,
    },
    /// It has characters that the shop cannot keep there.
    Characters {
        /// Those that were found.
        found: String,
    },
    /// The shop has nothing of that kind.
    NotThere,
    /// The store does not have this language.
    Language {
        /// Those that it has.
        has: Vec<String>,
    },
    /// The price is in another currency than the store's.
    Currency {
        /// The store's.
        store: String,
    },
    /// It is no number that the shop reads right.
    Number,
    /// The sale price is not below the price.
    SaleNotBelow,
    /// The variant does not say one of the product's values for each option.
    Options,
    /// Another product has this SKU by the rules of the shop.
    Taken {
        /// Which, in the shop.
        by: String,
    },
    /// Several products have this SKU.
    Several {
        /// Which, in the shop.
        ids: Vec<String>,
    },
    /// The product was not made by us, so it is not deleted unless that is forced.
    NotOurs,
    /// The shop keeps something else than was sent.
    KeptAs {
        /// What.
        shown: String,
    },
    /// The shop has refused it in these words.
    Said {
        /// The words.
        message: String,
    },
}

impl Fault {
    /// Of this field.
    pub fn new(field: impl Into<String>, what: Wrong) -> Self {
        Self { field: field.into(), what }
    }

    /// A sentence for a merchant.
    #[must_use]
    pub fn words(&self, language: Language) -> String {
        let field = &self.field;
        match language {
            Language::Fr => format!("{field} : {}", french(&self.what)),
            Language::En => format!("{field}: {}", english(&self.what)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(Language::En))
    }
}

fn english(what: &Wrong) -> String {
    match what {
        Wrong::Needed => "is needed, because the shop does not have this product yet".to_owned(),
        Wrong::TooLong { most } => format!("is longer than the {most} characters that the shop takes"),
        Wrong::TooMany { most } => format!("has more entries than the {most} that the shop takes"),
        Wrong::Characters { found } => format!("has characters that the shop cannot keep: {found}"),
        Wrong::NotThere => "the shop has nothing of this kind".to_owned(),
        Wrong::Language { has } => format!("the store does not have this language; it has {}", has.join(", ")),
        Wrong::Currency { store } => format!("is not in the store's currency, {store}"),
        Wrong::Number => "is no number that the shop reads right".to_owned(),
        Wrong::SaleNotBelow => "must be below the price, or the shop drops it".to_owned(),
        Wrong::Options => "must name one of the product's values for each of its options".to_owned(),
        Wrong::Taken { by } => format!("the shop takes it for that of another product, {by}, which stays as it is"),
        Wrong::Several { ids } => format!("several products of the shop have it: {}", ids.join(", ")),
        Wrong::NotOurs => "was not made here, so it is deleted only with \"force\": true".to_owned(),
        Wrong::KeptAs { shown } => format!("the shop keeps something else than was sent: {shown}"),
        Wrong::Said { message } => format!("the shop refused it: {message}"),
    }
}

fn french(what: &Wrong) -> String {
    match what {
        Wrong::Needed => "est nécessaire, car la boutique n'a pas encore ce produit".to_owned(),
        Wrong::TooLong { most } => format!("dépasse les {most} caractères que la boutique accepte"),
        Wrong::TooMany { most } => format!("dépasse les {most} entrées que la boutique accepte"),
        Wrong::Characters { found } => format!("contient des caractères que la boutique ne garde pas : {found}"),
        Wrong::NotThere => "la boutique n'a rien de ce genre".to_owned(),
        Wrong::Language { has } => format!("la boutique n'a pas cette langue ; elle a {}", has.join(", ")),
        Wrong::Currency { store } => format!("n'est pas dans la devise de la boutique, {store}"),
        Wrong::Number => "n'est pas un nombre que la boutique lit correctement".to_owned(),
        Wrong::SaleNotBelow => "doit être inférieur au prix, sinon la boutique l'ignore".to_owned(),
        Wrong::Options => "doit donner une valeur du produit pour chacune de ses options".to_owned(),
        Wrong::Taken { by } => {
            format!("la boutique la confond avec celle d'un autre produit, {by}, qui reste inchangé")
        }
        Wrong::Several { ids } => format!("plusieurs produits de la boutique l'ont : {}", ids.join(", ")),
        Wrong::NotOurs => "n'a pas été créé ici ; il n'est supprimé qu'avec \"force\": true".to_owned(),
        Wrong::KeptAs { shown } => format!("la boutique garde autre chose que ce qui a été envoyé : {shown}"),
        Wrong::Said { message } => format!("la boutique l'a refusé : {message}"),
    }
}
