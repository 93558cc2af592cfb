//! One message: where it stands, whom it is for, and every attempt.

use usher_common::model::MessageId;

use crate::app::Model;
use crate::figures;
use crate::widgets::{Pen, Span, message_state, outcome};

pub(super) fn draw(model: &Model, id: MessageId, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let width = pen.width().saturating_sub(2);
    let Some(detail) = model.shown().message.as_ref().filter(|detail| detail.row.id == id) else {
        pen.put(1, 0, width, "asking for the message", theme.muted);
        return;
    };
    let row = &detail.row;
    let badge = message_state(row.state).aged(model.is_stale() && !row.state.is_final());
    pen.spans(
        1,
        0,
        &[
            Span::new(format!(" {} {} ", badge.glyph, badge.word), theme.badge(badge.tone)),
            Span::new(format!("  {}  ", row.guest_name), theme.strong),
            Span::new(format!("{} by {}, changed {}", row.id, row.channel, figures::exact(row.changed)), theme.muted),
        ],
    );
    let mut y = 1;
    if !row.why.is_empty() {
        y += pen.paragraph(1, y, width, &row.why, theme.text);
    }
    y += 1;
    if let Some(guest) = &model.shown().guest {
        let g = &guest.guest;
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let lines = [
            ("guest", format!("{} on {}, rsvp {}", guest.id, guest.list, g.rsvp)),
            ("e-mail", g.email.clone().unwrap_or_else(|| "-".to_owned())),
            ("phone", g.phone.clone().unwrap_or_else(|| "-".to_owned())),
            ("zone", format!("{}, country {}", or_none(&g.timezone), or_none(&g.country))),
            ("from", format!("{}, vouched for by {}", guest.provenance.source, guest.provenance.vouched_by)),
        ];
        for (label, value) in lines {
            pen.put(1, y, 8, label, theme.muted);
            pen.put(10, y, width.saturating_sub(9), &value, theme.text);
            y += 1;
        }
        y += 1;
    }
    pen.rule(y, &format!("attempts: {}", detail.attempts.len()), true);
    y += 1;
    if detail.attempts.is_empty() {
        pen.put(1, y, width, "none yet", theme.muted);
    }
    for attempt in &detail.attempts {
        let badge = outcome(attempt.class);
        pen.spans(
            1,
            y,
            &[
                Span::new(format!(" {} ", badge.glyph), theme.badge(badge.tone)),
                Span::new(format!(" {:<10}", badge.word), theme.strong),
                Span::new(format!("{:<12} ", attempt.provider), theme.text),
                Span::new(format!("{} UTC  ", figures::time_of_day(attempt.started)), theme.text),
                Span::new(format!("{:>6}  ", figures::latency(attempt.class.map(|_| attempt.latency_ms))), theme.text),
                Span::new(attempt.code.as_str(), theme.strong),
            ],
        );
        y += 1;
        if !attempt.provider_id.is_empty() {
            pen.put(5, y, width.saturating_sub(4), &format!("id {}", attempt.provider_id), theme.muted);
            y += 1;
        }
        if !attempt.detail.is_empty() {
            y += pen.paragraph(5, y, width.saturating_sub(4), &attempt.detail, theme.text);
        }
    }
}
