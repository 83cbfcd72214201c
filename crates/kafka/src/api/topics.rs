//! How requests name topics, and lists of partitions as responses group them.
use broker::TopicKey;
use controller::view::ClusterView;
use kafka_wire::{ErrorCode, Str, Uuid};
use std::sync::Arc;

/// A topic's name for the domain. The memory of a known topic's name is shared.
pub(super) fn name(view: &ClusterView, name: &str) -> Arc<str> {
    view.topics.get_key_value(name).map_or_else(|| Arc::from(name), |(known, _)| known.clone())
}

/// A topic as a request names it: by id in the newer versions, else by name.
pub(super) fn key(view: &ClusterView, by_id: bool, given: &str, id: Uuid) -> TopicKey {
    if by_id { TopicKey::Id(id) } else { TopicKey::Name(name(view, given)) }
}

/// The wire's two fields for a topic: name and id.
pub(super) fn fields(key: &TopicKey) -> (Str, Uuid) {
    match key {
        TopicKey::Name(name) => (Str::from(&**name), Uuid::nil()),
        TopicKey::Id(id) => (Str::default(), *id),
    }
}

/// The name behind a topic as a request names it.
///
/// # Errors
/// UNKNOWN_TOPIC_ID for an id that no topic has.
pub(super) fn resolve(view: &ClusterView, by_id: bool, given: &str, id: Uuid) -> Result<Arc<str>, ErrorCode> {
    match by_id {
        true => view.topic_by_id(id).map(|topic| topic.name.clone()).ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
        false => Ok(name(view, given)),
    }
}

/// Puts `items` into groups of neighbours with the same key.
pub(super) fn group<T, K: PartialEq, G>(
    items: impl IntoIterator<Item = (K, T)>,
    mut make: impl FnMut(K, Vec<T>) -> G,
) -> Vec<G> {
    let mut groups = Vec::new();
    let mut current: Option<(K, Vec<T>)> = None;
    for (key, item) in items {
        match &mut current {
            Some((of, members)) if *of == key => members.push(item),
            _ => {
                let finished = current.replace((key, vec![item]));
                groups.extend(finished.map(|(key, members)| make(key, members)));
            }
        }
    }
    groups.extend(current.map(|(key, members)| make(key, members)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_with_the_same_key_make_a_group() {
        let groups = group([("a", 1), ("a", 2), ("b", 3), ("a", 4)], |key, members| (key, members));
        assert_eq!(groups, [("a", vec![1, 2]), ("b", vec![3]), ("a", vec![4])]);
        assert!(group(Vec::<((), ())>::new(), |_, _| ()).is_empty());
    }
}
