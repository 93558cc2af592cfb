//! What operators keep in force, over a restart: a row for each control, gone when it ends.

use usher_common::model::{Control, ControlKind, Target};

use super::engine::{By, Change};
use super::records::AuditEntry;
use super::{Error, Store, decode, put, space};

impl Store {
    /// Everything that is in force.
    pub fn controls(&self) -> Result<Vec<Control>, Error> {
        let rows = self.engine.scan_prefix(space::CONTROL, &[]);
        rows.map(|row| decode(&row?.1.value, "a control")).collect()
    }

    /// Puts controls in force, each in place of one of its kind over the same, and ends others, in one commit.
    pub async fn control(&self, by: &By, begin: &[Control], end: &[Control], audit: AuditEntry) -> Result<(), Error> {
        let gone = end.iter().map(|control| Change::Delete { space: space::CONTROL, key: key(control) });
        let rows = begin.iter().map(|control| put(space::CONTROL, key(control), 0, control));
        self.commit(by, vec![audit], Vec::new(), gone.chain(rows).collect()).await?;
        Ok(())
    }
}

/// One row for each kind of control over each thing.
fn key(control: &Control) -> Vec<u8> {
    let kind = match control.kind {
        ControlKind::Held => 1,
        ControlKind::Drained => 2,
        ControlKind::Preferred => 3,
        ControlKind::Weighed(_) => 4,
        ControlKind::Unknown => 0,
    };
    let (what, name) = match &control.target {
        Target::All => (1, Vec::new()),
        Target::Organisation(name) => (2, name.as_bytes().to_vec()),
        Target::Campaign(id) => (3, space::id(id.0)),
        Target::Provider(name) => (4, name.as_bytes().to_vec()),
        Target::Unknown => (0, Vec::new()),
    };
    let mut key = vec![what, kind];
    key.extend(name);
    key
}

#[cfg(test)]
mod tests {
    use usher_common::model::{CampaignId, Timestamp};

    use super::super::conformance::open;
    use super::*;

    fn control(target: Target, kind: ControlKind) -> Control {
        Control { target, kind, by: "ada".into(), reason: "ill".into(), since: Timestamp(5), until: Some(Timestamp(9)) }
    }

    #[tokio::test]
    async fn one_of_each_kind_over_each_thing_is_in_force_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let by = By { actor: "ada".into(), reason: String::new(), request_id: String::new() };
        let act = || AuditEntry::Act { act: "control".into(), object: "x".into(), detail: String::new() };
        let twilio = Target::Provider("twilio".into());
        let (drained, weighed) = (control(twilio.clone(), ControlKind::Drained), |weight| {
            control(twilio.clone(), ControlKind::Weighed(weight))
        });
        let held = control(Target::Campaign(CampaignId(3)), ControlKind::Held);
        store.control(&by, &[drained.clone(), weighed(1.0), held.clone()], &[], act()).await.unwrap();
        store.control(&by, &[weighed(2.0)], &[drained], act()).await.unwrap();
        store.engine().clone().close().await.unwrap();
        drop(store);
        let store = open(dir.path());
        let mut there = store.controls().unwrap();
        there.sort_by(|a, b| a.target.cmp(&b.target));
        assert_eq!(there, [held, weighed(2.0)]);
    }
}
