//! Creates, reads and watches of znodes from frame to frame, through the door of ZooKeeper; and the log applied to a tree.
use crate::client::Client;
use crate::counting::Rounds;
use crate::descriptors;
use crate::node::{self, Coordination};
use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use jute::{
    Acl, ConnectRequest, ConnectResponse, CreateRequest, Id, PathWatchRequest, ReplyHeader, Request,
    RequestHeader, SetDataRequest, Text, Wire, put_frame, xid,
};
use std::net::SocketAddr;
use std::path::Path;

/// Requests of a round, all on their way at the same time.
const IN_FLIGHT: usize = 32;
const CREATES: Rounds = Rounds { warm: 20, counted: 100 };
const GETS: Rounds = Rounds { warm: 20, counted: 200 };
const EVENTS: Rounds = Rounds { warm: 2, counted: 5 };
/// How many watch one znode.
const WATCHERS: usize = 1_000;
/// Both ends of the watchers' connections, and what a node has open besides.
const DESCRIPTORS: u64 = 2 * WATCHERS as u64 + 200;
/// How many creates are in the log that is applied.
const APPLIED: usize = 6_400;
/// Bytes of a znode's data.
const DATA_BYTES: usize = 100;
const SESSION_TIMEOUT_MS: i32 = 600_000;
/// Every request has it: answers come in order.
const XID: i32 = 1;
const PARENT: &str = "/guard";
const PERMS_ALL: i32 = 31;

/// Creates one after another, some of them on their way at a time.
pub(crate) fn create(folder: &Path) -> Result<u64> {
    let mut setting = Setting::new(folder)?;
    setting.run(&CREATES, |round| creates(round * IN_FLIGHT, IN_FLIGHT))?;
    Ok((CREATES.counted * IN_FLIGHT) as u64)
}

/// Reads of znodes.
pub(crate) fn get(folder: &Path) -> Result<u64> {
    let mut setting = Setting::new(folder)?;
    setting.run(&Rounds { warm: 1, counted: 0 }, |_| creates(0, IN_FLIGHT))?;
    setting.run(&GETS, |_| {
        let paths = (0..IN_FLIGHT).map(path);
        requests(paths.map(|path| Request::GetData(PathWatchRequest { path: path.into(), watch: false })))
    })?;
    Ok((GETS.counted * IN_FLIGHT) as u64)
}

/// A log that is read, decoded and applied to an empty tree.
pub(crate) fn apply(folder: &Path) -> Result<u64> {
    let mut setting = Setting::new(folder)?;
    setting.run(&Rounds { warm: APPLIED / IN_FLIGHT, counted: 0 }, |round| {
        creates(round * IN_FLIGHT, IN_FLIGHT)
    })?;
    setting.coordination.stop()?;
    let (runtime, world, _) = Coordination::prepare()?;
    Rounds { warm: 0, counted: 1 }.run(
        &mut (),
        |(), _| Ok(()),
        |(), ()| runtime.block_on(node::serve(world.clone(), folder)),
        |(), running| {
            let znodes = running?.ensemble().status().znodes;
            ensure!(znodes > APPLIED, "only {znodes} znodes were applied");
            Ok(())
        },
    )?;
    Ok(APPLIED as u64)
}

/// A change of a znode that many sessions watch: what each of them costs.
pub(crate) fn watch(folder: &Path) -> Result<u64> {
    descriptors::need(DESCRIPTORS)?;
    let mut setting = Setting::new(folder)?;
    let runtime = &setting.coordination.runtime;
    let mut watchers = runtime.block_on(connect_all(setting.address, WATCHERS))?;
    let rearm = requests([Request::GetData(PathWatchRequest { path: PARENT.into(), watch: true })]);
    let set = SetDataRequest { path: PARENT.into(), data: Some(data()), version: -1 };
    let set = requests([Request::SetData(set)]);
    let client = &mut setting.client;
    EVENTS.run(
        &mut (&mut watchers, client),
        |(watchers, client), _| {
            runtime.block_on(async {
                ask_all(watchers, &rearm, answered).await?;
                client.send(&set).await
            })
        },
        |(watchers, _), ()| {
            runtime.block_on(async {
                for watcher in watchers.iter() {
                    watcher.readable().await?;
                }
                anyhow::Ok(())
            })
        },
        |(watchers, client), told| {
            told?;
            runtime.block_on(async {
                client.receive(1).await?.into_iter().try_for_each(answered)?;
                for watcher in watchers.iter_mut() {
                    let mut frame = watcher.receive(1).await?.pop().context("an event")?;
                    let header = ReplyHeader::decode(&mut frame)?;
                    ensure!(header.xid == xid::WATCH_EVENT, "xid {} is no event's", header.xid);
                }
                Ok(())
            })
        },
    )?;
    Ok((EVENTS.counted * WATCHERS) as u64)
}

/// A node with a parent for znodes, and a client with a session.
struct Setting {
    coordination: Coordination,
    address: SocketAddr,
    client: Client,
}

impl Setting {
    fn new(folder: &Path) -> Result<Setting> {
        let coordination = Coordination::start(folder)?;
        let address = coordination.open()?;
        let client = coordination.runtime.block_on(connect_all(address, 1))?.pop().context("a client")?;
        let mut setting = Setting { coordination, address, client };
        let parent = requests([create_request(PARENT.into())]);
        setting.ask(&parent, 1)?;
        Ok(setting)
    }

    /// In each round sends the requests, [`IN_FLIGHT`] of them, and has the node answer them.
    fn run(&mut self, rounds: &Rounds, make: impl Fn(usize) -> Vec<u8>) -> Result<()> {
        let runtime = &self.coordination.runtime;
        rounds.run(
            &mut self.client,
            |client, round| runtime.block_on(client.send(&make(round))),
            |client, ()| runtime.block_on(client.receive(IN_FLIGHT)),
            |_, answers| answers?.into_iter().try_for_each(answered),
        )
    }

    fn ask(&mut self, requests: &[u8], count: usize) -> Result<()> {
        let client = &mut self.client;
        let answers = self.coordination.runtime.block_on(async {
            client.send(requests).await?;
            client.receive(count).await
        })?;
        answers.into_iter().try_for_each(answered)
    }
}

/// Opens sessions, with one flush for many of them.
async fn connect_all(address: SocketAddr, count: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(Client::connect(address).await?);
    }
    let request = ConnectRequest {
        timeout_ms: SESSION_TIMEOUT_MS,
        password: Some(Bytes::from_static(&[0; 16])),
        read_only: Some(false),
        ..ConnectRequest::default()
    };
    let mut frame = BytesMut::new();
    put_frame(&mut frame, |out| request.encode(out));
    ask_all(&mut clients, &frame, |mut answer| {
        let response = ConnectResponse::decode(&mut answer)?;
        ensure!(response.timeout_ms > 0, "a session was refused");
        Ok(())
    })
    .await?;
    Ok(clients)
}

/// Has every client ask the same.
async fn ask_all(clients: &mut [Client], request: &[u8], check: impl Fn(Bytes) -> Result<()>) -> Result<()> {
    for client in clients.iter_mut() {
        client.send(request).await?;
    }
    for client in clients {
        client.receive(1).await?.into_iter().try_for_each(&check)?;
    }
    Ok(())
}

/// Whether an answer is a success.
fn answered(mut answer: Bytes) -> Result<()> {
    let header = ReplyHeader::decode(&mut answer)?;
    ensure!(header.xid == XID && header.err == 0, "a request was refused: {header:?}");
    Ok(())
}

fn requests(requests: impl IntoIterator<Item = Request>) -> Vec<u8> {
    let mut frames = BytesMut::new();
    for request in requests {
        put_frame(&mut frames, |out| {
            RequestHeader { xid: XID, op: request.op_code().code() }.encode(out);
            request.encode(out);
        });
    }
    frames.to_vec()
}

fn creates(first: usize, count: usize) -> Vec<u8> {
    requests((first..first + count).map(|number| create_request(path(number))))
}

fn create_request(path: String) -> Request {
    let anyone = Id { scheme: Some(Text::from_static("world")), id: Some(Text::from_static("anyone")) };
    Request::Create(CreateRequest {
        path: path.into(),
        data: Some(data()),
        acl: vec![Acl { perms: PERMS_ALL, id: anyone }],
        flags: 0,
    })
}

fn path(number: usize) -> String {
    format!("{PARENT}/n{number:06}")
}

fn data() -> Bytes {
    Bytes::from_static(&[b'x'; DATA_BYTES])
}
