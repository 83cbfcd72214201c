//! Pictures and what the controller has to write in them.
use super::*;
use crate::config::{BrokerConfig, ConfigMap, TopicConfig};
use crate::election::NoElection;
use crate::layout::{NamedPartition, PartitionState, WantedReplicas};
use crate::reassignment::Assignment;
use crate::view::{BrokerView, PartitionView};

/// The transaction that wrote the states of these tests, unless they say otherwise.
const WRITTEN: i64 = 100;
/// A registration before it.
const BEFORE: i64 = 50;
/// A registration after it: another incarnation.
const AFTER: i64 = 150;

fn view(brokers: &[(i32, i64)], topics: &[(&str, Vec<PartitionView>)]) -> ClusterView {
    view_with(brokers, topics, &[])
}

fn view_with(
    brokers: &[(i32, i64)],
    topics: &[(&str, Vec<PartitionView>)],
    overrides: &[(&str, &str)],
) -> ClusterView {
    let mut view = ClusterView { controller_epoch: 7, ..ClusterView::default() };
    for (id, epoch) in brokers {
        let broker = BrokerView { id: *id, epoch: *epoch, endpoints: Vec::new(), rack: None };
        view.brokers.insert(*id, Arc::new(broker));
    }
    let overrides: ConfigMap =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (config, _) = TopicConfig::effective(&BrokerConfig::default(), &overrides);
    for (name, partitions) in topics {
        let topic = TopicView {
            name: (*name).into(),
            id: Uuid::from_u128(9),
            partitions: partitions.clone(),
            overrides: Arc::new(overrides.clone()),
            config: Arc::new(config.clone()),
        };
        view.topics.insert(topic.name.clone(), Arc::new(topic));
    }
    view
}

fn led(leader: i32, isr: &[i32], replicas: &[i32]) -> PartitionView {
    PartitionView {
        leader,
        leader_epoch: 3,
        isr: isr.to_vec(),
        partition_epoch: 5,
        state_zxid: WRITTEN,
        ..PartitionView::unelected(replicas.to_vec())
    }
}

fn judged(view: &ClusterView) -> Vec<Duty> {
    duties(view, &BTreeSet::new(), &Scope::All)
}

/// Leader, leader epoch, in-sync set and recovery of the only state that is to be written.
fn only_state(view: &ClusterView) -> (i32, i32, Vec<i32>, i8) {
    let duties = judged(view);
    let [Duty::Write(next)] = duties.as_slice() else { panic!("one state is expected: {duties:?}") };
    assert_eq!(next.version, 5);
    assert_eq!(next.state.controller_epoch, 7);
    (next.state.leader, next.state.leader_epoch, next.state.isr.clone(), next.state.leader_recovery_state)
}

const THREE: [(i32, i64); 3] = [(0, BEFORE), (1, BEFORE), (2, BEFORE)];

#[test]
fn a_picture_in_order_gives_no_duty() {
    let view = view(&THREE, &[("t", vec![led(1, &[1, 0, 2], &[0, 1, 2]), led(0, &[0], &[0, 1])])]);
    assert_eq!(judged(&view), []);
}

#[test]
fn a_gone_leader_is_followed_by_the_first_in_sync_replica() {
    let view = view(&[(1, BEFORE), (2, BEFORE)], &[("t", vec![led(0, &[0, 2, 1], &[0, 1, 2])])]);
    assert_eq!(only_state(&view), (1, 4, vec![2, 1], 0));
}

#[test]
fn an_out_of_sync_replica_is_not_elected() {
    let view = view(&[(1, BEFORE), (2, BEFORE)], &[("t", vec![led(0, &[0, 2], &[0, 1, 2])])]);
    assert_eq!(only_state(&view), (2, 4, vec![2], 0));
}

#[test]
fn a_gone_follower_leaves_the_in_sync_set_in_the_same_epoch() {
    let view = view(&[(0, BEFORE), (2, BEFORE)], &[("t", vec![led(0, &[0, 1, 2], &[0, 1, 2])])]);
    assert_eq!(only_state(&view), (0, 3, vec![0, 2], 0));
}

#[test]
fn the_last_in_sync_replicas_stay_on_record() {
    let gone = view(&[(2, BEFORE)], &[("t", vec![led(0, &[0, 1], &[0, 1, 2])])]);
    assert_eq!(only_state(&gone), (-1, 4, vec![0, 1], 0));
    let recorded = PartitionView { leader: -1, ..led(-1, &[0, 1], &[0, 1, 2]) };
    let waiting = view(&[(2, BEFORE)], &[("t", vec![recorded.clone()])]);
    assert_eq!(judged(&waiting), []);
    let back = view(&[(1, AFTER), (2, BEFORE)], &[("t", vec![recorded])]);
    assert_eq!(only_state(&back), (1, 4, vec![1], 0));
}

#[test]
fn another_incarnation_neither_leads_nor_counts_while_a_steady_member_is_left() {
    let leader_back = view(&[(0, AFTER), (1, BEFORE)], &[("t", vec![led(0, &[0, 1], &[0, 1])])]);
    assert_eq!(only_state(&leader_back), (1, 4, vec![1], 0));
    let follower_back = view(&[(0, BEFORE), (1, AFTER)], &[("t", vec![led(0, &[0, 1], &[0, 1])])]);
    assert_eq!(only_state(&follower_back), (0, 3, vec![0], 0));
    let all_back = view(&[(0, AFTER), (1, AFTER)], &[("t", vec![led(1, &[1, 0], &[0, 1])])]);
    assert_eq!(only_state(&all_back), (0, 4, vec![1, 0], 0));
}

#[test]
fn an_unclean_election_is_a_setting_of_the_topic_and_leaves_a_mark() {
    let partitions = vec![led(0, &[0], &[0, 1, 2])];
    let setting = [("unclean.leader.election.enable", "true")];
    let unclean = view_with(&[(1, BEFORE), (2, BEFORE)], &[("t", partitions)], &setting);
    assert_eq!(only_state(&unclean), (1, 4, vec![1], 1));
}

#[test]
fn a_recovering_leader_stays_marked_when_its_state_is_written() {
    let recovering = PartitionView { recovering: true, ..led(0, &[0, 1], &[0, 1]) };
    let view = view(&[(0, BEFORE)], &[("t", vec![recovering])]);
    assert_eq!(only_state(&view), (0, 3, vec![0], 1));
}

#[test]
fn a_new_partition_is_led_by_its_first_live_replica() {
    let view = view(&[(1, AFTER), (2, AFTER)], &[("t", vec![PartitionView::unelected(vec![0, 2, 1])])]);
    let duties = judged(&view);
    let [Duty::Write(next)] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!((next.version, next.state.leader, next.state.leader_epoch), (-1, 2, 0));
    assert_eq!(next.state.isr, [2, 1]);
}

#[test]
fn only_topics_in_scope_are_judged() {
    let partitions = vec![led(0, &[0, 1], &[0, 1])];
    let view = view(&[(1, BEFORE)], &[("a", partitions.clone()), ("b", partitions)]);
    assert_eq!(judged(&view).len(), 2);
    let mut scope = Scope::nothing();
    assert_eq!(duties(&view, &BTreeSet::new(), &scope), []);
    scope.add("b");
    let duties = duties(&view, &BTreeSet::new(), &scope);
    let [Duty::Write(next)] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!(&*next.topic, "b");
}

#[test]
fn the_znode_log_is_assigned_to_all_and_in_sync_on_the_live_ones() {
    let alone = view(&THREE, &[("__znodes", vec![led(0, &[0], &[0])])]);
    assert_eq!(judged(&alone), [Duty::AssignZnodes { replicas: vec![0, 1, 2] }]);
    let assigned = view(&THREE, &[("__znodes", vec![led(0, &[0], &[0, 1, 2])])]);
    assert_eq!(only_state(&assigned), (0, 3, vec![0, 1, 2], 0));
    let gone = view(&THREE[1..], &[("__znodes", vec![led(0, &[0, 1, 2], &[0, 1, 2])])]);
    assert_eq!(only_state(&gone), (1, 4, vec![1, 2], 0));
    let back = view(&[(0, AFTER), (1, BEFORE)], &[("__znodes", vec![led(0, &[0, 1], &[0, 1])])]);
    assert_eq!(only_state(&back), (1, 4, vec![0, 1], 0));
}

#[test]
fn the_preferred_leader_is_elected_if_it_is_steady_and_in_sync() {
    let leaving = BTreeSet::new();
    let elect = |brokers: &[(i32, i64)], partition: PartitionView, leaving: &BTreeSet<i32>| {
        let view = view(brokers, &[("t", vec![partition.clone()])]);
        Electorate { view: &view, leaving }
            .preferred(&partition)
            .map(|state| (state.leader, state.leader_epoch))
    };
    assert_eq!(elect(&THREE, led(1, &[1, 0], &[0, 1]), &leaving), Ok((0, 4)));
    assert_eq!(elect(&THREE, led(0, &[1, 0], &[0, 1]), &leaving), Err(NoElection::NotNeeded));
    assert_eq!(elect(&THREE, led(1, &[1], &[0, 1]), &leaving), Err(NoElection::NoCandidate));
    assert_eq!(elect(&THREE[1..], led(1, &[1, 0], &[0, 1]), &leaving), Err(NoElection::NoCandidate));
    let about_to_stop = BTreeSet::from([0]);
    assert_eq!(elect(&THREE, led(1, &[1, 0], &[0, 1]), &about_to_stop), Err(NoElection::NoCandidate));
}

#[test]
fn an_unclean_election_on_request_needs_a_partition_without_a_leader() {
    let leaving = BTreeSet::new();
    let elect = |partition: PartitionView| {
        let view = view(&[(1, AFTER)], &[("t", vec![partition.clone()])]);
        let elected = Electorate { view: &view, leaving: &leaving }.unclean(&partition);
        elected.map(|state| (state.leader, state.isr, state.leader_recovery_state))
    };
    assert_eq!(elect(led(1, &[1], &[0, 1])), Err(NoElection::NotNeeded));
    assert_eq!(elect(led(-1, &[0], &[0, 1])), Ok((1, vec![1], 1)));
    assert_eq!(elect(led(-1, &[0, 1], &[0, 1])), Ok((1, vec![1], 0)));
    assert_eq!(elect(led(-1, &[0], &[0])), Err(NoElection::NoCandidate));
}

#[test]
fn imbalance_is_counted_per_preferred_broker() {
    let leaving = BTreeSet::new();
    let mut partitions = vec![led(1, &[0, 1], &[0, 1])];
    partitions.extend(std::iter::repeat_n(led(0, &[0, 1], &[0, 1]), 9));
    let moved = |partitions: &[PartitionView], percentage: i32| {
        let view = view(&THREE, &[("t", partitions.to_vec())]);
        let states = Electorate { view: &view, leaving: &leaving }.imbalanced(percentage);
        states.iter().map(|next| (next.partition, next.state.leader)).collect::<Vec<_>>()
    };
    assert_eq!(moved(&partitions, 10), []);
    assert_eq!(moved(&partitions, 9), [(0, 0)]);
    partitions[0].adding = vec![2];
    assert_eq!(moved(&partitions, 9), [], "a partition that is being moved stays as it is");
}

#[test]
fn a_departing_broker_leaves_leaderships_and_in_sync_sets() {
    let partitions = vec![
        led(0, &[0, 1, 2], &[0, 1, 2]),
        led(1, &[1, 0], &[0, 1]),
        led(0, &[0], &[0, 1]),
        led(0, &[0], &[0]),
        led(1, &[1, 2], &[0, 1, 2]),
    ];
    let view = view(&THREE, &[("t", partitions)]);
    let leaving = BTreeSet::from([0]);
    let departure = Electorate { view: &view, leaving: &leaving }.departure(0);
    let states: Vec<_> = departure
        .states
        .iter()
        .map(|next| (next.partition, next.state.leader, next.state.leader_epoch, next.state.isr.clone()))
        .collect();
    assert_eq!(states, [(0, 1, 4, vec![1, 2]), (1, 1, 3, vec![1])]);
    assert_eq!(departure.remaining, [(Arc::from("t"), 2)], "a partition with one replica is nobody else's");
}

#[test]
fn a_departing_broker_is_elected_only_where_nobody_else_can_be() {
    let view = view(&THREE[..2], &[("t", vec![led(2, &[2, 0, 1], &[0, 1, 2]), led(2, &[2, 0], &[0, 2])])]);
    let duties = duties(&view, &BTreeSet::from([0]), &Scope::All);
    let leaders: Vec<_> =
        duties.iter().map(|duty| if let Duty::Write(next) = duty { next.state.leader } else { -9 }).collect();
    assert_eq!(leaders, [1, 0]);
}

#[test]
fn kip_455_a_reassignment_is_complete_when_all_that_stay_are_in_sync() {
    let moving = |leader: i32, isr: &[i32]| PartitionView {
        adding: vec![2],
        removing: vec![0],
        ..led(leader, isr, &[1, 2, 0])
    };
    let under_way = view(&THREE, &[("t", vec![moving(0, &[0, 1])])]);
    assert_eq!(judged(&under_way), []);
    let complete = view(&THREE, &[("t", vec![moving(0, &[0, 1, 2])])]);
    let duties = judged(&complete);
    let [Duty::CompleteReassignments { completions, .. }] = duties.as_slice() else { panic!("{duties:?}") };
    let [completion] = completions.as_slice() else { panic!("{completions:?}") };
    assert_eq!(completion.replicas, [1, 2]);
    let PartitionState { leader, leader_epoch, isr, .. } = &completion.state;
    assert_eq!((*leader, *leader_epoch, isr.as_slice()), (1, 4, &[1, 2][..]), "the leader had to go");
    let stays = view(&THREE, &[("t", vec![moving(2, &[0, 1, 2])])]);
    let duties = judged(&stays);
    let [Duty::CompleteReassignments { completions, .. }] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!((completions[0].state.leader, completions[0].state.leader_epoch), (2, 3));
}

#[test]
fn kip_455_a_reassignment_that_overrides_another_starts_from_the_origin() {
    let first = Assignment::towards(&[0, 1], &[2, 1]);
    let [replicas, adding, removing] = [vec![2, 1, 0], vec![2], vec![0]];
    assert_eq!(first, Assignment { replicas, adding, removing });
    let second = Assignment::towards(&first.origin(), &[3, 1]);
    let [replicas, adding, removing] = [vec![3, 1, 0], vec![3], vec![0]];
    assert_eq!(second, Assignment { replicas, adding, removing });
    let order_only = Assignment::towards(&[0, 1], &[1, 0]);
    assert_eq!(order_only, Assignment { replicas: vec![1, 0], ..Assignment::default() });
}

#[test]
fn replicas_that_left_the_assignment_leave_the_in_sync_set() {
    let cancelled = view(&THREE, &[("t", vec![led(2, &[2, 0], &[0, 1])])]);
    assert_eq!(only_state(&cancelled), (0, 4, vec![0], 0));
    let nobody_else = view(&THREE, &[("t", vec![led(2, &[2], &[0, 1])])]);
    assert_eq!(judged(&nobody_else), [], "the in-sync set is never emptied");
}

#[test]
fn a_written_request_for_preferred_leaders_ends_when_all_are_elected_that_can_be() {
    let named = |topic: &str| NamedPartition { topic: topic.to_owned(), partition: 0 };
    let mut view = view(&THREE, &[("t", vec![led(1, &[1, 0], &[0, 1])]), ("u", vec![led(1, &[1], &[0, 1])])]);
    view.preferred_election = Some([named("t"), named("u"), named("none")].into());
    let duties = judged(&view);
    let [Duty::Write(next)] = duties.as_slice() else { panic!("{duties:?}") };
    assert_eq!((&*next.topic, next.state.leader), ("t", 0));
    view.preferred_election = Some([named("u"), named("none")].into());
    assert_eq!(judged(&view), [Duty::FinishRequest { path: layout::PREFERRED_ELECTION }]);
}

#[test]
fn a_written_request_for_reassignments_lasts_until_they_are_complete() {
    let wanted = |topic: &str, replicas: &[i32]| WantedReplicas {
        topic: topic.to_owned(),
        partition: 0,
        replicas: replicas.to_vec(),
    };
    let request = |partition: PartitionView, wanted: &[WantedReplicas]| {
        let mut view = view(&THREE, &[("t", vec![partition])]);
        view.reassignment_request = Some(wanted.into());
        judged(&view)
    };
    let asked = [wanted("t", &[1, 2]), wanted("none", &[0])];
    let targets = BTreeMap::from([(0, vec![1, 2])]);
    let start = Duty::StartReassignments { topic: "t".into(), targets };
    assert_eq!(request(led(0, &[0, 1], &[0, 1]), &asked), [start]);
    let moving = PartitionView { adding: vec![2], removing: vec![0], ..led(0, &[0, 1], &[1, 2, 0]) };
    assert_eq!(request(moving, &asked), []);
    let finish = [Duty::FinishRequest { path: layout::REASSIGN_PARTITIONS }];
    assert_eq!(request(led(1, &[1, 2], &[1, 2]), &asked), finish);
    for impossible in [vec![], vec![7], vec![1, 1], vec![-1]] {
        assert_eq!(request(led(0, &[0], &[0]), &[wanted("t", &impossible)]), finish, "{impossible:?}");
    }
}
