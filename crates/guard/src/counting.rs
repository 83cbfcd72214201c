//! Where counting begins and ends.
//!
//! Invariant: callgrind counts exactly while [`counted`] runs.
use anyhow::{Context, Result};

/// How often a path is gone: first to warm up what is allocated or looked up once, then to be counted.
pub(crate) struct Rounds {
    pub(crate) warm: usize,
    pub(crate) counted: usize,
}

impl Rounds {
    /// Goes the path: in each round `prepare` makes its input, `work` is counted once it is warm, and `check` judges what came out. All
    /// of them have `state`.
    pub(crate) fn run<S, I, O>(
        &self,
        state: &mut S,
        mut prepare: impl FnMut(&mut S, usize) -> Result<I>,
        mut work: impl FnMut(&mut S, I) -> O,
        mut check: impl FnMut(&mut S, O) -> Result<()>,
    ) -> Result<()> {
        for round in 0..self.warm + self.counted {
            let mut input = Some(prepare(state, round)?);
            let mut output = None;
            let mut go = || output = input.take().map(|input| work(state, input));
            if round < self.warm {
                go()
            } else {
                counted(&mut go)
            }
            check(state, output.context("a round without a result")?)?;
        }
        Ok(())
    }
}

/// Does `work` and has it counted. xtask/src/guard.rs names this function to callgrind.
#[unsafe(export_name = "guard_counted")]
#[inline(never)]
pub(crate) fn counted(work: &mut dyn FnMut()) {
    work();
    // With something behind it, the call can't become a jump, which would leave this function too early.
    std::hint::black_box(());
}
