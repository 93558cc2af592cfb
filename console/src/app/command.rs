//! The command line behind `:`, its commands and their completion.

use super::{CAMPAIGN_SORTS, CampaignAct, Model, PROVIDER_SORTS, ProviderAct, Screen};
use crate::theme::ThemeName;

/// What was typed, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Go to a screen.
    Go(Screen),
    /// Open a campaign by id or name.
    Campaign(String),
    /// Open a provider.
    Provider(String),
    /// Use a theme.
    Theme(ThemeName),
    /// Sort the list in focus by a column.
    Sort(String),
    /// Filter the list in focus; empty for all rows.
    Filter(String),
    /// Arm acts, or disarm.
    Arm(bool),
    /// Open the dialog of an act on a campaign; empty for the one at hand.
    Act(CampaignAct, String),
    /// Open the dialog of an act on a provider.
    ProviderAct(ProviderAct, String),
    /// Stop sending, at once.
    Hold(HoldName),
    /// Open the dialog that ends a hold.
    Release(HoldName),
    /// Connect now.
    Reconnect,
    /// Help.
    Help,
    /// Leave.
    Quit,
}

/// What is held, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldName {
    /// Everything.
    All,
    /// An organisation.
    Organisation(String),
    /// A campaign, by id or name.
    Campaign(String),
    /// A provider.
    Provider(String),
}

/// Every command with what follows it and what it does.
pub const COMMANDS: [(&str, &str, &str); 28] = [
    ("overview", "", "screen 1"),
    ("providers", "", "screen 2"),
    ("provider", "NAME", "one provider"),
    ("campaigns", "", "screen 3"),
    ("campaign", "ID or NAME", "one campaign"),
    ("log", "", "screen 9"),
    ("filter", "TEXT", "only rows with that text; none for all"),
    ("sort", "COLUMN", "order of the list"),
    ("theme", "NAME", "colours"),
    ("arm", "", "acts for five minutes"),
    ("disarm", "", "no acts"),
    ("approve", "[CAMPAIGN]", "as in its menu"),
    ("send", "[CAMPAIGN]", "as in its menu"),
    ("pause", "[CAMPAIGN]", "as in its menu"),
    ("resume", "[CAMPAIGN]", "as in its menu"),
    ("cancel", "[CAMPAIGN]", "as in its menu"),
    ("hold", "all|org|campaign|provider NAME", "stops sending at once; needs no arming"),
    ("release", "all|org|campaign|provider NAME", "ends a hold"),
    ("drain", "PROVIDER", "as in its menu"),
    ("failover", "PROVIDER", "as in its menu"),
    ("enable", "PROVIDER", "as in its menu"),
    ("prefer", "PROVIDER", "as in its menu"),
    ("weigh", "PROVIDER", "as in its menu"),
    ("test", "PROVIDER", "as in its menu"),
    ("reconnect", "", "try the line now"),
    ("help", "", "every key"),
    ("quit", "", "leave"),
    ("q", "", "leave"),
];

/// Understands a line; the error says what would have been understood.
pub fn parse(line: &str) -> Result<Command, String> {
    let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let rest = rest.trim();
    let need =
        |what: &str| if rest.is_empty() { Err(format!("{word} which? :{word} {what}")) } else { Ok(rest.to_owned()) };
    if let Some(act) = CampaignAct::ALL.into_iter().find(|act| act.word() == word) {
        return Ok(Command::Act(act, rest.to_owned()));
    }
    if matches!(word, "hold" | "release") {
        let name =
            held(rest).ok_or_else(|| format!("{word} what? :{word} all, or org, campaign or provider and its name"))?;
        return Ok(if word == "hold" { Command::Hold(name) } else { Command::Release(name) });
    }
    if let Some(act) = ProviderAct::ALL.into_iter().find(|act| act.word() == word) {
        return Ok(Command::ProviderAct(act, need("PROVIDER")?));
    }
    Ok(match word {
        "overview" | "1" => Command::Go(Screen::Overview),
        "providers" | "2" => Command::Go(Screen::Providers),
        "campaigns" | "3" => Command::Go(Screen::Campaigns),
        "sla" | "4" => Command::Go(Screen::Sla),
        "alerts" | "5" => Command::Go(Screen::Alerts),
        "log" | "9" => Command::Go(Screen::Log),
        "provider" => Command::Provider(need("NAME")?),
        "campaign" => Command::Campaign(need("ID or NAME")?),
        "theme" => Command::Theme(rest.parse()?),
        "sort" => Command::Sort(need("COLUMN")?),
        "filter" => Command::Filter(rest.to_owned()),
        "arm" => Command::Arm(true),
        "disarm" => Command::Arm(false),
        "reconnect" => Command::Reconnect,
        "help" | "?" => Command::Help,
        "q" | "quit" | "exit" => Command::Quit,
        _ => return Err(format!("no command `{word}`: Tab lists them, ? explains")),
    })
}

/// `all`, or what it is and its name.
fn held(text: &str) -> Option<HoldName> {
    if text == "all" {
        return Some(HoldName::All);
    }
    let (kind, name) = text.split_once(' ').map(|(kind, name)| (kind, name.trim().to_owned()))?;
    Some(match kind {
        _ if name.is_empty() => return None,
        "org" | "organisation" => HoldName::Organisation(name),
        "campaign" => HoldName::Campaign(name),
        "provider" => HoldName::Provider(name),
        _ => return None,
    })
}

/// What the line could go on as, whole lines, in order.
pub fn complete(model: &Model, line: &str) -> Vec<String> {
    let Some((word, rest)) = line.split_once(' ') else {
        return COMMANDS.iter().map(|c| c.0).filter(|c| c.starts_with(line)).map(str::to_owned).collect();
    };
    let data = model.shown();
    let candidates: Vec<String> = match word {
        "hold" | "release" => {
            let providers = data.providers.iter().flatten().map(|(name, _)| format!("provider {name}"));
            let campaigns = data.campaigns.iter().flatten().map(|(_, row)| row);
            let mut organisations: Vec<String> =
                campaigns.clone().map(|row| format!("org {}", crate::text::clean(&row.organisation))).collect();
            organisations.sort_unstable();
            organisations.dedup();
            let campaigns = campaigns.map(|row| format!("campaign {}", crate::text::clean(&row.name)));
            std::iter::once("all".to_owned()).chain(providers).chain(campaigns).chain(organisations).collect()
        }
        _ if word == "provider" || ProviderAct::ALL.iter().any(|act| act.word() == word) => {
            data.providers.iter().flatten().map(|(name, _)| name.clone()).collect()
        }
        "theme" => ThemeName::ALL.iter().map(|t| t.as_str().to_owned()).collect(),
        "sort" => {
            let campaigns = matches!(model.screen(), Screen::Campaigns);
            let columns = if campaigns { CAMPAIGN_SORTS } else { PROVIDER_SORTS };
            columns.iter().map(|c| (*c).to_owned()).collect()
        }
        _ if word == "campaign" || CampaignAct::ALL.iter().any(|act| act.word() == word) => {
            data.campaigns.iter().flatten().map(|(_, row)| crate::text::clean(&row.name)).collect()
        }
        _ => Vec::new(),
    };
    let rest = rest.to_lowercase();
    candidates
        .into_iter()
        .filter(|c| c.to_lowercase().starts_with(&rest))
        .take(8)
        .map(|c| format!("{word} {c}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood_or_explained() {
        assert_eq!(parse("campaign Summer party"), Ok(Command::Campaign("Summer party".to_owned())));
        assert_eq!(parse(" pause "), Ok(Command::Act(CampaignAct::Pause, String::new())));
        assert_eq!(parse("provider"), Err("provider which? :provider NAME".to_owned()));
        assert!(parse("frobnicate").is_err_and(|e| e.contains("frobnicate")));
        assert!(parse("theme mauve").is_err_and(|e| e.contains("dark")));
        assert_eq!(parse("hold all"), Ok(Command::Hold(HoldName::All)));
        assert_eq!(parse("release campaign Our day"), Ok(Command::Release(HoldName::Campaign("Our day".to_owned()))));
        assert!(parse("hold").is_err_and(|e| e.contains(":hold all")));
        assert_eq!(parse("drain resend"), Ok(Command::ProviderAct(ProviderAct::Drain, "resend".to_owned())));
    }

    #[test]
    fn every_command_that_is_listed_is_understood() {
        for (word, rest, _) in COMMANDS {
            let line = match word {
                "theme" => "theme dark".to_owned(),
                "hold" | "release" => format!("{word} provider NAME"),
                _ => format!("{word} {rest}"),
            };
            assert!(parse(&line).is_ok(), "{line}");
        }
    }
}
