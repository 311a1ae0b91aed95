//! The internal listener: `/metrics`, and beside it what the program says of its health. Only operators reach it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{Router, routing::get};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{interval, sleep, timeout},
};
use tower::ServiceExt;

/// So many ports are tried after the one that was asked for.
const PORTS_TRIED: u16 = 100;
/// How often the samples of histograms are counted into their buckets. Until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(1);
/// A client may take so long to ask and to read its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many connections there are at a time; the next one waits.
const CONNECTIONS: usize = 64;
/// When the system gives no connection, it is asked again after this time.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The internal listener, and the metrics that it shows.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    addr: SocketAddr,
    metrics: PrometheusHandle,
}

impl Admin {
    /// Starts to record metrics, with histograms of these buckets, and binds `addr` or the next free port after it. In a process that
    /// records already, those metrics are shown.
    ///
    /// # Errors
    /// When all those ports are taken, or somebody else records.
    pub async fn start(addr: SocketAddr, buckets: &[f64]) -> anyhow::Result<Self> {
        let metrics = recording(buckets)?;
        let listener = bind(addr).await.with_context(|| format!("cannot listen on ADMIN_ADDR={addr}"))?;
        let bound = listener.local_addr()?;
        if addr.port() != 0 && bound != addr {
            tracing::info!("ADMIN_ADDR={addr} is taken: metrics are on {bound}");
        }
        Ok(Self { listener, addr: bound, metrics })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers `/metrics` and what `health` has until it is dropped. Samples are counted into their buckets all the while, whether or
    /// not somebody fetches them.
    pub async fn serve(self, health: Router) {
        let metrics = self.metrics.clone();
        let router = health.route("/metrics", get(async move || metrics.render()));
        tokio::join!(answer(self.listener, router), keep_up(self.metrics));
    }
}

/// What is recorded in this process.
fn recording(buckets: &[f64]) -> anyhow::Result<PrometheusHandle> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = builder(buckets).and_then(PrometheusBuilder::install_recorder);
    Ok(handle.insert(installed.context("cannot start recording metrics")?).clone())
}

fn builder(buckets: &[f64]) -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets(buckets)
}

async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let mut tried = addr;
    loop {
        match TcpListener::bind(tried).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let next = tried.port().checked_add(1).filter(|port| port - addr.port() <= PORTS_TRIED);
                tried.set_port(next.ok_or(error)?);
            }
            result => return result,
        }
    }
}

async fn keep_up(metrics: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

async fn answer(listener: TcpListener, router: Router) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let seat = seats.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    // One request a connection, so that one time-out is enough. Whoever needs longer is sent away.
                    let _ = timeout(PATIENCE, connection(stream, router)).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to the admin listener was not accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| router.clone().oneshot(request));
    if let Err(error) = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the admin listener broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    use super::*;

    const JOBS_A_TICK: u64 = 10_000;

    async fn admin(metrics: PrometheusHandle) -> Admin {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Admin { addr: listener.local_addr().unwrap(), listener, metrics }
    }

    /// The most bytes that were in use while so many jobs were counted and nobody fetched it, and those that are still.
    fn bytes(n_jobs: u64) -> (u64, i64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let recorder = builder(&[0.001, 1.0]).unwrap().build_recorder();
        let durations = metrics::with_local_recorder(&recorder, || metrics::histogram!("queue_job_duration_seconds"));
        let used = allocation_counter::measure(|| {
            runtime.block_on(async {
                let count = async {
                    for _ in 0..n_jobs / JOBS_A_TICK {
                        (0..JOBS_A_TICK).for_each(|_| durations.record(0.004));
                        sleep(UPKEEP).await;
                    }
                };
                let serve = admin(recorder.handle()).await.serve(Router::new());
                tokio::select! {
                    () = serve => panic!("it ended by itself"),
                    () = count => {}
                }
            });
        });
        assert!(recorder.handle().render().contains(&format!("queue_job_duration_seconds_count {n_jobs}\n")));
        (used.bytes_max, used.bytes_current)
    }

    #[test]
    fn a_program_whose_metrics_nobody_fetches_is_flat_over_a_million_jobs() {
        let ((most, left), (most_of_million, left_of_million)) = (bytes(100_000), bytes(1_000_000));
        let room = 64 << 10;
        assert!(most_of_million <= most + room, "{most} bytes at most over 100,000 jobs, then {most_of_million}");
        assert!(left_of_million <= left + i64::try_from(room).unwrap(), "{left} bytes, then {left_of_million}");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_do_not_ask_or_do_not_read_keep_nobody_out() {
        let admin = admin(builder(&[1.0]).unwrap().build_recorder().handle()).await;
        let addr = admin.addr();
        let health =
            Router::new().route("/health", get(async || "ok\n")).route("/long", get(async || vec![0; 64 << 20]));
        tokio::spawn(admin.serve(health));
        let mut slow = Vec::new();
        for n in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let sent = ["", "GET /health HT", "GET /long HTTP/1.1\r\nhost: x\r\n\r\n"][n % 3];
            stream.write_all(sent.as_bytes()).await.unwrap();
            slow.push(stream);
        }
        let began = Instant::now();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(2 * PATIENCE, read).await.expect("it has its turn").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
        assert_eq!(slow[0].read(&mut [0; 8]).await.unwrap(), 0, "it was sent away");
    }

    #[tokio::test]
    async fn a_taken_port_gives_the_next_free_one() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let taken = first.local_addr().unwrap();
        let second = bind(taken).await.unwrap().local_addr().unwrap();
        assert!(second.port() > taken.port(), "{second} is not after {taken}");
    }
}
