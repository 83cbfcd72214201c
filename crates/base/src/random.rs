//! Unpredictable bytes for ids and passwords.

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `buffer` with bytes that nobody can predict (in production; a simulator's are from its seed).
    fn fill(&self, buffer: &mut [u8]);

    /// A random 64-bit number.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// 16 random bytes, for a UUID or a password.
    fn bytes16(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        // Without entropy no session password could be trusted, so the node must not go on.
        getrandom::fill(buffer).expect("the operating system has a random generator");
    }
}
