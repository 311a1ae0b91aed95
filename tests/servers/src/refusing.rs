//! States in which a server refuses what it is asked: how it gets into each, and out of it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::{RedisKind, RedisServer, free_port};

/// How long a server may take to get into a state, or out of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys that are loaded slowly: so many, and so long each. The server looks at its connections after each 1,024.
const SLOWLY: (usize, &str) = (20_000, "500");

/// A state in which a server refuses what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusing {
    /// It is a replica, as after a failover.
    ReadOnly,
    /// It is a replica without a primary, and does not show what it has.
    MasterDown,
    /// A script does not end.
    Busy,
    /// It cannot save its data.
    Misconf,
    /// It asks for a password.
    NoAuth,
    /// It asks for another password than [`PASSWORD`].
    WrongPass,
    /// Its access list allows nothing that writes.
    NoPerm,
    /// Too few replicas follow it.
    NoReplicas,
    /// Its cluster has a slot that nobody serves.
    ClusterDown,
    /// It was started again and loads its data.
    Loading,
    /// It has as many connections as it may.
    TooManyClients,
}

/// The password of the server of [`Refusing::WrongPass`].
pub const PASSWORD: &str = "before";

impl Refusing {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ReadOnly,
        Self::MasterDown,
        Self::Busy,
        Self::Misconf,
        Self::NoAuth,
        Self::WrongPass,
        Self::NoPerm,
        Self::NoReplicas,
        Self::ClusterDown,
        Self::Loading,
        Self::TooManyClients,
    ];

    /// A server that can get into this state, and its URL.
    ///
    /// # Panics
    /// When it does not start.
    pub fn server(self, kind: RedisKind) -> (RedisServer, String) {
        let server = match self {
            Self::ClusterDown => {
                let port = free_port().to_string();
                let server = RedisServer::start_with(kind, &["--cluster-enabled", "yes", "--cluster-port", &port]);
                let mut admin = Admin::of(&server, None);
                admin.ok("CLUSTER ADDSLOTSRANGE 0 16383");
                admin.until("CLUSTER INFO", "cluster_state:ok");
                server
            }
            Self::WrongPass => {
                let server = RedisServer::start(kind);
                Admin::of(&server, None).ok(&format!("CONFIG SET requirepass {PASSWORD}"));
                server
            }
            _ => RedisServer::start(kind),
        };
        let url = match self {
            Self::WrongPass => format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port),
            _ => server.url(),
        };
        (server, url)
    }

    /// Gets the server into the state.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn begin(self, server: &RedisServer) -> Refusal<'_> {
        let mut admin = Admin::of(server, (self == Self::WrongPass).then_some(PASSWORD));
        let mut script = None;
        match self {
            Self::ReadOnly => admin.ok("REPLICAOF 127.0.0.1 1"),
            Self::MasterDown => {
                admin.ok("CONFIG SET replica-serve-stale-data no");
                admin.ok("REPLICAOF 127.0.0.1 1");
            }
            Self::Busy => {
                admin.ok("CONFIG SET busy-reply-threshold 1");
                script = Some(endless_script(server).expect("a second connection"));
                admin.until("PING", "-BUSY");
            }
            Self::Misconf => {
                let in_the_way = server.directory().join("dump.rdb");
                fs::create_dir_all(in_the_way.join("not empty")).expect("a directory where the file should be");
                admin.ok("CONFIG SET save 3600\\ 1");
                admin.until("BGSAVE", "Background saving started");
                admin.until("INFO persistence", "rdb_last_bgsave_status:err");
            }
            Self::NoAuth => {
                admin.ok("CONFIG SET requirepass secret");
                admin.ask("CLIENT KILL TYPE normal");
            }
            Self::WrongPass => {
                admin.ok("CONFIG SET requirepass after");
                admin.ask("CLIENT KILL TYPE normal");
            }
            Self::NoPerm => admin.ok("ACL SETUSER default -@write -@scripting"),
            Self::NoReplicas => admin.ok("CONFIG SET min-replicas-to-write 1"),
            Self::ClusterDown => {
                admin.ok("CLUSTER DELSLOTS 0");
                admin.until("CLUSTER INFO", "cluster_state:fail");
            }
            Self::Loading => {
                for n in 0..SLOWLY.0 {
                    admin.write(&format!("SET slowly:{n} 1"));
                }
                for _ in 0..SLOWLY.0 {
                    admin.reply();
                }
                server.restart_slowly(&["--key-load-delay", SLOWLY.1]);
                admin = Admin::of(server, None);
            }
            Self::TooManyClients => {
                admin.ok("CONFIG SET maxclients 1");
                admin.ask("CLIENT KILL TYPE normal");
            }
        }
        Refusal { state: self, server, admin, script }
    }
}

/// A server in a state in which it refuses.
pub struct Refusal<'a> {
    state: Refusing,
    server: &'a RedisServer,
    admin: Admin,
    /// The connection of the script that does not end.
    script: Option<TcpStream>,
}

impl Refusal<'_> {
    /// Gets the server out of it.
    ///
    /// # Panics
    /// When it stays in it.
    pub fn end(mut self) {
        let admin = &mut self.admin;
        match self.state {
            Refusing::ReadOnly => admin.ok("REPLICAOF NO ONE"),
            Refusing::MasterDown => {
                admin.ok("REPLICAOF NO ONE");
                admin.ok("CONFIG SET replica-serve-stale-data yes");
            }
            Refusing::Busy => {
                admin.ok("SCRIPT KILL");
                admin.until("PING", "+PONG");
                drop(self.script);
            }
            Refusing::Misconf => {
                admin.ok("CONFIG SET save \"\"");
                fs::remove_dir_all(self.server.directory().join("dump.rdb")).expect("remove what was in the way");
            }
            Refusing::NoAuth => admin.ok("CONFIG SET requirepass \"\""),
            Refusing::WrongPass => admin.ok(&format!("CONFIG SET requirepass {PASSWORD}")),
            Refusing::NoPerm => admin.ok("ACL SETUSER default +@all"),
            Refusing::NoReplicas => admin.ok("CONFIG SET min-replicas-to-write 0"),
            Refusing::ClusterDown => {
                admin.ok("CLUSTER ADDSLOTS 0");
                admin.until("CLUSTER INFO", "cluster_state:ok");
            }
            Refusing::Loading => {
                admin.ok("CONFIG SET key-load-delay 0");
                admin.until("INFO persistence", "\nloading:0");
            }
            Refusing::TooManyClients => admin.ok("CONFIG SET maxclients 1000"),
        }
    }
}

/// A script that does not end by itself, and has written nothing.
fn endless_script(server: &RedisServer) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
    stream.write_all(b"EVAL \"while true do end\" 0\r\n")?;
    Ok(stream)
}

/// A connection that was there before the server got into its state.
struct Admin(BufReader<TcpStream>);

impl Admin {
    fn of(server: &RedisServer, password: Option<&str>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        let mut admin = Self(BufReader::new(stream));
        if let Some(password) = password {
            admin.ok(&format!("AUTH {password}"));
        }
        admin
    }

    /// Sends an inline command; `\ ` stands for a space within a word.
    fn write(&mut self, command: &str) {
        let word = |word: &str| format!("\"{}\"", word.trim_matches('"').replace('\0', " "));
        let line: Vec<String> = command.replace("\\ ", "\0").split(' ').map(word).collect();
        self.0.get_mut().write_all(format!("{}\r\n", line.join(" ")).as_bytes()).expect("the server reads");
    }

    /// One line, or one text of many lines.
    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server answers");
        let Some(length) = line.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) else {
            return line;
        };
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text).expect("the server answers in full");
        String::from_utf8_lossy(&text).into_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.write(command);
        self.reply()
    }

    fn ok(&mut self, command: &str) {
        let reply = self.ask(command);
        assert!(reply.starts_with("+OK"), "{command}: {reply}");
    }

    fn until(&mut self, command: &str, part: &str) {
        let start = Instant::now();
        loop {
            let reply = self.ask(command);
            if reply.contains(part) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{command}: {reply} has no {part}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(server: &RedisServer, command: &str) -> String {
        Admin::of(server, None).ask(command)
    }

    #[test]
    fn each_state_refuses_with_its_code_and_ends() {
        for kind in [RedisKind::Valkey, RedisKind::Redis7] {
            if !crate::available(kind) {
                continue;
            }
            for (state, code) in [
                (Refusing::ReadOnly, "-READONLY"),
                (Refusing::MasterDown, "-MASTERDOWN"),
                (Refusing::Busy, "-BUSY"),
                (Refusing::Misconf, "-MISCONF"),
                (Refusing::NoAuth, "-NOAUTH"),
                (Refusing::NoPerm, "-NOPERM"),
                (Refusing::NoReplicas, "-NOREPLICAS"),
                (Refusing::ClusterDown, "-CLUSTERDOWN"),
                (Refusing::Loading, "-LOADING"),
                (Refusing::TooManyClients, "-ERR max number of clients reached"),
            ] {
                let (server, _) = state.server(kind);
                let refusal = state.begin(&server);
                // A replica refuses to write before it looks for its primary.
                let command = if state == Refusing::MasterDown { "GET shop" } else { "SET shop boutique" };
                let answer = answer_to(&server, command);
                assert!(answer.starts_with(code), "{kind:?} {state:?}: {answer}");
                refusal.end();
                assert_eq!(answer_to(&server, "SET shop boutique"), "+OK\r\n", "{kind:?} {state:?}");
            }
        }
    }
}
