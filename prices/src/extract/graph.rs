//! What a page says of things, whether in JSON-LD, microdata or `RDFa`: nodes with types and properties. Lists are flat, and names have
//! neither vocabulary nor case, since pages write both in every way there is.

use std::{cell::Cell, collections::HashMap};

use url::Url;

use super::{json::Json, markup};

/// So many steps are taken in one graph: nodes can refer to each other in circles.
const STEPS: usize = 2_000_000;
/// So many nodes may tell of one thing.
const OF_ONE_NAME: usize = 50;
/// So many nodes around a node are looked at.
const LEVELS: usize = 100;
/// So many values of one property are looked at.
const VALUES: usize = 50;

/// A value of a property.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    /// A number's digits.
    Number(String),
    Text(String),
    Node(usize),
}

/// A thing.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Without vocabulary, in lower case.
    pub(super) types: Vec<String>,
    pub(super) id: Option<String>,
    /// Names without vocabulary, in lower case.
    pub(super) properties: Vec<(String, Value)>,
    /// The node that this one is written into, and as which property.
    pub(super) parent: Option<(usize, String)>,
}

/// All nodes of a page, in its order.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Nodes by their full names: what is said of one thing can stand in several places.
    named: HashMap<String, Vec<usize>>,
    /// The nodes that others call similar or related to themselves.
    related: Vec<bool>,
    /// The nodes that others call their main thing.
    main: Vec<bool>,
    steps: Cell<usize>,
}

/// Properties that lead from a product to other ones.
const RELATED: [&str; 4] = ["isrelatedto", "issimilarto", "isaccessoryorsparepartfor", "isconsumablefor"];
/// Properties that lead to things beside what a page is about.
const ASIDE: [&str; 10] = [
    "citation",
    "isaccessoryorsparepartfor",
    "isbasedon",
    "isconsumablefor",
    "isrelatedto",
    "issimilarto",
    "itemlistelement",
    "mentions",
    "review",
    "reviews",
];
/// Properties that lead to what a page is about.
const MAIN: [&str; 14] = [
    "@graph",
    "@included",
    "@reverse",
    "about",
    "hasvariant",
    "isvariantof",
    "itemoffered",
    "itemreviewed",
    "mainentity",
    "mainentityofpage",
    "model",
    "offers",
    "product",
    "subjectof",
];

impl Graph {
    /// Puts a value of JSON-LD in.
    pub(super) fn add_json(&mut self, json: Json) {
        self.add_value(json, None);
    }

    fn add_value(&mut self, json: Json, parent: Option<(usize, &str)>) -> Vec<Value> {
        match json {
            Json::Null => Vec::new(),
            Json::Bool(value) => vec![Value::Bool(value)],
            Json::Number(digits) => vec![Value::Number(digits)],
            Json::Text(text) => vec![Value::Text(text)],
            Json::List(items) => items.into_iter().flat_map(|item| self.add_value(item, parent)).collect(),
            Json::Object(mut pairs) => {
                // {"@value": "5"} and {"@list": [ … ]} are only dressed.
                if let Some(at) = pairs.iter().position(|(key, _)| matches!(key.as_str(), "@value" | "@list" | "@set"))
                {
                    return self.add_value(pairs.swap_remove(at).1, parent);
                }
                vec![Value::Node(self.add_object(pairs, parent))]
            }
        }
    }

    fn add_object(&mut self, pairs: Vec<(String, Json)>, parent: Option<(usize, &str)>) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node { parent: parent.map(|(at, name)| (at, name.to_owned())), ..Node::default() });
        let has = |key: &str| pairs.iter().any(|(written, _)| written.eq_ignore_ascii_case(key));
        let (plain_type, plain_id) = (!has("@type"), !has("@id"));
        // Of a key that is written twice the last counts, as in every browser.
        let mut last: HashMap<String, usize> = HashMap::new();
        for (index, (key, _)) in pairs.iter().enumerate() {
            last.insert(key.clone(), index);
        }
        for (index, (key, json)) in pairs.into_iter().enumerate() {
            if last.get(&key) != Some(&index) {
                continue;
            }
            let name = word(&key);
            let values = self.add_value(json, Some((at, &name)));
            let node = &mut self.nodes[at];
            let is_type = name == "@type" || (plain_type && name == "type");
            if is_type || name == "additionaltype" {
                node.types.extend(
                    values
                        .iter()
                        .filter_map(|value| if let Value::Text(text) = value { Some(word(text)) } else { None }),
                );
            }
            if (name == "@id" || (plain_id && name == "id"))
                && let [Value::Text(id)] = values.as_slice()
            {
                node.id = Some(id.trim().to_owned());
            }
            if !is_type && name != "@context" {
                node.properties.extend(values.into_iter().map(|value| (name.clone(), value)));
            }
        }
        at
    }

    /// To be called when all is in. `base`: what names are relative to.
    pub(super) fn link(&mut self, base: &Url) {
        for at in 0..self.nodes.len() {
            if let Some(id) = self.nodes[at].id.take() {
                let id = full_name(&id, base);
                let nodes = self.named.entry(id.clone()).or_default();
                if nodes.len() < OF_ONE_NAME {
                    nodes.push(at);
                }
                self.nodes[at].id = Some(id);
            }
        }
        // A property can name a node in plain text: "offers": "#offer".
        let named = &self.named;
        for node in &mut self.nodes {
            for (name, value) in &mut node.properties {
                if let Value::Text(text) = value
                    && matches!(
                        name.as_str(),
                        "offers" | "hasvariant" | "isvariantof" | "pricespecification" | "itemoffered" | "mainentity"
                    )
                    && let Some(at) = named.get(&full_name(text.trim(), base)).and_then(|nodes| nodes.first())
                {
                    *value = Value::Node(*at);
                }
            }
        }
        self.related = self.reached(&RELATED);
        self.main = self.reached(&["mainentity"]);
    }

    /// The nodes that some node has as one of these properties.
    fn reached(&self, names: &[&str]) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        for (name, value) in self.nodes.iter().flat_map(|node| &node.properties) {
            if let Value::Node(at) = value
                && names.contains(&name.as_str())
            {
                self.same(*at).into_iter().for_each(|at| reached[at] = true);
            }
        }
        reached
    }

    /// The node and all others of its name.
    fn same(&self, at: usize) -> Vec<usize> {
        let others = self.nodes[at].id.as_ref().and_then(|id| self.named.get(id));
        let others = others.into_iter().flatten().copied().filter(|other| *other != at);
        [at].into_iter().chain(others).collect()
    }

    /// The first of all nodes that tell of the same thing.
    pub(super) fn canonical(&self, at: usize) -> usize {
        let named = self.nodes[at].id.as_ref().and_then(|id| self.named.get(id)?.first());
        named.copied().unwrap_or(at)
    }

    /// The values of a property: of the node itself, or else of those that tell of the same thing.
    pub(super) fn values(&self, at: usize, name: &str) -> Vec<&Value> {
        for at in self.same(at) {
            let steps = self.steps.get() + self.nodes[at].properties.len() + 1;
            self.steps.set(steps);
            if steps > STEPS {
                return Vec::new();
            }
            let found: Vec<&Value> =
                self.nodes[at].properties.iter().filter(|(own, _)| own == name).map(|(_, value)| value).collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The nodes that a property leads to.
    pub(super) fn children(&self, at: usize, name: &str) -> Vec<usize> {
        self.values(at, name)
            .into_iter()
            .filter_map(|value| if let Value::Node(at) = value { Some(*at) } else { None })
            .collect()
    }

    /// The texts of a property, without markup and entities.
    pub(super) fn texts(&self, at: usize, name: &str) -> Vec<String> {
        let plain = |value: &Value| match value {
            Value::Text(text) if text.len() <= markup::LONGEST_TEXT => Some(markup::text_of(text).trim().to_owned()),
            Value::Number(digits) => Some(digits.clone()),
            Value::Text(_) | Value::Bool(_) => None,
            // {"@id": "https://schema.org/InStock"}, {"@type": "MonetaryAmount", "name": …}
            Value::Node(at) => self.nodes[*at].id.clone(),
        };
        self.values(at, name).into_iter().take(VALUES).filter_map(plain).filter(|text| !text.is_empty()).collect()
    }

    pub(super) fn text(&self, at: usize, name: &str) -> Option<String> {
        self.texts(at, name).into_iter().next()
    }

    pub(super) fn is(&self, at: usize, types: &[&str]) -> bool {
        self.same(at).into_iter().any(|at| self.nodes[at].types.iter().any(|own| types.contains(&own.as_str())))
    }

    /// Whether the page names the node only beside what it is about: a similar product, an item of a list.
    pub(super) fn is_aside(&self, at: usize) -> bool {
        self.related.get(at).copied().unwrap_or_default() || self.is_within(at, |name| ASIDE.contains(&name))
    }

    /// Whether the node stands in a property that says nothing of what the page is about.
    pub(super) fn is_far(&self, at: usize) -> bool {
        self.is_within(at, |name| !MAIN.contains(&name))
    }

    fn is_within(&self, at: usize, fits: impl Fn(&str) -> bool) -> bool {
        let outer = |at: &usize| self.nodes[*at].parent.as_ref().map(|(parent, _)| *parent);
        // Elements can refer to each other in circles.
        let around = std::iter::successors(Some(at), outer).take(LEVELS);
        around.filter_map(|at| self.nodes[at].parent.as_ref()).any(|(_, name)| fits(name))
    }

    /// Whether the node is the main thing of another one.
    pub(super) fn is_main(&self, at: usize) -> bool {
        self.main.get(at).copied().unwrap_or_default()
    }
}

/// `https://schema.org/InStock`, `schema:InStock` → `instock`.
pub(super) fn word(text: &str) -> String {
    let text = text.trim().trim_end_matches(['/', '#']);
    text.rsplit(['/', ':', '#']).next().unwrap_or_default().trim().to_lowercase()
}

fn full_name(id: &str, base: &Url) -> String {
    if id.starts_with("_:") {
        return id.to_owned();
    }
    base.join(id).map_or_else(|_| id.to_owned(), String::from)
}
