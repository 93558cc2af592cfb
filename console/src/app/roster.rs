//! A list on screen: an order, a selection by id, a sort, a filter.
//!
//! The selection is an id, never a place: a row that moves takes the selection along, and a row that goes hands it to
//! the one that takes its place.

use std::collections::HashSet;
use std::hash::Hash;

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster<K> {
    order: Vec<K>,
    selected: Option<K>,
    /// Index of the column to sort by.
    pub sort: usize,
    /// Whether the order is turned round.
    pub reverse: bool,
    /// Text that rows must contain, or with a leading `!` must not; empty for all.
    pub filter: String,
}

impl<K> Default for Roster<K> {
    fn default() -> Self {
        Self { order: Vec::new(), selected: None, sort: 0, reverse: false, filter: String::new() }
    }
}

impl<K: Clone + Eq + Hash> Roster<K> {
    /// Keys in the order in which they are shown.
    pub fn order(&self) -> &[K] {
        &self.order
    }

    /// The selected key, if there are rows.
    pub fn selected(&self) -> Option<&K> {
        self.selected.as_ref()
    }

    /// The place of the selection, from 0; 0 without rows.
    pub fn index(&self) -> usize {
        self.selected.as_ref().and_then(|key| self.order.iter().position(|k| k == key)).unwrap_or(0)
    }

    /// Takes a new order.
    pub fn arrange(&mut self, order: Vec<K>) {
        let before = self.index();
        self.order = order;
        self.settle(before);
    }

    /// Takes what is new and drops what went, but leaves every row where it is: for while somebody is reading.
    pub fn keep(&mut self, order: Vec<K>) {
        let before = self.index();
        let now: HashSet<&K> = order.iter().collect();
        let mut kept: Vec<K> = self.order.iter().filter(|key| now.contains(key)).cloned().collect();
        let there: HashSet<K> = kept.iter().cloned().collect();
        kept.extend(order.into_iter().filter(|key| !there.contains(key)));
        self.order = kept;
        self.settle(before);
    }

    fn settle(&mut self, before: usize) {
        let still = self.selected.as_ref().is_some_and(|key| self.order.contains(key));
        if !still {
            self.selected = self.order.get(before.min(self.order.len().saturating_sub(1))).cloned();
        }
    }

    /// Selects a key, if it is there.
    pub fn select(&mut self, key: &K) -> bool {
        let there = self.order.contains(key);
        if there {
            self.selected = Some(key.clone());
        }
        there
    }

    /// Moves the selection, held at the ends.
    pub fn step(&mut self, by: isize) {
        let last = self.order.len().saturating_sub(1);
        let to = self.index().saturating_add_signed(by).min(last);
        self.selected = self.order.get(to).cloned();
    }

    /// To the first row.
    pub fn first(&mut self) {
        self.selected = self.order.first().cloned();
    }

    /// To the last row.
    pub fn last(&mut self) {
        self.selected = self.order.last().cloned();
    }

    /// Whether a row with this text passes the filter.
    pub fn passes(&self, text: &str) -> bool {
        passes(&self.filter, text)
    }
}

/// Whether a text passes a filter: it contains it, whatever the case; with a leading `!`, it does not.
pub(super) fn passes(filter: &str, text: &str) -> bool {
    let (wanted, inverse) = filter.strip_prefix('!').map_or((filter, false), |rest| (rest, true));
    if wanted.is_empty() {
        return true;
    }
    text.to_lowercase().contains(&wanted.to_lowercase()) != inverse
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_that_goes_hands_the_selection_to_the_one_in_its_place() {
        let mut list = Roster::default();
        list.arrange(vec![1, 2, 3]);
        list.step(1);
        list.arrange(vec![1, 3]);
        assert_eq!(list.selected(), Some(&3));
        list.arrange(vec![1]);
        assert_eq!(list.selected(), Some(&1));
        list.arrange(vec![]);
        assert_eq!(list.selected(), None);
    }

    #[test]
    fn while_somebody_reads_rows_stay_where_they_are() {
        let mut list = Roster::default();
        list.arrange(vec![1, 2, 3]);
        list.keep(vec![4, 3, 1]);
        assert_eq!(list.order(), [1, 3, 4]);
    }

    #[test]
    fn a_filter_can_be_turned_round() {
        assert!(passes("Run", "c1 running") && !passes("!run", "c1 running") && passes("!", "anything"));
    }

    proptest! {
        #[test]
        fn the_selection_stays_on_its_row_wherever_that_goes(
            mut keys in proptest::collection::hash_set(0u32..500, 1..40).prop_map(|s| s.into_iter().collect::<Vec<_>>()),
            at in 0usize..40, seed in any::<u64>(), keep in any::<bool>(),
        ) {
            let mut list = Roster::default();
            list.arrange(keys.clone());
            list.step(isize::try_from(at).expect("small"));
            let chosen = list.selected().copied();
            keys.sort_by_key(|k| u64::from(*k).wrapping_mul(seed | 1).rotate_left(17));
            if keep { list.keep(keys) } else { list.arrange(keys) }
            prop_assert_eq!(list.selected().copied(), chosen);
        }
    }
}
