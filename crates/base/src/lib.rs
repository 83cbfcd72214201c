//! What a node needs of the outside world, behind narrow traits: clock, disk, randomness, dedicated threads.
//!
//! Invariant: no domain noun (znode, topic, session, batch) appears in this crate, and no other crate of the server
//! reads a clock, opens a file or draws a random number except through [`World`]. A simulator replaces `World` and
//! owns everything that could differ between two runs.
pub mod clock;
pub mod disk;
pub mod properties;
pub mod random;
mod unflushed;
pub mod worker;

use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use disk::{Disk, File, OpenMode, Space, SystemDisk};
pub use random::{Random, SystemRandom};
pub use worker::Workers;

/// The outside world of one node. Cheap to clone; every part is shared.
#[derive(Clone)]
pub struct World {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Files and folders.
    pub disk: Arc<dyn Disk>,
    /// Unpredictable bytes, for ids and passwords.
    pub random: Arc<dyn Random>,
    /// Dedicated threads, for work that blocks on the disk.
    pub workers: Workers,
}

impl World {
    /// The machine that the process runs on.
    pub fn system() -> World {
        World {
            clock: Arc::new(SystemClock::new()),
            disk: Arc::new(SystemDisk),
            random: Arc::new(SystemRandom),
            workers: Workers::Threads,
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("workers", &self.workers).finish_non_exhaustive()
    }
}
