//! A way to Redis that can be led to another server, and whose connections can fall silent without being closed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Clone)]
pub(crate) struct Gate {
    port: u16,
    target: Arc<Mutex<u16>>,
    /// How many of the connections are silent: those that were made first.
    silent: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
}

impl Gate {
    /// A gate to the server on this loopback port; lives as long as the runtime.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let gate = Self {
            port: listener.local_addr().unwrap().port(),
            target: Arc::new(Mutex::new(port)),
            silent: Arc::default(),
            made: Arc::default(),
        };
        let accepting = gate.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (gate, number) = (accepting.clone(), accepting.made.fetch_add(1, Ordering::SeqCst));
                // An end that breaks off ends the other one, too.
                tokio::spawn(async move { gate.carry(client, number).await.ok() });
            }
        });
        gate
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Leads new connections to another server.
    pub(crate) fn lead_to(&self, port: u16) {
        *self.target.lock().unwrap() = port;
    }

    /// From now on nothing comes out of the connections that there are. They stay open.
    pub(crate) fn silence(&self) {
        self.silent.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    async fn carry(&self, mut client: TcpStream, number: usize) -> std::io::Result<()> {
        let target = *self.target.lock().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            tokio::select! {
                n = client.read(&mut request) => match n? {
                    0 => return Ok(()),
                    n => server.write_all(&request[..n]).await?,
                },
                n = server.read(&mut answer) => match n? {
                    0 => return Ok(()),
                    n if number >= self.silent.load(Ordering::SeqCst) => client.write_all(&answer[..n]).await?,
                    _ => {}
                }
            }
        }
    }
}
