//! Help: the key table and the commands, as they are, for the place from which it was asked.

use crate::app::{COMMANDS, Mode, Model};
use crate::keys::{self, Binding, Scope};
use crate::text::wrap;
use crate::widgets::{Pen, Span};

/// Columns for the keys, where there is room for them beside the words.
const KEYS: usize = 22;
/// From so many columns on there is.
const WIDE: usize = 60;

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, top: usize) {
    let theme = *pen.theme();
    let room = usize::from(pen.width().saturating_sub(1));
    let mut lines: Vec<Vec<Span<'static>>> = Vec::new();
    let title = |text: &'static str| vec![Span::new(text, theme.accent)];
    let entry = |keys: String, help: &str| {
        let mut lines = Vec::new();
        let (mut head, indent) = if room >= WIDE {
            (Some(Span::new(format!("  {keys:<KEYS$}"), theme.strong)), KEYS + 2)
        } else {
            // No room beside the keys: what they do stands below them.
            lines.push(vec![Span::new(format!(" {keys}"), theme.strong)]);
            (None, 3)
        };
        for text in wrap(help, room.saturating_sub(indent)) {
            let first = head.take().unwrap_or_else(|| Span::new(" ".repeat(indent), theme.text));
            lines.push(vec![first, Span::new(text, theme.text)]);
        }
        lines
    };
    let bound = |binding: &Binding| {
        let keys: Vec<String> = binding.keys.iter().map(|key| key.label()).collect();
        entry(keys.join("  "), binding.help)
    };
    // What would hold if help were closed.
    let here = scopes_below(model);
    lines.push(title("Here"));
    lines
        .extend(keys::bindings(&here).filter(|b| b.scope != Scope::Screen && b.scope != Scope::Always).flat_map(bound));
    lines.push(Vec::new());
    lines.push(title("Everywhere"));
    lines
        .extend(keys::bindings(&here).filter(|b| b.scope == Scope::Screen || b.scope == Scope::Always).flat_map(bound));
    lines.push(Vec::new());
    lines.push(title("After :"));
    for (word, rest, help) in COMMANDS {
        lines.extend(entry(format!("{word} {rest}"), help));
    }
    lines.push(Vec::new());
    lines.push(title("States"));
    for text in [
        "+ as it should be   ! look   x does not work   ? not known, or from old data   = waits",
        "accepted: a provider took it   delivered: it says it arrived   unknown: it may have been taken, never sent twice",
        "Hold shift (or option) to select text with the mouse: the console leaves it to the terminal.",
    ] {
        let text = wrap(text, room.saturating_sub(2));
        lines.extend(text.into_iter().map(|line| vec![Span::new(format!("  {line}"), theme.text)]));
    }
    let height = usize::from(pen.height());
    let top = top.min(lines.len().saturating_sub(height));
    for (y, spans) in lines[top..].iter().take(height).enumerate() {
        pen.spans(1, y as u16, spans);
    }
}

fn scopes_below(model: &Model) -> Vec<Scope> {
    match model.mode {
        Mode::Help(_) => model.screen_scopes(),
        _ => model.scopes(),
    }
}
