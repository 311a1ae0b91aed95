//! What the documents say of tests, variables, services and files is there, and they stay short and lead to each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use clap::CommandFactory;
use services::{GENERAL, SERVICES};
use tests::workspace;

fn read(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).unwrap()
}

/// The items of the lists of a document, each in one line, with the last heading before it.
fn items(document: &str) -> Vec<(String, String)> {
    let mut items: Vec<(String, String)> = Vec::new();
    let (mut heading, mut goes_on) = (String::new(), false);
    for line in read(document).lines() {
        if let Some(item) = line.strip_prefix("- ") {
            items.push((heading.clone(), item.to_owned()));
            goes_on = true;
        } else if let (true, Some(rest), Some((_, item))) = (goes_on, line.strip_prefix("  "), items.last_mut()) {
            *item = format!("{item} {rest}");
        } else {
            goes_on = false;
            heading = line.strip_prefix('#').map_or(heading, |rest| rest.trim_matches(['#', ' ']).to_owned());
        }
    }
    assert!(items.len() > 10, "{document} has {} items", items.len());
    items
}

/// Every document, by its path in the workspace.
fn documents() -> Vec<String> {
    let mut found = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for folder in ["docs", "docs/internals"] {
        let entries = fs::read_dir(workspace().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        found.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The name of the function that a line declares.
fn declared(line: &str) -> Option<String> {
    let words = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
    let name = words.strip_prefix("fn ")?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some(name.to_owned())
}

fn add_functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            add_functions(&path, names);
        } else if name.ends_with(".rs") {
            names.extend(fs::read_to_string(&path).unwrap().lines().filter_map(declared));
        }
    }
}

#[test]
fn every_promise_has_the_test_it_names() {
    let mut functions = BTreeSet::new();
    add_functions(workspace(), &mut functions);
    let promises = items("docs/promises.md").into_iter().filter(|(heading, _)| heading != "What is not promised");
    for (_, item) in promises {
        let (promise, tests) = item.split_once(" Tests: ").unwrap_or_else(|| panic!("no test for: {item}"));
        let tests = quoted(tests);
        assert!(!tests.is_empty(), "no test for: {promise}");
        for test in tests {
            assert!(functions.contains(&test), "there is no test {test:?}, which shall show: {promise}");
        }
    }
}

/// A variable with a flag is told with the flag's default.
#[test]
fn flags_and_the_catalogue_have_the_same_variables_and_defaults() {
    let variables = SERVICES.iter().flat_map(|service| service.entry().all_variables());
    let told: BTreeMap<_, _> =
        GENERAL.iter().flat_map(|group| group.variables).chain(variables).map(|v| (v.name, v.default)).collect();
    let mut n_compared = 0;
    for command in [producer::Config::command(), worker::Config::command()] {
        for argument in command.get_arguments() {
            let Some(name) = argument.get_env().and_then(|name| name.to_str()) else { continue };
            let default = argument.get_default_values().first().and_then(|default| default.to_str());
            let told = told.get(name).unwrap_or_else(|| panic!("{name} is not in services/src/general.rs"));
            assert_eq!(*told, default.filter(|default| !default.is_empty()), "{name}");
            n_compared += 1;
        }
    }
    assert!(n_compared > 10, "{n_compared}");
}

#[test]
fn every_path_in_the_documents_is_there() {
    for document in documents() {
        let text = read(&document);
        let paths = text.split('`').skip(1).step_by(2);
        let paths = paths.filter(|name| name.contains('/') && name.ends_with(".rs") && !name.contains(' '));
        // The example of the README is a file to be made.
        let paths = paths.filter(|path| *path != "jobs/src/kinds/stock_alert.rs");
        let missing: Vec<&str> = paths.filter(|path| !workspace().join(path).exists()).collect();
        assert_eq!(missing, [""; 0], "{document}");
    }
}

/// A line fits on a screen, except what cannot be broken.
#[test]
fn documents_are_short_and_their_links_lead_somewhere() {
    let most_lines = |document: &str| match document {
        "README.md" => 200,
        "ARCHITECTURE.md" => 180,
        // A list, in which one looks for a name.
        "docs/promises.md" => 400,
        _ => 300,
    };
    for document in documents() {
        let text = read(&document);
        let n_lines = text.lines().count();
        assert!(n_lines <= most_lines(&document), "{document} has {n_lines} lines");
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 160).collect();
        assert_eq!(long, [""; 0], "{document}: longer than 160 characters");
        let folder = workspace().join(&document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let target = if path.is_empty() { workspace().join(&document) } else { folder.join(path) };
            assert!(target.exists(), "{document}: {link}");
            let slug = |line: &str| line.trim_matches(['#', ' ']).to_lowercase().replace(' ', "-");
            let has = |target: &Path| fs::read_to_string(target).unwrap().lines().any(|line| slug(line) == anchor);
            assert!(anchor.is_empty() || has(&target), "{document}: {link}");
        }
    }
}
