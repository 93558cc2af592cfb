//! One campaign: where it stands, what keeps it, its channels and reasons, its messages.

use usher_common::model::{CampaignDetail, CampaignId, ChannelProgress, MessageState, Schedule};

use crate::app::Model;
use crate::figures;
use crate::theme::Theme;
use crate::widgets::{Cell, Column, Pen, Scroll, Span, Table, bar, campaign_state, message_state};

const COLUMNS: [Column; 8] = [
    Column::text("state", 15, 0),
    Column::text("id", 9, 4),
    Column::flex("guest", 10, 3, 0),
    Column::text("channel", 9, 1),
    Column::number("tries", 5, 3),
    Column::text("provider", 12, 2),
    Column::number("changed", 8, 5),
    Column::flex("why", 16, 4, 6),
];

pub(super) fn draw(model: &Model, id: CampaignId, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    let (width, height) = (pen.width(), pen.height());
    let mut y = head(model, id, pen);
    if let Some(detail) = model.shown().detail.as_ref().filter(|_| height >= 16) {
        y += channels(model, detail, &mut pen.part(0, y, width, (height - y) / 2));
    }
    let theme = *pen.theme();
    let shown = model.shown();
    let which = model.state_filter.map_or_else(|| "all".to_owned(), |state| state.to_string());
    let loaded = shown.messages.iter().flatten().count() as u64;
    let order = model.messages.order();
    let (all, first) = (figures::count(shown.messages_total), figures::count(loaded));
    let title = match (loaded < shown.messages_total, model.filter().is_empty()) {
        (true, true) => format!("messages: {which}, first {first} of {all}"),
        // The filter looks at what is here; the daemon has more.
        (true, false) => format!("messages: {which}, filter over the first {first} of {all} only"),
        (false, _) => format!("messages: {which}, {all}"),
    };
    pen.rule(y, &title, true);
    let table = Table {
        name: "messages",
        columns: &COLUMNS,
        sorted: None,
        rows: order.len(),
        selected: (!order.is_empty()).then(|| model.messages.index()),
        focused: true,
        empty: if shown.messages.is_none() {
            "asking for its messages"
        } else if model.filter().is_empty() {
            "no messages here; f shows other states"
        } else if loaded < shown.messages_total {
            "none of those loaded passes the filter; further down there may be one"
        } else {
            "no message passes the filter; Esc shows all"
        },
    };
    let by_id: std::collections::HashMap<_, _> = shown.messages.iter().flatten().map(|row| (row.id, row)).collect();
    let now = model.daemon_now();
    let stale = model.is_stale();
    table.draw(&mut pen.part(0, y + 1, width, height.saturating_sub(y + 1)), scroll, |i| {
        let Some(r) = order.get(i).and_then(|id| by_id.get(id)) else { return Vec::new() };
        vec![
            Cell::Badge(message_state(r.state).aged(stale && !r.state.is_final())),
            Cell::new(r.id.to_string(), theme.muted),
            Cell::new(r.guest_name.as_str(), theme.strong),
            Cell::new(r.channel.as_str(), theme.text),
            Cell::new(r.attempts.to_string(), theme.text),
            Cell::new(r.provider.as_str(), theme.text),
            Cell::new(figures::age(now, r.changed), theme.text),
            Cell::new(r.why.as_str(), theme.text),
        ]
    });
}

fn head(model: &Model, id: CampaignId, pen: &mut Pen<'_>) -> u16 {
    let theme = pen.theme();
    let Some(row) = model.campaign(id) else {
        pen.put(1, 0, pen.width(), "no word of this campaign yet", theme.muted);
        return 2;
    };
    let badge = campaign_state(row.state, row.deleted.is_some()).aged(model.is_stale() && !row.state.is_ended());
    let (total, open) = (row.counts.total(), row.counts.open());
    let left = row.eta_seconds.filter(|_| !row.state.is_ended()).map(|s| format!(", {} left", figures::span(s)));
    let used = pen.spans(
        1,
        0,
        &[
            Span::new(format!(" {} {} ", badge.glyph, badge.word), theme.badge(badge.tone)),
            Span::new(format!("  {}  ", row.name), theme.strong),
            Span::new(
                format!(
                    "{} of {} done, {}/s{}",
                    figures::count(total - open),
                    figures::count(total),
                    figures::rate(row.rate),
                    left.unwrap_or_default()
                ),
                theme.text,
            ),
        ],
    );
    if pen.width() > used + 24 {
        let at = pen.width() - 21;
        bar(pen, at, 0, 20, total - open, total);
    }
    let mut y = 1;
    y += why(model, y, pen);
    if y == 1 && !row.why.is_empty() {
        pen.spans(1, y, &[Span::new("why  ", theme.muted), Span::new(row.why.as_str(), theme.strong)]);
        y += 1;
    }
    // The equation: every guest accounted for, in one line.
    let mut x = 1;
    for state in MessageState::ALL {
        let n = row.counts.get(state);
        if n > 0 {
            let spans = [
                Span::new(format!("{} ", figures::count(n)), theme.strong),
                Span::new(format!("{state}   "), theme.muted),
            ];
            x += pen.spans(x, y, &spans);
        }
    }
    if row.unreachable > 0 {
        pen.spans(
            x,
            y,
            &[
                Span::new(format!("{} ", figures::count(row.unreachable)), theme.strong),
                Span::new("without an address", theme.muted),
            ],
        );
    }
    y + 2
}

/// Why it moves as it does, at most two lines for each channel; says how many rows that took.
pub(super) fn why(model: &Model, top: u16, pen: &mut Pen<'_>) -> u16 {
    let theme = pen.theme();
    let room = pen.width().saturating_sub(7);
    let mut y = top;
    for (n, answer) in
        model.shown().why.iter().filter(|answer| answer.waiting > 0 || answer.channel.is_none()).enumerate()
    {
        if n == 0 {
            pen.put(1, y, 4, "why", theme.muted);
        }
        for line in crate::text::wrap(&crate::text::clean(&answer.line), usize::from(room.max(1))).iter().take(2) {
            pen.put(6, y, room, line, theme.strong);
            y += 1;
        }
    }
    y - top
}

fn channels(model: &Model, detail: &CampaignDetail, pen: &mut Pen<'_>) -> u16 {
    let theme = *pen.theme();
    let most = pen.height().saturating_sub(1);
    let spec = &detail.spec;
    let starts = match &spec.schedule {
        Schedule::Now => "when sent".to_owned(),
        Schedule::At { at, zone } => format!("{} UTC, meant in {zone}", figures::date_time(*at)),
    };
    let approved =
        if detail.approved_by.is_empty() { String::new() } else { format!("   approved by {}", detail.approved_by) };
    let mut lines = vec![vec![
        Span::new("template ", theme.muted),
        Span::new(spec.template.clone(), theme.text),
        Span::new("   starts ", theme.muted),
        Span::new(starts, theme.text),
        Span::new(approved, theme.muted),
    ]];
    for channel in &detail.channels {
        let total = channel.counts.total();
        let by: Vec<String> = channel.providers.iter().map(|(p, n)| format!("{p} {}", figures::count(*n))).collect();
        lines.push(vec![
            Span::new(format!("{:<9}", channel.channel.as_str()), theme.strong),
            Span::new(
                format!("{:>9} of {:<9} taken  ", figures::count(channel.counts.taken()), figures::count(total)),
                theme.text,
            ),
            Span::new(by.join("  "), theme.muted),
        ]);
    }
    for (reason, n) in &detail.reasons {
        lines.push(vec![
            Span::new(format!("{:>9}  ", figures::count(*n)), theme.strong),
            Span::new(reason.clone(), theme.text),
        ]);
    }
    // Last, since whoever has little room looks for what is wrong.
    for channel in &detail.channels {
        lines.extend(outcomes(channel, usize::from(pen.width()), &theme));
    }
    let _ = model;
    let mut y = 0;
    for line in lines.iter().take(usize::from(most)) {
        pen.spans(1, y, line);
        y += 1;
    }
    y + 1
}

/// What became of what a channel sent, in shares of it; on as many lines as it takes.
fn outcomes(channel: &ChannelProgress, width: usize, theme: &Theme) -> Vec<Vec<Span<'static>>> {
    let sent = channel.sent();
    if sent == 0 {
        return Vec::new();
    }
    let begin =
        |name: &str, text: String| vec![Span::new(format!("{name:<9} "), theme.strong), Span::new(text, theme.muted)];
    let mut lines = vec![begin(channel.channel.as_str(), format!("of {} sent  ", figures::count(sent)))];
    for (word, n) in channel.outcomes() {
        let spans = [
            Span::new(format!("{} ", figures::part(n, sent)), theme.strong),
            Span::new(format!("{word}  "), theme.muted),
        ];
        let used = |line: &[Span<'_>]| line.iter().map(|span| usize::from(span.width())).sum::<usize>();
        let last = lines.last_mut().expect("there is one from the start");
        if used(last) + used(&spans) > width {
            lines.push(begin("", String::new()));
        }
        lines.last_mut().expect("there is one from the start").extend(spans);
    }
    lines
}
