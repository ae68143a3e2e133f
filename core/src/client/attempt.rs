//! One attempt to connect, redirects and all, within `connect_timeout`.

use std::borrow::Cow;
use std::env::var_os;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::asks::Way;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Config;
use crate::protocol::handshake::{Accepted, Handshake};
use crate::protocol::target::Target;
use crate::protocol::{proxy, redirect};
use crate::transport::tls::Trust;
use crate::transport::watch::{Watch, deadline};
use crate::transport::{dial, exchange};

/// Whom to ask, and with what.
struct Hop<'a> {
    target: Cow<'a, Target>,
    config: Cow<'a, Config>,
    trust: Option<Trust>,
}

/// Connects as the configuration says, or `way`.
pub(crate) async fn open(shared: &Shared, way: Option<&Way>) -> Result<(Watch, Accepted)> {
    // Dialling needs several times the memory of what comes after it, and a task keeps room for
    // the largest of its steps as long as it lives.
    Box::pin(follow(shared, way)).await
}

/// Follows redirects to where the connection is.
async fn follow(shared: &Shared, way: Option<&Way>) -> Result<(Watch, Accepted)> {
    let deadline = deadline(shared.config.connect_timeout);
    let most = shared.config.max_redirects;
    let (target, config) =
        way.map_or((&shared.target, &shared.config), |way| (&way.target, &way.config));
    let trust = match &shared.trust {
        Some(trust) if target.secure => Some(trust.clone()),
        _ => within(deadline, trust(target, config)).await?,
    };
    let mut hop = Hop { target: Cow::Borrowed(target), config: Cow::Borrowed(config), trust };
    let mut followed = 0;
    loop {
        let error = match hop.open(deadline).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let Some(refusal) = error.refusal().filter(|refusal| redirect::is_redirect(refusal)) else {
            return Err(error);
        };
        if followed == most {
            return Err(match most {
                0 => error,
                _ => Error::refused(
                    format!("expected at most {most} redirects, got one more: {error}"),
                    refusal.clone(),
                ),
            });
        }
        followed += 1;
        let next = redirect::follow(&hop.target, refusal)?;
        hop = within(deadline, hop.redirected(next)).await?;
    }
}

async fn within<T>(deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout_at(deadline, work)
        .await
        .map_err(|_| Error::new(ErrorKind::Timeout, "no time was left to connect"))?
}

/// Whom to trust as `target`, if it has to prove who it is.
async fn trust(target: &Target, config: &Config) -> Result<Option<Trust>> {
    if !target.secure {
        return Ok(None);
    }
    let options = config.tls.clone();
    // May read the system's certificates.
    let trust = spawn_blocking(move || Trust::new(&options)).await;
    let trust = trust.map_err(|error| {
        Error::new(ErrorKind::Resource, format!("the certificates cannot be read: {error}"))
    })?;
    trust.map(Some)
}

impl<'a> Hop<'a> {
    async fn open(&self, deadline: Instant) -> Result<(Watch, Accepted)> {
        let Hop { target, config, trust } = self;
        let proxy = proxy::choose(&config.proxy, target, |name| var_os(name))?;
        let late = |what: &str| {
            let mut place = target.place();
            if let Some(proxy) = &proxy {
                place.push_str(&format!(" through the proxy {proxy}"));
            }
            let limit = config.connect_timeout;
            Error::new(ErrorKind::Timeout, format!("{what} {place} within {limit:?}"))
        };
        let dialled = dial::connect(target, proxy.as_ref(), trust.as_ref(), config);
        let ready = timeout_at(deadline, dialled).await.map_err(|_| late("no connection to"))??;
        let mut handshake = Handshake::new(target, config)?;
        timeout_at(deadline, exchange::write_all(&ready, handshake.request()))
            .await
            .map_err(|_| late("the handshake could not be sent to"))??;
        let receive = |bytes: &[u8]| handshake.receive(bytes);
        match timeout_at(deadline, exchange::read_until(&ready, receive)).await {
            Ok(Ok(Some(accepted))) => Ok((ready, accepted)),
            Ok(Ok(None)) => Err(handshake.end(false)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(handshake.end(true)),
        }
    }

    /// What to ask `target`, to which the server redirected.
    async fn redirected(self, target: Target) -> Result<Hop<'a>> {
        let same = target.is_same_origin(&self.target);
        let config =
            if same { self.config } else { Cow::Owned(redirect::impersonal(&self.config)) };
        let trust = if same { self.trust } else { trust(&target, &config).await? };
        Ok(Hop { target: Cow::Owned(target), config, trust })
    }
}
