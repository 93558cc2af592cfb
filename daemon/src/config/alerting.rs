//! Who is told when something is wrong, by which way, and by which rules: `[alerting]`, `[[alert_channel]]`, `[[alert_rule]]`,
//! `[[maintenance]]`.
//!
//! An alert channel has the keys of the `[[provider]]` of its kind, and credentials of its own. Whatever wakes somebody needs two channels
//! that share no provider, or a person who accepts that one may be the one that is on fire; [`super::independence`] proves it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use secrecy::SecretString;
use usher_common::model::{Channel, Priority, ProviderKind};

use super::ProviderAccess;
use super::check;
use super::maintenance::{MaintenanceWindow, Recurs};
use super::provider::{self, ProviderSettings};
use super::reader::Reader;
use super::rule::{Condition, METRICS, Rule, Take, Test, built_in};
use super::slot::{Fault, Word};

/// A channel by which somebody is told.
#[derive(Debug, Clone)]
pub struct AlertChannel {
    /// Its name.
    pub name: String,
    /// Whom it reaches, as its kind writes that; empty where the way itself says so.
    pub to: String,
    /// The way.
    pub way: AlertWay,
}

/// How somebody is told.
#[derive(Debug, Clone)]
pub enum AlertWay {
    /// By a provider.
    Provider(Box<ProviderSettings>),
    /// By a program that takes what Alertmanager's webhooks send.
    Webhook {
        /// Where it takes that.
        url: String,
        /// Presented as a bearer token.
        token: Option<SecretString>,
        /// Certificates to trust beside the system's, in PEM.
        ca_file: Option<PathBuf>,
    },
}

/// Who is told of what.
#[derive(Debug, Clone)]
pub struct Alerting {
    /// The channels.
    pub channels: Vec<AlertChannel>,
    /// Channels for what wakes somebody (P0, P1).
    pub page: Vec<String>,
    /// Channels for everything else.
    pub ticket: Vec<String>,
    /// Who accepts that pages have one way only.
    pub accepted_by: Option<String>,
    /// Asked once a minute while all is well, by somebody outside who is alarmed when it is not.
    pub heartbeat_url: Option<String>,
    /// When each channel gets its daily test, by the clock of `test_zone`.
    pub test_at: Time,
    /// The zone of `test_at`.
    pub test_zone: TimeZone,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The maintenance windows.
    pub windows: Vec<MaintenanceWindow>,
}

/// What an alert channel may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Provider(ProviderKind),
    Webhook,
}

impl Word for Kind {
    const ALL: &'static [Self] = &[
        Self::Provider(ProviderKind::Slack),
        Self::Provider(ProviderKind::Smtp),
        Self::Provider(ProviderKind::Resend),
        Self::Provider(ProviderKind::SendGrid),
        Self::Provider(ProviderKind::Twilio),
        Self::Webhook,
    ];
    fn word(self) -> &'static str {
        match self {
            Self::Provider(kind) => kind.as_str(),
            Self::Webhook => "alertmanager",
        }
    }
}

impl Word for Condition {
    const ALL: &'static [Self] = &Condition::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for Take {
    const ALL: &'static [Self] = &Take::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for Priority {
    const ALL: &'static [Self] = &Priority::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Judges an address of a kind.
type Judge = fn(&str) -> Result<(), Fault>;

/// Whether a rule is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

impl Word for Switch {
    const ALL: &'static [Self] = &[Self::On, Self::Off];
    fn word(self) -> &'static str {
        if self == Self::On { "on" } else { "off" }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, violations: u32) -> Alerting {
    let channels = channels(reader);
    let names =
        |text: &str| text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let known = |text: &str| {
        let asked: Vec<String> = names(text);
        match asked.iter().find(|name| !channels.iter().any(|channel| channel.name == **name)) {
            Some(name) => Err(Fault::new(
                format!("names `{name}`, which is no alert channel"),
                "add an [[alert_channel]] of that name",
            )),
            None => Ok(()),
        }
    };
    let page = reader.at("alerting.page").text(None, known).map(|text| names(&text)).unwrap_or_default();
    let ticket = reader.at("alerting.ticket").text(None, known).map(|text| names(&text));
    let accepted_by = reader.at("alerting.accept_single_channel").text(None, check::line);
    let heartbeat_url = reader.at("alerting.heartbeat_url").text(None, check::endpoint);
    let test_at = reader.at("alerting.test_at").text(Some("09:00"), time_of_day);
    let test_zone = reader.at("alerting.test_zone").text(Some("UTC"), time_zone);
    if page.is_empty() {
        let text = "is not set, so that nobody is woken: what is wrong stands in the log, in the console and in the file ALERT alone".to_owned();
        reader.warn("alerting.page", text);
    }
    let ticket = ticket.unwrap_or_else(|| page.clone());
    Alerting {
        channels,
        page,
        ticket,
        accepted_by,
        heartbeat_url,
        test_at: test_at.and_then(|text| text.parse().ok()).unwrap_or_default(),
        test_zone: test_zone.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC),
        rules: rules(reader, violations),
        windows: windows(reader),
    }
}

fn channels(reader: &mut Reader<'_>) -> Vec<AlertChannel> {
    let mut used = BTreeSet::new();
    let mut channels = Vec::new();
    reader.lends = false;
    for (path, origin) in reader.list("alert_channel") {
        let section = reader.named_section("alert_channel", &path, origin);
        let name = reader
            .within(&section, "name")
            .needed("give the channel a name, such as \"slack-ops\"")
            .text(None, |text| check::unused_name(text, &used));
        let kind: Option<Kind> = reader
            .within(&section, "kind")
            .needed("set it to slack, smtp, resend, sendgrid, twilio or alertmanager")
            .word(None);
        used.extend(name.clone());
        let Some(kind) = kind else {
            reader.accept_all(&path);
            continue;
        };
        let name = name.unwrap_or_default();
        let (to, way) = match kind {
            Kind::Webhook => {
                let url = reader
                    .within(&section, "url")
                    .needed("set it to where the alerts are posted to")
                    .text(None, check::endpoint);
                let token = reader.within(&section, "token").secret(|text| Ok(SecretString::from(text.to_owned())));
                let ca_file = reader.within(&section, "ca_file").file(false);
                (Some(String::new()), url.map(|url| AlertWay::Webhook { url, token, ca_file }))
            }
            Kind::Provider(kind) => {
                let (channel, judge): (Channel, Judge) = match kind {
                    ProviderKind::Slack => (Channel::Slack, conversation),
                    ProviderKind::Twilio => (Channel::Sms, telephone),
                    _ => (Channel::Email, check::email),
                };
                // Slack's webhooks say themselves into which channel they post.
                let by_address = kind == ProviderKind::Slack && reader.is_written(&section, "webhook_url");
                let mut to = reader.within(&section, "to");
                if !by_address {
                    to = to.needed("say whom it reaches");
                }
                let to = to.text(None, judge).or_else(|| by_address.then(String::new));
                let way = provider::one(reader, &section, name.clone(), kind, channel, (1, 1.0), None);
                if way.as_ref().is_some_and(needs_sender) {
                    let remedy = "set it to the sender of the alerts, one that is verified with the provider";
                    reader.missing(&format!("{}.from", section.shown), &section, remedy);
                }
                (to, way.map(|way| AlertWay::Provider(Box::new(way))))
            }
        };
        if let Some((to, way)) = to.zip(way) {
            channels.push(AlertChannel { name, to, way });
        }
    }
    reader.lends = true;
    channels
}

/// A campaign's letter has the sender of its organisation; an alert has none but its channel's.
fn needs_sender(way: &ProviderSettings) -> bool {
    let service = matches!(way.access, ProviderAccess::Twilio { messaging_service_sid: Some(_), .. });
    way.from.is_none() && !service && matches!(way.channel, Channel::Email | Channel::Sms)
}

/// The id of a member or a channel.
fn conversation(text: &str) -> Result<(), Fault> {
    let fits = (2..=32).contains(&text.len())
        && text.starts_with(['U', 'W', 'C', 'D', 'G'])
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is no id of a channel or member", "copy it from the details in Slack, such as C012AB3CD"))
    }
}

/// A telephone that text messages reach: names and short codes only send.
fn telephone(text: &str) -> Result<(), Fault> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let fits = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if fits {
        Ok(())
    } else {
        Err(Fault::new("is no telephone number", "write it in international form, such as +441632960000"))
    }
}

fn rules(reader: &mut Reader<'_>, violations: u32) -> Vec<Rule> {
    let mut rules = built_in(violations);
    for (path, origin) in reader.list("alert_rule") {
        let section = reader.named_section("alert_rule", &path, origin);
        let name =
            reader.within(&section, "name").needed("give the rule a name").text(None, check::name).unwrap_or_default();
        let known = rules.iter().position(|rule| rule.name == name);
        let before = known.map(|n| rules.remove(n));
        let usual = match before.as_ref().map(|rule| &rule.test) {
            Some(Test::Reading { metric, condition, threshold, window, take }) => {
                Some((metric.clone(), *condition, *threshold, window.as_secs(), *take))
            }
            _ => None,
        };
        let is_metric = |text: &str| {
            if METRICS.iter().any(|(metric, _)| *metric == text) {
                return Ok(());
            }
            let names: Vec<&str> = METRICS.iter().map(|(metric, _)| *metric).collect();
            Err(Fault::new("is not measured", format!("use one of {}", names.join(", "))))
        };
        let state = reader.within(&section, "state").word(Some(Switch::On));
        let burns = matches!(before.as_ref().map(|rule| &rule.test), Some(Test::Burn { .. }));
        let test = if burns {
            before.as_ref().map(|rule| rule.test.clone())
        } else {
            let mut metric = reader.within(&section, "metric");
            if usual.is_none() {
                metric = metric.needed("say what is measured, such as system.queue.size");
            }
            let metric = metric.text(usual.as_ref().map(|usual| usual.0.as_str()), is_metric);
            let condition = reader
                .within(&section, "condition")
                .word(Some(usual.as_ref().map_or(Condition::Above, |usual| usual.1)));
            let threshold = reader
                .within(&section, "threshold")
                .number(Some(usual.as_ref().map_or(0.0, |usual| usual.2)), -1e15..=1e15);
            let window = reader
                .within(&section, "window_seconds")
                .integer(usual.as_ref().map_or(60, |usual| usual.3), 0..=3_600);
            let take = reader.within(&section, "take").word(Some(usual.as_ref().map_or(Take::Least, |usual| usual.4)));
            metric.map(|metric| Test::Reading {
                metric,
                condition: condition.unwrap_or(Condition::Above),
                threshold: threshold.unwrap_or_default(),
                window: Duration::from_secs(window),
                take: take.unwrap_or(Take::Least),
            })
        };
        let hold = reader
            .within(&section, "for_seconds")
            .integer(before.as_ref().map_or(0, |rule| rule.hold.as_secs()), 0..=86_400);
        let priority =
            reader.within(&section, "priority").word(Some(before.as_ref().map_or(Priority::P2, |rule| rule.priority)));
        let Some(test) = test.filter(|_| state != Some(Switch::Off)) else { continue };
        let fresh = || Rule {
            name: name.clone(),
            test: test.clone(),
            hold: Duration::ZERO,
            keep: Duration::from_mins(2),
            priority: Priority::P2,
            summary: format!("{name}: {{object}}"),
            action: "usher status".to_owned(),
            runbook: "errors".to_owned(),
            inhibits: Vec::new(),
        };
        let base = before.unwrap_or_else(fresh);
        rules.push(Rule { test, hold: Duration::from_secs(hold), priority: priority.unwrap_or(base.priority), ..base });
    }
    rules
}

fn time_of_day(text: &str) -> Result<(), Fault> {
    text.parse::<Time>().map(drop).map_err(|_| Fault::new("is no time of day", "write it like 02:00"))
}

fn time_zone(text: &str) -> Result<(), Fault> {
    TimeZone::get(text).map(drop).map_err(|_| Fault::new("is no time zone", "write it like Europe/London"))
}

/// A day of the week.
#[derive(Debug, Clone, Copy)]
struct Day(Weekday);

impl Word for Day {
    const ALL: &'static [Self] = &[
        Self(Weekday::Monday),
        Self(Weekday::Tuesday),
        Self(Weekday::Wednesday),
        Self(Weekday::Thursday),
        Self(Weekday::Friday),
        Self(Weekday::Saturday),
        Self(Weekday::Sunday),
    ];
    fn word(self) -> &'static str {
        match self.0 {
            Weekday::Monday => "monday",
            Weekday::Tuesday => "tuesday",
            Weekday::Wednesday => "wednesday",
            Weekday::Thursday => "thursday",
            Weekday::Friday => "friday",
            Weekday::Saturday => "saturday",
            Weekday::Sunday => "sunday",
        }
    }
}

/// How often a window comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Every {
    Week,
    Month,
}

impl Word for Every {
    const ALL: &'static [Self] = &[Self::Week, Self::Month];
    fn word(self) -> &'static str {
        if self == Self::Week { "week" } else { "month" }
    }
}

fn windows(reader: &mut Reader<'_>) -> Vec<MaintenanceWindow> {
    let declared = reader.list("maintenance");
    if declared.is_empty() {
        return MaintenanceWindow::usual();
    }
    let mut windows = Vec::new();
    for (path, origin) in declared {
        let section = reader.named_section("maintenance", &path, origin);
        let name = reader.within(&section, "name").needed("give the window a name").text(None, check::name);
        let every = reader.within(&section, "every").word(Some(Every::Week)).unwrap_or(Every::Week);
        let day = reader.within(&section, "day").word(Some(Day(Weekday::Sunday))).map_or(Weekday::Sunday, |day| day.0);
        let from = reader.within(&section, "from").text(Some("02:00"), time_of_day);
        let minutes = reader.within(&section, "minutes").integer(120_u64, 1..=1_440);
        let zone = reader.within(&section, "zone").text(Some("UTC"), time_zone);
        let recurs = if every == Every::Week { Recurs::Weekly(day) } else { Recurs::Monthly(day) };
        windows.push(MaintenanceWindow {
            name: name.unwrap_or_default(),
            recurs,
            from: from.and_then(|text| text.parse().ok()).unwrap_or_default(),
            span: Duration::from_secs(minutes * 60),
            zone: zone.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC),
        });
    }
    windows
}
