//! Asks a running program whether it lives.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Less than a container engine waits, more than a program needs that asks others first.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Gets `path` from the program at `addr`, which lives when the status of its answer says so: the health check of a container. Prints
/// why not.
#[expect(clippy::print_stderr, reason = "the caller is a person or a container engine, and no log is set up")]
pub async fn healthcheck(addr: SocketAddr, path: &str, is_alive: fn(u16) -> bool) -> ExitCode {
    match check(addr, path, is_alive).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{addr} {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn check(addr: SocketAddr, path: &str, is_alive: fn(u16) -> bool) -> Result<(), String> {
    let answer = timeout(TIMEOUT, ask(addr, path)).await;
    let answer = answer.map_err(|_| format!("did not answer within {} s", TIMEOUT.as_secs()))?;
    let answer = answer.map_err(|error| format!("cannot be asked: {error}"))?;
    let line = answer.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/").and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    if status.is_some_and(is_alive) { Ok(()) } else { Err(format!("answered {line:?}")) }
}

async fn ask(mut addr: SocketAddr, path: &str) -> io::Result<String> {
    // "All addresses" is for listening; nobody can be called there.
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_status_decides_and_whoever_does_not_answer_is_not_well() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/busy", get(async || StatusCode::SERVICE_UNAVAILABLE));
        tokio::spawn(async { axum::serve(listener, router).await });
        assert_eq!(check(addr, "/busy", |_| true).await, Ok(()));
        let refused = check(addr, "/busy", |status| status == 200).await.unwrap_err();
        assert_eq!(refused, "answered \"HTTP/1.0 503 Service Unavailable\"");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = listener.local_addr().unwrap();
        tokio::spawn(async move { listener.accept().await.unwrap().0.write_all(b"220 mail\r\n").await });
        assert_eq!(check(other, "/", |_| true).await.unwrap_err(), "answered \"220 mail\"");
        // Its listener is gone now.
        assert!(check(other, "/", |_| true).await.unwrap_err().starts_with("cannot be asked: "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_told_by_its_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silence = check(listener.local_addr().unwrap(), "/", |_| true).await;
        assert_eq!(silence.unwrap_err(), "did not answer within 4 s");
    }
}
