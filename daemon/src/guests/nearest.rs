//! "Did you mean …?": the known word that is nearest to one that is not known.

/// The candidate that `word` is most likely a slip of, by edits of single characters (two neighbours swapped count as
/// one), ignoring case. `None` when even the nearest is further off than a third of the word, so that nonsense gets no
/// suggestion.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(LONGEST).collect();
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).take(LONGEST).collect();
            (edits(&word, &letters), candidate)
        })
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Words are compared by their first characters only, so that a hostile one costs no time.
const LONGEST: usize = 64;

/// Optimal string alignment distance, in three rows.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &right) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(left != right)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left == b[j - 1] && a[i - 1] == right {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_nonsense_is_not() {
        let words = ["confirmed", "pending", "declined"];
        for (slip, meant) in [
            ("confirmd", Some("confirmed")),
            ("Pednign", Some("pending")),
            ("decline", Some("declined")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, words), meant, "{slip}");
        }
    }

    #[test]
    fn two_swapped_neighbours_are_one_edit() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(edits(&chars("gorup"), &chars("group")), 1);
        assert_eq!(edits(&chars(""), &chars("abc")), 3);
    }
}
