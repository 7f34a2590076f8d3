//! An in-memory copy of a watched collection: one map that relists refresh in place.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

/// Rows by key. A relist stamps the rows it meets; those it does not meet go at its end.
///
/// Several watches may fill one table, each its own scope (a namespace, or everything), and relist
/// at the same time: stamps only grow, so a row was met if its stamp is not older than the relist.
#[derive(Debug)]
pub struct Table<K, V> {
    rows: HashMap<K, Stamped<V>>,
    stamp: u64,
    relists: HashMap<String, u64>,
    listed: BTreeSet<String>,
}

#[derive(Debug)]
struct Stamped<V> {
    row: Arc<V>,
    stamp: u64,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            stamp: 0,
            relists: HashMap::new(),
            listed: BTreeSet::new(),
        }
    }
}

impl<K: Eq + Hash + Clone, V> Table<K, V> {
    /// A relist of `scope` begins.
    pub fn begin_relist(&mut self, scope: &str) {
        self.stamp += 1;
        self.relists.insert(scope.to_owned(), self.stamp);
    }

    /// The relist of `scope` has ended: rows of it that were not met are taken out and returned.
    pub fn end_relist(&mut self, scope: &str, in_scope: impl Fn(&K) -> bool) -> Vec<(K, Arc<V>)> {
        self.listed.insert(scope.to_owned());
        let began = self.relists.remove(scope).unwrap_or_default();
        let gone: Vec<_> = self
            .rows
            .iter()
            .filter(|(key, row)| row.stamp < began && in_scope(key))
            .map(|(k, s)| (k.clone(), Arc::clone(&s.row)))
            .collect();
        for (key, _) in &gone {
            self.rows.remove(key);
        }
        gone
    }

    /// Puts a row in; returns the one it replaces.
    pub fn put(&mut self, key: K, row: V) -> Option<Arc<V>> {
        let stamped = Stamped {
            row: Arc::new(row),
            stamp: self.stamp,
        };
        self.rows.insert(key, stamped).map(|old| old.row)
    }

    /// Replaces the row of a key that has one. A relist under way has not met the key by that.
    pub fn replace(&mut self, key: &K, row: V) {
        if let Some(stamped) = self.rows.get_mut(key) {
            stamped.row = Arc::new(row);
        }
    }

    /// Tells a relist under way that the key was met, without changing its row.
    pub fn stamp(&mut self, key: &K) {
        if let Some(stamped) = self.rows.get_mut(key) {
            stamped.stamp = self.stamp;
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<Arc<V>> {
        self.rows.remove(key).map(|old| old.row)
    }

    /// The row of a key.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.rows.get(key).map(|s| Arc::clone(&s.row))
    }

    /// All rows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.rows.iter().map(|(k, s)| (k, &s.row))
    }

    /// How many scopes have been listed completely at least once.
    pub fn listed(&self) -> usize {
        self.listed.len()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn(&&str) -> bool = |_| true;

    #[test]
    fn a_relist_takes_out_what_it_did_not_meet_and_nothing_before_its_end() {
        let mut table = Table::default();
        table.begin_relist("");
        table.put("a", 1);
        table.put("b", 1);
        assert_eq!(table.listed(), 0);
        assert!(table.end_relist("", ALL).is_empty());
        assert_eq!(table.listed(), 1);
        table.begin_relist("");
        table.put("b", 2);
        assert_eq!(table.len(), 2);
        let gone: Vec<_> = table
            .end_relist("", ALL)
            .into_iter()
            .map(|(k, _)| k)
            .collect();
        assert_eq!(gone, ["a"]);
        assert_eq!(table.get(&"b").as_deref(), Some(&2));
    }

    #[test]
    fn a_row_put_between_relists_survives_the_next_one_only_if_it_is_met() {
        let mut table = Table::default();
        table.begin_relist("");
        table.end_relist("", ALL);
        table.put("late", 1);
        table.begin_relist("");
        table.stamp(&"late");
        assert!(table.end_relist("", ALL).is_empty());
        table.begin_relist("");
        assert_eq!(table.end_relist("", ALL).len(), 1);
        assert!(table.is_empty());
    }

    #[test]
    fn scopes_that_relist_at_once_do_not_lose_each_others_rows() {
        let mut table = Table::default();
        let of = |scope: &'static str| move |key: &&str| key.starts_with(scope);
        table.begin_relist("a");
        table.put("a1", 1);
        table.begin_relist("b");
        table.put("a2", 1);
        table.put("b1", 1);
        assert!(table.end_relist("a", of("a")).is_empty());
        assert!(table.end_relist("b", of("b")).is_empty());
        assert_eq!((table.len(), table.listed()), (3, 2));
        table.begin_relist("a");
        table.put("a2", 2);
        assert_eq!(table.end_relist("a", of("a")).len(), 1);
        assert_eq!(table.len(), 2);
    }
}
