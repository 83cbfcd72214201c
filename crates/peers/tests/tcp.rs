//! Calls over real sockets, against a server that does what each test says.
use kafka_wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use kafka_wire::messages::produce::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::{EnvelopeRequest, EnvelopeResponse, ProduceRequest};
use kafka_wire::{Bytes, Request, RequestHeader, Response};
use peers::{Address, CALLS_MAX, CallError, Calling, Lane, RESPONSE_BYTES_MAX, Tcp, TcpOptions, Transport};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

/// Long enough for the slowest machine; only failures take it.
const PATIENCE: Duration = Duration::from_secs(30);
const VERSION: i16 = 4;

/// The bytes that answer the request with a correlation id.
type Answer<'a> = &'a dyn Fn(i32) -> Vec<u8>;

struct Server {
    listener: TcpListener,
    address: Address,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        Server { listener, address: Address { host: "127.0.0.1".to_owned(), port } }
    }

    async fn accept(&self) -> Connection {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        Connection { stream: accepted.expect("a connection in time").expect("a connection").0 }
    }
}

struct Connection {
    stream: TcpStream,
}

impl Connection {
    async fn request(&mut self) -> (RequestHeader, Request) {
        let read = async {
            let size = self.stream.read_i32().await?;
            let mut frame = vec![0; usize::try_from(size).expect("not negative")];
            self.stream.read_exact(&mut frame).await?;
            Ok::<_, std::io::Error>(Bytes::from(frame))
        };
        let frame =
            tokio::time::timeout(PATIENCE, read).await.expect("a request in time").expect("a request");
        let (header, mut decoder) = kafka_wire::read_request(frame).expect("a header");
        let request = Request::decode(header.api, header.version, &mut decoder).expect("a request");
        (header, request)
    }

    /// The session that a heartbeat names; the tests number their calls with it.
    async fn number(&mut self) -> (i32, i32) {
        let (header, request) = self.request().await;
        let Request::Heartbeat(request) = request else { panic!("{request:?}") };
        (header.correlation_id, request.generation_id)
    }

    async fn respond(&mut self, correlation_id: i32, number: i32) {
        let frame = response(number).to_frame(VERSION, correlation_id).expect("a good response");
        self.write(&frame.concat()).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the other side reads");
    }

    /// Waits for the other side to close, whatever it sends before.
    async fn expect_close(&mut self) {
        let rest = async { while self.stream.read(&mut [0; 100]).await.is_ok_and(|count| count > 0) {} };
        tokio::time::timeout(PATIENCE, rest).await.expect("the connection is closed in time");
    }
}

fn request(number: i32) -> Request {
    HeartbeatRequest { generation_id: number, ..Default::default() }.into()
}

fn response(number: i32) -> Response {
    HeartbeatResponse { throttle_time_ms: number, ..Default::default() }.into()
}

fn tcp() -> Tcp {
    Tcp::new(TcpOptions::new(7, Handle::current()))
}

fn call(tcp: &Tcp, to: &Address, number: i32) -> Calling {
    tcp.call(to, Lane::Quorum, VERSION, request(number), PATIENCE)
}

async fn ended(calling: Calling) -> Result<Response, CallError> {
    tokio::time::timeout(PATIENCE, calling).await.expect("the call ends")
}

async fn lost(calling: Calling) -> String {
    match ended(calling).await {
        Err(CallError::Lost { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_are_sent_in_their_order_before_anyone_polls_them_and_answered_in_it() {
    let (server, tcp) = (Server::start().await, tcp());
    let mut calls: Vec<_> = (0..500).map(|number| call(&tcp, &server.address, number)).collect();
    // Who stops waiting changes nothing for the others.
    drop(calls.remove(1));
    let mut connection = server.accept().await;
    let mut ids = Vec::new();
    for number in 0..500 {
        let (id, got) = connection.number().await;
        assert_eq!(got, number);
        ids.push(id);
    }
    for (number, id) in (0..).zip(ids) {
        connection.respond(id, number).await;
    }
    for (number, calling) in [0].into_iter().chain(2..).zip(calls) {
        assert_eq!(ended(calling).await, Ok(response(number)));
    }
}

#[tokio::test]
async fn requests_carry_the_name_of_the_node_and_their_version() {
    let (server, tcp) = (Server::start().await, tcp());
    let calling = tcp.call(&server.address, Lane::Quorum, 2, request(1), PATIENCE);
    let (header, _) = server.accept().await.request().await;
    assert_eq!(header.client_id.as_deref(), Some("broker-7"));
    assert_eq!(header.version, 2);
    drop(calling);
}

#[tokio::test]
async fn a_refused_connection_ends_all_calls_that_wait() {
    let server = Server::start().await;
    let (address, tcp) = (server.address.clone(), tcp());
    drop(server);
    let calls: Vec<_> = (0..10).map(|number| call(&tcp, &address, number)).collect();
    for calling in calls {
        assert_eq!(ended(calling).await, Err(CallError::Refused(address.clone())));
    }
}

#[tokio::test]
async fn a_node_that_comes_back_is_reached_again() {
    let server = Server::start().await;
    let (address, tcp) = (server.address.clone(), tcp());
    let calling = call(&tcp, &address, 1);
    let mut connection = server.accept().await;
    let (id, _) = connection.number().await;
    connection.respond(id, 1).await;
    assert_eq!(ended(calling).await, Ok(response(1)));
    // The process dies: the open call is lost, the next is refused.
    let open = call(&tcp, &address, 2);
    connection.number().await;
    drop((server, connection));
    assert_eq!(ended(open).await, Err(CallError::Closed(address.clone())));
    assert_eq!(ended(call(&tcp, &address, 3)).await, Err(CallError::Refused(address.clone())));
    let listener = TcpListener::bind((address.host.as_str(), address.port)).await.expect("the same port");
    let server = Server { listener, address };
    let calling = call(&tcp, &server.address, 4);
    let mut connection = server.accept().await;
    let (id, number) = connection.number().await;
    assert_eq!(number, 4, "what was lost is not sent again");
    connection.respond(id, number).await;
    assert_eq!(ended(calling).await, Ok(response(4)));
}

#[tokio::test]
async fn a_response_that_is_cut_in_the_middle_loses_all_calls() {
    let (server, tcp) = (Server::start().await, tcp());
    let (first, second) = (call(&tcp, &server.address, 1), call(&tcp, &server.address, 2));
    let mut connection = server.accept().await;
    let (id, _) = connection.number().await;
    let frame = response(1).to_frame(VERSION, id).expect("a good response").concat();
    connection.write(&frame[..frame.len() - 1]).await;
    drop(connection);
    for calling in [first, second] {
        assert_eq!(ended(calling).await, Err(CallError::Closed(server.address.clone())));
    }
}

#[tokio::test]
async fn what_is_no_answer_ends_the_connection() {
    let (server, tcp) = (Server::start().await, tcp());
    let wrong_id = |id: i32| response(1).to_frame(VERSION, id + 1).expect("a good response").concat();
    let garbage =
        |id: i32| [&9i32.to_be_bytes(), &id.to_be_bytes()[..], &[0, 0xff, 0xff, 0xff, 0xff]].concat();
    let long = |id: i32| {
        let frame = response(1).to_frame(VERSION, id).expect("a good response").concat();
        [&(frame.len() as i32 - 3).to_be_bytes(), &frame[4..], &[0]].concat()
    };
    let too_large = |_| i32::try_from(RESPONSE_BYTES_MAX + 1).expect("an int").to_be_bytes().to_vec();
    let negative = |_| (-1i32).to_be_bytes().to_vec();
    let cases: [(&str, Answer<'_>); 5] = [
        ("where", &wrong_id),
        ("cannot be read", &garbage),
        ("cannot be read", &long),
        ("was announced", &too_large),
        ("was announced", &negative),
    ];
    for (reason, answer) in cases {
        let (first, second) = (call(&tcp, &server.address, 1), call(&tcp, &server.address, 2));
        let mut connection = server.accept().await;
        let (id, _) = connection.number().await;
        connection.write(&answer(id)).await;
        for calling in [first, second] {
            let said = lost(calling).await;
            assert!(said.contains(reason), "{said}");
        }
        connection.expect_close().await;
    }
}

#[tokio::test]
async fn a_response_that_nobody_asked_for_ends_the_connection() {
    let (server, tcp) = (Server::start().await, tcp());
    let calling = call(&tcp, &server.address, 1);
    let mut connection = server.accept().await;
    let (id, _) = connection.number().await;
    connection.respond(id, 1).await;
    assert_eq!(ended(calling).await, Ok(response(1)));
    connection.respond(id, 1).await;
    connection.expect_close().await;
}

#[tokio::test]
async fn an_overdue_call_closes_the_connection_and_loses_the_others() {
    let (server, tcp) = (Server::start().await, tcp());
    let patient = call(&tcp, &server.address, 1);
    let hasty = tcp.call(&server.address, Lane::Quorum, VERSION, request(2), Duration::from_millis(20));
    let mut connection = server.accept().await;
    let said = lost(hasty).await;
    assert!(said.contains("in time"), "{said}");
    lost(patient).await;
    connection.expect_close().await;
    // The lane goes on with a new connection.
    let calling = call(&tcp, &server.address, 3);
    let mut connection = server.accept().await;
    let (id, number) = connection.number().await;
    connection.respond(id, number).await;
    assert_eq!(ended(calling).await, Ok(response(3)));
}

#[tokio::test]
async fn lanes_dont_wait_for_each_other() {
    let (server, tcp) = (Server::start().await, tcp());
    let parked = tcp.call(&server.address, Lane::ReplicaFetch(0), VERSION, request(1), PATIENCE);
    let mut first = server.accept().await;
    first.number().await;
    for (number, lane) in (2..).zip([Lane::ReplicaFetch(1), Lane::Quorum, Lane::Forward]) {
        let calling = tcp.call(&server.address, lane, VERSION, request(number), PATIENCE);
        let mut connection = server.accept().await;
        let (id, got) = connection.number().await;
        connection.respond(id, got).await;
        assert_eq!(ended(calling).await, Ok(response(number)));
    }
    assert_eq!(tcp.lanes(), 4);
    drop(first);
    assert_eq!(ended(parked).await, Err(CallError::Closed(server.address.clone())));
}

#[tokio::test]
async fn a_lane_takes_no_more_calls_than_its_limit() {
    let (server, tcp) = (Server::start().await, tcp());
    let calls: Vec<_> = (0..CALLS_MAX as i32).map(|number| call(&tcp, &server.address, number)).collect();
    assert_eq!(ended(call(&tcp, &server.address, -1)).await, Err(CallError::Busy(server.address.clone())));
    // One that is answered makes room for one.
    let mut connection = server.accept().await;
    let (id, number) = connection.number().await;
    connection.respond(id, number).await;
    let mut calls = calls.into_iter();
    let first = calls.next().expect("the first call");
    assert_eq!(ended(first).await, Ok(response(0)));
    let again = call(&tcp, &server.address, -2);
    assert_eq!(ended(call(&tcp, &server.address, -3)).await, Err(CallError::Busy(server.address.clone())));
    drop(connection);
    assert_eq!(ended(again).await, Err(CallError::Closed(server.address.clone())));
}

#[tokio::test]
async fn a_lane_takes_no_more_bytes_than_its_limit_but_a_single_call_of_any_size() {
    let (server, tcp) = (Server::start().await, tcp());
    let envelope = |size: usize| EnvelopeRequest { request_data: vec![7; size].into(), ..Default::default() };
    let send = |size| tcp.call(&server.address, Lane::Forward, 0, envelope(size).into(), PATIENCE);
    let large = send(peers::BYTES_MAX + 1);
    assert_eq!(ended(send(1)).await, Err(CallError::Busy(server.address.clone())));
    let mut connection = server.accept().await;
    let (header, _) = connection.request().await;
    let answer = EnvelopeResponse { response_data: Some(vec![9; 20 << 20].into()), ..Default::default() };
    let frame = Response::from(answer.clone()).to_frame(0, header.correlation_id).expect("a good response");
    connection.write(&frame.concat()).await;
    assert_eq!(ended(large).await, Ok(answer.into()));
    let small = send(1);
    connection.request().await;
    drop((connection, small));
}

#[tokio::test]
async fn a_lane_without_calls_ends_with_its_connection() {
    let server = Server::start().await;
    let options = TcpOptions::new(7, Handle::current());
    let tcp = Tcp::new(TcpOptions { idle_max: Duration::from_millis(20), ..options });
    for number in 0..2 {
        let calling = call(&tcp, &server.address, number);
        let mut connection = server.accept().await;
        let (id, number) = connection.number().await;
        connection.respond(id, number).await;
        assert_eq!(ended(calling).await, Ok(response(number)));
        connection.expect_close().await;
        assert_eq!(tcp.lanes(), 0);
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_written_is_lost() {
    let (server, tcp) = (Server::start().await, tcp());
    let said = lost(tcp.call(&server.address, Lane::Quorum, 99, request(1), PATIENCE)).await;
    assert!(said.contains("cannot be written"), "{said}");
    assert_eq!(tcp.lanes(), 0);
}

#[tokio::test]
async fn records_arrive_as_they_were_sent() {
    let (server, tcp) = (Server::start().await, tcp());
    let records: Bytes = (0..3_000_000u32).map(|i| i as u8).collect::<Vec<_>>().into();
    let topic = TopicProduceData {
        partition_data: vec![PartitionProduceData { index: 0, records: Some(records.clone()) }],
        ..Default::default()
    };
    let produce = ProduceRequest { topic_data: vec![topic; 3], ..Default::default() };
    let calling = tcp.call(&server.address, Lane::Broker, 9, produce.into(), PATIENCE);
    let (_, got) = server.accept().await.request().await;
    let Request::Produce(got) = got else { panic!("another request") };
    assert!(got.topic_data.iter().all(|topic| topic.partition_data[0].records.as_ref() == Some(&records)));
    drop(calling);
}

#[tokio::test]
async fn calls_end_when_the_transport_is_dropped() {
    let (server, tcp) = (Server::start().await, tcp());
    let calling = call(&tcp, &server.address, 1);
    let mut connection = server.accept().await;
    connection.number().await;
    drop(tcp);
    assert!(lost(calling).await.contains("stopping"));
    connection.expect_close().await;
}

#[tokio::test]
async fn a_name_without_an_address_loses_the_call() {
    let tcp = tcp();
    let nowhere = Address { host: "no-such-host.invalid".to_owned(), port: 1 };
    assert_eq!(lost(call(&tcp, &nowhere, 1)).await.split(':').next(), Some("no connection"));
}
