//! One import under way: bytes in, guests in the store, problems out.

use usher_common::model::{Guest, GuestId, ImportProblem, ImportProgress, ListId, Provenance, Timestamp};

use super::book::{BATCH, BookError, GuestBook};
use super::{Defaults, Field, ImportOptions, Importer, Outcome, Parsed};
use crate::store::{AuditEntry, By, GuestUpsert, Sequence};

/// Problems that are told with one piece of the file; the rest are counted.
const PROBLEMS: usize = 500;

/// Where guests come from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Who vouches for them.
    pub vouched_by: &'a str,
    /// Country for national numbers in rows without one; empty for none.
    pub country: &'a str,
}

/// One import. Rows are in the store when the call that brought them returns.
pub struct Intake {
    book: GuestBook,
    by: By,
    /// The list's name.
    name: String,
    /// `None` while there is no list of that name: it is made with its first guest.
    list: Option<ListId>,
    /// Whether the list's own columns are still to be written.
    columns_due: bool,
    /// Count, and write nothing.
    rehearsal: bool,
    file: String,
    vouched_by: String,
    importer: Option<Importer>,
    columns: Vec<Field>,
    progress: ImportProgress,
}

impl Intake {
    /// Begins an import into the list of that name, which is made with the first guest when there is none: a file that
    /// is refused leaves no list behind. A rehearsal reads and counts, and writes nothing.
    pub fn begin(book: GuestBook, by: By, list: &str, from: Source<'_>, rehearsal: bool) -> Result<Self, BookError> {
        let name = list.to_owned();
        let list = book.store().list_named(&name)?;
        let Source { file, vouched_by, country } = from;
        let options = ImportOptions { defaults: Defaults { country: country.to_owned() } };
        Ok(Self {
            book,
            by,
            name,
            list,
            columns_due: true,
            rehearsal,
            file: file.to_owned(),
            vouched_by: vouched_by.to_owned(),
            importer: Some(Importer::new(options)),
            columns: Vec::new(),
            progress: ImportProgress::default(),
        })
    }

    /// Takes the next bytes of the file. The problems in the answer are those found since the last one.
    pub async fn push(&mut self, bytes: &[u8], now: Timestamp) -> Result<ImportProgress, BookError> {
        let Some(importer) = &mut self.importer else { return Ok(self.progress.clone()) };
        let parsed = importer.push(bytes)?;
        let summary = importer.summary().clone();
        self.take(parsed, &summary, now).await
    }

    /// The file is at its end.
    pub async fn finish(&mut self, now: Timestamp) -> Result<ImportProgress, BookError> {
        let Some(importer) = self.importer.take() else { return Ok(self.progress.clone()) };
        let (parsed, summary) = importer.finish()?;
        self.take(parsed, &summary, now).await
    }

    async fn take(
        &mut self,
        parsed: Vec<Parsed>,
        summary: &super::Summary,
        now: Timestamp,
    ) -> Result<ImportProgress, BookError> {
        if self.columns.is_empty() && !summary.columns.is_empty() {
            self.columns = summary.columns.iter().map(|(_, field)| Field::of(field)).collect();
        }
        let mut problems: Vec<ImportProblem> = Vec::new();
        let mut left_out = 0;
        let mut guests: Vec<(Guest, Provenance)> = Vec::new();
        for record in parsed {
            for problem in record.problems {
                if problems.len() < PROBLEMS { problems.push(problem) } else { left_out += 1 }
            }
            if let Outcome::Guest(guest) = record.outcome {
                let source = format!("{}, line {}", self.file, record.line);
                let provenance = Provenance { source, vouched_by: self.vouched_by.clone(), at: now };
                guests.push((*guest, provenance));
            }
        }
        for batch in guests.chunks(BATCH) {
            self.write(batch, now).await?;
        }
        self.progress.bytes = summary.bytes;
        self.progress.records = summary.records;
        self.progress.duplicates = summary.duplicates;
        self.progress.rejected = summary.rejected;
        self.progress.warned = summary.warned;
        self.progress.format.clone_from(&summary.format);
        self.progress.problems_left_out += left_out;
        Ok(ImportProgress { problems, ..self.progress.clone() })
    }

    /// The list, made if need be, and with the columns that the file has beside the usual ones.
    async fn ready_list(&mut self, now: Timestamp) -> Result<ListId, BookError> {
        let list = match self.list {
            Some(list) => list,
            None => self.book.store().list_ensure(&self.by, &self.name, now).await?,
        };
        self.list = Some(list);
        if std::mem::take(&mut self.columns_due) {
            let key = |field: &Field| if let Field::Custom(key) = field { Some(key.clone()) } else { None };
            let custom: Vec<String> = self.columns.iter().filter_map(key).collect();
            self.book.store().list_columns(&self.by, list, &custom).await?;
        }
        Ok(list)
    }

    async fn write(&mut self, batch: &[(Guest, Provenance)], now: Timestamp) -> Result<(), BookError> {
        let list = match self.list {
            Some(list) if self.rehearsal => list,
            None if self.rehearsal => {
                self.progress.added += batch.len() as u64;
                return Ok(());
            }
            _ => self.ready_list(now).await?,
        };
        let mut fresh: Vec<&(Guest, Provenance)> = Vec::new();
        let mut writes: Vec<GuestUpsert> = Vec::new();
        for row in batch {
            let there = match self.book.identity(list, &row.0)? {
                Some(id) => self.book.get(list, id)?,
                None => None,
            };
            let Some(there) = there else {
                fresh.push(row);
                continue;
            };
            let guest = merged(&there.guest, &row.0, &self.columns);
            if guest == there.guest {
                self.progress.unchanged += 1;
                continue;
            }
            let provenance = row.1.clone();
            writes.push(self.book.upsert(
                list,
                there.id,
                Some(there.version),
                Some(&there.guest),
                guest,
                provenance,
            )?);
            self.progress.updated += 1;
        }
        if self.rehearsal {
            self.progress.added += fresh.len() as u64;
            return Ok(());
        }
        if !fresh.is_empty() {
            let first = self.book.store().reserve(Sequence::Guest, fresh.len() as u64, &self.by).await?;
            let ids: Vec<u64> = (first..first + fresh.len() as u64).collect();
            self.book.vault().ensure(&ids)?;
            for (id, (guest, provenance)) in ids.iter().zip(fresh.iter().map(|row| (&row.0, &row.1))) {
                let (guest, provenance) = (guest.clone(), provenance.clone());
                writes.push(self.book.upsert(list, GuestId(*id), None, None, guest, provenance)?);
                self.progress.added += 1;
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        let new = fresh.len() as u64;
        let audit = AuditEntry::Guests {
            act: "import".to_owned(),
            list: list.0,
            origin: self.book.origin(&self.file, &self.vouched_by)?,
            counts: (new, writes.len() as u64 - new, 0),
        };
        self.book.store().guests_write(&self.by, list, &writes, audit, now).await?;
        Ok(())
    }
}

/// The guest that was there, with the columns that the file has.
fn merged(there: &Guest, row: &Guest, columns: &[Field]) -> Guest {
    let mut guest = there.clone();
    for column in columns {
        match column {
            Field::Email => {
                // The same address in other letters is no change; the one that is kept came first.
                if !same_address(guest.email.as_deref(), row.email.as_deref()) {
                    guest.email.clone_from(&row.email);
                    guest.email_needs_utf8 = row.email_needs_utf8;
                }
            }
            Field::Name | Field::FirstName | Field::LastName => guest.name.clone_from(&row.name),
            Field::Phone => {
                guest.phone.clone_from(&row.phone);
                guest.phone_takes_sms = row.phone_takes_sms;
            }
            Field::DietaryRequirements => guest.dietary_requirements.clone_from(&row.dietary_requirements),
            Field::PlusOne => guest.plus_one = row.plus_one,
            Field::Rsvp => guest.rsvp = row.rsvp,
            Field::Groups => guest.groups.clone_from(&row.groups),
            Field::Country => guest.country.clone_from(&row.country),
            Field::Locale => guest.locale.clone_from(&row.locale),
            Field::Timezone => guest.timezone.clone_from(&row.timezone),
            Field::Preferred => guest.preferred.clone_from(&row.preferred),
            Field::Slack => guest.slack.clone_from(&row.slack),
            Field::Custom(key) => match row.custom.get(key) {
                Some(value) => {
                    guest.custom.insert(key.clone(), value.clone());
                }
                None => {
                    guest.custom.remove(key);
                }
            },
            Field::Source | Field::VouchedBy => {}
        }
    }
    guest
}

fn same_address(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.to_lowercase() == other.to_lowercase(),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::model::Rsvp;

    #[test]
    fn columns_that_the_file_does_not_have_are_left_alone() {
        let there = Guest {
            name: "Ada".into(),
            email: Some("ada@example.com".into()),
            rsvp: Rsvp::Confirmed,
            ..Guest::default()
        };
        let row = Guest { name: "Ada L.".into(), email: Some("ADA@example.com".into()), ..Guest::default() };
        let now = merged(&there, &row, &[Field::Email, Field::Name]);
        assert_eq!((now.name.as_str(), now.rsvp), ("Ada L.", Rsvp::Confirmed));
        assert_eq!(now.email.as_deref(), Some("ada@example.com"));
        assert_eq!(merged(&there, &row, &[Field::Rsvp]).rsvp, Rsvp::Pending);
    }
}
