//! tokio-tungstenite in the crowd of bench/scale: `scale URL COUNT`, a task per
//! connection on one thread. What it prints and takes is in bench/scale/run.py.

use std::error::Error;
use std::fs;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use url::Url;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const AT_ONCE: usize = 256;

struct Crowd {
    url: Url,
    tls: Option<TlsConnector>,
    count: usize,
    handshakes: Semaphore,
    opened: AtomicUsize,
    heard: AtomicUsize,
    all_open: Notify,
    all_heard: Notify,
    /// Has the first connection send.
    send: Notify,
}

impl Crowd {
    async fn join(self: Arc<Crowd>, first: bool) -> Outcome<()> {
        let place = self.handshakes.acquire().await?;
        let addresses = self.url.socket_addrs(|| None)?;
        let socket = TcpStream::connect(&*addresses).await?;
        socket.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => {
                let host = self.url.host_str().ok_or("no host")?.to_owned();
                let socket = tls.connect(ServerName::try_from(host)?, socket).await?;
                let ws = client_async(self.url.as_str(), socket).await?.0;
                drop(place);
                self.stay(ws, first).await
            }
            None => {
                let ws = client_async(self.url.as_str(), socket).await?.0;
                drop(place);
                self.stay(ws, first).await
            }
        }
    }

    async fn stay<S>(&self, mut ws: WebSocketStream<S>, first: bool) -> Outcome<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.opened.fetch_add(1, Ordering::Relaxed) + 1 == self.count {
            self.all_open.notify_one();
        }
        loop {
            tokio::select! {
                message = ws.next() => {
                    message.ok_or("the server closed")??;
                    if (self.heard.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.count) {
                        self.all_heard.notify_one();
                    }
                }
                () = self.send.notified(), if first => {
                    ws.send(Message::Binary(vec![0; 64].into())).await?;
                }
            }
        }
    }
}

fn connector() -> Outcome<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(std::env::var("BENCH_CA")?)?)?;
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn memory() -> Outcome<String> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let bytes = |name: &str| -> Outcome<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    };
    Ok(format!(r#"{{"rss": {}, "pss": {}}}"#, bytes("Rss:")?, bytes("Pss:")?))
}

fn cpu() -> f64 {
    // SAFETY: all zeroes are an rusage, and the kernel writes into one that lives during the call.
    let used = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut used);
        used
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("expected URL COUNT".into());
    };
    let url = Url::parse(&format!("{url}/hub"))?;
    let crowd = Arc::new(Crowd {
        tls: (url.scheme() == "wss").then(connector).transpose()?,
        url,
        count: count.parse()?,
        handshakes: Semaphore::new(AT_ONCE),
        opened: AtomicUsize::new(0),
        heard: AtomicUsize::new(0),
        all_open: Notify::new(),
        all_heard: Notify::new(),
        send: Notify::new(),
    });
    let begun = Instant::now();
    for i in 0..crowd.count {
        let joined = crowd.clone().join(i == 0);
        tokio::spawn(async move {
            if let Err(error) = joined.await {
                eprintln!("scale: {error}");
                std::process::exit(1);
            }
        });
    }
    crowd.all_open.notified().await;
    println!(r#"{{"connected": {}, "seconds": {}}}"#, crowd.count, begun.elapsed().as_secs_f64());

    let (tell, mut commands) = mpsc::channel(1);
    std::thread::spawn(move || {
        std::io::stdin()
            .lock()
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| tell.blocking_send(line))
    });
    while let Some(command) = commands.recv().await {
        match command.as_str() {
            "memory" => println!("{}", memory()?),
            "cpu" => println!(r#"{{"cpu": {}}}"#, cpu()),
            "broadcast" => {
                let begun = Instant::now();
                crowd.send.notify_one();
                crowd.all_heard.notified().await;
                println!(r#"{{"seconds": {}}}"#, begun.elapsed().as_secs_f64());
            }
            "end" => break,
            _ => return Err(format!("an unknown command: {command:?}").into()),
        }
    }
    println!("{{}}");
    // The kernel takes all connections down at once.
    std::process::exit(0)
}
