//! Whether something that a page tells of is what the page's URL names: the product by its path, the variant by query and fragment.

use url::Url;

/// How well a URL names a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// It names another variant.
    Other,
    /// Nothing is known.
    Unknown,
    /// The thing is a variant that the URL does not speak of.
    Finer,
    /// The page is about the thing.
    Page,
    /// Query or fragment name this variant.
    Variant,
}

/// Query parameters that name no variant.
const NEUTRAL: [&str; 34] = [
    "_ga",
    "_gl",
    "_pos",
    "_psq",
    "_sid",
    "_ss",
    "_v",
    "aff",
    "affiliate",
    "campaign",
    "cat",
    "category",
    "country",
    "coupon",
    "currency",
    "fbclid",
    "from",
    "gclid",
    "gbraid",
    "lang",
    "language",
    "locale",
    "mc_cid",
    "mc_eid",
    "msclkid",
    "page",
    "q",
    "ref",
    "referrer",
    "search",
    "sort",
    "source",
    "srsltid",
    "wbraid",
];
/// Properties of a variant that a parameter of the same name can name.
const FEATURES: [&str; 6] = ["color", "material", "mpn", "pattern", "size", "sku"];

/// The page that was fetched.
#[derive(Debug)]
pub(super) struct Page {
    url: Url,
    /// What links on it are relative to.
    pub(super) base: Url,
    /// What it calls itself: the canonical link, the address of its preview.
    canonical: Vec<Url>,
    /// What the query and the fragment say.
    said: Vec<(String, String)>,
}

impl Page {
    pub(super) fn new(url: &Url, base: Option<&str>, canonical: &[&str]) -> Self {
        let base = base.and_then(|base| url.join(base).ok()).unwrap_or_else(|| url.clone());
        let canonical = canonical.iter().filter_map(|link| base.join(link).ok()).collect();
        Self { said: said(url), url: url.clone(), base, canonical }
    }

    /// How the page's URL names a thing with these links and properties.
    pub(super) fn level(&self, links: &[String], features: &[(&str, String)]) -> Level {
        let levels: Vec<Level> = links
            .iter()
            .map(|link| self.link(link))
            .chain(features.iter().map(|(name, value)| self.feature(name, value)))
            .collect();
        let says = |level: Level| levels.contains(&level);
        if says(Level::Other) {
            // One feature of another variant is enough, but the variant's own address outweighs it.
            let by_link = links.iter().any(|link| self.link(link) == Level::Variant);
            return if by_link { Level::Variant } else { Level::Other };
        }
        levels.into_iter().max().unwrap_or(Level::Unknown)
    }

    /// Whether the name of a node can be the address of a thing. Most are only names, such as `#product`.
    pub(super) fn is_address(&self, id: &str) -> bool {
        !id.starts_with("_:") && (!id.contains('#') || id.contains('?') || self.url.fragment().is_some())
    }

    /// Whether any of the links leads to this page, or `None` without any.
    pub(super) fn is_named_by(&self, links: &[String]) -> Option<bool> {
        let pages: Vec<Url> =
            links.iter().filter_map(|link| self.base.join(link).ok()).filter(|link| link.has_host()).collect();
        let own = |link: &Url| {
            same_path(link, &self.url) || self.canonical.iter().any(|canonical| same_path(link, canonical))
        };
        (!pages.is_empty()).then(|| pages.iter().any(own))
    }

    fn link(&self, link: &str) -> Level {
        let Ok(link) = self.base.join(link) else { return Level::Unknown };
        if !same_place(&link, &self.url) {
            return Level::Unknown;
        }
        let asked = parameters(&self.url);
        let own = parameters(&link);
        let value = |name: &str| asked.iter().find(|(asked, _)| asked == name).map(|(_, value)| value);
        if own.iter().any(|(name, own)| value(name).is_some_and(|asked| asked != own)) {
            return Level::Other;
        }
        let query = own.iter().all(|(name, _)| value(name).is_some());
        let fragment = link.fragment().filter(|fragment| !fragment.is_empty());
        let same_fragment = fragment.is_some() && fragment == self.url.fragment();
        match (own.is_empty(), query, fragment) {
            (_, false, _) => Level::Finer,
            _ if same_fragment => Level::Variant,
            (false, true, None) => Level::Variant,
            (false, true, Some(_)) => {
                if self.url.fragment().is_none() {
                    Level::Variant
                } else {
                    Level::Finer
                }
            }
            (true, _, None) => Level::Page,
            // "#product" is how nodes are named; another part of the page only beside one that the URL does name.
            (true, _, Some(_)) => {
                if self.url.fragment().is_none() {
                    Level::Page
                } else {
                    Level::Finer
                }
            }
        }
    }

    fn feature(&self, name: &str, value: &str) -> Level {
        let value = simple(value);
        if value.is_empty() {
            return Level::Unknown;
        }
        for (asked_name, asked) in &self.said {
            let same = simple(asked) == value;
            let about = asked_name == name;
            // Articles are named under many names, features under their own only.
            let article = !matches!(name, "color" | "material" | "pattern" | "size");
            if same && (about || article || asked_name.is_empty()) {
                return Level::Variant;
            }
            if about && FEATURES.contains(&name) {
                return Level::Other;
            }
        }
        Level::Unknown
    }
}

/// The same page, or the same path at another name of the shop.
fn same_place(link: &Url, url: &Url) -> bool {
    same_path(link, url) || (link.path().len() > 1 && path(link) == path(url))
}

fn path(url: &Url) -> String {
    percent_decoded(url.path()).trim_end_matches('/').to_lowercase()
}

fn same_path(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| url.host_str().map(|host| host.trim_start_matches("www.").to_owned());
    host(one) == host(other) && path(one) == path(other)
}

fn percent_decoded(path: &str) -> String {
    // The parser of forms decodes percents; a plus is a space to it, so it is hidden.
    let hidden = path.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(hidden.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// The parameters of a query that can name a variant, under the names of schema.org.
fn parameters(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().filter_map(|(name, value)| named(&name, &value)).collect()
}

fn named(name: &str, value: &str) -> Option<(String, String)> {
    let name = name.to_lowercase();
    let name = name.strip_prefix("attribute_").unwrap_or(&name);
    let name = name.strip_prefix("pa_").unwrap_or(name);
    if name.starts_with("utm_") || NEUTRAL.contains(&name) || value.is_empty() {
        return None;
    }
    let value = value.to_lowercase();
    let name = match name {
        "colour" | "farbe" | "couleur" => "color",
        "groesse" | "taille" | "größe" => "size",
        name => name,
    };
    Some((name.to_owned(), value))
}

/// What query and fragment say; a fragment without a name has an empty one.
fn said(url: &Url) -> Vec<(String, String)> {
    let mut said = parameters(url);
    if let Some(fragment) = url.fragment().filter(|fragment| !fragment.is_empty()) {
        let fragment = fragment.trim_start_matches(['/', '!', '?']);
        if fragment.contains('=') {
            said.extend(
                url::form_urlencoded::parse(fragment.as_bytes()).filter_map(|(name, value)| named(&name, &value)),
            );
        } else {
            said.push((String::new(), percent_decoded(fragment)));
        }
    }
    said
}

fn simple(text: &str) -> String {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(page: &str, link: &str) -> Level {
        Page::new(&Url::parse(page).unwrap(), None, &[]).level(&[link.to_owned()], &[])
    }

    #[test]
    fn links_name_the_page_or_a_variant_of_it() {
        let page = "https://shop.example/lamp?variant=2&utm_source=x";
        for (link, expected) in [
            ("/lamp?variant=2", Level::Variant),
            ("https://www.shop.example/lamp/?variant=2#p", Level::Variant),
            ("/lamp?variant=3", Level::Other),
            ("/lamp?variant=2&size=L", Level::Finer),
            ("/lamp", Level::Page),
            ("/lamp#product", Level::Page),
            ("/vase?variant=2", Level::Unknown),
            ("https://m.shop.example/lamp?variant=2", Level::Variant),
            ("/lamp?Variant=2", Level::Variant),
            ("mailto:shop@shop.example", Level::Unknown),
        ] {
            assert_eq!(level(page, link), expected, "{link}");
        }
        for (link, expected) in
            [("/lamp#b", Level::Variant), ("/lamp#a", Level::Finer), ("#b", Level::Variant), ("/lamp", Level::Page)]
        {
            assert_eq!(level("https://shop.example/lamp#b", link), expected, "{link}");
        }
        // What only tells whence a reader comes names no variant, on either side.
        let mailed = "https://shop.example/lamp?utm_source=mail&ref=a";
        assert_eq!(level(mailed, "/lamp?utm_source=feed&ref=b"), Level::Page);
        assert_eq!(level("https://shop.example/gr%C3%BCn", "/grün"), Level::Page);
        assert_eq!(level("https://shop.example/lamp", "/lamp?variant=1"), Level::Finer);
    }

    #[test]
    fn features_name_a_variant() {
        let page = Page::new(
            &Url::parse("https://shop.example/lamp?attribute_pa_colour=dark-red&size=L&id=LMP-7").unwrap(),
            None,
            &[],
        );
        let level = |features: &[(&'static str, &str)]| {
            let features: Vec<_> = features.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            page.level(&[], &features)
        };
        assert_eq!(level(&[("color", "Dark Red"), ("size", "L")]), Level::Variant);
        assert_eq!(level(&[("color", "Dark Red"), ("size", "S")]), Level::Other);
        assert_eq!((level(&[("color", "Dark Red")]), level(&[("color", "Blue")])), (Level::Variant, Level::Other));
        assert_eq!(level(&[("sku", "LMP-7")]), Level::Variant);
        assert_eq!(level(&[("sku", "LMP-8")]), Level::Unknown);
        assert_eq!(level(&[]), Level::Unknown);
    }
}
