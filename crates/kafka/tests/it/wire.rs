//! A client that speaks frames: what it sends and gets is visible byte by byte.
use kafka_wire::messages::create_topics::CreatableTopic;
use kafka_wire::messages::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use kafka_wire::messages::{CreateTopicsRequest, ProduceRequest, ProduceResponse};
use kafka_wire::{ApiKey, Bytes, ErrorCode, Request, RequestHeader, Response, Str, Uuid};
use log::BatchBuilder;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for the slowest machine; only failures take it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a request and takes the response of its API apart: `ask!(client, Metadata 12, MetadataRequest { .. })`.
macro_rules! ask {
    ($client:expr, $api:ident $version:expr, $request:expr) => {
        match {
            let request = $request.into();
            $client.call($version, request).await
        } {
            kafka_wire::Response::$api(response) => response,
            other => panic!("a response of another API: {other:?}"),
        }
    };
}
pub(crate) use ask;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    next: i32,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("the door is open");
        stream.set_nodelay(true).expect("a socket");
        Client { stream, next: 0 }
    }

    /// Sends a request and waits for its response.
    pub(crate) async fn call(&mut self, version: i16, request: Request) -> Response {
        let api = request.api();
        let id = self.send(version, &request).await;
        let (got, response) = self.receive(api, version).await;
        assert_eq!(got, id, "the response to another request");
        response
    }

    /// Sends a request; its correlation id.
    pub(crate) async fn send(&mut self, version: i16, request: &Request) -> i32 {
        let frame = self.frame(version, request);
        self.write(&frame).await;
        self.next
    }

    /// The bytes of a request, with the next correlation id.
    pub(crate) fn frame(&mut self, version: i16, request: &Request) -> Vec<u8> {
        self.next += 1;
        let header = RequestHeader {
            api: request.api(),
            version,
            correlation_id: self.next,
            client_id: Some(Str::from_static("test")),
        };
        request.to_frame(&header).expect("a good request").concat()
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the door reads");
    }

    pub(crate) async fn receive(&mut self, api: ApiKey, version: i16) -> (i32, Response) {
        let frame = self.receive_frame().await;
        kafka_wire::decode_response(api, version, frame).expect("a good response")
    }

    pub(crate) async fn receive_frame(&mut self) -> Bytes {
        let read = async {
            let size = self.stream.read_i32().await?;
            let mut frame = vec![0; usize::try_from(size).expect("not negative")];
            self.stream.read_exact(&mut frame).await?;
            Ok::<_, std::io::Error>(Bytes::from(frame))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time").expect("an answer")
    }

    /// Waits until the door closes the connection; whatever it says before is a failure.
    pub(crate) async fn expect_close(&mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await;
        match read.expect("the door closes the connection in time") {
            Ok(0) => {}
            Ok(_) => panic!("the door answered instead of closing"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }

    /// Creates a topic; its id.
    pub(crate) async fn create_topic(&mut self, name: &str, partitions: i32) -> Uuid {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// Creates a topic with settings; its id.
    pub(crate) async fn create_topic_with(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Uuid {
        let configs =
            configs.iter().map(|(key, value)| kafka_wire::messages::create_topics::CreatableTopicConfig {
                name: Str::from(*key),
                value: Some(Str::from(*value)),
            });
        let topic = CreatableTopic {
            name: Str::from(name),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let response = ask!(self, CreateTopics 7, request);
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{:?}", response.topics[0].error_message);
        response.topics[0].topic_id
    }

    /// Produces one batch to a partition with acks=all; the result.
    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let response: ProduceResponse = ask!(self, Produce 9, produce_request(topic, partition, -1, records));
        response.responses[0].partition_responses[0].clone()
    }
}

/// A request with one batch.
pub(crate) fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index: partition, records: Some(records) }];
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData { name: Str::from(topic), partition_data, ..Default::default() }],
        ..Default::default()
    }
}

/// A batch with these values and no keys.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let records: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
    keyed_batch(&records)
}

/// A batch with these keys and values.
pub(crate) fn keyed_batch(records: &[(Option<&str>, Option<&str>)]) -> Bytes {
    builder(records).build().expect("small").to_bytes()
}

/// The builder of such a batch.
pub(crate) fn builder(records: &[(Option<&str>, Option<&str>)]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(0);
    for (key, value) in records {
        let now = base::World::system().clock.wall_ms();
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.append(now, key, value, &[]).expect("small");
    }
    builder
}
