//! Reads the price from a product page: from its JSON-LD blocks, its microdata, its `RDFa`, or the data for its previews, in this order. A
//! pure function of the page.

mod availability;
mod embedded;
mod facts;
mod graph;
mod items;
mod json;
mod locale;
mod markup;
mod meta;
mod names;
mod offers;
mod products;
mod refresh;
mod scripts;
mod seen;
mod selector;
mod stock;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod visible;
mod weigh;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use url::Url;

use crate::{
    amount::{self, Money},
    dom::{self, At, Dom},
    found::{Confidence, Details, Extract, Method, Price},
};
use availability::Rank;
use graph::Graph;
use items::Dialect;
use meta::Meta;
use names::Page;
use products::{Reading, Titles};
pub use refresh::parse as refresh;
pub use selector::is_selector;
pub use text::text;
use view::View;

const TITLE_KEPT: usize = 300;
/// No link that is longer is kept, in bytes.
const LONGEST_LINK: usize = 2_000;

/// What helps to read a page.
#[derive(Debug, Clone, Copy)]
pub struct Hints<'a> {
    /// Chooses between prices of several days.
    pub today: NaiveDate,
    /// A CSS selector of the element that has the price.
    pub selector: Option<&'a str>,
    /// The language that the page was asked for, `de` or `de-CH`. What the page says of itself goes before it.
    pub language: Option<&'a str>,
}

impl Hints<'_> {
    /// No help but the date.
    #[must_use]
    pub fn on(today: NaiveDate) -> Self {
        Self { today, selector: None, language: None }
    }
}

/// Reads a page. `url`, under which it was found, helps to choose between several products and variants.
///
/// # Errors
/// Why a page is not parsed that is made to take all memory.
pub fn read(html: &str, url: &Url, hints: &Hints<'_>) -> Result<Extract, &'static str> {
    let dom = dom::parse(html)?;
    let document = Document::new(html, &dom, url, *hints);
    let moved_to = refresh::target(&dom, &document.page.base).filter(|target| !is_same(target, url));
    let readings = document.readings();
    let (price, details) = document.price(&readings);
    let until = readings.iter().filter_map(|(_, reading)| reading.until).min();
    Ok(Extract { title: document.title(), price, details, moved_to, until })
}

/// A page that refreshes itself stays where it is.
fn is_same(target: &Url, url: &Url) -> bool {
    let (mut target, mut url) = (target.clone(), url.clone());
    target.set_fragment(None);
    url.set_fragment(None);
    target == url
}

struct Document<'a> {
    html: &'a str,
    dom: &'a Dom<'a>,
    page: Page,
    meta: Meta,
    url: &'a Url,
    hints: Hints<'a>,
}

impl<'a> Document<'a> {
    fn new(html: &'a str, dom: &'a Dom<'a>, url: &'a Url, hints: Hints<'a>) -> Self {
        let meta = Meta::read(dom);
        let is_canonical = |at: &At| {
            let rel = dom.attr(*at, "rel").unwrap_or_default();
            rel.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("canonical"))
        };
        let canonical = dom.all("link").find(is_canonical).and_then(|at| dom.attr(at, "href"));
        let base = dom.all("base").find_map(|at| dom.attr(at, "href"));
        let own: Vec<&str> =
            canonical.as_deref().into_iter().chain(meta.all("og:url").first().map(String::as_str)).collect();
        let page = Page::new(url, base.as_deref(), &own);
        Self { html, dom, page, meta, url, hints }
    }

    fn title(&self) -> Option<String> {
        let in_drawing = |at: &At| self.dom.around(*at).any(|outer| self.dom.name(outer) == "svg");
        let title = self.dom.all("title").find(|at| !in_drawing(at)).map(|at| self.dom.line(at))?;
        let title: String = title.chars().take(TITLE_KEPT).collect();
        (!title.is_empty()).then_some(title)
    }

    fn titles(&self) -> Titles {
        let headings = self.dom.all("h1").take(3).map(|at| self.dom.line(at));
        let previews = ["og:title", "twitter:title"].into_iter().flat_map(|name| self.meta.all(name).first().cloned());
        // Each is compared with all names of the page.
        let titles = headings.chain(previews).filter(|title| title.len() <= 4 * TITLE_KEPT);
        let whole: Vec<String> =
            titles.map(|title| products::simple(&title)).filter(|title| !title.is_empty()).collect();
        let within = self.title().map(|title| products::simple(&title)).into_iter().chain(whole.clone()).collect();
        Titles { whole, within }
    }

    /// What the parts of the page say that are made for machines, the best first.
    fn readings(&self) -> Vec<(Method, Reading)> {
        let titles = self.titles();
        let reading = |graph: &mut Graph| {
            graph.link(&self.page.base);
            products::read(graph, &self.page, &titles, self.hints.today)
        };
        let items = |dialect: Dialect| {
            let mut graph = Graph::default();
            items::add(self.dom, dialect, &mut graph);
            reading(&mut graph)
        };
        let mut json_ld = Graph::default();
        self.blocks().into_iter().flat_map(json::read).for_each(|json| json_ld.add_json(json));
        vec![
            (Method::JsonLd, reading(&mut json_ld)),
            (Method::Microdata, items(Dialect::Microdata)),
            (Method::Rdfa, items(Dialect::Rdfa)),
            (Method::Meta, self.preview()),
        ]
    }

    fn price(&self, readings: &[(Method, Reading)]) -> (Option<Price>, Details) {
        let told = self.first_price(readings);
        let named = self.title().into_iter().chain(self.meta.all("og:title").first().cloned());
        let mut names: Vec<String> =
            named.map(|title| products::simple(&title)).filter(|title| !title.is_empty()).collect();
        let view = View::new(self.dom, &names);
        let currency = self.currency(readings, told.as_ref());
        let seen = seen::amounts(&view, currency.as_deref());
        let visible = visible::price(&view, &seen);
        names.extend(view.name.map(|at| products::simple(&self.dom.line(at))).filter(|name| !name.is_empty()));
        // Scripts are read where nothing else says the same as readers see.
        let is_settled = told.as_ref().is_some_and(|told| weigh::is_shown(told.amount, &seen));
        let embedded = || match embedded::read(self.dom, &names, self.url) {
            found if found.is_empty() => embedded::attributes(&view),
            found => found,
        };
        let embedded = if is_settled { Vec::new() } else { embedded() };
        let between = visible::between(&view);
        let weights = weigh::Weights { readings, embedded: &embedded, visible: visible.as_ref(), seen: &seen, between };
        let local = |text: &str| locale::currency(text, self.dom, self.url, self.hints.language).map(str::to_owned);
        // Shops write 0 where they do not tell the price.
        let told = told.filter(|told| !told.amount.is_zero() || !visible::is_withheld(&view));
        let price = weights.price(told, local);
        let price = self.selected().map(|money| weigh::selected(money, price.as_ref())).or(price);
        let price = price.map(|price| {
            let same: Vec<&seen::Seen> = seen.iter().filter(|seen| seen.money.amount == price.amount).collect();
            // What readers see goes before what a theme tells machines.
            let by_sign = same.iter().filter(|seen| !seen.is_other()).find_map(|seen| seen.money.currency.clone());
            let found = by_sign.or_else(|| price.currency.clone()).or_else(|| currency.clone());
            let found =
                found.or_else(|| same.iter().find_map(|seen| local(&seen.text))).or_else(|| seen::currency(&seen));
            Price { currency: found.or_else(|| embedded::currency(self.dom)), ..price }
        });
        let of_page = || readings.iter().find_map(|(_, reading)| reading.availability).map(str::to_owned);
        let shown = || stock::shown(&view, visible.as_ref().map(|visible| visible.at)).map(str::to_owned);
        let availability = price.as_ref().and_then(|price| price.availability.clone()).or_else(of_page).or_else(shown);
        let price = price.map(|price| Price { availability: availability.clone(), ..price });
        let details = self.details(readings, &weights, price.as_ref(), &view);
        (price, Details { availability, ..details })
    }

    /// The amount in the element that the job's selector names.
    fn selected(&self) -> Option<Money> {
        let css = self.hints.selector?;
        let text = selector::text(self.html, css)?;
        amount::from_text(&text, self.meta.currency().as_deref())
    }

    /// The currency that the page speaks of.
    fn currency(&self, readings: &[(Method, Reading)], told: Option<&Price>) -> Option<String> {
        let of_prices = || readings.iter().find_map(|(_, reading)| reading.price.as_ref()?.0.currency.clone());
        told.and_then(|price| price.currency.clone()).or_else(of_prices).or_else(|| self.meta.currency())
    }

    /// What else the page says: the data for machines first, then previews, then what readers see.
    fn details(
        &self,
        readings: &[(Method, Reading)],
        weights: &weigh::Weights<'_>,
        price: Option<&Price>,
        view: &View<'_>,
    ) -> Details {
        let fact = |find: &dyn Fn(&facts::Facts) -> Option<String>| {
            readings.iter().find_map(|(_, reading)| find(&reading.facts))
        };
        let meta = |names: &[&str]| names.iter().find_map(|name| facts::short(self.meta.all(name).first()?));
        let absolute = |link: String| {
            let joined = self.page.base.join(&link).ok().filter(Url::has_host);
            joined.map(String::from).filter(|url| url.len() <= LONGEST_LINK)
        };
        let heading = || facts::short(&self.dom.line(view.name?));
        Details {
            name: fact(&|facts| facts.name.clone()).or_else(heading).or_else(|| meta(&["og:title", "twitter:title"])),
            list_price: weights.list_price(price),
            unit_price: weights.unit_price(price),
            availability: None,
            condition: fact(&|facts| facts.condition.clone())
                .or_else(|| facts::condition(&meta(&["product:condition", "og:condition"])?)),
            brand: fact(&|facts| facts.brand.clone()).or_else(|| meta(&["product:brand", "og:brand", "brand"])),
            gtin: fact(&|facts| facts.gtin.clone()).or_else(|| {
                facts::valid_gtin(&meta(&[
                    "product:ean",
                    "product:gtin",
                    "product:upc",
                    "product:isbn",
                    "gtin13",
                    "gtin",
                ])?)
            }),
            mpn: fact(&|facts| facts.mpn.clone()).or_else(|| meta(&["product:mfr_part_no"])),
            sku: fact(&|facts| facts.sku.clone()).or_else(|| meta(&["product:retailer_item_id", "product:sku"])),
            image: fact(&|facts| facts.image.clone())
                .or_else(|| meta(&["og:image", "og:image:secure_url", "twitter:image"]))
                .and_then(absolute),
            seller: fact(&|facts| facts.seller.clone()),
            shipping: weights.shipping(),
        }
    }

    fn preview(&self) -> Reading {
        let price = self.meta.price().map(|money| (money, self.meta.availability()));
        Reading { price, availability: self.meta.availability(), ..Reading::default() }
    }

    /// The texts of the JSON-LD blocks.
    fn blocks(&self) -> Vec<&'a str> {
        let is_json_ld = |at: &At| {
            let media_type = self.dom.attr(*at, "type").unwrap_or_default().to_lowercase();
            let essence = media_type.split(';').next().unwrap_or_default().trim();
            matches!(essence, "application/ld+json" | "application/json+ld" | "application/ld-json" | "text/ld+json")
        };
        self.dom.all("script").filter(is_json_ld).map(|at| self.dom.content(at)).collect()
    }

    fn first_price(&self, readings: &[(Method, Reading)]) -> Option<Price> {
        let gone = readings.iter().any(|(_, reading)| availability::rank(reading.availability) == Rank::Gone);
        let refused: Vec<Decimal> = readings.iter().flat_map(|(_, reading)| reading.refused.iter().copied()).collect();
        let prices = || {
            let all = readings.iter().filter_map(|(method, reading)| Some((*method, reading.price.clone()?)));
            all.filter(|(_, (money, _))| !refused.contains(&money.amount))
        };
        // Shops write 0 where they have no price.
        let real = prices().find(|(_, (money, _))| !money.amount.is_zero());
        let shown = || {
            let (method, reading) = readings.iter().find(|(_, reading)| !reading.open.is_empty())?;
            Some((*method, products::shown(&reading.open, &self.text())?))
        };
        let (method, (money, own)) = real.or_else(shown).or_else(|| prices().next().filter(|_| !gone))?;
        let elsewhere = || {
            let same = readings
                .iter()
                .filter_map(|(_, reading)| reading.price.as_ref())
                .filter(|(other, _)| other.amount == money.amount);
            same.filter_map(|(other, _)| other.currency.clone()).next()
        };
        let open = || {
            let open =
                readings.iter().flat_map(|(_, reading)| &reading.open).filter(|open| open.money.amount == money.amount);
            open.filter_map(|open| open.availability).min_by_key(|word| availability::rank(Some(word)))
        };
        let of_page = || readings.iter().find_map(|(_, reading)| reading.availability);
        let Money { amount, currency } = money.clone();
        Some(Price {
            amount,
            currency: currency.or_else(elsewhere),
            availability: own.or_else(open).or_else(of_page).map(str::to_owned),
            method,
            confidence: Confidence::Medium,
        })
    }

    /// What readers see of the page, on one line.
    fn text(&self) -> String {
        let dom = self.dom;
        let silent = |at: At| {
            matches!(
                dom.name(dom.parent(at)),
                "script" | "style" | "template" | "noscript" | "del" | "s" | "strike" | "title"
            )
        };
        let mut line = String::new();
        for at in (1..dom.len()).filter(|at| dom.is_text(*at) && !silent(*at)) {
            for word in dom.text(at).split_whitespace() {
                line.push_str(word);
                line.push(' ');
            }
        }
        line
    }
}
