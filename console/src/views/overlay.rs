//! What opens over a screen: the menu of acts, and the dialog of one.

use crate::app::{Dialog, Effects, Field, Menu, Model};
use crate::widgets::{Pen, Span};

/// A box in the middle, as large as it may be.
fn boxed<'a>(pen: &'a mut Pen<'_>, width: u16, height: u16, title: &str) -> Pen<'a> {
    let (width, height) = (width.min(pen.width()), height.min(pen.height()));
    let (x, y) = ((pen.width() - width) / 2, (pen.height() - height) / 2);
    pen.part(0, y, pen.width(), height).clear();
    let mut place = pen.part(x, y, width, height);
    place.rule(0, title, true);
    place.rule(height.saturating_sub(1), "", true);
    pen.part(x, y + 1, width, height.saturating_sub(2))
}

pub(super) fn menu(model: &Model, menu: &Menu, pen: &mut Pen<'_>) {
    let mut pen = boxed(pen, 72, menu.entries.len().max(1) as u16 + 5, &menu.title);
    let theme = *pen.theme();
    if menu.entries.is_empty() {
        pen.put(2, 1, pen.width(), "nothing can be done to it as it stands", theme.muted);
    }
    for (i, (_, deed)) in menu.entries.iter().enumerate() {
        let y = 1 + i as u16;
        pen.spans(
            3,
            y,
            &[Span::new(format!("{:<9} ", deed.word()), theme.strong), Span::new(deed.describe(), theme.text)],
        );
        if i == menu.selected {
            pen.put(1, y, 1, pen.look.glyphs.pointer, theme.accent);
            pen.highlight(y, theme.selected);
        }
    }
    if let Some(barred) = model.acts_barred() {
        let y = pen.height().saturating_sub(1);
        pen.put(2, y, pen.width().saturating_sub(2), &barred, theme.strong);
    }
}

pub(super) fn dialog(dialog: &Dialog, pen: &mut Pen<'_>) {
    let told = match &dialog.effects {
        Effects::Told(lines) => lines.len().max(1) as u16,
        Effects::Asked(_) => 1,
        Effects::Refused(_) | Effects::Needs(_) => 3,
    };
    // All fields but the two buttons stand on lines of their own.
    let inputs = dialog.fields().len() as u16 - 2;
    let mut pen = boxed(pen, 76, told + inputs + 8, &dialog.title);
    let theme = *pen.theme();
    let width = pen.width().saturating_sub(4);
    pen.put(2, 0, width, dialog.deed.describe(), theme.text);
    let mut y = 2;
    match &dialog.effects {
        Effects::Asked(far) => {
            let gap = if far.is_empty() { "" } else { ": " };
            pen.put(2, y, width, &format!("asking the daemon what it would do{gap}{far}"), theme.muted);
            y += 1;
        }
        Effects::Refused(why) | Effects::Needs(why) => y += pen.paragraph(2, y, width, why, theme.strong).min(3),
        Effects::Told(lines) if lines.is_empty() => {
            pen.put(2, y, width, "nothing would change", theme.text);
            y += 1;
        }
        Effects::Told(lines) => {
            for line in lines {
                pen.spans(
                    2,
                    y,
                    &[
                        Span::new(line.what.as_str(), theme.strong),
                        Span::new(" ", theme.text),
                        Span::new(line.effect.as_str(), theme.text),
                    ],
                );
                y += 1;
            }
        }
    }
    y += 1;
    let field = |pen: &mut Pen<'_>, y: u16, label: &str, text: &str, on: bool| {
        let style = if on { theme.accent } else { theme.muted };
        let used = pen.spans(2, y, &[Span::new(format!("{label:<23}"), style)]);
        let room = usize::from(pen.width().saturating_sub(used + 5)).max(1);
        let tail: String =
            text.chars().rev().take(room.saturating_sub(1)).collect::<Vec<_>>().into_iter().rev().collect();
        let line = format!("{tail:<room$}");
        let underlined =
            theme.text.patch(ratatui::style::Style::new().add_modifier(ratatui::style::Modifier::UNDERLINED));
        pen.put(used + 2, y, room as u16, &line, underlined);
        if on {
            let at = used + 2 + (crate::text::width(&tail) as u16).min(room as u16 - 1);
            pen.put(at, y, 1, " ", theme.selected);
        }
    };
    for which in dialog.fields() {
        let (label, text) = match which {
            Field::What => (dialog.deed.what().map_or("", |(label, _)| label), &dialog.inputs.what),
            Field::Span => ("for (90s, 30m, 2h, 1d)", &dialog.inputs.span),
            Field::Reason => ("why (for the audit)", &dialog.inputs.reason),
            Field::Name => ("type its name", &dialog.inputs.name),
            Field::Cancel | Field::Act => continue,
        };
        field(&mut pen, y, label, text, dialog.field == which);
        y += 1;
    }
    y += 1;
    let mut x = 2;
    for (which, label) in [(Field::Cancel, "Leave it".to_owned()), (Field::Act, format!("{} it", dialog.deed.word()))] {
        let on = dialog.field == which;
        let label = if on { format!("[{label}]") } else { format!(" {label} ") };
        let style = if on { theme.selected } else { theme.text };
        x += pen.spans(x, y, &[Span::new(label, style)]) + 2;
    }
    if let Some(missing) = &dialog.missing {
        pen.put(2, y + 1, width, missing, theme.strong);
    }
}
