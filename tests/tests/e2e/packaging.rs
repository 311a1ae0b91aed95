//! The files that package the system name only what exists: docker-compose.yml, Dockerfile, .dockerignore, .env.example.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tests::workspace;

/// The variables whose names were given from outside, and ours that the contract names besides.
const GIVEN: &str = "MOCK_MODE HTTP_ADDR REDIS_URL MONGO_URL DB_NAME JWT_SECRET ENCRYPTION_KEY OPENAI_API_KEY FAL_KEY STRIPE_API_KEY \
    STRIPE_WEBHOOK_SECRET STRIPE_PRICE_ID_PRO STRIPE_PRICE_ID_PREMIUM STRIPE_PUBLISHABLE_KEY REACT_APP_STRIPE_PUBLISHABLE_KEY \
    SHOPIFY_STORE_URL SHOPIFY_ACCESS_TOKEN WOO_STORE_URL WOO_CONSUMER_KEY WOO_CONSUMER_SECRET PRESTA_STORE_URL PRESTA_API_KEY \
    SMTP_SERVER SMTP_PORT SMTP_USERNAME SMTP_PASSWORD SMTP_USE_SSL SENDER_EMAIL PROXY_PROVIDER SCRAPERAPI_KEY BRIGHT_DATA_KEY \
    BACKUP_S3_BUCKET AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MONITORING_ENDPOINT SENTRY_DSN DATADOG_API_KEY OPENAI_BASE_URL \
    FAL_BASE_URL STRIPE_BASE_URL SCRAPERAPI_BASE_URL BRIGHT_DATA_BASE_URL AWS_ENDPOINT_URL BRIGHT_DATA_ZONE AWS_REGION DD_SITE \
    PUBLIC_URL ADMIN_ADDR APP_ENV SCRAPE_ALLOW_HOSTS SMTP_ALLOW_PLAIN MOCK_MODE_AI MOCK_MODE_IMAGES MOCK_MODE_PAYMENTS \
    MOCK_MODE_PUBLICATION MOCK_MODE_EMAIL MOCK_MODE_SCRAPING MOCK_MODE_BACKUP MOCK_MODE_MONITORING";
/// Ports inside the containers of others: Redis, MongoDB, and the mail catcher's two.
const PORTS_OF_OTHERS: [u16; 4] = [6379, 27017, 1025, 8025];

fn read(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file without its comments. `#` inside a line does not occur in the files that this reads, except after a space.
fn without_comments(name: &str) -> String {
    let lines = read(name);
    let kept = lines.lines().map(|line| line.split_once(" #").map_or(line, |(before, _)| before));
    kept.filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The sources of the programs.
fn sources() -> String {
    let mut files = Vec::new();
    for folder in
        ["ctl", "fleet", "jobs", "process", "producer", "providers", "queue", "services", "store", "worker", "zones"]
    {
        rust_files(&workspace().join(folder).join("src"), &mut files);
    }
    // It only tells of what others read.
    files.retain(|file| !file.ends_with("services/src/general.rs"));
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn is_variable(name: &str) -> bool {
    name.len() > 2
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Every string literal of the sources that looks like a variable's name.
fn names_in_sources() -> BTreeSet<String> {
    let sources = sources();
    let mut names: BTreeSet<String> = sources.split('"').filter(|name| is_variable(name)).map(str::to_owned).collect();
    if sources.contains("EnvFilter::try_from_default_env") {
        names.insert("RUST_LOG".to_owned());
    }
    names
}

/// The variables of .env.example, and whether each is marked as not used yet: in the heading of its section, or in the comment
/// right above it.
fn example() -> BTreeMap<String, bool> {
    let mut variables = BTreeMap::new();
    let (mut section, mut comment, mut in_comment) = (false, false, false);
    for line in read(".env.example").lines() {
        // One that is commented out is there too.
        let commented_out =
            line.strip_prefix("# ").filter(|rest| is_variable(rest.split('=').next().unwrap_or_default()));
        let line = commented_out.filter(|rest| rest.contains('=')).unwrap_or(line);
        let marks = line.to_lowercase().contains("not used yet");
        if line.starts_with("# ----") {
            (section, comment, in_comment) = (marks, false, false);
        } else if line.starts_with('#') {
            comment = marks || (in_comment && comment);
            in_comment = true;
        } else if let Some((name, _)) = line.split_once('=') {
            in_comment = false;
            assert!(is_variable(name), "{line}");
            assert_eq!(variables.insert(name.to_owned(), section || comment), None, "{name} is there twice");
        } else {
            assert_eq!(line, "");
            (comment, in_comment) = (false, false);
        }
    }
    variables
}

/// The names in `${NAME}`, `${NAME:-default}` and the like.
fn interpolated(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("${").skip(1);
    after.map(|rest| rest.split(|end: char| !end.is_ascii_alphanumeric() && end != '_').next().unwrap())
}

/// What a default of the command line's flags says, as in `env = "HTTP_ADDR", default_value = "127.0.0.1:8080"`.
fn default_port(variable: &str) -> u16 {
    let sources = sources();
    let attribute = sources.split("#[arg(").find(|text| text.contains(&format!("env = \"{variable}\""))).unwrap();
    let default = attribute.split("default_value = \"").nth(1).unwrap().split('"').next().unwrap();
    port(default)
}

/// The last number after a colon.
fn port(address: &str) -> u16 {
    let digits = address.rsplit(':').next().unwrap().trim_end_matches(|end: char| !end.is_ascii_digit());
    digits.split(|end: char| !end.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// The words of each Dockerfile instruction of this name; a continued line is one.
fn instructions(name: &str) -> Vec<Vec<String>> {
    let text = without_comments("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_variable_of_the_example_is_read_by_the_code_or_marked_as_not_used_yet() {
    let names = names_in_sources();
    for (name, not_used) in example() {
        let read = names.contains(&name);
        assert!(read || not_used, "no code reads {name}: mark it as not used yet in .env.example");
        assert!(!(read && not_used), "{name} is read by the code: take the mark off in .env.example");
    }
}

#[test]
fn every_variable_that_the_code_reads_or_the_contract_names_is_in_the_example() {
    let example = example();
    let sources = sources();
    let flags = sources.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let service = read("services/src/config.rs");
    let services = service.split('"').filter(|name| is_variable(name));
    for name in flags.chain(services).chain(GIVEN.split_whitespace()) {
        assert!(example.contains_key(name), "{name} is not in .env.example");
    }
}

#[test]
fn every_variable_in_compose_and_dockerfile_is_one_of_ours() {
    let example = example();
    let compose = without_comments("docker-compose.yml");
    let environment = compose.split("  environment:\n").nth(1).unwrap();
    let environment = environment.lines().take_while(|line| line.starts_with("    "));
    let set = environment.map(|line| line.trim().split(':').next().unwrap());
    let in_image: Vec<Vec<String>> = instructions("ENV");
    let in_image = in_image.iter().flatten().map(|pair| pair.split('=').next().unwrap());
    let names: BTreeSet<&str> = set.chain(interpolated(&compose)).chain(in_image).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert_eq!(example.get(name), Some(&false), "{name} is no variable that the code reads");
    }
}

#[test]
fn the_ports_of_compose_and_dockerfile_are_those_that_the_code_listens_on() {
    let ours = ["HTTP_ADDR", "ADMIN_ADDR"].map(default_port);
    for exposed in instructions("EXPOSE").iter().flatten() {
        assert!(ours.contains(&exposed.parse().unwrap()), "EXPOSE {exposed}");
    }
    for pair in instructions("ENV").iter().flatten().filter(|pair| pair.contains("_ADDR=")) {
        let (name, address) = pair.split_once('=').unwrap();
        assert_eq!(port(address), default_port(name), "{pair}");
    }
    let compose = without_comments("docker-compose.yml");
    for name in ["HTTP_ADDR", "ADMIN_ADDR"] {
        let line = compose.lines().find(|line| line.trim().starts_with(&format!("{name}:"))).unwrap();
        assert_eq!(port(line), default_port(name), "{line}");
    }
    let published = compose.lines().filter_map(|line| line.trim().strip_prefix("- \"127.0.0.1:"));
    for line in published {
        let inside = port(line);
        assert!(ours.contains(&inside) || PORTS_OF_OTHERS.contains(&inside), "{line}");
    }
    for (name, default) in [("REDIS_URL", 6379), ("MONGO_URL", 27017)] {
        let line = compose.lines().find(|line| line.trim().starts_with(&format!("{name}: "))).unwrap();
        assert_eq!((port(line.split("/?").next().unwrap()), default_port(name)), (default, default), "{line}");
    }
}

#[test]
fn the_paths_of_the_dockerfile_exist_and_no_member_is_forgotten() {
    let mut copied = BTreeSet::new();
    for words in instructions("COPY") {
        let from_stage = words.iter().any(|word| word.starts_with("--from="));
        let (target, sources) = words.split_last().unwrap();
        for source in sources.iter().filter(|word| !from_stage && !word.starts_with("--")) {
            assert!(workspace().join(source).exists(), "COPY {source} {target}");
            copied.insert(source.clone());
        }
    }
    for member in members() {
        assert!(copied.contains(&format!("{member}/Cargo.toml")), "the dependency layer lacks {member}/Cargo.toml");
    }
    let ignored = read(".dockerignore");
    let let_in: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &let_in {
        assert!(workspace().join(path).exists(), ".dockerignore lets in {path}");
    }
    for member in members() {
        let top = member.split('/').next().unwrap();
        assert!(let_in.contains(&top), ".dockerignore keeps {top} out");
    }
}

#[test]
fn the_programs_and_stages_of_compose_and_dockerfile_exist() {
    let programs = ["producer", "worker", "ecomctl"];
    for program in programs {
        assert!(tests::program(program).is_file());
    }
    for words in instructions("COPY").iter().filter(|words| words[0].starts_with("--from=")) {
        let program = words[1].rsplit('/').next().unwrap();
        assert!(programs.contains(&program), "{words:?}");
    }
    let stages: Vec<String> = instructions("FROM").iter().map(|words| words.last().unwrap().clone()).collect();
    let compose = without_comments("docker-compose.yml");
    let targets: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("target: ")).collect();
    assert_eq!(targets, ["producer", "worker"]);
    assert!(targets.iter().all(|target| stages.contains(&(*target).to_owned())), "{stages:?}");
    for words in instructions("HEALTHCHECK") {
        let [program, flag] = &words[words.len() - 2..] else { panic!("{words:?}") };
        let name = |word: &str| word.trim_matches(['[', ']', '"', ',']).to_owned();
        let config = read(&format!("{}/src/config.rs", name(program)));
        assert_eq!(name(flag), "--healthcheck");
        assert!(config.contains("pub healthcheck: bool"), "{words:?}");
    }
}

#[test]
fn no_program_of_the_tests_is_shipped() {
    let programs = fs::read_dir(workspace().join("tests/src/bin")).unwrap().map(|entry| entry.unwrap().path());
    let programs: BTreeSet<String> =
        programs.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(programs, ["faulty-worker", "standins"].map(str::to_owned).into());
    for name in ["Dockerfile", "docker-compose.yml"] {
        let text = read(name);
        for program in &programs {
            assert!(!text.contains(program.as_str()), "{name} names {program}");
        }
    }
    let tools = read("tools/cargo.py");
    assert!(!tools.contains("faulty-worker"));
    let built = without_comments("Dockerfile");
    let built: Vec<&str> = built.lines().filter(|line| line.contains("cargo build")).collect();
    assert!(built.len() == 2 && built.iter().all(|line| line.ends_with("-p producer -p worker -p ctl")), "{built:?}");
    assert!(tools.contains(r#"["build", "--profile", profile, "-p", "producer", "-p", "worker", "-p", "ctl"]"#));
}

#[test]
fn docker_compose_understands_its_file() {
    let compose = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("compose").args(arguments).current_dir(workspace()).env("JWT_SECRET", "x".repeat(32)).output()
    };
    if !compose(&["version"]).is_ok_and(|output| output.status.success()) {
        println!("NOT RUN: there is no `docker compose` here");
        return;
    }
    let output = compose(&["config", "--quiet"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
