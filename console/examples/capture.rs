//! Writes a picture of the overview, drawn from fixed data, for the README:
//! `cargo run -p usher --features fixtures --example capture -- overview.svg`

use std::process::ExitCode;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use usher::theme::{Look, ThemeName};
use usher::widgets::Scroll;
use usher::{fixtures, views};

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_else(|| "overview.svg".to_owned());
    let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 30));
    let model = fixtures::live(ThemeName::Dark);
    views::draw(&model, &Look::new(ThemeName::Dark, false), &mut Scroll::default(), &mut buffer);
    match std::fs::write(&path, views::to_svg(&buffer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
