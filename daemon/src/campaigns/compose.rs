//! From a guest to a letter: the one way by which words, values, opt-out link and headers come together.
//!
//! Preview, test, approval and sending all compose here, so what was looked at is what goes out. Pure: the same kit,
//! guest and message give the same letter, to the byte, which is what lets an attempt in doubt be repeated.

use usher_common::model::{
    CampaignClass, CampaignId, Channel, Guest, GuestId, ListId, MessageId, Reach, Rendered, Timestamp, WhatsAppTemplate,
};

use super::context::Context;
use super::error::CampaignError;
use super::mark;
use super::sms;
use super::template::{Parts, Template, TemplateError};
use super::whatsapp::{self, Approved, WhatsAppError};
use crate::compliance::{Letter, Refusal, Sender, gate, unsubscribe};
use crate::config::Organisation;
use crate::guests::address_on;

/// Everything that the letters of one campaign share.
pub struct Kit {
    /// The campaign.
    pub campaign: CampaignId,
    /// The list of its guests.
    pub list: ListId,
    /// What it is before the law.
    pub class: CampaignClass,
    /// In whose name it goes out.
    pub organisation: Organisation,
    /// Its channels, in its order.
    pub channels: Vec<Channel>,
    /// Whether a guest hears by one of them or by all.
    pub reach: Reach,
    /// Its words, compiled.
    pub template: Template,
    /// The approved template in place of these words on WhatsApp.
    pub approved: Option<Approved>,
    /// Values that are the same for everyone.
    pub values: Context,
    /// Signs opt-out links and message ids.
    pub secret: Vec<u8>,
    /// When the campaign began, which is the date that its letters bear.
    pub date: Timestamp,
}

/// A letter, ready but for its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// How it travels.
    pub channel: Channel,
    /// To which address.
    pub to: String,
    /// To whom.
    pub to_name: String,
    /// Subject, for e-mail.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// HTML part; empty for none.
    pub html: String,
    /// The approved template that goes in place of the text, filled in; the text then says which, for previews.
    pub template: Option<WhatsAppTemplate>,
    /// Header fields, for e-mail.
    pub headers: Vec<(String, String)>,
    /// The message's RFC 5322 Message-ID, with angle brackets; empty where there is none.
    pub rfc_message_id: String,
}

/// Why there is no letter.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The guest cannot be reached by this channel.
    #[error("the guest has no address for {0}")]
    NoAddress(Channel),
    /// The words could not be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The approved template could not be filled in.
    #[error("WhatsApp template: {0}")]
    WhatsApp(#[from] WhatsAppError),
}

impl Kit {
    /// The letter to one guest.
    pub fn compose(
        &self,
        id: GuestId,
        guest: &Guest,
        channel: Channel,
        message: MessageId,
    ) -> Result<Composed, ComposeError> {
        let to = address_on(guest, channel).ok_or(ComposeError::NoAddress(channel))?.to_owned();
        let opt_out = unsubscribe::OptOut { campaign: self.campaign, list: self.list, guest: id, channel };
        let token = unsubscribe::token(&self.secret, &opt_out);
        let base = self.organisation.unsubscribe_base.as_deref();
        let link = base.map(|base| unsubscribe::link(base, &token));
        let postal = self.organisation.postal_address.as_deref().unwrap_or_default();
        let links = [("unsubscribe_link", link.as_deref().unwrap_or_default()), ("postal_address", postal)];
        let context = self.values.for_guest(guest, &links);
        let approved = self.approved.as_ref().filter(|_| channel == Channel::WhatsApp);
        let template = approved.map(|approved| approved.fill(&context)).transpose()?;
        let parts = match &template {
            Some(filled) => Parts { text: whatsapp::shown(filled), ..Parts::default() },
            None => self.template.render(channel, &context)?,
        };
        let email = channel == Channel::Email;
        Ok(Composed {
            channel,
            to,
            to_name: guest.name.clone(),
            subject: parts.subject,
            text: parts.text,
            html: parts.html,
            template,
            headers: base.filter(|_| email).map(|b| unsubscribe::headers(b, &token)).unwrap_or_default(),
            rfc_message_id: if email { self.message_id(message) } else { String::new() },
        })
    }

    /// Asks the law about a letter. `suppressed` is why its address must not be written to, where it must not.
    pub fn gate(&self, letter: &Composed, suppressed: Option<&str>) -> Result<(), Refusal> {
        let sender = Sender { postal_address: self.organisation.postal_address.as_deref().unwrap_or_default() };
        let letter =
            Letter { channel: letter.channel, text: &letter.text, html: &letter.html, headers: &letter.headers };
        gate(&letter, &sender, suppressed)
    }

    /// The same for every attempt at a message, so that a receiver can drop a double; nobody can guess another's.
    fn message_id(&self, message: MessageId) -> String {
        let domain = self.organisation.from_email.as_deref().and_then(|a| a.rsplit_once('@')).map_or("usher", |p| p.1);
        mark::message_id(&self.secret, message, domain)
    }
}

impl Composed {
    /// As a preview shows it.
    pub fn rendered(self) -> Rendered {
        let billed = (self.channel == Channel::Sms).then(|| sms::measure(&self.text));
        Rendered {
            channel: self.channel,
            to: self.to,
            subject: self.subject,
            text: self.text,
            html: self.html,
            segments: billed.as_ref().map_or(0, |b| b.segments),
            encoding: billed.map_or(String::new(), |b| b.encoding.as_str().to_owned()),
        }
    }
}

impl From<ComposeError> for CampaignError {
    fn from(error: ComposeError) -> Self {
        match error {
            ComposeError::Template(error) => error.into(),
            other @ (ComposeError::NoAddress(_) | ComposeError::WhatsApp(_)) => Self::NotReady(other.to_string()),
        }
    }
}
