//! MongoDB servers: replica sets of one node, because transactions and change streams need one.

use std::collections::BTreeMap;
use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::binaries::{external, mongod_binary};
use crate::process::{Process, mortal, tail};
use crate::temp::remove_at_exit;
use crate::{TempDir, free_port, temp_dir};

/// A set that has not become primary by itself after this time was on another port.
const MOVED_AFTER: Duration = Duration::from_secs(4);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The URL of the MongoDB that the whole test process shares; `TEST_MONGO_URL` replaces it.
///
/// # Panics
/// When there is no `mongod` or it does not start.
pub fn mongo() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| external("TEST_MONGO_URL").unwrap_or_else(shared))
}

fn shared() -> String {
    let server = MongoServer::start();
    let url = server.url();
    // Kept for good, as the shared Redis is.
    Box::leak(Box::new((remove_at_exit(server.directory.path()), server)));
    url
}

/// A server of one test's own: a replica set of one node that accepts writes, killed when dropped.
pub struct MongoServer {
    process: Process,
    directory: TempDir,
    more: Vec<String>,
    /// The loopback port; a restart keeps it.
    pub port: u16,
}

impl MongoServer {
    /// Starts one on a free port and waits until it is primary.
    ///
    /// # Panics
    /// When there is no `mongod` or it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// When there is no `mongod` or it does not start.
    pub fn start_with(arguments: &[&str]) -> Self {
        let more: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Somebody else may take the port between the choice and the start.
        for _ in 0..5 {
            let (process, directory) = (Process::new(), temp_dir());
            let server = Self { process, directory, more: more.clone(), port: free_port() };
            if server.run() {
                server.initiate();
                server.await_primary();
                return server;
            }
            println!("mongod ended at its start:\n{}", tail(&server.log()));
        }
        panic!("mongod does not start; its log is above");
    }

    fn run(&self) -> bool {
        let runs = self.process.start(self.command(), &self.log(), |pid| answers(self.port, pid));
        self.process.watch("a mongod", self.log());
        runs
    }

    fn command(&self) -> Command {
        let mut command = mortal(&mongod_binary());
        command.args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"]);
        command.args(["--port", &self.port.to_string(), "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128"]);
        command.args(["--setParameter", "enableTestCommands=1"]);
        command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        // A dropped collection otherwise stays for five minutes, and with it its files, which are open as long as nothing closes them.
        command.args(["--setParameter", "minSnapshotHistoryWindowInSeconds=0"]);
        let files = "file_manager=(close_idle_time=10,close_scan_interval=5,close_handle_minimum=200)";
        command.args(["--wiredTigerEngineConfigString", files]);
        // At SIGTERM a primary otherwise keeps answering for up to 15 s, for other nodes' sake.
        command.args(["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]);
        command.arg("--dbpath").arg(self.directory.path()).args(&self.more);
        command
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn initiate(&self) {
        let answer = initiate(self.port).expect("mongod answers replSetInitiate");
        assert!(succeeded(&answer), "replSetInitiate failed: {}", String::from_utf8_lossy(&answer));
    }

    fn await_primary(&self) {
        let start = Instant::now();
        while !is_primary(self.port) {
            assert!(start.elapsed() < Duration::from_secs(60), "mongod did not become primary: {}", tail(&self.log()));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// `mongodb://127.0.0.1:PORT/?directConnection=true`.
    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&self) {
        self.process.stop();
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again on the same port with the same data, stopping it first if it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        if self.process.runs() {
            self.stop();
        }
        assert!(self.run(), "mongod did not start again; its log ends with:\n{}", tail(&self.log()));
        self.await_primary();
    }

    /// SIGSTOP: connections stay open, and nothing is answered from the return of this call on.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT after [`Self::pause`].
    pub fn resume(&self) {
        self.process.signal("CONT");
    }
}

/// The name of a database of one test's own on the shared MongoDB, which is dropped with this: each collection and index that is
/// left is a file that the server keeps open.
pub struct MongoDatabase {
    name: String,
}

impl MongoDatabase {
    /// A database that no other test has.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self::named(crate::prefix())
    }

    /// The database of this name, which need not exist yet.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl std::ops::Deref for MongoDatabase {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        let mut command = Document::new();
        command.int("dropDatabase", 1).text("$db", &self.name);
        // A test that failed says why itself; what is left behind only costs files.
        let _ = call(port_of(mongo()), command);
    }
}

/// Every collection of a database with its documents as they are stored, one after the other.
///
/// # Panics
/// When the URL has no port, or the server does not answer.
pub fn mongo_dump(url: &str, database: &str) -> BTreeMap<String, Vec<u8>> {
    let port = port_of(url);
    let mut list = Document::new();
    list.int("listCollections", 1).text("$db", database);
    let answer = call(port, list).expect("mongod lists collections");
    let mut collections = BTreeMap::new();
    for name in texts_named("name", &answer) {
        let mut find = Document::new();
        // One answer has at most 16 MB, far more than a test stores.
        find.text("find", &name).int("batchSize", 100_000).text("$db", database);
        // Indexes have names too, which are no collections: those are found empty.
        collections.insert(name, call(port, find).expect("mongod finds documents"));
    }
    collections
}

fn port_of(url: &str) -> u16 {
    let digits = url.rsplit(':').next().unwrap_or_default().split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).expect("the URL has a port")
}

/// The values of the text fields of this name, wherever they are in a document.
fn texts_named(name: &str, bytes: &[u8]) -> Vec<String> {
    let key = [b"\x02", name.as_bytes(), b"\0"].concat();
    let starts = bytes.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
    let after = starts.map(|(start, _)| &bytes[start + key.len() + 4..]);
    after
        .map(|rest| String::from_utf8_lossy(rest.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned())
        .collect()
}

/// Makes a server that runs the primary of a replica set of one node. It may be one already, also one that was on another port.
///
/// # Errors
/// When it does not answer or does not become primary.
pub fn make_primary(port: u16) -> Result<()> {
    // Refused by one that is a set already, which becomes primary by itself.
    initiate(port)?;
    let start = Instant::now();
    while !is_primary(port) {
        // The set was on another port, which was taken this time: the node is told its new address.
        if start.elapsed() > MOVED_AFTER {
            let mut config = one_node(port);
            config.int("version", 1);
            let mut command = Document::new();
            command.embed(0x03, "replSetReconfig", config).field(0x08, "force", &[1]).text("$db", "admin");
            call(port, command)?;
        }
        if start.elapsed() > crate::PATIENCE {
            return Err(Error::other("mongod does not become primary"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Writes a shop's page that is watched and a customer whose trial ends in three days, as the back end would, for the schedules to
/// read. What is there stays as it is.
///
/// # Errors
/// When the server does not answer.
#[expect(clippy::disallowed_methods, reason = "no test depends on this time")]
pub fn write_demo(port: u16, database: &str, shops: &str) -> Result<()> {
    let trial_ends_at = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::other)? + 3 * DAY;
    let mut monitor = Document::new();
    monitor.text("_id", "demo").text("tenant", "default").text("product_id", "LAMP-1");
    monitor.text("url", &format!("{shops}/jsonld.html"));
    let mut tenant = Document::new();
    tenant.text("_id", "default").text("name", "Atelier Zoé").text("email", "zoe@customer.example");
    tenant.text("language", "fr").text("time_zone", "Europe/Paris").time("trial_ends_at", trial_ends_at);
    for (collection, document) in [("monitors", monitor), ("tenants", tenant)] {
        insert(port, database, collection, document)?;
    }
    Ok(())
}

/// The answer of the server.
fn insert(port: u16, database: &str, collection: &str, document: Document) -> Result<Vec<u8>> {
    let mut documents = Document::new();
    documents.embed(0x03, "0", document);
    let mut command = Document::new();
    command.text("insert", collection).embed(0x04, "documents", documents).text("$db", database);
    call(port, command)
}

fn initiate(port: u16) -> Result<Vec<u8>> {
    let mut command = Document::new();
    command.embed(0x03, "replSetInitiate", one_node(port)).text("$db", "admin");
    call(port, command)
}

/// The configuration of a replica set.
fn one_node(port: u16) -> Document {
    let mut member = Document::new();
    member.int("_id", 0).text("host", &format!("127.0.0.1:{port}"));
    let mut members = Document::new();
    members.embed(0x03, "0", member);
    let mut config = Document::new();
    config.text("_id", "rs0").embed(0x04, "members", members);
    config
}

/// True when the server on this port is the process `pid`: another one may have been given the same port.
fn answers(port: u16, pid: u32) -> bool {
    let mut command = Document::new();
    command.int("serverStatus", 1).text("$db", "admin");
    let own = [b"\x12pid\0".as_slice(), &u64::from(pid).to_le_bytes()].concat();
    call(port, command).is_ok_and(|answer| contains(&answer, &own))
}

fn is_primary(port: u16) -> bool {
    let mut command = Document::new();
    command.int("hello", 1).text("$db", "admin");
    call(port, command).is_ok_and(|answer| contains(&answer, b"\x08isWritablePrimary\0\x01"))
}

fn succeeded(answer: &[u8]) -> bool {
    contains(answer, &[b"\x01ok\0".as_slice(), &1f64.to_le_bytes()].concat())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// A BSON document in the making: the few types that our commands need, so that this crate needs no driver.
struct Document(Vec<u8>);

impl Document {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn field(&mut self, kind: u8, name: &str, value: &[u8]) -> &mut Self {
        self.0.push(kind);
        self.0.extend(name.bytes().chain([0]));
        self.0.extend(value);
        self
    }

    fn int(&mut self, name: &str, value: i32) -> &mut Self {
        self.field(0x10, name, &value.to_le_bytes())
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        let length = length(value.len() + 1);
        self.field(0x02, name, &[&length[..], value.as_bytes(), &[0]].concat())
    }

    fn time(&mut self, name: &str, since_1970: Duration) -> &mut Self {
        let ms = i64::try_from(since_1970.as_millis()).expect("the time is not far from now");
        self.field(0x09, name, &ms.to_le_bytes())
    }

    /// `kind` 3 is a document, 4 an array.
    fn embed(&mut self, kind: u8, name: &str, inner: Self) -> &mut Self {
        let bytes = inner.finish();
        self.field(kind, name, &bytes)
    }

    fn finish(self) -> Vec<u8> {
        [&length(self.0.len() + 5)[..], &self.0, &[0]].concat()
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("the message is short").to_le_bytes()
}

/// Sends one command as an `OP_MSG` and returns the answer's bytes after the header.
fn call(port: u16, command: Document) -> Result<Vec<u8>> {
    const OP_MSG: u32 = 2013;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let body = command.finish();
    // Header: whole length, request id, id answered to, operation; then the flags and a section of kind 0.
    let mut message = [&length(body.len() + 21)[..], &[0; 8], &OP_MSG.to_le_bytes(), &[0; 5]].concat();
    message.extend(body);
    stream.write_all(&message)?;
    let mut header = [0; 16];
    stream.read_exact(&mut header)?;
    let size = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let mut answer = vec![0; size.checked_sub(header.len()).ok_or_else(|| Error::other("answer too short"))?];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_server_is_primary_and_started_once() {
        let url = mongo();
        println!("{}", crate::mongo_version());
        assert_eq!(url, mongo());
        assert!(url.contains("directConnection=true"));
    }

    #[test]
    fn a_database_is_dropped_when_its_test_ends() {
        let database = MongoDatabase::new();
        let mut shop = Document::new();
        shop.text("name", "boutique");
        assert!(succeeded(&insert(port_of(mongo()), &database, "shops", shop).unwrap()));
        let name = database.to_owned();
        assert!(mongo_dump(mongo(), &name).contains_key("shops"));
        drop(database);
        assert!(mongo_dump(mongo(), &name).is_empty());
    }

    fn count(port: u16) -> Vec<u8> {
        let mut command = Document::new();
        command.text("count", "shops").text("$db", "t");
        call(port, command).unwrap()
    }

    #[test]
    fn a_stop_and_restart_keep_port_and_data() {
        let server = MongoServer::start();
        let mut shop = Document::new();
        shop.text("name", "boutique");
        assert!(succeeded(&insert(server.port, "t", "shops", shop).unwrap()));
        server.stop();
        assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
        server.restart();
        assert!(contains(&count(server.port), b"\x10n\0\x01\0\0\0"));
    }
    #[test]
    fn a_set_that_was_on_another_port_becomes_primary_and_keeps_its_data() {
        let mut server = MongoServer::start();
        write_demo(server.port, "t", "http://shops").unwrap();
        server.stop();
        server.port = free_port();
        assert!(server.run());
        make_primary(server.port).unwrap();
        write_demo(server.port, "t", "http://elsewhere").unwrap();
        let dump = mongo_dump(&server.url(), "t");
        assert!(contains(&dump["monitors"], b"http://shops/jsonld.html"), "what is there stays as it is");
        assert!(!contains(&dump["monitors"], b"elsewhere"));
        assert!(contains(&dump["tenants"], b"\x09trial_ends_at\0"));
    }
}
