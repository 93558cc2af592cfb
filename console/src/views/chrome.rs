//! What surrounds every screen: the status line, the line of notices and prompts, the hints.

use usher_common::model::{AlertRow, Health, Overview};

use crate::app::{Mode, Model, Screen, Tone, complete};
use crate::figures;
use crate::keys;
use crate::session::LinkState;
use crate::widgets::{Pen, Span};

/// Environment, where one is, and, from the right, connection, freeze, arming, findings, the time.
///
/// Where room is short, environment and arming stand whole: they say what a key would do, and to whom. The connection is
/// cut before them, and the path before that.
pub(super) fn status(model: &Model, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let end = pen.width();
    let mut right: Vec<Vec<Span<'_>>> = Vec::new();
    if let Some(frozen) = &model.frozen {
        let age = model.now.mono.saturating_sub(frozen.at).as_secs();
        let new = if frozen.new_events > 0 { format!(", {} new", frozen.new_events) } else { String::new() };
        right.push(vec![Span::new(format!(" = PAUSED {}{new} ", figures::span(age)), theme.badge(Tone::Warning))]);
    }
    if let Some(left) = model.armed_for() {
        let words = format!(" ARMED {}:{:02} ", left.as_secs() / 60, left.as_secs() % 60);
        right.push(vec![Span::new(words, theme.badge(Tone::Warning))]);
    }
    let needed = right.len();
    if model.armed_for().is_none() {
        right.push(vec![Span::new("read-only", theme.muted)]);
    }
    let wrong = findings(model.shown().overview.as_ref());
    if wrong > 0 {
        right.push(vec![Span::new(format!("{wrong} wrong"), theme.strong)]);
    }
    // What somebody was told of and nobody has taken over.
    let told = |alert: &&AlertRow| alert.told && alert.state.is_active() && alert.acknowledged_until.is_none();
    let alerts = model.shown().alerts.iter().flat_map(|rows| rows.values()).filter(told).count();
    if alerts > 0 {
        let word = if alerts == 1 { "alert" } else { "alerts" };
        right.push(vec![Span::new(format!(" {alerts} {word} (5) "), theme.badge(Tone::Critical))]);
    }
    right.push(vec![Span::new(figures::clock(model.daemon_now()), theme.text)]);

    let environment = model
        .data
        .overview
        .as_ref()
        .map(|o| o.environment.as_str())
        .or_else(|| model.welcome.as_ref().map(|w| w.environment.as_str()))
        .filter(|name| !name.is_empty())
        .unwrap_or("usher");
    let style = if environment == "production" {
        theme.strong.patch(ratatui::style::Style::new().add_modifier(ratatui::style::Modifier::REVERSED))
    } else {
        theme.strong
    };
    let width = |spans: &[Span<'_>]| spans.iter().map(Span::width).sum::<u16>();
    let left = pen.spans(0, 0, &[Span::new(format!(" {} ", environment.to_uppercase()), style)]);
    let kept: u16 = right[..needed].iter().map(|spans| width(spans) + 1).sum();
    let (words, tone) = link_words(model);
    let link = Span::new(format!(" {words} "), theme.badge(tone));
    let link_width = link.width().min(end.saturating_sub(left + 1 + kept));
    let mut free = end.saturating_sub(link_width);
    pen.part(free, 0, link_width, 1).spans(0, 0, &[link]);
    for spans in &right[..needed] {
        free = free.saturating_sub(u16::from(free < end) + width(spans));
        pen.spans(free.max(left), 0, spans);
    }
    let mut path_pen = pen.part(left, 0, free.saturating_sub(left + 1), 1);
    let mut used = 0;
    let parts = path(model);
    for (i, part) in parts.iter().enumerate() {
        let style = if i + 1 == parts.len() { theme.accent } else { theme.text };
        let glyph = Span::new(format!(" {} ", path_pen.look.glyphs.path), theme.border);
        used += path_pen.spans(used, 0, &[glyph, Span::new(part.clone(), style)]);
        if used >= path_pen.width() {
            break;
        }
    }
    // The rest only where there is room beside the path.
    for spans in &right[needed..] {
        let Some(at) = free.checked_sub(width(spans) + 1).filter(|at| *at > left + used + 1) else { break };
        pen.spans(at, 0, spans);
        free = at;
    }
}

/// How the line stands, in words, and how that is meant.
fn link_words(model: &Model) -> (String, Tone) {
    let age = model.data_age().map(|age| figures::span(age.as_secs()));
    match &model.link {
        LinkState::Connecting => ("CONNECTING".to_owned(), Tone::Unknown),
        LinkState::Live(_) if model.data_age().is_some_and(|age| age >= crate::session::STALE_AFTER) => {
            (format!("? STALE {}", age.unwrap_or_default()), Tone::Warning)
        }
        LinkState::Live(None) => ("+ LIVE".to_owned(), Tone::Ok),
        LinkState::Live(Some(ms)) => (format!("+ LIVE {ms}ms"), Tone::Ok),
        LinkState::Stale => (format!("? STALE {}", age.unwrap_or_default()), Tone::Warning),
        LinkState::Backoff { tries, until, .. } => {
            let left = until.saturating_sub(model.now.mono).as_secs_f64().ceil() as u64;
            let stale = age.filter(|_| model.is_stale()).map(|age| format!("STALE {age} ")).unwrap_or_default();
            (format!("x {stale}RECONNECTING {tries} in {left}s"), Tone::Critical)
        }
        LinkState::Incompatible(_) => ("x INCOMPATIBLE".to_owned(), Tone::Critical),
        LinkState::Denied(_) => ("x DENIED".to_owned(), Tone::Critical),
    }
}

fn findings(overview: Option<&Overview>) -> usize {
    overview.map_or(0, |o| o.findings.iter().filter(|(health, _)| *health != Health::Ok).count())
}

fn path(model: &Model) -> Vec<String> {
    model
        .stack
        .iter()
        .map(|screen| match screen {
            Screen::Overview => "overview".to_owned(),
            Screen::Providers => "providers".to_owned(),
            Screen::Provider(name) => name.clone(),
            Screen::Campaigns => "campaigns".to_owned(),
            Screen::Campaign(id) => match model.campaign(*id) {
                Some(row) => format!("{id} {}", row.name),
                None => id.to_string(),
            },
            Screen::Message(_, id) => id.to_string(),
            Screen::Sla => "service levels".to_owned(),
            Screen::Alerts => "alerts".to_owned(),
            Screen::Log => "log".to_owned(),
        })
        .collect()
}

/// Whether there is something to say above the hints.
pub(super) fn has_notice(model: &Model) -> bool {
    model.notice.is_some() || matches!(model.mode, Mode::Filter { .. } | Mode::Command(_)) || !model.filter().is_empty()
}

/// The prompt, or the last notice, or the filter that holds.
pub(super) fn notice(model: &Model, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let cursor = theme.text.patch(ratatui::style::Style::new().add_modifier(ratatui::style::Modifier::REVERSED));
    match &model.mode {
        Mode::Command(line) => {
            let used = pen.spans(
                0,
                0,
                &[Span::new(":", theme.accent), Span::new(line.as_str(), theme.text), Span::new(" ", cursor)],
            );
            let found = complete(model, line);
            let words: Vec<&str> = found.iter().map(|l| l.rsplit_once(' ').map_or(l.as_str(), |(_, w)| w)).collect();
            pen.spans(used + 2, 0, &[Span::new(words.join("  "), theme.muted)]);
        }
        Mode::Filter { .. } => {
            pen.spans(
                0,
                0,
                &[Span::new("/", theme.accent), Span::new(model.filter(), theme.text), Span::new(" ", cursor)],
            );
        }
        _ => match &model.notice {
            Some(notice) => {
                let glyph = match notice.tone {
                    Tone::Ok => " + ",
                    Tone::Warning => " ! ",
                    Tone::Critical => " x ",
                    Tone::Unknown => " ? ",
                    Tone::Plain => "",
                };
                let used = pen.spans(0, 0, &[Span::new(glyph, theme.badge(notice.tone))]);
                let text = notice.text.replace("\n ", "");
                pen.spans(used + u16::from(used > 0), 0, &[Span::new(text, theme.text)]);
            }
            None if !model.filter().is_empty() => {
                pen.spans(
                    0,
                    0,
                    &[
                        Span::new("filter ", theme.muted),
                        Span::new(model.filter(), theme.strong),
                        Span::new("  Esc shows all", theme.muted),
                    ],
                );
            }
            None => {}
        },
    }
}

/// The keys that matter here, as many as fit.
pub(super) fn hints(model: &Model, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let scopes = model.scopes();
    let mut x = 0;
    for binding in keys::bindings(&scopes).filter(|b| !b.hint.is_empty()) {
        let armed = binding.action == keys::Action::Arm && model.armed_for().is_some();
        let hint = if armed { "disarm" } else { binding.hint };
        let spans = [Span::new(binding.keys[0].label(), theme.strong), Span::new(format!(" {hint}"), theme.muted)];
        let width: u16 = spans.iter().map(Span::width).sum();
        if x + width > pen.width() {
            break;
        }
        x += pen.spans(x, 0, &spans) + 2;
    }
    if matches!(model.mode, Mode::Screen) {
        let screens = "1 overview  2 providers  3 campaigns  4 levels  5 alerts  9 log";
        if x + screens.len() as u16 + 2 <= pen.width() {
            let end = pen.width();
            pen.spans_right(end, 0, &[Span::new(screens, theme.muted)]);
        }
    }
}

/// Nothing has come yet: where it is looked for, and what went wrong.
pub(super) fn waiting(model: &Model, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let width = pen.width().saturating_sub(4);
    let mut y = 1;
    y += pen.paragraph(2, y, width, &format!("Waiting for the daemon at {}", model.target), theme.strong);
    let why = match &model.link {
        LinkState::Backoff { why, .. } | LinkState::Incompatible(why) | LinkState::Denied(why) => why.as_str(),
        LinkState::Connecting => "connecting",
        LinkState::Live(_) | LinkState::Stale => "connected; the first snapshot is on its way",
    };
    y += 1;
    y += pen.paragraph(2, y, width, why, theme.text);
    pen.paragraph(2, y + 1, width, "The console stays and tries again by itself; R tries now.", theme.muted);
}

/// A screen with room for one line: how many of each.
pub(super) fn one_line(model: &Model, pen: &mut Pen<'_>) {
    let theme = pen.theme();
    let (mut ok, mut warn, mut down, mut unknown) = (0, 0, 0, 0);
    for row in model.shown().providers.iter().flatten().map(|(_, row)| row) {
        match row.health {
            _ if model.is_stale() => unknown += 1,
            Health::Ok => ok += 1,
            Health::Warning => warn += 1,
            Health::Critical => down += 1,
            Health::Unknown => unknown += 1,
        }
    }
    let text = if model.shown().providers.is_none() {
        link_words(model).0
    } else {
        let mut parts = Vec::new();
        for (n, word) in [(down, "DOWN"), (warn, "WARN"), (unknown, "?"), (ok, "OK")] {
            if n > 0 {
                parts.push(format!("{n} {word}"));
            }
        }
        parts.join(", ")
    };
    pen.spans(0, 0, &[Span::new(text, theme.text)]);
}
