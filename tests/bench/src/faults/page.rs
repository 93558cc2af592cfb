//! The table in a page of the documentation, between two marks.

use std::path::Path;

use super::injection::Injection;
use super::{Cell, cells, millis, seconds};
use crate::table;

/// Between these lines of the page stands the table.
const BEGIN: &str = "<!-- table: written by `usher-bench faults --table`, not by hand -->";
const END: &str = "<!-- end of the table -->";

/// Writes the table into the page, in place of the one before.
pub(super) fn write(page: &Path, found: &[Injection]) -> anyhow::Result<()> {
    table::into_page(page, (BEGIN, END), &markdown(found))
}

/// What was found, headed by the day and the machine.
fn markdown(found: &[Injection]) -> String {
    let mut text = format!(
        "{}.\n\n| fault | rate | n | detect, s | decide, ms | first elsewhere, s | backlog gone, s | lost | twice | unknown |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        table::day_and_machine()
    );
    for cell in cells(found) {
        text += &row(&cell);
    }
    text
}

fn row(cell: &Cell) -> String {
    let mark = |told: String, late: bool| if late { format!("**{told}**") } else { told };
    format!(
        "| {} | {}/s | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        cell.kind.name(),
        cell.rate,
        cell.of,
        mark(cell.detect.told(seconds), cell.late_to_detect()),
        mark(cell.decide.told(millis), cell.late_to_decide()),
        mark(cell.elsewhere.told(seconds), cell.late_elsewhere()),
        cell.caught_up.told(seconds),
        mark(cell.lost.to_string(), cell.lost > 0),
        mark(cell.twice.to_string(), cell.twice > 0),
        cell.doubt.told(|n| n.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::ELSEWHERE;
    use super::super::kind::Kind;
    use super::*;

    #[test]
    fn the_page_around_the_table_stays_and_what_missed_its_aim_is_bold() {
        let late = ELSEWHERE.as_micros() as u64;
        let found = [Injection {
            kind: Kind::Refuse,
            rate: 10.0,
            detect_us: Some(1_100_000),
            decide_us: Some(700),
            elsewhere_us: Some(late),
            caught_up_us: None,
            lost: 0,
            twice: 2,
            unknown: 3,
            failed: 0,
            why: String::new(),
        }];
        let page = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(page.path(), format!("# Before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        write(page.path(), &found).unwrap();
        let text = std::fs::read_to_string(page.path()).unwrap();
        assert!(text.starts_with("# Before\n") && text.ends_with("\nafter\n") && !text.contains("old"), "{text}");
        let row = "| refused | 10/s | 1 | 1.10 / 1.10 / 1.10 | 0.7 / 0.7 / 0.7 | **15.00 / 15.00 / 15.00** | never | 0 | **2** | \
                   3 / 3 / 3 |";
        assert!(text.contains(row), "{text}");
    }
}
