//! What concerns a whole process, hence in one of its own: fork and shutdown.

mod support;

use std::time::Duration;

use longwire::{Client, ErrorKind, MessageKind};
use support::{Probe, Seen, Server, once};

#[test]
fn a_forked_child_is_refused_and_makes_its_own_then_all_is_shut_down() {
    let server = Server::start();
    let mut probe = Probe::hosted(once(server.url("/echo")));
    probe.open();
    // SAFETY: the child uses nothing but what this library promises to work
    // after a fork, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = |error: longwire::Error| error.kind() == ErrorKind::Forked;
        let inherited = probe.client.send(MessageKind::Text, b"x").is_err_and(refused)
            && probe.client.drive(1, &mut |_| {}).is_err_and(refused)
            && probe.client.close(1000, "").is_err_and(refused);
        probe.client.free();
        let mut own = Probe::runtime(once(server.url("/echo")));
        own.open();
        own.text("from the child");
        let fresh = own.next() == Seen::Text("from the child".into());
        let code = i32::from(!inherited) + 2 * i32::from(!fresh);
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "1: the inherited client, 2: the child's own");

    // The parent's connection does not notice.
    probe.text("from the parent");
    assert_eq!(probe.next(), Seen::Text("from the parent".into()));

    let mut handled = Probe::runtime(once(server.url("/echo")));
    handled.open();
    longwire::shutdown(Duration::from_secs(5));
    let end = Seen::Closed {
        code: 1006,
        reason: String::new(),
        clean: false,
        kind: Some(ErrorKind::Closed),
    };
    assert_eq!(probe.next(), end);
    assert_eq!(handled.next(), end);
    let error = handled.client.send(MessageKind::Text, b"late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);

    // And a later client has a runtime again.
    let mut later = Probe::runtime(once(server.url("/echo")));
    later.open();
    drop::<Client>(later.client.clone());
    later.text("afterwards");
    assert_eq!(later.next(), Seen::Text("afterwards".into()));
}
