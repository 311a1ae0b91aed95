//! Our own database.

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::must,
    variable::{Environment, Need, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "results, and the history of jobs",
    risk: Risk::P0,
    lost: "results cannot be stored",
    switch: None,
    built: true,
    requests_per_min: None,
    tokens_per_min: None,
    variables: &[
        Variable::required("MONGO_URL", "MongoDB", mongo_url)
            .secret()
            .needed(Need::InProduction)
            .default("mongodb://127.0.0.1:27017")
            .example("mongodb://shop:hushhush@db1.example,db2.example/?replicaSet=rs0"),
        Variable::optional("DB_NAME", "the database in it", database_name).default("ecomsimply"),
    ],
    accounts: Accounts::None,
};

fn mongo_url(value: &str, _: &Environment<'_>) -> Option<String> {
    let rest = ["mongodb://", "mongodb+srv://"].iter().find_map(|scheme| value.strip_prefix(scheme));
    must(rest.is_some_and(|rest| !rest.is_empty()), "must be a mongodb:// or mongodb+srv:// URL")
}

fn database_name(value: &str, _: &Environment<'_>) -> Option<String> {
    let bad = |character: char| character.is_whitespace() || "/\\.\"$*<>:|?".contains(character);
    must(value.len() <= 63 && !value.contains(bad), "must have at most 63 bytes, without blanks and /\\.\"$*<>:|?")
}
