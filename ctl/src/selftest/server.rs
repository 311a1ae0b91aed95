//! The private server: found, started, ended by SIGTERM and started again with the same data.

use std::{
    env, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Child,
};

use super::process::{end, mortal, send};

/// How long a server may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// When the append-only file is synced to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fsync {
    /// Each second
    Everysec,
    /// With every command
    Always,
}

/// A server that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    fsync: Fsync,
    process: Option<Child>,
    pub(crate) port: u16,
    /// Name and version, for example `Valkey 9.1.2`.
    pub(crate) name: String,
}

/// The binary to use: the one that was named, that of `./dev setup`, or one on the PATH.
pub(crate) fn find_binary(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        anyhow::ensure!(named.is_file(), "{} (--server) is no file", named.display());
        return Ok(named.to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = ["valkey-server", "redis-server"]
        .into_iter()
        .flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)).collect::<Vec<_>>());
    let own = PathBuf::from(".dev/bin/valkey-server");
    std::iter::once(own).chain(on_path).find(|candidate| candidate.is_file()).context(
        "no .dev/bin/valkey-server here, and neither valkey-server nor redis-server on the PATH: \
         run `./dev setup` in the project's folder, or name a server with --server",
    )
}

impl Server {
    /// Starts one with an append-only file in `folder`, on a free loopback port.
    pub(crate) async fn start(binary: PathBuf, folder: &Path, fsync: Fsync) -> Result<Self> {
        // Somebody else may take the port between the choice and the start.
        let mut server = Self { binary, folder: folder.to_owned(), fsync, process: None, port: 0, name: String::new() };
        let mut last = None;
        for port in free_ports().take(3) {
            server.port = port;
            match server.launch().await {
                Ok(()) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no free port on 127.0.0.1")))
    }

    async fn launch(&mut self) -> Result<()> {
        let fsync = self.fsync.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = mortal(&self.binary)?;
        command.args(["--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction", "--appendonly", "yes"]);
        command.args(["--appendfsync", &fsync, "--port", &self.port.to_string(), "--dir"]).arg(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let process = self.process.insert(started);
        let pid = process.id().unwrap_or(0);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = ask(self.port, &[b"INFO"]).await.unwrap_or_default();
            if info.contains(&format!("process_id:{pid}\r\n")) && info.contains("\nloading:0\r\n") {
                self.name = name(&info);
                return Ok(());
            }
            let ended = self.process.as_mut().is_some_and(|process| !matches!(process.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(5)..].join("\n");
                bail!("{} does not start; its log ends with:\n{tail}", self.binary.display());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGTERM, and the same server again once it has ended.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            send(&process, Signal::TERM)?;
            if tokio::time::timeout(PATIENCE, process.wait()).await.is_err() {
                bail!("the server did not end within {PATIENCE:?} after SIGTERM");
            }
        }
        self.launch().await
    }

    /// An error when the server ended without being asked to.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.process.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => Ok(()),
            ended => bail!("the server ended by itself ({ended:?})"),
        }
    }

    /// Deletes one field of a hash, behind the queue's back.
    pub(crate) async fn delete_field(&self, key: &str, field: &[u8]) -> Result<()> {
        let answer = ask(self.port, &[b"HDEL", key.as_bytes(), field]).await?;
        anyhow::ensure!(answer.starts_with(":1\r\n"), "HDEL {key}: {answer}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            end(process);
        }
    }
}

/// Ports on which nothing listens, below those that the kernel gives to outgoing connections: none of these can take the port
/// while the server restarts.
fn free_ports() -> impl Iterator<Item = u16> {
    let start = std::process::id().wrapping_mul(7919) % 17_000;
    let ports = (0..17_000).filter_map(move |offset| u16::try_from(15_000 + (start + offset) % 17_000).ok());
    ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// Sends one command on a connection of its own; the answer as it came. Here is the one place of the command line that speaks to
/// a server itself, because it is not about jobs.
async fn ask(port: u16, words: &[&[u8]]) -> io::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(*word);
            request.extend(b"\r\n");
        }
        request.extend(b"QUIT\r\n");
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(2), talk).await?
}

fn name(info: &str) -> String {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    match (field("valkey_version"), field("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "a server of unknown version".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_server() {
        assert_eq!(name("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n"), "Valkey 9.1.2");
        assert_eq!(name("# Server\r\nredis_version:7.0.15\r\n"), "Redis 7.0.15");
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let error = find_binary(Some(Path::new("no/such/server"))).unwrap_err();
        assert!(error.to_string().contains("no/such/server (--server) is no file"), "{error}");
    }
}
