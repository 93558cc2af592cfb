//! Keys: how old each is, as far as the file that holds it tells. They are to be turned over every 90 days.

use std::path::PathBuf;
use std::time::SystemTime;

use super::finding::Finding;
use super::{List, Surroundings};
use crate::config::{Shown, Source};

const DAY_S: u64 = 86_400;
/// Credentials of providers and tokens are turned over after this.
const TURN_OVER_DAYS: u64 = 90;
/// What would be lost with a key that is turned over, so that its age is no fault.
const FOR_GOOD: [&str; 4] = ["vault.root_key", "secrets.unsubscribe", "backup.encryption_key", "audit.encryption_key"];

impl Surroundings {
    /// The age of every secret that is set.
    pub(super) fn keys<'s>(&'s self, list: &mut List<'s>) {
        for entry in &self.loaded.entries {
            let Shown::Secret(Some(_)) = &entry.value else { continue };
            let key = entry.key.to_string();
            if FOR_GOOD.contains(&key.as_str()) {
                continue;
            }
            let found = match &entry.origin {
                Source::SecretFile(path) => age(path),
                Source::File(_) => Finding::warn(
                    "it stands in the configuration file, among what anybody may be shown",
                    format!("move it into a file of its own, and name that in {key}_file"),
                ),
                // systemd copies a credential at every start, and an environment has no time.
                other => Finding::skip(format!("{other} does not tell its age")),
            };
            list.know(format!("key.{key}"), found);
        }
    }
}

fn age(path: &PathBuf) -> Finding {
    let changed = match std::fs::metadata(path).and_then(|data| data.modified()) {
        Ok(changed) => changed,
        Err(error) => return Finding::fail(format!("{} cannot be looked at: {error}", path.display()), "put it back"),
    };
    // A time in the future is a clock that was set.
    judge(SystemTime::now().duration_since(changed).unwrap_or_default().as_secs() / DAY_S)
}

fn judge(days: u64) -> Finding {
    if days > TURN_OVER_DAYS {
        let remedy = "make a new one at the provider, write it into the file, restart, and then revoke the old one";
        Finding::warn(format!("{days} days old, {TURN_OVER_DAYS} are allowed"), remedy)
    } else {
        Finding::pass(format!("{days} days old"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_common::model::Grade;

    #[test]
    fn a_key_is_old_after_ninety_days() {
        assert_eq!((judge(90).grade, judge(91).grade), (Grade::Pass, Grade::Warn));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert_eq!(age(&path).grade, Grade::Fail);
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - std::time::Duration::from_secs(100 * DAY_S)).unwrap();
        assert!(age(&path).reason.starts_with("100 days old"), "{:?}", age(&path));
    }
}
