//! One search and its result. Invariant: a search that reached its limit never claims to be exhaustive.

use std::collections::BTreeMap;
use std::sync::Arc;

use stateright::{Checker, HasDiscoveries, Model};

use super::bounds::Bounds;
use super::oracle::Law;
use super::seen::{Seen, Sight};
use super::world::World;

/// In which order states are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Near ones first: the shortest trace of a broken law, and about 0.5 KB of memory for every state.
    Breadth,
    /// Deep ones first: about 16 bytes of memory for every state.
    Depth,
}

/// What a search found.
#[derive(Debug)]
pub struct Outcome {
    /// How many different states it visited.
    pub states: usize,
    /// How many transitions led to them.
    pub transitions: usize,
    /// The longest trace.
    pub depth: usize,
    /// Whether every state within the bounds was visited.
    pub exhausted: bool,
    /// The laws that were broken, each with the trace that leads there.
    pub broken: BTreeMap<Law, Vec<String>>,
    /// What happened.
    pub seen: Arc<Seen>,
    /// What was to happen and didn't.
    pub missed: Vec<Sight>,
}

impl Outcome {
    /// Whether every state was visited, none breaks a law, and everything happened that was to.
    pub fn is_clean(&self) -> bool {
        self.exhausted && self.broken.is_empty() && self.missed.is_empty()
    }
}

/// Visits every state within `bounds` until one breaks a law, or until there were `limit` transitions.
pub fn search(bounds: Bounds, order: Search, threads: usize, limit: usize) -> Outcome {
    let expected = bounds.expects;
    let world = World::new(bounds);
    let seen = Arc::clone(world.seen());
    let builder =
        world.checker().threads(threads).target_state_count(limit).finish_when(HasDiscoveries::AnyFailures);
    let mut outcome = match order {
        Search::Breadth => outcome(builder.spawn_bfs().join(), seen, limit),
        Search::Depth => outcome(builder.spawn_dfs().join(), seen, limit),
    };
    outcome.missed = expected.iter().filter(|sight| outcome.seen.count(**sight) == 0).copied().collect();
    outcome
}

fn outcome(checker: impl Checker<World>, seen: Arc<Seen>, limit: usize) -> Outcome {
    let (states, transitions, depth) =
        (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    let mut broken = BTreeMap::new();
    for law in Law::ALL {
        let Some(path) = checker.discovery(law.name()) else { continue };
        let mut trace = Vec::new();
        for (state, happening) in path.into_vec() {
            if let Some(happening) = happening {
                trace.push(checker.model().describe(&state, &happening));
            } else if let Some(violation) = state.violation() {
                trace.push(violation.how.clone());
            }
        }
        broken.insert(law, trace);
    }
    let exhausted = broken.is_empty() && transitions < limit;
    Outcome { states, transitions, depth, exhausted, broken, seen, missed: Vec::new() }
}
