//! What an element's name says of how it begins and ends.

/// How an element behaves among others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kind(u16);

impl Kind {
    /// Never holds anything.
    pub(super) const VOID: Self = Self(1);
    /// Holds text only, until its own end.
    pub(super) const RAW: Self = Self(1 << 1);
    /// An end of another element looks no further than this one, unless it looks for a block itself.
    pub(super) const SPECIAL: Self = Self(1 << 2);
    /// No end of an element within leads out of this one.
    pub(super) const SCOPE: Self = Self(1 << 3);
    /// Ends an open paragraph.
    pub(super) const ENDS_P: Self = Self(1 << 4);
    pub(super) const HEADING: Self = Self(1 << 5);
    /// A part of a table.
    pub(super) const TABLE: Self = Self(1 << 6);
    /// Begins or ends the page.
    pub(super) const PAGE: Self = Self(1 << 7);
    /// Draws: elements in it may end with their own tag.
    pub(super) const FOREIGN: Self = Self(1 << 8);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Of an element by its name in lower case.
    pub(super) fn of(name: &str) -> Self {
        const BLOCK: Kind = Kind::SPECIAL.and(Kind::ENDS_P);
        match name {
            "div" | "p" | "ul" | "ol" | "dl" | "section" | "article" | "aside" | "header" | "footer" | "nav"
            | "main" | "form" | "fieldset" | "figure" | "figcaption" | "blockquote" | "address" | "center"
            | "details" | "dialog" | "dir" | "hgroup" | "menu" | "search" | "summary" | "pre" | "listing" => BLOCK,
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => BLOCK.and(Self::HEADING),
            "hr" => BLOCK.and(Self::VOID),
            "table" => BLOCK.and(Self::SCOPE),
            "td" | "th" | "caption" => Self::SPECIAL.and(Self::SCOPE).and(Self::TABLE),
            "tr" | "tbody" | "thead" | "tfoot" | "colgroup" => Self::SPECIAL.and(Self::TABLE),
            "li" | "dd" | "dt" | "button" | "select" => Self::SPECIAL,
            "template" | "object" | "applet" | "marquee" => Self::SPECIAL.and(Self::SCOPE),
            "svg" | "math" => Self::SPECIAL.and(Self::SCOPE).and(Self::FOREIGN),
            "html" | "head" | "body" => Self::SPECIAL.and(Self::SCOPE).and(Self::PAGE),
            "area" | "base" | "br" | "col" | "embed" | "img" | "input" | "link" | "meta" | "param" | "source"
            | "track" | "wbr" | "keygen" | "bgsound" | "frame" => Self::VOID,
            "script" | "style" | "textarea" | "title" | "iframe" | "noscript" | "xmp" | "noembed" | "noframes" => {
                Self::RAW
            }
            _ => Self::default(),
        }
    }
}

/// Whether elements of this name are asked for by it.
pub(super) fn is_notable(name: &str) -> bool {
    matches!(name, "base" | "h1" | "html" | "link" | "meta" | "script" | "title" | "form")
}

/// Names as browsers know them, for those who write in capitals.
const NAMES: &str = "a abbr address area article aside b base big blockquote body br button center code col dd del div dl dt em fieldset \
    font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins label legend li link main meta nav nobr noscript object \
    ol optgroup option p param pre s script section select small span strike strong style sub sup svg table tbody td template textarea \
    tfoot th thead title tr tt u ul";

/// A name in lower case; of those in capitals only the known ones are told apart.
pub(super) fn lower(name: &str) -> &str {
    if !name.bytes().any(|b| b.is_ascii_uppercase()) {
        return name;
    }
    NAMES.split(' ').find(|known| known.eq_ignore_ascii_case(name)).unwrap_or("unknown")
}
