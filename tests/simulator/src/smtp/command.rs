//! The command lines of SMTP: verbs, paths, parameters.
//! Promises: pure; refuses what RFC 5321's grammar refuses in the parts that clients get wrong.

/// The first word.
pub(super) fn verb(line: &str) -> &str {
    line.split([' ', ':']).next().unwrap_or_default()
}

/// What follows the verb.
pub(super) fn argument(line: &str) -> &str {
    line.split_once(' ').map_or("", |(_, rest)| rest.trim())
}

/// A path and its parameters, as in `FROM:<a@b.c> SIZE=12 BODY=8BITMIME`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) address: &'a str,
    pub(super) parameters: Vec<(&'a str, &'a str)>,
}

/// Reads the argument of MAIL or RCPT after its keyword (`FROM:` or `TO:`).
pub(super) fn path<'a>(argument: &'a str, keyword: &str) -> Option<Path<'a>> {
    let head = argument.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (address, rest) = argument[keyword.len()..].trim_start().strip_prefix('<')?.split_once('>')?;
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let parameters = rest.split_ascii_whitespace().map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    Some(Path { address, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_their_parameters() {
        let read = path("FROM:<a@b.c> SIZE=12 SMTPUTF8", "FROM:").unwrap();
        assert_eq!(read, Path { address: "a@b.c", parameters: vec![("SIZE", "12"), ("SMTPUTF8", "")] });
        assert_eq!(path("from:<>", "FROM:").unwrap().address, "");
        for bad in ["FROM:a@b.c", "FROM <a@b.c>", "TO:<a@b.c>", "FROM:<a@b.c", "FROM:<a@b.c>SIZE=1", "", "F"] {
            assert_eq!(path(bad, "FROM:"), None, "{bad}");
        }
    }
}
