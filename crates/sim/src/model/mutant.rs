//! Planted bugs, each a small change of what passes between the real core and the world: the events that it takes, the
//! log that it sees, the actions that it returns. Invariant: the core itself is the one that runs in production.

use quorum::message::{ErrorCode, FetchRequest, Request, Response, VoteRequest};
use quorum::{Action, Event, LogOffset, RoleName};

use super::log::{View, VirtualLog};
use super::node::Node;

/// A bug that the laws must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The vote file is never written.
    VoteNotDurable,
    /// The vote file is written when the answer has left.
    VoteAfterAnswer,
    /// A follower fetches on, and so acknowledges, what it has not flushed.
    AcknowledgeBeforeFlush,
    /// A leader counts what it has appended, not what it has flushed.
    CommitAppended,
    /// A leader counts entries of earlier epochs (figure 8 of the Raft paper).
    CommitOlderEpoch,
    /// A second candidate of the same epoch gets a vote too.
    TwoVotes,
    /// A candidate gets the vote of a replica whose log is ahead of its own.
    VoteForShorterLog,
    /// A follower cuts its log back to its high watermark when there is a new leader (Kafka before KIP-101).
    TruncateToHighWatermark,
    /// A leader doesn't compare the epoch that a fetch names with its log.
    NoDivergenceCheck,
    /// A leader goes on appending with its epoch after it has lost the leadership.
    StaleLeaderAppends,
    /// The voters may change while the change before isn't committed (Raft's single-server changes of 2014).
    UnfinishedChange,
}

impl Mutant {
    /// Every planted bug.
    pub const ALL: [Mutant; 11] = [
        Mutant::VoteNotDurable,
        Mutant::VoteAfterAnswer,
        Mutant::AcknowledgeBeforeFlush,
        Mutant::CommitAppended,
        Mutant::CommitOlderEpoch,
        Mutant::TwoVotes,
        Mutant::VoteForShorterLog,
        Mutant::TruncateToHighWatermark,
        Mutant::NoDivergenceCheck,
        Mutant::StaleLeaderAppends,
        Mutant::UnfinishedChange,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Mutant::VoteNotDurable => "vote not durable",
            Mutant::VoteAfterAnswer => "vote written after its answer",
            Mutant::AcknowledgeBeforeFlush => "acknowledgement before the flush",
            Mutant::CommitAppended => "commit of what is only appended",
            Mutant::CommitOlderEpoch => "commit by counting an older epoch",
            Mutant::TwoVotes => "two votes in an epoch",
            Mutant::VoteForShorterLog => "vote for a shorter log",
            Mutant::TruncateToHighWatermark => "truncation to the high watermark",
            Mutant::NoDivergenceCheck => "no divergence check",
            Mutant::StaleLeaderAppends => "a stale leader appends",
            Mutant::UnfinishedChange => "a change of voters on top of an unfinished one",
        }
    }

    /// What the core is told instead of `event`.
    pub(crate) fn event(self, node: &Node, event: Event) -> Event {
        match (self, event) {
            (Mutant::VoteForShorterLog, Event::Request { correlation, request: Request::Vote(vote) }) => {
                let last = LogOffset::new(i64::MAX, vote.epoch - 1);
                let last = if vote.pre_vote || vote.epoch < 1 { vote.last } else { last };
                Event::Request { correlation, request: Request::Vote(VoteRequest { last, ..vote }) }
            }
            (Mutant::NoDivergenceCheck, Event::Request { correlation, request: Request::Fetch(fetch) }) => {
                let log = &node.disk.log;
                let known = fetch.fetch_offset <= log.end_offset();
                let epoch = log.epoch_before(fetch.fetch_offset);
                let last_fetched_epoch = if known { epoch } else { fetch.last_fetched_epoch };
                let fetch = FetchRequest { last_fetched_epoch, ..fetch };
                Event::Request { correlation, request: Request::Fetch(fetch) }
            }
            (_, event) => event,
        }
    }

    /// How far the core is told that the log is flushed.
    pub(crate) fn flushed(self, log: &VirtualLog, role: RoleName) -> i64 {
        let lies = match self {
            Mutant::AcknowledgeBeforeFlush => role != RoleName::Leader,
            Mutant::CommitAppended => role == RoleName::Leader,
            _ => false,
        };
        if lies { log.end_offset() } else { log.flushed }
    }

    /// What is done instead of `actions`, which answer `event`; `committed` is how much any leader has committed.
    pub(crate) fn actions(
        self,
        node: &Node,
        event: &Event,
        committed: i64,
        actions: Vec<Action>,
    ) -> Vec<Action> {
        match self {
            Mutant::VoteNotDurable => {
                actions.into_iter().filter(|action| !matches!(action, Action::PersistVote(_))).collect()
            }
            Mutant::VoteAfterAnswer => {
                let (votes, mut others): (Vec<_>, Vec<_>) =
                    actions.into_iter().partition(|action| matches!(action, Action::PersistVote(_)));
                others.extend(votes);
                others
            }
            Mutant::StaleLeaderAppends => {
                let lost = |action: &Action| matches!(action, Action::LostLeadership { .. });
                actions.into_iter().filter(|action| !lost(action)).collect()
            }
            Mutant::TwoVotes => grant_again(node, event, actions),
            Mutant::CommitOlderEpoch => commit_older(node, committed, actions),
            Mutant::TruncateToHighWatermark => truncate_to_high_watermark(node, actions),
            _ => actions,
        }
    }
}

fn grant_again(node: &Node, event: &Event, mut actions: Vec<Action>) -> Vec<Action> {
    let Event::Request { request: Request::Vote(vote), .. } = event else { return actions };
    let end = node.disk.log.end_offset();
    let covers = vote.last.covers(LogOffset::new(end, node.disk.log.epoch_before(end)));
    for action in &mut actions {
        if let Action::Reply { response: Response::Vote(answer), .. } = action {
            answer.vote_granted |=
                answer.error == ErrorCode::None && answer.leader.epoch == vote.epoch && covers;
        }
    }
    actions
}

/// Counts as the core does, but for the rule that an entry of the current epoch must be part of it.
fn commit_older(node: &Node, committed: i64, mut actions: Vec<Action>) -> Vec<Action> {
    let changes_log = actions.iter().any(|action| matches!(action, Action::AppendControl { .. }));
    if node.quorum.role() != RoleName::Leader || changes_log {
        return actions;
    }
    let log = &node.disk.log;
    let describe = Event::Request { correlation: 0, request: Request::DescribeQuorum };
    let view = View { log, flushed: log.flushed };
    let answers = node.quorum.clone().step(describe, &view, super::clock::NOW);
    let flushed = answers.into_iter().find_map(|action| match action {
        Action::Reply { response: Response::DescribeQuorum(answer), .. } => {
            Some(answer.voters.iter().map(|voter| voter.log_end_offset).collect::<Vec<_>>())
        }
        _ => None,
    });
    let mut flushed = flushed.unwrap_or_default();
    flushed.sort_unstable_by(|a, b| b.cmp(a));
    let majority = flushed.get(node.quorum.voters().majority() - 1).copied().unwrap_or(-1);
    if majority > committed {
        actions.push(Action::HighWatermark(majority));
    }
    actions
}

fn truncate_to_high_watermark(node: &Node, mut actions: Vec<Action>) -> Vec<Action> {
    let followed = actions.iter().position(
        |action| matches!(action, Action::LeaderChanged { leader: Some(leader), .. } if *leader != node.id()),
    );
    let offset = node.quorum.high_watermark();
    let changes_log = actions
        .iter()
        .any(|action| matches!(action, Action::AppendFetched { .. } | Action::TruncateTo { .. }));
    if let (Some(at), true, false) = (followed, offset < node.disk.log.end_offset(), changes_log) {
        actions.insert(at, Action::TruncateTo { offset });
    }
    actions
}
