//! A guest list taken in: every row judged, sealed and durable, beside what reading the file alone costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use csv_core::{ReadRecordResult, Reader};
use usher_common::model::ImportProgress;
use usher_common::protocol::IMPORT_CHUNK;
use usher_demo::Desk;

use crate::process;
use crate::run;
use crate::table::{self, Line};

/// The file is read again and again for so long: once is too short to measure.
const READING: Duration = Duration::from_millis(300);

/// Imports a list of `count` guests.
pub(crate) async fn measure(count: usize) -> anyhow::Result<Vec<Line>> {
    // A provider that is never asked: there has to be one.
    let stage = run::stage(run::texts("http://127.0.0.1:1", 1)).await?;
    let desk = stage.desk().await?;
    let daemon = stage.pid().context("the daemon has ended")?;
    let (empty, _) = process::memory_mib(daemon)?;
    let mut csv = String::from("name,email,phone\n");
    for n in 0..count {
        csv += &format!("Guest {n},guest-{n}@guests.example,+1213{}\n", 2_000_000 + n);
    }
    let used = process::processor_seconds(daemon)?;
    let begun = Instant::now();
    let (done, tenth) = import(&desk, daemon, &csv, count).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let each = (process::processor_seconds(daemon)? - used) * 1e6 / count as f64;
    let reading = tokio::task::spawn_blocking(move || read(csv.as_bytes())).await.context("reading the file")??;
    let fault = (done.added != count as u64).then(|| format!("{} of {count} were taken", done.added));
    let bytes = process::on_disk(&stage.state())? as usize / count;
    let (_, peak) = process::memory_mib(daemon)?;
    let whole = format!("memory while {} are imported, peak", table::count(count));
    Ok(vec![
        Line::new(format!("{} guests imported, durable", table::count(count)), table::rate(count, seconds))
            .beside(format!("reading the file with csv-core {}/s", table::whole(reading)))
            .remark(format!("daemon {each:.0} us each; {} bytes of disk a guest", table::count(bytes)))
            .wrong(fault),
        Line::new(whole, format!("{peak} MiB"))
            .beside(format!("with a tenth of them {tenth} MiB, before {empty} MiB"))
            .remark("the index and its cache, which is 4 MiB by its own count, and 24 bytes a row for duplicates"),
    ])
}

/// Imports a file; what came of it, and the daemon's peak memory when a tenth was in.
async fn import(desk: &Desk, daemon: u32, csv: &str, count: usize) -> anyhow::Result<(ImportProgress, u64)> {
    let mut upload = desk.upload("guests").await?;
    let mut tenth = None;
    for chunk in csv.as_bytes().chunks(IMPORT_CHUNK) {
        let far = upload.push(chunk).await?;
        if tenth.is_none() && far.records >= count as u64 / 10 {
            tenth = Some(process::memory_mib(daemon)?.1);
        }
    }
    let done = upload.finish().await?;
    Ok((done, tenth.unwrap_or_default()))
}

/// Rows a second that csv-core reads.
fn read(file: &[u8]) -> anyhow::Result<f64> {
    let (mut output, mut ends) = ([0; 4_096], [0; 64]);
    let mut rows = 0_u64;
    let begun = Instant::now();
    while begun.elapsed() < READING {
        let mut reader = Reader::new();
        let mut rest = file;
        loop {
            let (result, read, _, _) = reader.read_record(rest, &mut output, &mut ends);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                ReadRecordResult::Record => rows += 1,
                ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => bail!("a row is too long"),
            }
        }
    }
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}
