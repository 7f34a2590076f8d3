//! Which Secrets name a binding as theirs, without a look at all Secrets for each pass.

use std::{collections::BTreeSet, sync::Arc};

use super::{binding::ObjectKey, rows::SecretRow, table::Table};

/// The managed Secrets, found by key and by the binding that owns them.
///
/// A Secret is mostly named as its binding is, and then its key says enough: only the others are
/// listed here a second time.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    rows: Table<ObjectKey, SecretRow>,
    /// Namespace, binding and name of Secrets that are named otherwise than their binding.
    elsewhere: BTreeSet<(String, String, String)>,
}

impl Secrets {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<SecretRow>> {
        self.rows.get(key)
    }

    /// How many scopes have been listed completely at least once.
    pub(super) fn listed(&self) -> usize {
        self.rows.listed()
    }

    /// The Secrets that this binding owns, by their own word.
    pub(super) fn of(&self, binding: &ObjectKey) -> Vec<ObjectKey> {
        let named = |row: &Arc<SecretRow>| row.binding.as_ref() == Some(&binding.name);
        let same_name = self.rows.get(binding).filter(named);
        let place = |name: String| (binding.namespace.clone(), binding.name.clone(), name);
        let others = self.elsewhere.range(place(String::new())..);
        let others = others.take_while(|(namespace, owner, _)| {
            (namespace, owner) == (&binding.namespace, &binding.name)
        });
        let others = others.map(|(namespace, _, name)| ObjectKey::new(namespace, name));
        same_name
            .map(|_| binding.clone())
            .into_iter()
            .chain(others)
            .collect()
    }

    pub(super) fn put(&mut self, key: ObjectKey, row: SecretRow) {
        let entry = entry(&key, &row);
        let before = self.rows.put(key.clone(), row);
        self.unlist(&key, before.as_deref());
        self.elsewhere.extend(entry);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<SecretRow>> {
        let row = self.rows.remove(key);
        self.unlist(key, row.as_deref());
        row
    }

    pub(super) fn begin_relist(&mut self, scope: &str) {
        self.rows.begin_relist(scope);
    }

    /// Those that the relist of `scope` did not meet are taken out and returned.
    pub(super) fn end_relist(
        &mut self,
        scope: &str,
        in_scope: impl Fn(&ObjectKey) -> bool,
    ) -> Vec<(ObjectKey, Arc<SecretRow>)> {
        let gone = self.rows.end_relist(scope, in_scope);
        for (key, row) in &gone {
            self.unlist(key, Some(row));
        }
        gone
    }

    fn unlist(&mut self, key: &ObjectKey, row: Option<&SecretRow>) {
        if let Some(entry) = row.and_then(|row| entry(key, row)) {
            self.elsewhere.remove(&entry);
        }
    }
}

/// The second listing of a Secret, if it needs one.
fn entry(key: &ObjectKey, row: &SecretRow) -> Option<(String, String, String)> {
    let owner = row.binding.as_ref().filter(|owner| **owner != key.name)?;
    Some((key.namespace.clone(), owner.clone(), key.name.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use crate::api::names;

    fn put(secrets: &mut Secrets, namespace: &str, name: &str, binding: Option<&str>) {
        let annotation = |b: &str| (names::ANNOTATION_BINDING.to_owned(), b.to_owned());
        let annotations: BTreeMap<_, _> = binding.map(annotation).into_iter().collect();
        let meta = ObjectMeta {
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        secrets.put(ObjectKey::new(namespace, name), SecretRow::new(meta));
    }

    fn of(secrets: &Secrets, namespace: &str, binding: &str) -> Vec<String> {
        let found = secrets.of(&ObjectKey::new(namespace, binding));
        assert!(found.iter().all(|key| key.namespace == namespace));
        found.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn a_binding_owns_what_names_it_whatever_it_is_called() {
        let mut secrets = Secrets::default();
        secrets.begin_relist("");
        put(&mut secrets, "n", "a", Some("a"));
        put(&mut secrets, "n", "a-old", Some("a"));
        put(&mut secrets, "n", "b", Some("a"));
        put(&mut secrets, "n", "aa", Some("aa"));
        put(&mut secrets, "n", "x", Some("aa"));
        put(&mut secrets, "n", "nobody", None);
        put(&mut secrets, "m", "a", Some("a"));
        assert!(secrets.end_relist("", |_| true).is_empty());
        assert_eq!(of(&secrets, "n", "a"), ["a", "a-old", "b"]);
        assert_eq!(of(&secrets, "n", "aa"), ["aa", "x"]);
        assert_eq!(of(&secrets, "m", "a"), ["a"]);
        assert_eq!(of(&secrets, "n", "b"), [""; 0], "it names another");
        assert_eq!(of(&secrets, "n", "nobody"), [""; 0]);
    }

    #[test]
    fn what_changes_its_owner_or_goes_is_no_longer_found() {
        let mut secrets = Secrets::default();
        put(&mut secrets, "n", "s", Some("a"));
        put(&mut secrets, "n", "s", Some("b"));
        assert_eq!(of(&secrets, "n", "a"), [""; 0]);
        assert_eq!(of(&secrets, "n", "b"), ["s"]);
        put(&mut secrets, "n", "s", Some("s"));
        assert_eq!(of(&secrets, "n", "b"), [""; 0]);
        assert_eq!(of(&secrets, "n", "s"), ["s"]);
        put(&mut secrets, "n", "t", Some("s"));
        secrets.remove(&ObjectKey::new("n", "t"));
        assert_eq!(of(&secrets, "n", "s"), ["s"]);
        put(&mut secrets, "n", "t", Some("s"));
        secrets.begin_relist("n");
        put(&mut secrets, "n", "s", Some("s"));
        assert_eq!(secrets.end_relist("n", |_| true).len(), 1);
        assert_eq!(of(&secrets, "n", "s"), ["s"]);
        assert!(secrets.elsewhere.is_empty());
    }
}
