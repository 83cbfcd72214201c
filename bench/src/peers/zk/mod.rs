//! Workloads of ZooKeeper clients, and the load generators behind them.
mod life;
mod link;
pub(crate) mod load;
mod script;
pub(crate) mod session;
mod sessions;
mod size;
mod throughput;
mod watches;

use super::workload::{State, Workload};

/// All of them, or those of the short run.
pub(crate) fn workloads(quick: bool) -> Vec<Workload> {
    let mut workloads = throughput::workloads(quick);
    if !quick {
        workloads.extend(sessions::workloads());
        workloads.extend(watches::workloads());
    }
    workloads.extend(size::workloads(quick));
    workloads.extend(life::workloads());
    // Workloads that want the same clusters follow each other.
    workloads.sort_by_key(|workload| (workload.state != State::Warm, workload.nodes));
    workloads
}
