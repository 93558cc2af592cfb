//! The model: where the operator is, what is selected, what is open, how the line stands.

use std::collections::HashMap;
use std::time::Duration;

use usher_common::model::{
    CampaignId, CampaignRow, CampaignState, Health, MessageId, MessageState, ProviderRow, Target, Timestamp,
};
use usher_common::protocol::{LogEvent, Welcome};

use super::{Data, Dialog, Menu, Roster, Seen, Subject};
use crate::clock::Now;
use crate::keys::Scope;
use crate::session::{LinkState, STALE_AFTER};
use crate::theme::ThemeName;

/// Where the operator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Screen {
    /// What is wrong, and how fast it goes.
    Overview,
    /// All providers.
    Providers,
    /// One provider.
    Provider(String),
    /// All campaigns.
    Campaigns,
    /// One campaign and its messages.
    Campaign(CampaignId),
    /// One message and its attempts.
    Message(CampaignId, MessageId),
    /// Service levels.
    Sla,
    /// What is wrong and who knows of it.
    Alerts,
    /// What the daemon did and what befell it.
    Log,
}

/// What is open over the screen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Mode {
    /// Nothing.
    #[default]
    Screen,
    /// Help, scrolled so many lines.
    Help(usize),
    /// A filter is being typed; the one from before comes back with Esc.
    Filter {
        /// From before.
        before: String,
    },
    /// A command is being typed.
    Command(String),
    /// What can be done to what is at hand.
    Menu(Menu),
    /// One act, its effect, its reason.
    Dialog(Box<Dialog>),
}

/// How a line of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// As it should be.
    Ok,
    /// Somebody should look.
    Warning,
    /// Does not work.
    Critical,
    /// Not known, or from old data.
    Unknown,
    /// Neither good nor bad.
    Plain,
}

impl From<Health> for Tone {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Warning => Self::Warning,
            Health::Critical => Self::Critical,
            Health::Unknown => Self::Unknown,
        }
    }
}

/// The line above the hints: what the last act or command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How it is meant.
    pub tone: Tone,
    /// What it says.
    pub text: String,
    /// When, on the monotonic clock.
    pub at: Duration,
}

/// What a call was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pending {
    /// A campaign's messages.
    Messages(CampaignId, Option<MessageState>),
    /// One message.
    Message(MessageId),
    /// The guest of the message on screen.
    Guest(MessageId),
    /// Why what is on screen moves as it does.
    Why(Target),
    /// What an act would do.
    Preview(u64),
    /// An act, with the words for it.
    Act(String),
}

/// The screen as it was when it was frozen.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// What was known.
    pub data: Data,
    /// When.
    pub at: Duration,
    /// Events since.
    pub new_events: u64,
}

/// All that the console knows.
#[derive(Debug)]
pub struct Model {
    /// The time, as last handed in.
    pub now: Now,
    /// The daemon's wall clock less this machine's, in milliseconds.
    pub skew_ms: i64,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Where the daemon is, in words.
    pub target: String,
    /// How the line stands.
    pub link: LinkState,
    /// When anything was last heard, on the monotonic clock.
    pub heard: Option<Duration>,
    /// Who answered last.
    pub welcome: Option<Welcome>,
    /// Whether the daemon speaks the same types, so that acts can be sent.
    pub acts: bool,
    /// What was told.
    pub data: Data,
    /// The frozen screen, if it is.
    pub frozen: Option<Box<Frozen>>,
    /// Screens from the first to the one shown; never empty.
    pub stack: Vec<Screen>,
    /// Which panel of the screen has the focus, from 0.
    pub panel: usize,
    /// What is open over the screen.
    pub mode: Mode,
    /// The list of providers.
    pub providers: Roster<String>,
    /// The list of campaigns.
    pub campaigns: Roster<CampaignId>,
    /// The list of alerts.
    pub alerts: Roster<String>,
    /// The list of service levels.
    pub slas: Roster<String>,
    /// The list of a campaign's messages.
    pub messages: Roster<MessageId>,
    /// Only messages in this state are asked for.
    pub state_filter: Option<MessageState>,
    /// The log; keys are positions counted by the console.
    pub log_filter: String,
    /// Rows that the log is scrolled up from its end; 0 follows it.
    pub log_back: usize,
    /// Until when acts are armed, on the monotonic clock.
    pub armed_until: Option<Duration>,
    /// What the last act or command came to.
    pub notice: Option<Notice>,
    /// The theme.
    pub theme: ThemeName,
    /// Whether a theme may be chosen: not with NO_COLOR.
    pub colours: bool,
    /// When the last key came, on the monotonic clock.
    pub(super) last_key: Option<Duration>,
    /// The order of a list is due, but somebody is reading.
    pub(super) order_due: bool,
    /// How many messages to ask for.
    pub(super) messages_wanted: u32,
    /// The campaign changed since its messages were asked for.
    pub(super) messages_due: bool,
    /// When they were last asked for.
    pub(super) messages_asked: Option<Duration>,
    /// When it was last asked why something moves as it does.
    pub(super) why_asked: Option<Duration>,
    pub(super) pending: HashMap<u64, Pending>,
    pub(super) next_tag: u64,
}

/// What providers can be sorted by.
pub const PROVIDER_SORTS: [&str; 6] = ["channel", "state", "name", "rate", "success", "p99"];
/// What campaigns can be sorted by.
pub const CAMPAIGN_SORTS: [&str; 6] = ["urgency", "name", "state", "done", "rate", "newest"];

impl Model {
    /// A console that has not heard anything yet.
    pub fn new(target: impl Into<String>, theme: ThemeName, colours: bool) -> Self {
        Self {
            now: Now::default(),
            skew_ms: 0,
            size: (80, 24),
            target: target.into(),
            link: LinkState::Connecting,
            heard: None,
            welcome: None,
            acts: true,
            data: Data::default(),
            frozen: None,
            stack: vec![Screen::Overview],
            panel: 0,
            mode: Mode::Screen,
            providers: Roster::default(),
            campaigns: Roster::default(),
            alerts: Roster::default(),
            slas: Roster::default(),
            messages: Roster::default(),
            state_filter: None,
            log_filter: String::new(),
            log_back: 0,
            armed_until: None,
            notice: None,
            theme,
            colours,
            last_key: None,
            order_due: false,
            messages_wanted: 200,
            messages_due: false,
            messages_asked: None,
            why_asked: None,
            pending: HashMap::new(),
            next_tag: 1,
        }
    }

    /// The screen shown.
    pub fn screen(&self) -> &Screen {
        self.stack.last().unwrap_or(&Screen::Overview)
    }

    /// What is shown: what was told, or what was known when the screen was frozen.
    pub fn shown(&self) -> &Data {
        self.frozen.as_ref().map_or(&self.data, |frozen| &frozen.data)
    }

    /// The daemon's wall clock, as far as it can be told.
    pub fn daemon_now(&self) -> Timestamp {
        self.now.wall.plus_millis(self.skew_ms)
    }

    /// How old what is known is, once anything is; zero while the line lives.
    pub fn data_age(&self) -> Option<Duration> {
        self.heard.map(|at| self.now.mono.saturating_sub(at))
    }

    /// Whether states on screen may be wrong by now, so that none of them may be shown as plain OK.
    pub fn is_stale(&self) -> bool {
        self.frozen.is_some()
            || matches!(self.link, LinkState::Stale)
            || self.data_age().is_none_or(|age| age >= STALE_AFTER)
    }

    /// Why nothing can be done now, in a sentence; `None` when it can.
    pub fn acts_barred(&self) -> Option<String> {
        if !matches!(self.link, LinkState::Live(_)) || self.is_stale() && self.frozen.is_none() {
            Some("nothing acts on stale data: wait until the line is live (R tries now)".to_owned())
        } else if self.frozen.is_some() {
            Some("the screen is frozen: space lets it run, then act on what is there now".to_owned())
        } else if !self.acts {
            Some("the daemon speaks other types than this console: install the console of its version".to_owned())
        } else if self.armed_for().is_none() {
            Some("acts are not armed: W arms them for five minutes".to_owned())
        } else {
            None
        }
    }

    /// For how long acts are still armed.
    pub fn armed_for(&self) -> Option<Duration> {
        self.armed_until.and_then(|until| until.checked_sub(self.now.mono)).filter(|left| !left.is_zero())
    }

    /// The campaign that an act would be done to: the selected row, or the one on screen.
    pub fn campaign_at_hand(&self) -> Option<&CampaignRow> {
        let id = match self.screen() {
            Screen::Campaigns => *self.campaigns.selected()?,
            Screen::Overview if self.panel == 1 => *self.campaigns.selected()?,
            Screen::Campaign(id) | Screen::Message(id, _) => *id,
            _ => return None,
        };
        self.campaign(id)
    }

    /// A campaign's newest row.
    pub fn campaign(&self, id: CampaignId) -> Option<&CampaignRow> {
        let data = self.shown();
        data.campaigns
            .as_ref()
            .and_then(|rows| rows.get(&id))
            .or_else(|| data.detail.as_ref().map(|detail| &detail.row).filter(|row| row.id == id))
    }

    /// The provider that an act would be done to.
    fn provider_at_hand(&self) -> Option<&ProviderRow> {
        let name = match self.screen() {
            Screen::Providers => self.providers.selected()?,
            Screen::Overview if self.panel == 0 => self.providers.selected()?,
            Screen::Provider(name) => name,
            _ => return None,
        };
        self.provider(name)
    }

    /// A provider's newest row.
    pub fn provider(&self, name: &str) -> Option<&ProviderRow> {
        self.shown().providers.as_ref().and_then(|rows| rows.get(name))
    }

    /// The message at hand, if its outcome is in doubt.
    fn doubt_at_hand(&self) -> Option<MessageId> {
        let data = self.shown();
        let (id, state) = match self.screen() {
            Screen::Message(_, id) => (*id, data.message.as_ref().map(|message| message.row.state)?),
            Screen::Campaign(_) => {
                let id = *self.messages.selected()?;
                (id, data.messages.iter().flatten().find(|row| row.id == id)?.state)
            }
            _ => return None,
        };
        (state == MessageState::Unknown).then_some(id)
    }

    /// What can be done to what is at hand; `None` where nothing is selected.
    pub fn menu_at_hand(&self) -> Option<Menu> {
        if let Some(row) = self.provider_at_hand() {
            return Some(Menu::for_provider(row));
        }
        self.campaign_at_hand().map(|row| Menu::for_campaign(row, self.doubt_at_hand()))
    }

    /// What the operator sees of something now; `None` if it is gone.
    pub(super) fn seen(&self, subject: &Subject) -> Option<Seen> {
        match subject {
            Subject::Campaign(id) => self.campaign(*id).map(|row| Seen::Campaign(row.state)),
            Subject::Provider(name) => {
                let row = self.provider(name)?;
                Some(Seen::Provider(row.controls.iter().map(|control| control.kind).collect()))
            }
            Subject::Doubt(campaign, _) => self.campaign(*campaign).map(|_| Seen::Nothing),
            Subject::Held(_) => Some(Seen::Nothing),
        }
    }

    /// How many panels the screen has.
    pub fn panels(&self) -> usize {
        if *self.screen() == Screen::Overview { 2 } else { 1 }
    }

    /// Which keys hold now.
    pub fn scopes(&self) -> Vec<Scope> {
        match &self.mode {
            Mode::Help(_) => vec![Scope::Help],
            Mode::Filter { .. } | Mode::Command(_) => vec![Scope::Prompt],
            Mode::Menu(_) => vec![Scope::Menu],
            Mode::Dialog(_) => vec![Scope::Dialog],
            Mode::Screen => self.screen_scopes(),
        }
    }

    /// Which keys hold on the screen when nothing is open over it.
    pub fn screen_scopes(&self) -> Vec<Scope> {
        let mut scopes = vec![Scope::Screen];
        match self.screen() {
            Screen::Overview => scopes.extend([Scope::Rows, Scope::Actable]),
            Screen::Providers | Screen::Campaigns => scopes.extend([Scope::Rows, Scope::Sorted, Scope::Actable]),
            Screen::Campaign(_) => scopes.extend([Scope::Rows, Scope::Messages, Scope::Actable]),
            Screen::Message(..) | Screen::Provider(_) => scopes.push(Scope::Actable),
            Screen::Alerts => scopes.extend([Scope::Rows, Scope::Alerts]),
            Screen::Log | Screen::Sla => scopes.push(Scope::Rows),
        }
        scopes
    }

    /// The filter of the list that has the focus.
    pub fn filter_mut(&mut self) -> Option<&mut String> {
        match (self.screen(), self.panel) {
            (Screen::Providers, _) | (Screen::Overview, 0) => Some(&mut self.providers.filter),
            (Screen::Campaigns | Screen::Overview, _) => Some(&mut self.campaigns.filter),
            (Screen::Campaign(_), _) => Some(&mut self.messages.filter),
            (Screen::Alerts, _) => Some(&mut self.alerts.filter),
            (Screen::Sla, _) => Some(&mut self.slas.filter),
            (Screen::Log, _) => Some(&mut self.log_filter),
            (Screen::Provider(_) | Screen::Message(..), _) => None,
        }
    }

    /// The same, to read.
    pub fn filter(&self) -> &str {
        match (self.screen(), self.panel) {
            (Screen::Providers, _) | (Screen::Overview, 0) => &self.providers.filter,
            (Screen::Campaigns | Screen::Overview, _) => &self.campaigns.filter,
            (Screen::Campaign(_), _) => &self.messages.filter,
            (Screen::Alerts, _) => &self.alerts.filter,
            (Screen::Sla, _) => &self.slas.filter,
            (Screen::Log, _) => &self.log_filter,
            (Screen::Provider(_) | Screen::Message(..), _) => "",
        }
    }

    /// Indices of the events that pass the filter, oldest first.
    pub fn log_rows(&self) -> Vec<usize> {
        let log = &self.shown().log;
        let passes = |event: &LogEvent| super::roster::passes(&self.log_filter, &event_line(event));
        log.iter().enumerate().filter(|(_, event)| passes(event)).map(|(i, _)| i).collect()
    }

    /// Puts a line above the hints.
    pub(super) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.notice = Some(Notice { tone, text: text.into(), at: self.now.mono });
    }

    /// Recomputes the order of the lists; rows stay where they are while somebody is reading.
    pub(super) fn reorder(&mut self, reading: bool) {
        let providers = self.provider_order();
        let campaigns = self.campaign_order();
        let messages = self.message_order();
        let (alerts, slas) = (self.alert_order(), self.sla_order());
        if reading {
            self.order_due = true;
            self.alerts.keep(alerts);
            self.slas.keep(slas);
            self.providers.keep(providers);
            self.campaigns.keep(campaigns);
        } else {
            self.order_due = false;
            self.alerts.arrange(alerts);
            self.slas.arrange(slas);
            self.providers.arrange(providers);
            self.campaigns.arrange(campaigns);
        }
        self.messages.arrange(messages);
    }

    fn provider_order(&self) -> Vec<String> {
        let Some(rows) = &self.shown().providers else { return Vec::new() };
        let mut rows: Vec<_> = rows
            .values()
            .filter(|r| self.providers.passes(&format!("{} {} {} {}", r.name, r.channel, r.health, r.breaker)))
            .collect();
        let descending = |a: f64, b: f64| b.total_cmp(&a);
        rows.sort_by(|a, b| {
            let by = match self.providers.sort {
                1 => severity(b.health).cmp(&severity(a.health)),
                2 => a.name.cmp(&b.name),
                3 => descending(a.rate, b.rate),
                4 => a.success.unwrap_or(2.0).total_cmp(&b.success.unwrap_or(2.0)),
                5 => b.p99_ms.cmp(&a.p99_ms),
                _ => (a.channel, a.rank).cmp(&(b.channel, b.rank)),
            };
            by.then_with(|| a.name.cmp(&b.name))
        });
        let names = rows.into_iter().map(|r| r.name.clone());
        if self.providers.reverse { names.rev().collect() } else { names.collect() }
    }

    fn campaign_order(&self) -> Vec<CampaignId> {
        let Some(rows) = &self.shown().campaigns else { return Vec::new() };
        let deleted = |r: &CampaignRow| if r.deleted.is_some() { "deleted" } else { "" };
        let mut rows: Vec<_> = rows
            .values()
            .filter(|r| {
                self.campaigns.passes(&format!("{} {} {} {} {}", r.id, r.name, r.organisation, r.state, deleted(r)))
            })
            .collect();
        let done = |r: &CampaignRow| {
            let total = r.counts.total();
            if total == 0 { 0.0 } else { (total - r.counts.open()) as f64 / total as f64 }
        };
        rows.sort_by(|a, b| {
            let by = match self.campaigns.sort {
                1 => a.name.cmp(&b.name),
                2 => a.state.cmp(&b.state),
                3 => done(a).total_cmp(&done(b)),
                4 => b.rate.total_cmp(&a.rate),
                5 => b.id.cmp(&a.id),
                _ => urgency(a).cmp(&urgency(b)),
            };
            by.then_with(|| b.id.cmp(&a.id))
        });
        let ids = rows.into_iter().map(|r| r.id);
        if self.campaigns.reverse { ids.rev().collect() } else { ids.collect() }
    }

    fn message_order(&self) -> Vec<MessageId> {
        let rows = self.shown().messages.iter().flatten();
        rows.filter(|r| {
            self.messages
                .passes(&format!("{} {} {} {} {} {}", r.id, r.guest_name, r.channel, r.state, r.provider, r.why))
        })
        .map(|r| r.id)
        .collect()
    }
}

/// An event as one line of text, which is what the log's filter looks at.
fn event_line(event: &LogEvent) -> String {
    format!("{} {} {}", crate::widgets::level_word(event.level), event.object, event.text)
}

fn severity(health: Health) -> u8 {
    match health {
        Health::Critical => 3,
        Health::Unknown => 2,
        Health::Warning => 1,
        Health::Ok => 0,
    }
}

/// What needs an eye comes first: stopped and doubtful before running, running before waiting, ended last.
fn urgency(row: &CampaignRow) -> u8 {
    if row.deleted.is_some() {
        return 9;
    }
    match row.state {
        CampaignState::Running if !row.why.is_empty() => 0,
        CampaignState::Paused => 1,
        CampaignState::Running => 2,
        CampaignState::Settling | CampaignState::Unknown => 3,
        CampaignState::Scheduled => 4,
        CampaignState::Approved => 5,
        CampaignState::Draft => 6,
        CampaignState::Partial => 7,
        CampaignState::Finished | CampaignState::Cancelled => 8,
    }
}
