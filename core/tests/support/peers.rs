//! Servers and proxies of a few lines, each on a thread of its own, that do
//! what they are told and say what they were asked.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Serves each connection with `script`, on its own thread. The answer is
/// `host:port`.
pub fn listen(script: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, script) = (stream.unwrap(), script.clone());
            thread::spawn(move || script(stream));
        }
    });
    address
}

/// Reads to the end of a request's head, and not a byte further.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads until the other side ends the connection.
pub fn drain(mut stream: impl Read) {
    let mut scratch = [0; 65536];
    while stream.read(&mut scratch).is_ok_and(|n| n > 0) {}
}

/// Carries bytes both ways until both sides have ended.
pub fn carry(near: TcpStream, far: TcpStream) {
    let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let up = thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (far, near);
    let _ = copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    up.join().unwrap();
}

/// Answers each request with the same bytes. The requests' heads can be
/// received.
pub fn answering(answer: impl Into<Vec<u8>>) -> (String, Receiver<String>) {
    let (asked, requests): (Sender<String>, _) = channel();
    let answer = answer.into();
    let address = listen(move |mut stream| {
        let head = read_head(&mut stream);
        let _ = asked.send(head);
        let _ = stream.write_all(&answer);
        let _ = stream.shutdown(Shutdown::Write);
        drain(stream);
    });
    (address, requests)
}

/// An HTTP proxy that connects to `destination`, whatever it is asked for.
pub fn http_proxy(destination: Option<String>) -> (String, Receiver<String>) {
    let (asked, requests): (Sender<String>, _) = channel();
    let address = listen(move |mut near| {
        let head = read_head(&mut near);
        let place = destination.clone().unwrap_or_else(|| {
            head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned()
        });
        let _ = asked.send(head);
        let far = TcpStream::connect(place).unwrap();
        near.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").unwrap();
        carry(near, far);
    });
    (address, requests)
}

/// A SOCKS 5 proxy that connects to `destination`, whatever it is asked for, and
/// says what that was. `login`: the user and password it wants.
pub fn socks_proxy(
    destination: String,
    login: Option<(&'static str, &'static str)>,
) -> (String, Receiver<String>) {
    let (asked, requests): (Sender<String>, _) = channel();
    let address = listen(move |mut near| {
        let Some(place) = socks_request(&mut near, login) else { return drain(near) };
        let _ = asked.send(place);
        let far = TcpStream::connect(&destination).unwrap();
        near.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).unwrap();
        carry(near, far);
    });
    (address, requests)
}

/// What a client asks of a SOCKS 5 proxy, if it may.
fn socks_request(stream: &mut TcpStream, login: Option<(&str, &str)>) -> Option<String> {
    let [5, methods] = take(stream, 2)[..] else { panic!("not SOCKS 5") };
    let wanted = if login.is_some() { 2 } else { 0 };
    if !take(stream, methods.into()).contains(&wanted) {
        stream.write_all(&[5, 0xFF]).unwrap();
        return None;
    }
    stream.write_all(&[5, wanted]).unwrap();
    if let Some((user, password)) = login {
        assert_eq!(take(stream, 1), [1]);
        let got = (take_string(stream), take_string(stream));
        let right = got == (user.to_owned(), password.to_owned());
        stream.write_all(&[1, u8::from(!right)]).unwrap();
        if !right {
            return None;
        }
    }
    let [5, 1, 0, kind] = take(stream, 4)[..] else { panic!("not a SOCKS 5 request") };
    let host = match kind {
        1 => take(stream, 4).iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => format!("name {}", take_string(stream)),
        4 => format!("{:02x?}", take(stream, 16)),
        _ => panic!("not an address: {kind}"),
    };
    let port = take(stream, 2);
    Some(format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])))
}

fn take(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn take_string(stream: &mut TcpStream) -> String {
    let len = take(stream, 1)[0];
    String::from_utf8(take(stream, len.into())).unwrap()
}
