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
    /// The same of bindings that merge keys into a Secret.
    merged: BTreeSet<(String, String, String)>,
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
        same_name
            .map(|_| binding.clone())
            .into_iter()
            .chain(listed(&self.elsewhere, binding))
            .collect()
    }

    /// The Secrets that this binding merges keys into, by their own word.
    pub(super) fn merged_by(&self, binding: &ObjectKey) -> Vec<ObjectKey> {
        listed(&self.merged, binding).collect()
    }

    pub(super) fn put(&mut self, key: ObjectKey, row: SecretRow) {
        let (entry, merged) = (entry(&key, &row), merged(&key, &row).collect::<Vec<_>>());
        let before = self.rows.put(key.clone(), row);
        self.unlist(&key, before.as_deref());
        self.elsewhere.extend(entry);
        self.merged.extend(merged);
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
        let Some(row) = row else { return };
        if let Some(entry) = entry(key, row) {
            self.elsewhere.remove(&entry);
        }
        for entry in merged(key, row) {
            self.merged.remove(&entry);
        }
    }
}

/// The Secrets of a binding in a listing.
fn listed<'a>(
    listing: &'a BTreeSet<(String, String, String)>,
    binding: &'a ObjectKey,
) -> impl Iterator<Item = ObjectKey> + 'a {
    let first = (
        binding.namespace.clone(),
        binding.name.clone(),
        String::new(),
    );
    listing
        .range(first..)
        .take_while(|(namespace, owner, _)| {
            (namespace, owner) == (&binding.namespace, &binding.name)
        })
        .map(|(namespace, _, name)| ObjectKey::new(namespace, name))
}

/// The listings of a Secret for those who merge into it.
fn merged<'a>(
    key: &'a ObjectKey,
    row: &'a SecretRow,
) -> impl Iterator<Item = (String, String, String)> + 'a {
    let listing = |binding: &String| (key.namespace.clone(), binding.clone(), key.name.clone());
    row.merged.iter().map(listing)
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
    fn a_binding_finds_what_it_merges_into_until_its_record_goes() {
        let mut secrets = Secrets::default();
        let mut put = |name: &str, bindings: &[&str]| {
            let record = |b: &&str| (format!("revision.{}/{b}", names::GROUP), String::new());
            let meta = ObjectMeta {
                annotations: Some(bindings.iter().map(record).collect()),
                ..ObjectMeta::default()
            };
            secrets.put(ObjectKey::new("n", name), SecretRow::new(meta));
            ["a", "aa", "b"].map(|binding| {
                let found = secrets.merged_by(&ObjectKey::new("n", binding)).into_iter();
                found.map(|key| key.name).collect::<Vec<_>>().join(",")
            })
        };
        assert_eq!(put("x", &["a", "b"]), ["x", "", "x"]);
        assert_eq!(put("y", &["a", "aa"]), ["x,y", "y", "x"]);
        assert_eq!(put("x", &["b"]), ["y", "y", "x"]);
        assert_eq!(put("y", &[]), ["", "", "x"]);
        secrets.remove(&ObjectKey::new("n", "x"));
        assert!(secrets.merged.is_empty() && secrets.elsewhere.is_empty());
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
