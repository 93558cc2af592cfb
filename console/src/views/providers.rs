//! Screen 2, providers, and the page of one.

use usher_common::model::ProviderRow;

use crate::app::{Model, PROVIDER_SORTS};
use crate::figures;
use crate::widgets::{Cell, Column, Pen, Scroll, Span, Table, breaker, health, outcome, spark};

const COLUMNS: [Column; 12] = [
    Column::text("state", 11, 0),
    Column::flex("name", 12, 1, 0),
    Column::text("channel", 10, 3),
    Column::number("#", 2, 7),
    Column::text("breaker", 13, 4),
    Column::text("since", 5, 8),
    Column::number("rate", 6, 1),
    Column::number("success", 7, 2),
    Column::number("p50", 6, 9),
    Column::number("p99", 6, 5),
    Column::number("flight", 6, 10),
    Column::flex("steered, or last failure", 24, 6, 6),
];

pub(super) fn list(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll, focused: bool) {
    let theme = *pen.theme();
    let rows = model.shown().providers.as_ref();
    let order = model.providers.order();
    let sort = PROVIDER_SORTS[model.providers.sort % PROVIDER_SORTS.len()];
    let table = Table {
        name: "providers",
        columns: &COLUMNS,
        sorted: Some((sort, model.providers.reverse)),
        rows: order.len(),
        selected: (!order.is_empty()).then(|| model.providers.index()),
        focused,
        empty: match (rows, model.providers.filter.is_empty()) {
            (None, _) => "no word of the providers yet",
            (Some(_), true) => "no provider is configured: nothing can be sent until there is one",
            (Some(_), false) => "no provider passes the filter; Esc shows all",
        },
    };
    let (now, stale) = (model.daemon_now(), model.is_stale());
    table.draw(pen, scroll, |i| {
        let Some(r) = order.get(i).and_then(|name| rows.and_then(|rows| rows.get(name))) else { return Vec::new() };
        vec![
            Cell::Badge(health(r.health).aged(stale)),
            Cell::new(r.name.as_str(), theme.strong),
            Cell::new(r.channel.as_str(), theme.text),
            Cell::new(r.rank.to_string(), theme.text),
            Cell::Badge(breaker(r.breaker).aged(stale)),
            Cell::new(figures::age(now, r.since), theme.text),
            Cell::new(figures::rate(r.rate), theme.text),
            Cell::new(r.success.map_or_else(|| "-".to_owned(), figures::percent), theme.text),
            Cell::new(figures::latency(r.p50_ms), theme.text),
            Cell::new(figures::latency(r.p99_ms), theme.text),
            Cell::new(r.in_flight.to_string(), theme.text),
            Cell::new(steered_or_failed(r, model), theme.text),
        ]
    });
}

/// What operators keep in force over it, in a few words; else what it last failed by.
fn steered_or_failed(row: &ProviderRow, model: &Model) -> String {
    if row.controls.is_empty() {
        return last_failure(row, model);
    }
    let told: Vec<String> = row
        .controls
        .iter()
        .map(|control| match control.until {
            Some(until) => format!("{} for {}", control.kind, figures::age(until, model.daemon_now())),
            None => control.kind.to_string(),
        })
        .collect();
    told.join(", ")
}

fn last_failure(row: &ProviderRow, model: &Model) -> String {
    match (row.last_class, row.last_error_at) {
        (None, _) if row.last_error.is_empty() => String::new(),
        (class, at) => {
            let age = at.map(|at| format!("{} ago ", figures::age(model.daemon_now(), at))).unwrap_or_default();
            let class = class.map_or("", |class| outcome(Some(class)).word);
            format!("{age}{class} {}", row.last_error)
        }
    }
}

pub(super) fn detail(model: &Model, name: &str, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let Some(r) = model.shown().providers.as_ref().and_then(|rows| rows.get(name)) else {
        pen.put(1, 0, pen.width(), "this provider is not configured any more; Esc goes back", theme.muted);
        return;
    };
    let (now, stale) = (model.daemon_now(), model.is_stale());
    let whole = health(r.health).aged(stale);
    let gate = breaker(r.breaker).aged(stale);
    pen.spans(
        1,
        0,
        &[
            Span::new(format!(" {} {} ", whole.glyph, whole.word), theme.badge(whole.tone)),
            Span::new(format!("  {}  ", r.name), theme.strong),
            Span::new(format!("{} by {}, place {} of its channel", r.channel, r.kind.as_str(), r.rank), theme.muted),
        ],
    );
    let retry = match (r.retry_at, r.throttled_until) {
        (Some(at), _) => format!(", tries again at {} UTC", figures::time_of_day(at)),
        (None, Some(until)) if until > now => format!(", asked us to wait until {} UTC", figures::time_of_day(until)),
        _ => String::new(),
    };
    let lines: [(&str, String); 7] = [
        ("breaker", format!("{} {} for {}{retry}", gate.glyph, gate.word, figures::age(now, r.since))),
        ("rate", format!("{}/s", figures::rate(r.rate))),
        ("success", r.success.map_or_else(|| "no attempts in the last minute".to_owned(), figures::percent)),
        ("latency", format!("p50 {}  p99 {}", figures::latency(r.p50_ms), figures::latency(r.p99_ms))),
        ("in flight", r.in_flight.to_string()),
        ("accepted", format!("{} since the daemon started", figures::count(r.accepted))),
        ("failures", format!("{} by its own fault", figures::count(r.failures))),
    ];
    let mut y = 2;
    for control in &r.controls {
        let ends = control
            .until
            .map_or("until it is released".to_owned(), |until| format!("until {} UTC", figures::time_of_day(until)));
        let value = format!("{} by {} {ends}: {}", control.kind, control.by, control.reason);
        pen.put(1, y, 11, "steered", theme.muted);
        pen.put(13, y, pen.width().saturating_sub(13), &crate::text::clean(&value), theme.strong);
        y += 1;
    }
    for (label, value) in lines {
        pen.put(1, y, 11, label, theme.muted);
        pen.put(13, y, pen.width().saturating_sub(13), &value, theme.text);
        y += 1;
    }
    pen.put(1, y, 11, "accepted/s", theme.muted);
    let room = pen.width().saturating_sub(14).min(96);
    spark(pen, 13, y, room, &r.history);
    y += 2;
    y += super::campaign::why(model, y, pen);
    pen.rule(y, "last failure", false);
    let said = match r.last_error_at {
        None => "none since the daemon started".to_owned(),
        Some(at) => format!(
            "{} ({} ago), {}: {}",
            figures::exact(at),
            figures::age(now, at),
            r.last_class.map_or("of unknown class", |class| outcome(Some(class)).word),
            r.last_error
        ),
    };
    pen.paragraph(1, y + 1, pen.width().saturating_sub(2), &said, theme.text);
}
