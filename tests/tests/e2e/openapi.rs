//! The OpenAPI document, by the tools that read it: a validator, two generators of clients, and a fuzzer.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use reqwest::Method;
use servers::{TempDir, mortal, temp_dir};
use tests::{Options, System, workspace};

/// Random calls are the same in each run.
const SEED: &str = "1";

/// The tools in `.dev/openapi`, and a folder with a copy of what `tests/openapi` has for them.
struct Tools {
    folder: TempDir,
    home: PathBuf,
}

impl Tools {
    /// `None` where `./dev setup` could not get them, which it said.
    fn find() -> Option<Self> {
        let home = workspace().join(".dev/openapi");
        if !home.join("pins").is_file() {
            let missing = "the tools that read the OpenAPI document are not there: run `./dev setup` to get them";
            assert!(env::var("CI").as_deref() != Ok("true"), "{missing}");
            println!("NOT RUN: {missing}");
            return None;
        }
        let folder = temp_dir();
        for entry in fs::read_dir(workspace().join("tests/openapi")).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        std::os::unix::fs::symlink(home.join("node_modules"), folder.path().join("node_modules")).unwrap();
        Some(Self { folder, home })
    }

    /// Runs `program` with `arguments` in the folder, and returns what it printed.
    async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = mortal(Path::new(program));
        command.args(arguments).current_dir(self.folder.path());
        self.lead(&mut command);
        let output = tokio::task::spawn_blocking(move || servers::spawn(command)?.wait_with_output());
        let Output { status, stdout, stderr } = output.await.unwrap().unwrap();
        let printed = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{program} {}: {status}\n{printed}", arguments.first().unwrap_or(&""));
        printed
    }

    /// Leads to the tools, and past any proxy.
    fn lead(&self, command: &mut Command) {
        let own = [self.home.join("python/bin"), self.home.join("bin"), self.home.join("node_modules/.bin")];
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(own.into_iter().chain(env::split_paths(&path))).unwrap();
        command.env("PATH", path).env("PYTHONPATH", self.home.join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// The document as the running system gives it.
    async fn save_document(&self, system: &System) {
        let document = system.get("/api/openapi.json").await.body;
        fs::write(self.folder.path().join("openapi.json"), document.to_string()).unwrap();
    }
}

/// A token that may do everything.
fn token(system: &System) -> String {
    system.token(&[producer::Scope::Admin])
}

#[tokio::test]
async fn the_document_is_valid_openapi() {
    let Some(tools) = Tools::find() else { return };
    let system = System::start(Options { workers: 0, wait_ready: false, ..Options::default() }).await;
    tools.save_document(&system).await;
    let said = tools.run("python3", &["-m", "openapi_spec_validator", "openapi.json"]).await;
    assert!(said.contains("OK"), "{said}");
}

#[tokio::test]
async fn a_generated_python_client_enqueues_waits_and_lists() {
    let Some(tools) = Tools::find() else { return };
    let system = System::start(Options::default().workers(1)).await;
    tools.save_document(&system).await;
    let generate = ["-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none"];
    let said = tools.run("python3", &[&generate[..], &["--output-path", "generated"]].concat()).await;
    // Lines of JSON are no body that it can write; nothing else is left out.
    assert!(!said.contains("Endpoint will not be generated"), "{said}");
    assert!(!said.contains("Unable to parse"), "{said}");
    tools.run("python3", &["client.py", system.url(), &token(&system)]).await;
}

#[tokio::test]
async fn a_generated_typescript_client_compiles_and_enqueues_waits_and_lists() {
    let Some(tools) = Tools::find() else { return };
    let system = System::start(Options::default().workers(1)).await;
    tools.save_document(&system).await;
    tools.run("openapi-typescript", &["openapi.json", "-o", "api.d.ts"]).await;
    tools.run("tsc", &["-p", "."]).await;
    tools.run("node", &["client.js", system.url(), &token(&system)]).await;
}

#[tokio::test]
async fn random_calls_find_no_fault_of_ours_and_no_answer_outside_the_document() {
    let Some(tools) = Tools::find() else { return };
    let system = System::start(Options::default().workers(1)).await;
    tools.save_document(&system).await;
    let authorization = format!("Authorization: Bearer {}", token(&system));
    let run = ["--config-file", "schemathesis.toml", "run", "openapi.json", "--url", system.url(), "--seed", SEED];
    let options = ["--phases", "examples,coverage,fuzzing", "--warnings", "off", "--continue-on-failure"];
    let said = tools.run("schemathesis", &[&run[..], &options, &["-H", &authorization]].concat()).await;
    // Every operation but the stream and the two of the mode, which is switched for all.
    let document = system.get("/api/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap().values();
    let n_operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();
    assert!(said.contains(&format!("Tested: {}", n_operations - 3)), "{said}");
    let mode = tests::Answer::to(system.request(Method::GET, "/api/mode")).await.unwrap();
    assert_eq!(mode.body["mode"], "mock", "{}", mode.body);
}
