//! What can be done to campaigns, providers and messages in doubt: the words for it, what it asks for, what it asks of the
//! daemon.

use usher_common::model::{
    CampaignId, CampaignRow, CampaignState, ControlKind, MessageId, ProviderRow, Steer, Target, Verdict,
};
use usher_common::protocol::Request;

use crate::figures;

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

/// Something that can be done to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderAct {
    /// Give it nothing new.
    Drain,
    /// Drain it and prefer another.
    FailOver,
    /// Let it come first.
    Prefer,
    /// Give it another weight.
    Weigh,
    /// Take back how it is steered.
    Enable,
    /// Stop what it would carry.
    Hold,
    /// End that.
    Release,
    /// Send a line by it.
    Test,
}

impl ProviderAct {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Drain, Self::FailOver, Self::Enable, Self::Test, Self::Prefer, Self::Weigh, Self::Hold, Self::Release];

    /// The word on buttons and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::FailOver => "failover",
            Self::Prefer => "prefer",
            Self::Weigh => "weigh",
            Self::Enable => "enable",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Test => "test",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Drain => "nothing new goes to it; others carry its messages",
            Self::FailOver => "drain it, and prefer another one",
            Self::Prefer => "it comes first in its channel",
            Self::Weigh => "another weight among those of its rank",
            Self::Enable => "take back drain, preference and weight",
            Self::Hold => "what it would carry waits, and moves nowhere",
            Self::Release => "what it would carry goes on",
            Self::Test => "send you one line by it",
        }
    }

    /// Whether what is in force over the provider allows it.
    fn fits(self, row: &ProviderRow) -> bool {
        let is = |kind: ControlKind| row.controls.iter().any(|control| control.kind == kind);
        let (held, drained) = (is(ControlKind::Held), is(ControlKind::Drained));
        match self {
            Self::Drain | Self::FailOver => !drained,
            Self::Prefer => !drained && !is(ControlKind::Preferred),
            Self::Enable => row.controls.iter().any(|control| control.kind != ControlKind::Held),
            Self::Hold => !held,
            Self::Release => held,
            Self::Weigh | Self::Test => true,
        }
    }
}

/// What something is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A campaign.
    Campaign(CampaignId),
    /// Messages of a campaign that are in doubt: one, or all of them.
    Doubt(CampaignId, Option<MessageId>),
    /// A provider.
    Provider(String),
    /// What is held.
    Held(Target),
}

/// Something that can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// To a campaign.
    Campaign(CampaignAct),
    /// To messages in doubt.
    Settle(Verdict),
    /// To a provider.
    Provider(ProviderAct),
    /// To what is held.
    Release,
}

/// What was typed into a dialog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// Why.
    pub reason: String,
    /// The name of what it is done to.
    pub name: String,
    /// For how long.
    pub span: String,
    /// What else the deed asks for.
    pub what: String,
}

impl Deed {
    /// The words on buttons.
    pub fn word(self) -> &'static str {
        match self {
            Self::Campaign(act) => act.word(),
            Self::Settle(Verdict::Accepted) => "accepted",
            Self::Settle(Verdict::Resend) => "resend",
            Self::Settle(_) => "failed",
            Self::Provider(act) => act.word(),
            Self::Release => "release",
        }
    }

    /// What it does, and whether it can be taken back.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Campaign(act) => act.describe(),
            Self::Settle(Verdict::Accepted) => "settle what is in doubt: it was accepted",
            Self::Settle(Verdict::Resend) => "settle what is in doubt: send again; may be heard twice",
            Self::Settle(_) => "settle what is in doubt: it did not get through",
            Self::Provider(act) => act.describe(),
            Self::Release => "let it go: it begins again within seconds",
        }
    }

    /// Whether the name of what it is done to must be typed.
    pub fn asks_for_name(self) -> bool {
        match self {
            Self::Campaign(act) => act.asks_for_name(),
            Self::Settle(verdict) => verdict == Verdict::Resend,
            Self::Provider(_) | Self::Release => false,
        }
    }

    /// For how long it is done unless something else is typed; `None` where it is done once and for all.
    pub fn span(self) -> Option<&'static str> {
        let Self::Provider(act) = self else { return None };
        matches!(act, ProviderAct::Drain | ProviderAct::FailOver | ProviderAct::Prefer | ProviderAct::Weigh)
            .then_some("1h")
    }

    /// What else it asks for, and with what it begins.
    pub fn what(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Provider(ProviderAct::Weigh) => Some(("weight, 0.01 to 1000", "1")),
            Self::Provider(ProviderAct::FailOver) => Some(("to (empty: whoever can)", "")),
            Self::Provider(ProviderAct::Test) => Some(("your address or number", "")),
            _ => None,
        }
    }

    /// Whether it is not done without a reason.
    pub fn asks_why(self) -> bool {
        self != Self::Provider(ProviderAct::Test)
    }

    /// What is asked of the daemon; the error says what has to be typed first.
    pub fn request(self, subject: &Subject, inputs: &Inputs) -> Result<Request, String> {
        let what = inputs.what.trim();
        match (self, subject) {
            (Self::Campaign(act), Subject::Campaign(id)) => Ok(act.request(*id)),
            (Self::Settle(verdict), Subject::Doubt(campaign, message)) => {
                let messages = message.iter().copied().collect();
                Ok(Request::DoubtSettle { campaign: *campaign, messages, verdict })
            }
            (Self::Release, Subject::Held(target)) => Ok(Request::Release { target: target.clone() }),
            (Self::Provider(act), Subject::Provider(name)) => {
                let (provider, target) = (name.clone(), Target::Provider(name.clone()));
                let steer = match act {
                    ProviderAct::Enable => return Ok(Request::ProviderEnable { provider }),
                    ProviderAct::Hold => return Ok(Request::Hold { target, seconds: None }),
                    ProviderAct::Release => return Ok(Request::Release { target }),
                    ProviderAct::Test if what.is_empty() => {
                        return Err("type the address that the line goes to".to_owned());
                    }
                    ProviderAct::Test => {
                        return Ok(Request::ProviderTest { provider, to: what.to_owned(), organisation: None });
                    }
                    ProviderAct::Drain => Steer::Drain,
                    ProviderAct::Prefer => Steer::Prefer,
                    ProviderAct::FailOver => Steer::FailOver { to: Some(what.to_owned()).filter(|to| !to.is_empty()) },
                    ProviderAct::Weigh => {
                        Steer::Weigh(what.parse().map_err(|_| format!("`{what}` is no weight: type 0.01 to 1000"))?)
                    }
                };
                Ok(Request::ProviderSteer { provider, steer, seconds: figures::seconds(inputs.span.trim())? })
            }
            _ => Err("this cannot be done to it".to_owned()),
        }
    }
}

/// What can be done to what is at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// What it is about.
    pub title: String,
    /// What its state allows, each with what it is done to.
    pub entries: Vec<(Subject, Deed)>,
    /// Which one is selected.
    pub selected: usize,
}

impl Menu {
    /// The menu for a campaign, and for a message of it that is in doubt.
    pub fn for_campaign(row: &CampaignRow, doubt: Option<MessageId>) -> Self {
        let settle = |message| {
            [Verdict::Accepted, Verdict::Failed, Verdict::Resend]
                .map(|verdict| (Subject::Doubt(row.id, message), Deed::Settle(verdict)))
        };
        let mut entries: Vec<(Subject, Deed)> = Vec::new();
        if doubt.is_some() {
            entries.extend(settle(doubt));
        }
        let acts = CampaignAct::ALL.into_iter().filter(|act| act.fits(row));
        entries.extend(acts.map(|act| (Subject::Campaign(row.id), Deed::Campaign(act))));
        if doubt.is_none() && row.counts.unknown > 0 && row.deleted.is_none() {
            entries.extend(settle(None));
        }
        let title = match doubt {
            Some(message) => format!("{message} of {} {}", row.id, row.name),
            None => format!("{} {}", row.id, row.name),
        };
        Self { title, entries, selected: 0 }
    }

    /// The menu for a provider.
    pub fn for_provider(row: &ProviderRow) -> Self {
        let acts = ProviderAct::ALL.into_iter().filter(|act| act.fits(row));
        let entries = acts.map(|act| (Subject::Provider(row.name.clone()), Deed::Provider(act))).collect();
        Self { title: row.name.clone(), entries, selected: 0 }
    }
}
