//! Rust in, Rust out: one file beside each script. The only place that runs scripts.

mod admit;
mod health;
mod leave;
mod release;
mod report;
mod spend;
mod switch;
mod turn;
mod used;

pub(crate) use admit::Verdict;

use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::{connect::Connection, error::Error};

/// The state of an account that is not used for so long is forgotten. Longer than any breaker is open.
const STATE_KEPT_S: u64 = 24 * 3600;

/// A call of the script `$script`, which lies beside the file. It has these arguments by their names, in any order; from the position
/// `more` on it has what is added to the call behind them.
macro_rules! call {
    ($script:ident, $key:expr $(, $name:ident = $value:expr)* $(,)?) => {{
        static SCRIPT: std::sync::LazyLock<redis::Script> = std::sync::LazyLock::new(|| {
            let text = include_str!(concat!(stringify!($script), ".lua"));
            $crate::scripts::script(text, &[$(stringify!($name)),*])
        });
        let mut call = SCRIPT.prepare_invoke();
        call.key($key)$(.arg($value))*;
        call
    }};
}
use call;

/// The script, behind its named arguments.
fn script(text: &str, names: &[&str]) -> Script {
    // The first line tells the server what the script may do.
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let values: Vec<String> = (1..=names.len()).map(|position| format!("ARGV[{position}]")).collect();
    let (names, values, more) = (names.join(", "), values.join(", "), names.len() + 1);
    Script::new(&format!("{first}\nlocal {names} = {values}\nlocal more = {more}\n{rest}"))
}

/// Where scripts run, and what their keys begin with.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) connection: Connection,
    pub(crate) prefix: String,
}

impl Server {
    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Error> {
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
