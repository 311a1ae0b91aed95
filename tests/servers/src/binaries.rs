//! Where the servers' binaries are: a variable, `.dev/bin`, or the PATH.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::RedisKind;

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("this crate is two folders below the workspace")
}

/// The binary of a Redis kind; `None` when there is none.
pub fn redis_binary(kind: RedisKind) -> Option<PathBuf> {
    match kind {
        RedisKind::Valkey => find("TEST_VALKEY_BIN", "valkey-server", "valkey-server"),
        RedisKind::Redis7 => find("TEST_REDIS7_BIN", "redis7-server", "redis-server")
            .filter(|binary| version_line(binary).contains("v=7.0.")),
    }
}

/// The binary of MongoDB.
pub(crate) fn mongod_binary() -> PathBuf {
    find("TEST_MONGOD_BIN", "mongod", "mongod").unwrap_or_else(|| missing("mongod"))
}

/// True when there is a binary of this kind on this machine.
pub fn available(kind: RedisKind) -> bool {
    redis_binary(kind).is_some()
}

/// Name and version of the server that tests of this kind run on, for example `Valkey 9.1.2`.
pub fn version(kind: RedisKind) -> String {
    if kind == RedisKind::Valkey && external("TEST_REDIS_URL").is_some() {
        return "the server of TEST_REDIS_URL".to_owned();
    }
    let Some(binary) = redis_binary(kind) else { return format!("no {kind:?} server") };
    let line = version_line(&binary);
    let number = line.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("of unknown version");
    let name = line.split_whitespace().next().unwrap_or("server");
    format!("{name} {number}")
}

/// Name and version of the MongoDB that tests run on, for example `MongoDB 6.0.5`.
pub fn mongo_version() -> String {
    if external("TEST_MONGO_URL").is_some() {
        return "the server of TEST_MONGO_URL".to_owned();
    }
    version_line(&mongod_binary()).replace("db version v", "MongoDB ")
}

/// The value of a variable that names a server outside, if it is set.
pub(crate) fn external(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|url| !url.is_empty())
}

/// Ends the test with what is missing and how to get it.
pub(crate) fn missing(what: &str) -> ! {
    panic!("{what} is not there: run `./dev setup` in {} to get it", workspace().display());
}

fn find(variable: &str, dev_name: &str, path_name: &str) -> Option<PathBuf> {
    if let Some(named) = env::var_os(variable).filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{variable} names {}, which is no file", named.display());
        return Some(named);
    }
    let own = workspace().join(".dev/bin").join(dev_name);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(path_name)).collect::<Vec<_>>();
    std::iter::once(own).chain(on_path).find(|candidate| candidate.is_file())
}

/// The first line that the binary prints for `--version`; empty when it does not run.
fn version_line(binary: &Path) -> String {
    let output = Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
