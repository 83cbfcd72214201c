//! Values: from text to a typed value, checked against the row of its key, and back to Kafka's text form.
use std::fmt;

use super::def::{ConfigDef, ConfigType, ListRule, Validator};
use super::error::ConfigError;
use super::listener::{parse_host_port, parse_quorum_voter};

/// A value of the type that its key's row names.
#[derive(Clone, PartialEq)]
pub enum ConfigValue {
    /// `true` or `false`.
    Boolean(bool),
    /// Text.
    String(String),
    /// A 32-bit integer.
    Int(i32),
    /// A 16-bit integer.
    Short(i16),
    /// A 64-bit integer.
    Long(i64),
    /// A 64-bit floating point number, always finite.
    Double(f64),
    /// Texts.
    List(Vec<String>),
    /// The name of a Java class.
    Class(String),
    /// Text that `Display` and `Debug` do not show.
    Password(String),
}

/// What stands in the place of a password.
const HIDDEN: &str = "[hidden]";

impl fmt::Display for ConfigValue {
    /// Writes the value as `ConfigDef.convertToString` does; a password as `[hidden]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigValue::Boolean(value) => write!(f, "{value}"),
            ConfigValue::String(value) | ConfigValue::Class(value) => f.write_str(value),
            ConfigValue::Int(value) => write!(f, "{value}"),
            ConfigValue::Short(value) => write!(f, "{value}"),
            ConfigValue::Long(value) => write!(f, "{value}"),
            ConfigValue::Double(value) => f.write_str(&java_double(*value)),
            ConfigValue::List(values) => f.write_str(&values.join(",")),
            ConfigValue::Password(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Writes a number as Java's `Double.toString`: plain from 0.001 to 10,000,000, else with `E` and an exponent, always
/// with a digit after the point.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

/// Reads `text` as a value of the key `def`.
///
/// White space around the value and around the elements of a list does not count. The error names the key, the value
/// and what is allowed, in the words of Kafka's ConfigException.
pub fn parse_value(def: &ConfigDef, text: &str) -> Result<ConfigValue, ConfigError> {
    let trimmed = text.trim_matches(|c| c <= ' ');
    let not_a_number =
        || ConfigError::invalid(def.name, text, format!("Not a number of type {}", def.config_type.name()));
    let value = match def.config_type {
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => ConfigValue::Boolean(true),
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => ConfigValue::Boolean(false),
        ConfigType::Boolean => {
            return Err(ConfigError::invalid(def.name, text, "Expected value to be either true or false"));
        }
        ConfigType::String => ConfigValue::String(trimmed.to_owned()),
        ConfigType::Class => ConfigValue::Class(trimmed.to_owned()),
        ConfigType::Password => ConfigValue::Password(trimmed.to_owned()),
        ConfigType::Int => ConfigValue::Int(trimmed.parse().map_err(|_| not_a_number())?),
        ConfigType::Short => ConfigValue::Short(trimmed.parse().map_err(|_| not_a_number())?),
        ConfigType::Long => ConfigValue::Long(trimmed.parse().map_err(|_| not_a_number())?),
        ConfigType::Double => ConfigValue::Double(parse_finite(trimmed).ok_or_else(not_a_number)?),
        ConfigType::List => ConfigValue::List(list_elements(trimmed, def.validator)),
    };
    validate(def, &value)?;
    Ok(value)
}

fn parse_finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The elements of a list's text. Lists with a rule of their own drop duplicates and keep the first.
fn list_elements(trimmed: &str, validator: Validator) -> Vec<String> {
    if trimmed.is_empty() {
        return Vec::new();
    }
    let elements = trimmed.split(',').map(|element| element.trim_ascii().to_owned());
    if !matches!(validator, Validator::ListOf(_)) {
        return elements.collect();
    }
    let mut seen = std::collections::HashSet::new();
    elements.filter(|element| seen.insert(element.clone())).collect()
}

fn validate(def: &ConfigDef, value: &ConfigValue) -> Result<(), ConfigError> {
    let refuse = |allowed: String| Err(ConfigError::invalid(def.name, value.to_string(), allowed));
    match (def.validator, value) {
        (Validator::Any, _) => Ok(()),
        (Validator::ListOf(rule), ConfigValue::List(elements)) => validate_list(def.name, rule, elements),
        (Validator::ThrottledReplicas, ConfigValue::List(elements)) => validate_throttled(def.name, elements),
        (Validator::QuorumVoters, ConfigValue::List(elements)) => {
            match elements.iter().find(|element| parse_quorum_voter(element).is_none()) {
                Some(bad) => refuse(format!("{bad} should be in the form `{{id}}@{{host}}:{{port}}`")),
                None => Ok(()),
            }
        }
        (Validator::QuorumServers, ConfigValue::List(elements)) => {
            match elements.iter().find(|element| parse_host_port(element).is_none()) {
                Some(bad) => refuse(format!("{bad} should be in the form `{{host}}:{{port}}`")),
                None => Ok(()),
            }
        }
        (Validator::BetweenReal(min, max), ConfigValue::Double(number)) => {
            if *number < min {
                refuse(format!("Value must be at least {min}"))
            } else if *number > max {
                refuse(format!("Value must be no more than {max}"))
            } else {
                Ok(())
            }
        }
        (rule, ConfigValue::Int(number)) => validate_integer(def.name, rule, i64::from(*number)),
        (rule, ConfigValue::Short(number)) => validate_integer(def.name, rule, i64::from(*number)),
        (rule, ConfigValue::Long(number)) => validate_integer(def.name, rule, *number),
        (rule, ConfigValue::String(text)) => validate_text(def.name, rule, text),
        _ => Ok(()),
    }
}

fn validate_integer(key: &str, rule: Validator, number: i64) -> Result<(), ConfigError> {
    let refuse = |allowed: String| Err(ConfigError::invalid(key, number.to_string(), allowed));
    match rule {
        Validator::AtLeast(min) | Validator::Between(min, _) if number < min => {
            refuse(format!("Value must be at least {min}"))
        }
        Validator::Between(_, max) if number > max => refuse(format!("Value must be no more than {max}")),
        Validator::BetweenOr(min, max, other) if !(min..=max).contains(&number) && number != other => {
            refuse(format!("Value must be between {min} and {max} or equal to {other}"))
        }
        _ => Ok(()),
    }
}

fn validate_text(key: &str, rule: Validator, text: &str) -> Result<(), ConfigError> {
    let refuse = |allowed: String| Err(ConfigError::invalid(key, text, allowed));
    match rule {
        Validator::OneOf(allowed) if !allowed.contains(&text) => {
            refuse(format!("String must be one of: {}", allowed.join(", ")))
        }
        Validator::OneOfIgnoringCase(allowed)
            if !allowed.iter().any(|one| one.eq_ignore_ascii_case(text)) =>
        {
            refuse(format!("String must be one of (case insensitive): {}", allowed.join(", ")))
        }
        Validator::NonEmptyText if text.is_empty() => refuse("String must be non-empty".to_owned()),
        Validator::ShareOffsetReset if !is_share_offset_reset(text) => refuse(
            "The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

fn validate_list(key: &str, rule: ListRule, elements: &[String]) -> Result<(), ConfigError> {
    if elements.is_empty() && !rule.may_be_empty {
        let allowed = match rule.elements {
            [] => "any non-empty value".to_owned(),
            some => some.join(", "),
        };
        return Err(ConfigError::invalid(
            key,
            "",
            format!("the list must not be empty. Valid values include: {allowed}"),
        ));
    }
    for element in elements {
        if element.is_empty() {
            return Err(ConfigError::invalid(
                key,
                elements.join(","),
                "the elements of the list must not be empty",
            ));
        }
        if !rule.elements.is_empty() && !rule.elements.contains(&element.as_str()) {
            return Err(ConfigError::invalid(
                key,
                element,
                format!("String must be one of: {}", rule.elements.join(", ")),
            ));
        }
    }
    Ok(())
}

/// Empty elements are allowed, as Kafka's ThrottledReplicaListValidator does.
fn validate_throttled(key: &str, elements: &[String]) -> Result<(), ConfigError> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_replica = |element: &String| {
        element.is_empty()
            || element
                .split_once(':')
                .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    if elements.iter().all(is_replica) || elements.concat() == "*" {
        return Ok(());
    }
    Err(ConfigError::invalid(
        key,
        format!("[{}]", elements.join(", ")),
        format!(
            "{key} must be the literal '*' or a list of replicas in the following format: \
             [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        ),
    ))
}

fn is_share_offset_reset(text: &str) -> bool {
    match text.to_ascii_lowercase().strip_prefix("by_duration:") {
        Some(duration) => is_iso_duration(duration),
        None => matches!(text, "earliest" | "latest"),
    }
}

/// Whether `text` (in lower case) is a duration that is not negative: `PnDTnHnMn.nS` with at least one part.
fn is_iso_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('p') else { return false };
    let (date, time) = match rest.split_once('t') {
        Some((date, time)) => (date, Some(time)),
        None => (rest, None),
    };
    let dated = parts_in_order(date, &['d']);
    match time {
        None => dated == Some(true),
        Some(time) => dated.is_some() && parts_in_order(time, &['h', 'm', 's']) == Some(true),
    }
}

/// Reads numbers that end with the units in order; each unit may be missing, seconds may have a fraction. `None` if the
/// text is anything else, else whether there was any part.
fn parts_in_order(text: &str, units: &[char]) -> Option<bool> {
    let mut rest = text;
    let mut any = false;
    for &unit in units {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !is_digits(whole)
            || !is_digits(fraction)
            || (number.contains('.') && unit != 's')
        {
            return None;
        }
        any = true;
        rest = after;
    }
    rest.is_empty().then_some(any)
}
