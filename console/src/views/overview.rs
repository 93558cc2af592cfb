//! Screen 1: what is wrong first, then how fast it goes, then providers and the campaigns that need an eye.

use crate::app::Model;
use crate::figures;
use crate::widgets::{Pen, Scroll, Span, health, spark};

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    let (width, height) = (pen.width(), pen.height());
    let mut y = findings(model, pen, height / 3);
    if height > 9 {
        y += figures_strip(model, pen, y);
    }
    let left = height.saturating_sub(y);
    if width >= 160 {
        let half = width / 2;
        panel_providers(model, &mut pen.part(0, y, half - 1, left), scroll);
        panel_campaigns(model, &mut pen.part(half + 1, y, width - half - 1, left), scroll);
    } else {
        let providers = model.providers.order().len() as u16 + 2;
        let top = providers.min((left / 2).max(3)).min(left);
        panel_providers(model, &mut pen.part(0, y, width, top), scroll);
        panel_campaigns(model, &mut pen.part(0, y + top, width, left - top), scroll);
    }
}

fn panel_providers(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    pen.rule(0, "providers", model.panel == 0);
    let (width, height) = (pen.width(), pen.height());
    super::providers::list(model, &mut pen.part(0, 1, width, height.saturating_sub(1)), scroll, model.panel == 0);
}

fn panel_campaigns(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    pen.rule(0, "campaigns", model.panel == 1);
    let (width, height) = (pen.width(), pen.height());
    super::campaigns::draw(model, &mut pen.part(0, 1, width, height.saturating_sub(1)), scroll, model.panel == 1);
}

/// What is wrong, worst first; says how many rows it took.
fn findings(model: &Model, pen: &mut Pen<'_>, most: u16) -> u16 {
    let theme = pen.theme();
    let stale = model.is_stale();
    let Some(overview) = &model.shown().overview else {
        pen.put(1, 0, pen.width(), "no word from the daemon yet", theme.muted);
        return 2;
    };
    let most = most.max(1);
    let width = pen.width();
    let mut y = 0;
    if overview.findings.is_empty() {
        let badge = health(overview.health).aged(stale);
        let said = if stale { "nothing was wrong when last heard" } else { "nothing is wrong" };
        pen.spans(
            1,
            0,
            &[
                Span::new(format!(" {} {} ", badge.glyph, badge.word), theme.badge(badge.tone)),
                Span::new(format!("  {said}"), theme.strong),
            ],
        );
        return 2;
    }
    for (n, (of, text)) in overview.findings.iter().enumerate() {
        let rest = overview.findings.len() - n;
        if y + 1 >= most && rest > 1 {
            pen.spans(1, y, &[Span::new(format!("and {rest} more: see the log (9)"), theme.strong)]);
            y += 1;
            break;
        }
        let badge = health(*of).aged(stale);
        let used =
            pen.spans(1, y, &[Span::new(format!(" {} {:<4} ", badge.glyph, badge.word), theme.badge(badge.tone))]);
        let room = width.saturating_sub(used + 4);
        let lines = crate::text::wrap(&crate::text::clean(text), usize::from(room.max(1)));
        for line in lines.iter().take(2) {
            pen.put(used + 3, y, room, line, if n == 0 { theme.strong } else { theme.text });
            y += 1;
        }
    }
    y + 1
}

/// The figures of the whole daemon, and the rate of the last minute.
fn figures_strip(model: &Model, pen: &mut Pen<'_>, y: u16) -> u16 {
    let theme = pen.theme();
    let Some(o) = &model.shown().overview else { return 0 };
    let parts = [
        ("rate ", format!("{}/s", figures::rate(o.rate))),
        ("today ", figures::count(o.accepted_today)),
        ("open ", figures::count(o.counts.open())),
        ("in doubt ", figures::count(o.counts.unknown)),
        ("errors ", format!("{:.1}%", o.error_rate_percent)),
        ("p95 ", figures::latency(o.processing_p95_ms)),
        ("campaigns ", figures::count(u64::from(o.campaigns_open))),
        ("up ", figures::age(model.daemon_now(), o.started)),
        ("clients ", figures::count(u64::from(o.clients))),
        ("memory ", figures::bytes(o.memory_bytes)),
    ];
    let mut x = 1;
    for (label, value) in parts {
        let spans = [Span::new(label, theme.muted), Span::new(value, theme.strong)];
        let width: u16 = spans.iter().map(Span::width).sum();
        if x + width > pen.width() {
            break;
        }
        x += pen.spans(x, y, &spans) + 3;
    }
    let room = pen.width().saturating_sub(2).min(100);
    let used = pen.put(1, y + 1, room, "accepted/s  ", theme.muted);
    spark(pen, 1 + used, y + 1, room.saturating_sub(used), &o.history);
    3
}
