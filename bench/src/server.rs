//! A private Redis server on a free port, without persistence unless asked for.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use redis::aio::MultiplexedConnection;

/// The kernel's unit of processor time in /proc on every platform that we run on.
const TICKS_PER_S: f64 = 100.0;
const START: Duration = Duration::from_secs(10);

/// A server that ends with this.
#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    aof: bool,
    process: tokio::process::Child,
    folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) version: String,
    admin: MultiplexedConnection,
    /// When the statistics were reset, and the processor time that this server and this process had used by then.
    reset: (Instant, f64, f64),
}

impl Server {
    /// Starts `binary`; with `aof` it keeps an append-only file, synced every second.
    pub(crate) async fn start(binary: &Path, aof: bool) -> anyhow::Result<Self> {
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("bench-{}-{port}", std::process::id()));
        let process = spawn(binary, aof, port, &folder)?;
        let mut admin = connect(port).await.with_context(|| format!("{} does not answer", binary.display()))?;
        let version = version(&info(&mut admin, "server").await?);
        let reset = (Instant::now(), 0.0, 0.0);
        Ok(Self { binary: binary.to_owned(), aof, process, folder, port, version, admin, reset })
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// `None` when it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// A new server in its place, with empty memory: one that was flushed gives out memory that it had before, which is faster.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().await?;
        std::fs::remove_dir_all(&self.folder)?;
        self.process = spawn(&self.binary, self.aof, self.port, &self.folder)?;
        self.admin = connect(self.port).await?;
        Ok(())
    }

    /// Removes all keys.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(redis::cmd("FLUSHALL").arg("SYNC").query_async(&mut self.admin).await?)
    }

    /// Bytes that the server's data take.
    pub(crate) async fn used_memory(&mut self) -> anyhow::Result<u64> {
        let info = info(&mut self.admin, "memory").await?;
        field(&info, "used_memory").and_then(|value| value.parse().ok()).context("the server tells no used_memory")
    }

    /// Begins a profile.
    pub(crate) async fn reset_statistics(&mut self) -> anyhow::Result<()> {
        let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query_async(&mut self.admin).await?;
        self.reset = (Instant::now(), self.processor_time().await?, own_processor_time()?);
        Ok(())
    }

    /// What was used since [`Server::reset_statistics`]: processor time, and the costliest commands, those that scripts make
    /// included.
    pub(crate) async fn profile(&mut self) -> anyhow::Result<String> {
        let (began, server_before, own_before) = self.reset;
        let took = began.elapsed().as_secs_f64();
        let server = self.processor_time().await? - server_before;
        let own = own_processor_time()? - own_before;
        let info = info(&mut self.admin, "commandstats").await?;
        let mut lines: Vec<(u64, String)> = info.lines().filter_map(command_statistic).collect();
        lines.sort_by_key(|(us, _)| std::cmp::Reverse(*us));
        let commands: Vec<String> = lines.into_iter().take(10).map(|(_, line)| format!("      {line}\n")).collect();
        Ok(format!("      {took:.2} s; processor: server {server:.2} s, bench {own:.2} s\n{}", commands.concat()))
    }

    /// Seconds of processor time that the server has used.
    async fn processor_time(&mut self) -> anyhow::Result<f64> {
        let info = info(&mut self.admin, "cpu").await?;
        let seconds = |name| field(&info, name).and_then(|value| value.parse::<f64>().ok());
        seconds("used_cpu_user").zip(seconds("used_cpu_sys")).map(|(user, sys)| user + sys).context("no processor time")
    }
}

fn spawn(binary: &Path, aof: bool, port: u16, folder: &Path) -> anyhow::Result<tokio::process::Child> {
    std::fs::create_dir_all(folder)?;
    let mut command = tokio::process::Command::from(mortal(binary));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendfsync", "everysec"]);
    command.args(["--appendonly", if aof { "yes" } else { "no" }, "--maxmemory-policy", "noeviction", "--dir"]);
    command.arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", binary.display()))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.start_kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The command, made to end when this process does, even by kill -9, where util-linux has the tool for it.
pub(crate) fn mortal(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let client = redis::Client::open(url(port))?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let deadline = Instant::now() + START;
    loop {
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() > deadline => bail!(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn info(admin: &mut MultiplexedConnection, section: &str) -> anyhow::Result<String> {
    Ok(redis::cmd("INFO").arg(section).query_async(admin).await?)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn version(info: &str) -> String {
    match (field(info, "valkey_version"), field(info, "redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "unknown server".to_owned(),
    }
}

/// Seconds of processor time that this process has used.
fn own_processor_time() -> anyhow::Result<f64> {
    processor_time(std::process::id())
}

/// Seconds of processor time that a process has used.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).context(path)?;
    // The program's name, in brackets, may hold spaces; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / TICKS_PER_S)
}

/// Microseconds, and the line to show, of `cmdstat_hset:calls=1,usec=2,usec_per_call=2.00,…`.
fn command_statistic(line: &str) -> Option<(u64, String)> {
    let (name, values) = line.strip_prefix("cmdstat_")?.trim().split_once(':')?;
    let value = |key: &str| values.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let us = value("usec")?.parse().ok()?;
    Some((us, format!("{name:<12} {:>9} calls {us:>10} µs {:>9} µs/call", value("calls")?, value("usec_per_call")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_the_server() {
        assert_eq!(version("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n"), "Valkey 9.1.2");
        assert_eq!(version("# Server\r\nredis_version:7.0.15\r\n"), "Redis 7.0.15");
    }

    #[test]
    fn command_statistics_are_read() {
        let line = "cmdstat_hset:calls=3,usec=12,usec_per_call=4.00,rejected_calls=0,failed_calls=0\r";
        let (us, text) = command_statistic(line).unwrap();
        assert_eq!(us, 12);
        assert!(text.starts_with("hset") && text.contains("3 calls") && text.ends_with("4.00 µs/call"), "{text}");
    }
}
