//! The two doors that clients come through, and what happens behind them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_local};

use crate::port::Port;
use crate::relay::relay;
use crate::server::Desk;
use crate::weather::Weather;

/// The ports of the proxy, for ws and wss.
pub(crate) struct Doors {
    pub(crate) plain: Port,
    pub(crate) secure: Port,
}

impl Doors {
    pub(crate) fn reserve() -> io::Result<Self> {
        Ok(Self { plain: Port::reserve()?, secure: Port::reserve()? })
    }
}

/// Lets clients in until it is closed. Those that are in stay.
pub(crate) struct Proxy(JoinSet<()>);

impl Proxy {
    pub(crate) fn open(doors: &Doors, desk: &Rc<Desk>, weather: &Rc<Weather>) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        for (door, server, secure) in
            [(&doors.plain, &desk.plain, false), (&doors.secure, &desk.secure, true)]
        {
            let (desk, weather) = (Rc::clone(desk), Rc::clone(weather));
            tasks.spawn_local(accept(door.listen()?, server.address(), secure, desk, weather));
        }
        Ok(Self(tasks))
    }

    /// Returns when connections are refused.
    pub(crate) async fn close(mut self) {
        self.0.shutdown().await;
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    secure: bool,
    desk: Rc<Desk>,
    weather: Rc<Weather>,
) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            spawn_local(relay(client, server, secure, Rc::clone(&desk), Rc::clone(&weather)));
        }
    }
}
