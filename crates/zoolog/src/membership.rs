//! Who belongs to the ensemble, as ZooKeeper clients read it: `/zookeeper/config`.
//!
//! Invariants: only the quorum's leader writes it, and only if it says something else than that node's configuration; so it follows
//! from a configuration that changed once a node that has it leads. A node that was alone all the time leaves it empty, as a
//! standalone ZooKeeper does.
use bytes::Bytes;
use ensemble::Ensemble;
use std::time::Duration;
use tree::{AuthId, Op, Request};

/// The znode.
const CONFIG: &str = "/zookeeper/config";
/// How often a node looks whether it leads.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the znode as `text` says, whenever this node leads.
pub(crate) async fn show(ensemble: Ensemble, text: Option<String>) {
    let Some(text) = text.map(Bytes::from) else { return };
    let node_id = ensemble.config().node_id;
    loop {
        let leads = ensemble.leader() == Some(node_id);
        if leads && !shows(&ensemble, &text) {
            let set = Op::SetData { path: CONFIG.into(), data: Some(text.clone()), version: -1 };
            if let Err(error) = ensemble.write(None, &[AuthId::superuser()], Request::Op(set)).await {
                tracing::debug!(%error, "the list of servers is written again later");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn shows(ensemble: &Ensemble, text: &Bytes) -> bool {
    ensemble.read(|view| view.tree().get(CONFIG).is_some_and(|node| node.data() == Some(text.as_ref())))
}
