//! Shutdowns in odd moments, hence in a process of its own.

mod support;

use std::time::Duration;

use longwire::{Client, Event};
use support::{LIMIT, Probe, Seen, once};

#[test]
fn clients_that_never_began_and_handlers_that_shut_down_hear_of_the_end() {
    for _ in 0..50 {
        // Nobody ever accepts.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let probes = Probe::both(&once(url));
        longwire::shutdown(Duration::MAX);
        for mut probe in probes {
            let Seen::Closed { kind, .. } = probe.next() else { panic!("not closed") };
            assert_eq!(kind, Some(longwire::ErrorKind::Closed));
        }
    }
    let (closed, over) = std::sync::mpsc::channel();
    let _client = Client::start(once("ws://127.0.0.1:1/"), move |_, event| {
        if let Event::Closed(_) = event {
            longwire::shutdown(Duration::MAX);
            closed.send(()).unwrap();
        }
    })
    .unwrap();
    over.recv_timeout(LIMIT).expect("a handler does not wait for itself");
}
