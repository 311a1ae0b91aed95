//! Which crate may know which: the arrows of ARCHITECTURE.md, checked against the manifests.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Our crates, and whom of ours each may depend on. Those that start servers for their tests may besides have [`FOR_TESTS`].
const ARROWS: [(&str, &[&str]); 18] = [
    ("api", &[]),
    ("pictures", &[]),
    ("prices", &[]),
    ("process", &[]),
    ("fleet", &[]),
    ("queue", &["fleet"]),
    ("services", &[]),
    ("providers", &["fleet", "prices", "services"]),
    ("store", &[]),
    ("jobs", &["api", "pictures", "prices", "queue", "providers", "services", "store", "zones"]),
    ("schedules", &["api", "queue", "jobs", "store", "zones"]),
    (
        "producer",
        &[
            "api",
            "pictures",
            "prices",
            "process",
            "fleet",
            "queue",
            "providers",
            "services",
            "store",
            "jobs",
            "schedules",
        ],
    ),
    ("worker", &["process", "fleet", "queue", "providers", "services", "store", "jobs", "schedules"]),
    ("ctl", &["api", "fleet", "producer", "providers", "schedules", "services", "queue", "worker"]),
    ("bench", &["fleet", "queue", "jobs", "prices", "process", "producer", "worker"]),
    ("servers", &[]),
    ("zones", &[]),
    (
        "tests",
        &[
            "fleet",
            "queue",
            "providers",
            "services",
            "store",
            "jobs",
            "schedules",
            "producer",
            "worker",
            "ctl",
            "servers",
        ],
    ),
];
const STARTS_SERVERS: [&str; 8] = ["fleet", "jobs", "producer", "providers", "queue", "schedules", "store", "tests"];
/// What they may have for their tests.
const FOR_TESTS: [&str; 2] = ["servers", "fleet"];

/// Libraries that only some of ours may speak to.
const GUARDED: [(&str, &[&str]); 5] = [
    ("reqwest", &["providers", "ctl", "bench", "tests"]),
    ("redis", &["fleet", "queue", "bench", "tests"]),
    ("mongodb", &["store", "bench", "tests", "servers"]),
    ("jiff", &["zones"]),
    // Its tables are as old as its last release, and nobody can replace them.
    ("chrono-tz", &[]),
];

/// Each of our crates with its dependencies, and whether one is for tests only.
fn crates() -> BTreeMap<String, Vec<(String, bool)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let command = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(command).current_dir(tests::workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.map(|dependency| (text(&dependency["name"]), dependency["kind"] == "dev")).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (text(&package["name"]), dependencies(package))).collect()
}

#[test]
fn our_crates_depend_on_each_other_only_along_the_arrows() {
    let crates = crates();
    assert!(crates.len() > 5, "{crates:?}");
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for (name, dependencies) in &crates {
        let allowed = arrows.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place among the arrows"));
        // A crate may depend on itself, to build its own tests with a feature.
        let ours = dependencies.iter().filter(|(dependency, _)| dependency != name && crates.contains_key(dependency));
        for (dependency, for_tests) in ours {
            let starts_servers =
                *for_tests && FOR_TESTS.contains(&dependency.as_str()) && STARTS_SERVERS.contains(&name.as_str());
            assert!(allowed.contains(&dependency.as_str()) || starts_servers, "{name} must not know {dependency}");
        }
    }
}

#[test]
fn only_those_that_may_speak_to_a_server_have_its_library() {
    for (name, dependencies) in crates() {
        for (library, owners) in GUARDED {
            let has_it = dependencies.iter().any(|(dependency, _)| dependency == library);
            assert!(!has_it || owners.contains(&name.as_str()), "{name} must not speak to {library} itself");
        }
    }
}

/// The features of each package, as `cargo tree` resolves them for the workspace with these kinds of dependencies.
fn features(kinds: &str) -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let command = ["tree", "--workspace", "--offline", "--prefix", "none", "--no-dedupe", "-f", "{p}|{f}", "-e", kinds];
    let output = Command::new(cargo).args(command).current_dir(tests::workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let pairs = lines.lines().filter_map(|line| line.split_once('|'));
    pairs.map(|(package, features)| (package.to_owned(), features.trim_end_matches(" (*)").to_owned())).collect()
}

#[test]
fn a_build_of_the_workspace_and_its_tests_compile_each_dependency_once() {
    let (of_tests, of_programs) = (features("normal,build,dev"), features("normal,build"));
    assert!(of_programs.len() > 300, "{}", of_programs.len());
    let differ = of_programs.iter().filter(|(package, features)| of_tests.get(*package) != Some(*features));
    let differ: Vec<_> = differ.map(|(package, features)| (package, features, of_tests.get(package))).collect();
    assert!(differ.is_empty(), "tests/Cargo.toml must name the features that only tests have: {differ:?}");
}
