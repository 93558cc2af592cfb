//! What an operator does while daemons die: imports guests and sends campaigns, and asks again for what was not answered.
//!
//! Every act keeps its key until it is answered, as a console does; what was answered must hold in every life after.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use usher::session::act_key;
use usher_common::model::{CampaignId, CampaignRow, CampaignState, Channel, GuestListRow, ListId};
use usher_common::protocol::{Act, Reply, Request};
use usher_demo::Desk;

/// A new campaign begins when fewer messages than this are open.
const LOW: u64 = 120;
/// Guests of the lists: of an ordinary campaign; of one that is expanded in two parts; of one that is over at once.
const USUAL: usize = 60;
const LONG: usize = 270;
const SHORT: usize = 3;

/// A list of guests.
#[derive(Debug)]
pub(crate) struct Guests {
    pub(crate) name: String,
    csv: String,
    pub(crate) count: usize,
    /// Known when its import was answered.
    pub(crate) id: Option<ListId>,
}

/// A campaign, and how far its acts were answered.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) name: String,
    key: String,
    pub(crate) list: usize,
    channels: Vec<Channel>,
    pub(crate) id: Option<CampaignId>,
    pub(crate) approved: bool,
    pub(crate) sent: bool,
}

impl Campaign {
    /// Messages that its guests make.
    pub(crate) fn messages(&self, lists: &[Guests]) -> u64 {
        (lists[self.list].count * self.channels.len()) as u64
    }
}

/// What a life is wanted for besides the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Usual,
    /// Guests that are new.
    Import,
    /// A campaign in two parts.
    Long,
    /// Campaigns that are over at once.
    Short,
}

impl Wish {
    /// What makes a daemon pass a failpoint.
    pub(crate) fn of(point: &str) -> Self {
        match point {
            "dispatch.expansion.after-part" => Self::Long,
            _ if point.starts_with("vault.") => Self::Import,
            _ if point.starts_with("dispatch.compactor.") || point.starts_with("dispatch.campaign.") => Self::Short,
            _ => Self::Usual,
        }
    }
}

/// Everything that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Wedding {
    pub(crate) lists: Vec<Guests>,
    pub(crate) campaigns: Vec<Campaign>,
    /// Guests so far: each has an address and a number of its own.
    guests: usize,
}

impl Wedding {
    /// The lists that every episode has.
    pub(crate) fn new() -> Self {
        let mut wedding = Self::default();
        for count in [USUAL, LONG, SHORT] {
            wedding.invite(count);
        }
        wedding
    }

    fn invite(&mut self, count: usize) {
        let mut csv = String::from("name,email,phone\n");
        for n in self.guests..self.guests + count {
            csv += &format!("Guest {n},guest-{n}@guests.example,+1213{}\n", 2_000_000 + n);
        }
        self.guests += count;
        self.lists.push(Guests { name: format!("list-{}", self.lists.len()), csv, count, id: None });
    }

    fn plan(&mut self, list: usize, channels: &[Channel]) {
        let name = format!("Campaign {}", self.campaigns.len());
        let channels = channels.to_vec();
        self.campaigns.push(Campaign { name, key: act_key(), list, channels, id: None, approved: false, sent: false });
    }

    /// Does what is still to do, then something new where it is wanted. An error is the end of the line, or of the
    /// daemon's honesty: whoever asked knows which.
    pub(crate) async fn carry_on(&mut self, desk: &Desk, wish: Wish) -> anyhow::Result<()> {
        self.finish(desk).await?;
        let rows = campaigns(desk).await?;
        let open: u64 = rows.iter().map(|row| row.counts.open() + u64::from(!row.expanded)).sum();
        match wish {
            Wish::Import => self.invite(SHORT),
            Wish::Long => self.plan(1, &[Channel::Email]),
            Wish::Short => self.plan(2, &[Channel::Email]),
            Wish::Usual => {}
        }
        if open < LOW {
            self.plan(0, &[Channel::Email, Channel::Sms]);
        }
        self.finish(desk).await
    }

    /// Repeats what was not answered.
    pub(crate) async fn finish(&mut self, desk: &Desk) -> anyhow::Result<()> {
        for list in self.lists.iter_mut().filter(|list| list.id.is_none()) {
            let done = desk.import(&list.name, list.csv.as_bytes()).await?;
            if done.added + done.updated + done.unchanged != list.count as u64 || done.rejected > 0 {
                bail!("{} of {} guests: the import ended with {done:?}", list.name, list.count);
            }
            list.id = Some(desk.list(&list.name).await?);
        }
        for campaign in self.campaigns.iter_mut().filter(|campaign| !campaign.sent) {
            let list = self.lists[campaign.list].id.context("lists are imported first")?;
            let id = if let Some(id) = campaign.id {
                id
            } else {
                let spec = Desk::invitation(&campaign.name, list, &campaign.channels);
                let act = Act { key: campaign.key.clone(), reason: "crash".into(), seen: None, preview: false };
                match desk.client().call(Request::CampaignCreate { spec }, Some(act)).await? {
                    Reply::Campaign(detail) => *campaign.id.insert(detail.row.id),
                    other => bail!("a new campaign was answered with {other:?}"),
                }
            };
            let state = desk.campaign(id).await?.row.state;
            if state == CampaignState::Draft {
                desk.on_campaign(Request::CampaignApprove { id }).await?;
            }
            campaign.approved = true;
            if matches!(state, CampaignState::Draft | CampaignState::Approved) {
                desk.on_campaign(Request::CampaignSend { id, schedule: None }).await?;
            }
            campaign.sent = true;
        }
        Ok(())
    }

    /// What was answered "yes" to and is not there.
    pub(crate) fn lost(&self, rows: &[CampaignRow], lists: &[GuestListRow]) -> Vec<String> {
        let mut lost = Vec::new();
        let names: HashSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        if names.len() != rows.len() {
            lost.push("a campaign is there twice".to_owned());
        }
        for campaign in self.campaigns.iter().filter(|campaign| campaign.id.is_some()) {
            let Some(row) = rows.iter().find(|row| Some(row.id) == campaign.id) else {
                lost.push(format!("{} was written, and is gone", campaign.name));
                continue;
            };
            let before: &[CampaignState] = match campaign {
                Campaign { sent: true, .. } => &[CampaignState::Draft, CampaignState::Approved],
                Campaign { approved: true, .. } => &[CampaignState::Draft],
                _ => &[],
            };
            if before.contains(&row.state) {
                lost.push(format!("{} was approved or sent, and is {}", campaign.name, row.state));
            }
        }
        for list in self.lists.iter().filter(|list| list.id.is_some()) {
            let found = lists.iter().find(|row| row.name == list.name).map_or(0, |row| row.guests);
            if found != list.count as u64 {
                lost.push(format!("{} has {found} guests instead of {}", list.name, list.count));
            }
        }
        lost
    }
}

/// The campaigns that the daemon has.
pub(crate) async fn campaigns(desk: &Desk) -> anyhow::Result<Vec<CampaignRow>> {
    match desk.ask(Request::Campaigns).await? {
        Reply::Campaigns(rows) => Ok(rows),
        other => bail!("asked for the campaigns, the daemon answered {other:?}"),
    }
}

/// The lists that the daemon has.
pub(crate) async fn lists(desk: &Desk) -> anyhow::Result<Vec<GuestListRow>> {
    match desk.ask(Request::Lists).await? {
        Reply::Lists(rows) => Ok(rows),
        other => bail!("asked for the lists, the daemon answered {other:?}"),
    }
}
