//! What ARCHITECTURE.md and docs/internals/ say of keys, scripts and files is there, and nothing is missing.

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

/// What the items of a list tell of: what stands between backticks before the colon.
fn told(text: &str) -> Vec<&str> {
    let items: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("- `"))
        .filter_map(|line| Some(&line[..=line.find("`: ")?]))
        .collect();
    assert!(items.len() > 5, "the list has {} items", items.len());
    items.into_iter().flat_map(quoted).collect()
}

/// Suffixes of keys, without what varies in them.
fn suffixes<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(|suffix| suffix.split(':').next().unwrap().to_owned()).collect()
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
    for folder in ["", "/model", "/scripts", "/client", "/replica"] {
        for file in stems(&format!("queue/src{folder}"), ".rs") {
            let text = read(&format!("queue/src{folder}/{file}.rs"));
            for mark in [".key(\"", ".key(&format!(\""] {
                used.extend(words_behind(&text, mark).map(str::to_owned));
            }
        }
    }
    assert!(used.len() > 15 && used.contains("events") && used.contains("unrecorded"), "{used:?}");
    let page = read("docs/internals/keys.md");
    let of_partitions = page.split("Keys of no partition").next().unwrap();
    assert_eq!(suffixes(told(of_partitions)), used, "docs/internals/keys.md");
    let cells = first_cells(&read("queue/src/keys.rs").replace("//! ", ""), "| suffix |");
    assert_eq!(suffixes(cells.iter().flat_map(|cell| quoted(cell))), used, "the table of keys.rs");
}

#[test]
fn every_script_and_every_file_of_the_queue_is_named() {
    let page = read("docs/internals/scripts.md");
    let named: BTreeSet<String> = told(&page).into_iter().map(str::to_owned).collect();
    let mut scripts = stems("queue/src/scripts", ".lua");
    assert!(scripts.remove("common"), "the functions that scripts share");
    assert_eq!(named, scripts, "docs/internals/scripts.md");
    let mut beside = stems("queue/src/scripts", ".rs");
    assert!(beside.remove("mod") && beside.remove("push"), "the push is no script");
    assert_eq!(beside, scripts, "one file beside each script");

    let page = read("docs/internals/code.md");
    let of_the_queue = page.split("## ").find(|section| section.starts_with("`queue/src`")).unwrap();
    let folders: Vec<_> = of_the_queue.split("\n`").filter_map(|section| section.split_once("/`: ")).collect();
    assert_eq!(folders.len(), 3, "model, client and replica");
    for (folder, section) in folders {
        let named: BTreeSet<String> = told(section).into_iter().map(|name| name.replace(".rs", "")).collect();
        let mut files = stems(&format!("queue/src/{folder}"), ".rs");
        files.remove("mod");
        assert_eq!(named, files, "docs/internals/code.md, {folder}");
    }
}

#[test]
fn every_key_and_every_script_of_the_fleet_is_named() {
    let (keys_page, scripts_page) = (read("docs/internals/keys.md"), read("docs/internals/scripts.md"));
    let scripts = stems("fleet/src/scripts", ".lua");
    let mut keys: BTreeSet<String> = words_behind(&read("fleet/src/keys.rs"), "}}:").map(str::to_owned).collect();
    for script in &scripts {
        let text = read(&format!("fleet/src/scripts/{script}.lua"));
        keys.extend(words_behind(&text, "base .. ':").chain(words_behind(&text, "KEYS[1] .. ':")).map(str::to_owned));
    }
    assert!(scripts.len() > 5 && keys.len() > 6, "{scripts:?} {keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !keys_page.contains(&format!("}}:{key}"))).collect();
    assert_eq!(missing, [""; 0], "keys");
    let missing: Vec<_> = scripts.iter().filter(|script| !scripts_page.contains(&format!("`{script}`"))).collect();
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
