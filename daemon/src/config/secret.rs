//! Keys whose values lie in files of their own: secrets, and files of which only the path is kept.
//!
//! The strongest source wins and the others that are set are named in a warning: credential, `<key>_file`, environment,
//! value in the configuration file, and last the well-known variables that fill gaps.

use std::path::PathBuf;

use secrecy::SecretString;

use super::document::Raw;
use super::error::{ConfigError, FileFault, Key, Source};
use super::report::{Entry, Shown};
use super::slot::{Fault, Slot, absolute, text_of};
use super::sources::{check_file, read_credential, read_secret};

impl Slot<'_, '_> {
    /// The path of a file that must exist; a `secret` one only its owner may read. The credential comes first.
    pub(super) fn file(mut self, secret: bool) -> Option<PathBuf> {
        let credential = self.credential.as_ref();
        if let Some((name, path)) =
            credential.and_then(|name| Some((name.clone(), self.reader.sources.credential(name)?)))
        {
            return self.credential_file(name, path);
        }
        let (key, live) = (self.key.clone(), self.live);
        let path = self.path.clone();
        let found = self.search();
        let Slot { reader, .. } = self;
        if let Some(path) = path {
            reader.known(path);
        }
        let Some((raw, origin)) = found else {
            reader.record(Entry { key, value: Shown::Unset, origin: Source::Default, live });
            return None;
        };
        let text = match text_of(&raw).and_then(|text| absolute(text).map(|()| text.to_owned())) {
            Ok(text) => text,
            Err(Fault(problem, remedy)) => {
                reader.errors.push(ConfigError::Invalid { origin, key, value: Some(raw.shown()), problem, remedy });
                return None;
            }
        };
        let path = PathBuf::from(&text);
        if let Err(fault) = check_file(&path, secret) {
            reader.errors.push(ConfigError::NamedFile { origin, key, path, fault });
            return None;
        }
        reader.record(Entry { key, value: Shown::Plain(text), origin, live });
        Some(path)
    }

    fn credential_file(mut self, name: String, path: PathBuf) -> Option<PathBuf> {
        let origin = Source::Credential(name);
        if let Some((_, other)) = self.search() {
            self.reader.warn(self.key.as_str(), format!("the {origin} is used; {other}, which also sets it, is not"));
        }
        if let Some(path) = self.path {
            self.reader.known(path);
        }
        if let Err(fault) = check_file(&path, false) {
            self.reader.errors.push(ConfigError::NamedFile { origin, key: self.key, path, fault });
            return None;
        }
        let value = Shown::Plain(path.display().to_string());
        self.reader.record(Entry { key: self.key, value, origin, live: self.live });
        Some(path)
    }

    /// A secret, judged by `check`, whose texts must not repeat it; `None` when nobody set it.
    pub(super) fn secret<T>(mut self, check: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        let candidates = self.secret_candidates();
        let Slot { reader, key, live, needed, absent_at, .. } = self;
        let mut candidates = candidates.into_iter();
        let Some((origin, content)) = candidates.next() else {
            reader.record(Entry { key: key.clone(), value: Shown::Secret(None), origin: Source::Default, live });
            if let Some(remedy) = needed {
                reader.errors.push(ConfigError::Missing { origin: absent_at, key, remedy });
            }
            return None;
        };
        for (other, _) in candidates {
            reader.warn(key.as_str(), format!("{origin} is used; {other}, which also sets it, is not"));
        }
        let text = match content {
            Ok(text) => text,
            Err((path, fault)) => {
                reader.errors.push(ConfigError::NamedFile { origin, key, path, fault });
                return None;
            }
        };
        match check(&text) {
            Ok(value) => {
                reader.record(Entry { key, value: Shown::Secret(Some(SecretString::from(text))), origin, live });
                Some(value)
            }
            Err(Fault(problem, remedy)) => {
                reader.errors.push(ConfigError::Invalid { origin, key, value: None, problem, remedy });
                None
            }
        }
    }

    /// Everything that sets a secret, the strongest first.
    #[expect(clippy::type_complexity, reason = "one private list, read once")]
    fn secret_candidates(&mut self) -> Vec<(Source, Result<String, (PathBuf, FileFault)>)> {
        let mut found = Vec::new();
        if let Some(name) = &self.credential
            && let Some(path) = self.reader.sources.credential(name)
        {
            found.push((Source::Credential(name.clone()), read_credential(&path).map_err(|fault| (path, fault))));
        }
        if let Some((path, origin)) = self.secret_path() {
            let content = read_secret(&path);
            let origin = if content.is_ok() { Source::SecretFile(path.clone()) } else { origin };
            found.push((origin, content.map_err(|fault| (path, fault))));
        }
        for name in self.variables.clone() {
            if let Some(text) = self.reader.variable(&name) {
                found.push((Source::Variable(name), Ok(text)));
            }
        }
        if let Some(path) = self.path.clone() {
            self.reader.known(path.clone());
            if let Some(node) = self.reader.document.get(&path).cloned() {
                let origin = Source::File(node.value_at);
                match text_of(&node.raw).map(|text| text.trim().to_owned()) {
                    Ok(text) if !text.is_empty() => {
                        self.reader.secret_in_file();
                        found.push((origin, Ok(text)));
                    }
                    Ok(_) => self.fault(origin, Fault::new("is empty", "set it, or remove the line")),
                    Err(fault) => self.fault(origin, fault),
                }
            }
        }
        for name in self.fallbacks.clone() {
            if let Some(text) = self.reader.variable(name) {
                // It fills a gap only; where there is none, being unused is no news.
                if found.is_empty() {
                    found.push((Source::Variable(name.to_owned()), Ok(text)));
                }
            }
        }
        found
    }

    /// The path that `<key>_file` names.
    fn secret_path(&mut self) -> Option<(PathBuf, Source)> {
        let name = format!("{}_FILE", self.variables.first()?);
        let from_env = self.reader.variable(&name).map(|text| (Raw::Untyped(text), Source::Variable(name)));
        let path = self.path.as_ref().map(|path| format!("{path}_file"));
        let from_file = path.and_then(|path| {
            self.reader.known(path.clone());
            let node = self.reader.document.get(&path)?;
            Some((node.raw.clone(), Source::File(node.value_at.clone())))
        });
        let (raw, origin) = from_env.or(from_file)?;
        match text_of(&raw).and_then(|text| absolute(text).map(|()| PathBuf::from(text))) {
            Ok(path) => Some((path, origin)),
            Err(Fault(problem, remedy)) => {
                let key = Key::new(format!("{}_file", self.key));
                let value = Some(raw.shown());
                self.reader.errors.push(ConfigError::Invalid { origin, key, value, problem, remedy });
                None
            }
        }
    }

    fn fault(&mut self, origin: Source, Fault(problem, remedy): Fault) {
        let key = self.key.clone();
        self.reader.errors.push(ConfigError::Invalid { origin, key, value: None, problem, remedy });
    }
}
