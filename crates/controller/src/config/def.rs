//! What one configuration key is: a row of the tables in `tables/`.
//!
//! Invariant: a row is plain data. Everything that depends on the type or the allowed values of a key is decided from its
//! row and nowhere else.

/// The type of a key's value, with the codes that DescribeConfigs uses (`DescribeConfigsResponse.ConfigType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// A 32-bit integer.
    Int,
    /// A 16-bit integer.
    Short,
    /// A 64-bit integer.
    Long,
    /// A 64-bit floating point number.
    Double,
    /// Texts separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

/// The type code of an entry whose key no table knows.
pub const CONFIG_TYPE_CODE_UNKNOWN: i8 = 0;

impl ConfigType {
    /// The code of the type in DescribeConfigs.
    pub const fn code(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Short => 4,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
            ConfigType::Class => 8,
            ConfigType::Password => 9,
        }
    }

    /// The name of the type as Kafka's messages write it.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }
}

/// Which values of the right type are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Validator {
    /// Every value of the type.
    Any,
    /// Integers from a smallest one on.
    AtLeast(i64),
    /// Integers of a closed range.
    Between(i64, i64),
    /// Integers of a closed range, and one more.
    BetweenOr(i64, i64, i64),
    /// Floating point numbers of a closed range.
    BetweenReal(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in upper or lower case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// Text that is not empty.
    NonEmptyText,
    /// A list of distinct texts that are not empty; duplicates are dropped.
    ListOf(ListRule),
    /// A list of `id@host:port`.
    QuorumVoters,
    /// A list of `host:port`.
    QuorumServers,
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` with an ISO 8601 duration.
    ShareOffsetReset,
}

/// The rule of [`Validator::ListOf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRule {
    /// Whether the list may have no elements.
    pub may_be_empty: bool,
    /// The allowed elements; empty allows all.
    pub elements: &'static [&'static str],
}

/// Whether a broker key can change while the broker runs (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only by a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker, or for all brokers as their default.
    ClusterWide,
}

/// When DescribeConfigs names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Always, with its default if nobody set it.
    Always,
    /// Only where somebody set it: internal, dynamic-only and ZooKeeper-mode keys.
    WhenSet,
}

/// How the value of a server key becomes the value of a topic key that it is the default of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// As it is.
    Same,
    /// From minutes to milliseconds.
    MinutesToMs,
    /// From hours to milliseconds.
    HoursToMs,
}

/// A server key that gives a topic or group key its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSynonym {
    /// The name of the server key.
    pub name: &'static str,
    /// How its value is converted.
    pub conversion: Conversion,
}

/// One configuration key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigDef {
    /// The key.
    pub name: &'static str,
    /// The type of its value.
    pub config_type: ConfigType,
    /// The value when nobody set one, as text; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// Which values are allowed.
    pub validator: Validator,
    /// Whether it can change at run time. Topic and group keys always can.
    pub update_mode: UpdateMode,
    /// When DescribeConfigs names it.
    pub listing: Listing,
    /// The server keys that give a topic or group key its default, the first that is set wins. Empty for server keys.
    pub synonyms: &'static [ServerSynonym],
    /// One or two sentences for people.
    pub documentation: &'static str,
}

impl ConfigDef {
    /// Whether values of this key must never be shown.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.config_type, ConfigType::Password)
    }

    /// Whether the key can not change while the broker runs.
    pub const fn is_read_only(&self) -> bool {
        matches!(self.update_mode, UpdateMode::ReadOnly)
    }
}
