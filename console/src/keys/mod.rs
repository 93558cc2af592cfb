//! Every key of the console, in one table. Help, hints and the `update` function all read it; nothing else names a key.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key, as the table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A character.
    Char(char),
    /// A character with control.
    Ctrl(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift and tab.
    BackTab,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// To the beginning.
    Home,
    /// To the end.
    End,
    /// Deletes backwards.
    Backspace,
}

impl Key {
    /// The key of a terminal event; `None` for releases and for keys that the console has no use for.
    pub fn of(event: &KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        // An arrow key torn apart on a slow line arrives as Alt and a letter; it must not become that letter.
        if event.modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        Some(match event.code {
            KeyCode::Char(c) if ctrl => Self::Ctrl(c.to_ascii_lowercase()),
            KeyCode::Char(c) => Self::Char(c),
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Esc,
            KeyCode::Tab => Self::Tab,
            KeyCode::BackTab => Self::BackTab,
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            KeyCode::Backspace => Self::Backspace,
            _ => return None,
        })
    }

    /// As help and hints write it.
    pub fn label(self) -> String {
        match self {
            Self::Char(' ') => "space".to_owned(),
            Self::Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("ctrl-{c}"),
            Self::Enter => "Enter".to_owned(),
            Self::Esc => "Esc".to_owned(),
            Self::Tab => "Tab".to_owned(),
            Self::BackTab => "shift-Tab".to_owned(),
            Self::Up => "Up".to_owned(),
            Self::Down => "Down".to_owned(),
            Self::Left => "Left".to_owned(),
            Self::Right => "Right".to_owned(),
            Self::PageUp => "PgUp".to_owned(),
            Self::PageDown => "PgDn".to_owned(),
            Self::Home => "Home".to_owned(),
            Self::End => "End".to_owned(),
            Self::Backspace => "Backspace".to_owned(),
        }
    }
}

/// What a key makes the console do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leave.
    Quit,
    /// Leave, whatever is open.
    ForceQuit,
    /// Leave, and print the screen to the terminal.
    QuitPrinting,
    /// Open or close help.
    Help,
    /// Type a filter.
    Filter,
    /// Type a command.
    Command,
    /// Into the selected row.
    Into,
    /// One step back.
    Back,
    /// Selection up.
    Up,
    /// Selection down.
    Down,
    /// To the first row.
    Top,
    /// To the last row.
    Bottom,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Focus on the next panel or field.
    Next,
    /// Focus on the one before.
    Previous,
    /// Sort by the next column.
    Sort,
    /// Turn the order round.
    Reverse,
    /// Freeze the screen or let it run.
    Freeze,
    /// Copy the id of what is selected.
    Copy,
    /// Arm acts for five minutes, or disarm.
    Arm,
    /// What can be done to the selected row.
    Acts,
    /// Show messages in the next state only.
    NextState,
    /// Connect now, or take all topics anew.
    Retry,
    /// Paint everything again.
    Repaint,
    /// Hand the terminal back to the shell for a while.
    Suspend,
    /// Screen 1.
    Overview,
    /// Screen 2.
    Providers,
    /// Screen 3.
    Campaigns,
    /// Screen 4.
    Sla,
    /// Screen 5.
    Alerts,
    /// Take the selected alert over.
    Acknowledge,
    /// Screen 9.
    Log,
    /// Complete what is being typed.
    Complete,
    /// Take what was typed, or press what has the focus.
    Accept,
    /// Delete a character of what is being typed.
    Erase,
    /// Delete all of it.
    EraseAll,
}

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In every state, dialogs included.
    Always,
    /// On every screen, while nothing is open over it.
    Screen,
    /// On screens with rows.
    Rows,
    /// On screens whose rows can be sorted.
    Sorted,
    /// Where the selected thing can be acted on.
    Actable,
    /// On a campaign's messages.
    Messages,
    /// On alerts.
    Alerts,
    /// In help.
    Help,
    /// While typing a filter or a command.
    Prompt,
    /// In the menu of acts.
    Menu,
    /// In the dialog of one act.
    Dialog,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// Where it holds.
    pub scope: Scope,
    /// Its keys, the one that hints show first.
    pub keys: &'static [Key],
    /// What it does.
    pub action: Action,
    /// A word for the hints; empty keeps it out of them.
    pub hint: &'static str,
    /// A line for help.
    pub help: &'static str,
}

const fn bind(scope: Scope, keys: &'static [Key], action: Action, hint: &'static str, help: &'static str) -> Binding {
    Binding { scope, keys, action, hint, help }
}

use Key::{Char, Ctrl};

/// The table. Within a scope, hints stand in this order, and are dropped from the end where there is no room.
pub static TABLE: &[Binding] = &[
    bind(Scope::Always, &[Ctrl('c')], Action::ForceQuit, "", "quit at once, from anywhere"),
    bind(Scope::Rows, &[Key::Enter], Action::Into, "in", "open the selected row"),
    bind(Scope::Screen, &[Key::Esc], Action::Back, "back", "one step back; clears a filter first; never quits"),
    bind(Scope::Actable, &[Char('x')], Action::Acts, "acts", "what can be done to what is selected"),
    bind(Scope::Actable, &[Char('W')], Action::Arm, "arm", "arm acts for five minutes; again to disarm"),
    bind(
        Scope::Rows,
        &[Char('/')],
        Action::Filter,
        "filter",
        "show only rows that contain a text; !text for the others",
    ),
    bind(Scope::Sorted, &[Char('s')], Action::Sort, "sort", "sort by the next column"),
    bind(Scope::Sorted, &[Char('S')], Action::Reverse, "", "turn the order round"),
    bind(
        Scope::Messages,
        &[Char('f')],
        Action::NextState,
        "state",
        "show only messages in one state; again for the next",
    ),
    bind(
        Scope::Alerts,
        &[Char('a')],
        Action::Acknowledge,
        "acknowledge",
        "take the alerts of this rule over: they are not repeated for half an hour",
    ),
    bind(Scope::Screen, &[Char('?')], Action::Help, "help", "this page"),
    bind(Scope::Screen, &[Char('q')], Action::Quit, "quit", "leave"),
    bind(Scope::Screen, &[Char('Q')], Action::QuitPrinting, "", "leave, and print this screen to the terminal"),
    bind(Scope::Screen, &[Char(':')], Action::Command, "command", "type a command; Tab completes it"),
    bind(Scope::Screen, &[Char('1')], Action::Overview, "", "overview: what is wrong, and how fast it goes"),
    bind(Scope::Screen, &[Char('2')], Action::Providers, "", "providers"),
    bind(Scope::Screen, &[Char('3')], Action::Campaigns, "", "campaigns"),
    bind(Scope::Screen, &[Char('4')], Action::Sla, "", "service levels: what was promised, and how it stands"),
    bind(Scope::Screen, &[Char('5')], Action::Alerts, "", "alerts: what is wrong, since when, and what to do first"),
    bind(Scope::Screen, &[Char('9')], Action::Log, "", "log of the daemon"),
    bind(Scope::Rows, &[Char('j'), Key::Down], Action::Down, "", "next row"),
    bind(Scope::Rows, &[Char('k'), Key::Up], Action::Up, "", "row before"),
    bind(Scope::Rows, &[Char('g'), Key::Home], Action::Top, "", "first row"),
    bind(Scope::Rows, &[Char('G'), Key::End], Action::Bottom, "", "last row; in the log, follow it"),
    bind(Scope::Rows, &[Key::PageDown, Ctrl('d'), Ctrl('f')], Action::PageDown, "", "a page down"),
    bind(Scope::Rows, &[Key::PageUp, Ctrl('u'), Ctrl('b')], Action::PageUp, "", "a page up"),
    bind(Scope::Screen, &[Key::Tab], Action::Next, "", "focus on the next panel"),
    bind(Scope::Screen, &[Key::BackTab], Action::Previous, "", "focus on the panel before"),
    bind(Scope::Screen, &[Char(' ')], Action::Freeze, "", "freeze the screen, or let it run; the daemon goes on"),
    bind(Scope::Rows, &[Char('y')], Action::Copy, "", "copy the id of the selected row (through the terminal, OSC 52)"),
    bind(
        Scope::Screen,
        &[Char('R')],
        Action::Retry,
        "",
        "connect now, without waiting; when live, fetch everything anew",
    ),
    bind(Scope::Screen, &[Ctrl('l')], Action::Repaint, "", "paint the screen again"),
    bind(Scope::Screen, &[Ctrl('z')], Action::Suspend, "", "to the shell; fg brings the console back"),
    bind(Scope::Help, &[Key::Esc, Char('?'), Char('q'), Key::Enter], Action::Back, "close", "close help"),
    bind(Scope::Help, &[Char('j'), Key::Down], Action::Down, "down", "scroll down"),
    bind(Scope::Help, &[Char('k'), Key::Up], Action::Up, "up", "scroll up"),
    bind(Scope::Help, &[Key::PageDown, Char(' '), Ctrl('d')], Action::PageDown, "", "a page down"),
    bind(Scope::Help, &[Key::PageUp, Ctrl('u')], Action::PageUp, "", "a page up"),
    bind(Scope::Prompt, &[Key::Enter], Action::Accept, "take", "take what was typed"),
    bind(Scope::Prompt, &[Key::Esc], Action::Back, "leave", "leave without it"),
    bind(Scope::Prompt, &[Key::Tab], Action::Complete, "complete", "complete the word"),
    bind(Scope::Prompt, &[Key::Backspace], Action::Erase, "", "delete a character"),
    bind(Scope::Prompt, &[Ctrl('u')], Action::EraseAll, "", "delete everything"),
    bind(Scope::Menu, &[Key::Enter], Action::Accept, "see its effect", "ask the daemon what it would do"),
    bind(Scope::Menu, &[Key::Esc, Char('q')], Action::Back, "back", "leave without acting"),
    bind(Scope::Menu, &[Char('j'), Key::Down], Action::Down, "", "next act"),
    bind(Scope::Menu, &[Char('k'), Key::Up], Action::Up, "", "act before"),
    bind(Scope::Menu, &[Char('W')], Action::Arm, "arm", "arm acts for five minutes"),
    bind(Scope::Dialog, &[Key::Tab, Key::Down], Action::Next, "next field", "next field"),
    bind(Scope::Dialog, &[Key::BackTab, Key::Up], Action::Previous, "", "field before"),
    bind(Scope::Dialog, &[Key::Enter], Action::Accept, "press", "press the button that has the focus"),
    bind(Scope::Dialog, &[Key::Esc], Action::Back, "leave", "leave without acting"),
    bind(Scope::Dialog, &[Key::Backspace], Action::Erase, "", "delete a character"),
    bind(Scope::Dialog, &[Ctrl('u')], Action::EraseAll, "", "delete everything in the field"),
];

/// What a key does where these scopes hold.
pub fn lookup(scopes: &[Scope], key: Key) -> Option<Action> {
    bindings(scopes).find(|binding| binding.keys.contains(&key)).map(|binding| binding.action)
}

/// All bindings that hold, in the order of the table.
pub fn bindings(scopes: &[Scope]) -> impl Iterator<Item = &'static Binding> {
    TABLE.iter().filter(move |binding| binding.scope == Scope::Always || scopes.contains(&binding.scope))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every set of scopes that can hold together.
    const TOGETHER: [&[Scope]; 5] = [
        &[Scope::Screen, Scope::Rows, Scope::Sorted, Scope::Actable, Scope::Messages, Scope::Alerts],
        &[Scope::Help],
        &[Scope::Prompt],
        &[Scope::Menu],
        &[Scope::Dialog],
    ];

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for scopes in TOGETHER {
            let mut seen = HashSet::new();
            for binding in bindings(scopes) {
                for key in binding.keys {
                    assert!(seen.insert(*key), "{} is bound twice in {scopes:?}", key.label());
                }
            }
        }
    }

    #[test]
    fn every_place_can_be_left_with_escape_and_escape_never_quits() {
        for scopes in TOGETHER {
            assert_eq!(lookup(scopes, Key::Esc), Some(Action::Back), "{scopes:?}");
            assert_eq!(lookup(scopes, Key::Ctrl('c')), Some(Action::ForceQuit), "{scopes:?}");
        }
    }

    #[test]
    fn every_binding_says_what_it_does() {
        for binding in TABLE {
            assert!(!binding.keys.is_empty() && !binding.help.is_empty(), "{:?}", binding.action);
        }
    }

    #[test]
    fn a_torn_arrow_key_is_no_letter() {
        let torn = KeyEvent::new(KeyCode::Char('A'), KeyModifiers::ALT);
        assert_eq!(Key::of(&torn), None);
        assert_eq!(Key::of(&KeyEvent::new(KeyCode::Char('C'), KeyModifiers::CONTROL)), Some(Key::Ctrl('c')));
    }
}
