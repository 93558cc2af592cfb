//! A screen as an SVG picture, for documents. Fonts and colours are those of a plain dark terminal.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

const CELL: (f64, f64) = (8.4, 18.0);
const PAPER: &str = "#15181e";
const INK: &str = "#d6dae2";

/// Draws the buffer as a picture of so many columns and rows.
pub fn to_svg(buffer: &Buffer) -> String {
    let (width, height) = (f64::from(buffer.area.width) * CELL.0, f64::from(buffer.area.height) * CELL.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', \
         Menlo, Consolas, monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n",
        width + 24.0,
        height + 24.0
    );
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut x = buffer.area.left();
        while x < buffer.area.right() {
            let Some(first) = buffer.cell((x, y)) else { break };
            let style = first.style();
            let start = x;
            let mut text = String::new();
            while let Some(cell) = buffer.cell((x, y)).filter(|cell| x < buffer.area.right() && cell.style() == style) {
                text.push_str(cell.symbol());
                x += 1;
            }
            let (mut ink, mut paper) = (colour(style.fg).unwrap_or_else(|| INK.to_owned()), colour(style.bg));
            if style.add_modifier.contains(Modifier::REVERSED) {
                (ink, paper) = (paper.unwrap_or_else(|| PAPER.to_owned()), Some(ink));
            }
            let (left, top) = (12.0 + f64::from(start) * CELL.0, 12.0 + f64::from(y) * CELL.1);
            let wide = f64::from(x - start) * CELL.0;
            if let Some(paper) = paper.filter(|p| p != PAPER) {
                let _ = writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" fill=\"{paper}\"/>",
                    CELL.1
                );
            }
            if !text.trim().is_empty() {
                let bold = if style.add_modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
                let _ = writeln!(
                    out,
                    "<text x=\"{left:.1}\" y=\"{:.1}\" fill=\"{ink}\"{bold} textLength=\"{wide:.1}\" xml:space=\"preserve\">{}</text>",
                    top + 13.5,
                    escape(&text)
                );
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn colour(colour: Option<Color>) -> Option<String> {
    let hex = |r: u8, g: u8, b: u8| Some(format!("#{r:02x}{g:02x}{b:02x}"));
    match colour? {
        Color::Rgb(r, g, b) => hex(r, g, b),
        Color::Indexed(i @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            let i = i - 16;
            hex(level(i / 36), level(i / 6 % 6), level(i % 6))
        }
        Color::Indexed(i @ 232..) => hex(8 + 10 * (i - 232), 8 + 10 * (i - 232), 8 + 10 * (i - 232)),
        _ => None,
    }
}
