//! Puts microdata and `RDFa` into a graph.

use std::{borrow::Cow, collections::HashMap};

use super::{
    graph::{self, Graph, Node, Value},
    markup,
};
use crate::dom::{At, Dom};

/// So many items and properties of a page are looked into.
const ITEMS: usize = 5_000;
const PROPERTIES: usize = 50_000;

/// The attributes that carry the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Microdata,
    Rdfa,
}

/// The text of a price, whatever its attributes say.
pub(super) const SHOWN: &str = "@shown";

/// Properties that tell of a price or a product, by their shortest names. The others are not kept.
const KEPT: [&str; 41] = [
    "availability",
    "businessfunction",
    "category",
    "color",
    "condition",
    "currency",
    "eligiblequantity",
    "gtin",
    "gtin12",
    "gtin13",
    "gtin14",
    "gtin8",
    "hasvariant",
    "highprice",
    "identifier",
    "inproductgroupwithid",
    "isaccessoryorsparepartfor",
    "isconsumablefor",
    "isrelatedto",
    "issimilarto",
    "isvariantof",
    "itemcondition",
    "itemlistelement",
    "itemoffered",
    "lowprice",
    "mainentity",
    "mpn",
    "name",
    "offerdetails",
    "offers",
    "price",
    "pricecurrency",
    "pricespecification",
    "pricetype",
    "productgroupid",
    "productid",
    "referencequantity",
    "size",
    "sku",
    "url",
    "validformembertier",
];
/// Of quantities and times, and what a product is.
const KEPT_TOO: [&str; 19] = [
    "brand",
    "contenturl",
    "image",
    "isbn",
    "manufacturer",
    "offeredby",
    "pricevaliduntil",
    "seller",
    "shippingdetails",
    "shippingrate",
    "mainentityofpage",
    "maxvalue",
    "minvalue",
    "unitcode",
    "unittext",
    "validfrom",
    "validthrough",
    "value",
    "valueaddedtaxincluded",
];

impl Dialect {
    fn types<'a>(self, dom: &Dom<'a>, at: At) -> Option<Cow<'a, str>> {
        dom.attr(at, if self == Self::Microdata { "itemtype" } else { "typeof" })
    }

    fn names(self, dom: &Dom<'_>, at: At) -> Vec<String> {
        let attribute = if self == Self::Microdata { "itemprop" } else { "property" };
        let Some(names) = dom.attr(at, attribute) else { return Vec::new() };
        let kept = |name: &String| KEPT.contains(&name.as_str()) || KEPT_TOO.contains(&name.as_str());
        let mut names: Vec<String> = names.split_whitespace().map(graph::word).filter(kept).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn id<'a>(self, dom: &Dom<'a>, at: At) -> Option<Cow<'a, str>> {
        match self {
            Self::Microdata => dom.attr(at, "itemid"),
            Self::Rdfa => dom.attr(at, "resource").or_else(|| dom.attr(at, "about")),
        }
    }

    /// Whether the element holds a thing of its own.
    fn is_scope(self, dom: &Dom<'_>, at: At) -> bool {
        let marked = match self {
            Self::Microdata => dom.has_attr(at, "itemscope"),
            Self::Rdfa => false,
        };
        // Pages forget the mark at the element that gives the type, and at their offers.
        let offers = || {
            !is_void(dom.name(at))
                && self.names(dom, at).iter().any(|name| matches!(name.as_str(), "offers" | "offerdetails"))
        };
        marked || self.types(dom, at).is_some() || offers()
    }
}

fn is_void(name: &str) -> bool {
    matches!(name, "meta" | "link" | "img" | "input")
}

/// Adds all items of a page, and at the end what stands in none: `<meta itemprop="price">` in a page's head.
pub(super) fn add(dom: &Dom<'_>, dialect: Dialect, graph: &mut Graph) {
    let is_used = if dialect == Dialect::Microdata { dom.has_microdata() } else { dom.has_rdfa() };
    if !is_used {
        return;
    }
    let mut items: HashMap<At, usize> = HashMap::new();
    let mut referring: HashMap<String, usize> = HashMap::new();
    for at in 1..dom.len() {
        if dom.is_text(at) || items.len() >= ITEMS || !dialect.is_scope(dom, at) {
            continue;
        }
        let types = dialect.types(dom, at).unwrap_or_default().split_whitespace().map(graph::word).collect();
        let id = dialect.id(dom, at).map(|id| id.trim().to_owned());
        items.insert(at, graph.nodes.len());
        for id in dom.attr(at, "itemref").unwrap_or_default().split_whitespace().take(ITEMS) {
            referring.insert(id.to_owned(), graph.nodes.len());
        }
        graph.nodes.push(Node { types, id, ..Node::default() });
    }
    let mut loose = Vec::new();
    // Where the elements end in which something belongs to an item.
    let mut owners: Vec<(At, Option<usize>)> = Vec::new();
    let mut n_properties = 0;
    let mut at = 1;
    while at < dom.len() {
        let part = at;
        at += 1;
        if dom.is_text(part) {
            continue;
        }
        while owners.last().is_some_and(|(end, _)| *end <= part) {
            owners.pop();
        }
        // Struck out: an earlier price.
        if matches!(dom.name(part), "template" | "noscript" | "del" | "s" | "strike") {
            at = dom.end(part);
            continue;
        }
        let outer = owners.last().and_then(|(_, owner)| *owner);
        let referred = if referring.is_empty() { None } else { dom.attr(part, "id") };
        let owner = referred.and_then(|id| referring.get(&*id).copied()).or(outer);
        let item = items.get(&part).copied();
        let names = dialect.names(dom, part);
        n_properties += names.len();
        if n_properties > PROPERTIES {
            return;
        }
        if item.is_none()
            && let Some(owner) = owner
            && names.iter().any(|name| name == "price")
        {
            // The currency may stand in the text although the amount has an attribute.
            graph.nodes[owner].properties.push((SHOWN.to_owned(), Value::Text(markup::price_text(dom, part))));
        }
        for name in names {
            let value = match item {
                Some(item) => Value::Node(item),
                None => Value::Text(value(dom, part, &name)),
            };
            let Some(owner) = owner.filter(|owner| Some(*owner) != item) else {
                loose.push((name, value));
                continue;
            };
            if let Some(item) = item {
                graph.nodes[item].parent = Some((owner, name.clone()));
            }
            graph.nodes[owner].properties.push((name, value));
        }
        if item.or(owner) != outer {
            owners.push((dom.end(part), item.or(owner)));
        }
    }
    if dialect == Dialect::Microdata && !loose.is_empty() {
        graph.nodes.push(Node { types: vec!["offer".to_owned()], properties: loose, ..Node::default() });
    }
}

/// The value of a property: the attribute made for it, or else the text.
fn value(dom: &Dom<'_>, at: At, name: &str) -> String {
    let is_address = matches!(
        name,
        "url"
            | "image"
            | "contenturl"
            | "availability"
            | "itemcondition"
            | "condition"
            | "pricetype"
            | "mainentityofpage"
    );
    let attribute = match dom.name(at) {
        "a" | "area" if is_address => dom.attr(at, "href"),
        "link" => dom.attr(at, "href"),
        "img" => dom.attr(at, "src"),
        "data" | "meter" | "input" | "button" | "option" | "select" => dom.attr(at, "value"),
        "time" => dom.attr(at, "datetime"),
        _ => None,
    };
    let attribute = dom.attr(at, "content").or(attribute).filter(|text| !text.trim().is_empty());
    let attribute = attribute.map(|text| if text.len() <= markup::LONGEST_TEXT { text } else { Cow::Borrowed("") });
    attribute.map_or_else(|| markup::price_text(dom, at), Cow::into_owned)
}
