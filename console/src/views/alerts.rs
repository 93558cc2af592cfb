//! Screen 5, alerts: what is wrong, since when, what is behind it, and what to do first.

use crate::app::Model;
use crate::figures;
use crate::widgets::{Cell, Column, Pen, Scroll, Table, alert};

const COLUMNS: [Column; 5] = [
    Column::text("", 7, 0),
    Column::text("state", 10, 4),
    Column::text("for", 6, 1),
    Column::flex("what", 24, 3, 0),
    Column::text("told", 5, 2),
];
/// Lines that tell of the selected one.
const TOLD: u16 = 6;

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    let theme = *pen.theme();
    let (now, stale) = (model.daemon_now(), model.is_stale());
    let rows = model.shown().alerts.as_ref();
    let order = model.alerts.order();
    let below = if pen.height() > TOLD + 5 && !order.is_empty() { TOLD } else { 0 };
    let (width, height) = (pen.width(), pen.height() - below);
    let table = Table {
        name: "alerts",
        columns: &COLUMNS,
        sorted: None,
        rows: order.len(),
        selected: (!order.is_empty()).then(|| model.alerts.index()),
        focused: true,
        empty: match (rows, model.alerts.filter.is_empty()) {
            (None, _) => "no word of alerts yet",
            (Some(_), true) => "nothing fires",
            (Some(_), false) => "no alert passes the filter; Esc shows all",
        },
    };
    table.draw(&mut pen.part(0, 0, width, height), scroll, |i| {
        let Some(r) = order.get(i).and_then(|key| rows.and_then(|rows| rows.get(key))) else { return Vec::new() };
        vec![
            Cell::Badge(alert(r.priority, r.state).aged(stale)),
            Cell::new(r.state.as_str(), theme.text),
            Cell::new(figures::age(now, r.since), theme.text),
            Cell::new(crate::text::clean(&r.summary), theme.strong),
            Cell::new(if r.told { "yes" } else { "no" }, theme.text),
        ]
    });
    let selected = model.alerts.selected().and_then(|key| rows.and_then(|rows| rows.get(key)));
    let Some(r) = selected.filter(|_| below > 0) else { return };
    let mut y = height;
    pen.rule(y, &format!("{} {}", r.rule, r.object), false);
    let figure = if r.threshold > 1.0 { format!("{:.1}, limit {:.1}", r.value, r.threshold) } else { String::new() };
    let quiet = match (&r.quiet, r.acknowledged_until) {
        (quiet, _) if !quiet.is_empty() => quiet.clone(),
        (_, Some(until)) => format!("acknowledged until {} UTC", figures::time_of_day(until)),
        _ => String::new(),
    };
    let lines = [("cause", &r.detail), ("figure", &figure), ("first", &r.action), ("quiet", &quiet)];
    for (label, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        y += 1;
        pen.put(1, y, 8, label, theme.muted);
        pen.put(10, y, width.saturating_sub(11), &crate::text::clean(value), theme.text);
    }
}
