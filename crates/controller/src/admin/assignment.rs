//! Which brokers get the replicas of new partitions: spread evenly, over racks where the brokers name theirs (KIP-36).
use super::AdminError;
use crate::view::BrokerView;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Assigns `count` partitions from number `first` on. `start` picks the first broker, so that topics do not all begin with the same.
pub(crate) fn assign(
    brokers: &BTreeMap<i32, Arc<BrokerView>>,
    first: i32,
    count: i32,
    replication_factor: i16,
    start: u64,
) -> Result<BTreeMap<i32, Vec<i32>>, AdminError> {
    if replication_factor < 1 {
        return Err(AdminError::InvalidReplicationFactor(
            "Replication factor must be larger than 0.".to_owned(),
        ));
    }
    let factor = replication_factor as usize;
    if factor > brokers.len() {
        return Err(AdminError::InvalidReplicationFactor(format!(
            "Unable to replicate the partition {replication_factor} time(s): only {} broker(s) are registered.",
            brokers.len()
        )));
    }
    let order = spread_over_racks(brokers);
    let start = (start % order.len() as u64) as usize;
    let assigned = (first..first.saturating_add(count)).map(|index| {
        let lead = start + index as usize;
        // The followers are shifted once more per round, so that a lost broker's load goes to all others.
        let shift = lead / order.len();
        (index, replicas(&order, brokers, lead, shift, factor))
    });
    Ok(assigned.collect())
}

fn replicas(
    order: &[i32],
    brokers: &BTreeMap<i32, Arc<BrokerView>>,
    lead: usize,
    shift: usize,
    factor: usize,
) -> Vec<i32> {
    let count = order.len();
    let leader = order[lead % count];
    let mut chosen = vec![leader];
    let others: Vec<i32> =
        (0..count - 1).map(|step| order[(lead + 1 + (shift + step) % (count - 1).max(1)) % count]).collect();
    let rack_of = |id: &i32| brokers.get(id).and_then(|broker| broker.rack.as_deref());
    let mut racks = BTreeSet::from_iter(rack_of(&leader));
    // First one replica in every rack, then whoever is left.
    for id in &others {
        if chosen.len() < factor && rack_of(id).is_none_or(|rack| racks.insert(rack)) {
            chosen.push(*id);
        }
    }
    for id in others {
        if chosen.len() < factor && !chosen.contains(&id) {
            chosen.push(id);
        }
    }
    chosen
}

/// Brokers in turns of racks.
fn spread_over_racks(brokers: &BTreeMap<i32, Arc<BrokerView>>) -> Vec<i32> {
    let mut racks: BTreeMap<Option<&str>, Vec<i32>> = BTreeMap::new();
    for broker in brokers.values() {
        racks.entry(broker.rack.as_deref()).or_default().push(broker.id);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|turn| racks.values().filter_map(move |ids| ids.get(turn).copied())).collect()
}

/// Checks an assignment that a client gave: partitions from `first` on without gaps, known and different brokers, equal counts.
pub(crate) fn check(
    brokers: &BTreeMap<i32, Arc<BrokerView>>,
    first: i32,
    given: &[(i32, Vec<i32>)],
    factor: Option<usize>,
) -> Result<BTreeMap<i32, Vec<i32>>, AdminError> {
    let refuse = |why: String| Err(AdminError::InvalidReplicaAssignment(why));
    let mut assigned = BTreeMap::new();
    for (index, replicas) in given {
        if replicas.is_empty() {
            return refuse(format!(
                "The manual partition assignment of partition {index} includes no replicas."
            ));
        }
        let distinct: BTreeSet<_> = replicas.iter().collect();
        if distinct.len() != replicas.len() {
            return refuse(format!(
                "The manual partition assignment of partition {index} names a broker twice."
            ));
        }
        if let Some(unknown) = replicas.iter().find(|id| !brokers.contains_key(id)) {
            return refuse(format!(
                "The manual partition assignment includes broker {unknown}, but no such broker is registered."
            ));
        }
        let expected = factor.or(assigned.values().next().map(Vec::len)).unwrap_or(replicas.len());
        if replicas.len() != expected {
            return refuse(format!(
                "The manual partition assignment of partition {index} has {} replica(s), but the others have {expected}.",
                replicas.len()
            ));
        }
        if assigned.insert(*index, replicas.clone()).is_some() {
            return refuse(format!("Found multiple manual partition assignments for partition {index}"));
        }
    }
    match assigned.keys().zip(first..).find(|(index, expected)| *index != expected) {
        Some((_, expected)) => {
            refuse(format!("partitions should be a consecutive integer sequence: {expected} is missing"))
        }
        None => Ok(assigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(racks: &[Option<&str>]) -> BTreeMap<i32, Arc<BrokerView>> {
        let broker = |(id, rack): (i32, &Option<&str>)| {
            (id, Arc::new(BrokerView { id, epoch: 1, endpoints: Vec::new(), rack: rack.map(str::to_owned) }))
        };
        (0..).zip(racks).map(broker).collect()
    }

    #[test]
    fn replicas_are_distinct_and_leaders_even() {
        let brokers = brokers(&[None; 5]);
        let assigned = assign(&brokers, 0, 50, 3, 7).unwrap();
        let mut leaders = BTreeMap::new();
        for replicas in assigned.values() {
            assert_eq!(BTreeSet::from_iter(replicas).len(), 3);
            *leaders.entry(replicas[0]).or_insert(0) += 1;
        }
        assert!(leaders.values().all(|count| *count == 10), "{leaders:?}");
    }

    #[test]
    fn replicas_lie_in_different_racks() {
        let brokers = brokers(&[Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), Some("c")]);
        for replicas in assign(&brokers, 0, 30, 3, 1).unwrap().values() {
            let racks: BTreeSet<_> = replicas.iter().map(|id| brokers[id].rack.clone()).collect();
            assert_eq!(racks.len(), 3, "{replicas:?}");
        }
    }

    #[test]
    fn three_brokers_share_leaders_and_followers() {
        for racks in [[None; 3], [Some("a"), Some("b"), Some("b")], [Some("a"), Some("b"), Some("c")]] {
            let brokers = brokers(&racks);
            let assigned = assign(&brokers, 0, 30, 2, 5).unwrap();
            for place in 0..2 {
                let mut counts = BTreeMap::new();
                for replicas in assigned.values() {
                    *counts.entry(replicas[place]).or_insert(0) += 1;
                }
                let is_even = racks[1] != racks[2] || racks[1].is_none();
                assert!(
                    counts.len() == 3 && (!is_even || counts.values().all(|count| *count == 10)),
                    "{counts:?}"
                );
            }
            let rack_of = |id: &i32| brokers[id].rack.clone();
            let split = assigned.values().all(|replicas| rack_of(&replicas[0]) != rack_of(&replicas[1]));
            assert!(split || racks[0].is_none(), "{assigned:?}");
        }
    }

    #[test]
    fn one_broker_takes_all_and_no_more() {
        let one = brokers(&[None]);
        assert_eq!(assign(&one, 2, 2, 1, 9).unwrap(), BTreeMap::from([(2, vec![0]), (3, vec![0])]));
        assert!(matches!(assign(&one, 0, 1, 2, 0), Err(AdminError::InvalidReplicationFactor(_))));
        assert!(matches!(assign(&one, 0, 1, 0, 0), Err(AdminError::InvalidReplicationFactor(_))));
    }

    #[test]
    fn assignments_by_hand_are_checked() {
        let two = brokers(&[None, None]);
        let good = check(&two, 0, &[(1, vec![1, 0]), (0, vec![0, 1])], None).unwrap();
        assert_eq!(good.len(), 2);
        for bad in [
            vec![(0, vec![])],
            vec![(0, vec![0, 0])],
            vec![(0, vec![7])],
            vec![(1, vec![0])],
            vec![(0, vec![0]), (1, vec![0, 1])],
            vec![(0, vec![0]), (0, vec![1])],
        ] {
            assert!(check(&two, 0, &bad, None).is_err(), "{bad:?}");
        }
    }
}
