//! A wedding to send for: a guest list of any size, a campaign on it, and what the daemon says became of each message.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use usher::session::{Client, act_key};
use usher_common::model::{
    Audience, CampaignClass, CampaignDetail, CampaignId, CampaignSpec, Channel, ListId, MessageRow, Reach, Schedule,
};
use usher_common::protocol::{Act, IMPORT_CHUNK, MessagePage, Reply, Request};

use crate::ORGANISATION;

/// Whatever a test waits for is there within this, on a slow machine too.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A fresh act.
pub fn act() -> Option<Act> {
    Some(Act { key: act_key(), reason: "the test asks for it".into(), seen: None, preview: false })
}

/// Imports `count` guests, each with an address and a mobile number, and returns their list.
pub async fn guests(client: &Client, count: usize) -> anyhow::Result<ListId> {
    let mut csv = String::from("name,email,phone\n");
    for n in 0..count {
        csv += &format!("Guest {n},guest-{n}@guests.example,+1213{}\n", 2_000_000 + n);
    }
    let open = Request::ImportOpen {
        list: "guests".into(),
        file: "guests.csv".into(),
        vouched_by: "the couple".into(),
        country: "US".into(),
    };
    let Reply::ImportOpened { upload } = client.call(open, act()).await? else { bail!("no import was opened") };
    for bytes in csv.as_bytes().chunks(IMPORT_CHUNK) {
        client.call(Request::ImportChunk { upload, bytes: bytes.to_vec() }, act()).await?;
    }
    let Reply::Import(done) = client.call(Request::ImportFinish { upload }, act()).await? else {
        bail!("the import did not finish")
    };
    if done.added != count as u64 || done.warned > 0 {
        bail!("of {count} guests {} were imported: {:?}", done.added, done.problems);
    }
    let Reply::Lists(lists) = client.call(Request::Lists, None).await? else { bail!("no lists") };
    Ok(lists.first().context("the list that was imported is not there")?.id)
}

/// A campaign to everyone on the list by all of `channels`, written, approved and sent.
pub async fn send(client: &Client, list: ListId, channels: &[Channel]) -> anyhow::Result<CampaignId> {
    let spec = CampaignSpec {
        name: "Save the date".into(),
        description: String::new(),
        organisation: ORGANISATION.into(),
        class: CampaignClass::Personal,
        channels: channels.to_vec(),
        reach: Reach::All,
        audience: Audience::List(list),
        template: "invitation".into(),
        values: BTreeMap::new(),
        schedule: Schedule::Now,
        expires_after_hours: 72,
        whatsapp: None,
    };
    let Reply::Campaign(draft) = client.call(Request::CampaignCreate { spec }, act()).await? else {
        bail!("no campaign was written")
    };
    let id = draft.row.id;
    client.call(Request::CampaignApprove { id }, act()).await.context("approving")?;
    client.call(Request::CampaignSend { id, schedule: None }, act()).await.context("sending")?;
    Ok(id)
}

/// The campaign as it stands.
pub async fn look(client: &Client, id: CampaignId) -> anyhow::Result<CampaignDetail> {
    let Reply::Campaign(detail) = client.call(Request::Campaign { id }, None).await? else { bail!("no {id}") };
    Ok(*detail)
}

/// Waits until nothing of the campaign is held, queued or under way any more.
pub async fn sent(client: &Client, id: CampaignId) -> anyhow::Result<CampaignDetail> {
    let mut again = tokio::time::interval(Duration::from_millis(50));
    let begun = Instant::now();
    loop {
        again.tick().await;
        let detail = look(client, id).await?;
        if detail.row.expanded && detail.row.counts.open() == 0 {
            return Ok(detail);
        }
        if begun.elapsed() > PATIENCE {
            bail!("{id} is still not through: {:?}", detail.row);
        }
    }
}

/// Every message of the campaign.
pub async fn messages(client: &Client, campaign: CampaignId) -> anyhow::Result<Vec<MessageRow>> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let ask = Request::Messages { campaign, state: None, after, limit: 1_000 };
        let Reply::Messages(MessagePage { rows: more, next, .. }) = client.call(ask, None).await? else {
            bail!("no messages")
        };
        rows.extend(more);
        after = next;
        if after.is_none() {
            return Ok(rows);
        }
    }
}
