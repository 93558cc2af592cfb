//! What operators keep in force, and what follows from it for a lane and for a provider. Pure: the time is handed in.
//!
//! A hold stops what it is over; nothing of it moves elsewhere. A drained provider takes nothing new, a preferred one comes
//! first, a weighed one has that weight in its set. What is let go does not all begin in one moment: each lane waits a
//! little longer, by chance, within five seconds. A control whose time is over is in force until somebody has recorded that
//! it is not, so that nothing is let go that a restart would hold again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use usher_common::model::{CampaignId, Control, ControlKind, Target, Timestamp};

use crate::store::Lane;

/// Lanes that are let go begin again within this.
const SPREAD: Duration = Duration::from_secs(5);

/// How an organisation is told apart from others.
pub(super) fn organisation(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What is in force over one provider.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Steering {
    /// It sends nothing, and what it would carry waits.
    pub held: bool,
    /// It takes nothing new.
    pub drained: bool,
    /// It comes first.
    pub preferred: bool,
    /// Its weight, in place of the configured one.
    pub weight: Option<f64>,
}

impl Steering {
    /// Whether it may be sent to.
    pub fn is_free(self) -> bool {
        !self.held && !self.drained
    }
}

/// Something that was held and is not any more.
#[derive(Debug, Clone)]
struct LetGo {
    target: Target,
    at: Timestamp,
}

/// Everything that is in force.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    rows: Vec<Control>,
    let_go: Vec<LetGo>,
}

impl Controls {
    /// What the last run left in force.
    pub fn resume(mut rows: Vec<Control>) -> Self {
        rows.sort_by_key(|control| control.since);
        Self { rows, let_go: Vec::new() }
    }

    /// All of it, oldest first.
    pub fn rows(&self) -> &[Control] {
        &self.rows
    }

    /// What is in force over this.
    pub fn over<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = &'a Control> {
        self.rows.iter().filter(move |control| control.target == *target)
    }

    /// Puts one in force, in place of one of its kind over the same.
    pub fn begin(&mut self, control: Control) {
        self.rows.retain(|known| !same(known, &control));
        self.rows.push(control);
    }

    /// Ends one; what it held is let go.
    pub fn end(&mut self, control: &Control, now: Timestamp) {
        self.rows.retain(|known| !same(known, control));
        self.let_go.retain(|gone| now.millis_since(gone.at) < SPREAD.as_millis() as i64);
        if control.kind == ControlKind::Held {
            self.let_go.push(LetGo { target: control.target.clone(), at: now });
        }
    }

    /// Those whose time is over.
    pub fn overdue(&self, now: Timestamp) -> Vec<Control> {
        self.rows.iter().filter(|control| control.until.is_some_and(|until| until <= now)).cloned().collect()
    }

    /// When the next one ends by itself.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.rows.iter().filter_map(|control| control.until).min()
    }

    /// The hold that binds a lane of this organisation; of several, the one that ends last.
    pub fn hold(&self, campaign: CampaignId, organisation: u64) -> Option<&Control> {
        let holds = self.rows.iter().filter(|control| control.kind == ControlKind::Held);
        holds
            .filter(|control| covers(&control.target, campaign, organisation))
            .max_by_key(|control| control.until.map_or(i64::MAX, |until| until.0))
    }

    /// How long a lane that was let go still waits for its own moment.
    pub fn waits(&self, lane: Lane, organisation: u64, now: Timestamp) -> Option<Timestamp> {
        let gone = self.let_go.iter().filter(|gone| covers(&gone.target, lane.campaign, organisation));
        gone.map(|gone| gone.at.plus_millis(its_moment(lane, gone.at).as_millis() as i64)).filter(|at| *at > now).max()
    }

    /// What is in force over a provider.
    pub fn steering(&self, provider: &str) -> Steering {
        let mut steering = Steering::default();
        for control in &self.rows {
            if !matches!(&control.target, Target::Provider(name) if name == provider) {
                continue;
            }
            match control.kind {
                ControlKind::Held => steering.held = true,
                ControlKind::Drained => steering.drained = true,
                ControlKind::Preferred => steering.preferred = true,
                ControlKind::Weighed(weight) => steering.weight = Some(weight),
                ControlKind::Unknown => {}
            }
        }
        steering
    }
}

/// Whether two are of one kind over the same.
fn same(a: &Control, b: &Control) -> bool {
    a.target == b.target && std::mem::discriminant(&a.kind) == std::mem::discriminant(&b.kind)
}

fn covers(target: &Target, campaign: CampaignId, of: u64) -> bool {
    match target {
        Target::All => true,
        Target::Organisation(name) => organisation(name) == of,
        Target::Campaign(id) => *id == campaign,
        Target::Provider(_) | Target::Unknown => false,
    }
}

/// How long after it was let go a lane begins: the same whenever it is asked, and another one for each lane and time.
fn its_moment(lane: Lane, at: Timestamp) -> Duration {
    let mut hasher = DefaultHasher::new();
    (lane, at.0).hash(&mut hasher);
    SPREAD.mul_f64(hasher.finish() as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use usher_common::model::Channel;

    use super::*;

    fn control(target: Target, kind: ControlKind, until: Option<i64>) -> Control {
        let (by, reason) = ("ada".to_owned(), "ill".to_owned());
        Control { target, kind, by, reason, since: Timestamp(1_000), until: until.map(Timestamp) }
    }

    fn held(target: Target) -> Control {
        control(target, ControlKind::Held, None)
    }

    const ONE: CampaignId = CampaignId(1);

    #[test]
    fn a_hold_binds_what_it_is_over_and_nothing_else() {
        let ours = organisation("ours");
        let cases = [
            (Target::All, true, true),
            (Target::Organisation("ours".into()), true, false),
            (Target::Campaign(ONE), true, false),
            (Target::Campaign(CampaignId(2)), false, false),
            (Target::Provider("smtp".into()), false, false),
        ];
        for (target, ones, others) in cases {
            let mut controls = Controls::default();
            controls.begin(held(target.clone()));
            assert_eq!(controls.hold(ONE, ours).is_some(), ones, "{target}");
            assert_eq!(controls.hold(CampaignId(3), organisation("theirs")).is_some(), others, "{target}");
        }
    }

    #[test]
    fn the_hold_that_ends_last_is_the_one_to_tell() {
        let mut controls = Controls::default();
        controls.begin(control(Target::All, ControlKind::Held, Some(9)));
        controls.begin(control(Target::Campaign(ONE), ControlKind::Held, None));
        assert_eq!(controls.hold(ONE, 0).map(|control| &control.target), Some(&Target::Campaign(ONE)));
        assert_eq!(controls.next_end(), Some(Timestamp(9)));
    }

    #[test]
    fn what_is_over_its_time_binds_until_that_is_recorded() {
        let mut controls = Controls::default();
        let hold = control(Target::All, ControlKind::Held, Some(2_000));
        controls.begin(hold.clone());
        assert_eq!(
            (controls.overdue(Timestamp(1_999)), controls.overdue(Timestamp(2_000))),
            (vec![], vec![hold.clone()])
        );
        assert!(controls.hold(ONE, 0).is_some());
        controls.end(&hold, Timestamp(2_000));
        assert!(controls.hold(ONE, 0).is_none());
    }

    #[test]
    fn lanes_that_are_let_go_begin_one_after_the_other_and_all_of_them_soon() {
        let mut controls = Controls::default();
        controls.begin(held(Target::All));
        controls.end(&held(Target::All), Timestamp(5_000));
        let lanes = (0..200).map(|n| Lane { campaign: CampaignId(n), channel: Channel::Email });
        let moments: Vec<i64> =
            lanes.filter_map(|lane| controls.waits(lane, 0, Timestamp(5_000))).map(|at| at.0 - 5_000).collect();
        assert!(moments.len() > 190 && moments.iter().all(|ms| *ms <= 5_000), "{moments:?}");
        let early = moments.iter().filter(|ms| **ms < 2_500).count();
        assert!((60..140).contains(&early), "{early} of 200 in the first half");
        let lane = Lane { campaign: ONE, channel: Channel::Email };
        assert_eq!(controls.waits(lane, 0, Timestamp(10_001)), None);
    }

    #[test]
    fn a_provider_has_one_control_of_each_kind() {
        let mut controls = Controls::default();
        let twilio = Target::Provider("twilio".into());
        controls.begin(control(twilio.clone(), ControlKind::Weighed(2.0), None));
        controls.begin(control(twilio.clone(), ControlKind::Weighed(3.0), None));
        controls.begin(control(twilio.clone(), ControlKind::Drained, None));
        let steering = controls.steering("twilio");
        assert_eq!(steering, Steering { drained: true, weight: Some(3.0), ..Steering::default() });
        assert!(!steering.is_free() && controls.steering("smtp").is_free());
        controls.end(&control(twilio, ControlKind::Drained, None), Timestamp(9));
        assert!(controls.steering("twilio").is_free());
    }
}
