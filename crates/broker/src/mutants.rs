//! Bugs that can be switched on, to prove that the simulation finds them. Without the feature `mutants` none of this is compiled in.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A replica joins the in-sync ones wherever its log ends.
    IsrExpandedBeforeCatchUp = 1,
}

#[cfg(feature = "mutants")]
static ACTIVE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Switches a bug on for the whole process, or all of them off.
#[cfg(feature = "mutants")]
pub fn set(mutant: Option<Mutant>) {
    ACTIVE.store(mutant.map_or(0, |mutant| mutant as u8), std::sync::atomic::Ordering::Relaxed);
}

/// Whether a bug is switched on.
#[cfg(feature = "mutants")]
pub(crate) fn is_set(mutant: Mutant) -> bool {
    ACTIVE.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

/// Whether a bug is switched on: never in a server.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_set(_mutant: Mutant) -> bool {
    false
}
