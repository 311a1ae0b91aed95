//! Rust in, Rust out: one file beside each Lua script, and the push, which is no script but a transaction of plain commands. The only
//! place that runs scripts.

pub(crate) mod bar;
pub(crate) mod beat;
pub(crate) mod bury;
pub(crate) mod cancel;
pub(crate) mod claim;
pub(crate) mod find;
pub(crate) mod finish;
pub(crate) mod forget;
pub(crate) mod hurry;
pub(crate) mod keep_lock;
pub(crate) mod lock;
pub(crate) mod mark;
pub(crate) mod partition;
pub(crate) mod pause;
pub(crate) mod progress;
pub(crate) mod push;
pub(crate) mod push_absent;
pub(crate) mod push_once;
pub(crate) mod quota;
pub(crate) mod recorded;
pub(crate) mod release;
pub(crate) mod renew;
pub(crate) mod replace;
pub(crate) mod revive;
pub(crate) mod scored;
pub(crate) mod tell;
pub(crate) mod unhold;
pub(crate) mod unique;
pub(crate) mod unlock;
pub(crate) mod upkeep;
pub(crate) mod waiting;
pub(crate) mod wake;

use std::borrow::Cow;

use fleet::{Connection, Trouble};
use redis::{Cmd, ErrorKind, FromRedisValue, Script, ServerErrorKind, ToRedisArgs, Value};

use crate::model::{error::Error, id::JobId};

/// The most jobs one script call takes: Lua's `unpack` is limited to a few thousand values.
pub(crate) const MOST: usize = 1000;
/// The hash of a replica is kept for so long. Longer than any lease, because reclaiming asks the hash of the dead.
const REPLICA_KEPT_S: u32 = 900;
/// The counters of a minute are kept for so long.
const COUNTS_KEPT_S: i64 = 7200;

/// A call of the script `$script`, which lies beside the file, on one key or several. It has these arguments by their names, in any order;
/// from the position `more` on it has what is added to the call behind them.
macro_rules! call {
    ($script:ident, $keys:expr $(, $name:ident = $value:expr)* $(,)?) => {{
        static SCRIPT: std::sync::LazyLock<redis::Script> = std::sync::LazyLock::new(|| {
            let text = include_str!(concat!(stringify!($script), ".lua"));
            $crate::scripts::script(stringify!($script), text, &[$(stringify!($name)),*])
        });
        let mut call = $crate::scripts::Call::new(&SCRIPT);
        call.keys($keys)$(.arg($value))*;
        call
    }};
}
use call;

/// The script of this name, behind the functions that several scripts use and its named arguments.
fn script(name: &str, text: &'static str, names: &[&str]) -> Script {
    let text = planted(name, text);
    // The first line tells the server what the script may do.
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let values: Vec<String> = (1..=names.len()).map(|position| format!("ARGV[{position}]")).collect();
    let named =
        if names.is_empty() { String::new() } else { format!("local {} = {}\n", names.join(", "), values.join(", ")) };
    let (common, more) = (include_str!("common.lua"), names.len() + 1);
    Script::new(&format!("{first}\n{common}{named}local more = {more}\n{rest}"))
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_name: &str, text: &'static str) -> Cow<'static, str> {
    Cow::from(text)
}

/// The text of a script, with the bug that `QUEUE_PLANTED_BUG` names: three lines, the script's name, what to replace, with what.
#[cfg(feature = "planted-bugs")]
fn planted(name: &str, text: &'static str) -> Cow<'static, str> {
    let bug = std::env::var("QUEUE_PLANTED_BUG").unwrap_or_default();
    match bug.split('\n').collect::<Vec<_>>()[..] {
        [script, from, to] if script == name => Cow::from(text.replacen(from, to, 1)),
        _ => Cow::from(text),
    }
}

/// A script and what it is called with. The driver's own form of this keeps each argument by itself, which for a thousand ids is as dear
/// as all else that the call takes here.
#[derive(Debug)]
struct Call {
    script: &'static Script,
    command: Cmd,
}

impl Call {
    fn new(script: &'static Script) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash());
        Self { script, command }
    }

    /// All of them, before the first argument.
    fn keys(&mut self, keys: impl ToRedisArgs) -> &mut Self {
        self.command.arg(keys.num_of_args()).arg(keys);
        self
    }

    fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.command.arg(argument);
        self
    }
}

async fn run<T: FromRedisValue>(call: &Call, connection: &Connection) -> Result<T, Error> {
    let mut connection = connection.clone();
    match call.command.query_async(&mut connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            call.script.load_async(&mut connection).await?;
            Ok(call.command.query_async(&mut connection).await?)
        }
        answer => Ok(answer?),
    }
}

/// The error that a script had with one of its keys: as the server would have answered, had it been about that key alone.
fn refused(text: &str) -> Error {
    let line = text.replace(['\r', '\n'], " ");
    let refused = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(Value::extract_error);
    refused.err().map_or_else(|| Error::Redis(line), Error::from)
}

/// Ids that lie one behind the other.
pub(crate) fn split_ids(ids: &[u8]) -> Vec<JobId> {
    ids.chunks_exact(16).filter_map(JobId::from_slice).collect()
}

fn minute(ms: u64) -> u64 {
    ms / 60_000
}

impl From<redis::ParsingError> for Error {
    fn from(error: redis::ParsingError) -> Self {
        redis::RedisError::from(error).into()
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        match Trouble::from(&error) {
            Trouble::Away(why) => Self::Unavailable(why),
            Trouble::Full => Self::Full,
            Trouble::Refused(why) => Self::Redis(why),
        }
    }
}

#[cfg(test)]
mod tests {
    /// What frees memory, moves jobs, or is small and bounded, works on a full server: it could not be drained otherwise.
    #[test]
    fn a_full_server_refuses_only_what_adds_to_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
        let mut refused = Vec::new();
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|end| end == "lua")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let flags = text.lines().next().unwrap();
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            if name != "common" && !flags.contains("allow-oom") {
                refused.push(name);
            }
        }
        refused.sort();
        assert_eq!(refused, ["bar", "progress", "push_absent", "push_once", "replace", "revive", "unique"]);
    }
}
