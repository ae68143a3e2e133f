//! A shutdown in the very moment in which clients are started, hence in a
//! process of its own.

mod support;

use std::time::Duration;

use support::{Probe, Seen, once};

#[test]
fn a_client_that_never_began_still_hears_of_its_end() {
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
}
