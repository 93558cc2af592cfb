//! Help: the key table and the commands, as they are, for the place from which it was asked.

use crate::app::{COMMANDS, Mode, Model};
use crate::keys::{self, Binding, Scope};
use crate::widgets::{Pen, Span};

pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, top: usize) {
    let theme = *pen.theme();
    let mut lines: Vec<Vec<Span<'_>>> = Vec::new();
    let title = |text: &'static str| vec![Span::new(text, theme.accent)];
    let line = |binding: &Binding| {
        let keys: Vec<String> = binding.keys.iter().map(|key| key.label()).collect();
        vec![Span::new(format!("  {:<22}", keys.join("  ")), theme.strong), Span::new(binding.help, theme.text)]
    };
    // What would hold if help were closed.
    let here = scopes_below(model);
    lines.push(title("Here"));
    lines.extend(keys::bindings(&here).filter(|b| b.scope != Scope::Screen && b.scope != Scope::Always).map(line));
    lines.push(Vec::new());
    lines.push(title("Everywhere"));
    lines.extend(keys::bindings(&here).filter(|b| b.scope == Scope::Screen || b.scope == Scope::Always).map(line));
    lines.push(Vec::new());
    lines.push(title("After :"));
    for (word, rest, help) in COMMANDS {
        lines.push(vec![
            Span::new(format!("  {:<22}", format!("{word} {rest}")), theme.strong),
            Span::new(help, theme.text),
        ]);
    }
    lines.push(Vec::new());
    lines.push(title("States"));
    for text in [
        "+ as it should be   ! look   x does not work   ? not known, or from old data   = waits",
        "accepted: a provider took it   delivered: it says it arrived   unknown: it may have been taken, never sent twice",
        "Hold shift (or option) to select text with the mouse: the console leaves it to the terminal.",
    ] {
        lines.push(vec![Span::new(format!("  {text}"), theme.text)]);
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
