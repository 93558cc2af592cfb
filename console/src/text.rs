//! Strings from outside, made fit for a terminal: nothing in them can move the cursor, change colours, reorder or hide
//! text; and they are cut by the width that they take, never inside a character.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The text without control characters, escapes and invisible or direction-changing characters; line breaks and tabs
/// become spaces.
pub fn clean(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if is_unsafe(c) => None,
            c => Some(c),
        })
        .collect()
}

/// As [`clean`], line by line: for texts that are shown as lines.
pub fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(clean).collect()
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}'                          // soft hyphen
            | '\u{061c}'                        // Arabic letter mark
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'           // zero width, direction marks
            | '\u{202a}'..='\u{202e}'           // embeddings and overrides
            | '\u{2060}'..='\u{206f}'           // joiners, isolates
            | '\u{fe00}'..='\u{fe0f}'           // variation selectors: terminals disagree on their width
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'         // tags
        )
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut to so many columns; `…` (or `~` in ASCII) tells that something is missing.
pub fn cut(text: &str, columns: usize, ellipsis: &str) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(ellipsis.width());
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let wide = grapheme.width();
        if used + wide > room {
            break;
        }
        used += wide;
        out.push_str(grapheme);
    }
    if columns >= ellipsis.width() {
        out.push_str(ellipsis);
    }
    out
}

/// The text broken into lines of at most so many columns, at spaces where there are any.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        let gap = usize::from(!line.is_empty());
        if !line.is_empty() && line.width() + gap + word.width() > columns {
            lines.push(std::mem::take(&mut line));
        }
        while word.width() > columns {
            let head = cut(&word, columns, "");
            if head.is_empty() {
                // A character wider than the line: it has no place here.
                word = String::new();
                break;
            }
            word = word[head.len()..].to_owned();
            lines.push(head);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_direction_changes_are_taken_out() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}]52;c;aGk=\u{7}"), "[31mred]52;c;aGk=");
        assert_eq!(clean("abc\u{202e}gpj.exe\u{200b}"), "abcgpj.exe");
        assert_eq!(clean("a\nb\tc\u{9b}2J"), "a b c2J");
        assert_eq!(clean("Zoë & 李"), "Zoë & 李");
    }

    #[test]
    fn a_wide_character_is_never_halved() {
        assert_eq!(cut("李小龍", 4, "…"), "李…");
        assert_eq!(cut("李小龍", 6, "…"), "李小龍");
        assert_eq!(cut("abc", 0, "…"), "");
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_break_anywhere() {
        assert_eq!(wrap("resend is down since 14:02", 12), ["resend is", "down since", "14:02"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
    }

    proptest! {
        #[test]
        fn whatever_comes_in_no_control_comes_out_and_cuts_fit(text in any::<String>(), columns in 0usize..40) {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.chars().any(char::is_control));
            prop_assert!(cut(&cleaned, columns, "…").width() <= columns);
            for line in wrap(&cleaned, columns) {
                prop_assert!(line.width() <= columns.max(1));
            }
        }
    }
}
