//! Tests of the configuration: the tables and DescribeConfigs against facts taken from a running Kafka 4.3.1, and each
//! rule of values, files, topics and changes on its own.
mod alter;
mod broker;
mod describe;
mod tables;
mod topic;
mod values;

use super::{BrokerConfig, ConfigMap};

/// The lines of a fixture as fields, without comments.
fn fixture(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn configs(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A broker whose file has these settings.
fn broker(pairs: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::from_file(pairs.iter().copied()).expect("the settings are allowed").0
}

/// The errors of a broker whose file has these settings, one a line.
fn broker_errors(pairs: &[(&str, &str)]) -> String {
    let errors = BrokerConfig::from_file(pairs.iter().copied()).expect_err("the settings are refused");
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
