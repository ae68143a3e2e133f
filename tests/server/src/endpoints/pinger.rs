//! `/pinger`: a server that demands a pong for every ping and drops who does not answer in time.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tungstenite::handshake::server::Request;

use crate::connection::{Connection, Event};
use crate::endpoints::Failure;
use crate::frame::PING;
use crate::handshake;
use crate::query::Query;

/// What came from the client, without the borrow.
enum Heard {
    Pong(Option<u64>),
    Done,
    Other,
}

pub(crate) async fn pinger(
    connection: &mut Connection,
    request: &Request,
    query: &Query,
) -> Result<(), Failure> {
    let period: u32 = query.required_number("interval_ms")?;
    let limit = milliseconds(query.required_number("timeout_ms")?);
    let messages: u32 = query.number("messages", 0)?;
    let spread = milliseconds(query.number("spread_ms", 5000)?);
    if period == 0 {
        return Err("parameter interval_ms should be at least 1, got 0".to_owned().into());
    }
    handshake::accept(connection, request).await?;

    let start = Instant::now();
    let mut ticks = interval(milliseconds(period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered: VecDeque<(u64, Instant)> = VecDeque::new();
    let (mut pings, mut pongs, mut sent) = (0u64, 0u64, 0u32);
    loop {
        let missed = async {
            match unanswered.front() {
                Some((_, since)) => sleep_until(*since + limit).await,
                None => pending().await,
            }
        };
        let next_message = async {
            if sent == messages {
                pending::<()>().await;
            }
            sleep_until(start + spread.mul_f64(f64::from(sent) / f64::from(messages))).await;
        };
        tokio::select! {
            // First what came: a pong that lies there already was not missed.
            biased;
            heard = hear(connection) => match heard? {
                Heard::Pong(Some(number)) if unanswered.iter().any(|(ping, _)| *ping == number) => {
                    pongs += 1;
                    // A pong for a later ping answers the earlier ones too (RFC 6455, 5.5.3).
                    unanswered.retain(|(ping, _)| *ping > number);
                }
                Heard::Done => {
                    connection.outbox.text(&format!("alive {pings} {pongs}"));
                    return Ok(connection.close(Some(1000), "").await?);
                }
                Heard::Pong(_) | Heard::Other => {}
            },
            () = missed => return Ok(connection.drop_tcp(false).await?),
            _ = ticks.tick() => {
                connection.outbox.frame(PING, pings.to_string().as_bytes());
                unanswered.push_back((pings, Instant::now()));
                pings += 1;
            }
            () = next_message => {
                connection.outbox.text(&sent.to_string());
                sent += 1;
            }
        }
    }
}

async fn hear(connection: &mut Connection) -> Result<Heard, Failure> {
    let (event, _) = connection.receive().await?;
    Ok(match event {
        Event::Pong(payload) => {
            Heard::Pong(std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()))
        }
        Event::Text("done") => Heard::Done,
        _ => Heard::Other,
    })
}

/// Of 32 bits, since time past the end of the clock would panic.
fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(u64::from(count))
}
