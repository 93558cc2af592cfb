//! One of each message, with every field set to something that shows in its bytes.

use std::collections::BTreeMap;

use usher_common::model::{
    AlertChannelRow, AlertPage, AlertRow, AlertState, AlertTrial, AttemptNo, AttemptRow, Audience, Bind, BreakerState,
    BulkChange, CampaignClass, CampaignDetail, CampaignId, CampaignRow, CampaignSpec, CampaignState, Channel,
    ChannelProgress, CheckRow, CheckSet, Control, ControlKind, Deeds, Doubt, Estimate, EstimateLine, Grade, Guest,
    GuestChange, GuestId, GuestListRow, GuestRow, Health, ImportProblem, ImportProgress, Limit, ListId, MaintenanceRow,
    MessageDetail, MessageId, MessageRow, MessageState, OutcomeClass, Overview, Priority, ProblemKind, Provenance,
    ProviderKind, ProviderRow, Reach, Rendered, Rsvp, Schedule, Severity, SilenceRow, SlaRow, SlaStatus, SlaWindow,
    StateCounts, Steer, Target, TemplateBody, TemplateRow, Timestamp, Trace, TracedGuest, TracedMessage,
    TracedSuppression, WhatsAppParameter, WhatsAppTemplate, Why,
};
use usher_common::protocol::{
    Act, ClientFrame, CsvPage, DoubtPage, EffectLine, GuestName, GuestPage, Have, Level, LogEvent, MessagePage,
    Problem, ProblemCode, Reply, Request, Row, ServerFrame, Topic, Welcome,
};

fn text(s: &str) -> String {
    s.to_owned()
}

fn at(ms: i64) -> Timestamp {
    Timestamp(1_800_000_000_000 + ms)
}

fn counts() -> StateCounts {
    StateCounts {
        held: 1,
        queued: 2,
        sending: 3,
        accepted: 4,
        delivered: 5,
        failed: 6,
        suppressed: 7,
        expired: 8,
        cancelled: 9,
        unknown: 10,
    }
}

fn guest() -> GuestRow {
    GuestRow {
        id: GuestId(7),
        list: ListId(1),
        guest: Guest {
            name: text("Zoë Müller"),
            email: Some(text("zoe@example.com")),
            phone: Some(text("+41791234567")),
            phone_takes_sms: true,
            email_needs_utf8: false,
            slack: Some(text("U012AB3CD")),
            dietary_requirements: text("halal"),
            plus_one: true,
            rsvp: Rsvp::Confirmed,
            groups: vec![text("family")],
            country: text("CH"),
            locale: text("de-CH"),
            timezone: text("Europe/Zurich"),
            preferred: vec![Channel::WhatsApp, Channel::Sms],
            custom: BTreeMap::from([(text("table"), text("4"))]),
        },
        provenance: Provenance { source: text("guests.csv, line 10"), vouched_by: text("Ada"), at: at(1) },
        version: 42,
    }
}

fn spec() -> CampaignSpec {
    CampaignSpec {
        name: text("Invitation"),
        description: text("The first letter"),
        organisation: text("ada-and-ben"),
        class: CampaignClass::Personal,
        channels: vec![Channel::Email, Channel::Sms],
        reach: Reach::All,
        audience: Audience::Segment { list: ListId(1), expression: text("rsvp = pending") },
        template: text("invitation"),
        values: BTreeMap::from([(text("venue_name"), text("The Old Mill"))]),
        schedule: Schedule::At { at: at(9), zone: text("Europe/Paris") },
        expires_after_hours: 48,
        whatsapp: Some(WhatsAppTemplate {
            name: text("invitation_2"),
            language: text("en_GB"),
            parameters: vec![WhatsAppParameter { name: text("guest"), text: text("{{ guest_name }}") }],
        }),
    }
}

fn campaign() -> CampaignRow {
    CampaignRow {
        id: CampaignId(12),
        name: text("Invitation"),
        organisation: text("ada-and-ben"),
        state: CampaignState::Running,
        channels: vec![Channel::Email, Channel::Sms],
        guests: 50,
        unreachable: 2,
        expanded: true,
        counts: counts(),
        rate: 12.5,
        eta_seconds: Some(30),
        why: text("resend asks to wait until 14:03:10"),
        due: Some(at(2)),
        ended: None,
        deleted: None,
        version: 99,
    }
}

fn detail() -> CampaignDetail {
    CampaignDetail {
        row: campaign(),
        spec: spec(),
        channels: vec![ChannelProgress {
            channel: Channel::Email,
            counts: counts(),
            providers: BTreeMap::from([(text("resend"), 9)]),
            deeds: Deeds { opened: 5, clicked: 3, unsubscribed: 2, complained: 1 },
        }],
        reasons: vec![(text("no such mailbox"), 3)],
        approved_by: text("uid 1000 (ada)"),
    }
}

fn control(target: Target, kind: ControlKind) -> Control {
    Control { target, kind, by: text("uid 1000 (ada)"), reason: text("looks ill"), since: at(1), until: Some(at(2)) }
}

fn provider() -> ProviderRow {
    ProviderRow {
        name: text("resend"),
        kind: ProviderKind::Resend,
        channel: Channel::Email,
        rank: 1,
        health: Health::Warning,
        breaker: BreakerState::HalfOpen,
        since: at(3),
        retry_at: Some(at(4)),
        controls: vec![control(Target::Provider(text("resend")), ControlKind::Drained)],
        throttled_until: Some(at(5)),
        in_flight: 6,
        accepted: 700,
        failures: 8,
        success: Some(0.75),
        p50_ms: Some(40),
        p99_ms: Some(400),
        rate: 10.5,
        last_class: Some(OutcomeClass::NotSent),
        last_error: text("connection refused"),
        last_error_at: Some(at(6)),
        history: vec![1, 2, 3],
    }
}

fn overview() -> Overview {
    Overview {
        environment: text("production"),
        version: text("0.1.0"),
        started: at(0),
        health: Health::Critical,
        findings: vec![(Health::Critical, text("resend is down since 14:02"))],
        counts: counts(),
        accepted_today: 1234,
        rate: 80.5,
        error_rate_percent: 2.5,
        processing_p95_ms: Some(77),
        campaigns_open: 2,
        controls: vec![control(Target::All, ControlKind::Held)],
        no_standby: vec![Channel::Sms],
        clients: 3,
        memory_bytes: 64_000_000,
        history: vec![9, 8, 7],
    }
}

fn message() -> MessageRow {
    MessageRow {
        id: MessageId(4711),
        campaign: CampaignId(12),
        guest: GuestId(7),
        guest_name: text("Zoë Müller"),
        channel: Channel::Email,
        state: MessageState::Accepted,
        attempts: 2,
        provider: text("smtp"),
        why: text("went by smtp"),
        changed: at(7),
    }
}

fn problem() -> ImportProblem {
    ImportProblem {
        line: 10,
        column: text("RSVP"),
        severity: Severity::Warning,
        kind: ProblemKind::Rsvp,
        message: text("not an RSVP status: kept as pending"),
    }
}

fn progress() -> ImportProgress {
    ImportProgress {
        bytes: 1000,
        records: 10,
        added: 4,
        updated: 3,
        unchanged: 2,
        duplicates: 1,
        rejected: 1,
        warned: 2,
        format: text("UTF-8, comma"),
        problems: vec![problem()],
        problems_left_out: 5,
    }
}

fn change() -> GuestChange {
    GuestChange { field: text("rsvp"), value: text("confirmed") }
}

fn template() -> TemplateBody {
    TemplateBody {
        subject: text("Hello"),
        text: text("Dear {{guest_name}}"),
        html: text("<p>Dear</p>"),
        short: text("Hi"),
    }
}

fn template_row() -> TemplateRow {
    TemplateRow { name: text("invitation"), built_in: true, tokens: vec![text("guest_name")], changed: at(8) }
}

/// One of each request.
pub(crate) fn requests() -> Vec<Request> {
    let id = CampaignId(12);
    let list = ListId(1);
    vec![
        Request::Status,
        Request::Providers,
        Request::Lists,
        Request::Guests { list, segment: text("rsvp = confirmed"), after: Some(GuestId(7)), limit: 100 },
        Request::Guest { list, guest: GuestName::Address(text("zoe@example.com")) },
        Request::GuestAdd { list: text("friends"), fields: vec![change()], vouched_by: text("Ada") },
        Request::GuestEdit { list, guest: GuestName::Id(GuestId(7)), changes: vec![change()] },
        Request::GuestDelete { list, guest: GuestName::Id(GuestId(7)) },
        Request::GuestBulk { list, change: BulkChange { segment: text("group = family"), changes: vec![change()] } },
        Request::ImportOpen {
            list: text("friends"),
            file: text("guests.csv"),
            vouched_by: text("Ada"),
            country: text("CH"),
        },
        Request::ImportChunk { upload: 3, bytes: b"email,name\n".to_vec() },
        Request::ImportFinish { upload: 3 },
        Request::Export { list, segment: String::new(), after: None, limit: 500 },
        Request::Templates,
        Request::Template { name: text("invitation") },
        Request::TemplateSave { name: text("ours"), body: template() },
        Request::TemplatePreview {
            name: text("ours"),
            channel: Channel::Sms,
            guest: Some((list, GuestName::Id(GuestId(7)))),
        },
        Request::Campaigns,
        Request::Campaign { id },
        Request::Messages { campaign: id, state: Some(MessageState::Failed), after: Some(MessageId(5)), limit: 50 },
        Request::Message { campaign: id, id: MessageId(4711) },
        Request::CampaignCreate { spec: spec() },
        Request::CampaignPreview { id, guest: None },
        Request::CampaignEstimate { id },
        Request::CampaignTest { id, channel: Channel::Email, to: text("me@example.com") },
        Request::CampaignApprove { id },
        Request::CampaignSend { id, schedule: Some(Schedule::Now) },
        Request::CampaignPause { id },
        Request::CampaignResume { id },
        Request::CampaignCancel { id },
        Request::CampaignDelete { id },
        Request::CampaignRestore { id, name: Some(text("Save the date, again")) },
        Request::CampaignEdit { id, spec: spec() },
        Request::ListDelete { list },
        Request::GuestTrace { address: text("zoe@example.com") },
        Request::Doubts { campaign: Some(CampaignId(12)), limit: 100 },
        Request::DoubtSettle {
            campaign: CampaignId(12),
            messages: vec![MessageId(9)],
            verdict: usher_common::model::Verdict::Resend,
        },
        Request::CampaignResend { id: CampaignId(12) },
        Request::Controls,
        Request::Why { target: Target::Provider(text("twilio")) },
        Request::Alerts,
        Request::Sla,
        Request::AlertAcknowledge { rule: text("provider-down") },
        Request::SilenceAdd { rule: text("burn-*"), object: text("*"), seconds: 3_600 },
        Request::SilenceEnd { id: 3 },
        Request::AlertTest { channel: Some(text("slack-ops")) },
        Request::Check { set: CheckSet::PreDeploy },
        Request::Hold { target: Target::Organisation(text("ada-and-ben")), seconds: Some(600) },
        Request::Release { target: Target::Campaign(CampaignId(12)) },
        Request::ProviderSteer {
            provider: text("twilio"),
            steer: Steer::FailOver { to: Some(text("vonage")) },
            seconds: 1_800,
        },
        Request::ProviderEnable { provider: text("twilio") },
        Request::ProviderTest {
            provider: text("twilio"),
            to: text("+12125550101"),
            organisation: Some(text("ada-and-ben")),
        },
        Request::Unknown,
    ]
}

/// One of each reply.
pub(crate) fn replies() -> Vec<Reply> {
    vec![
        Reply::Done(text("deleted")),
        Reply::Preview(vec![EffectLine { what: text("412 messages"), effect: text("stay queued") }]),
        Reply::Status(Box::new(overview())),
        Reply::Providers(vec![
            provider(),
            ProviderRow { kind: ProviderKind::SendGrid, ..provider() },
            ProviderRow { kind: ProviderKind::Slack, channel: Channel::Slack, ..provider() },
            ProviderRow { kind: ProviderKind::WhatsApp, channel: Channel::WhatsApp, ..provider() },
            ProviderRow { kind: ProviderKind::Webhook, ..provider() },
            ProviderRow { kind: ProviderKind::Unknown, ..provider() },
        ]),
        Reply::Lists(vec![GuestListRow { id: ListId(1), name: text("friends"), guests: 120, changed: at(1) }]),
        Reply::Guests(GuestPage { rows: vec![guest()], total: 120, next: Some(GuestId(7)) }),
        Reply::Guest(Box::new(guest())),
        Reply::ImportOpened { upload: 3 },
        Reply::Import(progress()),
        Reply::Csv(CsvPage { text: text("email\r\n"), rows: 1, next: Some(GuestId(7)) }),
        Reply::Templates(vec![template_row()]),
        Reply::Template { row: template_row(), body: template() },
        Reply::Rendered(vec![Rendered {
            channel: Channel::Sms,
            to: text("+41791234567"),
            subject: String::new(),
            text: text("Hi"),
            html: String::new(),
            segments: 1,
            encoding: text("GSM-7"),
        }]),
        Reply::Campaigns(vec![campaign()]),
        Reply::Campaign(Box::new(detail())),
        Reply::Estimate(Estimate {
            guests: 50,
            recipients: 48,
            unreachable: 2,
            lines: vec![EstimateLine {
                channel: Channel::Sms,
                provider: text("twilio"),
                messages: 48,
                units: 96,
                unit_price: 0.0083,
                cost: 0.7968,
                currency: text("USD"),
            }],
            warnings: vec![text("sms has no standby")],
        }),
        Reply::Messages(MessagePage { rows: vec![message()], total: 1, next: None }),
        Reply::Message(Box::new(story())),
        Reply::Trace(Box::new(Trace {
            guests: vec![TracedGuest {
                list: ListId(1),
                list_name: text("friends"),
                guest: GuestId(7),
                name: text("Zoë"),
            }],
            suppressed: vec![TracedSuppression { channel: Channel::Sms, reason: text("opted out"), since: at(4) }],
            messages: vec![TracedMessage { campaign: text("Invitation"), message: story() }],
            more: true,
        })),
        Reply::Doubts(DoubtPage {
            rows: vec![Doubt {
                campaign: text("Invitation"),
                message: message(),
                since: at(8),
                asked_until: Some(at(9)),
                step: text("its report is waited for"),
            }],
            total: 3,
        }),
        Reply::Controls(vec![
            control(Target::Provider(text("twilio")), ControlKind::Preferred),
            control(Target::Provider(text("twilio")), ControlKind::Weighed(2.5)),
        ]),
        Reply::Alerts(Box::new(AlertPage {
            alerts: vec![alert()],
            silences: vec![SilenceRow {
                id: 3,
                rule: text("burn-*"),
                object: text("*"),
                by: text("ada"),
                reason: text("we know"),
                until: Timestamp(1_900_000),
            }],
            windows: vec![MaintenanceRow { name: text("weekly"), until: None, next: Some(Timestamp(2_000_000)) }],
            channels: vec![AlertChannelRow {
                name: text("slack-ops"),
                taken: Some(Timestamp(1_000_000)),
                said: text("503"),
                waiting: 2,
                pages: true,
            }],
        })),
        Reply::Sla(vec![sla()]),
        Reply::AlertTrials(vec![AlertTrial { channel: text("sms"), taken: false, said: text("refused"), took_ms: 12 }]),
        Reply::Checks(vec![CheckRow {
            name: text("dns.ours.example.spf"),
            grade: Grade::Warn,
            reason: text("does not name sendgrid.net"),
            remedy: text("add it"),
            took_ms: 12,
        }]),
        Reply::Why(vec![Why {
            target: Target::Campaign(CampaignId(12)),
            channel: Some(Channel::Sms),
            waiting: 412,
            now: Bind { limit: Limit::Hold, text: text("held by ada"), until: Some(at(10)) },
            next: Some(Bind { limit: Limit::Pace, text: text("the pace of twilio"), until: None }),
            done: Some(at(11)),
            assuming: text("at 50 a second"),
            line: text("412 sms messages wait: held by ada"),
        }]),
        Reply::Unknown,
    ]
}

fn story() -> MessageDetail {
    MessageDetail {
        row: message(),
        attempts: vec![AttemptRow {
            no: AttemptNo(1),
            provider: text("resend"),
            started: at(9),
            class: Some(OutcomeClass::NotSent),
            code: text("connect"),
            detail: text("connection refused"),
            provider_id: String::new(),
            latency_ms: 3,
        }],
    }
}

fn named<T: serde::Serialize>(prefix: &str, value: &T) -> String {
    format!("{prefix}-{}", crate::variant(value).to_lowercase())
}

/// Every frame that a client can send.
pub(crate) fn client() -> Vec<(String, ClientFrame)> {
    let mut frames = vec![
        (text("client-hello"), ClientFrame::Hello { client: text("usher 0.1.0") }),
        (
            text("client-subscribe"),
            ClientFrame::Subscribe {
                topic: Topic::Campaign(CampaignId(12)),
                have: Some(Have { epoch: 1_800_000_000_000, version: 17 }),
            },
        ),
        (text("client-unsubscribe"), ClientFrame::Unsubscribe { topic: Topic::Log }),
    ];
    let act = Act { key: text("0198-a"), reason: text("venue burnt down"), seen: Some(99), preview: true };
    for (id, request) in requests().into_iter().enumerate() {
        let name = named("request", &request);
        frames.push((name, ClientFrame::Call { id: id as u64, request: Box::new(request), act: Some(act.clone()) }));
    }
    frames
}

/// Every frame that the daemon can send.
pub(crate) fn server() -> Vec<(String, ServerFrame)> {
    let epoch = 1_800_000_000_000;
    let mut frames = vec![
        (
            text("server-welcome"),
            ServerFrame::Welcome(Welcome {
                version: text("0.1.0"),
                types: text("0123456789abcdef"),
                epoch,
                environment: text("production"),
                actor: text("uid 1000 (ada)"),
                now: at(0),
            }),
        ),
        (
            text("server-delta"),
            ServerFrame::Delta {
                topic: Topic::Providers,
                from: 17,
                to: 19,
                rows: vec![Row::Provider(Box::new(provider()))],
                gone: vec![text("twilio")],
            },
        ),
        (
            text("server-events"),
            ServerFrame::Events {
                skipped: 2,
                events: vec![LogEvent {
                    position: 8,
                    at: at(5),
                    level: Level::Error,
                    object: text("provider resend"),
                    text: text("breaker opened"),
                }],
            },
        ),
        (text("server-progress"), ServerFrame::Progress { id: 1, done: 312_000, total: 1_000_000 }),
        (text("server-heartbeat"), ServerFrame::Heartbeat { seq: 3, now: at(6) }),
        (text("server-goodbye"), ServerFrame::Goodbye { reason: text("the daemon stops") }),
        (
            text("server-problem"),
            ServerFrame::Reply {
                id: 1,
                result: Err(Problem::new(ProblemCode::Conflict, "changed meanwhile", "look again")),
            },
        ),
    ];
    let rows = [
        (Topic::Overview, Row::Overview(Box::new(overview()))),
        (Topic::Campaigns, Row::Campaign(Box::new(campaign()))),
        (Topic::Campaign(CampaignId(12)), Row::Detail(Box::new(detail()))),
        (Topic::Alerts, Row::Alert(Box::new(alert()))),
        (Topic::Sla, Row::Sla(Box::new(sla()))),
        (Topic::Log, Row::Provider(Box::new(provider()))),
    ];
    for (n, (topic, row)) in rows.into_iter().enumerate() {
        let snapshot = ServerFrame::Snapshot { topic, epoch, version: n as u64, rows: vec![row] };
        frames.push((format!("server-snapshot-{n}"), snapshot));
    }
    for (id, reply) in replies().into_iter().enumerate() {
        let name = named("reply", &reply);
        frames.push((name, ServerFrame::Reply { id: id as u64, result: Ok(reply) }));
    }
    frames
}

fn alert() -> AlertRow {
    AlertRow {
        rule: text("provider-down"),
        object: text("provider resend"),
        state: AlertState::Firing,
        priority: Priority::P1,
        summary: text("provider resend is down"),
        detail: text("503"),
        action: text("usher provider why resend"),
        value: 1.0,
        threshold: 1.0,
        since: Timestamp(1_000_000),
        told: true,
        quiet: String::new(),
        acknowledged_until: Some(Timestamp(2_800_000)),
    }
}

fn sla() -> SlaRow {
    SlaRow {
        object: text("channel email"),
        target: 0.9995,
        status: SlaStatus::NotProvable,
        budget_left_percent: Some(12.5),
        exhausted_in_seconds: Some(9_000),
        windows: vec![SlaWindow { window: text("5m"), good: 90, bad: 1, burn: Some(22.2) }],
        excluded: 4,
        p99_ms: Some(120),
        uptime: Some(0.999),
        throughput: 4.5,
    }
}
