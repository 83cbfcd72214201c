//! Planted bugs, to show that the simulation of whole nodes finds them. Invariant: without the feature `mutants`, which no product
//! enables, nothing is ever planted and the compiler drops the questions.
use crate::core::Core;
#[cfg(feature = "mutants")]
use crate::records::decode_txn;
#[cfg(feature = "mutants")]
use log::{Batch, Scratch};

/// A bug that can be planted.
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub, reason = "it is exported with the feature"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A watch fires when its transaction is appended, before the tree shows the change.
    #[cfg(feature = "mutants")]
    WatchBeforeApply,
    /// A node that doesn't lead ends sessions by what it has heard itself.
    ExpireOnFollowerClock,
    /// A refusal is answered at once, although what it rests on may never be committed.
    ErrorBeforeCommitted,
    /// A session that moves to another node is served a state older than it has seen.
    StaleReadAfterMove,
}

impl Core {
    /// Whether this bug is planted.
    #[cfg(feature = "mutants")]
    pub(crate) fn planted(&self, mutant: Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    /// Nothing is planted.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn planted(&self, _mutant: Mutant) -> bool {
        false
    }

    /// Fires the watches of transactions that were only appended.
    #[cfg(feature = "mutants")]
    pub(crate) fn fire_early(&self, batches: &[Batch]) {
        if !self.planted(Mutant::WatchBeforeApply) {
            return;
        }
        let mut scratch = Scratch::new();
        for entry in batches.iter().filter_map(|batch| decode_txn(batch, &mut scratch).ok().flatten()) {
            for change in &entry.txn.changes {
                if let tree::Change::SetData { path, .. } = change {
                    let kind = tree::EventKind::DataChanged;
                    self.watches.lock().fire(kind, path, entry.txn.zxid, &|_| true);
                }
            }
        }
    }
}
