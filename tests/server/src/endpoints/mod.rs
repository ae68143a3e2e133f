//! What each path does. `README.md` has the table.
//!
//! A path reads its parameters first: what is wrong with them is answered with 400 and a sentence. Then it accepts the
//! handshake, or does not, and behaves as it is there to behave.

mod conversation;
mod misbehaviour;
mod pinger;
mod push;
mod raw;
mod refusal;
mod room;

use std::io;

use tungstenite::http::StatusCode;

use crate::connection::{Connection, Ended};
use crate::handshake;
use crate::query::Query;

/// What connections of one server share.
#[derive(Default)]
pub(crate) struct Shared {
    room: room::Room,
    raw_results: raw::Results,
}

/// Why a path did not run to its end.
pub(crate) enum Failure {
    /// The request is answered with this status and sentence instead of 101.
    Refused(StatusCode, String),
    /// The connection ended, which is no fault of the path.
    Ended(Ended),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Refused(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Ended(error.into())
    }
}

/// Serves one client until its connection ends.
pub(crate) async fn serve(mut connection: Connection, shared: &Shared) -> Result<(), Ended> {
    match dispatch(&mut connection, shared).await {
        Ok(()) => Ok(()),
        Err(Failure::Ended(ended)) => Err(ended),
        Err(Failure::Refused(status, message)) => {
            let headers = [("Content-Type", "text/plain; charset=utf-8")];
            handshake::respond(&mut connection, status, &headers, &message).await
        }
    }
}

async fn dispatch(connection: &mut Connection, shared: &Shared) -> Result<(), Failure> {
    let request = handshake::read_request(connection).await?;
    let query = Query::parse(request.uri().query().unwrap_or(""));
    let (c, r, q) = (connection, &request, &query);
    match request.uri().path() {
        "/echo" => conversation::echo(c, r).await,
        "/count" => conversation::count(c, r, q).await,
        "/order" => conversation::order(c, r).await,
        "/close" => conversation::close(c, r, q).await,
        "/headers" => conversation::headers(c, r).await,
        "/subprotocol" => conversation::subprotocol(c, r, q).await,
        "/push" => push::push(c, r, q).await,
        "/pinger" => pinger::pinger(c, r, q).await,
        "/room" => shared.room.join(c, r).await,
        "/raw" => raw::raw(c, r, q, &shared.raw_results).await,
        "/raw-result" => raw::result(c, r, q, &shared.raw_results).await,
        "/drop" => misbehaviour::drop_connection(c, r, q).await,
        "/stall" => misbehaviour::stall(c, r).await,
        "/stall-handshake" => misbehaviour::stall_handshake().await,
        "/garbage" => misbehaviour::garbage(c).await,
        "/http" => refusal::http(c, r, q).await,
        "/need-header" => refusal::need_header(c, r, q).await,
        path => Err(Failure::Refused(StatusCode::NOT_FOUND, format!("no such path: {path}"))),
    }
}
