//! What dispatch, store and machine say of themselves once a second, as named figures: all that alert rules and kept history see.

use std::time::Duration;

use usher_common::model::{BreakerState, CampaignState, Channel, Health, OutcomeClass, Timestamp};

use super::shared::Shared;
use crate::monitor::{Reading, Readings};

/// A message that could go is behind when it waits for longer.
const BEHIND: Duration = Duration::from_mins(1);

/// Clocks as they were at the last look, so that one that was set is seen.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    wall: Timestamp,
    mono: Duration,
}

fn yes(is: bool) -> f64 {
    f64::from(u8::from(is))
}

impl Shared {
    /// The clocks now.
    pub fn clocks(&self) -> Clocks {
        Clocks { wall: self.clock.now(), mono: self.clock.mono() }
    }

    /// Everything that can be read now. `before` are the clocks at the last look.
    pub fn readings(&self, before: Clocks) -> Vec<Reading> {
        let mut list = Readings::default();
        self.of_the_machine(before, &mut list);
        self.of_providers(&mut list);
        self.of_lanes(&mut list);
        let totals = self.totals();
        list.say("system.error.rate_percent", "", totals.error_rate_percent);
        list.say("system.processing.latency_ms", "", f64::from(totals.p95_ms.unwrap_or(0)));
        let (count, oldest) =
            self.doubt().map_or((0, 0), |(count, since)| (count, self.clock.now().millis_since(since) / 1_000));
        list.say("doubt.count", "", count as f64);
        list.say("doubt.oldest_seconds", "", oldest as f64);
        list.into()
    }

    fn of_the_machine(&self, before: Clocks, list: &mut Readings) {
        let health = self.store().engine().health();
        let why = health.failed.clone().unwrap_or_default();
        list.because("store.failed", "", yes(health.failed.is_some()), why);
        let no_room = self.no_room();
        list.because("store.no_room", "", yes(no_room.is_some()), no_room.unwrap_or_default());
        list.say("store.sync_ms", "", health.last_sync_took.as_secs_f64() * 1e3);
        list.say("store.log_bytes_percent", "", 100.0 * health.log_bytes as f64 / health.log_cap_bytes.max(1) as f64);
        if let Ok(stat) = rustix::fs::statvfs(&self.settings.state_dir) {
            list.say("disk.free_bytes", "", (stat.f_bavail * stat.f_frsize) as f64);
        }
        let (wall, mono) = (self.clock.now().millis_since(before.wall), self.clock.mono().saturating_sub(before.mono));
        let jumped = wall - i64::try_from(mono.as_millis()).unwrap_or(i64::MAX);
        list.say("clock.jump_ms", "", jumped.unsigned_abs() as f64);
        list.say("scheduler.lag_ms", "", self.idle_for().as_secs_f64() * 1e3);
        list.say("memory.bytes", "", super::publisher::resident_bytes() as f64);
    }

    fn of_providers(&self, list: &mut Readings) {
        let rows = self.provider_rows();
        for row in &rows {
            let object = format!("provider {}", row.name);
            let open = matches!(row.breaker, BreakerState::Open | BreakerState::HalfOpen);
            let said = if row.last_error.is_empty() { "no answer".to_owned() } else { row.last_error.clone() };
            list.because("provider.open", object.clone(), yes(open), said.clone());
            let unusable = open && row.last_class == Some(OutcomeClass::Unusable);
            list.because("provider.unusable", object.clone(), yes(unusable), said);
            list.say(
                "provider.error_rate_percent",
                object.clone(),
                row.success.map_or(0.0, |share| 100.0 * (1.0 - share)),
            );
            list.say("provider.latency_p99_ms", object, f64::from(row.p99_ms.unwrap_or(0)));
        }
        for channel in Channel::ALL {
            let of: Vec<_> = rows.iter().filter(|row| row.channel == channel).collect();
            if of.is_empty() {
                continue;
            }
            let carry = of.iter().filter(|row| row.health != Health::Critical).count();
            let down: Vec<String> = of
                .iter()
                .filter(|row| row.health == Health::Critical)
                .map(|row| format!("{} ({})", row.name, row.last_error))
                .collect();
            list.because("channel.open_providers", format!("channel {channel}"), carry as f64, down.join(", "));
        }
    }

    fn of_lanes(&self, list: &mut Readings) {
        let (now, wall) = (self.clock.mono(), self.clock.now());
        let still = self.still();
        let (mut behind, mut oldest) = (0_u64, 0_u64);
        for (lane, state) in self.lanes() {
            let object = format!("campaign {} {}", lane.campaign, lane.channel);
            list.say("lane.still", object, yes(still.contains(&lane)));
            let waits = now.saturating_sub(state.moved);
            let bound =
                state.hold.is_some_and(|hold| !matches!(hold.why, super::Why::Concurrency | super::Why::Breaker));
            if state.empty || bound || waits < BEHIND {
                continue;
            }
            oldest = oldest.max(waits.as_secs());
            let queued = self.store().campaign_counts(lane.campaign).ok();
            behind += queued.and_then(|counts| counts.states.get(&lane.channel).map(|on| on.queued)).unwrap_or(0);
        }
        list.say("system.queue.size", "", behind as f64);
        list.say("queue.oldest_seconds", "", oldest as f64);
        for row in self
            .board
            .campaigns()
            .into_iter()
            .filter(|row| row.state == CampaignState::Running && row.deleted.is_none())
        {
            let (Some(eta), Ok(stored)) = (row.eta_seconds, self.store().campaign(row.id)) else { continue };
            let Some(expires) = stored.record.expires else { continue };
            let late =
                wall.plus_millis(i64::try_from(eta).unwrap_or(i64::MAX).saturating_mul(1_000)).millis_since(expires)
                    / 1_000;
            let object = format!("campaign {}", row.id);
            list.because("campaign.late_seconds", object, late.max(0) as f64, format!("{}: {}", row.name, row.why));
        }
    }
}
