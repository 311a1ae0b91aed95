//! Puts microdata and `RDFa` into a graph.

use std::collections::HashMap;

use ego_tree::{NodeId, iter::Edge};
use scraper::{ElementRef, Html, Node as Part, node::Element};

use super::{
    graph::{self, Graph, Node, Value},
    markup,
};

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
/// Of quantities and times.
const KEPT_TOO: [&str; 9] = [
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
    fn types(self, element: &Element) -> Option<&str> {
        element.attr(if self == Self::Microdata { "itemtype" } else { "typeof" })
    }

    fn names(self, element: &Element) -> Vec<String> {
        let names = element.attr(if self == Self::Microdata { "itemprop" } else { "property" }).unwrap_or_default();
        let kept = |name: &String| KEPT.contains(&name.as_str()) || KEPT_TOO.contains(&name.as_str());
        let mut names: Vec<String> = names.split_whitespace().map(graph::word).filter(kept).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn id(self, element: &Element) -> Option<&str> {
        match self {
            Self::Microdata => element.attr("itemid"),
            Self::Rdfa => element.attr("resource").or_else(|| element.attr("about")),
        }
    }

    /// Whether the element holds a thing of its own.
    fn is_scope(self, element: &Element) -> bool {
        let marked = match self {
            Self::Microdata => element.attr("itemscope").is_some(),
            Self::Rdfa => false,
        };
        // Pages forget the mark at the element that gives the type, and at their offers.
        let offers = || {
            !is_void(element.name())
                && self.names(element).iter().any(|name| matches!(name.as_str(), "offers" | "offerdetails"))
        };
        marked || self.types(element).is_some() || offers()
    }
}

fn is_void(name: &str) -> bool {
    matches!(name, "meta" | "link" | "img" | "input")
}

/// Adds all items of a page, and at the end what stands in none: `<meta itemprop="price">` in a page's head.
pub(super) fn add(page: &Html, dialect: Dialect, graph: &mut Graph) {
    let mut items: HashMap<NodeId, usize> = HashMap::new();
    let mut referring: HashMap<&str, usize> = HashMap::new();
    for part in page.tree.nodes() {
        let Part::Element(element) = part.value() else { continue };
        if !dialect.is_scope(element) || items.len() >= ITEMS {
            continue;
        }
        let types = dialect.types(element).unwrap_or_default().split_whitespace().map(graph::word).collect();
        let id = dialect.id(element).map(|id| id.trim().to_owned());
        items.insert(part.id(), graph.nodes.len());
        for id in element.attr("itemref").unwrap_or_default().split_whitespace().take(ITEMS) {
            referring.insert(id, graph.nodes.len());
        }
        graph.nodes.push(Node { types, id, ..Node::default() });
    }
    let mut loose = Vec::new();
    let mut owners: Vec<(NodeId, Option<usize>)> = Vec::new();
    let mut passed_over = None;
    let mut n_properties = 0;
    for edge in page.tree.root().traverse() {
        match edge {
            Edge::Open(part) => {
                let Part::Element(element) = part.value() else { continue };
                if passed_over.is_some() {
                    continue;
                }
                // Struck out: an earlier price.
                if matches!(element.name(), "template" | "noscript" | "del" | "s" | "strike") {
                    passed_over = Some(part.id());
                    continue;
                }
                let owner = element.attr("id").and_then(|id| referring.get(id).copied());
                let owner = owner.or_else(|| owners.last().and_then(|(_, owner)| *owner));
                let item = items.get(&part.id()).copied();
                let names = dialect.names(element);
                n_properties += names.len();
                if n_properties > PROPERTIES {
                    return;
                }
                if item.is_none()
                    && let Some(owner) = owner
                    && names.iter().any(|name| name == "price")
                    && let Some(element) = ElementRef::wrap(part)
                {
                    // The currency may stand in the text although the amount has an attribute.
                    graph.nodes[owner].properties.push((SHOWN.to_owned(), Value::Text(markup::price_text(element))));
                }
                for name in names {
                    let value = match item {
                        Some(item) => Value::Node(item),
                        None => match ElementRef::wrap(part) {
                            Some(element) => Value::Text(value(element, &name)),
                            None => continue,
                        },
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
                owners.push((part.id(), item.or(owner)));
            }
            Edge::Close(part) => {
                if passed_over == Some(part.id()) {
                    passed_over = None;
                }
                if owners.last().is_some_and(|(id, _)| *id == part.id()) {
                    owners.pop();
                }
            }
        }
    }
    if dialect == Dialect::Microdata && !loose.is_empty() {
        graph.nodes.push(Node { types: vec!["offer".to_owned()], properties: loose, ..Node::default() });
    }
}

/// The value of a property: the attribute made for it, or else the text.
fn value(element: ElementRef<'_>, name: &str) -> String {
    let is_address =
        matches!(name, "url" | "availability" | "itemcondition" | "condition" | "pricetype" | "mainentityofpage");
    let attribute = match element.value().name() {
        "a" | "area" if is_address => element.attr("href"),
        "link" => element.attr("href"),
        "img" => element.attr("src"),
        "data" | "meter" | "input" | "button" | "option" | "select" => element.attr("value"),
        "time" => element.attr("datetime"),
        _ => None,
    };
    let attribute = element.attr("content").or(attribute).filter(|text| !text.trim().is_empty());
    let attribute = attribute.map(|text| if text.len() <= markup::LONGEST_TEXT { text } else { "" });
    attribute.map_or_else(|| markup::price_text(element), str::to_owned)
}
