//! The asks of a node that doesn't lead: what waits to be sent to the leader, what was sent, and what became of it.
//!
//! Every ask has a number; the leader writes it into the log with the transaction, so that the log itself tells this node which of its
//! asks were executed, whoever leads by then.
//!
//! Invariants: numbers rise without gaps in the order of submission; answers are given in that order; an ask is sent again only
//! after the log of a new epoch has shown that it was not executed; an answer of a leader is given only once what it rests
//! on is applied here.
use crate::asks::{Ask, Verdict};
use crate::outcome::{Completion, OpResult, Refusal};
use std::collections::VecDeque;
use tree::Planned;

/// How many asks may wait on a node; beyond that they are refused.
const WAITING_MAX: usize = 200_000;

/// An ask on its way.
struct Forward {
    ask: Ask,
    done: Completion,
    verdict: Option<Verdict>,
}

/// The asks of one node, oldest first.
pub(crate) struct Forwards {
    /// The number of the oldest.
    first: i64,
    waiting: VecDeque<Forward>,
    /// The number of the first that was not sent to the present leader.
    unsent: i64,
    /// The epoch whose leader is asked; `None` while there is none, or its log has not reached this node.
    leader_epoch: Option<i32>,
    /// Answers of an earlier leader can't come any more.
    cut_off: bool,
}

/// An answer that is due.
pub(crate) struct Due {
    pub(crate) done: Completion,
    pub(crate) result: Result<Vec<OpResult>, Refusal>,
}

/// What is to be sent.
pub(crate) struct Outgoing {
    pub(crate) leader_epoch: i32,
    pub(crate) first: i64,
    pub(crate) asks: Vec<Ask>,
}

/// What an own transaction of the log means for whoever waits for it.
pub(crate) enum Matched {
    /// The leader's verdict about it, or about an earlier ask, is still under way: it must come first.
    NotYet,
    /// Nobody waits for it.
    Nobody,
    /// The answers that come before its own, and its own: the plan by which the results are found, unless that was lost with a leader.
    Waiting(Vec<Due>, Completion, Option<Vec<Planned>>),
}

impl Forwards {
    pub(crate) fn new() -> Forwards {
        Forwards { first: 1, waiting: VecDeque::new(), unsent: 1, leader_epoch: None, cut_off: false }
    }

    /// How many asks wait for their answer.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes an ask, or gives back its completion if too many wait.
    pub(crate) fn push(&mut self, ask: Ask, done: Completion) -> Result<(), Completion> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(done);
        }
        self.waiting.push_back(Forward { ask, done, verdict: None });
        Ok(())
    }

    /// The leader is gone, or another one was elected: nothing is sent until [`Forwards::resume`].
    pub(crate) fn pause(&mut self) {
        self.leader_epoch = None;
        self.cut_off = true;
    }

    /// The log of this epoch has reached this node, so that it tells what became of everything that was sent before. Returns the
    /// answers that this settles; the rest is sent to the epoch's leader.
    pub(crate) fn resume(&mut self, epoch: i32) {
        self.leader_epoch = Some(epoch);
        self.cut_off = false;
        self.unsent = self.first;
        for forward in &mut self.waiting {
            // What an earlier leader judged may have rested on entries that its successor doesn't have.
            forward.verdict = None;
        }
    }

    /// Takes what is to be sent next: at most so many asks, of at most so many bytes unless the first alone is larger.
    pub(crate) fn take_unsent(&mut self, most: usize, most_bytes: usize) -> Option<Outgoing> {
        let leader_epoch = self.leader_epoch?;
        let from = usize::try_from(self.unsent - self.first).ok()?;
        let mut asks = Vec::new();
        let mut bytes = 0;
        for forward in self.waiting.iter().skip(from).take(most) {
            bytes += forward.ask.weight();
            if bytes > most_bytes && !asks.is_empty() {
                break;
            }
            asks.push(forward.ask.clone());
        }
        if asks.is_empty() {
            return None;
        }
        let first = self.unsent;
        self.unsent += asks.len() as i64;
        Some(Outgoing { leader_epoch, first, asks })
    }

    /// Whether anything waits to be sent to a leader that is there.
    pub(crate) fn has_unsent(&self) -> bool {
        self.leader_epoch.is_some() && self.unsent < self.first + self.waiting.len() as i64
    }

    /// The epoch of the leader that is asked.
    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// What was sent from `number` on got no answer, although its leader still leads: it is sent again.
    pub(crate) fn send_again(&mut self, leader_epoch: i32, number: i64) {
        if self.leader_epoch == Some(leader_epoch) {
            self.unsent = self.unsent.min(number.max(self.first));
        }
    }

    /// Takes the verdicts about the asks from `number` on.
    pub(crate) fn decide(&mut self, leader_epoch: i32, number: i64, verdicts: Vec<Verdict>) {
        if self.leader_epoch != Some(leader_epoch) {
            return;
        }
        for (number, verdict) in (number..).zip(verdicts) {
            let Ok(index) = usize::try_from(number - self.first) else { continue };
            if let Some(forward) = self.waiting.get_mut(index) {
                forward.verdict = Some(verdict);
            }
        }
    }

    /// Takes the next answer that is due without a transaction of its own; the tree ends at `applied_end`. Answers of a leader that is
    /// gone are due no more: its successor's log may have other entries at the same offsets.
    pub(crate) fn pop_due(&mut self, applied_end: i64) -> Option<Due> {
        if self.cut_off {
            return None;
        }
        let result = match &self.waiting.front()?.verdict {
            Some(Verdict::Answer { position, result }) if *position <= applied_end => result.clone(),
            // It was not logged before this position, or its transaction would have taken it from here: it was refused, and why is
            // not known any more.
            Some(Verdict::Seen { position }) if *position <= applied_end => Err(Refusal::NotServing),
            _ => return None,
        };
        let forward = self.pop()?;
        Some(Due { done: forward.done, result })
    }

    /// The log shows that this ask of this node was executed.
    pub(crate) fn matched(&mut self, number: i64) -> Matched {
        let Ok(index) = usize::try_from(number - self.first) else { return Matched::Nobody };
        if index >= self.waiting.len() {
            return Matched::Nobody;
        }
        let known = |forward: &Forward| forward.verdict.is_some();
        if !self.cut_off && !self.waiting.iter().take(index + 1).all(known) {
            return Matched::NotYet;
        }
        let mut due = Vec::with_capacity(index);
        for _ in 0..index {
            if let Some(Forward { done, verdict, .. }) = self.pop() {
                let result = match verdict {
                    Some(Verdict::Answer { result, .. }) => result,
                    _ => Err(Refusal::NotServing),
                };
                due.push(Due { done, result });
            }
        }
        match self.pop() {
            None => Matched::Nobody,
            Some(Forward { done, verdict, .. }) => {
                let plan = match verdict {
                    Some(Verdict::Sequenced { plan, .. }) => Some(plan),
                    _ => None,
                };
                Matched::Waiting(due, done, plan)
            }
        }
    }

    /// Hands out everyone who waits: the node has lost its leader for too long.
    pub(crate) fn give_up(&mut self) -> Vec<Completion> {
        let mut given_up = Vec::with_capacity(self.waiting.len());
        while let Some(forward) = self.pop() {
            given_up.push(forward.done);
        }
        given_up
    }

    /// Hands out what waits, because this node leads now and judges it itself.
    pub(crate) fn take_all(&mut self) -> Vec<(Ask, Completion)> {
        self.leader_epoch = None;
        let mut all = Vec::with_capacity(self.waiting.len());
        while let Some(forward) = self.pop() {
            all.push((forward.ask, forward.done));
        }
        all
    }

    fn pop(&mut self) -> Option<Forward> {
        let forward = self.waiting.pop_front()?;
        self.first += 1;
        self.unsent = self.unsent.max(self.first);
        Some(forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tree::Zxid;

    fn forwards(count: usize) -> Forwards {
        let mut forwards = Forwards::new();
        for _ in 0..count {
            assert!(forwards.push(Ask::Sync, Box::new(|_, _| {})).is_ok());
        }
        forwards
    }

    fn sequenced(zxid: i64) -> Verdict {
        Verdict::Sequenced { zxid: Zxid(zxid), plan: vec![Planned::Check] }
    }

    fn answer(position: i64) -> Verdict {
        Verdict::Answer { position, result: Ok(Vec::new()) }
    }

    #[test]
    fn nothing_is_sent_before_the_leaders_epoch_is_in_the_log() {
        let mut forwards = forwards(3);
        assert!(forwards.take_unsent(10, 1 << 20).is_none());
        forwards.resume(4);
        let outgoing = forwards.take_unsent(2, 1 << 20).unwrap();
        assert_eq!((outgoing.leader_epoch, outgoing.first, outgoing.asks.len()), (4, 1, 2));
        assert_eq!(forwards.take_unsent(2, 1 << 20).unwrap().first, 3);
        assert!(forwards.take_unsent(2, 1 << 20).is_none() && !forwards.has_unsent());
    }

    #[test]
    fn an_own_transaction_waits_for_the_verdicts_up_to_it() {
        let mut forwards = forwards(2);
        forwards.resume(1);
        forwards.take_unsent(2, 1 << 20);
        forwards.decide(1, 2, vec![sequenced(10)]);
        assert!(matches!(forwards.matched(2), Matched::NotYet), "the first is undecided");
        forwards.decide(1, 1, vec![answer(10)]);
        assert!(forwards.pop_due(9).is_none(), "what it rests on is not applied");
        let Matched::Waiting(due, _, plan) = forwards.matched(2) else { panic!("both are decided") };
        assert_eq!((due.len(), plan), (1, Some(vec![Planned::Check])));
        assert_eq!(forwards.len(), 0);
        assert!(matches!(forwards.matched(2), Matched::Nobody), "it is answered once");
    }

    #[test]
    fn zk_3_39_an_answer_waits_for_what_it_rests_on() {
        let mut forwards = forwards(1);
        forwards.resume(1);
        forwards.take_unsent(1, 1 << 20);
        forwards.decide(1, 1, vec![answer(10)]);
        assert!(forwards.pop_due(9).is_none());
        assert!(forwards.pop_due(10).is_some());
    }

    #[test]
    fn what_a_dead_leader_did_not_log_is_sent_to_its_successor() {
        let mut forwards = forwards(3);
        forwards.resume(1);
        forwards.take_unsent(3, 1 << 20);
        forwards.decide(1, 1, vec![sequenced(10), answer(11), sequenced(11)]);
        forwards.pause();
        let Matched::Waiting(due, _, plan) = forwards.matched(1) else { panic!("it is in the log") };
        assert_eq!((due.len(), plan.is_some()), (0, true));
        assert!(forwards.pop_due(11).is_none(), "its ground may never be committed");
        forwards.resume(2);
        let outgoing = forwards.take_unsent(10, 1 << 20).unwrap();
        assert_eq!((outgoing.leader_epoch, outgoing.first, outgoing.asks.len()), (2, 2, 2));
    }

    #[test]
    fn an_execution_whose_verdict_was_lost_is_reported_as_unknown() {
        let mut forwards = forwards(2);
        forwards.resume(1);
        forwards.take_unsent(2, 1 << 20);
        forwards.pause();
        let Matched::Waiting(due, _, plan) = forwards.matched(2) else { panic!("it is in the log") };
        assert!(due.iter().all(|due| due.result == Err(Refusal::NotServing)) && due.len() == 1);
        assert_eq!(plan, None);
    }

    #[test]
    fn a_broken_connection_sends_again_and_learns_what_was_seen() {
        let mut forwards = forwards(2);
        forwards.resume(1);
        forwards.take_unsent(2, 1 << 20);
        forwards.send_again(1, 1);
        assert_eq!(forwards.take_unsent(2, 1 << 20).unwrap().first, 1);
        forwards.decide(1, 1, vec![Verdict::Seen { position: 20 }, Verdict::Seen { position: 20 }]);
        let Matched::Waiting(due, _, _) = forwards.matched(2) else { panic!("it is in the log") };
        assert_eq!(due.len(), 1);
        assert_eq!(forwards.len(), 0);
    }

    #[test]
    fn an_envelope_is_bounded_in_bytes_but_takes_at_least_one() {
        let mut forwards = Forwards::new();
        for size in [10, 900, 900, 5_000, 10] {
            let data = Some(bytes::Bytes::from(vec![0; size]));
            let op = tree::Op::SetData { path: "/a".into(), data, version: -1 };
            let request = tree::Request::Op(op);
            let ask = Ask::Write { session: None, auth: Vec::new(), request };
            assert!(forwards.push(ask, Box::new(|_, _| {})).is_ok());
        }
        forwards.resume(1);
        let mut sizes = Vec::new();
        while let Some(outgoing) = forwards.take_unsent(10, 2_000) {
            sizes.push(outgoing.asks.len());
        }
        assert_eq!(sizes, [2, 1, 1, 1]);
    }
}
