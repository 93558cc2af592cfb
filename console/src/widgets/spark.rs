//! A sparkline, never without its numbers, and a bar.

use super::{Pen, Span};
use crate::figures;

/// Draws the last values that fit, and after them the last, the least and the greatest; says how many columns it took.
pub fn spark(pen: &mut Pen<'_>, x: u16, y: u16, width: u16, values: &[u32]) -> u16 {
    let theme = pen.theme();
    let (last, lowest, most) = (
        values.last().copied().unwrap_or(0),
        values.iter().min().copied().unwrap_or(0),
        values.iter().max().copied().unwrap_or(0),
    );
    let numbers = [
        Span::new("  last ", theme.muted),
        Span::new(figures::count(u64::from(last)), theme.strong),
        Span::new("  min ", theme.muted),
        Span::new(figures::count(u64::from(lowest)), theme.text),
        Span::new("  max ", theme.muted),
        Span::new(figures::count(u64::from(most)), theme.text),
    ];
    let taken: u16 = numbers.iter().map(Span::width).sum();
    let width = width.min(pen.width().saturating_sub(x));
    let room = usize::from(width.saturating_sub(taken));
    let shown = &values[values.len().saturating_sub(room)..];
    let steps = pen.look.glyphs.spark;
    let line: String = shown
        .iter()
        .map(|value| {
            let step = if most == 0 { 0 } else { (u64::from(*value) * 7).div_ceil(u64::from(most)).min(7) };
            steps[step as usize]
        })
        .collect();
    let used = pen.put(x, y, width, &line, theme.bar);
    used + pen.spans(x + used, y, &numbers)
}

/// Draws how much of a whole is done.
pub fn bar(pen: &mut Pen<'_>, x: u16, y: u16, width: u16, part: u64, of: u64) {
    let share = if of == 0 { 0.0 } else { part.min(of) as f64 / of as f64 };
    let cells = usize::from(width);
    let full = ((share * f64::from(width)).floor() as usize).min(cells);
    let (theme, glyphs) = (pen.theme(), pen.look.glyphs);
    let used = pen.put(x, y, width, &glyphs.full.repeat(full), theme.bar);
    pen.put(x + used, y, width - used, &glyphs.empty.repeat(cells - full), theme.border);
}
