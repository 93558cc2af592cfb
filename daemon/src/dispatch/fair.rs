//! Fairness: whose turn it is.
//!
//! Deficit round-robin on two levels: organisations take turns, and within each its campaigns. A turn is worth a
//! quantum of messages; who took more waits it out. So what a lane of twenty messages waits for is the number of lanes,
//! never their length. A turn that could not be used is not saved up: having been blocked is no claim to a flood.

use std::collections::VecDeque;

use usher_common::model::CampaignId;

/// One queue of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The organisation, which shares with other organisations.
    pub organisation: u64,
    /// The campaign, which shares with the organisation's other campaigns.
    pub campaign: CampaignId,
}

/// The ring of lanes that have something to send.
#[derive(Debug, Clone)]
pub struct Fair {
    quantum: i64,
    ring: VecDeque<Organisation>,
}

#[derive(Debug, Clone)]
struct Organisation {
    id: u64,
    /// What it may take this turn; below zero, what it took too much.
    credit: i64,
    lanes: VecDeque<Lane>,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    campaign: CampaignId,
    credit: i64,
}

impl Fair {
    /// Turns of `quantum` messages, at least one.
    pub fn new(quantum: u32) -> Self {
        Self { quantum: i64::from(quantum.max(1)), ring: VecDeque::new() }
    }

    /// A lane has something to send. It comes after those that wait already; one that is there keeps its place.
    pub fn join(&mut self, lane: LaneId) {
        let new = Lane { campaign: lane.campaign, credit: 0 };
        match self.ring.iter_mut().find(|organisation| organisation.id == lane.organisation) {
            Some(organisation) if organisation.lanes.iter().any(|known| known.campaign == lane.campaign) => {}
            Some(organisation) => organisation.lanes.push_back(new),
            None => self.ring.push_back(Organisation { id: lane.organisation, credit: 0, lanes: [new].into() }),
        }
    }

    /// A lane has nothing more to send.
    pub fn leave(&mut self, lane: LaneId) {
        if let Some(at) = self.ring.iter().position(|organisation| organisation.id == lane.organisation) {
            self.ring[at].lanes.retain(|known| known.campaign != lane.campaign);
            if self.ring[at].lanes.is_empty() {
                self.ring.remove(at);
            }
        }
    }

    /// Whose turn it is among the lanes that `can` send now, and how many messages it may take: at least one. Its next
    /// turn comes after everybody else's. What it takes is told by [`Self::charge`].
    pub fn next(&mut self, can: impl Fn(LaneId) -> bool) -> Option<(LaneId, u32)> {
        // Debts shrink by a quantum each round, and a round without anybody who can send ends the search.
        loop {
            let mut anybody = false;
            for _ in 0..self.ring.len() {
                let mut organisation = self.ring.pop_front()?;
                let able = |lane: &Lane| can(LaneId { organisation: organisation.id, campaign: lane.campaign });
                if !organisation.lanes.iter().any(able) {
                    // An idle organisation pays its debts like any other.
                    organisation.credit = renewed(organisation.credit, self.quantum);
                    self.ring.push_back(organisation);
                    continue;
                }
                anybody = true;
                organisation.credit = renewed(organisation.credit, self.quantum);
                let turn = if organisation.credit > 0 { organisation.next(self.quantum, &can) } else { None };
                let granted = turn.map(|(campaign, grant)| {
                    let lane = LaneId { organisation: organisation.id, campaign };
                    (lane, u32::try_from(grant.min(organisation.credit)).unwrap_or(1))
                });
                self.ring.push_back(organisation);
                if granted.is_some() {
                    return granted;
                }
            }
            if !anybody {
                return None;
            }
        }
    }

    /// A lane took `taken` messages, be it more than it was granted.
    pub fn charge(&mut self, lane: LaneId, taken: u32) {
        let Some(organisation) = self.ring.iter_mut().find(|organisation| organisation.id == lane.organisation) else {
            return;
        };
        organisation.credit -= i64::from(taken);
        if let Some(known) = organisation.lanes.iter_mut().find(|known| known.campaign == lane.campaign) {
            known.credit -= i64::from(taken);
        }
    }

    /// How many lanes there are.
    pub fn len(&self) -> usize {
        self.ring.iter().map(|organisation| organisation.lanes.len()).sum()
    }

    /// Whether there is no lane.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

impl Organisation {
    /// The campaign whose turn it is, among those that can send; the caller has made sure that there is one.
    fn next(&mut self, quantum: i64, can: &impl Fn(LaneId) -> bool) -> Option<(CampaignId, i64)> {
        loop {
            let mut anybody = false;
            for _ in 0..self.lanes.len() {
                let mut lane = self.lanes.pop_front()?;
                lane.credit = renewed(lane.credit, quantum);
                let able = can(LaneId { organisation: self.id, campaign: lane.campaign });
                self.lanes.push_back(lane);
                anybody |= able;
                if able && lane.credit > 0 {
                    return Some((lane.campaign, lane.credit));
                }
            }
            if !anybody {
                return None;
            }
        }
    }
}

/// A turn's worth more; never more than one turn's worth.
fn renewed(credit: i64, quantum: i64) -> i64 {
    (credit + quantum).min(quantum)
}

#[cfg(test)]
#[path = "fair_tests.rs"]
mod tests;
