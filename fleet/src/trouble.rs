//! What an error of Redis means for whoever asked. The one place that knows the errors of the server and of the driver.

use redis::{ErrorKind, RedisError, ServerError};

/// What an error of Redis means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Redis did not answer, or is in a state in which it takes nothing: the same call may work later. Whether it was carried out is
    /// not known. The text says why, in words.
    Away(String),
    /// Redis is at `maxmemory`: nothing was written.
    Full,
    /// Redis refused it in a way that trying again does not mend.
    Refused(String),
}

/// The states of a server that pass, or that an operator ends, by the code with which it refuses then.
const STATES: [(&str, &str); 15] = [
    ("LOADING", "it is still loading its data"),
    ("BUSY", "a script that does not end holds it up (SCRIPT KILL ends one that has not written)"),
    ("READONLY", "it is a replica and takes no writes, as after a failover"),
    ("MASTERDOWN", "it is a replica that has lost its primary"),
    ("NOREPLICAS", "fewer replicas follow it than min-replicas-to-write asks for"),
    ("MISCONF", "it cannot save its data to disk (its log has the reason)"),
    ("NOAUTH", NO_PASSWORD),
    ("WRONGPASS", "it does not take the user and password of REDIS_URL"),
    ("NOPERM", "its access list does not allow this to the user of REDIS_URL"),
    ("CLUSTERDOWN", "its cluster is down, or no node serves this slot"),
    ("TRYAGAIN", "its cluster moves the keys to another node"),
    ("ASK", "its cluster moves the keys to another node"),
    ("MOVED", "another node of its cluster has the keys"),
    ("NOSCRIPT", "it has forgotten a script that it was just given"),
    ("UNBLOCKED", "it became a replica meanwhile"),
];

/// Those that have no code of their own. Of who has given no password, a server does not even read more than ten words.
const UNCODED: [(&str, &str); 3] = [
    ("unauthenticated multibulk length", NO_PASSWORD),
    ("unauthenticated bulk length", NO_PASSWORD),
    ("Script killed by user", "somebody ended our script with SCRIPT KILL"),
];

const NO_PASSWORD: &str = "it asks for a password, and REDIS_URL has none";

impl From<&RedisError> for Trouble {
    fn from(error: &RedisError) -> Self {
        match error.clone().into_server_errors() {
            Some(errors) => of_server(&errors, error),
            None => of_driver(error),
        }
    }
}

/// Of several errors, as a transaction or a pipeline has them, one that says when to try again tells more than one that does not.
fn of_server(errors: &[(usize, ServerError)], error: &RedisError) -> Trouble {
    let mut refused = Vec::new();
    let mut full = false;
    for (_, one) in errors {
        let text = format!("{} {}", one.code(), one.details().unwrap_or_default());
        let code = code(one);
        if code == "OOM" {
            full = true;
        } else if let Some(words) = state(code, &text) {
            return Trouble::Away(format!("{words}: {}", text.trim()));
        } else {
            refused.push(text.trim().to_owned());
        }
    }
    match refused.is_empty() {
        _ if full => Trouble::Full,
        // A transaction is discarded for the sake of a command that was refused; without one, nobody can tell why.
        true => Trouble::Away(error.to_string()),
        false => Trouble::Refused(refused.join("; ")),
    }
}

/// Why it was refused. A transaction that is discarded as it is to be carried out has the reason's code in its text.
fn code(error: &ServerError) -> &str {
    let because = error.details().and_then(|text| text.split_once("because of: "));
    match because {
        Some((_, because)) if error.code() == "EXECABORT" => because.split(' ').next().unwrap_or_default(),
        _ => error.code(),
    }
}

fn state(code: &str, text: &str) -> Option<&'static str> {
    let known = STATES.iter().find(|(name, _)| *name == code);
    known.or_else(|| UNCODED.iter().find(|(part, _)| text.contains(part))).map(|(_, words)| *words)
}

/// What the driver says by itself: that there is no connection, or that none could be set up.
fn of_driver(error: &RedisError) -> Trouble {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            Trouble::Away("it does not take the user and password of REDIS_URL, or no more connections".to_owned())
        }
        // An answer that is not what was asked for.
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Client | ErrorKind::InvalidClientConfig => {
            Trouble::Refused(text)
        }
        _ => Trouble::Away(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the driver reads it off the wire.
    fn read(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap();
        let redis::Value::ServerError(error) = value else { panic!("{line} is no error") };
        error.into()
    }

    /// Written out once more, so that a row that is taken out of the table is missed.
    const PASSES: [(&str, &str); 15] = [
        ("LOADING", "loading its data"),
        ("BUSY", "a script that does not end"),
        ("READONLY", "takes no writes"),
        ("MASTERDOWN", "lost its primary"),
        ("NOREPLICAS", "fewer replicas"),
        ("MISCONF", "save its data"),
        ("NOAUTH", "asks for a password"),
        ("WRONGPASS", "user and password"),
        ("NOPERM", "access list"),
        ("CLUSTERDOWN", "its cluster is down"),
        ("TRYAGAIN", "moves the keys"),
        ("ASK", "moves the keys"),
        ("MOVED", "another node"),
        ("NOSCRIPT", "forgotten a script"),
        ("UNBLOCKED", "became a replica"),
    ];

    #[test]
    fn a_state_that_passes_is_told_in_words_with_what_the_server_said() {
        for (code, words) in PASSES {
            let said = format!("{code} as the server says");
            match Trouble::from(&read(&format!("-{said}"))) {
                Trouble::Away(text) if text.contains(words) && text.ends_with(&format!(": {said}")) => {}
                other => panic!("{code} passes, because {words:?}: {other:?}"),
            }
        }
        assert_eq!(STATES.len(), PASSES.len());
        for line in [
            "-ERR Protocol error: unauthenticated multibulk length",
            "-ERR Protocol error: unauthenticated bulk length",
        ] {
            assert!(
                matches!(Trouble::from(&read(line)), Trouble::Away(text) if text.contains("asks for a password")),
                "{line}"
            );
        }
        let discarded = "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF file";
        assert!(matches!(Trouble::from(&read(discarded)), Trouble::Away(text) if text.contains("save its data")));
        let killed =
            "-ERR Error running script (call to f_1): @user_script:3: Script killed by user with SCRIPT KILL...";
        assert!(matches!(Trouble::from(&read(killed)), Trouble::Away(text) if text.contains("ended our script")));
    }

    #[test]
    fn a_full_server_is_told_from_one_that_is_away_however_it_says_so() {
        for line in [
            "-OOM command not allowed when used memory > 'maxmemory'.",
            "-OOM command not allowed when used memory > 'maxmemory'. script: 5a, on @user_script:12.",
            "-OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
        ] {
            assert_eq!(Trouble::from(&read(line)), Trouble::Full, "{line}");
        }
    }

    #[test]
    fn what_no_waiting_mends_is_refused() {
        for line in [
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
            "-ERR unknown command 'LMOVE', with args beginning with: ",
            "-CROSSSLOT Keys in request don't hash to the same slot",
            "-BUSYKEY Target key name already exists.",
        ] {
            assert!(matches!(Trouble::from(&read(line)), Trouble::Refused(text) if text == line[1..].trim()), "{line}");
        }
    }
}
