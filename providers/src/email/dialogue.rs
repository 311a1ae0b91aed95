//! One connection to an SMTP server: commands one by one, and what the server says to each.
//!
//! Nothing is said while the server has said something that nobody asked for: its answers would be taken for those to other commands.

use std::{fmt, io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::FutureExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, lookup_host},
    task::{unconstrained, yield_now},
    time::{Duration, timeout},
};
use tokio_rustls::TlsConnector;

use super::reply::{NoReply, Reply};

/// For each address of the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What bytes go over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection on which the server has been greeted.
pub(super) struct Dialogue<S = Box<dyn Wire>> {
    stream: BufReader<S>,
    /// What the server told of itself in its answer to EHLO, a line each, without its name.
    extensions: Vec<String>,
    /// Whether something came that fits, but is not what a server says in this place.
    is_odd: bool,
}

/// Why a command did not do what it should. The connection is of no more use.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server said no: 4xx or 5xx.
    Refused(Reply),
    /// The server said something else than what belongs there.
    Unexpected(String),
    /// The server said nothing.
    Lost(String),
    /// It cannot be talked with as configured: no TLS, no common way to log in.
    Unusable(String),
}

/// How TLS is spoken, and with whom.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl From<NoReply> for Fault {
    fn from(error: NoReply) -> Self {
        match error {
            NoReply::Closed | NoReply::Broken(_) => Self::Lost(error.to_string()),
            NoReply::Nonsense(what) => Self::Unexpected(what),
        }
    }
}

impl Tls {
    /// For the server `host`, whose certificate is vouched for by a public authority or one of `pem`.
    pub(super) fn new(host: &str, pem: Option<&[u8]>) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = pem {
            let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.map_err(|error| format!("is no certificate in PEM: {error}"))?;
            if certificates.is_empty() {
                return Err("is no certificate in PEM".to_owned());
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    async fn wrap(&self, stream: TcpStream) -> Result<Box<dyn Wire>, Fault> {
        match self.connector.connect(self.name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            // The other side spoke no TLS, or showed a certificate that nobody vouches for: the next connection would fare alike.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Fault::Unusable(format!("TLS: {error}"))),
            Err(error) => Err(Fault::Lost(format!("TLS: {error}"))),
        }
    }
}

/// Opens a connection to the first address that takes one.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, Fault> {
    let lost = |error: io::Error| Fault::Lost(error.to_string());
    let addresses = lookup_host((host.trim_matches(['[', ']']), port)).await.map_err(lost)?;
    let mut failure = Fault::Lost(format!("{host} has no address"));
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // The end of a text must not wait until its beginning was confirmed.
                stream.set_nodelay(true).map_err(lost)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = lost(error),
            Err(_) => failure = Fault::Lost(format!("silence for {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }
    Err(failure)
}

impl Dialogue {
    /// Waits for the greeting and says hello, in clear text.
    pub(super) async fn plain(stream: TcpStream, hello: &str) -> Result<Self, Fault> {
        Dialogue::begin(Box::new(stream) as Box<dyn Wire>, hello).await
    }

    /// The same in TLS from the first byte.
    pub(super) async fn implicit_tls(stream: TcpStream, tls: &Tls, hello: &str) -> Result<Self, Fault> {
        Dialogue::begin(tls.wrap(stream).await?, hello).await
    }

    /// The same in TLS, once the server has agreed to it. What it said before may be another's words, and is forgotten.
    pub(super) async fn starttls(stream: TcpStream, tls: &Tls, hello: &str) -> Result<Self, Fault> {
        let mut dialogue = Dialogue::begin(stream, hello).await?;
        if dialogue.extension("STARTTLS").is_none() {
            return Err(Fault::Unusable("STARTTLS is not supported on this server".to_owned()));
        }
        dialogue.command("STARTTLS", &[220]).await?;
        // Words that came in clear text must not be taken for words that came in TLS.
        dialogue.quiet().await?;
        let mut dialogue = Dialogue::over(tls.wrap(dialogue.stream.into_inner()).await?);
        dialogue.hello(hello).await?;
        Ok(dialogue)
    }
}

impl<S: Wire> Dialogue<S> {
    fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream), extensions: Vec::new(), is_odd: false }
    }

    async fn begin(stream: S, hello: &str) -> Result<Self, Fault> {
        let mut dialogue = Self::over(stream);
        dialogue.reply(&[220]).await?;
        dialogue.hello(hello).await?;
        Ok(dialogue)
    }

    async fn hello(&mut self, name: &str) -> Result<(), Fault> {
        let reply = self.command(&format!("EHLO {name}"), &[250]).await?;
        self.extensions = reply.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    /// What stands behind the name of an extension.
    fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            // Old servers write AUTH=PLAIN.
            (rest.is_empty() || rest.starts_with([' ', '='])).then(|| rest.trim_start_matches([' ', '=']))
        })
    }

    /// Logs in as PLAIN or else LOGIN says.
    pub(super) async fn log_in(&mut self, user: &str, password: &SecretString) -> Result<(), Fault> {
        let password = password.expose_secret();
        let mechanisms = self.extension("AUTH").unwrap_or_default().to_owned();
        let offered = |mechanism: &str| mechanisms.split_whitespace().any(|one| one == mechanism);
        if offered("PLAIN") {
            let answer = BASE64.encode(format!("\0{user}\0{password}"));
            self.command(&format!("AUTH PLAIN {answer}"), &[235]).await?;
        } else if offered("LOGIN") {
            // It asks for the one and then for the other, in words of its own.
            self.command("AUTH LOGIN", &[334]).await?;
            self.command(&BASE64.encode(user), &[334]).await?;
            self.command(&BASE64.encode(password), &[235]).await?;
        } else {
            return Err(Fault::Unusable("the server offers neither AUTH PLAIN nor AUTH LOGIN".to_owned()));
        }
        Ok(())
    }

    pub(super) async fn sender(&mut self, address: &str) -> Result<(), Fault> {
        self.command(&format!("MAIL FROM:<{address}>"), &[250]).await.map(drop)
    }

    pub(super) async fn recipient(&mut self, address: &str) -> Result<(), Fault> {
        self.command(&format!("RCPT TO:<{address}>"), &[250, 251, 252]).await.map(drop)
    }

    pub(super) async fn data(&mut self) -> Result<(), Fault> {
        self.command("DATA", &[354]).await.map(drop)
    }

    /// Hands the text over without its end, so that the server has nothing that it could deliver.
    pub(super) async fn text(&mut self, message: &[u8]) -> Result<(), Fault> {
        if let Err(error) = self.write(&on_the_wire(message)).await {
            // A server that wants no more of it may have said why before it hung up.
            return Err(match Reply::read(&mut self.stream).await {
                Ok(reply) if reply.code >= 400 => Fault::Refused(reply),
                _ => error,
            });
        }
        // What is said before the end is no answer to it. A refusal may come as early as this.
        match self.unasked().await? {
            None => Ok(()),
            Some(reply) if reply.code >= 400 => Err(Fault::Refused(reply)),
            Some(reply) => Err(too_many(&reply)),
        }
    }

    /// Says that the text is over. Only now the server may deliver it.
    pub(super) async fn end_of_text(&mut self) -> Result<Reply, Fault> {
        self.write(b".\r\n").await?;
        self.reply(&[250]).await
    }

    /// Whether the connection may be used for another message: nothing out of place was said, and nothing unasked, not even half a
    /// line.
    pub(super) async fn is_in_step(&mut self) -> bool {
        !self.is_odd && self.heard().await.is_none()
    }

    /// The same, and the server still answers.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.is_in_step().await && self.command("NOOP", &[250]).await.is_ok() && self.is_in_step().await
    }

    pub(super) async fn quit(mut self) {
        // How it takes leave does not matter.
        let _ = self.command("QUIT", &[221]).await;
    }

    /// Says a line, and waits for one of these replies.
    async fn command(&mut self, line: &str, usual: &[u16]) -> Result<Reply, Fault> {
        self.quiet().await?;
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply(usual).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| Fault::Lost(error.to_string()))
    }

    /// One of the `usual` replies; where a 2xx is usual, any other 2xx will do this once.
    async fn reply(&mut self, usual: &[u16]) -> Result<Reply, Fault> {
        let reply = Reply::read(&mut self.stream).await?;
        let is_usual = usual.contains(&reply.code);
        self.is_odd |= !is_usual || reply.is_bare;
        match reply.code {
            _ if is_usual => Ok(reply),
            400.. => Err(Fault::Refused(reply)),
            200..300 if usual.iter().any(|code| (200..300).contains(code)) => Ok(reply),
            _ => Err(Fault::Unexpected(format!("{reply}, which is no answer to that"))),
        }
    }

    /// Makes sure that the server has said nothing since its last reply.
    async fn quiet(&mut self) -> Result<(), Fault> {
        match self.unasked().await? {
            None => Ok(()),
            // The one reply that may come by itself.
            Some(reply) if reply.code == 421 => Err(Fault::Refused(reply)),
            Some(reply) => Err(too_many(&reply)),
        }
    }

    /// What the server has said since its last reply; waits for no more than the rest of what has begun.
    async fn unasked(&mut self) -> Result<Option<Reply>, Fault> {
        match self.heard().await {
            None => Ok(None),
            Some(Ok(0)) => Err(NoReply::Closed.into()),
            Some(Err(error)) => Err(NoReply::Broken(error).into()),
            Some(Ok(_)) => Ok(Some(Reply::read(&mut self.stream).await?)),
        }
    }

    /// How many bytes have come since the last reply, if any or the end of the connection has; waits for nothing.
    async fn heard(&mut self) -> Option<io::Result<usize>> {
        // Gives the runtime the time to see what has arrived.
        yield_now().await;
        let heard = unconstrained(self.stream.fill_buf()).now_or_never()?;
        Some(heard.map(<[u8]>::len))
    }
}

impl<S> fmt::Debug for Dialogue<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dialogue").field("is_odd", &self.is_odd).finish_non_exhaustive()
    }
}

fn too_many(reply: &Reply) -> Fault {
    Fault::Unexpected(format!("{reply}, which nobody had asked for"))
}

/// With CRLF after each line, whatever stood there, and with a second dot before one at the beginning of a line.
fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + message.len() / 64 + 2);
    let mut rest = message;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
        rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_text_can_end_it() {
        for (message, wire) in [
            (&b"a\r\n.\r\nb\r\n"[..], &b"a\r\n..\r\nb\r\n"[..]),
            (b".a", b"..a\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n"),
            (b"a\r.\rb\r", b"a\r\n..\r\nb\r\n"),
            (b"a\r\n\r\n\nb", b"a\r\n\r\n\r\nb\r\n"),
            (b"a\r\r\n.b", b"a\r\n\r\n..b\r\n"),
            (b"", b""),
        ] {
            assert_eq!(on_the_wire(message), wire, "{message:?}");
        }
    }

    #[test]
    fn extensions_are_known_by_their_whole_name() {
        let mut dialogue = Dialogue::over(tokio::io::empty());
        dialogue.extensions = ["AUTHX PLAIN", "AUTH=LOGIN PLAIN", "STARTTLS"].map(str::to_owned).to_vec();
        assert_eq!(dialogue.extension("AUTH"), Some("LOGIN PLAIN"));
        assert_eq!((dialogue.extension("STARTTLS"), dialogue.extension("SIZE")), (Some(""), None));
    }
}
