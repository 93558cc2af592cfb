//! Words about a provider: drain, prefer, weigh, fail over, enable; and the controls that each comes to.

use std::time::Duration;

use usher_common::model::{Channel, Control, ControlKind, Steer, Target};

use super::{Plan, SteerError};
use crate::clock;
use crate::dispatch::account::Account;
use crate::dispatch::route;
use crate::dispatch::shared::Shared;
use crate::store::By;

/// The longest that a provider is steered by one act.
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// What a weight may be.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.01..=1_000.0;

impl Shared {
    /// Steers a provider, and says so in a line.
    pub async fn steer(&self, by: &By, name: &str, steer: &Steer, span: Duration) -> Result<String, SteerError> {
        if by.reason.trim().is_empty() {
            return Err(SteerError::Reason);
        }
        let plan = self.plan(by, name, steer, span)?;
        self.record(by, "provider.steer", &plan).await?;
        let words: Vec<String> = plan
            .begin
            .iter()
            .map(|control| match &control.target {
                Target::Provider(name) => format!("{name} is {}", control.kind),
                other => other.to_string(),
            })
            .collect();
        let until = plan.begin.iter().find_map(|control| control.until).unwrap_or_default();
        Ok(format!("{} until {}", words.join(", "), clock::utc(until, self.clock.now())))
    }

    /// Takes back how a provider is steered, and says so in a line.
    pub async fn enable(&self, by: &By, name: &str) -> Result<String, SteerError> {
        let end = self.steered(name)?;
        if end.is_empty() {
            return Ok(format!("{name} is not steered: there is nothing to take back{}", self.but_held(name)));
        }
        let kinds: Vec<String> = end.iter().map(|control| control.kind.to_string()).collect();
        let drained = end.iter().any(|control| control.kind == ControlKind::Drained);
        self.record(by, "provider.enable", &Plan { begin: Vec::new(), end }).await?;
        let back = if drained { ": it takes a tenth at first, and all within a minute" } else { "" };
        Ok(format!("{name} is not {} any more{back}{}", kinds.join(", "), self.but_held(name)))
    }

    fn but_held(&self, name: &str) -> &'static str {
        if self.controls().steering(name).held { "; it is held still" } else { "" }
    }

    /// How a provider is steered, holds left out.
    pub(super) fn steered(&self, name: &str) -> Result<Vec<Control>, SteerError> {
        self.account(name)?;
        let target = Target::Provider(name.to_owned());
        let controls = self.controls();
        Ok(controls.over(&target).filter(|control| control.kind != ControlKind::Held).cloned().collect())
    }

    /// What a word about a provider comes to.
    pub(super) fn plan(&self, by: &By, name: &str, steer: &Steer, span: Duration) -> Result<Plan, SteerError> {
        let account = self.account(name)?;
        if span.is_zero() || span > LONGEST {
            return Err(SteerError::Span);
        }
        let of = |name: &str, kind| self.control_of(by, &Target::Provider(name.to_owned()), kind, Some(span));
        let drained = |name: &str| self.controls().steering(name).drained;
        match steer {
            Steer::Drain => Ok(Plan { begin: vec![of(name, ControlKind::Drained)], end: Vec::new() }),
            Steer::Prefer if drained(name) => Err(SteerError::Drained(name.to_owned())),
            Steer::Prefer => {
                Ok(Plan { begin: vec![of(name, ControlKind::Preferred)], end: self.preferred(account.channel(), name) })
            }
            Steer::Weigh(weight) if !WEIGHTS.contains(weight) => Err(SteerError::Weight),
            Steer::Weigh(weight) => {
                let peers = self.accounts.iter().filter(|a| a.channel() == account.channel() && a.rank == account.rank);
                if peers.count() < 2 {
                    return Err(SteerError::Alone { provider: name.to_owned(), channel: account.channel() });
                }
                Ok(Plan { begin: vec![of(name, ControlKind::Weighed(*weight))], end: Vec::new() })
            }
            Steer::FailOver { to } => {
                let to = self.take_over(account, to.as_deref())?;
                let begin = vec![of(name, ControlKind::Drained), of(&to, ControlKind::Preferred)];
                let mut end = self.preferred(account.channel(), &to);
                end.extend(self.steered(&to)?.into_iter().filter(|c| c.kind == ControlKind::Drained));
                Ok(Plan { begin, end })
            }
            Steer::Unknown => Err(SteerError::Unknown),
        }
    }

    /// The preferences for other providers of a channel: there is one at a time.
    fn preferred(&self, channel: Channel, but: &str) -> Vec<Control> {
        let others = self.accounts.iter().map(|account| (account.channel(), account.provider.name()));
        let others = others.filter(|(of, name)| *of == channel && *name != but);
        let controls = self.controls();
        others
            .flat_map(|(_, name)| controls.over(&Target::Provider(name.to_owned())).cloned().collect::<Vec<_>>())
            .filter(|control| control.kind == ControlKind::Preferred)
            .collect()
    }

    /// Who takes over from a provider: the one that was named, if it can, or the one that would carry its messages anyway.
    fn take_over(&self, from: &Account, to: Option<&str>) -> Result<String, SteerError> {
        let name = from.provider.name();
        let refused = |to: &str, why: &str| SteerError::NoTakeOver {
            provider: to.to_owned(),
            from: name.to_owned(),
            why: why.to_owned(),
        };
        if let Some(to) = to {
            let account = self.account(to)?;
            return match () {
                () if to == name => Err(refused(to, "it is the same")),
                () if account.channel() != from.channel() => {
                    Err(refused(to, &format!("it carries {}, not {}", account.channel(), from.channel())))
                }
                () if self.controls().steering(to).held => Err(refused(to, "it is held")),
                () if account.is_open() => {
                    Err(refused(to, "its breaker is open, so that messages would only wait there"))
                }
                () => Ok(to.to_owned()),
            };
        }
        let others =
            self.candidates(from.channel()).into_iter().filter(|c| self.accounts[c.provider].provider.name() != name);
        let carriers = route::carriers(&others.collect::<Vec<_>>());
        let best = carriers.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        best.map(|(to, _)| self.accounts[*to].provider.name().to_owned())
            .ok_or_else(|| SteerError::NoOther { from: name.to_owned(), channel: from.channel() })
    }
}
