//! A range of protocol versions, as the message tables and ApiVersions write it.

use std::fmt;

/// An inclusive range of protocol versions. The empty range is [`Versions::NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Lowest version of the range.
    pub min: i16,
    /// Highest version of the range; below `min` when the range is empty.
    pub max: i16,
}

impl Versions {
    /// The range without any version.
    pub const NONE: Versions = Versions { min: 0, max: -1 };

    /// The versions `min..=max`.
    pub const fn new(min: i16, max: i16) -> Versions {
        Versions { min, max }
    }

    /// Every version from `min` on.
    pub const fn from(min: i16) -> Versions {
        Versions { min, max: i16::MAX }
    }

    /// Whether `version` lies within the range.
    #[inline]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether the range has no version at all.
    pub const fn is_empty(self) -> bool {
        self.max < self.min
    }

    /// Every version of the range, in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> + Clone {
        self.min..=self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            v if v.is_empty() => f.write_str("none"),
            Versions { min, max: i16::MAX } => write!(f, "{min}+"),
            Versions { min, max } if min == max => write!(f, "{min}"),
            Versions { min, max } => write!(f, "{min}-{max}"),
        }
    }
}
