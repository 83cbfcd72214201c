//! Settings described and changed.
use crate::node::Node;
use crate::wire::{Client, ask};
use ensemble::Coordinator;
use kafka_wire::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use kafka_wire::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
};
use kafka_wire::messages::{alter_configs as whole, incremental_alter_configs as steps};
use kafka_wire::{ErrorCode, Str};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

async fn describe(
    client: &mut Client,
    version: i16,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    ask!(client, DescribeConfigs version, request).results[0].clone()
}

async fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> Option<String> {
    let described = describe(client, 4, kind, name, Some(&[key])).await;
    assert_eq!(described.error_code, ErrorCode::NONE);
    described.configs.first()?.value.as_ref().map(|value| value.to_string())
}

async fn alter(
    client: &mut Client,
    kind: i8,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> ErrorCode {
    let configs = changes.iter().map(|(key, operation, value)| steps::AlterableConfig {
        name: Str::from(*key),
        config_operation: *operation,
        value: value.map(Str::from),
    });
    let resource = steps::AlterConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configs: configs.collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
    let response = ask!(client, IncrementalAlterConfigs 1, request).responses[0].clone();
    assert_eq!(response.error_code.is_error(), response.error_message.is_some());
    response.error_code
}

/// Sets one setting of a broker.
pub(crate) async fn set_broker(client: &mut Client, name: &str, key: &str, value: &str) {
    assert_eq!(alter(client, BROKER, name, &[(key, SET, Some(value))], false).await, ErrorCode::NONE);
}

#[tokio::test]
async fn kafka_2_26_every_key_with_source_and_synonyms_in_every_version() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic_with("t", 1, &[("retention.ms", "12345")]).await;
    for version in 1..=4 {
        let topic = describe(&mut client, version, TOPIC, "t", None).await;
        assert_eq!(
            topic.configs.len(),
            controller::config::topic_configs()
                .iter()
                .filter(|def| def.listing == controller::config::Listing::Always)
                .count()
        );
        let retention = topic.configs.iter().find(|config| &*config.name == "retention.ms").expect("the key");
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some("12345"), 1));
        assert_eq!(retention.synonyms[0].value.as_deref(), Some("12345"));
        assert_eq!(retention.documentation.is_some(), version >= 3);
        assert_eq!(retention.config_type, if version >= 3 { 5 } else { 0 });
        let broker =
            describe(&mut client, version, BROKER, &node.controller.node_id().to_string(), None).await;
        assert_eq!(broker.error_code, ErrorCode::NONE);
        assert!(broker.configs.len() > 200);
        let listeners = broker.configs.iter().find(|config| &*config.name == "listeners").expect("the key");
        assert_eq!((listeners.read_only || version < 1, listeners.config_source), (listeners.read_only, 4));
    }
    let group = describe(&mut client, 4, GROUP, "g", None).await;
    assert!(group.configs.iter().any(|config| &*config.name == "consumer.session.timeout.ms"));
    let plain = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: "t".into(),
            configuration_keys: Some(vec!["retention.ms".into()]),
        }],
        ..Default::default()
    };
    let plain = ask!(client, DescribeConfigs 4, plain).results[0].clone();
    assert_eq!((plain.configs.len(), plain.configs[0].synonyms.len()), (1, 0));
    assert_eq!(plain.configs[0].documentation, None);
    node.stop().await;
}

#[tokio::test]
async fn resources_that_are_not_there() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let other = (node.controller.node_id() + 1).to_string();
    for (kind, name, error) in [
        (TOPIC, "missing", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "bad name", ErrorCode::INVALID_TOPIC_EXCEPTION),
        (BROKER, "x", ErrorCode::INVALID_REQUEST),
        (BROKER, &other, ErrorCode::INVALID_REQUEST),
        (99, "x", ErrorCode::INVALID_REQUEST),
    ] {
        let described = describe(&mut client, 4, kind, name, None).await;
        assert_eq!((described.error_code, described.configs.len()), (error, 0), "{name}");
        assert!(described.error_message.is_some());
        assert_eq!(alter(&mut client, kind, name, &[("retention.ms", SET, Some("1"))], false).await, error);
    }
    node.stop().await;
}

#[tokio::test]
async fn settings_change_step_by_step() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    let none = ErrorCode::NONE;
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", SET, Some("777"))], true).await, none);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await.as_deref(), Some("604800000"));
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", SET, Some("777"))], false).await, none);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await.as_deref(), Some("777"));
    assert_eq!(
        alter(&mut client, TOPIC, "t", &[("cleanup.policy", APPEND, Some("compact"))], false).await,
        none
    );
    assert_eq!(value(&mut client, TOPIC, "t", "cleanup.policy").await.as_deref(), Some("delete,compact"));
    assert_eq!(
        alter(&mut client, TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("delete"))], false).await,
        none
    );
    assert_eq!(value(&mut client, TOPIC, "t", "cleanup.policy").await.as_deref(), Some("compact"));
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", DELETE, None)], false).await, none);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await.as_deref(), Some("604800000"));
    for (changes, error) in [
        (&[("retention.ms", SET, Some("soon"))][..], ErrorCode::INVALID_CONFIG),
        (&[("retention.ms", APPEND, Some("1"))], ErrorCode::INVALID_CONFIG),
        (&[("retention.ms", SET, None)], ErrorCode::INVALID_REQUEST),
        (&[("retention.ms", 9, Some("1"))], ErrorCode::INVALID_REQUEST),
        (&[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))], ErrorCode::INVALID_REQUEST),
        (&[("no.such.key", SET, Some("1"))], ErrorCode::INVALID_CONFIG),
    ] {
        assert_eq!(alter(&mut client, TOPIC, "t", changes, false).await, error, "{changes:?}");
    }
    let (data, _) = node.tree.get("/config/topics/t").await.expect("a read").expect("the znode");
    assert_eq!(data.as_deref(), Some(&br#"{"version":1,"config":{"cleanup.policy":"compact"}}"#[..]));
    node.stop().await;
}

#[tokio::test]
async fn brokers_and_groups_have_dynamic_settings() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let own = node.controller.node_id().to_string();
    set_broker(&mut client, "", "log.retention.ms", "1000").await;
    assert_eq!(value(&mut client, BROKER, &own, "log.retention.ms").await.as_deref(), Some("1000"));
    set_broker(&mut client, &own, "log.retention.ms", "2000").await;
    let described = describe(&mut client, 4, BROKER, &own, Some(&["log.retention.ms"])).await;
    let sources: Vec<_> = described.configs[0].synonyms.iter().map(|synonym| synonym.source).collect();
    assert_eq!(sources[..2], [2, 3]);
    let default = describe(&mut client, 4, BROKER, "", None).await;
    assert_eq!(default.configs.iter().map(|config| &*config.name).collect::<Vec<_>>(), ["log.retention.ms"]);
    assert_eq!(
        alter(&mut client, BROKER, &own, &[("node.id", SET, Some("5"))], false).await,
        ErrorCode::INVALID_REQUEST
    );
    assert_eq!(
        alter(&mut client, GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))], false).await,
        ErrorCode::NONE
    );
    assert_eq!(value(&mut client, GROUP, "g", "consumer.session.timeout.ms").await.as_deref(), Some("50000"));
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_38_alter_configs_replaces_everything() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic_with("t", 1, &[("retention.ms", "1"), ("retention.bytes", "2")]).await;
    for version in 0..=2 {
        let bytes = format!("{}", 100 + version);
        let resource = whole::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: "t".into(),
            configs: vec![whole::AlterableConfig {
                name: "retention.bytes".into(),
                value: Some(Str::from(&bytes)),
            }],
        };
        let request = AlterConfigsRequest { resources: vec![resource.clone()], validate_only: false };
        assert_eq!(ask!(client, AlterConfigs version, request).responses[0].error_code, ErrorCode::NONE);
        assert_eq!(value(&mut client, TOPIC, "t", "retention.bytes").await, Some(bytes));
        assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").await.as_deref(), Some("604800000"));
        let twice = AlterConfigsRequest { resources: vec![resource.clone(), resource], validate_only: false };
        let twice = ask!(client, AlterConfigs version, twice).responses;
        assert!(twice.iter().all(|response| response.error_code == ErrorCode::INVALID_REQUEST));
    }
    node.stop().await;
}

#[tokio::test]
async fn kafka_2_40_config_resources_are_listed_by_type() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create_topic("t", 1).await;
    alter(&mut client, GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))], false).await;
    let metrics = ask!(client, ListConfigResources 0, ListConfigResourcesRequest::default());
    assert_eq!((metrics.error_code, metrics.config_resources.len()), (ErrorCode::NONE, 0));
    let all = ask!(client, ListConfigResources 1, ListConfigResourcesRequest::default());
    let mut kinds: Vec<_> = all.config_resources.iter().map(|resource| resource.resource_type).collect();
    kinds.dedup();
    assert_eq!(kinds, [TOPIC, BROKER, GROUP]);
    let groups =
        ask!(client, ListConfigResources 1, ListConfigResourcesRequest { resource_types: vec![GROUP] });
    assert_eq!(
        groups.config_resources.iter().map(|resource| &*resource.resource_name).collect::<Vec<_>>(),
        ["g"]
    );
    let unknown =
        ask!(client, ListConfigResources 1, ListConfigResourcesRequest { resource_types: vec![99] });
    assert_eq!(unknown.error_code, ErrorCode::UNSUPPORTED_VERSION);
    node.stop().await;
}
