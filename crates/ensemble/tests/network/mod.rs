//! Several nodes in one process: a transport of queues that can be cut, folders that can be emptied, nodes that can be killed.
use ensemble::{ClusterConfig, ConfiguredVoter, Ensemble, EnsembleConfig, Mode, RunningEnsemble};
use kafka_wire::{Request, RequestHeader, Response};
use peers::{Address, CallError, Calling, Lane, Transport};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

type Call = (Request, i16, oneshot::Sender<Response>);

/// Who is up, who is cut off, and the queue of every lane.
#[derive(Default)]
struct Wires {
    up: HashMap<u16, Ensemble>,
    cut: HashSet<u16>,
    lanes: HashMap<(u16, u16, Lane), mpsc::UnboundedSender<Call>>,
}

/// One node's end of the network.
struct Wire {
    from: u16,
    wires: Arc<Mutex<Wires>>,
}

impl Transport for Wire {
    fn call(&self, to: &Address, lane: Lane, version: i16, request: Request, timeout: Duration) -> Calling {
        let lost = CallError::Lost { to: to.clone(), reason: "cut".to_owned() };
        let mut wires = self.wires.lock().unwrap();
        if wires.cut.contains(&to.port) || wires.cut.contains(&self.from) {
            return Box::pin(async move {
                tokio::time::sleep(timeout).await;
                Err(lost)
            });
        }
        if !wires.up.contains_key(&to.port) {
            let refused = CallError::Refused(to.clone());
            return Box::pin(async move { Err(refused) });
        }
        let (send, answer) = oneshot::channel();
        let key = (self.from, to.port, lane);
        let target = wires.up[&to.port].clone();
        let queue = wires.lanes.entry(key).or_insert_with(|| serve(target));
        let _ = queue.send((over_the_wire(&request, version), version, send));
        let (wires, to, from) = (self.wires.clone(), to.port, self.from);
        Box::pin(async move {
            let answered = tokio::time::timeout(timeout, answer).await;
            let cut = {
                let wires = wires.lock().unwrap();
                wires.cut.contains(&to) || wires.cut.contains(&from)
            };
            match answered {
                Ok(Ok(response)) if !cut => Ok(response),
                _ => Err(lost),
            }
        })
    }
}

/// A request as it comes out of its frame, so that the wire is part of every test.
fn over_the_wire(request: &Request, version: i16) -> Request {
    let header = RequestHeader { api: request.api(), version, correlation_id: 1, client_id: None };
    let frame: Vec<u8> = request.to_frame(&header).unwrap().concat();
    let (header, mut decoder) = kafka_wire::read_request(frame[4..].to_vec().into()).unwrap();
    Request::decode(header.api, header.version, &mut decoder).unwrap()
}

fn back_over_the_wire(response: &Response, version: i16) -> Response {
    let frame: Vec<u8> = response.to_frame(version, 1).unwrap().concat();
    kafka_wire::decode_response(response.api(), version, frame[4..].to_vec().into()).unwrap().1
}

fn serve(target: Ensemble) -> mpsc::UnboundedSender<Call> {
    let (queue, mut calls) = mpsc::unbounded_channel::<Call>();
    tokio::spawn(async move {
        while let Some((request, version, answer)) = calls.recv().await {
            let response = target.serve_peer(request, version).await;
            let _ = answer.send(back_over_the_wire(&response, version));
        }
    });
    queue
}

struct Member {
    dir: tempfile::TempDir,
    config: EnsembleConfig,
    running: Option<RunningEnsemble>,
}

/// The nodes; node i listens at port i + 1 and has the id i + 1.
pub(crate) struct Cluster {
    wires: Arc<Mutex<Wires>>,
    members: Vec<Member>,
}

impl Cluster {
    /// Starts so many nodes and waits until all serve.
    pub(crate) async fn start(count: u16) -> Cluster {
        Cluster::start_with(count, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(count: u16, settings: impl Fn(&mut EnsembleConfig)) -> Cluster {
        let address = |port| Address { host: "node".to_owned(), port };
        let voters: Vec<ConfiguredVoter> =
            (1..=count).map(|id| ConfiguredVoter { id: i32::from(id), address: address(id) }).collect();
        let mut cluster = Cluster { wires: Arc::default(), members: Vec::new() };
        for id in 1..=count {
            let dir = tempfile::tempdir().unwrap();
            let directory_id = uuid::Uuid::from_u128(100 + u128::from(id));
            let mut config = EnsembleConfig::new(dir.path().to_owned(), i32::from(id), directory_id);
            config.cluster = ClusterConfig {
                voters: voters.clone(),
                advertised: Some(address(id)),
                auto_join: true,
                ..ClusterConfig::alone()
            };
            settings(&mut config);
            cluster.members.push(Member { dir, config, running: None });
        }
        for index in 0..usize::from(count) {
            cluster.launch(index);
        }
        for index in 0..usize::from(count) {
            cluster.wait(index).await;
        }
        cluster
    }

    fn launch(&mut self, index: usize) {
        let port = index as u16 + 1;
        let wire = Arc::new(Wire { from: port, wires: self.wires.clone() });
        let member = &mut self.members[index];
        let running =
            RunningEnsemble::start(base::World::system(), member.config.clone(), Some(wire)).unwrap();
        self.wires.lock().unwrap().up.insert(port, running.ensemble().clone());
        member.running = Some(running);
    }

    async fn wait(&self, index: usize) {
        let serving = self.node(index).serving();
        tokio::time::timeout(Duration::from_secs(30), serving).await.expect("it serves in time").unwrap();
    }

    /// Starts a node again and waits until it serves.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.launch(index);
        self.wait(index).await;
    }

    fn take_down(&mut self, index: usize) -> RunningEnsemble {
        let port = index as u16 + 1;
        let mut wires = self.wires.lock().unwrap();
        wires.up.remove(&port);
        wires.lanes.retain(|(from, to, _), _| *from != port && *to != port);
        self.members[index].running.take().unwrap()
    }

    /// Stops a node as a crash would.
    pub(crate) async fn kill(&mut self, index: usize) {
        self.take_down(index).abandon().await;
    }

    /// Stops a node in order: the others hear of it first.
    pub(crate) async fn stop_node(&mut self, index: usize) {
        let running = self.members[index].running.take().unwrap();
        running.stop().await.unwrap();
        let port = index as u16 + 1;
        let mut wires = self.wires.lock().unwrap();
        wires.up.remove(&port);
        wires.lanes.retain(|(from, to, _), _| *from != port && *to != port);
    }

    /// Empties the folder of a node that is down; it comes back with another directory id.
    pub(crate) fn wipe(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.dir = tempfile::tempdir().unwrap();
        member.config.dir = member.dir.path().to_owned();
        member.config.directory_id = uuid::Uuid::from_u128(900 + index as u128);
    }

    /// Kills a node after it noted what it had flushed, and changes a bit in the middle of its log.
    pub(crate) async fn flip_a_bit_of_the_log(&mut self, index: usize) {
        let folder = self.members[index].config.dir.join("__znodes-0");
        let noted = folder.join(".zoolog_flushed");
        eventually(|| std::fs::read_to_string(&noted).is_ok_and(|text| text.parse::<i64>().unwrap() > 100))
            .await;
        self.kill(index).await;
        let segment = folder.join("00000000000000000000.log");
        let mut content = std::fs::read(&segment).unwrap();
        // Behind the batches there are zeros that were written ahead.
        let middle = content.iter().rposition(|byte| *byte != 0).unwrap() / 2;
        content[middle] ^= 1;
        std::fs::write(&segment, content).unwrap();
    }

    /// Whether a node remembers that it lost flushed entries.
    pub(crate) fn is_marked_as_damaged(&self, index: usize) -> bool {
        self.members[index].config.dir.join("__znodes-0").join(".zoolog_damaged").exists()
    }

    /// Where the newest snapshot of a node ends; 0 without one.
    pub(crate) fn newest_snapshot(&self, index: usize) -> i64 {
        let folder = std::fs::read_dir(self.members[index].config.dir.join("__znodes-0")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let ends = names.filter(|name| name.ends_with(".checkpoint")).map(|name| name[..20].parse().unwrap());
        ends.max().unwrap_or(0)
    }

    /// Lets no message through to or from a node.
    pub(crate) fn cut_off(&self, index: usize) {
        self.wires.lock().unwrap().cut.insert(index as u16 + 1);
    }

    /// Ends [`Cluster::cut_off`].
    pub(crate) fn heal(&self, index: usize) {
        self.wires.lock().unwrap().cut.remove(&(index as u16 + 1));
    }

    pub(crate) fn node(&self, index: usize) -> &Ensemble {
        self.members[index].running.as_ref().expect("the node is up").ensemble()
    }

    /// The nodes that are up.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Ensemble> {
        self.members.iter().filter_map(|member| member.running.as_ref()).map(RunningEnsemble::ensemble)
    }

    fn index_of(&self, mode: Mode) -> Option<usize> {
        self.members.iter().position(|member| {
            member.running.as_ref().is_some_and(|running| running.ensemble().status().mode == mode)
        })
    }

    pub(crate) fn leader(&self) -> usize {
        self.index_of(Mode::Leader).expect("somebody leads")
    }

    pub(crate) fn leader_node(&self) -> Ensemble {
        self.node(self.leader()).clone()
    }

    pub(crate) fn follower_index(&self) -> usize {
        self.index_of(Mode::Follower).expect("somebody follows")
    }

    pub(crate) fn follower(&self) -> Ensemble {
        self.node(self.follower_index()).clone()
    }

    pub(crate) async fn stop(mut self) {
        for member in &mut self.members {
            if let Some(running) = member.running.take() {
                running.stop().await.unwrap();
            }
        }
    }
}

/// Waits until something holds; panics when it takes far too long.
pub(crate) async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true");
}
