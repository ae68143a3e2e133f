//! What the Rust programs of the benchmark share: the command line
//!
//! ```text
//! PROGRAM echo|flood|sink|tick|many URL COUNT SIZE
//! ```
//!
//! what each workload does with a client, on one thread, and the line of JSON at
//! the end. Exit 1 is a failure, exit 3 something that the client does not have.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// Whatever went wrong ends the program.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A TCP connection, or TLS on one.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// A WebSocket client, used as its documentation recommends for speed.
#[allow(async_fn_in_trait)]
pub trait Client<S: Socket>: Sized + 'static {
    /// The WebSocket handshake.
    async fn open(socket: S, url: &Url, deflate: bool) -> Outcome<Self>;
    /// Sends one message, at once.
    async fn send(&mut self, payload: Bytes, text: bool) -> Outcome<()>;
    /// Waits for a message and shows it to `take`.
    async fn receive<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Outcome<R>;
    /// Sends a binary message `count` times, in batches, and waits for the answer.
    async fn fill(self, payload: Bytes, count: u64) -> Outcome<Vec<u8>>;
}

/// What is defined beside `fn main` of a program.
#[macro_export]
macro_rules! run {
    ($client:ident, deflate: $deflate:literal) => {
        fn main() -> std::process::ExitCode {
            $crate::Bench::main($deflate, async |bench| {
                if bench.url.scheme() == "wss" {
                    bench.run::<_, $client<_>>(async |bench| bench.connect_tls().await).await
                } else {
                    bench.run::<_, $client<_>>(async |bench| bench.connect().await).await
                }
            })
        }
    };
}

/// The arguments, and what was measured.
pub struct Bench {
    workload: String,
    /// The server's, with the workload in its path.
    pub url: Url,
    deflate: bool,
    count: u64,
    size: u64,
    begun: Usage,
    samples: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Usage {
    ns: u64,
    cpu: f64,
}

fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn usage() -> Usage {
    // SAFETY: a rusage is integers, for which zero is a value, and the pointer is to ours.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Usage { ns: now_ns(), cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime) }
}

/// The most memory this program ever had. Not `ru_maxrss`, which begins with what the
/// process had that started it.
fn peak_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

impl Bench {
    fn from_arguments() -> Outcome<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [workload, url, count, size] = arguments.as_slice() else {
            return Err("expected WORKLOAD URL COUNT SIZE".into());
        };
        let url = Url::parse(url)?;
        let count = count.parse()?;
        Ok(Self {
            workload: workload.clone(),
            deflate: url.query().is_some_and(|query| query.contains("deflate=1")),
            url,
            count,
            size: size.parse()?,
            begun: usage(),
            samples: Vec::with_capacity(if matches!(&**workload, "echo" | "tick") {
                count as usize
            } else {
                0
            }),
        })
    }

    /// The whole program, for a client that knows `deflate` or does not.
    pub fn main(
        deflate: bool,
        run: impl AsyncFnOnce(&mut Self) -> Outcome<()>,
    ) -> std::process::ExitCode {
        let outcome = Self::from_arguments().and_then(|mut bench| {
            if bench.deflate && !deflate {
                eprintln!("LEFT OUT: no permessage-deflate");
                return Ok(3);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, run(&mut bench)).map(|()| 0)
        });
        outcome
            .unwrap_or_else(|error| {
                eprintln!("{error}");
                1
            })
            .into()
    }

    /// TCP to the server.
    pub async fn connect(&self) -> Outcome<TcpStream> {
        let host = self.url.host_str().ok_or("no host")?;
        let socket =
            TcpStream::connect((host, self.url.port_or_known_default().ok_or("no port")?)).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// TLS to the server, whose certificate is by the authority of `BENCH_CA`.
    pub async fn connect_tls(&self) -> Outcome<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(std::env::var("BENCH_CA")?)? {
            roots.add(certificate?)?;
        }
        let config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(self.url.host_str().ok_or("no host")?.to_owned())?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, self.connect().await?).await?)
    }

    /// The workload, with clients on sockets from `connect`.
    pub async fn run<S: Socket, C: Client<S>>(
        &mut self,
        connect: impl AsyncFn(&Self) -> Outcome<S>,
    ) -> Outcome<()> {
        if self.workload == "many" {
            return self.many::<S, C>(connect).await;
        }
        let mut client = C::open(connect(self).await?, &self.url, self.deflate).await?;
        match &*self.workload {
            "echo" => self.echo(&mut client).await?,
            "flood" => self.flood(&mut client).await?,
            "tick" => self.tick(&mut client).await?,
            "sink" => {
                self.begun = usage();
                if client.fill(self.payload(), self.count).await? != b"done" {
                    return Err("expected done".into());
                }
            }
            _ => return Err("no such workload".into()),
        }
        self.report(self.count)
    }

    fn payload(&self) -> Bytes {
        vec![0; self.size as usize].into()
    }

    async fn echo<S: Socket>(&mut self, client: &mut impl Client<S>) -> Outcome<()> {
        let (payload, warm_up) = (self.payload(), self.count / 10);
        for number in 0..warm_up + self.count {
            if number == warm_up {
                self.begun = usage();
            }
            let sent = now_ns();
            client.send(payload.clone(), false).await?;
            let (taken, len) = client.receive(|data| (now_ns() - sent, data.len())).await?;
            if len != payload.len() {
                return Err("the echo had another length".into());
            }
            if number >= warm_up {
                self.samples.push(taken);
            }
        }
        Ok(())
    }

    async fn flood<S: Socket>(&mut self, client: &mut impl Client<S>) -> Outcome<()> {
        self.begun = usage();
        client.send(Bytes::from_static(b"go"), true).await?;
        let mut bytes = 0;
        for _ in 0..self.count {
            bytes += client.receive(<[u8]>::len).await? as u64;
        }
        // What is inflated is JSON, and only about as long as it was asked to be.
        let whole = self.count * self.size;
        let expected = if self.deflate { whole / 2..=whole + whole / 2 } else { whole..=whole };
        if expected.contains(&bytes) { Ok(()) } else { Err("the flood had another length".into()) }
    }

    async fn tick<S: Socket>(&mut self, client: &mut impl Client<S>) -> Outcome<()> {
        self.begun = usage();
        client.send(Bytes::from_static(b"go"), true).await?;
        for _ in 0..self.count {
            let (now, stamp) =
                client.receive(|data| (now_ns(), data.first_chunk().copied())).await?;
            self.samples.push(
                now.saturating_sub(u64::from_le_bytes(stamp.ok_or("a tick without its time")?)),
            );
            while now_ns() - now < self.size * 500 {}
        }
        Ok(())
    }

    async fn many<S: Socket, C: Client<S>>(
        &mut self,
        connect: impl AsyncFn(&Self) -> Outcome<S>,
    ) -> Outcome<()> {
        let messages = Rc::new(Cell::new(0));
        let mut clients = Vec::new();
        for _ in 0..self.count {
            let mut client = C::open(connect(self).await?, &self.url, self.deflate).await?;
            let messages = Rc::clone(&messages);
            clients.push(tokio::task::spawn_local(async move {
                while client.receive(|_| ()).await.is_ok() {
                    messages.set(messages.get() + 1);
                }
            }));
        }
        self.begun = usage();
        let before = messages.get();
        tokio::time::sleep(Duration::from_secs(self.size)).await;
        let measured = messages.get() - before;
        if clients.iter().any(tokio::task::JoinHandle::is_finished) {
            return Err("a connection was lost".into());
        }
        self.report(measured)
    }

    fn report(&mut self, messages: u64) -> Outcome<()> {
        let (begun, ended) = (self.begun, usage());
        let seconds = (ended.ns - begun.ns) as f64 / 1e9;
        let (cpu, peak) = (ended.cpu - begun.cpu, peak_bytes()?);
        print!(
            r#"{{"seconds": {seconds:.6}, "cpu": {cpu:.6}, "messages": {messages}, "peak": {peak}"#
        );
        self.samples.sort_unstable();
        if let Some(&p50) = self.samples.get(self.samples.len() / 2) {
            let p99 = self.samples[self.samples.len() * 99 / 100];
            print!(r#", "p50": {:.2}, "p99": {:.2}"#, p50 as f64 / 1e3, p99 as f64 / 1e3);
        }
        println!("}}");
        Ok(())
    }
}
