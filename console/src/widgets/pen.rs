//! A pen that draws text into a rectangle and nowhere else. All text goes through it, so all text is clean and cut.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::text;
use crate::theme::{Look, Theme};

/// A piece of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Span<'a> {
    /// Its text; cleaned when drawn.
    pub text: Cow<'a, str>,
    /// Its style, laid over what is there.
    pub style: Style,
}

impl<'a> Span<'a> {
    /// A piece of text in a style.
    pub fn new(text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// Columns that it takes.
    pub fn width(&self) -> u16 {
        u16::try_from(text::width(&text::clean(&self.text))).unwrap_or(u16::MAX)
    }
}

/// A rectangle to draw in, with its own coordinates from 0.
pub struct Pen<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    /// How things look.
    pub look: &'a Look,
}

impl<'a> Pen<'a> {
    /// A pen for a part of a buffer.
    pub fn new(buffer: &'a mut Buffer, area: Rect, look: &'a Look) -> Self {
        let area = area.intersection(buffer.area);
        Self { buffer, area, look }
    }

    /// Columns.
    pub fn width(&self) -> u16 {
        self.area.width
    }

    /// Rows.
    pub fn height(&self) -> u16 {
        self.area.height
    }

    /// The theme.
    pub fn theme(&self) -> &'a Theme {
        &self.look.theme
    }

    /// A pen for a part of this place; what does not fit is cut off.
    pub fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Pen<'_> {
        let wanted = Rect::new(self.area.x.saturating_add(x), self.area.y.saturating_add(y), width, height);
        let area = wanted.intersection(self.area);
        Pen { buffer: self.buffer, area, look: self.look }
    }

    /// Draws text of at most `width` columns, and says how many it took.
    pub fn put(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return 0;
        }
        let room = width.min(self.area.width - x);
        let fit = text::cut(&text::clean(text), usize::from(room), self.look.glyphs.ellipsis);
        let (left, top) = (self.area.x + x, self.area.y + y);
        let (end, _) = self.buffer.set_stringn(left, top, &fit, usize::from(room), style);
        end - left
    }

    /// Draws pieces one after another, and says how many columns they took.
    pub fn spans(&mut self, x: u16, y: u16, spans: &[Span<'_>]) -> u16 {
        let mut used = 0;
        for span in spans {
            let room = self.area.width.saturating_sub(x + used);
            if room == 0 {
                break;
            }
            used += self.put(x + used, y, room, &span.text, span.style);
        }
        used
    }

    /// Draws pieces so that they end at column `end`, if they fit in what is left of it.
    pub fn spans_right(&mut self, end: u16, y: u16, spans: &[Span<'_>]) -> u16 {
        let width: u16 = spans.iter().map(Span::width).fold(0, u16::saturating_add);
        self.spans(end.saturating_sub(width), y, spans)
    }

    /// A line across, with a title in it.
    pub fn rule(&mut self, y: u16, title: &str, focused: bool) {
        let (glyphs, theme) = (self.look.glyphs, self.theme());
        let (line, style) = if focused { (glyphs.focused_rule, theme.accent) } else { (glyphs.rule, theme.border) };
        self.put(0, y, self.width(), &line.repeat(usize::from(self.width())), style);
        if !title.is_empty() {
            let mark = if focused { format!(" {} ", glyphs.focus) } else { " ".to_owned() };
            let style = if focused { theme.accent } else { theme.strong };
            self.put(1, y, self.width().saturating_sub(1), &format!("{mark}{title} "), style);
        }
    }

    /// Lays a style over a row, where no badge stands.
    pub fn highlight(&mut self, y: u16, style: Style) {
        if y >= self.area.height {
            return;
        }
        for x in self.area.x..self.area.right() {
            if let Some(cell) = self.buffer.cell_mut((x, self.area.y + y)) {
                let badge = cell.bg != self.look.theme.text.bg.unwrap_or_default();
                if !badge {
                    cell.set_style(style);
                }
            }
        }
    }

    /// Empties the place and gives it the theme's own colours.
    pub fn clear(&mut self) {
        for y in self.area.y..self.area.bottom() {
            for x in self.area.x..self.area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                    cell.set_style(self.look.theme.text);
                }
            }
        }
    }

    /// Draws lines of text, wrapped, from row `y` on; says how many rows they took.
    pub fn paragraph(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let width = width.min(self.width().saturating_sub(x));
        let mut row = y;
        for line in text::clean_lines(text) {
            for line in text::wrap(&line, usize::from(width)) {
                self.put(x, row, width, &line, style);
                row = row.saturating_add(1);
            }
        }
        row - y
    }
}
