//! What README.md says of tests and variables is there.

use std::{collections::BTreeSet, fs, path::Path};

use providers::services::SERVICES;
use tests::workspace;

fn read(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).unwrap()
}

/// The cells of the tables below the heading `## <title>` of README.md, without the lines that make the tables' heads.
fn rows(title: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let heading = format!("## {title}");
    let section =
        readme.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let rows = section.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect();
    assert!(rows.len() > 10, "{heading:?} has {} rows", rows.len());
    rows
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
    for row in rows("What is promised").iter().filter(|row| row.len() > 1 && row[0] != "promise") {
        let (promise, tests) = (&row[0], quoted(&row[1]));
        assert!(!tests.is_empty(), "no test for: {promise}");
        for test in tests {
            assert!(functions.contains(&test), "there is no test {test:?}, which shall show: {promise}");
        }
    }
}

#[test]
fn readme_and_env_example_name_the_same_variables() {
    let in_readme: BTreeSet<String> = rows("Variables").iter().flat_map(|row| quoted(&row[0])).collect();
    let example = read(".env.example");
    let lines = example.lines().map(|line| line.trim_start_matches("# "));
    let names = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let is_variable = |name: &&str| name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let in_example: BTreeSet<String> = names.filter(is_variable).map(str::to_owned).collect();
    assert_eq!(in_readme, in_example);
}

#[test]
fn a_default_in_the_readme_is_the_one_in_env_example() {
    let example = read(".env.example");
    let value = |name: &str| example.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    for row in rows("Variables") {
        for name in quoted(&row[0]) {
            let default = quoted(&row[1]);
            if let ([default], Some(value)) = (default.as_slice(), value(&name)) {
                assert_eq!(value, default, "{name}");
            }
        }
    }
}

#[test]
fn the_table_of_services_is_the_catalogue() {
    let rows = rows("Services");
    for service in &SERVICES {
        let row = rows.iter().find(|row| quoted(&row[0]) == [service.name]).expect(service.name);
        let [_, risk, switch, needs, besides, lost] = &row[..] else { panic!("{row:?}") };
        assert_eq!((risk.as_str(), lost.as_str()), (service.risk.name(), service.lost), "{}", service.name);
        assert_eq!(quoted(switch), service.switch.map(str::to_owned).into_iter().collect::<Vec<_>>());
        let named: BTreeSet<String> = [needs, besides].iter().flat_map(|cell| quoted(cell)).collect();
        let variables = service.all_variables().flat_map(|variable| [Some(variable.name), variable.also]).flatten();
        assert_eq!(named, variables.map(str::to_owned).collect(), "{}", service.name);
    }
    assert_eq!(rows.len(), SERVICES.len() + 1, "one row a service");
}
