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

/// A campaign as a file of it would say it, but for its schedule and its template of WhatsApp.
fn file_of(spec: &CampaignSpec) -> File {
    let (segment, guests) = match &spec.audience {
        Audience::List(_) => (String::new(), Vec::new()),
        Audience::Segment { expression, .. } => (expression.clone(), Vec::new()),
        Audience::Picked { guests, .. } => (String::new(), guests.iter().map(ToString::to_string).collect()),
    };
    File {
        name: spec.name.clone(),
        description: spec.description.clone(),
        organisation: spec.organisation.clone(),
        class: spec.class,
        channels: spec.channels.clone(),
        reach: spec.reach,
        list: spec.audience.list().to_string(),
        segment,
        guests,
        template: spec.template.clone(),
        at: String::new(),
        expires_after_hours: spec.expires_after_hours,
        values: spec.values.clone(),
        whatsapp: None,
    }
}

impl Draft {
    /// Lays the flags over a campaign as it stands; a file takes its place altogether. Another list, segment or choice of
    /// guests takes the place of what narrowed the old one.
    pub(super) fn edit(spec: &CampaignSpec, flags: SpecFlags) -> Result<Self, Failure> {
        if flags.file.is_some() {
            return Self::read(flags);
        }
        let mut file = file_of(spec);
        if flags.list.is_some() || flags.segment.is_some() || !flags.guests.is_empty() {
            (file.segment, file.guests) = (String::new(), Vec::new());
        }
        let keeps_schedule = flags.at.is_none();
        let mut draft = Self::merge(file, flags)?;
        draft.spec.whatsapp.clone_from(&spec.whatsapp);
        draft.spec.values.retain(|_, value| !value.is_empty());
        if keeps_schedule {
            draft.spec.schedule = spec.schedule.clone();
        }
        Ok(draft)
    }

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
    fn an_edit_changes_what_is_named_and_nothing_else() {
        let made = Draft::merge(toml::from_str(FILE).expect("a good file"), SpecFlags::default()).expect("whole");
        let before = made.with_list(ListId(3));
        let same = Draft::edit(&before, SpecFlags::default()).expect("whole");
        assert_eq!(same.list, "l3");
        assert_eq!(same.with_list(ListId(3)), before);
        let flags = SpecFlags {
            guests: vec!["g7".to_owned()],
            values: vec![("venue_name".to_owned(), String::new()), ("rsvp_link".to_owned(), "https://r".to_owned())],
            ..SpecFlags::default()
        };
        let after = Draft::edit(&before, flags).expect("whole").with_list(ListId(3));
        assert_eq!(after.audience, Audience::Picked { list: ListId(3), guests: vec![GuestId(7)] });
        assert_eq!(after.values, BTreeMap::from([("rsvp_link".to_owned(), "https://r".to_owned())]));
        assert_eq!((after.name, after.schedule), (before.name, before.schedule));
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
