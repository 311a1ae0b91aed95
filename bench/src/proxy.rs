//! A TCP proxy before the server: counts the commands that clients send, and can make each round trip longer.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// A proxy that runs until this process ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    commands: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy to a local port; every answer comes `delay` later.
    pub(crate) fn start(server: u16, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let commands = Arc::new(AtomicU64::new(0));
        let counted = commands.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that finds no server behind the proxy sees its connection closed.
                let _ = connect(client, server, delay, counted.clone());
            }
        });
        Ok(Self { port, commands })
    }

    /// Commands since the start; those inside scripts are not among them.
    pub(crate) fn n_commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }
}

fn connect(client: TcpStream, server: u16, delay: Duration, commands: Arc<AtomicU64>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let mut counter = CommandCounter::default();
        copy(from_client, to_server, |bytes| {
            commands.fetch_add(counter.feed(bytes), Ordering::Relaxed);
        });
    });
    if delay.is_zero() {
        thread::spawn(move || copy(server, client, |_| {}));
    } else {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || read_late(server, delay, &sender));
        thread::spawn(move || write_late(client, &receiver));
    }
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        see(&buffer[..n]);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn read_late(mut from: TcpStream, delay: Duration, sender: &mpsc::Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + delay, buffer[..n].to_vec())).is_err() {
            break;
        }
    }
}

fn write_late(mut to: TcpStream, receiver: &mpsc::Receiver<(Instant, Vec<u8>)>) {
    for (at, bytes) in receiver {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Counts the commands in a stream of requests, however it is cut: `*<n>`, then `n` times `$<length>` and so many bytes.
#[derive(Debug, Default)]
struct CommandCounter {
    line: Vec<u8>,
    arguments_left: u64,
    /// Bytes of an argument, and the line end after them, that are still to come.
    skip: usize,
}

impl CommandCounter {
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut n = 0;
        while let Some(first) = bytes.first() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                if self.skip == 0 {
                    n += self.argument_ended();
                }
            } else if *first == b'\n' {
                self.line_ended();
                bytes = &bytes[1..];
            } else {
                self.line.push(*first);
                bytes = &bytes[1..];
            }
        }
        n
    }

    fn argument_ended(&mut self) -> u64 {
        self.arguments_left = self.arguments_left.saturating_sub(1);
        u64::from(self.arguments_left == 0)
    }

    fn line_ended(&mut self) {
        let line = std::mem::take(&mut self.line);
        let number = || std::str::from_utf8(line.get(1..)?).ok()?.trim().parse::<usize>().ok();
        match line.first() {
            Some(b'*') => self.arguments_left = number().unwrap_or(0) as u64,
            Some(b'$') => self.skip = number().unwrap_or(0) + 2,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"*2\r\n$4\r\nPING\r\n$8\r\na\r\n*1\r\nb\r\n*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$1\r\n*\r\n";

    #[test]
    fn commands_are_counted_however_the_stream_is_cut() {
        for width in 1..STREAM.len() {
            let mut counter = CommandCounter::default();
            let n: u64 = STREAM.chunks(width).map(|chunk| counter.feed(chunk)).sum();
            assert_eq!(n, 3, "in pieces of {width} bytes");
        }
    }

    #[test]
    fn a_proxy_passes_bytes_on_and_takes_its_time() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let delay = Duration::from_millis(5);
        let proxy = Proxy::start(server.local_addr().unwrap().port(), delay).unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        let began = Instant::now();
        client.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
        let mut request = [0; 14];
        accepted.read_exact(&mut request).unwrap();
        accepted.write_all(b"+PONG\r\n").unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
        assert!(began.elapsed() >= delay);
        assert_eq!(proxy.n_commands(), 1);
    }
}
