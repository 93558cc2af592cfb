//! Requests about guests: lists, single guests, imports, exports. What shows personal data is in the audit trail.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::Mutex;
use usher_common::model::{GuestChange, ListId};
use usher_common::protocol::{Act, CsvPage, EffectLine, GuestName, GuestPage, Problem, ProblemCode, Reply, Request};

use super::problem::ToProblem;
use super::progress::Progress;
use super::{Api, Caller, IMPORTS, Import};
use crate::guests::{BookError, GuestBook, Intake, Source};
use crate::store::{AuditEntry, By};

impl Api {
    fn book(&self) -> &GuestBook {
        self.dispatcher.shared().campaigns().book()
    }

    /// Answers a request about guests; `None` where it is about something else.
    pub(super) async fn guest_request(
        &self,
        by: &By,
        act: &Act,
        request: &Request,
        progress: &Progress,
    ) -> Option<Result<Reply, Problem>> {
        let answer = match request {
            Request::Lists => self.book().lists().map(Reply::Lists),
            Request::Guests { list, segment, after, limit } => {
                self.guests_page(by, *list, segment, *after, *limit as usize).await
            }
            Request::Guest { list, guest } => self.guest(by, *list, guest).await,
            Request::Export { list, segment, after, limit } => {
                self.export(by, *list, segment, *after, *limit as usize).await
            }
            Request::GuestAdd { list, fields, vouched_by } => self.add(by, act, list, fields, vouched_by).await,
            Request::GuestEdit { list, guest, changes } => self.edit(by, act, *list, guest, changes).await,
            Request::GuestDelete { list, guest } => self.delete(by, act, *list, guest).await,
            Request::ListDelete { list } => self.delete_list(by, act, *list, progress).await,
            Request::GuestBulk { list, change } => {
                self.bulk(by, act, *list, (&change.segment, &change.changes), progress).await
            }
            Request::ImportChunk { upload, bytes } => return Some(self.import_push(*upload, Some(bytes)).await),
            Request::ImportFinish { upload } => return Some(self.import_push(*upload, None).await),
            _ => return None,
        };
        Some(answer.map_err(|error| error.problem()))
    }

    async fn guests_page(
        &self,
        by: &By,
        list: ListId,
        segment: &str,
        after: Option<usher_common::model::GuestId>,
        limit: usize,
    ) -> Result<Reply, BookError> {
        let book = self.book();
        let segment = book.segment(list, segment)?;
        let (rows, next) = book.page(list, segment.as_ref(), after, limit)?;
        let access = AuditEntry::Access { object: format!("guests of {list}"), guests: rows.len() as u64 };
        book.store().audit(by, &[access]).await?;
        Ok(Reply::Guests(GuestPage { rows, total: book.store().guests_on(list)?, next }))
    }

    async fn guest(&self, by: &By, list: ListId, name: &GuestName) -> Result<Reply, BookError> {
        let row = self.book().find(list, name)?;
        let access = AuditEntry::Access { object: row.id.to_string(), guests: 1 };
        self.book().store().audit(by, &[access]).await?;
        Ok(Reply::Guest(Box::new(row)))
    }

    async fn export(
        &self,
        by: &By,
        list: ListId,
        segment: &str,
        after: Option<usher_common::model::GuestId>,
        limit: usize,
    ) -> Result<Reply, BookError> {
        let book = self.book();
        let segment = book.segment(list, segment)?;
        let (text, rows, next) = book.export(list, segment.as_ref(), after, limit)?;
        let access = AuditEntry::Access { object: format!("export of {list}"), guests: rows };
        book.store().audit(by, &[access]).await?;
        Ok(Reply::Csv(CsvPage { text, rows, next }))
    }

    async fn add(
        &self,
        by: &By,
        act: &Act,
        list: &str,
        fields: &[GuestChange],
        vouched_by: &str,
    ) -> Result<Reply, BookError> {
        if act.preview {
            self.book().check_add(list, fields)?;
            let effect = format!("would be added to the list `{list}`");
            return Ok(Reply::Preview(vec![EffectLine { what: "1 guest".to_owned(), effect }]));
        }
        let row = self.book().add(by, list, fields, vouched_by, self.clock.now()).await?;
        Ok(Reply::Guest(Box::new(row)))
    }

    async fn edit(
        &self,
        by: &By,
        act: &Act,
        list: ListId,
        name: &GuestName,
        changes: &[GuestChange],
    ) -> Result<Reply, BookError> {
        let row = self.book().find(list, name)?;
        if act.preview {
            self.book().edited(&row, changes, self.clock.now())?;
            let effect = would_change(changes);
            return Ok(Reply::Preview(vec![EffectLine { what: row.id.to_string(), effect }]));
        }
        let row = self.book().edit(by, &row, changes, self.clock.now()).await?;
        Ok(Reply::Guest(Box::new(row)))
    }

    async fn delete(&self, by: &By, act: &Act, list: ListId, name: &GuestName) -> Result<Reply, BookError> {
        let row = self.book().find(list, name)?;
        if act.preview {
            let effect = "would be deleted and its key destroyed: nothing would bring it back".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what: row.id.to_string(), effect }]));
        }
        self.book().delete(by, &row, self.clock.now()).await?;
        Ok(Reply::Done(format!("{} was deleted from {list}, and its key destroyed", row.id)))
    }

    async fn delete_list(&self, by: &By, act: &Act, list: ListId, progress: &Progress) -> Result<Reply, BookError> {
        let (book, name) = (self.book(), self.book().store().list(list)?.name);
        book.check_unused(list)?;
        if act.preview {
            let what = format!("the list {name} with {}", guests(book.store().guests_on(list)?));
            let effect = "would be deleted and the keys destroyed: nothing brings them back".to_owned();
            return Ok(Reply::Preview(vec![EffectLine { what, effect }]));
        }
        let total = book.store().guests_on(list)?;
        let gone = book.delete_list(by, list, &|done| progress.at(done, total)).await?;
        Ok(Reply::Done(format!("the list {name} was deleted with {}, and the keys destroyed", guests(gone))))
    }

    async fn bulk(
        &self,
        by: &By,
        act: &Act,
        list: ListId,
        (segment, changes): (&str, &[GuestChange]),
        progress: &Progress,
    ) -> Result<Reply, BookError> {
        // How many a segment has is known once all were looked at.
        let total = if segment.trim().is_empty() { self.book().store().guests_on(list)? } else { 0 };
        let segment = self.book().segment(list, segment)?;
        if act.preview {
            let mut n = 0;
            let mut cursor = None;
            loop {
                let (rows, next) = self.book().page(list, segment.as_ref(), cursor, crate::guests::PAGE)?;
                for row in &rows {
                    self.book().edited(row, changes, self.clock.now())?;
                }
                n += rows.len() as u64;
                if progress.at(n, total).is_break() {
                    return Err(BookError::GivenUp { done: 0 });
                }
                match next {
                    Some(id) => cursor = Some(id),
                    None => break,
                }
            }
            let effect = would_change(changes);
            return Ok(Reply::Preview(vec![EffectLine { what: guests(n), effect }]));
        }
        let told = |done| progress.at(done, total);
        let n = self.book().bulk(by, list, segment.as_ref(), changes, (self.clock.now(), &told)).await?;
        let were = if n == 1 { "was" } else { "were" };
        Ok(Reply::Done(format!("{} of {list} {were} changed", guests(n))))
    }

    pub(super) async fn import_open(
        &self,
        caller: &Arc<Caller>,
        by: &By,
        list: &str,
        from: Source<'_>,
        rehearsal: bool,
    ) -> Result<Reply, Problem> {
        let invalid = |text: &str, remedy: &str| Err(Problem::new(ProblemCode::Invalid, text, remedy));
        if list.trim().is_empty() {
            return invalid("the list has no name", "name the list that these guests go to");
        }
        if from.vouched_by.trim().is_empty() {
            return invalid("nobody vouches for these guests", "say who may answer for writing to them");
        }
        let country = crate::guests::country_code(from.country).unwrap_or_default();
        if country.is_empty() && !from.country.trim().is_empty() {
            let text = format!("--country: `{}` is no country code", from.country);
            return invalid(&text, "write two letters of ISO 3166-1, such as GB or FR");
        }
        let from = Source { country: &country, ..from };
        let intake =
            Intake::begin(self.book().clone(), by.clone(), list.trim(), from, rehearsal).map_err(|e| e.problem())?;
        let mut imports = self.imports.lock().await;
        imports.retain(|_, import| import.owner.strong_count() > 0);
        if imports.len() >= IMPORTS {
            return Err(Problem::new(
                ProblemCode::Unavailable,
                format!("{IMPORTS} imports are open already"),
                "wait until one of them has ended",
            ));
        }
        let upload = loop {
            let candidate = getrandom::u64().unwrap_or(imports.len() as u64) >> 12;
            if let Entry::Vacant(place) = imports.entry(candidate) {
                place.insert(Import { intake: Arc::new(Mutex::new(intake)), owner: Arc::downgrade(caller) });
                break candidate;
            }
        };
        Ok(Reply::ImportOpened { upload })
    }

    async fn import_push(&self, upload: u64, bytes: Option<&Vec<u8>>) -> Result<Reply, Problem> {
        let gone = || {
            Problem::new(
                ProblemCode::NotFound,
                "this import is not open: it has ended, or the daemon was restarted",
                "import the file again: what is there already is left as it is",
            )
        };
        let intake =
            self.imports.lock().await.get(&upload).map(|import| Arc::clone(&import.intake)).ok_or_else(gone)?;
        let mut intake = intake.lock().await;
        let now = self.clock.now();
        let done = match bytes {
            Some(bytes) => intake.push(bytes, now).await,
            None => intake.finish(now).await,
        };
        if done.is_err() || bytes.is_none() {
            self.imports.lock().await.remove(&upload);
        }
        done.map(Reply::Import).map_err(|e| e.problem())
    }
}

fn guests(n: u64) -> String {
    if n == 1 { "1 guest".to_owned() } else { format!("{n} guests") }
}

/// What a change of these fields would do.
fn would_change(changes: &[GuestChange]) -> String {
    let fields: Vec<String> = changes.iter().map(|c| format!("{} = {}", c.field, c.value)).collect();
    format!("would be changed: {}", fields.join(", "))
}
