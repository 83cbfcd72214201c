//! The layers that a broker setting comes from, and the value that results.
//!
//! Invariant: every value in a layer whose key has a row is a valid value of that row. Values are checked where they enter.
use super::def::{Conversion, ServerSynonym};
use super::registry::{broker_config, broker_config_or_listener_override, hidden_by};
use super::value::{ConfigValue, parse_value};
use std::collections::BTreeMap;

/// Keys and values as they are stored in a config znode.
pub type ConfigMap = BTreeMap<String, String>;

/// The broker's settings by origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layers {
    /// From the configuration file and the command line.
    pub(super) file: ConfigMap,
    /// From /config/brokers/<default>.
    pub(super) cluster_default: ConfigMap,
    /// From /config/brokers/<id>.
    pub(super) per_broker: ConfigMap,
    /// What results, without defaults.
    effective: ConfigMap,
}

impl Layers {
    /// Puts the layers above one another. A value hides what lower layers say about the same setting in other units.
    pub(super) fn new(file: ConfigMap, cluster_default: ConfigMap, per_broker: ConfigMap) -> Layers {
        let mut effective = file.clone();
        for (key, value) in cluster_default.iter().chain(&per_broker) {
            for hidden in hidden_by(key) {
                effective.remove(hidden);
            }
            effective.insert(key.clone(), value.clone());
        }
        Layers { file, cluster_default, per_broker, effective }
    }

    /// What results, without defaults.
    pub(super) fn effective(&self) -> &ConfigMap {
        &self.effective
    }

    /// Whether somebody set the key.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.effective.contains_key(name)
    }

    /// The value of a key: what somebody set, else the default. `None` is null, or a key without a row.
    pub(super) fn value(&self, name: &str) -> Option<ConfigValue> {
        let def = broker_config_or_listener_override(name)?;
        let given = self.effective.get(name).and_then(|text| parse_value(def, text).ok());
        given.or_else(|| parse_default(broker_config(name)?.default, name))
    }

    /// The value as the type of a settings field.
    pub(super) fn get<T: FromValue>(&self, name: &str) -> T {
        T::from_value(self.value(name)).expect(
            "the row of the key has the type of the field, and a default if the field needs one; a \
             test reads all fields",
        )
    }

    /// The value that the server gives to a topic or group key: of the first synonym that has one.
    pub(super) fn derived(&self, synonyms: &[ServerSynonym]) -> Option<ConfigValue> {
        synonyms.iter().find_map(|synonym| Some(convert(self.value(synonym.name)?, synonym.conversion)))
    }
}

fn parse_default(default: Option<&str>, name: &str) -> Option<ConfigValue> {
    parse_value(broker_config(name)?, default?).ok()
}

fn convert(value: ConfigValue, conversion: Conversion) -> ConfigValue {
    const MINUTE_MS: i64 = 60 * 1000;
    let factor = match conversion {
        Conversion::Same => return value,
        Conversion::MinutesToMs => MINUTE_MS,
        Conversion::HoursToMs => 60 * MINUTE_MS,
    };
    match value {
        ConfigValue::Int(count) => ConfigValue::Long(i64::from(count) * factor),
        other => other,
    }
}

/// Types of settings fields.
pub(super) trait FromValue: Sized {
    /// The value as this type; `None` if it has another type, or if it is null and the type cannot hold null.
    fn from_value(value: Option<ConfigValue>) -> Option<Self>;
}

macro_rules! from_value {
    ($($target:ty: $($variant:ident)|+;)*) => {$(
        impl FromValue for $target {
            fn from_value(value: Option<ConfigValue>) -> Option<$target> {
                match value? {
                    $(ConfigValue::$variant(inner) => Some(inner),)+
                    _ => None,
                }
            }
        }
    )*};
}

from_value! {
    bool: Boolean;
    i16: Short;
    i32: Int;
    i64: Long;
    f64: Double;
    String: String | Class;
    Vec<String>: List;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Option<ConfigValue>) -> Option<Option<T>> {
        match value {
            None => Some(None),
            some => T::from_value(some).map(Some),
        }
    }
}
