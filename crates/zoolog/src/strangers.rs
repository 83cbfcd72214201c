//! Tells a node that was told of others whose data its folders hold: theirs, or those of a cluster that it is alone in.
//!
//! The voters in a node's own log count more than its configuration, so a node that was alone before leads itself again whatever it
//! is told of others. That must not go unnoticed: it would serve other data than they do.
use crate::config::Cluster;
use ensemble::{Census, Ensemble};
use kafka_wire::messages::DescribeClusterRequest;
use peers::{Address, Lane, Peers};
use std::time::Duration;

/// How long one of the others may take to say which cluster it is of.
const PATIENCE: Duration = Duration::from_secs(2);
/// The version in which it is asked.
const DESCRIBE_CLUSTER_VERSION: i16 = 0;

/// The id of the cluster that one of the others is of, if this node, of cluster `own`, is alone in another one. Warns if none of the
/// others can be asked.
pub(crate) async fn other_cluster(
    ensemble: &Ensemble,
    cluster: &Cluster,
    peers: &Peers,
    own: Option<&str>,
) -> Option<String> {
    let voters = cluster.voters.iter().filter(|voter| voter.id != ensemble.config().node_id);
    let others: Vec<&Address> = voters.map(|voter| &voter.address).chain(&cluster.bootstrap).collect();
    let own = own.filter(|_| !others.is_empty())?;
    if !matches!(ensemble.census().await, Some(Census { voters: 1, .. })) {
        return None;
    }
    for other in others {
        match cluster_of(peers, other).await {
            Some(theirs) if theirs != own => return Some(theirs),
            _ => {}
        }
    }
    tracing::warn!(
        "by this node's data it is the only voter of its cluster, {own}; the nodes that it was told of are not asked: {}",
        cluster.others()
    );
    None
}

/// Which cluster a node says it is of, if it answers.
async fn cluster_of(peers: &Peers, node: &Address) -> Option<String> {
    let request = DescribeClusterRequest::default().into();
    match peers.call(node, Lane::Broker, DESCRIBE_CLUSTER_VERSION, request, PATIENCE).await {
        Ok(kafka_wire::Response::DescribeCluster(response)) => Some(response.cluster_id.to_string()),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "a node of the configuration does not say which cluster it is of");
            None
        }
    }
}
