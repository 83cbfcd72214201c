//! Bugs that are planted into whole nodes, to show that the laws find them.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A watch fires before the tree shows its change.
    WatchBeforeApply,
    /// A node that doesn't lead ends sessions by its own clock.
    ExpireOnFollowerClock,
    /// A refusal is answered before what it rests on is committed.
    ErrorBeforeCommitted,
    /// A session that moved is served an older state.
    StaleReadAfterMove,
    /// A replica joins the in-sync ones before it has caught up.
    IsrBeforeCatchUp,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 5] = [
        Mutant::WatchBeforeApply,
        Mutant::ExpireOnFollowerClock,
        Mutant::ErrorBeforeCommitted,
        Mutant::StaleReadAfterMove,
        Mutant::IsrBeforeCatchUp,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mutant::WatchBeforeApply => "watch-before-apply",
            Mutant::ExpireOnFollowerClock => "expire-on-follower-clock",
            Mutant::ErrorBeforeCommitted => "error-before-committed",
            Mutant::StaleReadAfterMove => "stale-read-after-move",
            Mutant::IsrBeforeCatchUp => "isr-before-catch-up",
        }
    }

    /// The bug of a name.
    pub fn of_name(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| mutant.name() == name)
    }

    /// Whether nodes need a broker to show it; where they need none they have none, because that is faster.
    pub(super) fn needs_brokers(self) -> bool {
        self == Mutant::IsrBeforeCatchUp
    }

    /// The ensemble's form of it.
    pub(super) fn of_ensemble(self) -> Option<ensemble::Mutant> {
        match self {
            Mutant::WatchBeforeApply => Some(ensemble::Mutant::WatchBeforeApply),
            Mutant::ExpireOnFollowerClock => Some(ensemble::Mutant::ExpireOnFollowerClock),
            Mutant::ErrorBeforeCommitted => Some(ensemble::Mutant::ErrorBeforeCommitted),
            Mutant::StaleReadAfterMove => Some(ensemble::Mutant::StaleReadAfterMove),
            Mutant::IsrBeforeCatchUp => None,
        }
    }

    /// The broker's form of it.
    pub(super) fn of_broker(self) -> Option<broker::mutants::Mutant> {
        (self == Mutant::IsrBeforeCatchUp).then_some(broker::mutants::Mutant::IsrExpandedBeforeCatchUp)
    }
}
