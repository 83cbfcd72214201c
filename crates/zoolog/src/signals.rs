//! The signals by which a service is stopped.
//!
//! Invariant: once [`Signals`] exists none of them ends the process by itself, so whoever holds it must keep asking.
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell shows of a process that a signal ended: this and the signal's number.
const SIGNAL_EXIT_BASE: u8 = 128;

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopRequest {
    /// The signal's name.
    pub(crate) name: &'static str,
    /// The exit code of a process that the signal ended.
    pub(crate) exit_code: u8,
}

/// A listener for SIGTERM, SIGINT and SIGHUP.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen.
    pub(crate) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> StopRequest {
        let (name, kind) = tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            _ = self.hangup.recv() => ("SIGHUP", SignalKind::hangup()),
        };
        let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
        StopRequest { name, exit_code: SIGNAL_EXIT_BASE.saturating_add(number) }
    }
}
