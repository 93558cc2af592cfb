//! A daemon's state for tests and pictures: fixed names, fixed numbers, a fixed clock.

use std::time::Duration;

use usher_common::model::{
    AlertRow, AlertState, AttemptNo, AttemptRow, Audience, BreakerState, CampaignClass, CampaignDetail, CampaignId,
    CampaignRow, CampaignSpec, CampaignState, Channel, ChannelProgress, Control, ControlKind, Deeds, Guest, GuestId,
    GuestRow, Health, ListId, MessageDetail, MessageId, MessageRow, MessageState, OutcomeClass, Overview, Priority,
    Provenance, ProviderKind, ProviderRow, Reach, Rsvp, Schedule, SlaRow, SlaStatus, SlaWindow, StateCounts, Target,
    Timestamp,
};
use usher_common::protocol::{Level, LogEvent, Row, TYPES, Topic, Welcome};

use crate::app::{Model, Msg, update};
use crate::clock::Now;
use crate::session::{LinkEvent, LinkState};
use crate::theme::ThemeName;

/// 2026-11-22 14:03:07 UTC.
pub const NOW: Timestamp = Timestamp(1_795_356_187_000);

/// The time, so many seconds after the console started.
pub fn now(seconds: u64) -> Now {
    Now { wall: NOW, mono: Duration::from_secs(seconds) }
}

/// The welcome of a daemon of the same build.
pub fn welcome() -> Welcome {
    Welcome {
        version: "0.1.0".to_owned(),
        types: TYPES.to_owned(),
        epoch: 1,
        environment: "production".to_owned(),
        actor: "ana".to_owned(),
        now: NOW,
    }
}

fn counts(queued: u64, accepted: u64, delivered: u64, failed: u64, unknown: u64) -> StateCounts {
    StateCounts { queued, sending: queued.min(64), accepted, delivered, failed, unknown, ..StateCounts::default() }
}

/// The daemon at a glance, with something wrong.
pub fn overview() -> Overview {
    Overview {
        environment: "production".to_owned(),
        version: "0.1.0".to_owned(),
        started: NOW.plus_millis(-93_600_000),
        health: Health::Critical,
        findings: vec![
            (
                Health::Critical,
                "resend is down since 14:01: 5 refused connections in a row. Its 9,412 messages go by smtp-backup; see \
                 status.resend.com"
                    .to_owned(),
            ),
            (Health::Warning, "37 messages are in doubt for over 10 min: settle them on campaign c12".to_owned()),
            (Health::Warning, "no standby for sms: nothing takes over when its provider breaks".to_owned()),
        ],
        counts: counts(9_412, 48_120, 31_077, 212, 37),
        accepted_today: 79_197,
        rate: 412.4,
        error_rate_percent: 4.2,
        processing_p95_ms: Some(340),
        controls: Vec::new(),
        campaigns_open: 3,
        no_standby: vec![Channel::Sms],
        clients: 3,
        memory_bytes: 96 * 1024 * 1024,
        history: (0..60).map(|i| 380 + (i * 37) % 120 - if i > 45 { (i - 45) * 16 } else { 0 }).collect(),
    }
}

/// Three providers: one well, one down, one throttled.
pub fn providers() -> Vec<ProviderRow> {
    let row = |name: &str, kind, channel, rank| ProviderRow {
        name: name.to_owned(),
        kind,
        channel,
        rank,
        health: Health::Ok,
        breaker: BreakerState::Closed,
        since: NOW.plus_millis(-93_600_000),
        retry_at: None,
        controls: Vec::new(),
        throttled_until: None,
        in_flight: 12,
        accepted: 31_077,
        failures: 3,
        success: Some(0.9997),
        p50_ms: Some(82),
        p99_ms: Some(412),
        rate: 240.0,
        last_class: None,
        last_error: String::new(),
        last_error_at: None,
        history: (0..60).map(|i| 200 + (i * 13) % 60).collect(),
    };
    let resend = ProviderRow {
        health: Health::Critical,
        breaker: BreakerState::Open,
        since: NOW.plus_millis(-126_000),
        retry_at: Some(NOW.plus_millis(14_000)),
        in_flight: 0,
        failures: 41,
        success: Some(0.31),
        p99_ms: Some(9_800),
        rate: 0.0,
        last_class: Some(OutcomeClass::NotSent),
        last_error: "connection refused (api.resend.com:443)".to_owned(),
        last_error_at: Some(NOW.plus_millis(-3_000)),
        ..row("resend", ProviderKind::Resend, Channel::Email, 1)
    };
    let twilio = ProviderRow {
        health: Health::Warning,
        throttled_until: Some(NOW.plus_millis(8_000)),
        success: Some(0.972),
        rate: 172.4,
        last_class: Some(OutcomeClass::Throttled),
        last_error: "20429 Too Many Requests".to_owned(),
        last_error_at: Some(NOW.plus_millis(-2_000)),
        ..row("twilio", ProviderKind::Twilio, Channel::Sms, 1)
    };
    vec![resend, row("smtp-backup", ProviderKind::Smtp, Channel::Email, 2), twilio]
}

/// A drain that has half an hour to go.
pub fn drained(provider: &str) -> Control {
    Control {
        target: Target::Provider(provider.to_owned()),
        kind: ControlKind::Drained,
        by: "uid 1000 (ana)".to_owned(),
        reason: "its status page is red".to_owned(),
        since: NOW.plus_millis(-60_000),
        until: Some(NOW.plus_millis(1_800_000)),
    }
}

fn campaign(id: u64, name: &str, state: CampaignState, of: StateCounts) -> CampaignRow {
    CampaignRow {
        id: CampaignId(id),
        name: name.to_owned(),
        organisation: "Ana & Luis".to_owned(),
        state,
        channels: vec![Channel::Email, Channel::Sms],
        guests: of.total() + 4,
        unreachable: 4,
        expanded: true,
        counts: of,
        rate: 0.0,
        eta_seconds: None,
        why: String::new(),
        due: Some(NOW.plus_millis(-600_000)),
        ended: None,
        deleted: None,
        version: 7,
    }
}

/// Campaigns in several states; one has a name that would move the cursor.
pub fn campaigns() -> Vec<CampaignRow> {
    vec![
        CampaignRow {
            rate: 412.4,
            eta_seconds: Some(23),
            why: "resend's breaker is open until 14:03:21; smtp-backup carries on".to_owned(),
            ..campaign(12, "Save the date", CampaignState::Running, counts(9_412, 20_100, 10_077, 112, 37))
        },
        CampaignRow {
            why: "paused by luis: wrong venue".to_owned(),
            ..campaign(14, "Details for the week", CampaignState::Paused, counts(850, 0, 0, 0, 0))
        },
        campaign(15, "\u{1b}[2JRSVP reminder \u{202e}Zoë", CampaignState::Draft, StateCounts::default()),
        CampaignRow {
            ended: Some(NOW.plus_millis(-86_400_000)),
            ..campaign(9, "Engagement party", CampaignState::Partial, counts(0, 18_020, 21_000, 100, 0))
        },
        CampaignRow {
            ended: Some(NOW.plus_millis(-172_800_000)),
            ..campaign(7, "First news 李", CampaignState::Finished, counts(0, 10_000, 0, 0, 0))
        },
    ]
}

/// One campaign with all that is known of it.
pub fn detail() -> CampaignDetail {
    let row = campaigns().swap_remove(0);
    let (email, sms) = (counts(8_000, 15_000, 8_000, 100, 30), counts(1_412, 5_100, 2_077, 12, 7));
    CampaignDetail {
        spec: CampaignSpec {
            name: row.name.clone(),
            description: "The day, the place".to_owned(),
            organisation: row.organisation.clone(),
            class: CampaignClass::Personal,
            channels: row.channels.clone(),
            reach: Reach::Preferred,
            audience: Audience::List(ListId(3)),
            template: "invitation".to_owned(),
            values: [("venue_name".to_owned(), "The Old Mill".to_owned())].into(),
            schedule: Schedule::At { at: NOW.plus_millis(-600_000), zone: "Europe/Madrid".to_owned() },
            expires_after_hours: 0,
            whatsapp: None,
        },
        channels: vec![
            ChannelProgress {
                channel: Channel::Email,
                counts: email,
                providers: [("resend".to_owned(), 14_200), ("smtp-backup".to_owned(), 8_800)].into(),
                deeds: Deeds { opened: 11_204, clicked: 3_120, unsubscribed: 9, complained: 2 },
            },
            ChannelProgress {
                channel: Channel::Sms,
                counts: sms,
                providers: [("twilio".to_owned(), 7_177)].into(),
                deeds: Deeds { unsubscribed: 4, ..Deeds::default() },
            },
        ],
        reasons: vec![("mailbox does not exist".to_owned(), 88), ("21211 invalid number".to_owned(), 24)],
        approved_by: "luis".to_owned(),
        row,
    }
}

/// A campaign's first messages.
pub fn messages() -> Vec<MessageRow> {
    let states = [
        (MessageState::Unknown, "Zoë García", "timeout after the body was written"),
        (MessageState::Delivered, "李小龍", ""),
        (MessageState::Failed, "Bob\u{1b}[31m Hacker", "mailbox does not exist"),
        (MessageState::Queued, "Carla Méndez", ""),
        (MessageState::Accepted, "dieter@example.org", ""),
        (MessageState::Held, "Eve", "quiet hours until 08:00"),
    ];
    let rows = states.into_iter().enumerate().map(|(i, (state, name, why))| MessageRow {
        id: MessageId(4_700 + i as u64),
        campaign: CampaignId(12),
        guest: GuestId(900 + i as u64),
        guest_name: name.to_owned(),
        channel: if i % 2 == 0 { Channel::Email } else { Channel::Sms },
        state,
        attempts: u32::from(state != MessageState::Queued),
        provider: if state == MessageState::Queued { String::new() } else { "resend".to_owned() },
        why: why.to_owned(),
        changed: NOW.plus_millis(-30_000 * (i as i64 + 1)),
    });
    rows.collect()
}

/// One message with its attempts.
pub fn message() -> MessageDetail {
    let attempt = |no, provider: &str, class, code: &str, detail: &str, id: &str| AttemptRow {
        no: AttemptNo(no),
        provider: provider.to_owned(),
        started: NOW.plus_millis(-130_000 + i64::from(no) * 20_000),
        class,
        code: code.to_owned(),
        detail: detail.to_owned(),
        provider_id: id.to_owned(),
        latency_ms: 10_012,
    };
    MessageDetail {
        row: messages().swap_remove(0),
        attempts: vec![
            attempt(1, "resend", Some(OutcomeClass::NotSent), "", "connection refused (api.resend.com:443)", ""),
            attempt(
                2,
                "resend",
                Some(OutcomeClass::Unknown),
                "",
                "no answer within 10 s after the body was written",
                "",
            ),
        ],
    }
}

/// The guest of that message.
pub fn guest() -> GuestRow {
    GuestRow {
        id: GuestId(900),
        list: ListId(3),
        guest: Guest {
            name: "Zoë García".to_owned(),
            email: Some("zoe@example.org".to_owned()),
            phone: Some("+34600000001".to_owned()),
            rsvp: Rsvp::Pending,
            country: "ES".to_owned(),
            timezone: "Europe/Madrid".to_owned(),
            ..Guest::default()
        },
        provenance: Provenance { source: "guests.csv, line 14".to_owned(), vouched_by: "luis".to_owned(), at: NOW },
        version: 2,
    }
}

/// What happened lately.
pub fn events() -> Vec<LogEvent> {
    let said = [
        (Level::Info, "campaign c12", "started by luis: 40,138 guests"),
        (Level::Warning, "provider twilio", "asked us to wait 8 s (20429)"),
        (Level::Error, "provider resend", "breaker opened: 5 refused connections in a row"),
        (Level::Info, "provider smtp-backup", "carries e-mail now, 9,412 messages moved"),
        (Level::Error, "provider \u{1b}]0;evil\u{7}", "a name that would set the title"),
    ];
    let rows = said.into_iter().enumerate().map(|(i, (level, object, text))| LogEvent {
        position: i as u64 + 1,
        at: NOW.plus_millis(-100_000 + 20_000 * i as i64),
        level,
        object: object.to_owned(),
        text: text.to_owned(),
    });
    rows.collect()
}

/// Alerts: one that somebody was told of, one that waits behind it, one that is silenced.
pub fn alerts() -> Vec<AlertRow> {
    let alert = |rule: &str, object: &str, priority, summary: &str, detail: &str, action: &str| AlertRow {
        rule: rule.to_owned(),
        object: object.to_owned(),
        state: AlertState::Firing,
        priority,
        summary: summary.to_owned(),
        detail: detail.to_owned(),
        action: action.to_owned(),
        value: 1.0,
        threshold: 1.0,
        since: NOW.plus_millis(-127_000),
        told: true,
        quiet: String::new(),
        acknowledged_until: None,
    };
    let mut rows = vec![
        alert(
            "provider-down",
            "provider resend",
            Priority::P1,
            "provider resend is down",
            "connect: connection refused",
            "usher provider why resend; drain it if it stays so",
        ),
        alert(
            "burn-1h",
            "provider resend",
            Priority::P1,
            "provider resend: the error budget burns 14 times too fast",
            "412 bad within 1h",
            "usher sla; then usher provider list",
        ),
        alert(
            "disk-low",
            "",
            Priority::P2,
            "little room is left on the disk",
            "",
            "make room before nothing new is taken in",
        ),
    ];
    (rows[1].told, rows[1].value, rows[1].threshold) = (false, 91.2, 14.4);
    "something worse speaks for it".clone_into(&mut rows[1].quiet);
    (rows[2].told, rows[2].value, rows[2].threshold) = (false, 1.7e9, 2e9);
    (rows[2].state, rows[2].since) = (AlertState::Recovering, NOW.plus_millis(-7_200_000));
    "silenced, or in a maintenance window".clone_into(&mut rows[2].quiet);
    rows
}

/// Service levels: one that is met, one that is breached, one that has too few messages to tell.
pub fn slas() -> Vec<SlaRow> {
    let sla = |object: &str, status, left: Option<f64>, good: u64, bad: u64, uptime| {
        let spans = ["5m", "30m", "1h", "2h", "6h", "24h", "3d", "30d"];
        let window = |(n, name): (usize, &&str)| {
            let (good, bad) = (good >> (7 - n), bad >> (7 - n));
            let burn = (good + bad > 0).then(|| bad as f64 / (good + bad) as f64 / 0.0005);
            SlaWindow { window: (*name).to_owned(), good, bad, burn }
        };
        SlaRow {
            object: object.to_owned(),
            target: 0.9995,
            status,
            budget_left_percent: left,
            exhausted_in_seconds: left.map(|left| (left.max(0.0) * 20_000.0) as u64),
            windows: spans.iter().enumerate().map(window).collect(),
            excluded: 31,
            p99_ms: Some(420),
            uptime,
            throughput: 82.5,
        }
    };
    vec![
        sla("all", SlaStatus::Breached, Some(-312.0), 79_197, 163, None),
        sla("channel email", SlaStatus::Breached, Some(-401.0), 61_000, 160, None),
        sla("channel sms", SlaStatus::Met, Some(67.0), 18_197, 3, None),
        sla("provider resend", SlaStatus::Breached, Some(-912.0), 40_100, 204, Some(0.9985)),
        sla("provider twilio", SlaStatus::NotProvable, Some(100.0), 3_100, 0, Some(1.0)),
    ]
}

/// A console that is live and has heard all of the above.
pub fn live(theme: ThemeName) -> Model {
    let mut model = Model::new("/run/usher/usherd.sock", theme, theme != ThemeName::Mono);
    let rows = |topic, rows| Msg::Link(LinkEvent::Snapshot { topic, rows });
    for msg in [
        Msg::Time(now(100)),
        Msg::Link(LinkEvent::Welcome { welcome: welcome(), acts: true }),
        Msg::Link(LinkEvent::State(LinkState::Live(Some(14)))),
        rows(Topic::Overview, vec![Row::Overview(Box::new(overview()))]),
        rows(Topic::Providers, providers().into_iter().map(|row| Row::Provider(Box::new(row))).collect()),
        rows(Topic::Alerts, alerts().into_iter().map(|row| Row::Alert(Box::new(row))).collect()),
        rows(Topic::Sla, slas().into_iter().map(|row| Row::Sla(Box::new(row))).collect()),
        rows(Topic::Campaigns, campaigns().into_iter().map(|row| Row::Campaign(Box::new(row))).collect()),
        Msg::Link(LinkEvent::Events { skipped: 0, events: events() }),
    ] {
        update(&mut model, msg);
    }
    model
}
