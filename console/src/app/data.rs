//! What the daemon has told: the rows of each topic, and the answers that screens asked for. All bounded.

use std::collections::{BTreeMap, VecDeque};

use usher_common::model::{
    AlertRow, CampaignDetail, CampaignId, CampaignRow, GuestRow, MessageDetail, MessageRow, Overview, ProviderRow,
    SlaRow, Why,
};
use usher_common::protocol::{LogEvent, Row, Topic};

/// Events that the console keeps; older ones are dropped.
pub const LOG_KEPT: usize = 2_000;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Data {
    /// The daemon at a glance.
    pub overview: Option<Overview>,
    /// Providers by name; `None` until the first snapshot.
    pub providers: Option<BTreeMap<String, ProviderRow>>,
    /// Campaigns by id; `None` until the first snapshot.
    pub campaigns: Option<BTreeMap<CampaignId, CampaignRow>>,
    /// Alerts by rule and object; `None` until the first snapshot.
    pub alerts: Option<BTreeMap<String, AlertRow>>,
    /// Service levels by what they are of; `None` until the first snapshot.
    pub slas: Option<BTreeMap<String, SlaRow>>,
    /// The campaign on screen.
    pub detail: Option<CampaignDetail>,
    /// Its messages, as many as were asked for; `None` until answered.
    pub messages: Option<Vec<MessageRow>>,
    /// How many there are in all, in the states shown.
    pub messages_total: u64,
    /// Why the campaign or the provider on screen moves as it does.
    pub why: Vec<Why>,
    /// The message on screen.
    pub message: Option<MessageDetail>,
    /// The guest it is for.
    pub guest: Option<GuestRow>,
    /// Events, oldest first.
    pub log: VecDeque<LogEvent>,
    /// Events that never came here, because the line was too slow.
    pub log_skipped: u64,
    /// The daemon's epoch and the place of its newest event here, so that a new line does not tell it twice.
    log_at: (u64, u64),
}

impl Data {
    /// A topic as it is.
    pub fn snapshot(&mut self, topic: Topic, rows: Vec<Row>) {
        match topic {
            Topic::Overview => self.overview = None,
            Topic::Providers => self.providers = Some(BTreeMap::new()),
            Topic::Campaigns => self.campaigns = Some(BTreeMap::new()),
            Topic::Campaign(_) => self.detail = None,
            Topic::Alerts => self.alerts = Some(BTreeMap::new()),
            Topic::Sla => self.slas = Some(BTreeMap::new()),
            // The log starts anew with a new daemon; what is here from the old one is still worth reading.
            Topic::Log => {}
        }
        self.delta(rows, &[], topic);
    }

    /// What changed.
    pub fn delta(&mut self, rows: Vec<Row>, gone: &[String], topic: Topic) {
        for row in rows {
            match row {
                Row::Overview(overview) => self.overview = Some(*overview),
                Row::Provider(row) => {
                    self.providers.get_or_insert_default().insert(row.name.clone(), *row);
                }
                Row::Campaign(row) => {
                    self.campaigns.get_or_insert_default().insert(row.id, *row);
                }
                Row::Detail(detail) => self.detail = Some(*detail),
                Row::Alert(row) => {
                    self.alerts.get_or_insert_default().insert(row.key(), *row);
                }
                Row::Sla(row) => {
                    self.slas.get_or_insert_default().insert(row.object.clone(), *row);
                }
            }
        }
        for key in gone {
            match topic {
                Topic::Providers => {
                    self.providers.get_or_insert_default().remove(key);
                }
                Topic::Campaigns => {
                    if let Ok(id) = key.parse() {
                        self.campaigns.get_or_insert_default().remove(&id);
                    }
                }
                Topic::Campaign(_) => self.detail = None,
                Topic::Alerts => {
                    self.alerts.get_or_insert_default().remove(key);
                }
                Topic::Sla => {
                    self.slas.get_or_insert_default().remove(key);
                }
                Topic::Overview | Topic::Log => {}
            }
        }
    }

    /// A daemon answered; its log counts from 1 in each epoch.
    pub fn epoch(&mut self, epoch: u64) {
        if self.log_at.0 != epoch {
            self.log_at = (epoch, 0);
        }
    }

    /// What happened; says how many of the events are new here.
    pub fn events(&mut self, skipped: u64, mut events: Vec<LogEvent>) -> usize {
        self.log_skipped = self.log_skipped.saturating_add(skipped);
        events.retain(|event| event.position > self.log_at.1);
        if let Some(newest) = events.last() {
            self.log_at.1 = newest.position;
        }
        let new = events.len();
        self.log.extend(events);
        while self.log.len() > LOG_KEPT {
            self.log.pop_front();
        }
        new
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.overview.is_none() && self.providers.is_none() && self.campaigns.is_none()
    }
}
