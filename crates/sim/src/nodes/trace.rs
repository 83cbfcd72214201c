//! What happened, as a hash by which two runs are compared, and as lines for whoever replays a seed.
use std::fmt::{self, Write};

/// The trace of a run.
pub(super) struct Trace {
    hash: u64,
    events: u64,
    /// Whether every event is printed.
    loud: bool,
    line: String,
}

impl Trace {
    pub(super) fn new(loud: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, loud, line: String::new() }
    }

    /// Adds an event.
    pub(super) fn note(&mut self, now_ms: u64, event: fmt::Arguments<'_>) {
        self.line.clear();
        write!(self.line, "{now_ms:6} {event}").expect("writing to a String cannot fail");
        for byte in self.line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.events += 1;
        if self.loud {
            println!("{}", self.line);
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }
}
