//! Planted bugs, to show that the tests find them. Invariant: without the feature `mutants`, which no product enables,
//! [`Quorum::planted`] is constantly false, so that nothing of this is left in the program.

use crate::quorum::Quorum;

/// A bug that can be planted in a replica: one rule that it doesn't keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "only tests that plant bugs see it"))]
pub enum Mutant {
    /// A leader counts the copies of entries of earlier epochs (figure 8 of the Raft paper).
    CommitOlderEpoch,
    /// A follower fetches on, and so acknowledges, what it has not flushed.
    AcknowledgeBeforeFlush,
    /// A vote is not made durable.
    VoteNotDurable,
    /// A leader counts what it has appended itself, flushed or not.
    CommitAppended,
    /// A follower of a new leader cuts its log back to its high watermark (Kafka before KIP-101).
    TruncateToHighWatermark,
    /// A change of the voters begins while another one is under way.
    TwoChanges,
    /// A change of the voters begins before an entry of the leader's epoch is committed (Raft's flaw of 2015).
    ChangeBeforeOwnEpoch,
    /// A replica whose leader lives grants pre-votes.
    PreVoteIgnored,
    /// A second candidate of an epoch gets a vote too.
    TwoVotes,
    /// A candidate whose log is behind gets a vote.
    VoteForShorterLog,
    /// A replica that lost flushed entries votes like any other.
    DamagedVotes,
    /// A leader doesn't compare the epoch of a fetch with its log.
    NoDivergenceCheck,
    /// A leader that no majority fetches from leads on.
    NoCheckQuorum,
    /// A fetch that waits isn't answered when the high watermark moves.
    CommitToldLate,
}

impl Quorum {
    /// Whether this bug is planted here.
    #[cfg(feature = "mutants")]
    pub(crate) fn planted(&self, mutant: Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    /// Whether this bug is planted here: never.
    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn planted(&self, _: Mutant) -> bool {
        false
    }
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Every planted bug.
    pub const ALL: [Mutant; 14] = [
        Mutant::CommitOlderEpoch,
        Mutant::AcknowledgeBeforeFlush,
        Mutant::VoteNotDurable,
        Mutant::CommitAppended,
        Mutant::TruncateToHighWatermark,
        Mutant::TwoChanges,
        Mutant::ChangeBeforeOwnEpoch,
        Mutant::PreVoteIgnored,
        Mutant::TwoVotes,
        Mutant::VoteForShorterLog,
        Mutant::DamagedVotes,
        Mutant::NoDivergenceCheck,
        Mutant::NoCheckQuorum,
        Mutant::CommitToldLate,
    ];

    /// Its name on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Mutant::CommitOlderEpoch => "commit-older-epoch",
            Mutant::AcknowledgeBeforeFlush => "acknowledge-before-flush",
            Mutant::VoteNotDurable => "vote-not-durable",
            Mutant::CommitAppended => "commit-appended",
            Mutant::TruncateToHighWatermark => "truncate-to-high-watermark",
            Mutant::TwoChanges => "two-changes-at-once",
            Mutant::ChangeBeforeOwnEpoch => "change-before-own-epoch",
            Mutant::PreVoteIgnored => "pre-vote-ignored",
            Mutant::TwoVotes => "two-votes",
            Mutant::VoteForShorterLog => "vote-for-shorter-log",
            Mutant::DamagedVotes => "damaged-votes",
            Mutant::NoDivergenceCheck => "no-divergence-check",
            Mutant::NoCheckQuorum => "no-check-quorum",
            Mutant::CommitToldLate => "commit-told-late",
        }
    }
}
