//! Fairness, as those who wait see it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn lane(organisation: u64, campaign: u64) -> LaneId {
    LaneId { organisation, campaign: CampaignId(campaign) }
}

/// Sends from `lanes` (each with its number of messages) until `watched` is done; how many messages went before that.
fn sent_until_done(quantum: u32, lanes: &[(LaneId, u32)], watched: LaneId) -> u32 {
    let mut fair = Fair::new(quantum);
    let mut left: HashMap<_, _> = lanes.iter().copied().collect();
    for (lane, _) in lanes {
        fair.join(*lane);
    }
    let mut sent = 0;
    while let Some((lane, grant)) = fair.next(|_| true) {
        let rest = left.get_mut(&lane).unwrap();
        let taken = grant.min(*rest);
        *rest -= taken;
        sent += taken;
        fair.charge(lane, taken);
        if *rest == 0 {
            fair.leave(lane);
            if lane == watched {
                return sent;
            }
        }
    }
    panic!("the watched lane never ended");
}

#[test]
fn twenty_do_not_wait_for_a_hundred_thousand() {
    let lanes = [(lane(1, 1), 100_000), (lane(1, 2), 20)];
    assert!(sent_until_done(50, &lanes, lane(1, 2)) <= 70);
}

#[test]
fn an_organisation_with_many_campaigns_has_no_more_than_its_share() {
    let mut lanes: Vec<_> = (0..99).map(|campaign| (lane(1, campaign), 1_000)).collect();
    lanes.push((lane(2, 500), 1_000));
    let sent = sent_until_done(10, &lanes, lane(2, 500));
    assert!((1_990..=2_010).contains(&sent), "half of what went: {sent}");
}

#[test]
fn who_took_too_much_waits_it_out() {
    let mut fair = Fair::new(10);
    fair.join(lane(1, 1));
    fair.join(lane(2, 2));
    let (first, _) = fair.next(|_| true).unwrap();
    fair.charge(first, 50);
    let mut others = 0;
    while let Some((next, grant)) = fair.next(|_| true) {
        if next == first {
            break;
        }
        others += grant;
        fair.charge(next, grant);
    }
    assert_eq!(others, 50);
}

#[test]
fn lanes_come_and_go_and_nobody_is_asked_for_nothing() {
    let mut fair = Fair::new(5);
    assert_eq!(fair.next(|_| true), None);
    fair.join(lane(1, 1));
    fair.join(lane(1, 1));
    assert_eq!(fair.len(), 1);
    assert_eq!(fair.next(|_| false), None);
    assert_eq!(fair.next(|_| true), Some((lane(1, 1), 5)));
    fair.leave(lane(1, 1));
    fair.leave(lane(9, 9));
    assert!(fair.is_empty() && fair.next(|_| true).is_none());
}

proptest! {
    #[test]
    fn everybody_is_done_within_their_share(
        quantum in 1..60_u32,
        sizes in prop::collection::vec((0..4_u64, 1..400_u32), 1..12),
    ) {
        let lanes: Vec<_> =
            sizes.iter().enumerate().map(|(n, &(organisation, size))| (lane(organisation, n as u64), size)).collect();
        let organisations = sizes.iter().map(|(organisation, _)| organisation).collect::<std::collections::HashSet<_>>().len();
        for &(watched, size) in &lanes {
            let siblings = lanes.iter().filter(|(other, _)| other.organisation == watched.organisation).count();
            let turns = size.div_ceil(quantum) + 1;
            let bound = turns * quantum * siblings as u32 * organisations as u32;
            prop_assert!(sent_until_done(quantum, &lanes, watched) <= bound);
        }
    }

    #[test]
    fn no_lane_that_can_send_starves(
        quantum in 1..50_u32,
        rounds in prop::collection::vec((0..64_u8, 0..200_u32), 300),
    ) {
        // Six lanes in three organisations; lane 0 can always send, the others come and go and take what they like.
        let lanes: Vec<_> = (0..6).map(|n| lane(n % 3, n)).collect();
        let mut fair = Fair::new(quantum);
        for &lane in &lanes {
            fair.join(lane);
        }
        let (mut waited, mut owed) = (0, 0_u32);
        for (able, takes) in rounds {
            let (turn, _) = fair.next(|lane| lane.campaign.0 == 0 || able & (1 << lane.campaign.0) != 0).unwrap();
            if turn == lanes[0] {
                (waited, owed) = (0, 0);
                fair.charge(turn, quantum);
            } else {
                fair.charge(turn, takes);
                // What its own organisation took too much is waited out by the whole organisation.
                owed += if turn.organisation == 0 { takes.div_ceil(quantum) } else { 0 };
                waited += 1;
                prop_assert!(waited <= 6 + 6 * owed, "waited {waited} turns");
            }
        }
    }
}
