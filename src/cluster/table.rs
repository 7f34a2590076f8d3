//! An in-memory copy of a watched collection: one map that relists refresh in place.

use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Rows by key. A relist stamps the rows it meets; those it does not meet go at its end.
#[derive(Debug)]
pub struct Table<K, V> {
    rows: HashMap<K, Stamped<V>>,
    epoch: u64,
    synced: bool,
}

#[derive(Debug)]
struct Stamped<V> {
    row: Arc<V>,
    epoch: u64,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            epoch: 0,
            synced: false,
        }
    }
}

impl<K: Eq + Hash + Clone, V> Table<K, V> {
    /// A relist begins.
    pub fn begin_relist(&mut self) {
        self.epoch += 1;
    }

    /// A relist has ended: rows it did not meet are taken out and returned.
    pub fn end_relist(&mut self) -> Vec<(K, Arc<V>)> {
        self.synced = true;
        let epoch = self.epoch;
        let gone: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, s)| s.epoch != epoch)
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
            epoch: self.epoch,
        };
        self.rows.insert(key, stamped).map(|old| old.row)
    }

    /// Tells a relist under way that the key was met, without changing its row.
    pub fn stamp(&mut self, key: &K) {
        if let Some(stamped) = self.rows.get_mut(key) {
            stamped.epoch = self.epoch;
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

    /// True once a first list was complete.
    pub fn is_synced(&self) -> bool {
        self.synced
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

    #[test]
    fn a_relist_takes_out_what_it_did_not_meet_and_nothing_before_its_end() {
        let mut table = Table::default();
        table.begin_relist();
        table.put("a", 1);
        table.put("b", 1);
        assert!(!table.is_synced());
        assert!(table.end_relist().is_empty());
        assert!(table.is_synced());
        table.begin_relist();
        table.put("b", 2);
        assert_eq!(table.len(), 2);
        let gone: Vec<_> = table.end_relist().into_iter().map(|(k, _)| k).collect();
        assert_eq!(gone, ["a"]);
        assert_eq!(table.get(&"b").as_deref(), Some(&2));
    }

    #[test]
    fn a_row_put_between_relists_survives_the_next_one_only_if_it_is_met() {
        let mut table = Table::default();
        table.begin_relist();
        table.end_relist();
        table.put("late", 1);
        table.begin_relist();
        table.put("late", 1);
        assert!(table.end_relist().is_empty());
        table.begin_relist();
        assert_eq!(table.end_relist().len(), 1);
        assert!(table.is_empty());
    }
}
