//! Consensus: a pure step(event, log view, now) -> actions.
