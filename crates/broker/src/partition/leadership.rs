//! What a leader knows of its partition's replicas, and what follows from it: the high watermark and the in-sync replicas.
//!
//! Pure: time, log end and who is alive come in as arguments. The rules are those of Kafka's `Partition` and `Replica` (KIP-497,
//! KIP-841, KIP-966). Invariants:
//! - the high watermark counts every replica that is in sync or may be, as far as this leader knows: the committed ISR, a proposed
//!   one while its outcome is open, and whoever is caught up and about to be proposed;
//! - a replica is proposed only when its log end has reached the high watermark and the start of this leader's epoch;
//! - no proposal keeps a member that came back as another incarnation and has not caught up since, because writing the state again would
//!   hide that it went away;
//! - at most one proposal is open, and nothing is proposed on a state that is known to be outdated.
use crate::mutants;
use std::collections::BTreeMap;

/// The share of `replica.lag.time.max.ms` by which an idle follower's state may be out of date.
const IDLE_SHARE: u64 = 8;

/// Who leads a partition and who follows, as the controller decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// The leader; -1 for none.
    pub(crate) leader: i32,
    /// Its epoch.
    pub(crate) leader_epoch: i32,
    /// All replicas, the preferred leader first.
    pub(crate) replicas: Vec<i32>,
    /// The in-sync ones.
    pub(crate) isr: Vec<i32>,
    /// The partition epoch of this state.
    pub(crate) partition_epoch: i32,
    /// The transaction that wrote this state.
    pub(crate) state_zxid: i64,
    /// Whether the leader was elected uncleanly and has not said yet that it has recovered (KIP-704).
    pub(crate) recovering: bool,
}

impl Role {
    /// The role of a partition that nothing is known of.
    pub(crate) const UNKNOWN: Role = Role {
        leader: -1,
        leader_epoch: -1,
        replicas: Vec::new(),
        isr: Vec::new(),
        partition_epoch: -1,
        state_zxid: -1,
        recovering: false,
    };
}

/// What a topic's settings say of a replica beside its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// `min.insync.replicas`.
    pub(crate) min_insync: usize,
    /// Whether what it sends as leader is throttled (`leader.replication.throttled.replicas`).
    pub(crate) sends_throttled: bool,
    /// Whether what it copies as follower is throttled (`follower.replication.throttled.replicas`).
    pub(crate) copies_throttled: bool,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { min_insync: 1, sends_throttled: false, copies_throttled: false }
    }
}

/// What a leader knows of one follower, all of it from the follower's fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowerState {
    /// Where its log starts; -1 if unknown.
    pub(crate) log_start: i64,
    /// Where its log ends, which is where it fetches; -1 if unknown.
    pub(crate) log_end: i64,
    /// Where this leader's log ended at the last fetch.
    leader_end_at_fetch: i64,
    fetched_ms: Option<u64>,
    /// The last moment at which it had everything that this leader had.
    pub(crate) caught_up_ms: Option<u64>,
    /// The broker epoch that it fetched with; none before its first fetch, -1 if it named none.
    pub(crate) broker_epoch: Option<i64>,
}

impl FollowerState {
    const UNKNOWN: FollowerState = FollowerState {
        log_start: -1,
        log_end: -1,
        leader_end_at_fetch: -1,
        fetched_ms: None,
        caught_up_ms: None,
        broker_epoch: None,
    };

    /// Whether it has everything, or had not long ago.
    fn is_caught_up(&self, log_end: i64, now_ms: u64, lag_max_ms: u64) -> bool {
        let recently = |at: u64| now_ms.saturating_sub(at) <= lag_max_ms;
        self.log_end == log_end || self.caught_up_ms.is_some_and(recently)
    }
}

/// A fetch of a follower, as far as the leader's bookkeeping is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FollowerFetch {
    pub(crate) offset: i64,
    pub(crate) log_start: i64,
    pub(crate) broker_epoch: i64,
    /// The leader's log end before the read.
    pub(crate) leader_end: i64,
}

/// A change of the in-sync replicas whose outcome is open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    isr: Vec<i32>,
    /// The broker epochs that its members had fetched with when it was judged, as far as they had named one (KIP-903).
    broker_epochs: BTreeMap<i32, i64>,
    /// Whether an attempt may have taken effect unseen.
    uncertain: bool,
    /// What to write instead, so that the attempt can't take effect any more: it was refused since, and would be forever.
    settling: Option<Vec<i32>>,
}

/// What taking over a role changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// This node leads and did not before.
    pub(crate) begun_to_lead: bool,
    /// This node led and does no more.
    pub(crate) resigned: bool,
    /// The leader epoch is a new one.
    pub(crate) new_epoch: bool,
    /// Anything at all is different.
    pub(crate) changed: bool,
}

/// The role of a replica on this node, with what a leader keeps beside it.
#[derive(Debug)]
pub(crate) struct Leadership {
    node_id: i32,
    pub(crate) role: Role,
    /// The epoch since which this node has led without interruption.
    pub(crate) since_epoch: i32,
    /// Where this leader's epoch began.
    pub(crate) epoch_start: i64,
    pub(crate) terms: Terms,
    pub(crate) followers: BTreeMap<i32, FollowerState>,
    pending: Option<Pending>,
}

impl Leadership {
    pub(crate) fn new(node_id: i32) -> Leadership {
        Leadership {
            node_id,
            role: Role::UNKNOWN,
            since_epoch: -1,
            epoch_start: 0,
            terms: Terms::default(),
            followers: BTreeMap::new(),
            pending: None,
        }
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.role.leader == self.node_id
    }

    /// Takes over what the controller decided. A state that is older than the one known is ignored, but the assignment, which has
    /// no epoch, always counts.
    pub(crate) fn take_over(&mut self, mut role: Role, log_end: i64, now_ms: u64) -> Turn {
        let old = &self.role;
        let stale = role.leader_epoch < old.leader_epoch
            || (role.leader_epoch == old.leader_epoch && role.partition_epoch < old.partition_epoch);
        if stale {
            role = Role { replicas: role.replicas, ..old.clone() };
        }
        if role == *old {
            return Turn::default();
        }
        let led = self.is_leader();
        let leads = role.leader == self.node_id;
        let turn = Turn {
            begun_to_lead: leads && !led,
            resigned: led && !leads,
            new_epoch: role.leader_epoch != old.leader_epoch,
            changed: true,
        };
        if role.isr != old.isr || role.partition_epoch != old.partition_epoch || turn.new_epoch {
            self.pending = None;
        }
        if turn.begun_to_lead {
            self.since_epoch = role.leader_epoch;
        }
        if !leads {
            self.followers.clear();
        } else {
            self.followers.retain(|id, _| role.replicas.contains(id));
            for id in role.replicas.iter().filter(|id| **id != self.node_id) {
                self.followers.entry(*id).or_insert(FollowerState::UNKNOWN);
            }
        }
        if leads && turn.new_epoch {
            self.epoch_start = log_end;
            self.restart_followers(&role.isr, log_end, now_ms, turn.begun_to_lead);
        }
        self.role = role;
        turn
    }

    /// In a new epoch a follower counts as caught up now if it is in sync, and as never caught up otherwise, so that it does not
    /// hold the high watermark back before it has fetched.
    fn restart_followers(&mut self, isr: &[i32], log_end: i64, now_ms: u64, forget: bool) {
        for (id, follower) in &mut self.followers {
            let caught_up_ms = isr.contains(id).then_some(now_ms);
            *follower = match forget {
                true => FollowerState { caught_up_ms, ..FollowerState::UNKNOWN },
                false => FollowerState {
                    leader_end_at_fetch: log_end,
                    fetched_ms: caught_up_ms,
                    caught_up_ms,
                    ..*follower
                },
            };
        }
    }

    /// `min.insync.replicas`, but no more than there are replicas.
    fn effective_min_insync(&self) -> usize {
        self.terms.min_insync.min(self.role.replicas.len())
    }

    /// Whether fewer replicas are in sync than acks=all asks for.
    pub(crate) fn is_under_min_insync(&self) -> bool {
        self.role.isr.len() < self.effective_min_insync()
    }

    /// The same for records that are appended already: a proposed replica counts.
    pub(crate) fn is_under_min_insync_after_append(&self) -> bool {
        let proposed = self.pending.as_ref().map_or(0, |pending| pending.isr.len());
        self.role.isr.len().max(proposed) < self.effective_min_insync()
    }

    /// Whether a replica is in sync or may be.
    fn may_be_in_sync(&self, id: i32) -> bool {
        self.role.isr.contains(&id) || self.pending.as_ref().is_some_and(|pending| pending.isr.contains(&id))
    }

    /// How far everything is committed, as this leader knows; none while too few replicas are in sync (KIP-966).
    /// `may_join` says whether a replica that is not in sync may become so: alive, and fetching under its own broker epoch.
    pub(crate) fn committed(
        &self,
        log_end: i64,
        now_ms: u64,
        lag_max_ms: u64,
        may_join: impl Fn(i32, &FollowerState) -> bool,
    ) -> Option<i64> {
        if !self.is_leader() || self.is_under_min_insync() {
            return None;
        }
        let mut committed = log_end;
        for (id, follower) in &self.followers {
            // A replica that has caught up is waited for, or it could never reach a high watermark that moves on.
            let counts = follower.log_end < committed
                && (self.may_be_in_sync(*id)
                    || (follower.is_caught_up(log_end, now_ms, lag_max_ms) && may_join(*id, follower)));
            if counts {
                committed = follower.log_end;
            }
        }
        Some(committed)
    }

    /// Takes note of a follower's fetch. False if it is no replica.
    pub(crate) fn note_fetch(&mut self, id: i32, fetch: FollowerFetch, now_ms: u64) -> bool {
        let Some(follower) = self.followers.get_mut(&id) else { return false };
        if fetch.offset >= fetch.leader_end {
            follower.caught_up_ms = follower.caught_up_ms.max(Some(now_ms));
        } else if fetch.offset >= follower.leader_end_at_fetch {
            follower.caught_up_ms = follower.caught_up_ms.max(follower.fetched_ms);
        }
        follower.log_start = fetch.log_start;
        follower.log_end = fetch.offset;
        follower.leader_end_at_fetch = follower.leader_end_at_fetch.max(fetch.leader_end);
        follower.fetched_ms = Some(now_ms);
        follower.broker_epoch = Some(fetch.broker_epoch);
        true
    }

    /// Whether a follower that has everything was last seen so long ago that [`Leadership::note_idle`] should look again before
    /// more is appended.
    pub(crate) fn has_idle(&self, log_end: i64, now_ms: u64, lag_max_ms: u64) -> bool {
        let recently = |at: u64| now_ms.saturating_sub(at) <= lag_max_ms / IDLE_SHARE;
        let is_idle = |follower: &FollowerState| {
            follower.log_end == log_end && !follower.caught_up_ms.is_some_and(recently)
        };
        self.is_leader() && self.followers.values().any(is_idle)
    }

    /// Followers that have everything were caught up when their broker last fetched, even if it had nothing to say of this partition.
    pub(crate) fn note_idle(&mut self, log_end: i64, fetched_ms: impl Fn(i32) -> Option<u64>) {
        for (id, follower) in &mut self.followers {
            if follower.log_end == log_end {
                let fetched = fetched_ms(*id);
                follower.caught_up_ms = follower.caught_up_ms.max(fetched);
                follower.fetched_ms = follower.fetched_ms.max(fetched);
                follower.leader_end_at_fetch = follower.leader_end_at_fetch.max(log_end);
            }
        }
    }

    /// Proposes a replica that has caught up; true if that is to be carried out.
    pub(crate) fn propose_expansion(
        &mut self,
        id: i32,
        high_watermark: i64,
        may_join: impl Fn(i32, &FollowerState) -> bool,
        registered: impl Fn(i32) -> Option<i64>,
    ) -> bool {
        if !self.is_leader() || self.pending.is_some() || self.role.isr.contains(&id) {
            return false;
        }
        let Some(follower) = self.followers.get(&id) else { return false };
        let caught_up = self.has_what_counts(follower, high_watermark)
            || mutants::is_set(mutants::Mutant::IsrExpandedBeforeCatchUp);
        if !caught_up || !may_join(id, follower) {
            return false;
        }
        // In the order of the assignment, so that whoever reads the state sees the preferred leader first.
        let stays = |member: &i32| {
            self.role.isr.contains(member) && !self.is_another(*member, high_watermark, registered(*member))
        };
        let joins = |candidate: &&i32| **candidate == id || stays(candidate);
        let isr = self.role.replicas.iter().filter(joins).copied().collect();
        self.open(isr);
        true
    }

    fn has_what_counts(&self, follower: &FollowerState, high_watermark: i64) -> bool {
        follower.log_end >= high_watermark && follower.log_end >= self.epoch_start
    }

    /// Whether a member of the ISR has registered again since the state was written, and has not shown under its new broker epoch
    /// that it still has what counts.
    fn is_another(&self, id: i32, high_watermark: i64, registered: Option<i64>) -> bool {
        let Some(epoch) = registered.filter(|epoch| *epoch > self.role.state_zxid) else { return false };
        let proven = |follower: &FollowerState| {
            follower.broker_epoch == Some(epoch) && self.has_what_counts(follower, high_watermark)
        };
        id != self.node_id && !self.followers.get(&id).is_some_and(proven)
    }

    /// Proposes to leave out replicas that have not caught up for too long, or came back without what they had; true if that is to be
    /// carried out.
    pub(crate) fn propose_shrinking(
        &mut self,
        (log_end, high_watermark): (i64, i64),
        now_ms: u64,
        lag_max_ms: u64,
        registered: impl Fn(i32) -> Option<i64>,
    ) -> bool {
        if !self.is_leader() || self.pending.is_some() {
            return false;
        }
        let keeps = |id: &&i32| {
            let caught_up = |follower: &FollowerState| follower.is_caught_up(log_end, now_ms, lag_max_ms);
            **id == self.node_id
                || (self.followers.get(id).is_some_and(caught_up)
                    && !self.is_another(**id, high_watermark, registered(**id)))
        };
        let isr: Vec<i32> = self.role.isr.iter().filter(keeps).copied().collect();
        if isr.len() == self.role.isr.len() || !isr.contains(&self.node_id) {
            return false;
        }
        self.open(isr);
        true
    }

    /// Proposes to take back the mark of an unclean election, with the ISR as it is; true if that is to be carried out.
    pub(crate) fn propose_recovery(&mut self) -> bool {
        if !self.is_leader() || !self.role.recovering || self.pending.is_some() {
            return false;
        }
        self.open(self.role.isr.clone());
        true
    }

    /// The in-sync replicas that are to be written, if a proposal is open.
    pub(crate) fn proposed(&self) -> Option<&[i32]> {
        let pending = self.pending.as_ref()?;
        Some(pending.settling.as_ref().unwrap_or(&pending.isr))
    }

    /// Whether the state must be written even if it says already what is proposed.
    pub(crate) fn settles(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.settling.is_some())
    }

    /// The broker epochs that the proposal was judged by. Who fetches under another one since then was not judged.
    pub(crate) fn judged_epochs(&self) -> BTreeMap<i32, i64> {
        self.pending.as_ref().map(|pending| pending.broker_epochs.clone()).unwrap_or_default()
    }

    fn open(&mut self, isr: Vec<i32>) {
        let broker_epochs = self.named_epochs(&isr);
        self.pending = Some(Pending { isr, broker_epochs, uncertain: false, settling: None });
    }

    fn named_epochs(&self, isr: &[i32]) -> BTreeMap<i32, i64> {
        let named = |id: &i32| self.followers.get(id)?.broker_epoch.filter(|epoch| *epoch >= 0);
        isr.iter().filter_map(|id| Some((*id, named(id)?))).collect()
    }

    /// The proposal took effect: it is the state now, under a new partition epoch. False if it was overtaken by a newer state.
    pub(crate) fn accept(&mut self, leader_epoch: i32, isr: &[i32], partition_epoch: i32) -> bool {
        let fits = self.role.leader_epoch == leader_epoch
            && self.role.partition_epoch <= partition_epoch
            && self.proposed() == Some(isr);
        if fits {
            self.pending = None;
            self.role.isr = isr.to_vec();
            self.role.partition_epoch = partition_epoch;
            self.role.recovering = false;
        }
        fits
    }

    /// The proposal was refused. It is dropped if it can't have taken effect. If an earlier attempt at it may have, or still may, it goes on
    /// counting until a newer state arrives; to bring one about, what is known to be in sync is to be written anew, because whatever the
    /// refusal is for, a member that is gone or is another incarnation, may never pass. True the first time that is so.
    pub(crate) fn refuse(
        &mut self,
        leader_epoch: i32,
        isr: &[i32],
        high_watermark: i64,
        registered: impl Fn(i32) -> Option<i64>,
    ) -> bool {
        let fits = self.role.leader_epoch == leader_epoch && self.proposed() == Some(isr);
        if !fits || self.pending.as_ref().is_none_or(|pending| !pending.uncertain) {
            self.pending.take_if(|_| fits);
            return false;
        }
        let stays = |id: &i32| !self.is_another(*id, high_watermark, registered(*id));
        let known: Vec<i32> = self.role.isr.iter().copied().filter(stays).collect();
        let broker_epochs = self.named_epochs(&known);
        let Some(pending) = &mut self.pending else { return false };
        pending.broker_epochs = broker_epochs;
        pending.settling.replace(known).is_none()
    }

    /// Nobody knows whether the proposal took effect; it is to be tried again. False if it was overtaken by a newer state.
    pub(crate) fn doubt(&mut self, leader_epoch: i32, isr: &[i32]) -> bool {
        let fits = self.role.leader_epoch == leader_epoch && self.proposed() == Some(isr);
        if fits && let Some(pending) = &mut self.pending {
            pending.uncertain = true;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG: u64 = 1_000;

    fn role(leader_epoch: i32, partition_epoch: i32, isr: &[i32]) -> Role {
        Role {
            leader: 1,
            leader_epoch,
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            partition_epoch,
            state_zxid: 50,
            recovering: false,
        }
    }

    /// Everybody registered before the state was written.
    fn before(_: i32) -> Option<i64> {
        Some(9)
    }

    fn leading(isr: &[i32], log_end: i64) -> Leadership {
        let mut leadership = Leadership::new(1);
        let turn = leadership.take_over(role(5, 7, isr), log_end, 0);
        assert!(turn.begun_to_lead && turn.new_epoch);
        leadership
    }

    fn fetch(leadership: &mut Leadership, id: i32, offset: i64, leader_end: i64, now: u64) {
        let fetch = FollowerFetch { offset, log_start: 0, broker_epoch: 9, leader_end };
        assert!(leadership.note_fetch(id, fetch, now));
    }

    fn alive(_: i32, follower: &FollowerState) -> bool {
        follower.broker_epoch == Some(9)
    }

    #[test]
    fn the_high_watermark_is_the_smallest_end_of_the_isr() {
        let mut leadership = leading(&[1, 2], 10);
        assert_eq!(leadership.committed(12, 0, LAG, alive), Some(-1), "nothing is known of the follower");
        fetch(&mut leadership, 2, 11, 12, 5);
        assert_eq!(leadership.committed(12, 5, LAG, alive), Some(11));
        fetch(&mut leadership, 3, 4, 12, 5);
        assert_eq!(leadership.committed(12, 5, LAG, alive), Some(11), "3 is far behind and not in sync");
    }

    #[test]
    fn kip_903_a_proposal_names_the_incarnations_that_were_judged() {
        let mut leadership = leading(&[1, 2], 10);
        fetch(&mut leadership, 2, 10, 10, 5);
        fetch(&mut leadership, 3, 10, 10, 5);
        assert!(leadership.propose_expansion(3, 10, alive, before));
        // 2 comes back without its log while the proposal waits to be sent.
        let anew = FollowerFetch { offset: 0, log_start: 0, broker_epoch: 60, leader_end: 10 };
        assert!(leadership.note_fetch(2, anew, 6));
        assert_eq!(leadership.judged_epochs(), BTreeMap::from([(2, 9), (3, 9)]));
    }

    #[test]
    fn a_replica_that_has_caught_up_is_waited_for_before_it_is_in_the_isr() {
        let mut leadership = leading(&[1], 10);
        fetch(&mut leadership, 2, 10, 10, 5);
        assert_eq!(leadership.committed(20, 6, LAG, alive), Some(10));
        assert_eq!(leadership.committed(20, 6, LAG, |_, _| false), Some(20), "unless it may not join");
        assert_eq!(leadership.committed(20, 5 + LAG + 1, LAG, alive), Some(20), "or it was long ago");
    }

    #[test]
    fn expansion_needs_the_high_watermark_and_the_epochs_start() {
        let mut leadership = leading(&[1], 10);
        fetch(&mut leadership, 2, 9, 10, 5);
        assert!(!leadership.propose_expansion(2, 8, alive, before), "below the start of the epoch");
        fetch(&mut leadership, 2, 10, 14, 5);
        assert!(!leadership.propose_expansion(2, 11, alive, before), "below the high watermark");
        assert!(!leadership.propose_expansion(2, 10, |_, _| false, before), "not alive");
        assert!(leadership.propose_expansion(2, 10, alive, before));
        assert_eq!(leadership.proposed(), Some(&[1, 2][..]));
        assert!(!leadership.propose_expansion(3, 0, alive, before), "one at a time");
        assert_eq!(leadership.committed(14, 2 * LAG + 5, LAG, alive), Some(10), "the proposed one counts");
        assert!(leadership.accept(5, &[1, 2], 8));
        assert_eq!((leadership.role.isr.as_slice(), leadership.role.partition_epoch), (&[1, 2][..], 8));
    }

    #[test]
    fn shrinking_counts_only_once_it_is_confirmed() {
        let mut leadership = leading(&[1, 2, 3], 10);
        fetch(&mut leadership, 2, 12, 12, 900);
        fetch(&mut leadership, 3, 10, 10, 900);
        assert!(!leadership.propose_shrinking((12, 0), 1_500, LAG, before));
        assert!(leadership.propose_shrinking((12, 0), 1_901, LAG, before));
        assert_eq!(leadership.proposed(), Some(&[1, 2][..]), "2 has everything, however long ago it fetched");
        assert_eq!(leadership.committed(12, 1_901, LAG, alive), Some(10));
        assert!(!leadership.refuse(5, &[1, 2], 0, before));
        assert_eq!(leadership.proposed(), None);
        assert!(leadership.propose_shrinking((12, 0), 1_901, LAG, before));
        assert!(leadership.doubt(5, &[1, 2]));
        assert!(leadership.refuse(5, &[1, 2], 0, before));
        assert!(leadership.proposed().is_some(), "an earlier attempt may have taken effect");
        leadership.take_over(role(5, 8, &[1, 2]), 12, 1_902);
        assert_eq!(leadership.proposed(), None);
        assert_eq!(leadership.committed(12, 1_902, LAG, alive), Some(12));
    }

    #[test]
    fn a_proposal_that_is_refused_for_good_is_settled_though_nobody_knows_of_an_earlier_attempt() {
        let mut leadership = leading(&[1, 2], 10);
        fetch(&mut leadership, 2, 10, 10, 5);
        fetch(&mut leadership, 3, 10, 10, 5);
        assert!(leadership.propose_expansion(3, 10, alive, before));
        assert!(leadership.doubt(5, &[1, 2, 3]));
        // 2 registers anew and has not fetched since; the attempt names an incarnation that is no more.
        let anew = |id| if id == 2 { Some(60) } else { before(id) };
        assert!(leadership.refuse(5, &[1, 2, 3], 10, anew));
        assert!(leadership.settles());
        assert_eq!(leadership.proposed(), Some(&[1][..]), "nobody vouches for 2");
        assert_eq!(leadership.committed(12, 6, LAG, alive), Some(10), "all of them may be in sync");
        // The settling write is refused, too, because 2 has fetched meanwhile; it is judged again.
        leadership.note_fetch(
            2,
            FollowerFetch { offset: 10, log_start: 0, broker_epoch: 60, leader_end: 10 },
            6,
        );
        assert!(!leadership.refuse(5, &[1], 10, anew), "this comes again by itself");
        assert_eq!(leadership.proposed(), Some(&[1, 2][..]));
        assert_eq!(leadership.judged_epochs(), BTreeMap::from([(2, 60)]));
        assert!(leadership.accept(5, &[1, 2], 8));
        assert!(!leadership.settles() && leadership.proposed().is_none());
        assert!(leadership.propose_expansion(3, 10, alive, anew), "and 3 may be proposed again");
    }

    #[test]
    fn a_member_that_came_back_counts_only_once_it_has_shown_what_it_has() {
        let back = |id| if id == 2 { Some(60) } else { Some(9) };
        let any = |_: i32, _: &FollowerState| true;
        let mut leadership = leading(&[1, 2], 10);
        fetch(&mut leadership, 2, 10, 10, 5);
        fetch(&mut leadership, 3, 10, 10, 5);
        assert!(leadership.propose_expansion(3, 10, any, back));
        assert_eq!(leadership.proposed(), Some(&[1, 3][..]));
        leadership.refuse(5, &[1, 3], 10, back);
        let short = FollowerFetch { offset: 8, log_start: 0, broker_epoch: 60, leader_end: 10 };
        leadership.note_fetch(2, short, 6);
        assert!(leadership.propose_shrinking((10, 10), 7, LAG, back), "it lost what it had");
        leadership.refuse(5, &[1], 10, back);
        leadership.note_fetch(2, FollowerFetch { offset: 10, ..short }, 8);
        assert!(!leadership.propose_shrinking((10, 10), 8, LAG, back));
        assert!(leadership.propose_expansion(3, 10, any, back));
        assert_eq!(leadership.proposed(), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn an_idle_follower_is_caught_up_as_long_as_its_broker_fetches() {
        let mut leadership = leading(&[1, 2], 10);
        fetch(&mut leadership, 2, 10, 10, 5);
        assert!(!leadership.has_idle(10, 100, LAG));
        assert!(leadership.has_idle(10, 50_000, LAG));
        leadership.note_idle(10, |_| Some(49_900));
        assert!(
            !leadership.propose_shrinking((11, 0), 50_000, LAG, before),
            "it had everything a moment ago"
        );
        assert!(leadership.propose_shrinking((11, 0), 51_000, LAG, before));
    }

    #[test]
    fn states_that_are_known_to_be_old_are_ignored() {
        let mut leadership = leading(&[1, 2], 0);
        fetch(&mut leadership, 3, 0, 0, 1);
        assert!(leadership.propose_expansion(3, 0, alive, before));
        assert!(leadership.accept(5, &[1, 2, 3], 8));
        assert_eq!(leadership.take_over(role(5, 7, &[1, 2]), 0, 1), Turn::default());
        assert_eq!(leadership.role.isr, [1, 2, 3]);
        let mut moved = role(5, 7, &[1, 2]);
        moved.replicas = vec![1, 3];
        assert!(leadership.take_over(moved, 0, 1).changed, "the assignment has no epoch");
        assert_eq!((leadership.role.isr.len(), leadership.followers.len()), (3, 1));
        assert_eq!(
            leadership.committed(0, 2, LAG, alive),
            Some(0),
            "2 can't be elected, so nobody waits for it"
        );
    }

    #[test]
    fn a_new_epoch_of_the_same_leader_keeps_positions_and_starts_the_clock_anew() {
        let mut leadership = leading(&[1, 2], 10);
        fetch(&mut leadership, 2, 10, 10, 5);
        fetch(&mut leadership, 3, 10, 10, 5);
        let turn = leadership.take_over(role(6, 8, &[1, 2]), 11, 5_000);
        assert!(turn.new_epoch && !turn.begun_to_lead && !turn.resigned);
        assert_eq!((leadership.since_epoch, leadership.epoch_start), (5, 11));
        assert_eq!(leadership.committed(11, 5_001, LAG, alive), Some(10));
        assert_eq!(leadership.followers[&3].caught_up_ms, None);
        let gone = leadership.take_over(Role { leader: 2, ..role(7, 9, &[2]) }, 11, 5_002);
        assert!(gone.resigned);
        assert!(leadership.followers.is_empty());
    }
}
