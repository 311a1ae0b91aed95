//! What products and collections are known by: SKUs, handles, our mark.

use sha2::{Digest, Sha256};

use super::super::{
    api::Key,
    fault::{Fault, Wrong},
};

/// Of metafields that are ours.
pub(super) const NAMESPACE: &str = "ecomsimply";
const MOST_SKU: usize = 255;
const MOST_HANDLE: usize = 200;

/// What marks a product as made by us, in its metafield `ecomsimply.id`.
pub(super) fn mark(key: Key<'_>) -> String {
    hash(&format!("{}\n{}", key.product_id, key.sku), 16)
}

/// The handles at which a product of ours is made: the SKU's, and where another product has that, the same with a suffix of its own. They
/// tell nothing of the job, so that another run, and another job, finds what an earlier one made.
pub(super) fn handles(key: Key<'_>) -> [String; 2] {
    let first = handle(key.sku).unwrap_or_else(|| "product".to_owned());
    let second = format!("{first}-{}", &mark(key)[..8]);
    [first, second]
}

/// The same of a collection.
pub(super) fn handles_of_collection(title: &str) -> [String; 2] {
    let first = handle(title).unwrap_or_else(|| "collection".to_owned());
    let second = format!("{first}-{}", hash(title, 4));
    [first, second]
}

/// So many bytes of what tells a text from others, in hex digits.
pub(super) fn hash(text: &str, n_bytes: usize) -> String {
    hex::encode(&Sha256::digest(text)[..n_bytes])
}

/// A text as the end of an address: letters, digits and single hyphens, in lower case and without the accents of Latin letters. `None`:
/// nothing is left.
pub(super) fn handle(text: &str) -> Option<String> {
    let mut handle = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        match plain(letter) {
            Some(plain) => handle.push_str(plain),
            None if letter.is_alphanumeric() => handle.push(letter),
            None if !handle.is_empty() && !handle.ends_with('-') => handle.push('-'),
            None => {}
        }
    }
    let most = handle.char_indices().nth(MOST_HANDLE).map_or(handle.len(), |(at, _)| at);
    handle.truncate(most);
    let handle = handle.trim_end_matches('-');
    (!handle.is_empty()).then(|| handle.to_owned())
}

fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => "a",
        'ç' => "c",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => "o",
        'ù' | 'ú' | 'û' | 'ü' => "u",
        'ý' | 'ÿ' => "y",
        'æ' => "ae",
        'œ' => "oe",
        'ß' => "ss",
        _ => return None,
    })
}

/// A value within a search: in quotes, which it may have itself.
pub(super) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether one of the two is taken for the other by people and by the shop's search, though they are not equal.
pub(super) fn is_near(one: &str, other: &str) -> bool {
    let folded = |sku: &str| sku.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    one != other && folded(one) == folded(other)
}

/// What the shop cannot keep of a SKU, or not find again.
pub(super) fn check_sku(field: &str, sku: &str, faults: &mut Vec<Fault>) {
    if sku.chars().count() > MOST_SKU {
        faults.push(Fault::new(field, Wrong::TooLong { most: MOST_SKU }));
    }
    let control = sku.chars().find(|letter| letter.is_control());
    let at_edge = (sku.trim() != sku || sku.is_empty()).then_some(' ');
    if let Some(found) = control.or(at_edge) {
        faults.push(Fault::new(field, Wrong::Characters { found: format!("{found:?}") }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_made_of_letters_digits_and_hyphens() {
        for (text, becomes) in [
            ("MUG-12", "mug-12"),
            ("  Tasse à café n° 5 / rouge ", "tasse-a-cafe-n-5-rouge"),
            ("A_1.b--c", "a-1-b-c"),
            ("茶碗 1", "茶碗-1"),
            ("Straße", "strasse"),
        ] {
            assert_eq!(handle(text).as_deref(), Some(becomes), "{text}");
        }
        assert_eq!(handle(" /// "), None);
        assert_eq!(handle(&"é ".repeat(400)).unwrap().len(), 199);
    }

    #[test]
    fn the_handles_of_a_product_tell_of_its_sku_only_and_the_second_of_nobody_else() {
        let key = |sku, product_id| Key { sku, product_id };
        let [first, second] = handles(key("A/1", "p"));
        assert_eq!(first, "a-1");
        assert_eq!(handles(key("A-1", "p"))[0], first, "such SKUs have the second");
        assert!(second.starts_with("a-1-") && second != handles(key("A-1", "p"))[1], "{second}");
        assert_ne!(mark(key("A/1", "p")), mark(key("A/1", "q")));
    }

    #[test]
    fn skus_that_differ_in_case_or_spaces_are_near() {
        assert!(is_near("mug-12", "MUG-12") && is_near("mug 12", " Mug  12 ") && is_near("É1", "é1"));
        assert!(!is_near("mug-12", "mug-12") && !is_near("mug-12", "mug-12-red") && !is_near("e1", "é1"));
    }

    #[test]
    fn a_sku_that_cannot_be_kept_or_found_is_refused() {
        let refused = |sku: &str| {
            let mut faults = Vec::new();
            check_sku("sku", sku, &mut faults);
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(refused("A-1 \"big\" \\ é"), "");
        assert!(refused(&"x".repeat(256)).contains("255"));
        assert!(refused(" A").contains("' '") && refused("A\tB").contains("'\\t'") && !refused("").is_empty());
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
    }
}
