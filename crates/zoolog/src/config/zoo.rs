//! ZooKeeper's keys: one row for each key of zoo.cfg and each system property of a server, and what it means here.
//!
//! Invariant: a key that has a row is acted on, or refused, or has a row that says why it has no effect; only a key without a row
//! is unknown. A setting that should keep clients out is refused as long as it would not.
use super::NODE_ID_MAX;
use super::members::Member;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use zookeeper::{Whitelist, ZooKeeperConfig};

/// The largest number that a ZooKeeper server reads.
const INT_MAX: i64 = i32::MAX as i64;

/// What zoo.cfg and the system properties say. `None` is a default that depends on other settings.
#[derive(Clone, Debug)]
pub(crate) struct ZooSettings {
    /// The door's settings.
    pub(crate) door: ZooKeeperConfig,
    /// `clientPort`
    pub(crate) client_port: Option<u16>,
    /// `dataDir`
    pub(crate) data_dir: Option<PathBuf>,
    /// `dataLogDir`
    pub(crate) data_log_dir: Option<PathBuf>,
    /// `tickTime`
    pub(crate) tick_ms: u32,
    /// `minSessionTimeout`
    pub(crate) session_timeout_min_ms: Option<i32>,
    /// `maxSessionTimeout`
    pub(crate) session_timeout_max_ms: Option<i32>,
    /// `snapCount`
    pub(crate) snapshot_every: u64,
    /// `autopurge.snapRetainCount`
    pub(crate) snapshots_kept: usize,
    /// `znode.container.checkIntervalMs`
    pub(crate) container_check_ms: u64,
    /// `znode.container.maxPerMinute`
    pub(crate) containers_per_minute: usize,
    /// What decides about requests: extended types, skipACL, enforceQuota.
    pub(crate) tree: tree::Options,
    /// `readonlymode.enabled`
    read_only_mode: bool,
    /// `server.N`
    pub(crate) members: BTreeMap<i32, Member>,
    /// `peerType=observer`
    pub(crate) is_observer: bool,
    /// `quorumListenOnAllIPs`
    pub(crate) listens_on_all: bool,
    /// `initLimit`
    pub(crate) init_limit: Option<u32>,
    /// `syncLimit`
    pub(crate) sync_limit: Option<u32>,
}

impl Default for ZooSettings {
    fn default() -> ZooSettings {
        ZooSettings {
            door: ZooKeeperConfig::default(),
            client_port: None,
            data_dir: None,
            data_log_dir: None,
            tick_ms: 2_000,
            session_timeout_min_ms: None,
            session_timeout_max_ms: None,
            snapshot_every: 100_000,
            snapshots_kept: 3,
            container_check_ms: 60_000,
            containers_per_minute: 10_000,
            tree: tree::Options::default(),
            read_only_mode: false,
            members: BTreeMap::new(),
            is_observer: false,
            listens_on_all: false,
            init_limit: None,
            sync_limit: None,
        }
    }
}

impl ZooSettings {
    /// The shortest session timeout: as given, or two ticks.
    pub(crate) fn session_timeout_min_ms(&self) -> i32 {
        self.session_timeout_min_ms.unwrap_or_else(|| ticks(self.tick_ms, 2))
    }

    /// The longest session timeout: as given, or twenty ticks.
    pub(crate) fn session_timeout_max_ms(&self) -> i32 {
        self.session_timeout_max_ms.unwrap_or_else(|| ticks(self.tick_ms, 20))
    }

    /// The door's settings for the node with this number, with those that depend on others filled in.
    pub(crate) fn door(&self, id: Option<i32>) -> ZooKeeperConfig {
        let mut door = self.door.clone();
        let own = id.and_then(|id| self.members.get(&id));
        let port = self.client_port.or_else(|| own?.client_port);
        door.client_port = port.unwrap_or(zookeeper::DEFAULT_CLIENT_PORT);
        door.client_port_address =
            door.client_port_address.or_else(|| own?.client_host.clone()).filter(|host| host != "0.0.0.0");
        if self.read_only_mode {
            door.four_letter_words.allow("isro");
        }
        door
    }
}

fn ticks(tick_ms: u32, count: u32) -> i32 {
    i32::try_from(tick_ms.saturating_mul(count)).unwrap_or(i32::MAX)
}

/// What is read from a value; the error says what is allowed.
type Read = fn(&mut ZooSettings, &str) -> Result<(), String>;

/// What a key means here.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// It is acted on.
    Read(Read),
    /// What it sets does not exist here or takes care of itself, so that nobody needs to be told.
    Moot,
    /// It has no effect, for this reason.
    NoEffect(&'static str),
    /// `true` has no effect, for this reason; `false` is what the server does.
    NoEffectIfTrue(&'static str),
    /// `true` is refused for this reason; `false` is what the server does.
    RefusedIfTrue(&'static str),
    /// Every value is refused for this reason.
    Refused(&'static str),
}

use Meaning::{Moot, NoEffect, NoEffectIfTrue, Read as Set, Refused, RefusedIfTrue};

const NO_TLS: &str = "TLS is not available yet, so clients of that port could not connect; remove the key";
const NO_TLS_YET: &str = "TLS is not available yet";
const NO_SASL: &str = "SASL is not available yet, so nobody could prove who they are; remove the key";
const NO_SASL_YET: &str = "SASL is not available yet";
const NO_ADMIN: &str = "the HTTP AdminServer is not available yet";
const ONE_VOTE_EACH: &str =
    "every voter has one vote here, groups and weights are not available; remove the key";
const FIRST_HOST: &str = "of several hosts only the first is used";
const ALWAYS_FLUSHED: &str = "every write is flushed before it is acknowledged";
const KEPT_AT_SNAPSHOT: &str = "old snapshots are removed whenever a new one is finished";

/// The keys, without the prefix `zookeeper.` of system properties.
static ROWS: &[(&str, Meaning)] = &[
    (
        "4lw.commands.whitelist",
        Set(|to, value| {
            to.door.four_letter_words = Whitelist::parse(value);
            Ok(())
        }),
    ),
    (
        "DigestAuthenticationProvider.digestAlg",
        Set(|_, value| {
            let allowed = "SHA1, because ids of the scheme digest are SHA-1 here";
            value.eq_ignore_ascii_case("SHA1").then_some(()).ok_or_else(|| allowed.to_owned())
        }),
    ),
    (
        "DigestAuthenticationProvider.enabled",
        Set(|to, value| set(&mut to.door.digest_enabled, boolean(value))),
    ),
    ("DigestAuthenticationProvider.superDigest", Set(super_digest)),
    ("SASLAuthenticationProvider.superPassword", NoEffect(NO_SASL_YET)),
    ("X509AuthenticationProvider.superUser", NoEffect(NO_TLS_YET)),
    ("admin.enableServer", NoEffectIfTrue(NO_ADMIN)),
    ("audit.enable", RefusedIfTrue("an audit log is not available yet, so nothing would be recorded")),
    ("autopurge.purgeInterval", NoEffect(KEPT_AT_SNAPSHOT)),
    ("autopurge.snapRetainCount", Set(|to, value| set(&mut to.snapshots_kept, number(value, 1..=INT_MAX)))),
    ("client.portUnification", RefusedIfTrue(NO_TLS_YET)),
    ("clientPort", Set(|to, value| set(&mut to.client_port, number(value, 0..=65_535).map(Some)))),
    (
        "clientPortAddress",
        Set(|to, value| {
            to.door.client_port_address = Some(value.to_owned());
            Ok(())
        }),
    ),
    (
        "clientPortListenBacklog",
        Set(|to, value| {
            let backlog: i64 = number(value, -1..=INT_MAX)?;
            to.door.client_port_listen_backlog = u32::try_from(backlog).ok();
            Ok(())
        }),
    ),
    ("dataDir", Set(|to, value| set(&mut to.data_dir, Ok(Some(PathBuf::from(value)))))),
    ("dataLogDir", Set(|to, value| set(&mut to.data_log_dir, Ok(Some(PathBuf::from(value)))))),
    (
        "dynamicConfigFile",
        Refused("reconfiguration is not available yet; write its server line into this file"),
    ),
    ("electionAlg", Moot),
    ("emulate353TTLNodes", NoEffectIfTrue("TTL nodes have the form of ZooKeeper 3.5.4 and later")),
    (
        "enforce.auth.enabled",
        RefusedIfTrue("it is not available yet, and without it everyone would be let in"),
    ),
    ("enforceQuota", Set(|to, value| set(&mut to.tree.enforce_quota, boolean(value)))),
    ("extendedTypesEnabled", Set(|to, value| set(&mut to.tree.extended_types, boolean(value)))),
    ("flushDelay", NoEffect("writes are grouped without a delay")),
    (
        "forceSync",
        Set(|_, value| {
            let allowed = format!("yes, because {ALWAYS_FLUSHED}");
            value.eq_ignore_ascii_case("yes").then_some(()).ok_or(allowed)
        }),
    ),
    (
        "globalOutstandingLimit",
        Set(|to, value| set(&mut to.door.global_outstanding_limit, number(value, 1..=INT_MAX))),
    ),
    ("initLimit", Set(|to, value| set(&mut to.init_limit, number(value, 0..=INT_MAX).map(Some)))),
    ("java.security.auth.login.config", NoEffect(NO_SASL_YET)),
    ("jute.maxbuffer", Set(|to, value| set(&mut to.door.jute_max_buffer, number(value, 1..=INT_MAX)))),
    ("localSessionsEnabled", NoEffectIfTrue("every session is a global one")),
    ("localSessionsUpgradingEnabled", Moot),
    ("maxClientCnxns", Set(|to, value| set(&mut to.door.max_client_cnxns, number(value, 0..=INT_MAX)))),
    ("maxCnxns", Set(|to, value| set(&mut to.door.max_cnxns, number(value, 0..=INT_MAX)))),
    ("maxSessionTimeout", Set(|to, value| set(&mut to.session_timeout_max_ms, timeout(value)))),
    ("minSessionTimeout", Set(|to, value| set(&mut to.session_timeout_min_ms, timeout(value)))),
    (
        "nio.sessionlessCnxnTimeout",
        Set(|to, value| set(&mut to.door.sessionless_timeout_ms, number(value, 1..=INT_MAX))),
    ),
    ("observerMasterPort", NoEffect("observers follow the leader, over its one port for other nodes")),
    (
        "oraclePath",
        NoEffect("two nodes have no majority without each other, and nothing else decides for them"),
    ),
    (
        "peerType",
        Set(|to, value| match value.to_ascii_lowercase().as_str() {
            "participant" => set(&mut to.is_observer, Ok(false)),
            "observer" => set(&mut to.is_observer, Ok(true)),
            _ => Err("participant or observer".to_owned()),
        }),
    ),
    ("portUnification", NoEffectIfTrue(NO_TLS_YET)),
    ("quorum.auth.enableSasl", RefusedIfTrue(NO_SASL_YET)),
    ("quorum.auth.learnerRequireSasl", RefusedIfTrue(NO_SASL_YET)),
    ("quorum.auth.serverRequireSasl", RefusedIfTrue(NO_SASL_YET)),
    ("quorumListenOnAllIPs", Set(|to, value| set(&mut to.listens_on_all, boolean(value)))),
    ("readonlymode.enabled", Set(|to, value| set(&mut to.read_only_mode, boolean(value)))),
    ("reconfigEnabled", NoEffectIfTrue("reconfiguration is not available yet")),
    ("secureClientPort", Refused(NO_TLS)),
    ("secureClientPortAddress", NoEffect(NO_TLS_YET)),
    ("serverCnxnFactory", Moot),
    ("sessionRequireClientSASLAuth", RefusedIfTrue(NO_SASL)),
    (
        "skipACL",
        Set(|to, value| match value.to_ascii_lowercase().as_str() {
            "yes" => set(&mut to.tree.skip_acl, Ok(true)),
            "no" => set(&mut to.tree.skip_acl, Ok(false)),
            _ => Err("yes or no".to_owned()),
        }),
    ),
    ("snapCount", Set(|to, value| set(&mut to.snapshot_every, number(value, 2..=INT_MAX)))),
    ("snapSizeLimitInKb", NoEffect("snapshots are taken by snapCount")),
    ("sslQuorum", RefusedIfTrue(NO_TLS_YET)),
    ("standaloneEnabled", Moot),
    ("superUser", NoEffect(NO_SASL_YET)),
    ("syncEnabled", Moot),
    ("syncLimit", Set(|to, value| set(&mut to.sync_limit, number(value, 0..=INT_MAX).map(Some)))),
    ("tickTime", Set(|to, value| set(&mut to.tick_ms, number(value, 1..=INT_MAX)))),
    (
        "znode.container.checkIntervalMs",
        Set(|to, value| set(&mut to.container_check_ms, number(value, 1..=INT_MAX))),
    ),
    ("znode.container.maxNeverUsedIntervalMs", NoEffect("a container that never had a child stays")),
    (
        "znode.container.maxPerMinute",
        Set(|to, value| set(&mut to.containers_per_minute, number(value, 1..=INT_MAX))),
    ),
];

/// Families of keys. The first that fits counts.
static FAMILIES: &[(&str, Meaning)] = &[
    ("admin.", NoEffect(NO_ADMIN)),
    ("authProvider.", Set(auth_provider)),
    ("enforce.auth.", Moot),
    (
        "metricsProvider.",
        NoEffect("the metrics port is not available yet; the four-letter word mntr shows numbers"),
    ),
    ("kerberos.", NoEffect(NO_SASL_YET)),
    ("sasl.", NoEffect(NO_SASL_YET)),
    ("ssl.", NoEffect(NO_TLS_YET)),
    ("audit.", Moot),
    ("bitHashCacheSize", Moot),
    ("clientTcpKeepAlive", Moot),
    ("closeSessionTxn.", Moot),
    ("commitLogCount", Moot),
    ("commitProcessor.", Moot),
    ("connection_throttle_", NoEffect("connections are limited by maxCnxns and maxClientCnxns")),
    ("connectToLearnerMasterLimit", Moot),
    ("datadir.autocreate", Moot),
    ("db.autocreate", Moot),
    ("digest.enabled", Moot),
    ("electionPortBindRetry", Moot),
    ("enableEagerACLCheck", Moot),
    ("fastleader.", Moot),
    ("follower.", Moot),
    ("fsync.warningthresholdms", Moot),
    ("intBufferStartingSizeBytes", Moot),
    ("jmx.", Moot),
    ("jvm.pause.", Moot),
    ("large", Moot),
    ("leader.", Moot),
    ("leaderConnectDelayDuringRetryMs", Moot),
    ("leaderServes", Moot),
    ("learner.", Moot),
    ("maxBatchSize", Moot),
    ("maxGetChildrenResponseCacheSize", Moot),
    ("maxInProcessingDeadWatchers", Moot),
    ("maxResponseCacheSize", Moot),
    ("maxWriteQueuePollTime", Moot),
    ("messageTracker.", Moot),
    ("multiAddress.", Moot),
    ("netty.", Moot),
    ("nio.", Moot),
    ("observer.", Moot),
    ("observerMaster.", Moot),
    ("pathStats.", Moot),
    ("preAllocSize", Moot),
    ("quorum.", Moot),
    ("quorumCnxnTimeoutMs", Moot),
    ("request.timeout", Moot),
    ("request_stale_", Moot),
    ("request_throttle", NoEffect("requests are limited by globalOutstandingLimit")),
    ("serializeLastProcessedZxid.", Moot),
    ("snapshot.", Moot),
    ("snapshotSizeFactor", Moot),
    ("tcpKeepAlive", Moot),
    ("throttled_op_wait_time", Moot),
    ("txnLogSizeLimitInKb", Moot),
    ("watchManagerName", Moot),
    ("watcherClean", Moot),
];

/// What became of a setting that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It counts, or nobody needs to be told that it can't.
    Yes,
    /// It has no effect, for this reason.
    NoEffect(&'static str),
    /// It counts, but not all of it, for this reason.
    Partly(&'static str),
}

/// Whether ZooKeeper knows the key, with or without the prefix of its system properties.
pub(crate) fn knows(key: &str) -> bool {
    find(key).is_some()
}

/// Takes a setting over. The error is what is allowed, or why it is refused. Keys without a row have no effect.
///
/// An empty value is no value: it takes the key back to its default.
pub(crate) fn apply(settings: &mut ZooSettings, key: &str, value: &str) -> Result<Applied, String> {
    let value = value.trim();
    let Some(meaning) = find(key).filter(|_| !value.is_empty()) else { return Ok(Applied::Yes) };
    match meaning {
        Found::Key(Set(read)) => read(settings, value).map(|()| Applied::Yes),
        Found::Key(Moot) => Ok(Applied::Yes),
        Found::Key(NoEffect(reason)) => Ok(Applied::NoEffect(reason)),
        Found::Key(NoEffectIfTrue(reason)) => match boolean(value)? {
            true => Ok(Applied::NoEffect(reason)),
            false => Ok(Applied::Yes),
        },
        Found::Key(Refused(reason)) => Err((*reason).to_owned()),
        Found::Key(RefusedIfTrue(reason)) => match boolean(value)? {
            true => Err(format!("false; {reason}")),
            false => Ok(Applied::Yes),
        },
        Found::Member(id) => {
            if !(0..=NODE_ID_MAX).contains(&id) {
                return Err(format!("a key server.N where N is 0 to {NODE_ID_MAX}"));
            }
            let member = Member::parse(value)?;
            let has_alternatives = member.has_alternatives;
            settings.members.insert(id, member);
            Ok(if has_alternatives { Applied::Partly(FIRST_HOST) } else { Applied::Yes })
        }
        Found::Hierarchy => Err(ONE_VOTE_EACH.to_owned()),
    }
}

/// A row, or a key with a number in its name.
enum Found {
    Key(&'static Meaning),
    /// `server.N`
    Member(i32),
    /// `group.N` and `weight.N`
    Hierarchy,
}

fn find(key: &str) -> Option<Found> {
    let name = key.strip_prefix("zookeeper.").unwrap_or(key);
    if let Some(id) = name.strip_prefix("server.").and_then(|id| id.parse().ok()) {
        return Some(Found::Member(id));
    }
    let numbered = |prefix| name.strip_prefix(prefix).is_some_and(|id| id.parse::<i64>().is_ok());
    if numbered("group.") || numbered("weight.") {
        return Some(Found::Hierarchy);
    }
    // ZooKeeper has superDigest in the documentation's short form, too.
    let name = if name == "superDigest" { "DigestAuthenticationProvider.superDigest" } else { name };
    let exact = ROWS.iter().find(|(row, _)| *row == name);
    let row = exact.or_else(|| FAMILIES.iter().find(|(family, _)| name.starts_with(family)));
    row.map(|(_, meaning)| Found::Key(meaning))
}

fn set<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}

/// A number in decimal or, as Java's system properties allow it, in hexadecimal with `0x`.
fn number<T: TryFrom<i64>>(text: &str, range: RangeInclusive<i64>) -> Result<T, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let in_range = parsed.ok().filter(|number| range.contains(number));
    in_range
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// A session timeout in milliseconds; -1 is the default.
fn timeout(text: &str) -> Result<Option<i32>, String> {
    if text == "-1" { Ok(None) } else { number(text, 1..=INT_MAX).map(Some) }
}

fn super_digest(to: &mut ZooSettings, value: &str) -> Result<(), String> {
    let (user, digest) = value.split_once(':').unwrap_or_default();
    if user.is_empty() || digest.is_empty() {
        return Err(
            "super: and the digest of the password, in the form user:base64(sha1(user:password))".to_owned()
        );
    }
    to.door.super_digest = Some(value.to_owned());
    Ok(())
}

/// The providers that are there need no key; others are classes of a JVM.
fn auth_provider(_: &mut ZooSettings, value: &str) -> Result<(), String> {
    const KNOWN: &str = "org.apache.zookeeper.server.auth.";
    if value.starts_with(KNOWN) {
        return Ok(());
    }
    Err(format!("a class of {KNOWN}; other Java classes cannot be loaded into this server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> ZooSettings {
        let mut settings = ZooSettings::default();
        for (key, value) in pairs {
            apply(&mut settings, key, value).unwrap_or_else(|allowed| panic!("{key}={value}: {allowed}"));
        }
        settings
    }

    fn refusal(key: &str, value: &str) -> String {
        apply(&mut ZooSettings::default(), key, value).expect_err("it is refused")
    }

    #[test]
    fn rows_are_sorted_and_every_one_is_found() {
        assert!(ROWS.is_sorted_by_key(|(name, _)| *name));
        assert!(ROWS.iter().all(|(name, meaning)| {
            matches!(find(name), Some(Found::Key(found)) if std::ptr::eq(found, meaning))
        }));
    }

    #[test]
    fn zk_3_42_system_properties_are_keys_with_and_without_their_prefix() {
        for key in ["extendedTypesEnabled", "zookeeper.extendedTypesEnabled"] {
            assert!(read(&[(key, "true")]).tree.extended_types);
        }
        assert!(read(&[("skipACL", "yes")]).tree.skip_acl);
        assert!(read(&[("zookeeper.enforceQuota", "TRUE")]).tree.enforce_quota);
        assert_eq!(read(&[("snapCount", "20")]).snapshot_every, 20);
        assert_eq!(read(&[("jute.maxbuffer", "0x400000")]).door.jute_max_buffer, 4 << 20);
        assert_eq!(read(&[("znode.container.checkIntervalMs", "50")]).container_check_ms, 50);
        assert!(knows("authProvider.1") && knows("zookeeper.ssl.keyStore.location"));
        assert!(!knows("num.partitions") && !knows("group.id") && !knows("group.max.size"));
    }

    #[test]
    fn session_timeouts_follow_the_tick_unless_they_are_given() {
        let settings = read(&[("tickTime", "1000"), ("minSessionTimeout", "-1")]);
        assert_eq!((settings.session_timeout_min_ms(), settings.session_timeout_max_ms()), (2_000, 20_000));
        let settings = read(&[("minSessionTimeout", "100"), ("maxSessionTimeout", "200")]);
        assert_eq!((settings.session_timeout_min_ms(), settings.session_timeout_max_ms()), (100, 200));
    }

    #[test]
    fn bad_values_say_what_is_allowed() {
        assert_eq!(refusal("clientPort", "65536"), "a whole number from 0 to 65535");
        assert_eq!(refusal("tickTime", "0"), "a whole number from 1 to 2147483647");
        assert_eq!(refusal("enforceQuota", "1"), "true or false");
        assert_eq!(refusal("skipACL", "true"), "yes or no");
        assert!(refusal("superDigest", "nocolon").contains("base64"));
        assert!(refusal("forceSync", "no").contains("flushed"));
        assert!(refusal("secureClientPort", "2281").contains("TLS"));
        assert!(refusal("sessionRequireClientSASLAuth", "true").contains("SASL"));
        assert_eq!(refusal("peerType", "voter"), "participant or observer");
        assert!(refusal("group.1", "1:2").contains("one vote"));
        assert!(refusal("quorum.auth.enableSasl", "true").contains("SASL"));
    }

    #[test]
    fn an_empty_value_is_no_value() {
        assert_eq!(apply(&mut ZooSettings::default(), "secureClientPort", ""), Ok(Applied::Yes));
        assert_eq!(read(&[("tickTime", " ")]).tick_ms, 2_000);
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let mut settings = ZooSettings::default();
        let told = apply(&mut settings, "admin.serverPort", "8080");
        assert_eq!(told, Ok(Applied::NoEffect(NO_ADMIN)));
        assert_eq!(apply(&mut settings, "admin.enableServer", "false"), Ok(Applied::Yes));
        assert_eq!(apply(&mut settings, "initLimit", "10"), Ok(Applied::Yes));
        assert_eq!(apply(&mut settings, "preAllocSize", "64"), Ok(Applied::Yes));
    }

    #[test]
    fn the_own_server_line_may_name_the_client_port() {
        let settings = read(&[
            ("server.1", "localhost:2888:3888:participant;127.0.0.1:2191"),
            ("server.2", "h:1:2;2192"),
        ]);
        let door = settings.door(Some(1));
        assert_eq!((door.client_port, door.client_port_address.as_deref()), (2191, Some("127.0.0.1")));
        let door = settings.door(Some(2));
        assert_eq!((door.client_port, door.client_port_address), (2192, None));
        assert_eq!(settings.door(Some(3)).client_port, zookeeper::DEFAULT_CLIENT_PORT);
        assert_eq!(read(&[("server.1", "h:1:2;2191"), ("clientPort", "5")]).door(Some(1)).client_port, 5);
        assert!(refusal("server.1", "localhost").contains("electionPort"));
        assert!(refusal("server.255", "h:1:2").contains("0 to 254"));
    }

    #[test]
    fn what_counts_in_part_is_said() {
        let told = apply(&mut ZooSettings::default(), "server.1", "a:1:2|b:1:2");
        assert_eq!(told, Ok(Applied::Partly(FIRST_HOST)));
    }

    #[test]
    fn settings_of_an_ensemble() {
        let settings =
            read(&[("peerType", "OBSERVER"), ("quorumListenOnAllIPs", "true"), ("initLimit", "10")]);
        assert!(settings.is_observer && settings.listens_on_all);
        assert_eq!((settings.init_limit, settings.sync_limit), (Some(10), None));
    }

    #[test]
    fn read_only_mode_allows_isro() {
        let with = read(&[("readonlymode.enabled", "true")]).door(None).four_letter_words;
        assert_ne!(with, read(&[]).door(None).four_letter_words);
    }
}
