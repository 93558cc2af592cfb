//! The dialog of one act: its effect as the daemon foretells it, its reason, and what else it asks for.
//!
//! It opens with Cancel in focus. What cannot be taken back asks for a name. It remembers what the operator saw: where that
//! has moved on since, it does not act.

use usher_common::model::{CampaignState, ControlKind};
use usher_common::protocol::EffectLine;

use super::{Deed, Inputs, Subject};

/// What the daemon says an act would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effects {
    /// Asked; how far the answer is, where that takes long.
    Asked(String),
    /// Told.
    Told(Vec<EffectLine>),
    /// It would refuse, and why.
    Refused(String),
    /// It cannot be asked yet: something has to be typed first.
    Needs(String),
}

/// What has the focus in a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The button that leaves without acting; has the focus at first.
    Cancel,
    /// The reason.
    Reason,
    /// For how long.
    Span,
    /// What else the act asks for.
    What,
    /// The name, where it is asked for.
    Name,
    /// The button that acts.
    Act,
}

/// What the operator saw when the dialog opened.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A campaign in this state.
    Campaign(CampaignState),
    /// A provider with this in force over it.
    Provider(Vec<ControlKind>),
    /// Something that has no state of its own.
    Nothing,
}

/// One act, about to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Dialog {
    /// Tells answers to this dialog from those to one before.
    pub(super) tag: u64,
    /// What.
    pub deed: Deed,
    /// To what.
    pub subject: Subject,
    /// In words, for the title.
    pub title: String,
    /// What must be typed where a name is asked for.
    pub name: String,
    /// What the operator saw.
    pub seen: Seen,
    /// What the daemon says it would do.
    pub effects: Effects,
    /// What was typed so far.
    pub inputs: Inputs,
    /// What was typed when the daemon was asked.
    pub(super) asked: Inputs,
    /// What has the focus.
    pub field: Field,
    /// What still stands in the way, after the button was pressed.
    pub missing: Option<String>,
}

/// Nothing typed is longer, in bytes.
const FIELD_MAX: usize = 200;

impl Dialog {
    pub(super) fn open(deed: Deed, subject: Subject, title: String, name: String, seen: Seen) -> Self {
        let inputs = Inputs {
            span: deed.span().unwrap_or_default().to_owned(),
            what: deed.what().map_or(String::new(), |(_, first)| first.to_owned()),
            ..Inputs::default()
        };
        let (effects, asked) = (Effects::Asked(String::new()), inputs.clone());
        Self { tag: 0, deed, subject, title, name, seen, effects, inputs, asked, field: Field::Cancel, missing: None }
    }

    /// The fields in the order of Tab.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::Cancel];
        if self.deed.what().is_some() {
            fields.push(Field::What);
        }
        if self.deed.span().is_some() {
            fields.push(Field::Span);
        }
        if self.deed.asks_why() {
            fields.push(Field::Reason);
        }
        if self.deed.asks_for_name() {
            fields.push(Field::Name);
        }
        fields.push(Field::Act);
        fields
    }

    pub(super) fn turn(&mut self, forward: bool) {
        let fields = self.fields();
        let at = fields.iter().position(|f| *f == self.field).unwrap_or(0);
        let to = if forward { at + 1 } else { at + fields.len() - 1 };
        self.field = fields[to % fields.len()];
    }

    /// The text that is being typed, if a field has the focus.
    pub(super) fn text(&mut self) -> Option<&mut String> {
        match self.field {
            Field::Reason => Some(&mut self.inputs.reason),
            Field::Span => Some(&mut self.inputs.span),
            Field::What => Some(&mut self.inputs.what),
            Field::Name => Some(&mut self.inputs.name),
            Field::Cancel | Field::Act => None,
        }
    }

    pub(super) fn type_text(&mut self, text: &str) {
        self.missing = None;
        if let Some(field) = self.text() {
            let text = crate::text::clean(text);
            if field.len() + text.len() <= FIELD_MAX {
                field.push_str(&text);
            }
        }
    }

    /// Whether the daemon was asked about something else than what is typed now.
    pub(super) fn is_outdated(&self) -> bool {
        (&self.inputs.span, &self.inputs.what) != (&self.asked.span, &self.asked.what)
    }

    /// What stands in the way of acting; `now` is what would be seen now, `None` if it is gone.
    pub(super) fn stands_in_the_way(&self, now: Option<&Seen>) -> Option<String> {
        match &self.effects {
            Effects::Asked(_) => return Some("wait for the daemon to say what it would do".to_owned()),
            Effects::Refused(why) | Effects::Needs(why) => return Some(why.clone()),
            Effects::Told(_) => {}
        }
        match now {
            None => return Some("it is gone".to_owned()),
            Some(now) if *now != self.seen => {
                let changed = match (&self.seen, now) {
                    (Seen::Campaign(was), Seen::Campaign(is)) => format!("it was {was} and is {is} now"),
                    _ => "somebody else has steered it meanwhile".to_owned(),
                };
                return Some(format!("{changed}: leave and look again"));
            }
            Some(_) => {}
        }
        if self.deed.asks_why() && self.inputs.reason.trim().is_empty() {
            return Some("say why: the reason stands in the audit trail".to_owned());
        }
        if self.deed.asks_for_name() && self.inputs.name.trim() != self.name {
            return Some(format!("type the campaign's name, {}, to {} it", self.name, self.deed.word()));
        }
        None
    }
}
