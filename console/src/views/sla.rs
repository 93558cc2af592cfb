//! Screen 4, service levels: whether what was promised is kept, what is left of the budget, and how fast it burns.

use usher_common::model::SlaRow;

use crate::app::Model;
use crate::figures;
use crate::widgets::{Cell, Column, Pen, Scroll, Table, sla};

const COLUMNS: [Column; 9] = [
    Column::text("30 days", 17, 0),
    Column::flex("of", 14, 1, 0),
    Column::number("budget left", 11, 1),
    Column::number("gone in", 7, 3),
    Column::number("burn 5m", 7, 4),
    Column::number("burn 1h", 7, 2),
    Column::number("bad 24h", 7, 5),
    Column::number("of all", 9, 6),
    Column::number("uptime", 8, 7),
];
/// Lines that tell of the selected one.
const TOLD: u16 = 5;

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    let theme = *pen.theme();
    let stale = model.is_stale();
    let rows = model.shown().slas.as_ref();
    let order = model.slas.order();
    let below = if pen.height() > TOLD + 5 && !order.is_empty() { TOLD } else { 0 };
    let (width, height) = (pen.width(), pen.height() - below);
    let table = Table {
        name: "sla",
        columns: &COLUMNS,
        sorted: None,
        rows: order.len(),
        selected: (!order.is_empty()).then(|| model.slas.index()),
        focused: true,
        empty: match (rows, model.slas.filter.is_empty()) {
            (None, _) => "no word of service levels yet",
            (Some(_), true) => "nothing was sent in the last 30 days, so that nothing was promised to anybody",
            (Some(_), false) => "none passes the filter; Esc shows all",
        },
    };
    table.draw(&mut pen.part(0, 0, width, height), scroll, |i| {
        let Some(r) = order.get(i).and_then(|name| rows.and_then(|rows| rows.get(name))) else { return Vec::new() };
        let day = r.windows.iter().find(|window| window.window == "24h");
        vec![
            Cell::Badge(sla(r.status).aged(stale)),
            Cell::new(r.object.clone(), theme.strong),
            Cell::new(r.budget_left_percent.map_or("-".to_owned(), |left| format!("{left:.0}%")), theme.text),
            Cell::new(r.exhausted_in_seconds.map_or("-".to_owned(), figures::span), theme.text),
            Cell::new(burn(r, "5m"), theme.text),
            Cell::new(burn(r, "1h"), theme.text),
            Cell::new(day.map_or("-".to_owned(), |day| figures::count(day.bad)), theme.text),
            Cell::new(day.map_or("-".to_owned(), |day| figures::count(day.good + day.bad)), theme.text),
            Cell::new(r.uptime.map_or("-".to_owned(), |share| format!("{:.2}%", 100.0 * share)), theme.text),
        ]
    });
    let selected = model.slas.selected().and_then(|name| rows.and_then(|rows| rows.get(name)));
    let Some(r) = selected.filter(|_| below > 0) else { return };
    pen.rule(height, &r.object, false);
    let promise = format!("{:.2}% accepted within five minutes of when they were free to go", 100.0 * r.target);
    let windows: Vec<String> = r
        .windows
        .iter()
        .map(|window| {
            format!("{} {}/{}", window.window, figures::count(window.bad), figures::count(window.good + window.bad))
        })
        .collect();
    let excluded = format!(
        "{} of the last day do not count: suppressed, cancelled, or refused for their recipient",
        figures::count(r.excluded)
    );
    let lines = [("promise", promise), ("bad/all", windows.join("  ")), ("left out", excluded)];
    for (y, (label, value)) in (height + 1..).zip(lines) {
        pen.put(1, y, 8, label, theme.muted);
        pen.put(10, y, width.saturating_sub(11), &value, theme.text);
    }
}

fn burn(row: &SlaRow, window: &str) -> String {
    let found = row.windows.iter().find(|one| one.window == window).and_then(|one| one.burn);
    found.map_or("-".to_owned(), |burn| format!("{burn:.1}"))
}
