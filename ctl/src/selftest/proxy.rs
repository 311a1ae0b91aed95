//! A TCP proxy before the server whose connections can be cut.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A proxy to a local port; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    cuts: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (cuts, _) = watch::channel(false);
        let subscriber = cuts.clone();
        let accepting = tokio::spawn(async move {
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    // An end that breaks off is what this is for.
                    let carried = carry(client, server, subscriber.subscribe());
                    tokio::spawn(async move { carried.await.ok() });
                }
            }
        });
        Ok(Self { port, cuts, accepting })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Cuts every connection: at once, or (`answer`) instead of passing on what the server next answers.
    pub(crate) fn cut(&self, answer: bool) {
        self.cuts.send_replace(answer);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut client: TcpStream, server: u16, mut cuts: watch::Receiver<bool>) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut losing = false;
    loop {
        tokio::select! {
            changed = cuts.changed() => {
                losing = *cuts.borrow_and_update();
                if changed.is_err() || !losing {
                    return Ok(());
                }
            }
            n = client.read(&mut request) => match n? {
                0 => return Ok(()),
                n => server.write_all(&request[..n]).await?,
            },
            n = server.read(&mut answer) => match n? {
                0 => return Ok(()),
                _ if losing => return Ok(()),
                n => client.write_all(&answer[..n]).await?,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port()).await.unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"ask").await.unwrap();
        let mut asked = [0; 3];
        server.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"ask");
        (proxy, client, server)
    }

    #[tokio::test]
    async fn a_cut_ends_both_sides() {
        let (proxy, mut client, mut server) = pair().await;
        proxy.cut(false);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_cut_can_lose_an_answer_whose_request_arrived() {
        let (proxy, mut client, mut server) = pair().await;
        server.write_all(b"first").await.unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await.unwrap();
        proxy.cut(true);
        client.write_all(b"more").await.unwrap();
        let mut asked = [0; 4];
        server.read_exact(&mut asked).await.unwrap();
        server.write_all(b"lost").await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }
}
