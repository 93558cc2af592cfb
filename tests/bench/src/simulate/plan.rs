//! What a seed chooses: guests, providers with their faults, campaigns, what operators do, and how each life of the daemon
//! ends.

use usher_common::model::{Channel, ProviderKind, Reach, Verdict};
use usherd::store::engine::Step;

use super::luck::Luck;

/// Everything that a seed chooses before it begins. Times are milliseconds from the beginning.
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) guests: Vec<Invited>,
    pub(super) providers: Vec<Company>,
    pub(super) campaigns: Vec<Planned>,
    pub(super) acts: Vec<(i64, Act)>,
    pub(super) ends: Vec<End>,
    pub(super) setting: Setting,
    /// From here on nothing breaks any more.
    pub(super) calm_at: i64,
}

/// A guest by the ways that reach it.
#[derive(Clone)]
pub(super) struct Invited {
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
}

impl Invited {
    /// Its address on a channel.
    pub(super) fn on(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms | Channel::WhatsApp => self.phone.as_deref(),
            Channel::Slack => None,
        }
    }
}

/// A provider.
#[derive(Clone)]
pub(super) struct Company {
    pub(super) name: String,
    pub(super) kind: ProviderKind,
    pub(super) channel: Channel,
    pub(super) rank: u32,
    pub(super) batch: usize,
    pub(super) rate: Option<f64>,
    pub(super) at_once: u32,
    /// Whether it answers a repeated key with its first answer.
    pub(super) keeps_keys: bool,
    /// Whether it reports at all, and whether its reports carry our id.
    pub(super) reports: bool,
    pub(super) echoes: bool,
    /// What an answer takes, in milliseconds, about.
    pub(super) latency: u64,
    pub(super) troubles: Vec<Trouble>,
}

/// A fault for a time.
#[derive(Clone)]
pub(super) struct Trouble {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) fault: Fault,
    /// What share of requests it hits.
    pub(super) share: f64,
}

/// How a provider can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody answers the door.
    Refuses,
    /// 429.
    Throttles,
    /// Takes the request and never answers.
    Hangs,
    /// Resets the connection before it took the message.
    ResetsBefore,
    /// Resets the connection after it took the message.
    ResetsAfter,
    /// A server error, with nothing taken.
    ErrsBefore,
    /// A server error, with the message taken.
    ErrsAfter,
    /// Takes its time, some of it beyond what anybody waits.
    Slow,
    /// Does not know the account any more.
    Locked,
}

const FAULTS: [Fault; 9] = [
    Fault::Refuses,
    Fault::Throttles,
    Fault::Hangs,
    Fault::ResetsBefore,
    Fault::ResetsAfter,
    Fault::ErrsBefore,
    Fault::ErrsAfter,
    Fault::Slow,
    Fault::Locked,
];

/// A campaign to be.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) at: i64,
    pub(super) channels: Vec<Channel>,
    pub(super) reach: Reach,
    /// Its hour, from its beginning; none to send at once.
    pub(super) due_in: Option<i64>,
    pub(super) expires_after_hours: u32,
}

/// What an operator does to a campaign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Act {
    Pause(usize),
    Resume(usize),
    Cancel(usize),
    Resend(usize),
    /// Settles about so many in a hundred of what is in doubt.
    Settle(usize, Verdict, u64),
    Checkpoint,
}

/// How a life of the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    pub(super) when: When,
    pub(super) how: How,
    /// What is there of the index afterwards.
    pub(super) index: IndexLeft,
    /// How long nothing runs, and what the wall clock is set on by meanwhile.
    pub(super) down: i64,
    pub(super) skew: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// So long after its start.
    After(i64),
    /// At the committer's so many-th passing of a step.
    At(Step, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The process is killed; what was written is in the page cache.
    Kill,
    /// The power goes: of what was not synced a part is left, which may be torn.
    Power,
    /// A fsync fails, and the daemon stops by itself.
    DiskFails,
    /// The disk is full, and the daemon stops by itself.
    DiskFull,
    /// It is asked to stop.
    Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexLeft {
    /// As it was.
    Kept,
    /// As it was last flushed.
    Flushed,
    Lost,
}

/// The daemon's own settings, and its disk's speed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) max_concurrent: usize,
    pub(super) batch: usize,
    pub(super) segment_bytes: u64,
    pub(super) flush_every: i64,
    pub(super) compact_after: i64,
    /// What a sync takes at most, usually, and how often it takes much longer.
    pub(super) sync: u64,
    pub(super) stalls: f64,
}

impl Plan {
    /// What this seed chooses.
    pub(super) fn of(seed: u64) -> Self {
        let mut luck = Luck::of(seed, "plan");
        let calm_at = luck.ms(20_000, 240_000);
        let guests = guests(&mut luck);
        let channels = channels(&mut luck);
        let providers = channels.iter().flat_map(|&channel| companies(&mut luck, channel, calm_at)).collect();
        let campaigns: Vec<Planned> = (0..luck.within(1, 3)).map(|_| campaign(&mut luck, &channels, calm_at)).collect();
        let acts = acts(&mut luck, campaigns.len(), calm_at);
        let ends = ends(&mut luck);
        let setting = Setting {
            max_concurrent: luck.one(&[2, 8, 50]),
            batch: luck.one(&[1, 5, 20]),
            segment_bytes: luck.one(&[8 << 10, 32 << 10, 1 << 20]),
            flush_every: luck.one(&[500, 2_000, 10_000]),
            compact_after: luck.one(&[1_000, 60_000, 86_400_000]),
            sync: luck.one(&[0, 2, 20]),
            stalls: luck.one(&[0.0, 0.002, 0.02]),
        };
        Self { seed, guests, providers, campaigns, acts, ends, setting, calm_at }
    }
}

impl Planned {
    /// The channels on which a guest is to hear of it.
    pub(super) fn expected(&self, guest: &Invited) -> Vec<Channel> {
        let reached = self.channels.iter().copied().filter(|&channel| guest.on(channel).is_some());
        match self.reach {
            Reach::All => reached.collect(),
            Reach::Preferred => reached.take(1).collect(),
        }
    }
}

fn guests(luck: &mut Luck) -> Vec<Invited> {
    let most = luck.one(&[4, 12, 40]);
    (0..luck.within(1, most))
        .map(|n| {
            let (email, phone) = (format!("guest{n}@guests.example"), format!("+1415555{:04}", 100 + n));
            match luck.within(0, 3) {
                0 => Invited { email: Some(email), phone: None },
                1 => Invited { email: None, phone: Some(phone) },
                _ => Invited { email: Some(email), phone: Some(phone) },
            }
        })
        .collect()
}

fn channels(luck: &mut Luck) -> Vec<Channel> {
    let sets: [&[Channel]; 5] = [
        &[Channel::Email],
        &[Channel::Sms],
        &[Channel::Email, Channel::Sms],
        &[Channel::WhatsApp, Channel::Email],
        &[Channel::Email, Channel::Sms, Channel::WhatsApp],
    ];
    luck.one(&sets).to_vec()
}

fn companies(luck: &mut Luck, channel: Channel, calm_at: i64) -> Vec<Company> {
    (0..luck.within(1, 3))
        .map(|n| {
            let keeps_keys = channel != Channel::WhatsApp && luck.has(0.5);
            let kind = match (channel, keeps_keys) {
                (Channel::Email, true) => ProviderKind::Resend,
                (Channel::Email, false) => luck.one(&[ProviderKind::SendGrid, ProviderKind::Smtp]),
                (Channel::Sms, false) => ProviderKind::Twilio,
                (Channel::WhatsApp, _) => ProviderKind::WhatsApp,
                _ => ProviderKind::Webhook,
            };
            Company {
                name: format!("{channel}-{n}"),
                kind,
                channel,
                rank: luck.one(&[1, n as u32 + 1]),
                batch: luck.one(&[1, 1, 3, 10]),
                rate: luck.one(&[None, Some(5.0), Some(50.0)]),
                at_once: luck.one(&[1, 4, 50]),
                keeps_keys,
                reports: luck.has(0.6),
                echoes: keeps_keys || (channel != Channel::WhatsApp && luck.has(0.7)),
                latency: luck.one(&[5, 100, 800]),
                troubles: (0..luck.within(0, 3)).map(|_| trouble(luck, calm_at)).collect(),
            }
        })
        .collect()
}

fn trouble(luck: &mut Luck, calm_at: i64) -> Trouble {
    let from = luck.ms(0, calm_at as u64);
    let until = (from + luck.ms(500, 90_000)).min(calm_at);
    Trouble { from, until, fault: luck.one(&FAULTS), share: luck.one(&[1.0, 1.0, 0.5, 0.1]) }
}

fn campaign(luck: &mut Luck, channels: &[Channel], calm_at: i64) -> Planned {
    let wanted: Vec<Channel> = channels.iter().copied().filter(|_| luck.has(0.8)).collect();
    Planned {
        at: luck.ms(0, calm_at as u64 / 3),
        channels: if wanted.is_empty() { channels.to_vec() } else { wanted },
        reach: luck.one(&[Reach::Preferred, Reach::All]),
        due_in: luck.has(0.3).then(|| luck.ms(1_000, calm_at as u64 / 2)),
        expires_after_hours: luck.one(&[0, 1, 24]),
    }
}

fn acts(luck: &mut Luck, campaigns: usize, calm_at: i64) -> Vec<(i64, Act)> {
    let most = luck.one(&[0, 4, 10]);
    let mut acts: Vec<(i64, Act)> = (0..luck.within(0, most))
        .map(|_| {
            let campaign = luck.within(0, campaigns as u64 - 1) as usize;
            let act = match luck.within(0, 13) {
                0..=2 => Act::Pause(campaign),
                3..=5 => Act::Resume(campaign),
                6 => Act::Cancel(campaign),
                7..=9 => Act::Resend(campaign),
                10 => Act::Settle(campaign, Verdict::Resend, luck.within(1, 100)),
                11 => Act::Settle(campaign, Verdict::Accepted, luck.within(1, 100)),
                12 => Act::Settle(campaign, Verdict::Failed, luck.within(1, 100)),
                _ => Act::Checkpoint,
            };
            // Some come when all is over, and there is something to send again.
            (luck.ms(500, (calm_at + 60_000) as u64), act)
        })
        .collect();
    acts.sort_by_key(|(at, _)| *at);
    acts
}

fn ends(luck: &mut Luck) -> Vec<End> {
    let most = luck.one(&[1, 3, 6, 10]);
    (0..luck.within(0, most))
        .map(|_| {
            let how = luck.one(&[
                How::Kill,
                How::Kill,
                How::Kill,
                How::Power,
                How::Power,
                How::Power,
                How::Asked,
                How::DiskFails,
                How::DiskFull,
            ]);
            let step = luck.one(&[Step::Asked, Step::Written, Step::Written, Step::Synced, Step::Applied]);
            let when = if luck.has(0.5) { When::After(luck.ms(1, 40_000)) } else { When::At(step, luck.within(1, 60)) };
            let index = match how {
                How::Asked => IndexLeft::Kept,
                How::Power => luck.one(&[IndexLeft::Flushed, IndexLeft::Flushed, IndexLeft::Lost]),
                _ => luck.one(&[IndexLeft::Kept, IndexLeft::Kept, IndexLeft::Flushed, IndexLeft::Lost]),
            };
            let down = if luck.has(0.04) { luck.ms(1_800_000, 7_200_000) } else { luck.ms(50, 8_000) };
            let skew = if luck.has(0.1) { luck.ms(0, 360_000) - 180_000 } else { 0 };
            End { when, how, index, down, skew }
        })
        .collect()
}
