//! `usher guests import`: a file in pieces, its progress, and each problem by line and column.

use std::path::PathBuf;

use tokio::io::AsyncReadExt as _;
use usher_common::model::{ImportProblem, ImportProgress as Progress, Severity};
use usher_common::protocol::{IMPORT_CHUNK, Reply, Request};

use super::args::ActFlags;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::progress::Step;
use super::session::{Session, report};
use crate::figures;

/// Problems that are kept for the end; those beyond are counted.
const PROBLEMS_MAX: usize = 10_000;

/// What to import.
pub(super) struct Import {
    pub(super) file: PathBuf,
    pub(super) list: String,
    pub(super) vouched_by: String,
    pub(super) country: String,
}

pub(super) async fn run(
    session: &Session<'_>,
    output: &Output,
    import: Import,
    act: &ActFlags,
) -> Result<Exit, Failure> {
    let Import { file, list, vouched_by, country } = import;
    let list = session.list_name(&list).await?;
    let stdin = file.as_os_str() == "-";
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", file.display()));
    let (mut source, size): (Box<dyn tokio::io::AsyncRead + Unpin>, u64) = if stdin {
        (Box::new(tokio::io::stdin()), 0)
    } else {
        let opened = tokio::fs::File::open(&file).await.map_err(cannot)?;
        let meta = opened.metadata().await.map_err(cannot)?;
        if meta.is_dir() {
            return Err(Failure::usage(format!("cannot read {}: it is a folder", file.display())));
        }
        (Box::new(opened), meta.len())
    };
    let name = if stdin { "standard input".to_owned() } else { file_name(&file) };
    let title = name.clone();
    let opened = session.act(Request::ImportOpen { list: list.clone(), file: name, vouched_by, country }, act).await?;
    let upload = match opened {
        Reply::ImportOpened { upload } => upload,
        preview @ Reply::Preview(_) => return report(output, &preview),
        _ => return Err(Failure::unexpected()),
    };
    output.when_left("What was taken stays: import the file again, rows that are there already are left as they are.");
    let mut problems = Vec::new();
    let mut left_out = 0;
    let mut chunk = vec![0; IMPORT_CHUNK];
    loop {
        let filled = fill(&mut source, &mut chunk).await.map_err(cannot)?;
        if filled == 0 {
            break;
        }
        let request = Request::ImportChunk { upload, bytes: chunk[..filled].to_vec() };
        let Reply::Import(progress) = session.act(request, act).await? else { return Err(Failure::unexpected()) };
        let Progress { bytes: done, records: count, .. } = progress;
        output.step(&Step { name: &title, done, total: size, count, unit: "rows" });
        keep(&mut problems, &mut left_out, progress);
    }
    let Reply::Import(mut total) = session.act(Request::ImportFinish { upload }, act).await? else {
        return Err(Failure::unexpected());
    };
    output.end_progress();
    keep(&mut problems, &mut left_out, total.clone());
    total.problems = problems;
    total.problems_left_out = left_out;
    output.show(&total, |out| summary(out, &list, &total, act.dry_run))?;
    Ok(Exit::Done)
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Fills the buffer as far as the source goes: pipes give little at a time.
async fn fill(source: &mut (dyn tokio::io::AsyncRead + Unpin), buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]).await? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn keep(problems: &mut Vec<ImportProblem>, left_out: &mut u64, progress: Progress) {
    *left_out = (*left_out).max(progress.problems_left_out);
    for problem in progress.problems {
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        } else {
            *left_out += 1;
        }
    }
}

fn summary(out: &Output, list: &str, p: &Progress, dry_run: bool) -> Result<(), Failure> {
    for line in problem_lines(&p.problems) {
        out.line(&line)?;
    }
    if p.problems_left_out > 0 {
        out.line(&format!("and {}", many(p.problems_left_out, "more problem", "more problems")))?;
    }
    let would = match (dry_run, p.records) {
        (true, _) => " (nothing was changed)",
        (false, 0) => " (there is a header and no guest below it: nothing was done)",
        (false, _) => "",
    };
    out.line(&format!(
        "{list}: {}: {} added, {} updated, {} unchanged, {}, {} rejected, {} with warnings; {}{would}",
        many(p.records, "record", "records"),
        figures::count(p.added),
        figures::count(p.updated),
        figures::count(p.unchanged),
        many(p.duplicates, "duplicate", "duplicates"),
        figures::count(p.rejected),
        figures::count(p.warned),
        p.format,
    ))
}

/// A line for each problem, and one for each row that was rejected, whatever there was wrong with it.
fn problem_lines(problems: &[ImportProblem]) -> Vec<String> {
    let same_row = |a: &ImportProblem, b: &ImportProblem| {
        a.line == b.line && a.severity == Severity::Rejected && b.severity == Severity::Rejected
    };
    let one = |group: &[ImportProblem]| {
        let first = group.first()?;
        let word = match first.severity {
            Severity::Warning => "warning",
            Severity::Rejected => "rejected",
            Severity::Duplicate => "duplicate",
        };
        if group.len() > 1 {
            let all: Vec<String> = group
                .iter()
                .map(|p| if p.column.is_empty() { p.message.clone() } else { format!("{}: {}", p.column, p.message) })
                .collect();
            return Some(format!("line {}: {word}: {}", first.line, all.join(". ")));
        }
        let column = if first.column.is_empty() { String::new() } else { format!(", {}", first.column) };
        Some(format!("line {}{column}: {word}: {}", first.line, first.message))
    };
    problems.chunk_by(same_row).filter_map(one).collect()
}

fn many(n: u64, one: &str, more: &str) -> String {
    format!("{} {}", figures::count(n), if n == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::model::ProblemKind;

    #[test]
    fn a_rejected_row_is_told_once_with_all_its_reasons() {
        let problem = |line, column: &str, severity, message: &str| ImportProblem {
            line,
            column: column.to_owned(),
            severity,
            kind: ProblemKind::Phone,
            message: message.to_owned(),
        };
        let lines = problem_lines(&[
            problem(2, "mobile", Severity::Warning, "no such number; the number was left out"),
            problem(2, "land", Severity::Warning, "no country"),
            problem(3, "mobile", Severity::Rejected, "no such number"),
            problem(3, "", Severity::Rejected, "no address is left"),
            problem(4, "email", Severity::Rejected, "has no @"),
        ]);
        assert_eq!(
            lines,
            [
                "line 2, mobile: warning: no such number; the number was left out",
                "line 2, land: warning: no country",
                "line 3: rejected: mobile: no such number. no address is left",
                "line 4, email: rejected: has no @",
            ]
        );
        assert_eq!(
            (many(1, "record", "records"), many(0, "record", "records")),
            ("1 record".into(), "0 records".into())
        );
    }

    #[tokio::test]
    async fn a_source_that_gives_little_at_a_time_fills_whole_chunks() {
        let (mut writer, mut reader) = tokio::io::duplex(3);
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            writer.write_all(b"0123456789").await
        });
        let mut chunk = [0; 8];
        assert_eq!(fill(&mut reader, &mut chunk).await.ok(), Some(8));
        assert_eq!(&chunk, b"01234567");
        assert_eq!(fill(&mut reader, &mut chunk).await.ok(), Some(2));
        assert_eq!(fill(&mut reader, &mut chunk).await.ok(), Some(0));
    }
}
