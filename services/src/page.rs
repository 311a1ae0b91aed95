//! docs/configuration.md and .env.example, made of the catalogue.

use std::fmt::Write;

use crate::{
    catalogue::{Name, SERVICES},
    entry::Accounts,
    general::GENERAL,
    variable::{Need, Variable},
};

/// A line of a document has at most so many characters.
const WIDTH: usize = 150;

const PAGE_HEAD: &str = "\
# Configuration

The processes read these variables at start. `.env.example` has the same list. Only `docker compose` reads a file `.env`; `./dev`
sets its own variables. An empty value counts as not set where there is no default.

This page and `.env.example` are made of the catalogue (`services/src/catalogue/`, `services/src/general.rs`):
`WRITE_DOCS=1 cargo test -p services --test catalogue` writes both anew.

## Variables of no service
";

const PAGE_SERVICES: &str = "
## Services

Each outside service has a mock, which answers until the variables are there and the mode says real. One that is asked for but not
fully configured stays mock, and the processes name at start what is missing or malformed. `ecomctl check-env --mode production
--strict` says what an environment lacks, and `ecomctl status` how each service stands. Risk: P0 is critical, P1 high, P2 moderate.

`GET /api/status` and `GET /api/status/{service}` have the same as JSON, with the last probe (free of charge, at most every 30 s, mail
servers every 5 min, none of a mock), the breaker, and what waits to be healed.
Limits are of an account; of scraping each shop is one.
";

const EXAMPLE_HEAD: &str = "\
# Every variable of the system. Copy what you need to .env (docker compose reads it) or set it in the shell. One that is
# empty here counts as not set; one that has a value here must not be empty. `./dev` ignores these and sets its own.
# Made of the catalogue: `WRITE_DOCS=1 cargo test -p services --test catalogue` writes it anew.
";

/// A variable as both documents tell it.
struct Told {
    names: Vec<&'static str>,
    default: Option<&'static str>,
    example: Option<&'static str>,
    /// When it is needed.
    need: Option<String>,
    about: String,
}

/// docs/configuration.md.
#[must_use]
pub fn configuration() -> String {
    let mut page = PAGE_HEAD.to_owned();
    for group in GENERAL {
        page.push_str(&format!("\n### {}\n\n", group.title));
        group.variables.iter().map(Told::new).for_each(|told| page.push_str(&told.item()));
    }
    page.push_str(PAGE_SERVICES);
    for service in SERVICES {
        let entry = service.entry();
        page.push_str(&format!("\n### {service}\n\n"));
        page.push_str(&item(&format!("For: {}", entry.about)));
        page.push_str(&item(&format!("Risk: {}", entry.risk.name())));
        page.push_str(&item(&format!("While it is down: {}", entry.lost)));
        match (entry.built, entry.switch) {
            (false, _) => page.push_str("- Not built yet: it stays mock, but what is set for it is checked\n"),
            (true, None) => page.push_str("- It has no mock, and is always real\n"),
            (true, Some(_)) => {}
        }
        told(*service).iter().for_each(|told| page.push_str(&told.item()));
    }
    page
}

/// .env.example.
#[must_use]
pub fn env_example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for group in GENERAL {
        text.push_str(&format!("\n# ---- {} ----\n", group.title));
        group.variables.iter().map(Told::new).for_each(|told| text.push_str(&told.lines()));
    }
    for service in SERVICES {
        let entry = service.entry();
        let built = if entry.built { "" } else { " (not built yet: it stays mock, but what is set is checked)" };
        text.push_str(&format!("\n# ---- {service}: {}{built} ----\n", entry.about));
        told(*service).iter().for_each(|told| text.push_str(&told.lines()));
    }
    text
}

/// What is told of a service's variables: its own, those of its accounts, its switch and its limits.
fn told(service: Name) -> Vec<Told> {
    let entry = service.entry();
    let mut all: Vec<_> = entry.variables.iter().map(Told::new).collect();
    for account in entry.accounts.all() {
        let of = |variable| {
            let mut told = Told::new(variable);
            let needed = if variable.need == Need::Required { "needed for" } else { "for" };
            told.need = Some(match entry.accounts {
                Accounts::Chosen { by, .. } => {
                    let ways: Vec<String> = by.iter().map(|by| format!("`{by}={}`", account.name)).collect();
                    format!("{needed} {}", ways.join(" or "))
                }
                Accounts::AnyOf(_) => format!("{needed} {}, any one of the accounts is enough", account.name),
                Accounts::Besides(_) | Accounts::None => format!("{needed} {}", account.name),
            });
            told
        };
        all.extend(account.variables.iter().map(of));
    }
    let plain = |name, about: &str| Told {
        names: vec![name],
        default: None,
        example: None,
        need: None,
        about: about.to_owned(),
    };
    let limit = "to each account of it, over all workers";
    all.extend(entry.switch.map(|name| plain(name, "its own switch, `true` or `false`, which wins over `MOCK_MODE`")));
    all.extend(entry.requests_per_min.map(|name| plain(name, &format!("requests in a minute {limit}"))));
    all.extend(entry.tokens_per_min.map(|name| plain(name, &format!("tokens of language models in a minute {limit}"))));
    all
}

impl Told {
    fn new(variable: &Variable) -> Self {
        Self {
            names: [Some(variable.name), variable.also].into_iter().flatten().collect(),
            default: variable.default,
            example: variable.example,
            need: match variable.need {
                Need::Required => Some("needed".to_owned()),
                Need::InProduction => Some("needed in production".to_owned()),
                Need::With(other) => Some(format!("needed with `{other}`")),
                Need::Unless(other) => Some(format!("needed without `{other}`")),
                Need::Optional => None,
            },
            about: variable.about.to_owned(),
        }
    }

    /// As an item of a list.
    fn item(&self) -> String {
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let default = self.default.map(|default| format!("default `{default}`"));
        let notes: Vec<_> = default.into_iter().chain(self.need.clone()).collect();
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        let example = self.example.map(|example| format!("; such as `{example}`")).unwrap_or_default();
        item(&format!("{}{notes}: {}{example}", names.join(" or "), self.about))
    }

    /// As lines of a file of variables.
    fn lines(&self) -> String {
        let mut first = self.about.chars();
        let about: String = first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
        let need = self.need.as_ref().map(|need| format!(" ({need})")).unwrap_or_default();
        let mut text = wrapped("# ", "# ", &format!("{about}{need}."));
        for name in &self.names {
            let _ = writeln!(text, "{name}={}", self.default.unwrap_or_default());
        }
        text
    }
}

fn item(text: &str) -> String {
    wrapped("- ", "  ", text)
}

/// In lines; what stands between backticks is not torn.
fn wrapped(first: &str, others: &str, text: &str) -> String {
    let (mut lines, mut line, mut words) = (String::new(), first.to_owned(), 0);
    let mut open = false;
    let mut unit = String::new();
    for word in text.split(' ') {
        unit.push_str(word);
        open ^= word.matches('`').count() % 2 == 1;
        if open {
            unit.push(' ');
            continue;
        }
        if words > 0 && line.chars().count() + 1 + unit.chars().count() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            (line, words) = (others.to_owned(), 0);
        }
        if words > 0 {
            line.push(' ');
        }
        line.push_str(&std::mem::take(&mut unit));
        words += 1;
    }
    lines + &line + "\n"
}
