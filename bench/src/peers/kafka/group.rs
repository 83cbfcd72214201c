//! Rebalances of a consumer group: from the first JoinGroup until every member has its assignment.
//!
//! The members are driven at full speed: each joins, and syncs, as soon as it can, without waiting for its next heartbeat.
use super::client::Client;
use super::meter::Meter;
use super::topic::{first, node_at};
use crate::peers::figures::Figure;
use crate::peers::server::Cluster;
use crate::peers::workload::Plan;
use anyhow::{Context, Result, bail, ensure};
use kafka_wire::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_wire::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use kafka_wire::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use kafka_wire::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use kafka_wire::{ApiKey, Bytes, ErrorCode, Str};
use std::net::SocketAddr;
use std::time::Duration;

const MEMBERS: usize = 100;
/// Rebalances that are too few for a figure.
const ROUNDS_MIN: u64 = 3;
const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";
/// As large as the assignment of a few partitions.
const ASSIGNMENT: &[u8] = &[0; 64];
/// The coordinator's topic is created by the first request for it.
const COORDINATOR_TRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(50);

/// A time of one rebalance.
pub(super) const REBALANCE_MS: &str = "ms per rebalance";
/// Rebalances that a second of the servers' processor time is enough for.
pub(super) const REBALANCES_PER_CPU: &str = "rebalances per server CPU-second";

/// A member with its connection.
struct Member {
    client: Client,
    id: Str,
}

/// A group.
struct Group {
    name: Str,
    members: Vec<Member>,
    generation: i32,
    rebalances: u64,
}

/// One turn: a group forms, rebalances again and again, and leaves.
pub(super) fn run(cluster: &mut Cluster, plan: &Plan) -> Result<Vec<Figure>> {
    let name: Str = format!("group-{}", plan.turn).into();
    let coordinator = coordinator(cluster, &name)?;
    let mut group = Group::form(coordinator, name)?;
    let before = group.rebalances;
    let meter = Meter::start(cluster)?;
    while group.rebalances - before < ROUNDS_MIN || meter.elapsed(cluster) < plan.seconds {
        group.rebalance()?;
    }
    let (elapsed, cpu) = (meter.elapsed(cluster), meter.cpu(cluster)?);
    cluster.check()?;
    let rebalances = (group.rebalances - before) as f64;
    group.leave()?;
    Ok(vec![
        Figure::lower(REBALANCE_MS, elapsed.as_secs_f64() * 1e3 / rebalances),
        Figure::higher(REBALANCES_PER_CPU, rebalances / cpu.as_secs_f64()),
    ])
}

/// The node that coordinates a group.
fn coordinator(cluster: &Cluster, name: &Str) -> Result<SocketAddr> {
    let mut client = Client::open(first(cluster)?)?;
    let request =
        FindCoordinatorRequest { coordinator_keys: vec![name.clone()], ..FindCoordinatorRequest::default() };
    for _ in 0..COORDINATOR_TRIES {
        let response: FindCoordinatorResponse = client.ask(ApiKey::FindCoordinator, &request)?;
        let found = response.coordinators.first().context("an answer for the group")?;
        if found.error_code == ErrorCode::NONE {
            let node = node_at(cluster, found.port).context("a coordinator is a node")?;
            return Ok(cluster.kafka()[node]);
        }
        ensure!(found.error_code.is_retriable(), "finding a coordinator: {:?}", found.error_code);
        std::thread::sleep(PAUSE);
    }
    bail!("the group coordinator does not become available")
}

impl Group {
    /// A stable group. The first member has it for itself for a moment; the others get their ids before they join, and a rebalance waits
    /// for everybody who has an id.
    fn form(coordinator: SocketAddr, name: Str) -> Result<Group> {
        let mut group = Group { name, members: Vec::new(), generation: 0, rebalances: 0 };
        group.add(coordinator)?;
        group.rebalance()?;
        while group.members.len() < MEMBERS {
            group.add(coordinator)?;
        }
        group.rebalance()?;
        Ok(group)
    }

    /// Adds a member that has its id and has not joined.
    fn add(&mut self, coordinator: SocketAddr) -> Result<()> {
        let mut client = Client::open(coordinator)?;
        for _ in 0..COORDINATOR_TRIES {
            if let Some(id) = self.introduce(&mut client)? {
                self.members.push(Member { client, id });
                return Ok(());
            }
            // A coordinator that is loading its groups refuses for a moment.
            std::thread::sleep(PAUSE);
        }
        bail!("the coordinator gives no member id")
    }

    /// Asks for a member id (KIP-394); none if the coordinator is not ready.
    fn introduce(&self, client: &mut Client) -> Result<Option<Str>> {
        let response: JoinGroupResponse = client.ask(ApiKey::JoinGroup, &self.join(&Str::default()))?;
        match response.error_code {
            ErrorCode::MEMBER_ID_REQUIRED => Ok(Some(response.member_id.detached())),
            error if error.is_retriable() => Ok(None),
            error => bail!("asking for a member id: {error:?}"),
        }
    }

    fn join(&self, member: &Str) -> JoinGroupRequest {
        // A member whose subscription is another one than before makes the group rebalance.
        let metadata = Bytes::copy_from_slice(&self.rebalances.to_be_bytes());
        JoinGroupRequest {
            group_id: self.name.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: member.clone(),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: vec![JoinGroupRequestProtocol { name: PROTOCOL.into(), metadata }],
            ..JoinGroupRequest::default()
        }
    }

    /// One rebalance of all members, from the first join to the last assignment.
    fn rebalance(&mut self) -> Result<()> {
        let leader = self.join_all()?;
        self.sync_all(leader)?;
        self.rebalances += 1;
        Ok(())
    }

    /// All join; the number of the one that leads.
    fn join_all(&mut self) -> Result<usize> {
        for at in 0..self.members.len() {
            let request = self.join(&self.members[at].id);
            self.members[at].client.send(ApiKey::JoinGroup, &request)?;
        }
        let count = self.members.len();
        let mut leader = None;
        for (at, member) in self.members.iter_mut().enumerate() {
            let response: JoinGroupResponse =
                member.client.receive::<JoinGroupRequest, _>(ApiKey::JoinGroup)?;
            ensure!(response.error_code == ErrorCode::NONE, "joining: {:?}", response.error_code);
            let known = at == 0 || response.generation_id == self.generation;
            ensure!(known, "generation {} while others are in {}", response.generation_id, self.generation);
            self.generation = response.generation_id;
            if response.leader == response.member_id {
                ensure!(
                    response.members.len() == count,
                    "a generation of {} members",
                    response.members.len()
                );
                leader = Some(at);
            }
        }
        leader.context("a generation has a leader")
    }

    /// All ask for their assignments, which the leader brings.
    fn sync_all(&mut self, leader: usize) -> Result<()> {
        let assignments: Vec<SyncGroupRequestAssignment> = self
            .members
            .iter()
            .map(|member| SyncGroupRequestAssignment {
                member_id: member.id.clone(),
                assignment: Bytes::from_static(ASSIGNMENT),
            })
            .collect();
        for (at, member) in self.members.iter_mut().enumerate() {
            let request = SyncGroupRequest {
                group_id: self.name.clone(),
                generation_id: self.generation,
                member_id: member.id.clone(),
                protocol_type: Some(PROTOCOL_TYPE.into()),
                protocol_name: Some(PROTOCOL.into()),
                assignments: if at == leader { assignments.clone() } else { Vec::new() },
                ..SyncGroupRequest::default()
            };
            member.client.send(ApiKey::SyncGroup, &request)?;
        }
        for member in &mut self.members {
            let response: SyncGroupResponse =
                member.client.receive::<SyncGroupRequest, _>(ApiKey::SyncGroup)?;
            let error = response.error_code;
            ensure!(error == ErrorCode::NONE, "asking for an assignment: {error:?}");
            ensure!(response.assignment == ASSIGNMENT, "an assignment of nobody");
        }
        Ok(())
    }

    /// All leave at once.
    fn leave(mut self) -> Result<()> {
        let identities = self
            .members
            .iter()
            .map(|member| MemberIdentity { member_id: member.id.clone(), ..MemberIdentity::default() });
        let request = LeaveGroupRequest {
            group_id: self.name.clone(),
            members: identities.collect(),
            ..LeaveGroupRequest::default()
        };
        let any = self.members.first_mut().context("a group has members")?;
        let response: LeaveGroupResponse = any.client.ask(ApiKey::LeaveGroup, &request)?;
        ensure!(response.error_code == ErrorCode::NONE, "leaving: {:?}", response.error_code);
        Ok(())
    }
}
