//! Screen 9: what the daemon did and what befell it. It follows the end until somebody scrolls up; `G` follows again.

use crate::app::Model;
use crate::figures;
use crate::widgets::{Pen, Span, level};

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let shown = model.shown();
    let rows = model.log_rows();
    let skipped = match shown.log_skipped {
        0 => String::new(),
        n => format!(", {} skipped for a slow line", figures::count(n)),
    };
    let follow = if model.log_back == 0 {
        "following".to_owned()
    } else {
        format!("{} newer below, G follows", figures::count(model.log_back as u64))
    };
    pen.rule(0, &format!("log: {} events{skipped} ({follow})", figures::count(rows.len() as u64)), true);
    if rows.is_empty() {
        let said = if model.log_filter.is_empty() {
            "nothing has happened yet"
        } else {
            "nothing passes the filter; Esc shows all"
        };
        pen.put(1, 1, pen.width(), said, theme.muted);
        return;
    }
    let height = usize::from(pen.height().saturating_sub(1));
    let last = rows.len().saturating_sub(model.log_back.min(rows.len() - 1));
    let first = last.saturating_sub(height);
    for (line, index) in rows[first..last].iter().enumerate() {
        let Some(event) = shown.log.get(*index) else { continue };
        let y = 1 + line as u16;
        let badge = level(event.level);
        let wide = pen.width() >= 60;
        let mut x = pen.spans(0, y, &[Span::new(format!(" {} ", figures::time_of_day(event.at)), theme.muted)]);
        x += pen.spans(
            x,
            y,
            &[
                Span::new(format!(" {} ", badge.glyph), theme.badge(badge.tone)),
                Span::new(if wide { format!(" {:<8}", badge.word) } else { " ".to_owned() }, theme.text),
            ],
        );
        if wide {
            pen.put(x, y, 20, &event.object, theme.strong);
            x += 21;
        }
        pen.put(x, y, pen.width().saturating_sub(x), &event.text, theme.text);
        if model.log_back > 0 && line + 1 == last - first {
            pen.highlight(y, theme.selected);
        }
    }
}
