//! Acting: the menu of what can be done to a campaign, and the dialog of one act with its effect and its reason.
//!
//! The dialog opens with Cancel in focus. What cannot be taken back asks for the campaign's name. It remembers the state
//! that the operator saw: when the campaign has moved on since, it does not act.

use usher_common::model::{CampaignId, CampaignRow, CampaignState};
use usher_common::protocol::{EffectLine, Request};

/// Something that can be done to a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CampaignAct {
    /// Check and release it.
    Approve,
    /// Start or schedule it.
    Send,
    /// Stop it until resumed.
    Pause,
    /// Go on.
    Resume,
    /// Stop it for good.
    Cancel,
    /// Put it aside.
    Delete,
    /// Bring it back.
    Restore,
}

impl CampaignAct {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Approve, Self::Send, Self::Pause, Self::Resume, Self::Cancel, Self::Delete, Self::Restore];

    /// The word on buttons and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Send => "send",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::Restore => "restore",
        }
    }

    /// What it does, and whether it can be taken back.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Approve => "check it and release it for sending",
            Self::Send => "start it, or schedule it as its author wrote",
            Self::Pause => "nothing new goes out until it is resumed",
            Self::Resume => "go on where it stopped",
            Self::Cancel => "stop it for good; cannot be taken back",
            Self::Delete => "put it aside; can be restored for 30 days",
            Self::Restore => "bring it back",
        }
    }

    /// Whether the campaign's name must be typed.
    pub fn asks_for_name(self) -> bool {
        matches!(self, Self::Cancel | Self::Delete)
    }

    /// Whether the state of the campaign allows it, as far as can be told from here; the daemon has the last word.
    pub fn fits(self, row: &CampaignRow) -> bool {
        use CampaignState as S;
        if row.deleted.is_some() {
            return self == Self::Restore;
        }
        match self {
            Self::Approve => row.state == S::Draft,
            Self::Send => row.state == S::Approved,
            Self::Pause => matches!(row.state, S::Running | S::Scheduled),
            Self::Resume => row.state == S::Paused,
            Self::Cancel => matches!(row.state, S::Approved | S::Scheduled | S::Running | S::Paused | S::Settling),
            Self::Delete => row.state == S::Draft || row.state.is_ended(),
            Self::Restore => false,
        }
    }

    /// What is asked of the daemon.
    pub fn request(self, id: CampaignId) -> Request {
        match self {
            Self::Approve => Request::CampaignApprove { id },
            Self::Send => Request::CampaignSend { id, schedule: None },
            Self::Pause => Request::CampaignPause { id },
            Self::Resume => Request::CampaignResume { id },
            Self::Cancel => Request::CampaignCancel { id },
            Self::Delete => Request::CampaignDelete { id },
            Self::Restore => Request::CampaignRestore { id, name: None },
        }
    }
}

/// What can be done to one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub name: String,
    /// What its state allows.
    pub acts: Vec<CampaignAct>,
    /// Which one is selected.
    pub selected: usize,
}

impl Menu {
    /// The menu for a row.
    pub fn for_row(row: &CampaignRow) -> Self {
        let acts = CampaignAct::ALL.into_iter().filter(|act| act.fits(row)).collect();
        Self { campaign: row.id, name: row.name.clone(), acts, selected: 0 }
    }
}

/// What the daemon says an act would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effects {
    /// Asked; how far the answer is, where that takes long.
    Asked(String),
    /// Told.
    Told(Vec<EffectLine>),
    /// It would refuse, and why.
    Refused(String),
}

/// What has the focus in a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The button that leaves without acting; has the focus at first.
    Cancel,
    /// The reason.
    Reason,
    /// The campaign's name, where it is asked for.
    Name,
    /// The button that acts.
    Act,
}

/// One act, about to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Tells answers to this dialog from those to one before.
    pub(super) tag: u64,
    /// What.
    pub act: CampaignAct,
    /// To which campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub name: String,
    /// The state that the operator saw.
    pub state: CampaignState,
    /// What the daemon says it would do.
    pub effects: Effects,
    /// Why, as typed so far.
    pub reason: String,
    /// The name, as typed so far.
    pub typed: String,
    /// What has the focus.
    pub field: Field,
    /// What still stands in the way, after the button was pressed.
    pub missing: Option<String>,
}

/// No reason or name is longer, in bytes.
const FIELD_MAX: usize = 200;

impl Dialog {
    pub(super) fn open(tag: u64, act: CampaignAct, row: &CampaignRow) -> Self {
        Self {
            tag,
            act,
            campaign: row.id,
            name: row.name.clone(),
            state: row.state,
            effects: Effects::Asked(String::new()),
            reason: String::new(),
            typed: String::new(),
            field: Field::Cancel,
            missing: None,
        }
    }

    /// The fields in the order of Tab.
    pub fn fields(&self) -> &'static [Field] {
        if self.act.asks_for_name() {
            &[Field::Cancel, Field::Reason, Field::Name, Field::Act]
        } else {
            &[Field::Cancel, Field::Reason, Field::Act]
        }
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
            Field::Reason => Some(&mut self.reason),
            Field::Name => Some(&mut self.typed),
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

    /// What stands in the way of acting; `now` is the campaign's newest row.
    pub(super) fn stands_in_the_way(&self, now: Option<&CampaignRow>) -> Option<String> {
        match &self.effects {
            Effects::Asked(_) => return Some("wait for the daemon to say what it would do".to_owned()),
            Effects::Refused(why) => return Some(why.clone()),
            Effects::Told(_) => {}
        }
        match now {
            None => return Some("the campaign is gone".to_owned()),
            Some(row) if row.state != self.state => {
                return Some(format!("it was {} and is {} now: leave and look again", self.state, row.state));
            }
            Some(_) => {}
        }
        if self.reason.trim().is_empty() {
            return Some("say why: the reason stands in the audit trail".to_owned());
        }
        if self.act.asks_for_name() && self.typed.trim() != self.name {
            return Some(format!("type the campaign's name, {}, to {} it", self.name, self.act.word()));
        }
        None
    }
}
