//! Screen 3: campaigns, what needs an eye first.

use crate::app::{CAMPAIGN_SORTS, Model};
use crate::figures;
use crate::widgets::{Cell, Column, Pen, Scroll, Table, campaign_state};

const COLUMNS: [Column; 11] = [
    Column::text("state", 14, 0),
    Column::text("id", 6, 5),
    Column::flex("name", 16, 3, 0),
    Column::text("", 12, 9),
    Column::number("done", 6, 1),
    Column::number("total", 9, 2),
    Column::number("failed", 7, 3),
    Column::number("doubt", 6, 4),
    Column::number("rate", 6, 6),
    Column::number("left", 8, 7),
    Column::flex("why it does not move", 21, 4, 8),
];

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll, focused: bool) {
    let theme = *pen.theme();
    let rows = model.shown().campaigns.as_ref();
    let order = model.campaigns.order();
    let sort = CAMPAIGN_SORTS[model.campaigns.sort % CAMPAIGN_SORTS.len()];
    let table = Table {
        name: "campaigns",
        columns: &COLUMNS,
        sorted: Some((sort, model.campaigns.reverse)),
        rows: order.len(),
        selected: (!order.is_empty()).then(|| model.campaigns.index()),
        focused,
        empty: match (rows, model.campaigns.filter.is_empty()) {
            (None, _) => "no word of the campaigns yet",
            (Some(_), true) => "no campaigns yet: `usher campaign create --help` says how to write one",
            (Some(_), false) => "no campaign passes the filter; Esc shows all",
        },
    };
    let stale = model.is_stale();
    table.draw(pen, scroll, |i| {
        let Some(r) = order.get(i).and_then(|id| rows.and_then(|rows| rows.get(id))) else { return Vec::new() };
        let total = r.counts.total();
        let done = total - r.counts.open();
        let left = r.eta_seconds.map_or_else(|| "-".to_owned(), figures::span);
        let or_dash = |n: u64| if n == 0 { "-".to_owned() } else { figures::count(n) };
        vec![
            Cell::Badge(campaign_state(r.state, r.deleted.is_some()).aged(stale && !r.state.is_ended())),
            Cell::new(r.id.to_string(), theme.muted),
            Cell::new(r.name.as_str(), theme.strong),
            Cell::Bar(done, total),
            Cell::new(figures::part(done, total), theme.text),
            Cell::new(figures::count(total), theme.text),
            Cell::new(or_dash(r.counts.failed), theme.text),
            Cell::new(or_dash(r.counts.unknown), theme.text),
            Cell::new(figures::rate(r.rate), theme.text),
            Cell::new(if r.state.is_ended() { String::new() } else { left }, theme.text),
            Cell::new(r.why.as_str(), theme.text),
        ]
    });
}
