//! What a campaign is made of: a TOML file, flags, or both; flags go before the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use usher_common::model::{
    Audience, CampaignClass, CampaignSpec, Channel, GuestId, ListId, Reach, Schedule, WhatsAppParameter,
    WhatsAppTemplate,
};

use super::args::SpecFlags;
use super::exit::Failure;
use super::when;

/// The file, as its author writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: String,
    description: String,
    organisation: String,
    class: CampaignClass,
    channels: Vec<Channel>,
    reach: Reach,
    list: String,
    segment: String,
    guests: Vec<String>,
    template: String,
    at: String,
    expires_after_hours: u32,
    values: BTreeMap<String, String>,
    whatsapp: Option<WhatsApp>,
}

/// `[whatsapp]`: the approved template by which it goes out there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhatsApp {
    template: String,
    language: String,
    #[serde(default)]
    parameters: Parameters,
}

/// `["{{ guest_name }}"]` for numbered places, `{ guest = "{{ guest_name }}" }` for named ones.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Parameters {
    Numbered(Vec<String>),
    Named(BTreeMap<String, String>),
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Numbered(Vec::new())
    }
}

impl From<WhatsApp> for WhatsAppTemplate {
    fn from(file: WhatsApp) -> Self {
        let parameters = match file.parameters {
            Parameters::Numbered(texts) => {
                texts.into_iter().map(|text| WhatsAppParameter { name: String::new(), text }).collect()
            }
            Parameters::Named(texts) => {
                texts.into_iter().map(|(name, text)| WhatsAppParameter { name, text }).collect()
            }
        };
        Self { name: file.template, language: file.language, parameters }
    }
}

/// All that its author decides, but for the list, which is still a name.
#[derive(Debug, PartialEq)]
pub(super) struct Draft {
    /// Id or name of the list.
    pub(super) list: String,
    /// What there is to say about the schedule.
    pub(super) remark: Option<String>,
    segment: String,
    guests: Vec<GuestId>,
    spec: CampaignSpec,
}

impl Draft {
    /// Reads the file, if one is named, and lays the flags over it.
    pub(super) fn read(flags: SpecFlags) -> Result<Self, Failure> {
        let file = match &flags.file {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
                toml::from_str(&text).map_err(|e| Failure::usage(format!("{} is no campaign: {e}", path.display())))?
            }
        };
        Self::merge(file, flags)
    }

    fn merge(file: File, flags: SpecFlags) -> Result<Self, Failure> {
        let given = |text: String, flag: &str, key: &str| {
            if text.trim().is_empty() {
                Err(Failure::usage(format!("a campaign needs a {key}\nGive --{flag}, or `{key}` in the file.")))
            } else {
                Ok(text)
            }
        };
        let at = flags.at.unwrap_or(file.at);
        let when = if at.trim().is_empty() {
            when::When { schedule: Schedule::Now, remark: None }
        } else {
            when::parse(&at).map_err(Failure::usage)?
        };
        let channels = if flags.channels.is_empty() { file.channels } else { flags.channels };
        if channels.is_empty() {
            return Err(Failure::usage(
                "a campaign needs a channel\nGive --channel email,sms or `channels` in the file.",
            ));
        }
        let mut values = file.values;
        values.extend(flags.values);
        let list = given(flags.list.unwrap_or(file.list), "list", "list")?;
        let guests = if flags.guests.is_empty() { file.guests } else { flags.guests };
        let guests: Result<Vec<GuestId>, _> = guests.iter().map(|text| text.parse()).collect();
        let guests = guests.map_err(|e| Failure::usage(e.to_string()))?;
        let segment = flags.segment.unwrap_or(file.segment);
        if !segment.trim().is_empty() && !guests.is_empty() {
            return Err(Failure::usage("either a segment or single guests, not both"));
        }
        let spec = CampaignSpec {
            name: given(flags.name.unwrap_or(file.name), "name", "name")?,
            description: flags.description.unwrap_or(file.description),
            organisation: flags.organisation.unwrap_or(file.organisation),
            class: flags.class.unwrap_or(file.class),
            channels,
            reach: if flags.all_channels { Reach::All } else { file.reach },
            audience: Audience::List(ListId::default()),
            template: given(flags.template.unwrap_or(file.template), "template", "template")?,
            values,
            schedule: when.schedule,
            expires_after_hours: flags.expires_after_hours.unwrap_or(file.expires_after_hours),
            whatsapp: file.whatsapp.map(WhatsAppTemplate::from),
        };
        Ok(Self { list, remark: when.remark, segment, guests, spec })
    }

    /// The whole, once the list is known.
    pub(super) fn with_list(self, list: ListId) -> CampaignSpec {
        let audience = if !self.guests.is_empty() {
            Audience::Picked { list, guests: self.guests }
        } else if self.segment.trim().is_empty() {
            Audience::List(list)
        } else {
            Audience::Segment { list, expression: self.segment }
        };
        CampaignSpec { audience, ..self.spec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "Save the date"
        channels = ["email", "sms"]
        list = "Everyone"
        segment = "rsvp = pending"
        template = "invitation"
        at = "2027-06-12 10:00 Europe/Paris"
        [values]
        venue_name = "The Old Mill"
    "#;

    #[test]
    fn flags_go_before_the_file() {
        let flags = SpecFlags {
            name: Some("Another".to_owned()),
            channels: vec![Channel::Sms],
            values: vec![("venue_name".to_owned(), "The Barn".to_owned())],
            ..SpecFlags::default()
        };
        let draft = Draft::merge(toml::from_str(FILE).expect("a good file"), flags).expect("whole");
        assert_eq!(draft.list, "Everyone");
        let spec = draft.with_list(ListId(3));
        assert_eq!((spec.name.as_str(), spec.channels.as_slice()), ("Another", &[Channel::Sms][..]));
        assert_eq!(spec.values["venue_name"], "The Barn");
        let expression = "rsvp = pending".to_owned();
        assert_eq!(spec.audience, Audience::Segment { list: ListId(3), expression });
        assert!(matches!(spec.schedule, Schedule::At { .. }));
    }

    #[test]
    fn an_approved_template_of_whatsapp_has_numbered_or_named_places() {
        let read = |parameters: &str| {
            let text = format!("[whatsapp]\ntemplate = \"invite\"\nlanguage = \"en_GB\"\n{parameters}");
            let file: File = toml::from_str(&text).expect("a good file");
            WhatsAppTemplate::from(file.whatsapp.expect("is there"))
        };
        let place = |name: &str| WhatsAppParameter { name: name.to_owned(), text: "{{ guest_name }}".to_owned() };
        assert_eq!(read("").parameters, []);
        assert_eq!(read("parameters = [\"{{ guest_name }}\"]").parameters, [place("")]);
        assert_eq!(read("parameters = { guest = \"{{ guest_name }}\" }").parameters, [place("guest")]);
        assert!(toml::from_str::<File>("[whatsapp]\nname = \"invite\"\nlanguage = \"en\"").is_err());
    }

    #[test]
    fn what_is_missing_or_misspelt_is_named() {
        let missing = Draft::merge(File::default(), SpecFlags::default()).expect_err("nothing is there");
        assert!(missing.message.contains("channel"), "{}", missing.message);
        let misspelt = toml::from_str::<File>("nmae = \"x\"").expect_err("no such key");
        assert!(misspelt.to_string().contains("nmae"));
    }
}
