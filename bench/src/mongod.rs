//! A private MongoDB: one member that is its own majority, on a free port.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use mongodb::{Client, Database, bson::doc};

use crate::server::{free_port, mortal};

const START: Duration = Duration::from_secs(60);

/// A server that ends with this.
#[derive(Debug)]
pub(crate) struct Mongod {
    process: tokio::process::Child,
    folder: PathBuf,
    client: Client,
    url: String,
}

impl Mongod {
    pub(crate) async fn start(binary: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("bench-mongod-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut command = tokio::process::Command::from(mortal(binary));
        command.args(["--replSet", "rs0", "--bind_ip", "127.0.0.1", "--quiet", "--wiredTigerCacheSizeGB", "1"]);
        command.args(["--port", &port.to_string(), "--dbpath"]).arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let url = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        let client = Client::with_uri_str(&url).await?;
        let server = Self { process, folder, client, url };
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
        let set = doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } };
        server
            .client
            .database("admin")
            .run_command(set)
            .await
            .with_context(|| format!("{} does not answer", binary.display()))?;
        server.becomes_primary().await?;
        Ok(server)
    }

    async fn becomes_primary(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        while !self.client.database("admin").run_command(doc! { "hello": 1 }).await?.get_bool("isWritablePrimary")? {
            anyhow::ensure!(Instant::now() < deadline, "mongod does not become primary");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    pub(crate) fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        let _ = self.process.start_kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
