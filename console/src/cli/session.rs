//! One connection for one command: calls, and the names that people give for ids.

use usher_common::model::{CampaignId, CampaignRow, CampaignState, GuestListRow, ListId};
use usher_common::protocol::{Act, EffectLine, GuestName, Reply, Request};

use super::args::{ActFlags, Global};
use super::exit::{Exit, Failure};
use super::output::Output;
use super::progress::Step;
use crate::figures;
use crate::session::{Client, act_key};

/// The connection, and where it tells how far a long call is.
pub(super) struct Session<'a> {
    pub(super) client: Client,
    output: &'a Output,
}

impl<'a> Session<'a> {
    pub(super) async fn open(global: &Global, output: &'a Output) -> Result<Self, Failure> {
        Ok(Self { client: Client::connect(&global.target()?).await?, output })
    }

    /// Asks.
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, Failure> {
        self.call(request, None).await
    }

    async fn call(&self, request: Request, act: Option<Act>) -> Result<Reply, Failure> {
        let told = |done, total| {
            self.output.step(&Step { name: "going through them", done, total, count: done, unit: "guests" });
        };
        let mut ours = false;
        let answer = self
            .client
            .call_telling(request, act, |done, total| {
                ours = true;
                told(done, total);
            })
            .await;
        if ours {
            self.output.end_progress();
        }
        Ok(answer?)
    }

    /// Acts, or has the act previewed where `--dry-run` says so.
    pub(super) async fn act(&self, request: Request, flags: &ActFlags) -> Result<Reply, Failure> {
        self.act_on(request, None, flags).await
    }

    /// Acts on a row as it was seen: not at all if it changed since.
    pub(super) async fn act_on(&self, request: Request, seen: Option<u64>, flags: &ActFlags) -> Result<Reply, Failure> {
        let act = Act { key: act_key(), reason: flags.reason.clone(), seen, preview: flags.dry_run };
        if !flags.dry_run {
            self.output.when_left_at_least(
                "The daemon goes on with what it was told: look how that stands before you tell it again.",
            );
        }
        self.call(request, Some(act)).await
    }

    /// What an act would do.
    pub(super) async fn preview(&self, request: Request) -> Result<Vec<EffectLine>, Failure> {
        let flags = ActFlags { dry_run: true, ..ActFlags::default() };
        match self.act(request, &flags).await? {
            Reply::Preview(lines) => Ok(lines),
            _ => Ok(Vec::new()),
        }
    }

    /// A list by id (`l3`) or name.
    pub(super) async fn list(&self, named: &str) -> Result<GuestListRow, Failure> {
        let Reply::Lists(rows) = self.ask(Request::Lists).await? else { return Err(Failure::unexpected()) };
        let known: Vec<(String, String)> = rows.iter().map(|r| (r.id.to_string(), r.name.clone())).collect();
        let at = find(&known, named, |text| text.parse::<ListId>().ok().map(|id| id.to_string())).ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("no guest list `{named}`\n`usher guests lists` shows them."))
        })?;
        rows.into_iter().nth(at).ok_or_else(Failure::unexpected)
    }

    /// The name of a list that may still have to be made: an id (`l3`) stands for the list that has it, and makes none.
    pub(super) async fn list_name(&self, named: &str) -> Result<String, Failure> {
        let is_id = named.starts_with('l') && named.parse::<ListId>().is_ok();
        if is_id { Ok(self.list(named).await?.name) } else { Ok(named.to_owned()) }
    }

    /// A campaign by id (`c12`) or name; a deleted one only by id, or where no other has the name.
    pub(super) async fn campaign(&self, named: &str) -> Result<CampaignRow, Failure> {
        let Reply::Campaigns(mut rows) = self.ask(Request::Campaigns).await? else { return Err(Failure::unexpected()) };
        rows.sort_by_key(|row| (row.deleted.is_some(), row.id));
        let known: Vec<(String, String)> = rows.iter().map(|r| (r.id.to_string(), r.name.clone())).collect();
        let at =
            find(&known, named, |text| text.parse::<CampaignId>().ok().map(|id| id.to_string())).ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("no campaign `{named}`\n`usher campaign list` shows them."))
            })?;
        rows.into_iter().nth(at).ok_or_else(Failure::unexpected)
    }
}

/// Finds an (id, name): the id with its letter first, then the name, then a name that differs by case alone and is the
/// only such, then a bare number as id.
fn find(known: &[(String, String)], named: &str, id: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let exact = known.iter().position(|(id, _)| id == named);
    let name = || known.iter().position(|(_, name)| name == named);
    let folded = || {
        let mut same = known.iter().enumerate().filter(|(_, (_, name))| name.to_lowercase() == named.to_lowercase());
        same.next().filter(|_| same.next().is_none()).map(|(i, _)| i)
    };
    let number = || id(named).and_then(|id| known.iter().position(|(other, _)| *other == id));
    exact.or_else(name).or_else(folded).or_else(number)
}

/// A guest as somebody would name it: an id such as `g7`, else an address.
pub(super) fn guest_name(text: &str) -> GuestName {
    match text.parse() {
        Ok(id) if text.starts_with('g') => GuestName::Id(id),
        _ => GuestName::Address(text.to_owned()),
    }
}

/// Prints what came of an act.
pub(super) fn report(output: &Output, reply: &Reply) -> Result<Exit, Failure> {
    output.show(reply, |out| match reply {
        Reply::Done(line) => out.line(line),
        Reply::Preview(lines) if lines.is_empty() => out.line("nothing would change"),
        Reply::Preview(lines) => {
            for line in lines {
                out.line(&format!("dry run: {} {}", line.what, line.effect))?;
            }
            Ok(())
        }
        Reply::Campaign(detail) => out.line(&standing(&detail.row)),
        _ => Err(Failure::unexpected()),
    })?;
    Ok(Exit::Done)
}

/// Where a campaign stands after an act, in a sentence.
fn standing(row: &CampaignRow) -> String {
    let (id, name) = (row.id, &row.name);
    if row.deleted.is_some() {
        return format!("{id} {name} is deleted; `usher campaign restore {id}` brings it back within 30 days");
    }
    match row.state {
        CampaignState::Draft => format!("{id} {name} is a draft now"),
        CampaignState::Running => format!("{id} {name} is being sent now"),
        CampaignState::Scheduled => {
            let due = row.due.map(|due| format!(" for {}", figures::exact(due))).unwrap_or_default();
            format!("{id} {name} is scheduled{due}")
        }
        state => format!("{id} {name} is {state} now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_before_a_name_and_a_name_before_a_bare_number() {
        let known = [("c1", "c2"), ("c2", "Summer"), ("c3", "1"), ("c4", "summer"), ("c5", "Winter")]
            .map(|(id, name)| (id.to_owned(), name.to_owned()));
        let find = |text: &str| find(&known, text, |t| t.parse::<CampaignId>().ok().map(|id| id.to_string()));
        assert_eq!(find("c2"), Some(1));
        assert_eq!(find("Summer"), Some(1));
        assert_eq!(find("SUMMER"), None, "two differ by case alone");
        assert_eq!(find("winter"), Some(4));
        assert_eq!(find("1"), Some(2));
        assert_eq!(find("4"), Some(3));
        assert_eq!(find("autumn"), None);
    }
}
