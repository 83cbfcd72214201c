//! Four-letter words: which there are, which may be used, and what each answers.
//!
//! A word is the first four bytes of a fresh connection (reference 3.23); its answer is plain text, then the connection ends.
//! Invariant: a word that isn't on the whitelist reveals nothing but that.
mod dump;
mod environment;
mod monitor;
mod server;
mod text;

use crate::door::Door;
use std::collections::BTreeSet;
use std::sync::Arc;

macro_rules! words {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A four-letter word (`FourLetterCommands`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Word {
            $($(#[$doc])* $variant,)*
        }

        impl Word {
            /// Every word.
            const ALL: &'static [Word] = &[$(Word::$variant,)*];

            /// The word's four letters.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Word::$variant => $name,)*
                }
            }
        }
    };
}

words! {
    /// The configuration.
    Conf = "conf";
    /// Every connection with its numbers.
    Cons = "cons";
    /// Resets the connections' numbers.
    Crst = "crst";
    /// Sizes of the data folders.
    Dirs = "dirs";
    /// Sessions, ephemerals and connections.
    Dump = "dump";
    /// The environment of the process.
    Envi = "envi";
    /// The trace mask.
    Gtmk = "gtmk";
    /// History of digests of the tree.
    Hash = "hash";
    /// Whether the server is read-only.
    Isro = "isro";
    /// Metrics.
    Mntr = "mntr";
    /// Whether the process answers.
    Ruok = "ruok";
    /// Sets the trace mask.
    Stmk = "stmk";
    /// Resets the server's numbers.
    Srst = "srst";
    /// The server's numbers.
    Srvr = "srvr";
    /// The server's numbers and its connections.
    Stat = "stat";
    /// Watches by session.
    Wchc = "wchc";
    /// Watches by path.
    Wchp = "wchp";
    /// A summary of watches.
    Wchs = "wchs";
}

/// How many bytes follow the word `stmk`: the mask.
pub(crate) const TRACE_MASK_BYTES: usize = 8;
/// The mask that `gtmk` answers: CLIENT_REQUEST, SESSION and EVENT_DELIVERY as in ZooKeeper's `ZooTrace`.
const TRACE_MASK: u64 = 306;

impl Word {
    /// The word that a connection's first four bytes are, if they are one.
    pub(crate) fn of_bytes(bytes: [u8; 4]) -> Option<Word> {
        Word::ALL.iter().copied().find(|word| word.name().as_bytes() == bytes)
    }
}

/// Which words may be used (`4lw.commands.whitelist`). `srvr` always may, because `zkServer.sh` needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whitelist(BTreeSet<Word>);

impl Default for Whitelist {
    fn default() -> Self {
        Whitelist::parse("")
    }
}

impl Whitelist {
    /// Reads a list separated by commas; `*` is every word. Unknown words have no effect, as in ZooKeeper.
    pub fn parse(list: &str) -> Whitelist {
        let mut words = BTreeSet::from([Word::Srvr]);
        for entry in list.split(',').map(str::trim) {
            if entry == "*" {
                words.extend(Word::ALL);
            }
            words.extend(Word::ALL.iter().filter(|word| word.name() == entry));
        }
        Whitelist(words)
    }

    /// Adds a word by its name, as `readonlymode.enabled` adds `isro`.
    pub fn allow(&mut self, name: &str) {
        self.0.extend(Word::ALL.iter().filter(|word| word.name() == name));
    }

    /// Whether the word may be used.
    pub(crate) fn contains(&self, word: Word) -> bool {
        self.0.contains(&word)
    }
}

/// The text that a word answers. `mask` is the argument of `stmk`.
pub(crate) async fn answer(door: &Arc<Door>, word: Word, mask: u64) -> String {
    if !door.config.four_letter_words.contains(word) {
        return refusal(word);
    }
    if let Some(text) = without_service(word).filter(|_| !door.ensemble.is_serving()) {
        return text.to_owned();
    }
    match word {
        Word::Conf => environment::configuration(door).await,
        Word::Cons => server::connections(door),
        Word::Crst => server::reset_connections(door),
        Word::Dirs => environment::folders(door).await,
        Word::Dump => dump::sessions(door),
        Word::Envi => environment::environment(door),
        Word::Gtmk => TRACE_MASK.to_string(),
        // The tree keeps no history of digests, so the list is empty.
        Word::Hash => String::new(),
        Word::Isro => String::from("rw"),
        Word::Mntr => monitor::metrics(door).await,
        Word::Ruok => String::from("imok"),
        // Accepted for the sake of scripts; what is traced is chosen by the node's log filter.
        Word::Stmk => mask.cast_signed().to_string(),
        Word::Srst => server::reset(door),
        Word::Srvr => server::server(door).await,
        Word::Stat => server::statistics(door).await,
        Word::Wchc => dump::watches_by_session(door),
        Word::Wchp => dump::watches_by_path(door),
        Word::Wchs => dump::watches_summary(door),
    }
}

/// What a word answers on a node that serves nobody at the moment, if that differs (`AbstractFourLetterCommand`).
fn without_service(word: Word) -> Option<&'static str> {
    match word {
        Word::Envi | Word::Gtmk | Word::Ruok | Word::Stmk => None,
        Word::Isro => Some("null"),
        // Unlike the others this one ends without a line break.
        Word::Hash => Some("This ZooKeeper instance is not currently serving requests"),
        Word::Conf
        | Word::Cons
        | Word::Crst
        | Word::Dirs
        | Word::Dump
        | Word::Mntr
        | Word::Srst
        | Word::Srvr
        | Word::Stat
        | Word::Wchc
        | Word::Wchp
        | Word::Wchs => Some("This ZooKeeper instance is not currently serving requests\n"),
    }
}

fn refusal(word: Word) -> String {
    format!("{} is not executed because it is not in the whitelist.\n", word.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_recognised_by_its_bytes() {
        for word in Word::ALL {
            let bytes = word.name().as_bytes().first_chunk::<4>().copied().expect("words have four letters");
            assert_eq!(Word::of_bytes(bytes), Some(*word));
        }
        assert_eq!(Word::of_bytes(*b"RUOK"), None);
        assert_eq!(Word::of_bytes([0, 0, 0, 45]), None);
    }

    #[test]
    fn only_srvr_is_allowed_without_a_whitelist() {
        let allowed =
            |list: &str| -> Vec<&str> { Whitelist::parse(list).0.iter().map(|word| word.name()).collect() };
        assert_eq!(allowed(""), ["srvr"]);
        assert_eq!(allowed(" ruok , nope,,mntr"), ["mntr", "ruok", "srvr"]);
        assert_eq!(allowed("*").len(), Word::ALL.len());
        let mut list = Whitelist::default();
        list.allow("isro");
        assert!(list.contains(Word::Isro));
    }

    #[test]
    fn the_refusal_has_the_exact_text() {
        assert_eq!(refusal(Word::Ruok), "ruok is not executed because it is not in the whitelist.\n");
    }
}
