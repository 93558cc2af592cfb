//! Colours and glyphs. A state is always word, glyph and colour together, so that each can be missing.
//!
//! The default theme leaves text in the terminal's own colours and paints only badges; whatever it colours besides reads
//! on black and on white alike. A test holds every pair to the contrast of WCAG (4.5:1 for text, 3:1 for lines).

use std::fmt;
use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

use crate::app::Tone;

/// A theme by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ThemeName {
    /// The terminal's own colours, with badges.
    #[default]
    Default,
    /// Light on dark, in true colour.
    Dark,
    /// Dark on light, in true colour.
    Light,
    /// White on black and pure colours.
    HighContrast,
    /// The terminal's sixteen colours.
    Sixteen,
    /// No colours: reverse, bold, underline and words.
    Mono,
}

impl ThemeName {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Default, Self::Dark, Self::Light, Self::HighContrast, Self::Sixteen, Self::Mono];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::HighContrast => "high-contrast",
            Self::Sixteen => "16",
            Self::Mono => "mono",
        }
    }
}

impl fmt::Display for ThemeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ThemeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|theme| theme.as_str() == text)
            .ok_or_else(|| format!("no theme `{text}`: {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The styles of a theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Text.
    pub text: Style,
    /// Labels and hints.
    pub muted: Style,
    /// Figures and names that matter.
    pub strong: Style,
    /// Titles, and what has the focus: the one accent.
    pub accent: Style,
    /// Lines.
    pub border: Style,
    /// Laid over the selected row.
    pub selected: Style,
    /// Bars and sparklines.
    pub bar: Style,
    ok: Style,
    warning: Style,
    critical: Style,
    unknown: Style,
}

const fn on(fg: Color, bg: Color) -> Style {
    Style::new().fg(fg).bg(bg)
}

const fn rgb(hex: u32) -> Color {
    Color::Rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

impl Theme {
    /// The theme of that name.
    pub const fn named(name: ThemeName) -> Self {
        match name {
            // 243 and 63 are the grey and the blue of the 256 colours that reach 4.5:1 on black and on white.
            ThemeName::Default => Self {
                text: Style::new(),
                muted: Style::new().fg(Color::Indexed(243)),
                strong: Style::new().add_modifier(Modifier::BOLD),
                accent: Style::new().fg(Color::Indexed(63)).add_modifier(Modifier::BOLD),
                border: Style::new().fg(Color::Indexed(243)),
                selected: Style::new().add_modifier(Modifier::REVERSED),
                bar: Style::new().fg(Color::Indexed(63)),
                ok: on(Color::Indexed(16), Color::Indexed(39)),
                warning: on(Color::Indexed(16), Color::Indexed(214)),
                critical: on(Color::Indexed(16), Color::Indexed(203)).add_modifier(Modifier::BOLD),
                unknown: on(Color::Indexed(16), Color::Indexed(250)),
            },
            ThemeName::Dark => {
                let bg = rgb(0x15_181e);
                Self {
                    text: on(rgb(0xd6_dae2), bg),
                    muted: on(rgb(0x93_9cab), bg),
                    strong: on(rgb(0xff_ffff), bg).add_modifier(Modifier::BOLD),
                    accent: on(rgb(0x8f_b8ff), bg).add_modifier(Modifier::BOLD),
                    border: on(rgb(0x6a_7383), bg),
                    selected: Style::new().bg(rgb(0x2b_3647)).fg(rgb(0xff_ffff)),
                    bar: on(rgb(0x8f_b8ff), bg),
                    ok: on(rgb(0x06_141c), rgb(0x4f_b8f0)),
                    warning: on(rgb(0x1c_1200), rgb(0xff_b53d)),
                    critical: on(rgb(0x1e_0606), rgb(0xff_7a70)).add_modifier(Modifier::BOLD),
                    unknown: on(rgb(0x10_1216), rgb(0xb4_bac4)),
                }
            }
            ThemeName::Light => {
                let bg = rgb(0xfb_fbf8);
                Self {
                    text: on(rgb(0x22_262e), bg),
                    muted: on(rgb(0x5c_6470), bg),
                    strong: on(rgb(0x00_0000), bg).add_modifier(Modifier::BOLD),
                    accent: on(rgb(0x1d_4fb8), bg).add_modifier(Modifier::BOLD),
                    border: on(rgb(0x82_8a96), bg),
                    selected: Style::new().bg(rgb(0xd3_e1fb)).fg(rgb(0x00_0000)),
                    bar: on(rgb(0x1d_4fb8), bg),
                    ok: on(rgb(0xff_ffff), rgb(0x00_609a)),
                    warning: on(rgb(0x1c_1200), rgb(0xf2_a31b)),
                    critical: on(rgb(0xff_ffff), rgb(0xb8_1f1f)).add_modifier(Modifier::BOLD),
                    unknown: on(rgb(0xff_ffff), rgb(0x5c_6470)),
                }
            }
            ThemeName::HighContrast => {
                let bg = rgb(0x00_0000);
                let white = rgb(0xff_ffff);
                Self {
                    text: on(white, bg),
                    muted: on(white, bg),
                    strong: on(white, bg).add_modifier(Modifier::BOLD),
                    accent: on(rgb(0xff_ff00), bg).add_modifier(Modifier::BOLD),
                    border: on(white, bg),
                    selected: on(bg, white).add_modifier(Modifier::BOLD),
                    bar: on(rgb(0x00_ffff), bg),
                    ok: on(bg, rgb(0x00_ffff)),
                    warning: on(bg, rgb(0xff_ff00)),
                    critical: on(bg, rgb(0xff_8080)).add_modifier(Modifier::BOLD),
                    unknown: on(bg, white),
                }
            }
            ThemeName::Sixteen => Self {
                text: Style::new(),
                muted: Style::new(),
                strong: Style::new().add_modifier(Modifier::BOLD),
                accent: Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
                border: Style::new(),
                selected: Style::new().add_modifier(Modifier::REVERSED),
                bar: Style::new(),
                ok: on(Color::Black, Color::Cyan),
                warning: on(Color::Black, Color::Yellow),
                critical: on(Color::White, Color::Red).add_modifier(Modifier::BOLD),
                unknown: on(Color::Black, Color::Gray),
            },
            ThemeName::Mono => Self {
                text: Style::new(),
                muted: Style::new(),
                strong: Style::new().add_modifier(Modifier::BOLD),
                accent: Style::new().add_modifier(Modifier::BOLD.union(Modifier::UNDERLINED)),
                border: Style::new(),
                selected: Style::new().add_modifier(Modifier::REVERSED),
                bar: Style::new(),
                ok: Style::new(),
                warning: Style::new().add_modifier(Modifier::BOLD),
                critical: Style::new().add_modifier(Modifier::REVERSED.union(Modifier::BOLD)),
                unknown: Style::new().add_modifier(Modifier::UNDERLINED),
            },
        }
    }

    /// The style of a badge.
    pub const fn badge(&self, tone: Tone) -> Style {
        match tone {
            Tone::Ok => self.ok,
            Tone::Warning => self.warning,
            Tone::Critical => self.critical,
            Tone::Unknown => self.unknown,
            Tone::Plain => self.muted,
        }
    }
}

/// The characters that lines and charts are made of. States use ASCII in both sets: `+ ! x ?`.
#[derive(Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// A horizontal line.
    pub rule: &'static str,
    /// The same in the panel that has the focus.
    pub focused_rule: &'static str,
    /// Between the parts of a path.
    pub path: &'static str,
    /// Before the selected row.
    pub pointer: &'static str,
    /// For what was cut.
    pub ellipsis: &'static str,
    /// Steps of a sparkline, from low to high; the first is for zero.
    pub spark: [&'static str; 8],
    /// The full part of a bar.
    pub full: &'static str,
    /// The rest of a bar.
    pub empty: &'static str,
    /// Marks the panel that has the focus.
    pub focus: &'static str,
    /// The end of the arrow at a column that is sorted by, up.
    pub ascending: &'static str,
    /// The same, down.
    pub descending: &'static str,
    /// Between two remarks.
    pub dot: &'static str,
}

/// For terminals that draw Unicode.
pub static UNICODE: Glyphs = Glyphs {
    rule: "─",
    focused_rule: "━",
    path: "›",
    pointer: "▸",
    ellipsis: "…",
    spark: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    full: "█",
    empty: "░",
    focus: "●",
    ascending: "↑",
    descending: "↓",
    dot: "·",
};

/// For the rest.
pub static ASCII: Glyphs = Glyphs {
    rule: "-",
    focused_rule: "=",
    path: ">",
    pointer: ">",
    ellipsis: "~",
    spark: ["_", ".", ":", "-", "=", "+", "*", "#"],
    full: "#",
    empty: ".",
    focus: "*",
    ascending: "^",
    descending: "v",
    dot: "-",
};

/// A theme and a set of glyphs: all that a view needs to know of the terminal.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Styles.
    pub theme: Theme,
    /// Characters.
    pub glyphs: &'static Glyphs,
}

impl Look {
    /// The look of a theme, in ASCII or not.
    pub fn new(theme: ThemeName, ascii: bool) -> Self {
        Self { theme: Theme::named(theme), glyphs: if ascii { &ASCII } else { &UNICODE } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red, green and blue of a colour, xterm's for those that the terminal decides.
    fn parts(colour: Color) -> Option<[u8; 3]> {
        Some(match colour {
            Color::Rgb(r, g, b) => [r, g, b],
            Color::Indexed(i @ 16..=231) => {
                let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
                let i = i - 16;
                [level(i / 36), level(i / 6 % 6), level(i % 6)]
            }
            Color::Indexed(i @ 232..) => [8 + 10 * (i - 232); 3],
            Color::Black => [0, 0, 0],
            Color::Red => [205, 0, 0],
            Color::Yellow => [205, 205, 0],
            Color::Cyan => [0, 205, 205],
            Color::Gray => [229, 229, 229],
            Color::White => [255, 255, 255],
            _ => return None,
        })
    }

    fn luminance(rgb: [u8; 3]) -> f64 {
        let [r, g, b] = rgb.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// The worst contrast that a style can come to: on black and on white where the terminal decides the background.
    fn worst(style: Style) -> f64 {
        let fg = style.fg.and_then(parts);
        let bg = style.bg.and_then(parts);
        match (fg, bg) {
            (Some(fg), Some(bg)) => contrast(fg, bg),
            (Some(fg), None) => contrast(fg, [0; 3]).min(contrast(fg, [255; 3])),
            // The terminal's own pair.
            (None, None) => f64::INFINITY,
            (None, Some(_)) => 0.0,
        }
    }

    #[test]
    fn every_pair_of_every_theme_can_be_read() {
        for name in ThemeName::ALL {
            let t = Theme::named(name);
            let pairs = [
                ("text", t.text, 4.5),
                ("muted", t.muted, 4.5),
                ("strong", t.strong, 4.5),
                ("accent", t.accent, 4.5),
                ("selected", t.selected, 4.5),
                ("ok", t.ok, 4.5),
                ("warning", t.warning, 4.5),
                ("critical", t.critical, 4.5),
                ("unknown", t.unknown, 4.5),
                ("border", t.border, 3.0),
                ("bar", t.bar, 3.0),
            ];
            for (what, style, least) in pairs {
                let ratio = worst(style);
                assert!(ratio >= least, "{name}: {what} has {ratio:.2}:1, needs {least}:1");
            }
        }
    }

    #[test]
    fn nothing_dims_and_nothing_blinks() {
        let forbidden = Modifier::DIM | Modifier::SLOW_BLINK | Modifier::RAPID_BLINK;
        for name in ThemeName::ALL {
            let t = Theme::named(name);
            for style in [t.text, t.muted, t.strong, t.accent, t.selected, t.ok, t.warning, t.critical, t.unknown] {
                assert!(!style.add_modifier.intersects(forbidden), "{name}");
            }
        }
    }

    #[test]
    fn without_colours_there_is_no_colour_and_states_still_differ() {
        let t = Theme::named(ThemeName::Mono);
        for style in [t.text, t.muted, t.strong, t.accent, t.selected, t.ok, t.warning, t.critical, t.unknown] {
            assert!(style.fg.is_none() && style.bg.is_none());
        }
        let tones = [Tone::Ok, Tone::Warning, Tone::Critical, Tone::Unknown].map(|tone| t.badge(tone));
        for (i, a) in tones.iter().enumerate() {
            assert!(tones[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn ascii_is_ascii() {
        let g = &ASCII;
        let singles = [
            g.rule,
            g.focused_rule,
            g.path,
            g.pointer,
            g.ellipsis,
            g.full,
            g.empty,
            g.focus,
            g.ascending,
            g.descending,
            g.dot,
        ];
        assert!(singles.into_iter().chain(g.spark).all(|s| s.is_ascii() && s.len() == 1));
    }
}
