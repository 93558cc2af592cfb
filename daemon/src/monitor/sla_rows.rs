//! Service levels as operators see them.

use usher_common::model::{ProviderRow, SlaRow, SlaWindow, Timestamp};

use super::levels::{Levels, Object};
use super::sla::{TARGET, budget_left, burn, exhausted_in, status};
use super::sli::Window;

/// A row for each indicator, with what is known of its provider beside: the whole first, then channels, providers and campaigns.
pub fn sla_rows(levels: &Levels, providers: &[ProviderRow], now: Timestamp) -> Vec<SlaRow> {
    let row = |(object, sli): (&Object, &super::sli::Sli)| {
        let window = |window: Window| {
            let counts = sli.counts(window);
            SlaWindow {
                window: window.as_str().to_owned(),
                good: counts.good,
                bad: counts.bad,
                burn: burn(counts, TARGET),
            }
        };
        let of = |object: &Object| match object {
            Object::Provider(name) => providers.iter().find(|row| row.name == *name),
            _ => None,
        };
        let month = sli.counts(Window::Days30);
        let throughput = match object {
            Object::All => providers.iter().map(|row| row.rate).sum(),
            Object::Channel(channel) => {
                providers.iter().filter(|row| row.channel == *channel).map(|row| row.rate).sum()
            }
            Object::Provider(_) => of(object).map_or(0.0, |row| row.rate),
            // What of it was taken in five minutes.
            Object::Campaign(_) => sli.counts(Window::Minutes5).good as f64 / Window::Minutes5.seconds() as f64,
        };
        SlaRow {
            object: object.to_string(),
            target: TARGET,
            status: status(month, TARGET),
            budget_left_percent: budget_left(month, TARGET),
            exhausted_in_seconds: exhausted_in(sli, TARGET),
            windows: Window::ALL.map(window).into(),
            excluded: sli.excluded(),
            p99_ms: of(object).and_then(|row| row.p99_ms),
            uptime: of(object).map(|row| levels.uptime(&row.name, now)),
            throughput,
        }
    };
    levels.all().map(row).collect()
}
