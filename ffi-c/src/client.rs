//! The handle of a client, and everything one does with it.

use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longwire::{Client, Drive, ErrorKind, Result};

use crate::boundary::{User, catch, invalid, number, status, utf8};
use crate::config::lw_config;
use crate::error::{LW_OK, lw_error, report};
use crate::event::{Translator, lw_callback, lw_free_user, microseconds};

/// lw_client_state: dialling, or in the TLS or WebSocket handshake.
pub const LW_STATE_CONNECTING: i32 = 0;
/// lw_client_state: messages flow.
pub const LW_STATE_OPEN: i32 = 1;
/// lw_client_state: the connection was lost; the next attempt waits for its
/// time.
pub const LW_STATE_DOWN: i32 = 2;
/// lw_client_state: a closing handshake is under way; sends are refused.
pub const LW_STATE_CLOSING: i32 = 3;
/// lw_client_state: over for good.
pub const LW_STATE_CLOSED: i32 = 4;

/// lw_client_drive: everything that was there has been delivered. The same as
/// LW_OK.
pub const LW_DRIVE_IDLE: i32 = 0;
/// lw_client_drive: there is more to do, as the budget was spent, or as the
/// peer closes and gets its answer after your replies to what came before; the
/// descriptor stays readable.
pub const LW_DRIVE_MORE: i32 = 1;
/// lw_client_drive: LW_EVENT_CLOSED was delivered, now or before, or the
/// callback freed the client; no event will ever come.
pub const LW_DRIVE_FINISHED: i32 = 2;

/// A WebSocket client: one connection at a time, replaced when it is lost.
///
/// A pointer to it that C holds is one strong count. The handler of a
/// runtime-driven client has another, so that the pointer a callback gets is
/// valid during the call even if another thread releases the client.
pub struct lw_client {
    core: OnceLock<Client>,
    /// C gave the handle back and is not to be called with it any more.
    ended: AtomicBool,
}

impl lw_client {
    fn new(core: OnceLock<Client>) -> Self {
        lw_client { core, ended: AtomicBool::new(false) }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn core(&self) -> &Client {
        self.core.get().expect("C gets the handle after the core is in it")
    }
}

/// Runs `f` on a client that C holds. A panic closes the client.
///
/// # Safety
/// `client` is null or a handle that C has neither freed nor released.
pub(crate) unsafe fn with<T>(
    client: *const lw_client,
    f: impl FnOnce(&Client) -> Result<T>,
) -> Result<T> {
    // SAFETY: the caller's promise.
    let Some(client) = (unsafe { client.as_ref() }) else {
        return Err(invalid("client: expected a handle, got NULL"));
    };
    guarded(client.core(), || f(client.core()))
}

/// Runs `f`; a panic closes the client.
#[inline]
pub(crate) fn guarded<T>(client: &Client, f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch(f).inspect_err(|error| {
        if error.kind() == ErrorKind::Panic {
            // The panic is reported already; a second one has nothing to add.
            let _ = catch(|| client.close(1011, "internal error"));
        }
    })
}

/// What both kinds of clients are made from.
///
/// # Safety
/// `config` is null or a valid configuration.
unsafe fn copied(config: *const lw_config, out: *mut *mut lw_client) -> Result<longwire::Config> {
    // SAFETY: the caller's promise.
    let config = unsafe { config.as_ref() };
    let config = config.ok_or_else(|| invalid("config: expected a configuration, got NULL"))?;
    if out.is_null() {
        return Err(invalid("client: expected a place for the handle, got NULL"));
    }
    config.checked()
}

/// Starts a client that the library drives on a thread of its own: callback
/// gets the events there, with user. Returns at once; connecting goes on in
/// the background, and its outcome comes as an event.
///
/// Stores the handle in client and returns LW_OK; or stores NULL there and an
/// explanation in error (which may be NULL) and returns LW_EURL or LW_EINVAL
/// for what is wrong with the configuration, or LW_ERESOURCE if no thread could
/// be started. The configuration is copied. Events may come before this
/// function has returned.
///
/// free_user (which may be NULL) is called with user exactly once, after
/// the last callback, on the thread that happened to end the client: after
/// LW_EVENT_CLOSED, or when the client is freed or released, or at once if
/// this function fails. It must not free the client.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_new(
    config: *const lw_config,
    callback: lw_callback,
    user: *mut c_void,
    free_user: lw_free_user,
    client: *mut *mut lw_client,
    error: *mut *mut lw_error,
) -> i32 {
    let user = User::new(user, free_user);
    if !client.is_null() {
        // SAFETY: not null, and C promises a place for a pointer.
        unsafe { client.write(ptr::null_mut()) };
    }
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        report(error, || {
            let config = copied(config, client)?;
            let callback =
                callback.ok_or_else(|| invalid("callback: expected a function, got NULL"))?;
            let handle = Arc::new(lw_client::new(OnceLock::new()));
            let theirs = Arc::clone(&handle);
            let mut translator = Translator::new();
            let core = Client::start(config, move |_, event| {
                // The first event may be faster than the end of `start`.
                if theirs.core.get().is_none() {
                    theirs.core.wait();
                }
                let pointer = Arc::as_ptr(&theirs).cast_mut();
                translator.deliver(&event, |event| callback(pointer, event, user.pointer()));
            })?;
            handle.core.get_or_init(|| core);
            client.write(Arc::into_raw(handle).cast_mut());
            Ok(())
        })
    }
}

/// Starts a client that the caller drives from a loop of its own: wait until
/// lw_client_poll_fd is readable, then call lw_client_drive. Otherwise like
/// lw_client_new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_new_hosted(
    config: *const lw_config,
    client: *mut *mut lw_client,
    error: *mut *mut lw_error,
) -> i32 {
    if !client.is_null() {
        // SAFETY: not null, and C promises a place for a pointer.
        unsafe { client.write(ptr::null_mut()) };
    }
    // SAFETY: C promises valid arguments; null is checked.
    unsafe {
        report(error, || {
            let core = Client::start_hosted(copied(config, client)?)?;
            let handle = Arc::new(lw_client::new(OnceLock::from(core)));
            client.write(Arc::into_raw(handle).cast_mut());
            Ok(())
        })
    }
}

/// The descriptor of a hosted client to wait on, for reading and
/// level-triggered; the same for the client's whole life, also across
/// reconnects. It belongs to the client: never read or close it, and stop
/// watching it before the client is freed.
///
/// Returns the descriptor, or a negative code: LW_EUNSUPPORTED for a client
/// that the library drives. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_poll_fd(client: *const lw_client) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    number(unsafe { with(client, Client::poll_fd) })
}

/// Reads, decodes, answers pings and hands up to budget events to callback
/// with user, on the calling thread. Does not block.
///
/// Returns LW_DRIVE_IDLE, LW_DRIVE_MORE or LW_DRIVE_FINISHED, or a negative
/// code: LW_EBUSY while another thread, or a callback further up the stack, is
/// driving this client; LW_EUNSUPPORTED for a client that the library drives;
/// LW_EINVAL for a budget of 0. Any thread, one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_drive(
    client: *mut lw_client,
    budget: usize,
    callback: lw_callback,
    user: *mut c_void,
) -> i32 {
    if client.is_null() {
        return ErrorKind::Invalid.code();
    }
    // The callback may free the client: a count of our own keeps it until the
    // end of this call.
    // SAFETY: not null, hence a handle from `Arc::into_raw` with a count that C
    // holds at least until the callback is called.
    let ours = unsafe {
        Arc::increment_strong_count(client);
        Arc::from_raw(client)
    };
    // SAFETY: `ours` is alive.
    let driven = unsafe {
        with(Arc::as_ptr(&ours), |core| {
            let callback =
                callback.ok_or_else(|| invalid("callback: expected a function, got NULL"))?;
            if budget == 0 {
                return Err(invalid("budget: expected at least one event, got 0"));
            }
            let mut translator = Translator::new();
            // SAFETY: C promises a function that takes these arguments.
            core.drive(budget, &mut |event| {
                if !ours.has_ended() {
                    translator.deliver(&event, |event| callback(client, event, user));
                }
            })
        })
    };
    number(driven.map(|driven| match driven {
        _ if ours.has_ended() => LW_DRIVE_FINISHED,
        Drive::Idle => LW_DRIVE_IDLE,
        Drive::More | Drive::Ending => LW_DRIVE_MORE,
        Drive::Finished => LW_DRIVE_FINISHED,
    }))
}

/// Begins the closing handshake, after everything sent so far, and ends the
/// client's life: it does not reconnect. code is 1000 to 1003, 1007 to 1014
/// or 3000 to 4999; 0 sends neither code nor reason. The reason is UTF-8, at
/// most 123 bytes, and may be NULL.
/// LW_EVENT_CLOSED follows. Without effect on a client that is closing already. An
/// lw_message under way ends here unfinished, and what waits behind it is not sent.
///
/// Returns LW_OK, LW_EINVAL or LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_close(
    client: *mut lw_client,
    code: u16,
    reason: *const c_char,
    reason_len: usize,
) -> i32 {
    // SAFETY: C promises valid arguments; null is checked.
    status(unsafe { with(client, |core| core.close(code, utf8(reason, reason_len, "reason")?)) })
}

/// Connects anew: at once instead of waiting for the next attempt, or in place of a
/// connection that is open, which is given up (code 1001). An attempt that is under way
/// goes on; if it fails, the next one follows at once.
///
/// Returns LW_OK; LW_EUNSUPPORTED for a client that does not reconnect; LW_EINVAL;
/// LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_reconnect(client: *mut lw_client) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    status(unsafe { with(client, Client::reconnect) })
}

/// A hint that another network may be in use. A client that waits for its next attempt
/// makes it at once, with the back-off begun anew. An open connection is asked for a
/// sign of life, and lost (LW_EHEARTBEAT) without one within 5 s, or the heartbeat's
/// timeout if that is shorter.
///
/// Returns LW_OK, LW_EINVAL or LW_EFORKED. Any thread, also inside a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_network_changed(client: *mut lw_client) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    status(unsafe { with(client, Client::network_changed) })
}

/// Where the client is in its life: LW_STATE_*, or LW_EINVAL for NULL. Any
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_state(client: *const lw_client) -> i32 {
    // SAFETY: C promises a valid handle; null is checked.
    number(unsafe { with(client, |core| Ok(i32::from(core.state() as u8))) })
}

/// How many bytes were taken by sends and not yet by the kernel; 0 for NULL.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_buffered_amount(client: *const lw_client) -> usize {
    // SAFETY: C promises a valid handle; null is checked.
    unsafe { with(client, |core| Ok(core.buffered_amount())) }.unwrap_or(0)
}

/// The latest round trip that a ping measured, in microseconds; -1 if there is
/// none. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_round_trip_us(client: *const lw_client) -> i64 {
    // SAFETY: C promises a valid handle; null is checked.
    let round_trip = unsafe { with(client, |core| Ok(core.round_trip())) };
    round_trip.ok().flatten().map_or(-1, microseconds)
}

/// Ends the client and frees the handle, without waiting for the peer: a close
/// frame with code 1001 goes out if the socket takes it at once. To end with a
/// closing handshake, call lw_client_close first and wait for LW_EVENT_CLOSED.
///
/// When this returns no callback runs any more, nor ever will, except the one
/// that this may have been called from; free_user has run, or runs right
/// after that callback. It waits for a callback that is running on another
/// thread: never call it while holding a lock that the callback takes.
/// NULL is fine. Any thread, also inside a callback; once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_free(client: *mut lw_client) {
    // SAFETY: C gives its count back.
    unsafe { end(client, Client::free) };
}

/// The same without waiting: for destructors, finalizers and other places that
/// must not block. A callback may still be running on another thread when this
/// returns; none begins. free_user runs soon after. NULL is fine. Any thread,
/// also inside a callback; instead of lw_client_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lw_client_release(client: *mut lw_client) {
    // SAFETY: C gives its count back.
    unsafe { end(client, Client::release) };
}

/// # Safety
/// `client` is null or a handle whose count C gives back with this call.
unsafe fn end(client: *mut lw_client, end: impl FnOnce(&Client)) {
    if client.is_null() {
        return;
    }
    // SAFETY: it came from `Arc::into_raw`, and C calls this once.
    let client = ManuallyDrop::new(unsafe { Arc::from_raw(client) });
    // A panic leaves the client as it is, allocated: nobody could be told.
    let _ = catch(|| {
        client.ended.store(true, Ordering::Release);
        end(client.core());
        drop(ManuallyDrop::into_inner(client));
        Ok(())
    });
}

/// Ends all clients of this process and stops the library's threads, waiting
/// at most limit_ms: for hosts that unload or finalise. Clients made later
/// start the threads again; handles are still to be freed. Not needed before
/// the process exits. Returns LW_OK. Any thread, but not inside a callback.
#[unsafe(no_mangle)]
pub extern "C" fn lw_shutdown(limit_ms: u32) -> i32 {
    number(catch(|| {
        longwire::shutdown(Duration::from_millis(limit_ms.into()));
        Ok(LW_OK)
    }))
}

#[cfg(test)]
mod tests {
    use longwire::{Config, Error, State};

    use super::*;

    #[test]
    fn the_states_are_those_of_the_core() {
        for (number, state) in [
            (LW_STATE_CONNECTING, State::Connecting),
            (LW_STATE_OPEN, State::Open),
            (LW_STATE_DOWN, State::Down),
            (LW_STATE_CLOSING, State::Closing),
            (LW_STATE_CLOSED, State::Closed),
        ] {
            assert_eq!(number, i32::from(state as u8), "{state:?}");
        }
    }

    #[test]
    fn a_panic_closes_the_client() {
        let core = Client::start_hosted(Config::new("ws://127.0.0.1:9")).unwrap();
        let client = lw_client::new(OnceLock::from(core));
        // SAFETY: the handle is alive.
        let result = unsafe { with(&raw const client, |_| -> Result<()> { panic!("a test") }) };
        assert_eq!(result.map_err(|e: Error| e.kind()), Err(ErrorKind::Panic));
        assert!(matches!(client.core().state(), State::Closing | State::Closed));
    }
}
