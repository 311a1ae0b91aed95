//! One producer and any number of workers, as real processes, with keys and a database of their own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use producer::Scope;
use reqwest::{Client, Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::{MongoDatabase, Process, RedisKind, TempDir, free_port, mortal, tail, wait_until};

use crate::{Answer, program, workspace};

/// How long a process may take to start, to end or to notice something; generous, because many tests share two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a job may take to finish.
pub const JOB_PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "the secret of the end-to-end tests";
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// How a system is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many workers; 2 unless told otherwise.
    pub workers: usize,
    /// The program that the workers are; `worker` unless told otherwise.
    pub worker_program: &'static str,
    /// The Redis; the shared one if absent.
    pub redis_url: Option<String>,
    /// The MongoDB; the shared one if absent.
    pub mongo_url: Option<String>,
    /// Further variables of all processes; they win over the harness's own.
    pub env: Vec<(&'static str, String)>,
    /// Whether to wait until the API and all workers are ready.
    pub wait_ready: bool,
    /// Soft and hard limit of open files at the start of each process; the test's own if absent.
    pub open_files: Option<(u32, u32)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 2,
            worker_program: "worker",
            redis_url: None,
            mongo_url: None,
            env: Vec::new(),
            wait_ready: true,
            open_files: None,
        }
    }
}

impl Options {
    /// Sets a variable of all processes.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Sets the number of workers.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Fetches pages of shops on loopback for real, so many at a time in each worker.
    #[must_use]
    pub fn real_scraping(self, concurrency: usize) -> Self {
        self.env("MOCK_MODE_SCRAPING", "false")
            .env("SCRAPE_ALLOW_HOSTS", "127.0.0.1")
            .env("CONCURRENCY", format!("scrape={concurrency}"))
    }

    /// Sends e-mail for real to the server on this loopback port.
    #[must_use]
    pub fn real_email(self, port: u16) -> Self {
        self.env("MOCK_MODE_EMAIL", "false")
            .env("SMTP_SERVER", "127.0.0.1")
            .env("SMTP_PORT", port.to_string())
            .env("SENDER_EMAIL", "shop@ecomsimply.example")
    }
}

/// One process of a system.
struct App {
    process: Process,
    log: PathBuf,
    admin_url: String,
}

/// A running system. When its test fails, the ends of all logs are printed; when it is dropped, all processes are killed.
pub struct System {
    producer: App,
    /// Producers beside the first.
    producers: Vec<App>,
    workers: Vec<App>,
    worker_program: &'static str,
    variables: Vec<(String, String)>,
    open_files: Option<(u32, u32)>,
    client: Client,
    url: String,
    token: String,
    directory: TempDir,
    /// What its keys in Redis begin with, and the name of its database in MongoDB.
    pub name: String,
    /// Its Redis.
    pub redis_url: String,
    /// Its MongoDB.
    pub mongo_url: String,
    /// Dropped last, when no process of ours can write into it any more; none on a server of the test's own.
    _database: Option<MongoDatabase>,
}

impl System {
    /// Starts one.
    ///
    /// # Panics
    /// When a program is not built or does not get ready.
    pub async fn start(options: Options) -> Self {
        let name = servers::prefix();
        let redis_url = options.redis_url.unwrap_or_else(shared_redis);
        let mongo_url = options.mongo_url.unwrap_or_else(|| servers::mongo().to_owned());
        let http_addr = format!("127.0.0.1:{}", free_port());
        let database = (mongo_url == servers::mongo()).then(|| MongoDatabase::named(&name));
        let mut variables = own_variables();
        let ours = [
            ("HTTP_ADDR", http_addr.as_str()),
            ("REDIS_URL", &redis_url),
            ("REDIS_PREFIX", &name),
            ("MONGO_URL", &mongo_url),
            ("DB_NAME", &name),
            ("JWT_SECRET", SECRET),
            ("MOCK_MODE", "true"),
        ];
        variables.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        variables.extend(options.env.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let directory = servers::temp_dir();
        let client = crate::client();
        let mut system = Self {
            producer: start_app("producer", directory.path().join("producer.log"), &variables, options.open_files),
            producers: Vec::new(),
            workers: Vec::new(),
            worker_program: options.worker_program,
            variables,
            open_files: options.open_files,
            client,
            url: format!("http://{http_addr}"),
            token: token(&[Scope::Admin]),
            directory,
            name,
            redis_url,
            mongo_url,
            _database: database,
        };
        for _ in 0..options.workers {
            system.launch_worker();
        }
        system.wait_until_it_listens().await;
        if options.wait_ready {
            system.wait_until_ready(options.workers).await;
        }
        system
    }

    async fn wait_until_it_listens(&self) {
        wait_until("the API listens", PATIENCE, async || {
            self.assert_producer_runs();
            Answer::to(self.request(Method::GET, "/api/health/live")).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Waits until Redis and MongoDB answer and so many workers are known.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait_until_ready(&self, workers: usize) {
        wait_until("the system is ready", PATIENCE, async || {
            let ready = self.get("/api/health/ready").await.status == 200;
            ready && self.get("/api/health").await.body["workers"] == workers
        })
        .await;
    }

    fn assert_producer_runs(&self) {
        let ended = self.producer.process.exit_status();
        assert!(ended.is_none(), "the producer ended: {ended:?}\n{}", tail(&self.producer.log));
    }

    fn launch_worker(&mut self) -> usize {
        let number = self.workers.len();
        let log = self.directory.path().join(format!("worker-{number}.log"));
        self.workers.push(start_app(self.worker_program, log, &self.variables, self.open_files));
        number
    }

    /// Starts one more worker and waits until it is ready; its number, counted from 0.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start_worker(&mut self) -> usize {
        let number = self.launch_worker();
        let admin = self.worker_admin_url(number);
        wait_until("the new worker is ready", PATIENCE, async || {
            let health = Answer::to(self.client.get(format!("{admin}/health"))).await;
            let ready = health.is_ok_and(|answer| answer.body["status"] == "ok");
            ready && self.worker_log(number).contains(r#""message":"ready""#)
        })
        .await;
        number
    }

    /// Signal 9 to a worker.
    pub fn kill_worker(&self, number: usize) {
        self.workers[number].process.kill();
    }

    /// Sends a signal to a worker, by its name.
    pub fn signal_worker(&self, number: usize, signal: &str) {
        self.workers[number].process.signal(signal);
    }

    /// SIGTERM to a worker; waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop_worker(&self, number: usize) -> ExitStatus {
        self.signal_worker(number, "TERM");
        self.worker_end(number).await
    }

    /// Waits for the end of a worker.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn worker_end(&self, number: usize) -> ExitStatus {
        end(&self.workers[number]).await
    }

    /// Sends a signal to the producer, by its name.
    pub fn signal_producer(&self, signal: &str) {
        self.producer.process.signal(signal);
    }

    /// Waits for the end of the producer.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn producer_end(&self) -> ExitStatus {
        end(&self.producer).await
    }

    /// SIGTERM to the producer; waits for its end, starts another one at the same address, and waits until that listens.
    ///
    /// # Panics
    /// When the first does not end well, or the second does not listen.
    pub async fn restart_producer(&mut self) {
        self.signal_producer("TERM");
        assert_eq!(self.producer_end().await.code(), Some(0), "{}", self.producer_log());
        self.producer =
            start_app("producer", self.directory.path().join("producer-again.log"), &self.variables, self.open_files);
        self.wait_until_it_listens().await;
    }

    /// Starts a producer at the address of the one that was killed, and waits until it listens.
    ///
    /// # Panics
    /// When the first has not ended, or the second does not listen.
    pub async fn revive_producer(&mut self) {
        self.producer_end().await;
        self.producer =
            start_app("producer", self.directory.path().join("producer-revived.log"), &self.variables, self.open_files);
        self.wait_until_it_listens().await;
    }

    /// Starts one more producer, and waits until it is ready; its address.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start_producer(&mut self) -> String {
        let (address, number) = (format!("127.0.0.1:{}", free_port()), self.producers.len() + 2);
        let mut variables = self.variables.clone();
        variables.push(("HTTP_ADDR".to_owned(), address.clone()));
        let log = self.directory.path().join(format!("producer-{number}.log"));
        self.producers.push(start_app("producer", log, &variables, self.open_files));
        let url = format!("http://{address}");
        wait_until("the other producer is ready", PATIENCE, async || {
            let answer = Answer::to(self.client.get(format!("{url}/api/health/ready"))).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        url
    }

    /// The process ids of the producer and of the workers, and that they run.
    ///
    /// # Panics
    /// When one has ended.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let apps = std::iter::once(&self.producer).chain(&self.workers);
        apps.map(|app| {
            let ended = app.process.exit_status();
            assert!(ended.is_none(), "a process ended: {ended:?}\n{}", tail(&app.log));
            app.process.pid().expect("the process was not killed")
        })
        .collect()
    }

    /// The process id of a worker.
    ///
    /// # Panics
    /// When it was killed.
    #[must_use]
    pub fn worker_pid(&self, number: usize) -> u32 {
        self.workers[number].process.pid().expect("the worker was not killed")
    }

    /// What a worker logged.
    #[must_use]
    pub fn worker_log(&self, number: usize) -> String {
        fs::read_to_string(&self.workers[number].log).unwrap_or_default()
    }

    /// What the producer logged.
    #[must_use]
    pub fn producer_log(&self) -> String {
        fs::read_to_string(&self.producer.log).unwrap_or_default()
    }

    /// Where a worker's metrics and health are.
    #[must_use]
    pub fn worker_admin_url(&self, number: usize) -> String {
        self.workers[number].admin_url.clone()
    }

    /// Where the producer's metrics are.
    #[must_use]
    pub fn producer_admin_url(&self) -> &str {
        &self.producer.admin_url
    }

    /// The API's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client that uses no proxy.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A token with these scopes, good for an hour.
    #[must_use]
    pub fn token(&self, scopes: &[Scope]) -> String {
        token(scopes)
    }

    /// What signs the tokens.
    #[must_use]
    pub fn secret(&self) -> &'static str {
        SECRET
    }

    /// A request with a token that may do everything.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// Asks with a token that may do everything.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await.expect("the API answers")
    }

    /// Posts JSON with a token that may do everything.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await.expect("the API answers")
    }

    /// Enqueues a job; its id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn post_job(&self, kind: &str, payload: Value) -> String {
        let answer = self.post("/api/jobs", &json!({ "kind": kind, "payload": payload })).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        text(&answer.body["id"])
    }

    /// Enqueues many jobs of a kind; their ids.
    ///
    /// # Panics
    /// When one is not accepted.
    pub async fn post_jobs(&self, kind: &str, payloads: impl IntoIterator<Item = Value>) -> Vec<String> {
        let jobs: Vec<Value> =
            payloads.into_iter().map(|payload| json!({ "kind": kind, "payload": payload })).collect();
        let answer = self.post("/api/jobs/batch", &json!({ "jobs": jobs })).await;
        assert_eq!((answer.status, &answer.body["rejected"]), (200, &json!(0)), "{}", answer.body);
        let results = answer.body["results"].as_array().expect("a batch has results");
        results.iter().map(|result| text(&result["id"])).collect()
    }

    /// A job as it is.
    ///
    /// # Panics
    /// When it cannot be had.
    pub async fn job(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/jobs/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Waits until a job has come to an end; the job. An API that has to refuse meanwhile is asked again.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn wait_job(&self, id: &str) -> Value {
        let mut job = Value::Null;
        wait_until(&format!("job {id} came to an end"), JOB_PATIENCE, async || {
            job = self.get(&format!("/api/jobs/{id}?wait=30")).await.body;
            is_finished(&job)
        })
        .await;
        job
    }

    /// Waits until all jobs have come to an end; the jobs, in the same order.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn wait_jobs(&self, ids: &[String]) -> Vec<Value> {
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            jobs.push(self.wait_job(id).await);
        }
        jobs
    }

    /// Waits until a job is in this state; the job.
    ///
    /// # Panics
    /// When it takes too long.
    pub async fn wait_state(&self, id: &str, state: &str) -> Value {
        let mut job = Value::Null;
        wait_until(&format!("job {id} is {state}"), PATIENCE, async || {
            job = self.job(id).await;
            job["state"] == state
        })
        .await;
        job
    }

    /// A queue as it is.
    ///
    /// # Panics
    /// When the API does not know it.
    pub async fn queue(&self, name: &str) -> Value {
        let queues = self.get("/api/queues").await.body;
        let queue = queues.as_array().and_then(|queues| queues.iter().find(|queue| queue["name"] == name));
        queue.expect("the queue is listed").clone()
    }

    /// How many jobs of a queue are in each state.
    ///
    /// # Panics
    /// When the API does not know the queue.
    pub async fn depth(&self, queue: &str) -> Value {
        self.queue(queue).await["depth"].clone()
    }

    /// Runs `ecomctl` with address, token and secret of this system, in the workspace's folder.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn ecomctl<S: AsRef<str>>(&self, arguments: &[S]) -> Output {
        self.ecomctl_reading(arguments, "").await
    }

    /// The same, with this text as its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn ecomctl_reading<S: AsRef<str>>(&self, arguments: &[S], input: &str) -> Output {
        let file = self.directory.path().join(format!("input-{}", free_port()));
        fs::write(&file, input).expect("the directory is writable");
        let mut command = mortal(&program("ecomctl"));
        command.args(arguments.iter().map(AsRef::as_ref)).current_dir(workspace()).env_clear().envs(own_variables());
        command.env("ECOM_URL", &self.url).env("ECOM_TOKEN", &self.token).env("JWT_SECRET", SECRET);
        output(command, fs::File::open(file).expect("the file is there").into()).await
    }

    /// Runs `producer` or `worker` with these variables and without any system until it ends by itself.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run_alone(name: &str, variables: Vec<(&str, &str)>) -> Output {
        let mut command = mortal(&program(name));
        command.env_clear().envs(own_variables()).envs(variables);
        let address = format!("127.0.0.1:{}", free_port());
        command.env("HTTP_ADDR", &address).env("ADMIN_ADDR", "127.0.0.1:0");
        tokio::time::timeout(PATIENCE, output(command, Stdio::null())).await.expect("the program ends by itself")
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for app in std::iter::once(&self.producer).chain(&self.producers).chain(&self.workers) {
            println!("---- the end of {}:\n{}", app.log.display(), tail(&app.log));
        }
    }
}

/// Whether a job, as the API shows it, has come to an end.
#[must_use]
pub fn is_finished(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("succeeded" | "dead" | "cancelled" | "expired"))
}

/// What our programs need of the environment; none of our own variables is among it.
fn own_variables() -> Vec<(String, String)> {
    let kept = ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"];
    let mut variables: Vec<(String, String)> =
        kept.iter().filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?))).collect();
    variables.push(("NO_PROXY".to_owned(), "127.0.0.1,localhost".to_owned()));
    variables
}

fn shared_redis() -> String {
    servers::redis(RedisKind::Valkey).expect("there is always a Valkey").to_owned()
}

fn start_app(name: &str, log: PathBuf, variables: &[(String, String)], open_files: Option<(u32, u32)>) -> App {
    let admin_addr = format!("127.0.0.1:{}", free_port());
    let mut command = match open_files {
        None => mortal(&program(name)),
        Some((soft, hard)) => {
            let mut command = mortal(Path::new("sh"));
            // The soft limit first: the hard one may not be set below it.
            let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\"");
            command.args(["-c", &script]).arg(program(name));
            command
        }
    };
    command.env_clear().envs(variables.iter().cloned()).env("ADMIN_ADDR", &admin_addr).current_dir(workspace());
    let process = Process::new();
    // Whether it is ready is asked over HTTP, and not here.
    process.start(command, &log, |_| true);
    App { process, log, admin_url: format!("http://{admin_addr}") }
}

async fn end(app: &App) -> ExitStatus {
    wait_until("a process has ended", PATIENCE, async || app.process.exit_status().is_some()).await;
    app.process.exit_status().expect("it has ended")
}

async fn output(mut command: Command, input: Stdio) -> Output {
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || servers::spawn(command)?.wait_with_output();
    tokio::task::spawn_blocking(run).await.expect("the waiting thread ends").expect("the program can be started")
}

fn token(scopes: &[Scope]) -> String {
    let secret = SecretString::from(SECRET);
    producer::sign(&secret, "tests", None, scopes, TOKEN_LIFETIME).expect("a token can be signed")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
