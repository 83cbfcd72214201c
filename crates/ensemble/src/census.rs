//! Who follows the leader, for `srvr`, `mntr` and metrics.
use crate::ensemble::Ensemble;
use kafka_wire::messages::DescribeQuorumRequest;
use kafka_wire::messages::describe_quorum::ReplicaState;
use kafka_wire::{ErrorCode, Request, Response};

/// The members of the ensemble as its leader sees them. The leader itself is a voter and no follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// How many nodes have a vote.
    pub voters: usize,
    /// How many voters follow, as far as they fetched lately.
    pub followers: usize,
    /// How many of them were caught up within a fetch timeout.
    pub synced_followers: usize,
    /// How many nodes without a vote follow.
    pub observers: usize,
    /// How many of them were caught up within a fetch timeout.
    pub synced_observers: usize,
}

impl Ensemble {
    /// Counts who follows; `None` if this node doesn't lead.
    pub async fn census(&self) -> Option<Census> {
        let request = Request::DescribeQuorum(DescribeQuorumRequest::default());
        let Response::DescribeQuorum(response) = self.serve_peer(request, 0).await else { return None };
        let partition = response.topics.into_iter().next()?.partitions.into_iter().next()?;
        let own = self.config().node_id;
        if partition.error_code != ErrorCode::NONE || partition.leader_id != own {
            return None;
        }
        let now = self.world().clock.wall_ms();
        let patience = i64::try_from(self.config().cluster.fetch_timeout_ms).unwrap_or(i64::MAX);
        let lately = |at: i64| at >= 0 && now.saturating_sub(at) <= patience;
        let fetches =
            |replica: &&ReplicaState| replica.replica_id != own && lately(replica.last_fetch_timestamp);
        let is_synced =
            |replica: &&ReplicaState| fetches(replica) && lately(replica.last_caught_up_timestamp);
        Some(Census {
            voters: partition.current_voters.len(),
            followers: partition.current_voters.iter().filter(fetches).count(),
            synced_followers: partition.current_voters.iter().filter(is_synced).count(),
            observers: partition.observers.iter().filter(fetches).count(),
            synced_observers: partition.observers.iter().filter(is_synced).count(),
        })
    }

    /// Whether the node serves clients at the moment.
    pub fn is_serving(&self) -> bool {
        *self.core.serving.borrow()
    }
}
