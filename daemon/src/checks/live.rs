//! The daemon at work: whether it is a good moment to stop it, whether it does its work at all, and whether the one that was just
//! started is the right one.

use std::time::{Duration, Instant};

use usher_common::model::{BreakerState, CampaignState, Channel, Health, MessageState, Timestamp};

use super::finding::Finding;
use super::{List, Live, Surroundings};
use crate::clock::utc;
use crate::config::{Config, reload};
use crate::store::{AuditEntry, By};

/// A campaign that is due within this is about to run.
const SOON_MS: i64 = 30 * 60 * 1_000;
/// A commit that takes longer is felt by everybody who waits.
const COMMIT: Duration = Duration::from_millis(500);
/// The planner looks around at least this often.
const PLANNER: Duration = Duration::from_secs(5);
/// More failed attempts than this, in percent, are the alert's threshold too.
const ERRORS: f64 = 5.0;

impl Live {
    /// Messages of a channel that wait, in all campaigns; 0 where they cannot be counted.
    pub(super) fn waiting(&self, channel: Channel) -> u64 {
        let store = self.shared.store();
        let open = store.campaigns().unwrap_or_default();
        let open = open.into_iter().filter(|row| row.record.deleted.is_none() && !row.record.state.is_ended());
        let counts = open.filter_map(|row| store.campaign_counts(row.id).ok());
        counts.map(|counts| counts.states.get(&channel).map_or(0, |on| on.get(MessageState::Queued))).sum()
    }
}

impl Surroundings {
    /// Whether the file is what is in force.
    pub(super) fn configuration<'s>(&'s self, list: &mut List<'s>) {
        let found = match (Config::load(&self.sources), &self.live) {
            (Err(errors), _) => {
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                let reason = format!("it cannot be loaded, for {} reasons; the first: {first}", errors.len());
                Finding::fail(reason, "usherd --check-config names all of them; a restart would not come up")
            }
            (Ok(new), None) if new.warnings.is_empty() => {
                Finding::pass(format!("{} keys, no warning", new.entries.len()))
            }
            (Ok(new), None) => {
                let texts: Vec<String> = new.warnings.iter().map(ToString::to_string).collect();
                Finding::warn(texts.join("; "), "see usherd --check-config")
            }
            (Ok(new), Some(_)) => {
                let changes = reload(&self.loaded, &new);
                let names =
                    |keys: &[crate::config::Key]| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                if changes.is_empty() {
                    Finding::pass("the file is what is in force")
                } else {
                    let both = [changes.needs_restart.as_slice(), changes.applied.as_slice()].concat();
                    Finding::warn(
                        format!("changed since the start: {}", names(&both)),
                        "see who changed it and why; a restart takes all of it over",
                    )
                }
            }
        };
        list.know("configuration", found);
        if let Some(path) = &self.sources.file
            && let Ok(changed) = std::fs::metadata(path).and_then(|data| data.modified())
            && let Ok(since) = std::time::SystemTime::now().duration_since(changed)
        {
            let ago = since.as_secs() / 60;
            let found = if ago < 60 {
                Finding::warn(
                    format!("{} was changed {ago} minutes ago", path.display()),
                    "a change this fresh is the first suspect for what goes wrong now",
                )
            } else {
                Finding::pass(format!("{} was last changed {} hours ago", path.display(), ago / 60))
            };
            list.know("configuration.changed", found);
        }
    }

    /// Whether it is a good moment to stop the daemon.
    pub(super) fn moment<'s>(&'s self, list: &mut List<'s>) {
        let Some(live) = &self.live else { return };
        let now = self.clock.now();
        let campaigns = match live.shared.store().campaigns() {
            Ok(campaigns) => campaigns,
            Err(error) => {
                return list
                    .know("campaigns", Finding::fail(format!("they cannot be read: {error}"), "see the daemon's log"));
            }
        };
        let there =
            |state| move |row: &&crate::store::CampaignRow| row.record.deleted.is_none() && row.record.state == state;
        let running: Vec<String> =
            campaigns.iter().filter(there(CampaignState::Running)).map(|row| row.id.to_string()).collect();
        list.know(
            "campaigns.running",
            if running.is_empty() {
                Finding::pass("none runs")
            } else {
                Finding::warn(
                    format!("{} run: {}", running.len(), running.join(", ")),
                    "a restart loses nothing, and puts in doubt what is under way at that moment; pause them first, or wait",
                )
            },
        );
        let soon: Vec<String> = campaigns
            .iter()
            .filter(there(CampaignState::Scheduled))
            .filter_map(|row| row.record.due.filter(|due| due.millis_since(now) < SOON_MS).map(|due| (row.id, due)))
            .map(|(id, due)| format!("{id} at {}", utc(due, now)))
            .collect();
        list.know(
            "campaigns.due",
            if soon.is_empty() {
                Finding::pass("none is due within half an hour")
            } else {
                Finding::warn(format!("about to begin: {}", soon.join(", ")), "deploy before or after")
            },
        );
        list.know("messages.in-doubt", doubt(live.shared.doubt(), now));
    }

    /// Whether the store takes commits, has room, and how long one takes.
    pub(super) fn store<'s>(&'s self, list: &mut List<'s>) {
        let Some(live) = &self.live else { return };
        let shared = &live.shared;
        list.know(
            "store.room",
            if let Some(why) = shared.no_room() {
                Finding::fail(format!("nothing new is taken in: {why}"), "make room on the disk")
            } else {
                let health = shared.store().engine().health();
                Finding::pass(format!("the log has {} of {} MiB", health.log_bytes >> 20, health.log_cap_bytes >> 20))
            },
        );
        list.add("store.commit", async move {
            let by = By { actor: "usherd".to_owned(), reason: "check".to_owned(), request_id: String::new() };
            let entry = AuditEntry::Act { act: "check".to_owned(), object: "store".to_owned(), detail: String::new() };
            let begun = Instant::now();
            match shared.store().audit(&by, &[entry]).await {
                Ok(()) => commit(begun.elapsed()),
                Err(error) => {
                    Finding::fail(format!("nothing can be made durable: {error}"), "free the disk, then restart usherd")
                }
            }
        });
    }

    /// Whether dispatch looks around, nothing stands still, and what operators keep in force.
    pub(super) fn work<'s>(&'s self, list: &mut List<'s>) {
        let Some(live) = &self.live else { return };
        let shared = &live.shared;
        let idle = shared.idle_for();
        list.know(
            "dispatch.planner",
            if idle < PLANNER {
                Finding::pass(format!("was seen {} ms ago", idle.as_millis()))
            } else {
                Finding::fail(format!("was not seen for {} s", idle.as_secs()), "restart usherd, and keep its log")
            },
        );
        let still: Vec<String> =
            shared.still().iter().map(|lane| format!("{} {}", lane.campaign, lane.channel)).collect();
        list.know(
            "dispatch.moves",
            if still.is_empty() {
                Finding::pass("nothing that could go stands still")
            } else {
                Finding::fail(
                    format!("due messages and no outcome for a minute: {}", still.join(", ")),
                    "ask usher campaign why",
                )
            },
        );
        let controls = shared.controls_in_force();
        list.know(
            "controls",
            if controls.is_empty() {
                Finding::pass("nothing is held, and no provider is steered")
            } else {
                let each: Vec<String> = controls.iter().map(|one| format!("{} is {}", one.target, one.kind)).collect();
                Finding::warn(each.join(", "), "usher controls says by whom and why")
            },
        );
    }

    /// Whether each channel has a provider that carries it.
    pub(super) fn breakers<'s>(&'s self, list: &mut List<'s>) {
        let Some(live) = &self.live else { return };
        let now = self.clock.now();
        let rows = live.shared.provider_rows();
        for row in &rows {
            let found = match row.breaker {
                BreakerState::Closed => Finding::pass("its breaker is closed"),
                BreakerState::Recovering => Finding::warn("it takes a share that grows", "wait a minute"),
                _ => {
                    let when =
                        row.retry_at.map_or(String::new(), |at| format!("; it is tried again at {}", utc(at, now)));
                    Finding::warn(
                        format!("its breaker is {}: {}{when}", row.breaker, row.last_error),
                        "usher provider why says more",
                    )
                }
            };
            list.know(format!("provider.{}.breaker", row.name), found);
        }
        for channel in Channel::ALL {
            let of: Vec<_> = rows.iter().filter(|row| row.channel == channel).collect();
            let carry = of.iter().filter(|row| row.health != Health::Critical).count();
            let found = match (of.len(), carry) {
                (0, _) => continue,
                (_, 0) => Finding::fail("no provider carries it: its messages wait", "see its providers, and add one"),
                (1, _) => Finding::warn("one provider and no standby", "add a second provider for it"),
                (all, some) if some < all => {
                    Finding::warn(format!("{some} of {all} providers carry it"), "usher provider list")
                }
                (all, _) => Finding::pass(format!("{all} providers carry it")),
            };
            list.know(format!("channel.{channel}"), found);
        }
    }

    /// Whether the program that runs is the one that lies on the disk.
    pub(super) fn build<'s>(&'s self, list: &mut List<'s>) {
        let Some(live) = &self.live else { return };
        let up = self.clock.now().millis_since(live.started) / 1_000;
        list.know("daemon.version", Finding::pass(format!("{}, up for {up} s", env!("CARGO_PKG_VERSION"))));
        // The kernel says "(deleted)" behind the path of a program that was replaced under it.
        let program = std::fs::read_link("/proc/self/exe").map(|path| path.display().to_string()).unwrap_or_default();
        list.know(
            "daemon.program",
            if program.ends_with("(deleted)") {
                Finding::fail("the program on the disk was replaced after this daemon started", "restart usherd")
            } else {
                Finding::pass(program)
            },
        );
    }

    /// What has gone wrong since the start.
    pub(super) fn since_start<'s>(&'s self, list: &mut List<'s>) {
        let Some(live) = &self.live else { return };
        let errors = live.shared.totals().error_rate_percent;
        list.know(
            "errors",
            if errors > ERRORS {
                Finding::fail(
                    format!("{errors:.1} % of the attempts of the last five minutes failed"),
                    "see usher provider list; roll back if that began with the deploy",
                )
            } else {
                Finding::pass(format!("{errors:.1} % of the attempts of the last five minutes failed"))
            },
        );
        list.know("messages.in-doubt", doubt(live.shared.doubt(), self.clock.now()));
    }
}

fn commit(took: Duration) -> Finding {
    let seen = format!("durable in {:.1} ms", took.as_secs_f64() * 1e3);
    if took > COMMIT { Finding::warn(seen, "see what else writes to that disk") } else { Finding::pass(seen) }
}

fn doubt(doubt: Option<(u64, Timestamp)>, now: Timestamp) -> Finding {
    match doubt {
        None => Finding::pass("none"),
        Some((n, since)) => Finding::warn(
            format!("{n}, the first since {}", utc(since, now)),
            "usher unknown list says what is done about each",
        ),
    }
}
