//! Requests about campaigns, templates and providers.

use usher_common::model::{
    CampaignDetail, CampaignId, CampaignRow, CampaignSpec, CampaignState, Channel, Estimate, EstimateLine, Guest,
    MessageDetail, MessageId, MessageRow, MessageState, Schedule, TemplateBody, TemplateRow, Timestamp,
};
use usher_common::protocol::{Act, EffectLine, GuestName, MessagePage, Problem, ProblemCode, Reply, Request};

use super::Api;
use super::problem::ToProblem;
use super::progress::Progress;
use crate::campaigns::builtin;
use crate::campaigns::context::Context;
use crate::campaigns::estimate::Reckoning;
use crate::campaigns::lifecycle::{self, Event};
use crate::campaigns::template::{Template, sample_context};
use crate::campaigns::{CampaignError, Campaigns};
use crate::store::{self, ActRecord, By, StoredMessage};

/// How often an act is tried against a campaign that moves on meanwhile.
const STEPS: usize = 50;
/// Longest name of a template, in characters.
const TEMPLATE_NAME: usize = 60;

fn refused(error: &CampaignError) -> Problem {
    error.problem()
}

impl Api {
    pub(super) fn campaigns(&self) -> &Campaigns {
        self.dispatcher.shared().campaigns()
    }

    /// Answers a request about anything but guests.
    pub(super) async fn campaign_request(
        &self,
        by: &By,
        act: &Act,
        request: Request,
        progress: &Progress,
    ) -> Result<Reply, Problem> {
        match request {
            Request::Status => self.status(),
            Request::Providers => Ok(Reply::Providers(self.dispatcher.shared().provider_rows())),
            Request::Templates => self.templates().map_err(|e| refused(&e)),
            Request::Template { name } => self.template(&name).map_err(|e| refused(&e)),
            Request::TemplateSave { name, body } => self.template_save(by, act, &name, body).await,
            Request::TemplatePreview { name, channel, guest } => {
                self.template_preview(&name, channel, guest).map_err(|e| refused(&e))
            }
            Request::Campaigns => self.list().map_err(|e| refused(&e)),
            Request::Campaign { id } => self.shown(id).map_err(|e| refused(&e)),
            Request::Messages { campaign, state, after, limit } => {
                self.messages(campaign, state, after, limit as usize).map_err(|e| refused(&e))
            }
            Request::Message { campaign, id } => self.message(campaign, id).map_err(|e| refused(&e)),
            Request::CampaignCreate { spec } => self.create(by, act, spec).await.map_err(|e| refused(&e)),
            Request::CampaignPreview { id, guest } => {
                self.campaigns().preview(id, guest.as_ref()).map(Reply::Rendered).map_err(|e| refused(&e))
            }
            Request::CampaignEstimate { id } => self.estimate(id, progress),
            Request::CampaignTest { id, channel, to } => self.trial(by, act, id, channel, &to).await,
            Request::CampaignApprove { id } => self.approve(by, act, id, progress).await,
            Request::CampaignSend { id, schedule } => self.send(by, act, id, schedule).await.map_err(|e| refused(&e)),
            Request::CampaignPause { id } => self.step(by, act, id, Event::Pause).await.map_err(|e| refused(&e)),
            Request::CampaignResume { id } => self.step(by, act, id, Event::Resume).await.map_err(|e| refused(&e)),
            Request::CampaignCancel { id } => self.step(by, act, id, Event::Cancel).await.map_err(|e| refused(&e)),
            Request::CampaignDelete { id } => self.delete_campaign(by, act, id).await.map_err(|e| refused(&e)),
            Request::CampaignRestore { id, name } => {
                self.restore(by, act, id, name.as_deref()).await.map_err(|e| refused(&e))
            }
            Request::CampaignResend { id } => self.resend(by, act, id, progress).await.map_err(|e| refused(&e)),
            Request::Doubts { campaign, limit } => self.doubts(campaign, limit as usize).map_err(|e| refused(&e)),
            Request::DoubtSettle { campaign, messages, verdict } => {
                self.settle(by, act, campaign, &messages, verdict).await
            }
            Request::GuestTrace { address } => self.trace(by, &address).await,
            Request::CampaignEdit { id, spec } => self.edit_campaign(by, act, id, spec).await.map_err(|e| refused(&e)),
            _ => Err(Problem::new(
                ProblemCode::Invalid,
                "this daemon does not know the request",
                "use a console of the daemon's version, or a newer daemon",
            )),
        }
    }

    fn status(&self) -> Result<Reply, Problem> {
        match self.board.overview() {
            Some(overview) => Ok(Reply::Status(Box::new(overview))),
            None => {
                Err(Problem::new(ProblemCode::Unavailable, "the daemon is still starting", "ask again in a second"))
            }
        }
    }

    fn templates(&self) -> Result<Reply, CampaignError> {
        let mut rows = Vec::new();
        for one in builtin::ALL {
            rows.push(template_row(one.name, true, Timestamp(0), &one.body(), &[])?);
        }
        let store = self.campaigns().book().store();
        let custom = self.custom_columns()?;
        for (name, changed, body) in store.templates()? {
            rows.push(template_row(&name, false, changed, &body, &custom)?);
        }
        Ok(Reply::Templates(rows))
    }

    /// The columns of all lists: a template may be written for any of them.
    fn custom_columns(&self) -> Result<Vec<String>, CampaignError> {
        let mut columns: Vec<String> = Vec::new();
        for (_, record, _) in self.campaigns().book().store().lists()? {
            columns.extend(record.custom);
        }
        columns.sort_unstable();
        columns.dedup();
        Ok(columns)
    }

    fn template(&self, name: &str) -> Result<Reply, CampaignError> {
        let body = self.campaigns().template(name)?;
        let changed = self.campaigns().book().store().template(name)?.map_or(Timestamp(0), |(at, _)| at);
        let row = template_row(name, builtin::find(name).is_some(), changed, &body, &self.custom_columns()?)?;
        Ok(Reply::Template { row, body })
    }

    async fn template_save(&self, by: &By, act: &Act, name: &str, body: TemplateBody) -> Result<Reply, Problem> {
        let name = name.trim();
        let fits = !name.is_empty()
            && name.chars().count() <= TEMPLATE_NAME
            && name.chars().all(|c| c.is_alphanumeric() || "-_ .".contains(c));
        if !fits {
            return Err(Problem::new(
                ProblemCode::Invalid,
                format!("`{name}` cannot be the name of a template"),
                format!("use 1 to {TEMPLATE_NAME} letters, digits, spaces, - _ ."),
            ));
        }
        if builtin::find(name).is_some() {
            return Err(Problem::new(
                ProblemCode::Conflict,
                format!("`{name}` came with the daemon and cannot be replaced"),
                "save it under another name",
            ));
        }
        let custom = self.custom_columns().map_err(|e| refused(&e))?;
        Template::compile_with(&body, &custom).map_err(|e| refused(&CampaignError::from(e)))?;
        if act.preview {
            let effect = "would be saved".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what: format!("template {name}"), effect }]));
        }
        let store = self.campaigns().book().store();
        store.template_save(by, name, &body, self.clock.now()).await.map_err(|e| e.problem())?;
        self.template(name).map_err(|e| refused(&e))
    }

    fn template_preview(
        &self,
        name: &str,
        channel: Channel,
        guest: Option<(usher_common::model::ListId, GuestName)>,
    ) -> Result<Reply, CampaignError> {
        let campaigns = self.campaigns();
        let template = Template::compile_with(&campaigns.template(name)?, &self.custom_columns()?)?;
        let (guest, context): (Option<Guest>, Context) = match guest {
            Some((list, name)) => {
                let row = campaigns.book().find(list, &name)?;
                let context = sample_context().for_guest(&row.guest, &[]);
                (Some(row.guest), context)
            }
            None => (None, sample_context()),
        };
        let parts = template.render(channel, &context)?;
        let to = guest.as_ref().and_then(|g| crate::guests::address_on(g, channel)).unwrap_or("(example)").to_owned();
        let letter = crate::campaigns::compose::Composed {
            channel,
            to,
            to_name: String::new(),
            subject: parts.subject,
            text: parts.text,
            html: parts.html,
            template: None,
            headers: Vec::new(),
            rfc_message_id: String::new(),
        };
        Ok(Reply::Rendered(vec![letter.rendered()]))
    }

    fn list(&self) -> Result<Reply, CampaignError> {
        let rows = self.campaigns().book().store().campaigns()?;
        rows.iter().map(|row| self.row(row)).collect::<Result<Vec<_>, _>>().map(Reply::Campaigns)
    }

    fn row(&self, row: &store::CampaignRow) -> Result<CampaignRow, CampaignError> {
        // The board has rate and reason; the store has the counts of this very moment.
        let live = self.board.campaign(row.id);
        let counts = self.campaigns().book().store().campaign_counts(row.id)?.total();
        let (rate, why) = live.map_or((0.0, String::new()), |r| (r.rate, r.why));
        self.campaigns().list_row(row, counts, rate, why)
    }

    fn detail(&self, id: CampaignId) -> Result<CampaignDetail, CampaignError> {
        let row = self.campaigns().row(id, None)?;
        self.campaigns().detail(self.row(&row)?)
    }

    fn shown(&self, id: CampaignId) -> Result<Reply, CampaignError> {
        self.detail(id).map(|detail| Reply::Campaign(Box::new(detail)))
    }

    fn messages(
        &self,
        campaign: CampaignId,
        state: Option<MessageState>,
        after: Option<MessageId>,
        limit: usize,
    ) -> Result<Reply, CampaignError> {
        let limit = limit.clamp(1, 1000);
        let store = self.campaigns().book().store();
        store.campaign(campaign)?;
        let counts = store.campaign_counts(campaign)?.total();
        let total = state.map_or(counts.total(), |s| counts.get(s));
        if total == 0 {
            return Ok(Reply::Messages(MessagePage { rows: Vec::new(), total, next: None }));
        }
        let store::Page { messages, next } = store.messages(campaign, state, after, limit)?;
        let rows = messages.iter().map(|m| self.message_row(m)).collect();
        Ok(Reply::Messages(MessagePage { rows, total, next }))
    }

    pub(super) fn message_row(&self, message: &StoredMessage) -> MessageRow {
        let record = &message.record;
        let guest = self.campaigns().book().get(record.list, record.guest).ok().flatten().map(|row| row.guest);
        let name = guest.map_or(String::new(), |guest| {
            if guest.name.is_empty() {
                crate::guests::address_on(&guest, record.channel).unwrap_or_default().to_owned()
            } else {
                guest.name
            }
        });
        let under_way = message.intent.as_ref().map(|intent| intent.provider.clone());
        let last = record.attempts.last().map(|a| a.provider.clone());
        MessageRow {
            id: message.id,
            campaign: message.campaign,
            guest: record.guest,
            guest_name: name,
            channel: record.channel,
            state: message.state(),
            attempts: record.attempts.len() as u32 + u32::from(message.state() == MessageState::Sending),
            provider: under_way.or(last).unwrap_or_default(),
            why: record.why.clone(),
            changed: record.changed,
        }
    }

    fn message(&self, campaign: CampaignId, id: MessageId) -> Result<Reply, CampaignError> {
        let Some(message) = self.campaigns().book().store().message(campaign, id)? else {
            return Err(store::Error::Missing { what: "message", name: format!("{id} in {campaign}") }.into());
        };
        Ok(Reply::Message(Box::new(self.story(&message))))
    }

    /// A message with every attempt.
    pub(super) fn story(&self, message: &StoredMessage) -> MessageDetail {
        let mut attempts: Vec<usher_common::model::AttemptRow> = message
            .record
            .attempts
            .iter()
            .map(|a| usher_common::model::AttemptRow {
                no: a.no,
                provider: a.provider.clone(),
                started: a.started,
                class: Some(a.class),
                code: a.code.clone(),
                detail: a.detail.clone(),
                provider_id: a.provider_id.clone(),
                latency_ms: a.latency_ms,
            })
            .collect();
        if let Some(intent) = message.intent.as_ref().filter(|_| message.state() == MessageState::Sending) {
            attempts.push(usher_common::model::AttemptRow {
                no: intent.attempt,
                provider: intent.provider.clone(),
                started: intent.started,
                class: None,
                code: String::new(),
                detail: String::new(),
                provider_id: String::new(),
                latency_ms: 0,
            });
        }
        MessageDetail { row: self.message_row(message), attempts }
    }

    async fn create(&self, by: &By, act: &Act, spec: CampaignSpec) -> Result<Reply, CampaignError> {
        let store = self.campaigns().book().store();
        if !act.key.is_empty()
            && let Some(ActRecord::Campaign(id)) = store.act(&act.key)?
        {
            return self.shown(CampaignId(id));
        }
        if act.preview {
            let effect = "would be written as a draft; nothing would be sent".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what: format!("campaign {}", spec.name), effect }]));
        }
        let id = self.campaigns().create(by, spec, self.clock.now()).await?;
        self.dispatcher.look(id);
        self.shown(id)
    }

    fn reckon(&self, id: CampaignId, progress: &Progress) -> Result<Reckoning, Problem> {
        self.campaigns().reckon(id, &|done, total| progress.at(done, total)).map_err(|e| refused(&e))
    }

    fn estimate(&self, id: CampaignId, progress: &Progress) -> Result<Reply, Problem> {
        let sum = self.reckon(id, progress)?;
        let mut warnings: Vec<String> = sum.obstacles.iter().map(|(why, n)| format!("{n} × {why}")).collect();
        if let Err(error) = self.campaigns().check_ready(id, &sum) {
            warnings.insert(0, error.to_string());
        }
        for channel in self.unserved(&sum) {
            warnings.push(format!("no provider is configured for {channel}: its messages would wait for ever"));
        }
        let without_template = self.campaigns().spec(id).is_ok_and(|spec| spec.whatsapp.is_none());
        if without_template && sum.channels.contains_key(&Channel::WhatsApp) {
            warnings.push(
                "whatsapp: no approved template is named, so only guests who wrote to your number within 24 hours can \
                 be reached; name one under [whatsapp] in the campaign's file"
                    .to_owned(),
            );
        }
        let mut lines = Vec::new();
        for (&channel, &(messages, units)) in &sum.channels {
            let account = self.dispatcher.shared().accounts().iter().find(|a| a.channel() == channel);
            let price = account.map_or(0.0, |a| a.unit_price);
            lines.push(EstimateLine {
                channel,
                provider: account.map_or(String::new(), |a| a.provider.name().to_owned()),
                messages,
                units,
                unit_price: price,
                cost: price * units as f64,
                currency: account.map_or(String::new(), |a| a.currency.clone()),
            });
        }
        Ok(Reply::Estimate(Estimate {
            guests: sum.guests,
            recipients: sum.guests - sum.unreachable,
            unreachable: sum.unreachable,
            lines,
            warnings,
        }))
    }

    /// Channels that have messages and no provider to carry them.
    fn unserved(&self, sum: &Reckoning) -> Vec<Channel> {
        let accounts = self.dispatcher.shared().accounts();
        let carried = |channel| accounts.iter().any(|account| account.channel() == channel);
        let with_messages = sum.channels.iter().filter(|(_, (messages, _))| *messages > 0);
        with_messages.map(|(&channel, _)| channel).filter(|&channel| !carried(channel)).collect()
    }

    async fn trial(&self, by: &By, act: &Act, id: CampaignId, channel: Channel, to: &str) -> Result<Reply, Problem> {
        let campaigns = self.campaigns();
        let like = campaigns.first_guest(id).map_err(|e| refused(&e))?.map(|(_, guest)| guest).unwrap_or_default();
        if act.preview {
            let effect = format!("would be sent to {to}");
            return Ok(Reply::Preview(vec![EffectLine { what: format!("1 {channel}"), effect }]));
        }
        let sent = self.dispatcher.shared().trial(by, id, channel, to, &like).await;
        let (provider, their_id) = sent.map_err(|e| e.problem())?;
        Ok(Reply::Done(format!("sent to {to} by {provider}, which calls it {their_id}")))
    }

    async fn approve(&self, by: &By, act: &Act, id: CampaignId, progress: &Progress) -> Result<Reply, Problem> {
        let row = self.campaigns().row(id, act.seen).map_err(|e| refused(&e))?;
        lifecycle::next(row.record.state, Event::Approve).map_err(|e| refused(&e.into()))?;
        let sum = self.reckon(id, progress)?;
        self.campaigns().check_ready(id, &sum).map_err(|e| refused(&e))?;
        if let Some(channel) = self.unserved(&sum).first() {
            return Err(Problem::new(
                ProblemCode::Invalid,
                format!("no provider is configured for {channel}: its messages would wait for ever"),
                format!("leave {channel} out of the campaign, or configure a provider that carries it"),
            ));
        }
        if act.preview {
            let what = format!("{} messages to {} guests", messages(&sum), sum.guests - sum.unreachable);
            let effect = "could be sent from then on; its words would be pinned".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what, effect }]));
        }
        self.campaigns().approve(by, &row).await.map_err(|e| refused(&e))?;
        self.after(id).map_err(|e| refused(&e))
    }

    async fn send(
        &self,
        by: &By,
        act: &Act,
        id: CampaignId,
        schedule: Option<Schedule>,
    ) -> Result<Reply, CampaignError> {
        let row = self.campaigns().row(id, act.seen)?;
        if act.preview {
            let guests = self.campaigns().book().store().guests_on(row.record.list)?;
            let what = format!("campaign {id}, up to {guests} guests,");
            let effect = self.campaigns().would_send(&row, schedule, self.clock.now())?;
            return Ok(Reply::Preview(vec![EffectLine { what, effect }]));
        }
        self.campaigns().send(by, &row, schedule, self.clock.now()).await?;
        self.after(id)
    }

    async fn step(&self, by: &By, act: &Act, id: CampaignId, event: Event) -> Result<Reply, CampaignError> {
        // A running campaign's row moves with its progress; stopping it is right whatever was seen of that.
        let seen = if matches!(event, Event::Pause | Event::Cancel) { None } else { act.seen };
        let row = self.campaigns().row(id, seen)?;
        if act.preview {
            let state = lifecycle::next(row.record.state, event)?;
            let counts = self.campaigns().book().store().campaign_counts(id)?.total();
            return Ok(Reply::Preview(effects(state, &counts)));
        }
        // What stops a campaign must not lose a race against the campaign's own progress.
        for _ in 0..STEPS {
            let row = self.campaigns().row(id, None)?;
            match self.campaigns().step(by, &row, event, self.clock.now()).await {
                Err(CampaignError::Store(store::Error::Changed { .. })) => {}
                other => {
                    other?;
                    return self.after(id);
                }
            }
        }
        Err(CampaignError::Seen { id })
    }

    async fn delete_campaign(&self, by: &By, act: &Act, id: CampaignId) -> Result<Reply, CampaignError> {
        let row = self.campaigns().row(id, act.seen)?;
        if act.preview {
            let effect = "would be put aside; it could be restored for 30 days".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what: format!("campaign {id}"), effect }]));
        }
        self.campaigns().delete(by, &row, self.clock.now()).await?;
        self.after(id)
    }

    async fn restore(&self, by: &By, act: &Act, id: CampaignId, name: Option<&str>) -> Result<Reply, CampaignError> {
        let row = self.campaigns().row(id, act.seen)?;
        if act.preview {
            let effect =
                name.map_or("would come back as it was".to_owned(), |name| format!("would come back as {name}"));
            return Ok(Reply::Preview(vec![EffectLine { what: format!("campaign {id}"), effect }]));
        }
        self.campaigns().restore(by, &row, name, self.clock.now()).await?;
        self.after(id)
    }

    async fn edit_campaign(
        &self,
        by: &By,
        act: &Act,
        id: CampaignId,
        spec: CampaignSpec,
    ) -> Result<Reply, CampaignError> {
        let row = self.campaigns().row(id, act.seen)?;
        if act.preview {
            lifecycle::next(row.record.state, Event::Edit)?;
            let effect = "would be written anew and be a draft, which needs approval before it is sent".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what: format!("campaign {id}"), effect }]));
        }
        self.campaigns().edit(by, &row, spec, self.clock.now()).await?;
        self.after(id)
    }

    pub(super) fn after(&self, id: CampaignId) -> Result<Reply, CampaignError> {
        self.dispatcher.look(id);
        self.shown(id)
    }
}

fn messages(sum: &Reckoning) -> u64 {
    sum.channels.values().map(|c| c.0).sum()
}

fn effects(state: CampaignState, counts: &usher_common::model::StateCounts) -> Vec<EffectLine> {
    let waiting = counts.held + counts.queued;
    let effect = match state {
        CampaignState::Paused => "would stay queued until it is resumed",
        CampaignState::Running => "would go on being sent",
        CampaignState::Cancelled => "would be cancelled and never be sent",
        _ => "would not be touched",
    };
    let mut lines = vec![EffectLine { what: format!("{waiting} waiting messages"), effect: effect.to_owned() }];
    if counts.sending > 0 {
        let effect = "are under way and cannot be stopped".to_owned();
        lines.push(EffectLine { what: format!("{} messages", counts.sending), effect });
    }
    lines
}

fn template_row(
    name: &str,
    built_in: bool,
    changed: Timestamp,
    body: &TemplateBody,
    custom: &[String],
) -> Result<TemplateRow, CampaignError> {
    let template = Template::compile_with(body, custom)?;
    let tokens = template.tokens().map(str::to_owned).collect();
    Ok(TemplateRow { name: name.to_owned(), built_in, tokens, changed })
}
