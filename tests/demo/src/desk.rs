//! An operator at a desk: what a person does with a daemon, over the same protocol as the console and the command line.
//! Promises: a wait returns as soon as the state is there; a line that breaks is an error, not a wait.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use usher::session::{Client, Update, act_key};
use usher_common::model::{
    Audience, CampaignClass, CampaignDetail, CampaignId, CampaignSpec, Channel, ImportProgress, ListId, MessageDetail,
    MessageId, MessageRow, Reach, Schedule,
};
use usher_common::protocol::{Act, EffectLine, IMPORT_CHUNK, MessagePage, Reply, Request, Row, Topic};

use crate::ORGANISATION;

/// Whatever a test waits for is there within this, on a slow machine too.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Questions that are asked at once: a session answers so many together.
const QUESTIONS: usize = 16;

/// Who vouches for the guests that are imported.
pub const VOUCHER: &str = "Wilhelmina Vouchsafe";

/// An import that is open.
#[derive(Debug)]
pub struct Upload {
    desk: Desk,
    upload: u64,
}

impl Upload {
    /// The next piece of the file, at most [`IMPORT_CHUNK`] bytes; how far the import is then.
    pub async fn push(&mut self, piece: &[u8]) -> anyhow::Result<ImportProgress> {
        self.told(Request::ImportChunk { upload: self.upload, bytes: piece.to_vec() }).await
    }

    /// The file is at its end; the import's last word.
    pub async fn finish(self) -> anyhow::Result<ImportProgress> {
        self.told(Request::ImportFinish { upload: self.upload }).await
    }

    async fn told(&self, request: Request) -> anyhow::Result<ImportProgress> {
        match self.desk.act(request).await? {
            Reply::Import(progress) => Ok(progress),
            other => bail!("a piece of an import was answered with {other:?}"),
        }
    }
}

/// A session with the daemon, and what one does in it.
#[derive(Debug, Clone)]
pub struct Desk {
    client: Client,
}

impl Desk {
    /// Sits down at a session.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks.
    pub async fn ask(&self, request: Request) -> anyhow::Result<Reply> {
        Ok(self.client.call(request, None).await?)
    }

    /// Acts, under a fresh key and upon whatever is there.
    pub async fn act(&self, request: Request) -> anyhow::Result<Reply> {
        let act = Act { key: act_key(), reason: "rehearsal".to_owned(), seen: None, preview: false };
        Ok(self.client.call(request, Some(act)).await?)
    }

    /// What an act would do; nothing is done.
    pub async fn rehearse(&self, request: Request) -> anyhow::Result<Vec<EffectLine>> {
        let act = Act { key: act_key(), reason: "rehearsal".to_owned(), seen: None, preview: true };
        match self.client.call(request, Some(act)).await? {
            Reply::Preview(lines) => Ok(lines),
            other => bail!("a rehearsal was answered with {other:?}"),
        }
    }

    /// Imports a file into a list, piece by piece; returns the import's last word.
    pub async fn import(&self, list: &str, csv: &[u8]) -> anyhow::Result<ImportProgress> {
        let mut upload = self.upload(list).await?;
        for chunk in csv.chunks(IMPORT_CHUNK) {
            upload.push(chunk).await?;
        }
        upload.finish().await
    }

    /// Opens an import into a list.
    pub async fn upload(&self, list: &str) -> anyhow::Result<Upload> {
        let open = Request::ImportOpen {
            list: list.to_owned(),
            file: "guests.csv".to_owned(),
            vouched_by: VOUCHER.to_owned(),
            country: String::new(),
        };
        let Reply::ImportOpened { upload } = self.act(open).await? else { bail!("the import was not opened") };
        Ok(Upload { desk: self.clone(), upload })
    }

    /// Imports `count` guests, each with an address and a mobile number, and returns their list.
    pub async fn guests(&self, count: usize) -> anyhow::Result<ListId> {
        let mut csv = String::from("name,email,phone\n");
        for n in 0..count {
            csv += &format!("Guest {n},guest-{n}@guests.example,+1213{}\n", 2_000_000 + n);
        }
        let done = self.import("guests", csv.as_bytes()).await?;
        if done.added != count as u64 || done.warned > 0 {
            bail!("of {count} guests {} were imported: {:?}", done.added, done.problems);
        }
        self.list("guests").await
    }

    /// The id of a list, by its name.
    pub async fn list(&self, name: &str) -> anyhow::Result<ListId> {
        let Reply::Lists(lists) = self.ask(Request::Lists).await? else { bail!("no lists came") };
        lists.iter().find(|l| l.name == name).map(|l| l.id).ok_or_else(|| anyhow!("there is no list called {name}"))
    }

    /// A campaign that brings the invitation to everyone on a list, by each of these channels.
    pub fn invitation(name: &str, list: ListId, channels: &[Channel]) -> CampaignSpec {
        CampaignSpec {
            name: name.to_owned(),
            description: String::new(),
            organisation: ORGANISATION.to_owned(),
            class: CampaignClass::Personal,
            channels: channels.to_vec(),
            reach: Reach::All,
            audience: Audience::List(list),
            template: "invitation".to_owned(),
            values: std::collections::BTreeMap::new(),
            schedule: Schedule::Now,
            expires_after_hours: 0,
            whatsapp: None,
        }
    }

    /// Writes such a campaign.
    pub async fn draft(&self, name: &str, list: ListId, channels: &[Channel]) -> anyhow::Result<CampaignId> {
        self.write(Self::invitation(name, list, channels)).await
    }

    /// Writes a campaign.
    pub async fn write(&self, spec: CampaignSpec) -> anyhow::Result<CampaignId> {
        Ok(self.on_campaign(Request::CampaignCreate { spec }).await?.row.id)
    }

    /// An act on a campaign that is answered with the campaign.
    pub async fn on_campaign(&self, request: Request) -> anyhow::Result<CampaignDetail> {
        match self.act(request).await? {
            Reply::Campaign(detail) => Ok(*detail),
            other => bail!("an act on a campaign was answered with {other:?}"),
        }
    }

    /// Approves a campaign and sends it.
    pub async fn release(&self, id: CampaignId) -> anyhow::Result<()> {
        self.on_campaign(Request::CampaignApprove { id }).await.context("approving the campaign")?;
        self.on_campaign(Request::CampaignSend { id, schedule: None }).await.context("sending the campaign")?;
        Ok(())
    }

    /// A campaign to everyone on a list by all of `channels`, under a name of its own, written, approved and sent.
    pub async fn send(&self, list: ListId, channels: &[Channel]) -> anyhow::Result<CampaignId> {
        let id = self.draft(&format!("Save the date {}", act_key()), list, channels).await?;
        self.release(id).await?;
        Ok(id)
    }

    /// A campaign as it is.
    pub async fn campaign(&self, id: CampaignId) -> anyhow::Result<CampaignDetail> {
        match self.ask(Request::Campaign { id }).await? {
            Reply::Campaign(detail) => Ok(*detail),
            other => bail!("asked for a campaign, the daemon answered {other:?}"),
        }
    }

    /// Follows a campaign until `enough` holds, and returns it as it was then.
    pub async fn until(
        &self,
        id: CampaignId,
        mut enough: impl FnMut(&CampaignDetail) -> bool,
    ) -> anyhow::Result<CampaignDetail> {
        let mut updates = self.client.follow(Topic::Campaign(id)).await?;
        while let Some(update) = updates.next().await {
            let (Update::Snapshot(rows) | Update::Delta { rows, .. }) = update else { continue };
            for row in rows {
                if let Row::Detail(detail) = row
                    && enough(&detail)
                {
                    return Ok(*detail);
                }
            }
        }
        bail!("the line broke while campaign {id} was followed")
    }

    /// Waits until nothing of the campaign is held, queued or under way any more.
    pub async fn sent(&self, id: CampaignId) -> anyhow::Result<CampaignDetail> {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let begun = Instant::now();
        loop {
            again.tick().await;
            let detail = self.campaign(id).await?;
            if detail.row.expanded && detail.row.counts.open() == 0 {
                return Ok(detail);
            }
            if begun.elapsed() > PATIENCE {
                bail!("{id} is still not through: {:?}", detail.row);
            }
        }
    }

    /// Every message of the campaign.
    pub async fn messages(&self, campaign: CampaignId) -> anyhow::Result<Vec<MessageRow>> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let ask = Request::Messages { campaign, state: None, after, limit: 1_000 };
            let Reply::Messages(MessagePage { rows: more, next, .. }) = self.ask(ask).await? else {
                bail!("asked for messages, the daemon answered with something else")
            };
            rows.extend(more);
            after = next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// One message with every attempt at it.
    pub async fn message(&self, campaign: CampaignId, id: MessageId) -> anyhow::Result<MessageDetail> {
        match self.ask(Request::Message { campaign, id }).await? {
            Reply::Message(detail) => Ok(*detail),
            other => bail!("asked for a message, the daemon answered {other:?}"),
        }
    }

    /// Every message of the campaign with every attempt at it.
    pub async fn stories(&self, campaign: CampaignId) -> anyhow::Result<Vec<MessageDetail>> {
        let rows = self.messages(campaign).await?;
        let asked = rows.iter().map(|row| self.message(campaign, row.id));
        futures_util::stream::iter(asked).buffered(QUESTIONS).try_collect().await
    }
}
