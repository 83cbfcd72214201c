//! What a seed stands for: how many nodes and clients, their settings, which faults there are and how often.
use super::dice::Dice;
use super::network::Weather;

/// The least and the most time that faults go on for.
const TROUBLE_MS: (u64, u64) = (2_500, 6_000);

/// The plan of one run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) clients: usize,
    /// Producers and consumers of Kafka; none means that the nodes have no broker.
    pub(super) agents: Option<(usize, usize)>,
    pub(super) trouble_ms: u64,
    /// The mean time between two faults.
    pub(super) fault_every_ms: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) fair: Weather,
    pub(super) foul: Weather,
    pub(super) settings: Settings,
}

/// Settings of the nodes.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) tick_ms: u64,
    pub(super) snapshot_every: u64,
    pub(super) segment_bytes: u32,
    pub(super) election_ms: u64,
    /// How much faster or slower each node's clock runs, in parts of a thousand.
    pub(super) drift_per_mille: Vec<i64>,
    /// How wrong each node's wall clock is.
    pub(super) wall_skew_ms: Vec<i64>,
    /// Whether partitions flush every append, because the machines may lose what they have not flushed.
    pub(super) durable: bool,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// kill -9; the page cache survives.
    Kill,
    /// The machine's power: what was not flushed is lost or torn.
    Power,
    /// The process ends in the middle of work on the disk, with or without the machine's power.
    DieWriting,
    /// SIGTERM.
    Stop,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// One way between two nodes carries nothing.
    CutOneWay,
    /// A node is cut off from the others.
    Isolate,
    /// A write to the disk fails.
    WriteFails,
    /// A flush fails.
    SyncFails,
    /// The disk is full for a while.
    DiskFull,
    /// Bits of a disk change that were flushed: in the znode log, in a snapshot, in a partition.
    BitRot,
    /// A node gets another disk, an empty one.
    EmptyDisk,
    /// An operator changes who votes, one node at a time.
    Voters,
    /// The wall clock jumps.
    WallJumps,
    /// A client leaves for another node.
    ClientMoves,
    /// A client is never heard of again.
    ClientDies,
}

const ALL: [Fault; 16] = [
    Fault::Kill,
    Fault::Power,
    Fault::DieWriting,
    Fault::Stop,
    Fault::Pause,
    Fault::CutOneWay,
    Fault::Isolate,
    Fault::WriteFails,
    Fault::SyncFails,
    Fault::DiskFull,
    Fault::BitRot,
    Fault::EmptyDisk,
    Fault::Voters,
    Fault::WallJumps,
    Fault::ClientMoves,
    Fault::ClientDies,
];

/// Those that take away what was not flushed, or may.
const HARSH: [Fault; 6] =
    [Fault::Power, Fault::DieWriting, Fault::WriteFails, Fault::SyncFails, Fault::DiskFull, Fault::BitRot];

impl Plan {
    /// What a seed stands for. `nodes` overrides how many nodes there are, `brokers` whether they have one.
    pub(super) fn of(dice: &mut Dice, nodes: Option<usize>, brokers: Option<bool>) -> Plan {
        let nodes = nodes.unwrap_or_else(|| *dice.pick(&[1, 3, 3, 3, 3, 3, 3, 4, 4, 5]));
        let share = dice.between(200, 1_000);
        let faults: Vec<Fault> = ALL.into_iter().filter(|_| dice.chance(share)).collect();
        let delay_ms = (1, dice.between(1, 8));
        let fair = Weather::fair(delay_ms);
        let mut foul = fair.clone();
        if dice.chance(500) {
            foul.late_per_mille = dice.between(1, 50);
            foul.late_ms = dice.between(10, 600);
        }
        if dice.chance(500) {
            foul.reset_per_mille = dice.between(1, 20);
        }
        if dice.chance(500) {
            foul.again_per_mille = dice.between(1, 200);
        }
        let drifts = dice.chance(400);
        let skews = dice.chance(500);
        let signed = |dice: &mut Dice, most: u64| dice.between(0, 2 * most) as i64 - most as i64;
        let settings = Settings {
            tick_ms: dice.between(50, 200),
            snapshot_every: dice.between(20, 400),
            segment_bytes: dice.between(8, 128) as u32 * 1024,
            election_ms: dice.between(100, 300),
            drift_per_mille: (0..nodes).map(|_| if drifts { signed(dice, 30) } else { 0 }).collect(),
            durable: faults.iter().any(|fault| HARSH.contains(fault)),
            wall_skew_ms: (0..nodes).map(|_| if skews { signed(dice, 100_000) } else { 0 }).collect(),
        };
        Plan {
            nodes,
            clients: dice.between(2, 5) as usize,
            agents: brokers
                .unwrap_or_else(|| dice.chance(500))
                .then(|| (dice.between(1, 2) as usize, dice.between(1, 2) as usize)),
            trouble_ms: dice.between(TROUBLE_MS.0, TROUBLE_MS.1),
            fault_every_ms: dice.between(100, 1_000),
            faults,
            fair,
            foul,
            settings,
        }
    }
}
