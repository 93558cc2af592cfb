//! A table whose columns give way by priority, and which asks only for the rows that it shows.

use std::borrow::Cow;
use std::collections::HashMap;

use ratatui::style::Style;

use super::{Badge, Pen, Span};

/// How wide a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Exactly.
    Fixed(u16),
    /// At least so much; what is left is shared by the weights.
    Flex(u16, u16),
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// How wide.
    pub width: Width,
    /// Whether it stands at the right, as numbers do.
    pub right: bool,
    /// Columns with the highest number go first where there is no room; 0 stays.
    pub priority: u8,
}

impl Column {
    /// Text of a fixed width.
    pub const fn text(title: &'static str, width: u16, priority: u8) -> Self {
        Self { title, width: Width::Fixed(width), right: false, priority }
    }

    /// A number.
    pub const fn number(title: &'static str, width: u16, priority: u8) -> Self {
        Self { title, width: Width::Fixed(width), right: true, priority }
    }

    /// Text that takes what is left.
    pub const fn flex(title: &'static str, least: u16, weight: u16, priority: u8) -> Self {
        Self { title, width: Width::Flex(least, weight), right: false, priority }
    }

    const fn least(&self) -> u16 {
        match self.width {
            Width::Fixed(width) | Width::Flex(width, _) => width,
        }
    }
}

/// What stands in a cell.
#[derive(Debug, Clone)]
pub enum Cell<'a> {
    /// Text.
    Text(Cow<'a, str>, Style),
    /// A state.
    Badge(Badge),
    /// A bar: so much of so much.
    Bar(u64, u64),
}

impl<'a> Cell<'a> {
    /// Text in a style.
    pub fn new(text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Self::Text(text.into(), style)
    }
}

/// Where each list's window stands. Belongs to whoever draws; forgetting it harms nothing.
#[derive(Debug, Clone, Default)]
pub struct Scroll {
    tops: HashMap<&'static str, usize>,
}

impl Scroll {
    /// The first row to show, so that the selected one can be seen and as little as possible moves.
    pub fn window(&mut self, list: &'static str, selected: usize, rows: usize, height: usize) -> usize {
        let top = self.tops.entry(list).or_insert(0);
        if height == 0 {
            return 0;
        }
        *top = (*top).min(rows.saturating_sub(height));
        if selected < *top {
            *top = selected;
        } else if selected >= *top + height {
            *top = selected + 1 - height;
        }
        *top
    }
}

/// A table.
pub struct Table<'a> {
    /// Names its scroll position.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'a [Column],
    /// The column that it is sorted by, and whether the other way round.
    pub sorted: Option<(&'static str, bool)>,
    /// How many rows.
    pub rows: usize,
    /// Which one is selected.
    pub selected: Option<usize>,
    /// Whether it has the focus; else the selection is only marked.
    pub focused: bool,
    /// What to say without rows.
    pub empty: &'a str,
}

impl Table<'_> {
    /// Draws it over the whole pen; `row` gives the cells of one row, in the order of the columns.
    pub fn draw<'c>(&self, pen: &mut Pen<'_>, scroll: &mut Scroll, row: impl Fn(usize) -> Vec<Cell<'c>>) {
        let theme = pen.theme();
        let widths = self.widths(pen.width());
        if self.rows == 0 {
            pen.paragraph(1, 0, pen.width().saturating_sub(2), self.empty, theme.muted);
            return;
        }
        let header = u16::from(pen.height() > 2);
        if header == 1 {
            let mut x = 2;
            for (column, width) in self.columns.iter().zip(&widths) {
                let Some(width) = *width else { continue };
                let mark = match self.sorted {
                    Some((by, reverse)) if by == column.title => {
                        if reverse {
                            pen.look.glyphs.descending
                        } else {
                            pen.look.glyphs.ascending
                        }
                    }
                    _ => "",
                };
                let title = format!("{}{mark}", column.title);
                place(pen, x, 0, width, column.right, &[Span::new(title, theme.muted)]);
                x += width + 1;
            }
        }
        let height = usize::from(pen.height() - header);
        let selected = self.selected.unwrap_or(0);
        let top = scroll.window(self.name, selected, self.rows, height);
        for (line, index) in (top..self.rows.min(top + height)).enumerate() {
            let y = header + line as u16;
            let mut x = 2;
            for ((column, width), cell) in self.columns.iter().zip(&widths).zip(row(index)) {
                let Some(width) = *width else { continue };
                match cell {
                    Cell::Text(text, style) => place(pen, x, y, width, column.right, &[Span::new(text, style)]),
                    Cell::Badge(badge) => {
                        let glyph = Span::new(format!(" {} ", badge.glyph), theme.badge(badge.tone));
                        place(pen, x, y, width, false, &[glyph, Span::new(format!(" {}", badge.word), theme.text)]);
                    }
                    Cell::Bar(part, of) => super::bar(pen, x, y, width, part, of),
                }
                x += width + 1;
            }
            if self.selected == Some(index) {
                pen.put(0, y, 1, pen.look.glyphs.pointer, theme.accent);
                if self.focused {
                    pen.highlight(y, theme.selected);
                }
            }
        }
    }

    /// The width of each column, or `None` where it had to go.
    fn widths(&self, total: u16) -> Vec<Option<u16>> {
        let room = total.saturating_sub(2);
        let mut shown: Vec<bool> = vec![true; self.columns.len()];
        let needed = |shown: &[bool]| -> u16 {
            let widths = self.columns.iter().zip(shown).filter(|(_, s)| **s).map(|(c, _)| c.least() + 1);
            widths.fold(0u16, u16::saturating_add).saturating_sub(1)
        };
        while needed(&shown) > room {
            let last = self
                .columns
                .iter()
                .enumerate()
                .filter(|(i, c)| shown[*i] && c.priority > 0)
                .max_by_key(|(i, c)| (c.priority, *i));
            match last {
                Some((i, _)) => shown[i] = false,
                None => break,
            }
        }
        let mut left = room.saturating_sub(needed(&shown));
        let mut weights: u16 = 0;
        for (column, shown) in self.columns.iter().zip(&shown) {
            if let (Width::Flex(_, weight), true) = (column.width, *shown) {
                weights += weight;
            }
        }
        self.columns
            .iter()
            .zip(shown)
            .map(|(column, shown)| {
                shown.then(|| match column.width {
                    Width::Fixed(width) => width,
                    Width::Flex(least, weight) => {
                        let part = u32::from(left) * u32::from(weight);
                        let share = part.checked_div(u32::from(weights)).unwrap_or(0) as u16;
                        left -= share;
                        weights -= weight;
                        least + share
                    }
                })
            })
            .collect()
    }
}

fn place(pen: &mut Pen<'_>, x: u16, y: u16, width: u16, right: bool, spans: &[Span<'_>]) {
    let mut cell = pen.part(x, y, width, 1);
    if right {
        let end = cell.width();
        cell.spans_right(end, 0, spans);
    } else {
        cell.spans(0, 0, spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[Column]) -> Table<'_> {
        Table { name: "t", columns, sorted: None, rows: 1, selected: None, focused: true, empty: "" }
    }

    #[test]
    fn columns_give_way_by_priority_and_the_rest_is_shared() {
        let columns = [Column::flex("name", 8, 1, 0), Column::number("rate", 6, 1), Column::text("why", 20, 2)];
        let table = table(&columns);
        assert_eq!(table.widths(60), [Some(30), Some(6), Some(20)]);
        assert_eq!(table.widths(30), [Some(21), Some(6), None]);
        assert_eq!(table.widths(10), [Some(8), None, None]);
        assert_eq!(table.widths(0), [Some(8), None, None]);
    }

    #[test]
    fn the_window_moves_only_when_the_selection_leaves_it() {
        let mut scroll = Scroll::default();
        assert_eq!(scroll.window("a", 0, 100, 10), 0);
        assert_eq!(scroll.window("a", 9, 100, 10), 0);
        assert_eq!(scroll.window("a", 10, 100, 10), 1);
        assert_eq!(scroll.window("a", 5, 100, 10), 1);
        assert_eq!(scroll.window("a", 0, 100, 10), 0);
        assert_eq!(scroll.window("a", 5, 6, 10), 0);
    }
}
