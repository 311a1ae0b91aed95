//! A connection to Redis that can be cut: before a request reaches the server, or before its answer comes back.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::steps::Cut;

/// Passes everything on, until it is told to cut.
#[derive(Clone)]
pub(crate) struct Wire {
    url: String,
    cut: Arc<Mutex<Option<Cut>>>,
}

impl Wire {
    /// A wire to the server at `url`; lives as long as the runtime.
    pub(crate) async fn to(url: &str) -> Self {
        let authority = url.split_once("://").unwrap().1.split('/').next().unwrap();
        let address = authority.rsplit('@').next().unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let wire = Self { url: url.replacen(&address, &own, 1), cut: Arc::default() };
        let accepting = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (wire, address) = (accepting.clone(), address.clone());
                // An end that breaks off is what this is for.
                tokio::spawn(async move { wire.carry(client, &address).await.ok() });
            }
        });
        wire
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn arm(&self, cut: Cut) {
        *self.cut.lock().unwrap() = Some(cut);
    }

    /// Whether the cut that the wire was armed with is still to come; it no longer does.
    pub(crate) fn disarm(&self) -> bool {
        self.cut.lock().unwrap().take().is_some()
    }

    async fn carry(&self, mut client: TcpStream, address: &str) -> std::io::Result<()> {
        let mut server = TcpStream::connect(address).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        // Requests are far smaller than this, and each waits for the answer to the one before: one read is one request.
        let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            tokio::select! {
                n = client.read(&mut request) => {
                    let n = n?;
                    let cut = if n == 0 { Some(false) } else { self.next() };
                    if cut == Some(false) {
                        return Ok(());
                    }
                    server.write_all(&request[..n]).await?;
                    if cut == Some(true) {
                        // It is answered: it is carried out.
                        return server.read(&mut answer).await.map(drop);
                    }
                }
                n = server.read(&mut answer) => match n? {
                    0 => return Ok(()),
                    n => client.write_all(&answer[..n]).await?,
                }
            }
        }
    }

    /// Whether to cut at this request, and if so, whether the server is to carry it out.
    fn next(&self) -> Option<bool> {
        let mut cut = self.cut.lock().unwrap();
        let armed = cut.as_mut()?;
        armed.request -= 1;
        if armed.request > 0 {
            return None;
        }
        cut.take().map(|cut| cut.carried_out)
    }
}
