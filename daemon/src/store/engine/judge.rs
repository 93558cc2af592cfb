//! Which of the commits that were gathered may be made, and what they come to: a decision without I/O of its own.
//!
//! Each commit is judged against the rows as they are plus what was accepted before it in the same gathering. A refused
//! one leaves nothing behind, and the others do not notice it.

use std::collections::HashMap;

use super::error::{CommitError, StoreError};
use super::fences::FenceTable;
use super::frame::{Blob, Body, LoggedChange, LoggedCommit};
use super::index::Index;
use super::sethash::{SetHash, SetSums};
use super::types::{Change, Commit, MAX_CHANGES, MAX_COMMIT, Precondition};
use super::value::{MAX_KEY, MAX_ROW, MAX_VALUE, Row};

/// Where rows are read from.
pub(super) trait Rows {
    /// The raw row of a full key.
    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
}

impl Rows for Index {
    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(key)
    }
}

/// The commits of one frame, as far as they have been accepted.
pub(super) struct Gathering<'a, R> {
    rows: &'a R,
    fences: &'a FenceTable,
    next: u64,
    cells: HashMap<Vec<u8>, Cell>,
    commits: Vec<LoggedCommit>,
}

/// A row that was looked at.
struct Cell {
    before: Option<Vec<u8>>,
    after: Option<After>,
}

/// The row as the gathering leaves it, `None` inside for gone.
#[derive(Clone)]
struct After(Option<Vec<u8>>);

/// An accepted commit's place and totals.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) lsn: u64,
    pub(super) merged: Vec<i64>,
}

/// A gathering that is complete: what is logged, and what it does to the index.
pub(super) struct Judged {
    pub(super) body: Body,
    pub(super) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) sums: SetSums,
}

/// What a commit takes, in bytes; an error where something of it is over its bound. Needs no state, so that it is
/// asked before the commit is queued.
pub(super) fn size(commit: &Commit) -> Result<usize, CommitError> {
    let bounded = |what, size, limit| {
        if size > limit { Err(CommitError::TooLarge { what, size, limit }) } else { Ok(size) }
    };
    bounded("the number of changes", commit.changes.len(), MAX_CHANGES)?;
    let by = &commit.by;
    let mut total = by.actor.len() + by.reason.len() + by.request_id.len();
    total += commit.audit.iter().map(Vec::len).sum::<usize>();
    for (which, change) in commit.changes.iter().enumerate() {
        let (key, value) = match change {
            Change::Put { key, value, state, .. } => {
                if *state >= 32 {
                    return Err(CommitError::Unfit { which, why: "a state must be below 32" });
                }
                (key, value.len())
            }
            Change::Delete { key, .. } | Change::Merge { key, .. } | Change::Bits { key, .. } => (key, 0),
        };
        if value > MAX_VALUE {
            return Err(CommitError::TooLarge { what: "a row", size: value + (MAX_ROW - MAX_VALUE), limit: MAX_ROW });
        }
        total += bounded("a key", key.len(), MAX_KEY)? + value + 16;
    }
    bounded("the commit", total, MAX_COMMIT)
}

impl<'a, R: Rows> Gathering<'a, R> {
    /// An empty gathering whose first commit will be `next`.
    pub(super) fn new(rows: &'a R, fences: &'a FenceTable, next: u64) -> Self {
        Self { rows, fences, next, cells: HashMap::new(), commits: Vec::new() }
    }

    /// Judges one commit. The outer error is the index's and ends everything.
    pub(super) fn admit(&mut self, commit: Commit) -> Result<Result<Accepted, CommitError>, StoreError> {
        for (which, condition) in commit.expect.iter().enumerate() {
            if let Some(why) = self.broken(condition)? {
                return Ok(Err(CommitError::Conflict { which, why }));
            }
        }
        let lsn = self.next;
        let mut undo = Vec::with_capacity(commit.changes.len());
        let mut logged = Vec::with_capacity(commit.changes.len());
        let mut merged = Vec::new();
        for (which, change) in commit.changes.into_iter().enumerate() {
            let change = match change {
                Change::Put { space, key, state, value } => LoggedChange::Put { space, key, state, value },
                Change::Delete { space, key } => LoggedChange::Delete { space, key },
                Change::Merge { space, key, delta } => match self.total(&space.key(&key), delta)? {
                    Ok(total) => {
                        merged.push(total);
                        LoggedChange::Count { space, key, total }
                    }
                    Err(why) => {
                        self.take_back(undo);
                        return Ok(Err(CommitError::Unfit { which, why }));
                    }
                },
                Change::Bits { space, key, set, clear } => match self.bits(&space.key(&key))? {
                    Ok(before) => match before & !clear | set {
                        0 => LoggedChange::Delete { space, key },
                        bits => LoggedChange::Put { space, key, state: 0, value: bits.to_le_bytes().to_vec() },
                    },
                    Err(why) => {
                        self.take_back(undo);
                        return Ok(Err(CommitError::Unfit { which, why }));
                    }
                },
            };
            let (key, raw) = change.row(lsn);
            let before = self.cell(&key)?.after.replace(After(raw));
            undo.push((key, before));
            logged.push(change);
        }
        let audit = commit.audit.into_iter().map(Blob).collect();
        self.commits.push(LoggedCommit { by: commit.by, audit, changes: logged });
        self.next += 1;
        Ok(Ok(Accepted { lsn, merged }))
    }

    /// What is to be logged and applied, the set-hash having been `sums` before; none if nothing was accepted.
    pub(super) fn finish(self, mut sums: SetSums, hash: &mut SetHash) -> Option<Judged> {
        if self.commits.is_empty() {
            return None;
        }
        let mut prefixes = [false; 256];
        let mut rows = Vec::with_capacity(self.cells.len());
        for (key, cell) in self.cells {
            let Some(After(after)) = cell.after else { continue };
            prefixes[usize::from(key[0])] = true;
            if let Some(before) = &cell.before {
                sums.remove(&key, hash.element(&key, before));
            }
            if let Some(after) = &after {
                sums.add(&key, hash.element(&key, after));
            }
            rows.push((key, after));
        }
        let changed = (0..=u8::MAX).filter(|prefix| prefixes[usize::from(*prefix)]);
        let body = Body { commits: self.commits, sums: changed.map(|prefix| (prefix, sums.of(prefix))).collect() };
        Some(Judged { body, rows, sums })
    }

    fn cell(&mut self, key: &[u8]) -> Result<&mut Cell, StoreError> {
        if !self.cells.contains_key(key) {
            let before = self.rows.raw(key)?;
            self.cells.insert(key.to_owned(), Cell { before, after: None });
        }
        Ok(self.cells.get_mut(key).expect("it was put there just now"))
    }

    fn row(&mut self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let cell = self.cell(key)?;
        let raw = cell.after.as_ref().map_or(&cell.before, |After(raw)| raw);
        raw.as_deref().map(Row::decode).transpose().map_err(|error| StoreError::row(key, error))
    }

    fn total(&mut self, key: &[u8], delta: i64) -> Result<Result<i64, &'static str>, StoreError> {
        let before = match self.row(key)? {
            None => 0,
            Some(row) => match row.total() {
                Some(total) => total,
                None => return Ok(Err("the row is no counter")),
            },
        };
        Ok(before.checked_add(delta).ok_or("the total would overflow"))
    }

    fn bits(&mut self, key: &[u8]) -> Result<Result<u64, &'static str>, StoreError> {
        Ok(self.row(key)?.map_or(Ok(0), |row| row.bits().ok_or("the row is no row of bits")))
    }

    /// What is wrong with a precondition; none where it holds.
    fn broken(&mut self, condition: &Precondition) -> Result<Option<String>, StoreError> {
        Ok(match condition {
            Precondition::Absent { space, key } => {
                self.row(&space.key(key))?.map(|row| format!("the row is there, version {}", row.version))
            }
            Precondition::Version { space, key, version } => match self.row(&space.key(key))? {
                None => Some(format!("the row is gone, version {version} was wanted")),
                Some(row) if row.version != *version => {
                    Some(format!("the row has version {}, {version} was wanted", row.version))
                }
                Some(_) => None,
            },
            Precondition::StateIn { space, key, states } => match self.row(&space.key(key))? {
                None => Some("the row is gone".into()),
                Some(row) if row.state >= 32 || states & (1 << row.state) == 0 => {
                    Some(format!("the row is in state {}", row.state))
                }
                Some(_) => None,
            },
            Precondition::Bits { space, key, all } => match self.bits(&space.key(key))? {
                Ok(bits) if bits & all == *all => None,
                Ok(bits) => Some(format!("bits {:#x} of the row are not set", all & !bits)),
                Err(why) => Some(why.to_owned()),
            },
            Precondition::Fence { resource, token } => match self.fences.current(*resource) {
                Some(current) if current == *token => None,
                Some(current) => Some(format!("fence {resource} is at {current}, {token} is over")),
                None => Some(format!("fence {resource} was given back")),
            },
        })
    }

    fn take_back(&mut self, undo: Vec<(Vec<u8>, Option<After>)>) {
        for (key, before) in undo.into_iter().rev() {
            if let Some(cell) = self.cells.get_mut(&key) {
                cell.after = before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::value::{self, Space};
    use super::*;

    const GUESTS: Space = Space::new(1);
    const COUNTS: Space = Space::new(2);

    struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Rows for Map {
        fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(key).cloned())
        }
    }

    fn map() -> Map {
        let rows =
            [(GUESTS.key(b"ana"), value::encode_row(5, 2, b"A")), (COUNTS.key(b"n"), value::encode_counter(6, 10))];
        Map(rows.into_iter().collect())
    }

    fn put(key: &[u8], state: u8) -> Change {
        Change::Put { space: GUESTS, key: key.to_vec(), state, value: b"x".to_vec() }
    }

    fn merge(key: &[u8], delta: i64) -> Change {
        Change::Merge { space: COUNTS, key: key.to_vec(), delta }
    }

    fn commit(expect: Vec<Precondition>, changes: Vec<Change>) -> Commit {
        Commit { expect, changes, ..Commit::default() }
    }

    fn key(of: &[u8]) -> Vec<u8> {
        of.to_vec()
    }

    #[test]
    fn each_kind_of_precondition_holds_and_breaks() {
        let fences = FenceTable::default();
        let (old, new) = (fences.raise(1), fences.raise(1));
        let ana = || (GUESTS, key(b"ana"));
        let absent = |k: &[u8]| Precondition::Absent { space: GUESTS, key: key(k) };
        let version = |version| Precondition::Version { space: ana().0, key: ana().1, version };
        let state = |states| Precondition::StateIn { space: ana().0, key: ana().1, states };
        let fence = |resource, token| Precondition::Fence { resource, token };
        let gone = Precondition::Version { space: GUESTS, key: key(b"bob"), version: 1 };
        let cases = [
            (absent(b"bob"), true),
            (absent(b"ana"), false),
            (version(5), true),
            (version(4), false),
            (gone, false),
            (state(0b100), true),
            (state(0b011), false),
            (Precondition::StateIn { space: GUESTS, key: key(b"bob"), states: u32::MAX }, false),
            (fence(1, new), true),
            (fence(1, old), false),
            (fence(2, new), false),
        ];
        for (condition, holds) in cases {
            let map = map();
            let mut gathering = Gathering::new(&map, &fences, 7);
            let judged = gathering.admit(commit(vec![condition.clone()], vec![put(b"z", 0)])).unwrap();
            assert_eq!(judged.is_ok(), holds, "{condition:?}");
        }
    }

    #[test]
    fn a_commit_sees_those_before_it_in_the_gathering_and_not_those_refused() {
        let (map, fences) = (map(), FenceTable::default());
        let mut gathering = Gathering::new(&map, &fences, 7);
        let first = Precondition::Absent { space: GUESTS, key: key(b"bob") };
        assert_eq!(
            gathering.admit(commit(vec![first.clone()], vec![put(b"bob", 1)])).unwrap().unwrap(),
            Accepted { lsn: 7, merged: vec![] }
        );
        let refused = gathering.admit(commit(vec![first], vec![put(b"bob", 2), put(b"cara", 1)])).unwrap();
        assert!(matches!(refused, Err(CommitError::Conflict { which: 0, .. })));
        let seen = Precondition::Version { space: GUESTS, key: key(b"bob"), version: 7 };
        let no_cara = Precondition::Absent { space: GUESTS, key: key(b"cara") };
        let third = gathering.admit(commit(vec![seen, no_cara], vec![merge(b"n", 5), merge(b"n", -1)])).unwrap();
        assert_eq!(third.unwrap(), Accepted { lsn: 8, merged: vec![15, 14] });
        let judged = gathering.finish(SetSums::default(), &mut SetHash::new([0; 32])).unwrap();
        assert_eq!(judged.body.commits.len(), 2);
        assert_eq!(judged.rows.len(), 2, "bob and the counter, the latter once");
    }

    #[test]
    fn bits_are_set_and_cleared_and_a_row_without_any_is_gone() {
        let (map, fences) = (map(), FenceTable::default());
        let mut gathering = Gathering::new(&map, &fences, 7);
        let bits = |set, clear| Change::Bits { space: GUESTS, key: key(b"bits"), set, clear };
        let all = |all| Precondition::Bits { space: GUESTS, key: key(b"bits"), all };
        let mut try_it = |expect, change| gathering.admit(commit(expect, vec![change])).unwrap().map(|a| a.lsn);
        assert_eq!(try_it(vec![], bits(0b1011, 0)), Ok(7));
        assert!(matches!(try_it(vec![all(0b0110)], bits(0, 0b0110)), Err(CommitError::Conflict { which: 0, .. })));
        assert_eq!(try_it(vec![all(0b0011)], bits(0b0001, 0b0011)), Ok(8), "what goes and comes stays");
        assert_eq!(try_it(vec![all(0b1001)], bits(0, 0b1001)), Ok(9));
        let ana = Change::Bits { space: GUESTS, key: key(b"ana"), set: 1, clear: 0 };
        assert_eq!(try_it(vec![], ana), Err(CommitError::Unfit { which: 0, why: "the row is no row of bits" }));
        let judged = gathering.finish(SetSums::default(), &mut SetHash::new([0; 32])).unwrap();
        assert_eq!(judged.rows, [(GUESTS.key(b"bits"), None)]);
    }

    #[test]
    fn a_change_that_does_not_fit_takes_the_whole_commit_back() {
        let (map, fences) = (map(), FenceTable::default());
        let mut gathering = Gathering::new(&map, &fences, 7);
        let merge_into_row = Change::Merge { space: GUESTS, key: key(b"ana"), delta: 1 };
        let refused = gathering.admit(commit(vec![], vec![put(b"bob", 1), merge(b"n", 1), merge_into_row])).unwrap();
        assert_eq!(refused, Err(CommitError::Unfit { which: 2, why: "the row is no counter" }));
        let overflow = gathering.admit(commit(vec![], vec![merge(b"n", i64::MAX)])).unwrap();
        assert!(matches!(overflow, Err(CommitError::Unfit { which: 0, .. })));
        let no_bob = Precondition::Absent { space: GUESTS, key: key(b"bob") };
        let next = gathering.admit(commit(vec![no_bob], vec![merge(b"n", 1)])).unwrap();
        assert_eq!(next, Ok(Accepted { lsn: 7, merged: vec![11] }), "as if the refused ones had never been there");
        let mut gathering = Gathering::new(&map, &fences, 7);
        gathering.admit(commit(vec![], vec![merge(b"n", i64::MAX)])).unwrap().unwrap_err();
        assert!(gathering.finish(SetSums::default(), &mut SetHash::new([0; 32])).is_none());
    }

    #[test]
    fn the_sums_follow_the_rows() {
        let (map, fences, mut hash) = (map(), FenceTable::default(), SetHash::new([3; 32]));
        let mut before = SetSums::default();
        for (key, raw) in &map.0 {
            before.add(key, hash.element(key, raw));
        }
        let mut gathering = Gathering::new(&map, &fences, 7);
        let gone = Change::Delete { space: GUESTS, key: key(b"ana") };
        gathering.admit(commit(vec![], vec![put(b"bob", 1), gone, merge(b"n", 1)])).unwrap().unwrap();
        let judged = gathering.finish(before, &mut hash).unwrap();
        let mut after = map.0;
        for (key, raw) in judged.rows {
            match raw {
                Some(raw) => after.insert(key, raw),
                None => after.remove(&key),
            };
        }
        let mut walked = SetSums::default();
        for (key, raw) in &after {
            walked.add(key, hash.element(key, raw));
        }
        assert!(judged.sums.differing(&walked).is_empty());
        assert_eq!(judged.body.sums.iter().map(|(prefix, _)| *prefix).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn bounds_are_judged_before_queueing() {
        let row = |value| Change::Put { space: GUESTS, key: key(b"k"), state: 0, value };
        assert!(size(&commit(vec![], vec![row(vec![0; MAX_VALUE])])).is_ok());
        let large = size(&commit(vec![], vec![row(vec![0; MAX_VALUE + 1])]));
        assert_eq!(large, Err(CommitError::TooLarge { what: "a row", size: MAX_ROW + 1, limit: MAX_ROW }));
        assert!(size(&commit(vec![], vec![merge(&[0; MAX_KEY + 1], 1)])).is_err());
        assert!(size(&commit(vec![], vec![merge(b"n", 1); MAX_CHANGES + 1])).is_err());
        assert!(size(&commit(vec![], vec![row(vec![0; MAX_VALUE]); 600])).is_err());
        assert!(matches!(size(&commit(vec![], vec![put(b"k", 32)])), Err(CommitError::Unfit { which: 0, .. })));
    }
}
