//! Which model writes which text: a table in TOML, compiled in from `routes.toml` or read from the file that `CONTENT_ROUTES` names.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};
use serde::Deserialize;

use super::{
    prompt,
    request::{ContentRequest, LENGTHS, Language, Tier},
    text::{Cost, Tokens},
};

const COMPILED_IN: &str = include_str!("routes.toml");
/// The file is read again at the first use after this time.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The finest price of a token that is kept, in digits behind the point of a US dollar.
const DIGITS: u32 = 9;

/// The table, kept up to date with its file.
#[derive(Debug)]
pub(super) struct Routes {
    path: Option<PathBuf>,
    /// What answers everything, whatever the table says: `OPENAI_MODEL`.
    only: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    table: Arc<Table>,
    /// The file as it was read last, or why it could not be; what is seen twice is told once.
    seen: Option<Result<String, String>>,
    read_at: Option<Instant>,
}

/// Models with their prices, and the routes to them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    #[serde(default)]
    models: Vec<Model>,
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    name: String,
    input: Option<Decimal>,
    output: Option<Decimal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    name: String,
    tiers: Option<Vec<Tier>>,
    languages: Option<Vec<Language>>,
    min_length: Option<u16>,
    max_length: Option<u16>,
    models: Vec<String>,
}

/// What a million tokens cost, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that are read.
    pub input: Decimal,
    /// Tokens that are written.
    pub output: Decimal,
}

/// A model that may write a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name at the vendor.
    pub model: String,
    /// Its price, if the table has it.
    pub rate: Option<Rate>,
}

/// Who shall write a text: at least one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The route's name in the table; `OPENAI_MODEL` when that decides.
    pub route: String,
    /// In the order in which they are asked: each when the one before is no longer there.
    pub choices: Vec<Choice>,
}

impl Plan {
    /// The model that is asked first.
    #[must_use]
    pub fn model(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.model)
    }
}

impl Rate {
    /// What so many tokens cost, in US dollars, to a billionth.
    #[must_use]
    pub fn of(&self, tokens: Tokens) -> Decimal {
        let exact = self.input * Decimal::from(tokens.input) + self.output * Decimal::from(tokens.output);
        (exact / Decimal::from(1_000_000)).round_dp_with_strategy(DIGITS, RoundingStrategy::AwayFromZero).normalize()
    }

    pub(super) fn nano_usd(&self, tokens: Tokens) -> u64 {
        (self.of(tokens) * Decimal::from(1_000_000_000)).to_u64().unwrap_or(u64::MAX)
    }

    pub(super) fn cost(&self, tokens: Tokens) -> Cost {
        Cost { amount: self.of(tokens).to_string(), currency: "USD".to_owned() }
    }
}

impl Routes {
    /// The table of the file, or the one compiled in. A file that cannot be used is told in the log.
    pub(super) fn open(path: Option<PathBuf>, only: Option<String>) -> Arc<Self> {
        let table = Arc::new(compiled_in());
        let routes = Self { path, only, state: Mutex::new(State { table, seen: None, read_at: None }) };
        routes.table();
        Arc::new(routes)
    }

    /// The table as it is now.
    pub(super) fn table(&self) -> Arc<Table> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path
            && state.read_at.is_none_or(|at| at.elapsed() >= READ_AGAIN_AFTER)
        {
            state.read_at = Some(Instant::now());
            let text = fs::read_to_string(path).map_err(|error| error.to_string());
            state.read(text, &path.display().to_string());
        }
        Arc::clone(&state.table)
    }

    /// Who shall write this text.
    ///
    /// # Errors
    /// Why nobody can, for a person: the budget is too small, or the price is not known.
    pub(super) fn plan(&self, request: &ContentRequest) -> Result<Plan, String> {
        let table = self.table();
        let Some(model) = &self.only else { return table.plan(request) };
        let choice = table.choice(model);
        if let Some(most) = request.most_cost() {
            let rate = choice.rate.ok_or_else(|| {
                format!("max_cost cannot be kept: the table of models has no price of OPENAI_MODEL={model}")
            })?;
            within(most, rate.of(prompt::expected(request)), model)?;
        }
        Ok(Plan { route: "OPENAI_MODEL".to_owned(), choices: vec![choice] })
    }
}

impl Routes {
    /// Who reads pages: the models of the shortest and cheapest texts.
    pub(super) fn readers(&self) -> Plan {
        let table = self.table();
        if let Some(model) = &self.only {
            return Plan { route: "OPENAI_MODEL".to_owned(), choices: vec![table.choice(model)] };
        }
        let fits = |route: &&Route| route.takes(Tier::Basic, Language::En, *LENGTHS.start());
        // Every text has a route.
        let route = table.routes.iter().find(fits).or(table.routes.first());
        let choices = route.iter().flat_map(|route| &route.models).map(|name| table.choice(name)).collect();
        Plan { route: route.map(|route| route.name.clone()).unwrap_or_default(), choices }
    }
}

/// The model that is asked first for texts of the usual length and tier, by the table as it is now.
pub(super) fn usual_model(path: Option<&Path>) -> String {
    let text = path.and_then(|path| fs::read_to_string(path).ok());
    let table = text.and_then(|text| Table::parse(&text).ok()).unwrap_or_else(compiled_in);
    let usual = |route: &&Route| route.takes(Tier::default(), Language::En, super::request::default_target_length());
    table.routes.iter().find(usual).and_then(|route| route.models.first().cloned()).unwrap_or_default()
}

impl State {
    fn read(&mut self, text: Result<String, String>, path: &str) {
        if self.seen.as_ref() == Some(&text) {
            return;
        }
        match text.as_deref().map_err(Clone::clone).and_then(Table::parse) {
            Ok(table) => {
                tracing::info!(path, models = table.models.len(), routes = table.routes.len(), "read CONTENT_ROUTES");
                self.table = Arc::new(table);
            }
            Err(reason) => {
                let reason = reason.trim();
                tracing::error!(path, reason, "CONTENT_ROUTES cannot be used; the last good table of models stays");
            }
        }
        self.seen = Some(text);
    }
}

fn compiled_in() -> Table {
    Table::parse(COMPILED_IN).unwrap_or_else(|reason| panic!("routes.toml: {reason}"))
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    fn parse(text: &str) -> Result<Self, String> {
        let table: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (index, model) in table.models.iter().enumerate() {
            let name = &model.name;
            if model.input.is_some() != model.output.is_some() {
                return Err(format!("model {name:?} has one price: give both input and output, or neither"));
            }
            if [model.input, model.output].into_iter().flatten().any(|price| price < Decimal::ZERO) {
                return Err(format!("model {name:?} has a price below 0"));
            }
            if table.models[..index].iter().any(|other| other.name == *name) {
                return Err(format!("model {name:?} is there twice"));
            }
        }
        if let Some(route) = table.routes.iter().find(|route| route.models.is_empty()) {
            return Err(format!("route {:?} has no models", route.name));
        }
        table.check_coverage()?;
        Ok(table)
    }

    /// Every request must find a route. Lengths that no condition tells apart need not be tried one by one.
    fn check_coverage(&self) -> Result<(), String> {
        let starts = self.routes.iter().filter_map(|route| route.min_length);
        let behind_ends = self.routes.iter().filter_map(|route| route.max_length?.checked_add(1));
        let lengths = starts.chain(behind_ends).chain([*LENGTHS.start()]);
        for length in lengths.filter(|length| LENGTHS.contains(length)) {
            for tier in [Tier::Basic, Tier::Standard, Tier::Premium] {
                for language in [Language::Fr, Language::En] {
                    if !self.routes.iter().any(|route| route.takes(tier, language, length)) {
                        return Err(format!(
                            "no route takes a text of tier {tier:?} in {language:?} with {length} words; end with a route without conditions"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// A model with its price.
    pub(super) fn choice(&self, name: &str) -> Choice {
        let model = self.models.iter().find(|model| model.name == name);
        let rate = model.and_then(|model| Some(Rate { input: model.input?, output: model.output? }));
        Choice { model: name.to_owned(), rate }
    }

    fn plan(&self, request: &ContentRequest) -> Result<Plan, String> {
        let fits = |route: &&Route| route.takes(request.tier, request.language, request.target_length);
        let route = self.routes.iter().find(fits).ok_or("no route takes this text")?;
        let choices: Vec<Choice> = route.models.iter().map(|name| self.choice(name)).collect();
        let plan = |choices| Plan { route: route.name.clone(), choices };
        let Some(most) = request.most_cost() else { return Ok(plan(choices)) };

        let expected = prompt::expected(request);
        let affordable = affordable(choices, expected, most);
        if !affordable.is_empty() {
            return Ok(plan(affordable));
        }
        let all = self.models.iter().map(|model| self.choice(&model.name)).collect::<Vec<_>>();
        let Some((cheapest, cost)) = cheapest(&all, expected) else {
            return Err("max_cost cannot be kept: the table of models has no prices".to_owned());
        };
        within(most, cost, &cheapest.model)?;
        Ok(plan(vec![cheapest.clone()]))
    }
}

impl Route {
    fn takes(&self, tier: Tier, language: Language, length: u16) -> bool {
        self.tiers.as_ref().is_none_or(|tiers| tiers.contains(&tier))
            && self.languages.as_ref().is_none_or(|languages| languages.contains(&language))
            && self.min_length.is_none_or(|least| length >= least)
            && self.max_length.is_none_or(|most| length <= most)
    }
}

/// Those that fit the budget, the cheapest first.
fn affordable(choices: Vec<Choice>, tokens: Tokens, most: Decimal) -> Vec<Choice> {
    let mut priced: Vec<(Decimal, Choice)> =
        choices.into_iter().filter_map(|choice| Some((choice.rate?.of(tokens), choice))).collect();
    priced.retain(|(cost, _)| *cost <= most);
    priced.sort_by_key(|(cost, _)| *cost);
    priced.into_iter().map(|(_, choice)| choice).collect()
}

fn cheapest(choices: &[Choice], tokens: Tokens) -> Option<(&Choice, Decimal)> {
    let priced = choices.iter().filter_map(|choice| Some((choice, choice.rate?.of(tokens))));
    priced.min_by_key(|(_, cost)| *cost)
}

fn within(most: Decimal, cost: Decimal, model: &str) -> Result<(), String> {
    if cost <= most {
        return Ok(());
    }
    Err(format!("max_cost of {most} USD is too small: the cheapest model, {model}, would cost about {cost} USD"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::content::request::tests::request;

    const CHEAP: &str = "
        [[models]]
        name = 'cheap'
        input = '0.1'
        output = '0.5'
        [[models]]
        name = 'dear'
        input = '2'
        output = '10'
        [[routes]]
        name = 'english-short'
        languages = ['en']
        max_length = 200
        models = ['dear', 'unpriced', 'cheap']
        [[routes]]
        name = 'rest'
        models = ['unpriced', 'dear']
    ";

    fn models(plan: &Plan) -> Vec<&str> {
        plan.choices.iter().map(|choice| choice.model.as_str()).collect()
    }

    #[test]
    fn tier_and_length_choose_among_todays_models() {
        let table = compiled_in();
        let model = |tier, target_length| {
            table.plan(&ContentRequest { tier, target_length, ..request() }).unwrap().model().to_owned()
        };
        assert_eq!(model(Tier::Basic, 1_500), "gpt-6-luna");
        assert_eq!(model(Tier::Standard, 600), "gpt-6-luna");
        assert_eq!(model(Tier::Standard, 601), "gpt-6.1-terra");
        assert_eq!(model(Tier::Premium, 300), "gpt-6.2-sol");
        assert_eq!(model(Tier::Premium, 1_500), "gpt-6.2-astra");
        assert!(table.routes.iter().flat_map(|route| &route.models).all(|name| table.choice(name).rate.is_some()));
    }

    #[test]
    fn conditions_are_tried_in_order() {
        let table = Table::parse(CHEAP).unwrap();
        let plan =
            |language, target_length| table.plan(&ContentRequest { language, target_length, ..request() }).unwrap();
        let short = plan(Language::En, 200);
        assert_eq!((short.route.as_str(), models(&short)), ("english-short", vec!["dear", "unpriced", "cheap"]));
        assert_eq!(short.choices[1].rate, None);
        assert_eq!(plan(Language::En, 201).route, "rest");
        assert_eq!(plan(Language::Fr, 200).route, "rest");
    }

    #[test]
    fn a_budget_takes_the_cheapest_that_fits_then_the_cheapest_of_all_then_nobody() {
        let table = Table::parse(CHEAP).unwrap();
        let plan = |language, max_cost: &str| {
            table.plan(&ContentRequest {
                language,
                target_length: 200,
                max_cost: Some(max_cost.to_owned()),
                ..request()
            })
        };
        assert_eq!(models(&plan(Language::En, "1").unwrap()), ["cheap", "dear"]);
        assert_eq!(models(&plan(Language::En, "0.002").unwrap()), ["cheap"]);
        assert_eq!(models(&plan(Language::Fr, "1").unwrap()), ["dear"], "no price, no budget");
        assert_eq!(models(&plan(Language::Fr, "0.002").unwrap()), ["cheap"], "not of the route, but it fits");
        let refusal = plan(Language::Fr, "0.0001").unwrap_err();
        assert!(
            refusal
                .starts_with("max_cost of 0.0001 USD is too small: the cheapest model, cheap, would cost about 0.00"),
            "{refusal}"
        );
        let unpriced = Table::parse("[[routes]]\nname = 'a'\nmodels = ['b']").unwrap();
        let refusal = unpriced.plan(&ContentRequest { max_cost: Some("1".to_owned()), ..request() }).unwrap_err();
        assert!(refusal.contains("no prices"), "{refusal}");
    }

    #[test]
    fn a_model_that_is_set_wins_over_the_table_but_keeps_the_budget() {
        let plan = |model: &str, max_cost: Option<&str>| {
            let routes = Routes::open(None, Some(model.to_owned()));
            routes.plan(&ContentRequest { tier: Tier::Premium, max_cost: max_cost.map(str::to_owned), ..request() })
        };
        let luna = plan("gpt-6-luna", None).unwrap();
        assert_eq!((luna.route.as_str(), models(&luna)), ("OPENAI_MODEL", vec!["gpt-6-luna"]));
        assert_eq!(plan("mine", None).unwrap().choices[0].rate, None);
        assert!(plan("mine", Some("1")).unwrap_err().contains("no price of OPENAI_MODEL=mine"));
        assert!(plan("gpt-6-luna", Some("0.5")).is_ok());
        assert!(plan("gpt-6-luna", Some("0.0000001")).unwrap_err().contains("too small"));
    }

    #[test]
    fn cost_is_exact_and_a_plain_decimal() {
        let rate = compiled_in().choice("gpt-6-luna").rate.unwrap();
        assert_eq!(rate.cost(Tokens { input: 400, output: 600, total: 1000 }).amount, "0.00034");
        assert_eq!(rate.cost(Tokens { input: 1, output: 0, total: 1 }).amount, "0.0000001");
        assert_eq!(rate.cost(Tokens::default()).amount, "0");
        assert_eq!(rate.of(Tokens { input: 1_000_000, output: 2_000_000, total: 0 }).to_string(), "1.1");
    }

    #[test]
    fn a_table_with_a_mistake_says_which() {
        let faults = [
            ("", "missing field `routes`"),
            ("[[routes]]\nname = 'a'\nmodels = []", "no models"),
            ("[[routes]]\nname = 'a'\nmodel = ['b']", "unknown field `model`"),
            ("[[routes]]\nname = 'a'\ntiers = ['gold']\nmodels = ['b']", "unknown variant `gold`"),
            ("[[routes]]\nname = 'a'\nmax_length = 300\nmodels = ['b']", "with 301 words"),
            ("[[routes]]\nname = 'a'\nmin_length = 300\nmodels = ['b']", "with 50 words"),
            ("[[routes]]\nname = 'a'\nlanguages = ['fr']\nmodels = ['b']", "in En"),
            ("[[models]]\nname = 'a'\ninput = '1'\n[[routes]]\nname = 'a'\nmodels = ['a']", "has one price"),
            ("[[models]]\nname = 'a'\n[[models]]\nname = 'a'\n[[routes]]\nname = 'a'\nmodels = ['a']", "twice"),
        ];
        for (text, expected) in faults {
            let reason = Table::parse(text).unwrap_err();
            assert!(reason.contains(expected), "{text:?}: {reason}");
        }
    }

    #[test]
    fn a_changed_file_is_read_and_a_broken_one_changes_nothing() {
        let mut state = State { table: Arc::new(compiled_in()), seen: None, read_at: None };
        let model = |state: &State| state.table.plan(&request()).unwrap().model().to_owned();
        state.read(Ok(CHEAP.to_owned()), "routes.toml");
        assert_eq!(model(&state), "unpriced");
        for broken in [Ok("[[routes".to_owned()), Err("no such file".to_owned())] {
            state.read(broken.clone(), "routes.toml");
            assert_eq!((model(&state).as_str(), state.seen.clone()), ("unpriced", Some(broken)));
        }
    }

    #[test]
    fn a_file_takes_the_place_of_the_table() {
        let path = std::env::temp_dir().join(format!("routes-{}.toml", std::process::id()));
        fs::File::create(&path).unwrap().write_all(CHEAP.as_bytes()).unwrap();
        let routes = Routes::open(Some(path.clone()), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(routes.plan(&request()).unwrap().route, "rest");
        let missing = Routes::open(Some(path), None);
        assert_eq!(missing.plan(&request()).unwrap().route, "standard", "the one compiled in stays");
        assert_eq!(usual_model(missing.path.as_deref()), "gpt-6-luna");
    }
}
