//! What ARCHITECTURE.md says of keys, scripts and files is there, and nothing is missing.

use std::{collections::BTreeSet, fs, path::Path};

use tests::workspace;

fn read(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The first cells of the rows of a Markdown table that begins with this head.
fn first_cells(text: &str, head: &str) -> Vec<String> {
    let rows =
        text.lines().skip_while(|line| !line.starts_with(head)).skip(2).take_while(|line| line.starts_with("| "));
    let cells: Vec<String> = rows.map(|row| row[2..].split(" | ").next().unwrap().to_owned()).collect();
    assert!(cells.len() > 5, "the table {head:?} has {} rows", cells.len());
    cells
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The suffixes that a table of keys names, without what varies in them.
fn suffixes(text: &str) -> BTreeSet<String> {
    let cells = first_cells(text, "| suffix |");
    cells.iter().flat_map(|cell| quoted(cell)).map(|suffix| suffix.split(':').next().unwrap().to_owned()).collect()
}

/// The words behind each `mark` in a text.
fn words_behind<'a>(text: &'a str, mark: &str) -> impl Iterator<Item = &'a str> {
    let rests = text.split(mark).skip(1);
    rests.map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next().unwrap()).filter(|word| !word.is_empty())
}

/// The names of the files in a folder that end like this, without the end.
fn stems(folder: &str, end: &str) -> BTreeSet<String> {
    let folder: &Path = &workspace().join(folder);
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
}

#[test]
fn every_key_of_the_queue_is_explained() {
    let mut used = BTreeSet::new();
    for script in stems("queue/src/scripts", ".lua") {
        let text = read(&format!("queue/src/scripts/{script}.lua"));
        used.extend(words_behind(&text, "':").map(str::to_owned));
    }
    for file in stems("queue/src", ".rs") {
        let text = read(&format!("queue/src/{file}.rs"));
        for mark in [".key(\"", ".key(&format!(\""] {
            used.extend(words_behind(&text, mark).map(str::to_owned));
        }
    }
    assert!(used.len() > 15 && used.contains("events") && used.contains("unrecorded"), "{used:?}");
    assert_eq!(suffixes(&read("ARCHITECTURE.md")), used, "the table of ARCHITECTURE.md");
    assert_eq!(suffixes(&read("queue/src/keys.rs").replace("//! ", "")), used, "the table of keys.rs");
}

#[test]
fn every_script_and_every_file_of_the_queue_is_named() {
    let architecture = read("ARCHITECTURE.md");
    let cells = first_cells(&architecture, "| script |");
    let named: BTreeSet<String> = cells.iter().flat_map(|cell| quoted(cell)).map(str::to_owned).collect();
    let mut scripts = stems("queue/src/scripts", ".lua");
    assert!(scripts.remove("common"), "the functions that scripts share");
    assert_eq!(named, scripts, "the table of scripts");

    let cells = first_cells(&architecture, "| files |");
    let named: BTreeSet<String> =
        cells.iter().flat_map(|cell| quoted(cell)).map(|name| name.replace(".rs", "")).collect();
    let mut files = stems("queue/src", ".rs");
    assert!(files.remove("lib"));
    assert_eq!(named, files, "the table of files");
}

#[test]
fn every_key_and_every_script_of_the_fleet_is_named() {
    let architecture = read("ARCHITECTURE.md");
    let scripts = stems("fleet/src/scripts", ".lua");
    let mut keys: BTreeSet<String> = words_behind(&read("fleet/src/keys.rs"), "}}:").map(str::to_owned).collect();
    for script in &scripts {
        let text = read(&format!("fleet/src/scripts/{script}.lua"));
        keys.extend(words_behind(&text, "base .. ':").chain(words_behind(&text, "KEYS[1] .. ':")).map(str::to_owned));
    }
    assert!(scripts.len() > 5 && keys.len() > 6, "{scripts:?} {keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !architecture.contains(&format!("}}:{key}"))).collect();
    assert_eq!(missing, [""; 0], "keys");
    let missing: Vec<_> = scripts.iter().filter(|script| !architecture.contains(&format!("`{script}`"))).collect();
    assert_eq!(missing, [""; 0], "scripts");
}

/// MongoDB has tables of time zones of its own, which are as old as its release.
#[test]
fn no_query_reckons_with_dates_in_a_time_zone() {
    let files = stems("store/src", ".rs");
    assert!(files.len() > 5, "{files:?}");
    let of_zones = ["timezone", "$dateToString", "$dateFromString", "$dateToParts", "$dateFromParts", "$dateTrunc"];
    let also = ["$dateAdd", "$dateSubtract", "$dateDiff", "$hour", "$week", "$isoWeek", "$dayOf", "$month", "$year"];
    for file in files {
        let text = read(&format!("store/src/{file}.rs"));
        let found: Vec<&str> = of_zones.into_iter().chain(also).filter(|name| text.contains(name)).collect();
        assert_eq!(found, [""; 0], "store/src/{file}.rs: reckon with the crate zones, and ask for instants");
    }
}

#[test]
fn every_path_in_the_documents_is_there() {
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = read(document);
        let paths = quoted(&text).filter(|name| name.contains('/') && name.ends_with(".rs") && !name.contains(' '));
        let missing: Vec<&str> = paths.filter(|path| !workspace().join(path).exists()).collect();
        // The example of the README is a file to be made.
        let missing: Vec<&str> = missing.into_iter().filter(|path| *path != "jobs/src/stock_alert.rs").collect();
        assert_eq!(missing, [""; 0], "{document}");
    }
}
