//! The screens: each a plain function of the model onto a frame. [`draw`] puts the chrome around the one that is shown.

mod alerts;
mod campaign;
mod campaigns;
mod chrome;
mod help;
mod log;
mod message;
mod overlay;
mod overview;
mod providers;
mod sla;
mod svg;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use svg::to_svg;

use crate::app::{Mode, Model, Screen};
use crate::theme::Look;
use crate::widgets::{Pen, Scroll};

/// Draws the whole screen, at any size down to nothing.
pub fn draw(model: &Model, look: &Look, scroll: &mut Scroll, buffer: &mut Buffer) {
    let area: Rect = buffer.area;
    let mut pen = Pen::new(buffer, area, look);
    pen.clear();
    let (width, height) = (pen.width(), pen.height());
    if width < 30 || height < 5 {
        chrome::one_line(model, &mut pen);
        return;
    }
    // Little rooms give up hints first, then the line of notices where there is nothing to say.
    let hints = u16::from(height >= 12);
    let notice = u16::from(height >= 12 || chrome::has_notice(model));
    chrome::status(model, &mut pen.part(0, 0, width, 1));
    let body_top = if height >= 12 { 2 } else { 1 };
    let body = height - body_top - hints - notice;
    draw_body(model, &mut pen.part(0, body_top, width, body), scroll);
    if notice == 1 {
        chrome::notice(model, &mut pen.part(0, body_top + body, width, 1));
    }
    if hints == 1 {
        chrome::hints(model, &mut pen.part(0, height - 1, width, 1));
    }
}

fn draw_body(model: &Model, pen: &mut Pen<'_>, scroll: &mut Scroll) {
    if let Mode::Help(top) = &model.mode {
        return help::draw(model, pen, *top);
    }
    if model.shown().is_empty() {
        chrome::waiting(model, pen);
    } else {
        match model.screen() {
            Screen::Overview => overview::draw(model, pen, scroll),
            Screen::Providers => providers::list(model, pen, scroll, true),
            Screen::Provider(name) => providers::detail(model, name, pen),
            Screen::Campaigns => campaigns::draw(model, pen, scroll, true),
            Screen::Campaign(id) => campaign::draw(model, *id, pen, scroll),
            Screen::Message(_, id) => message::draw(model, *id, pen),
            Screen::Sla => sla::draw(model, pen, scroll),
            Screen::Alerts => alerts::draw(model, pen, scroll),
            Screen::Log => log::draw(model, pen),
        }
    }
    match &model.mode {
        Mode::Menu(menu) => overlay::menu(model, menu, pen),
        Mode::Dialog(dialog) => overlay::dialog(dialog, pen),
        Mode::Screen | Mode::Help(_) | Mode::Filter { .. } | Mode::Command(_) => {}
    }
}

#[cfg(test)]
mod tests;
