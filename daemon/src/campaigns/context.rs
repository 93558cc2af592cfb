//! The values that a template is rendered with: the campaign's, which all guests share, and one guest's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use usher_common::model::Guest;

/// Values by token. Cloning it, and making one for a guest, copies nothing of what guests share.
#[derive(Debug, Clone, Default)]
pub struct Context {
    values: Arc<Values>,
}

#[derive(Debug, Clone, Default)]
struct Values {
    shared: Arc<BTreeMap<String, Value>>,
    own: Vec<(String, Value)>,
}

impl Context {
    /// The values that are the same for everyone. Empty ones are left out: a token without a value must not be printed
    /// as nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Self {
        let shared = values
            .iter()
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(token, value)| (token.clone(), Value::from(value.as_str())))
            .collect();
        Self { values: Arc::new(Values { shared: Arc::new(shared), own: Vec::new() }) }
    }

    /// The same with one guest's own: name, food and the list's columns, then `links`, such as `rsvp_link` and
    /// `unsubscribe_link`. What a guest has goes before what all share.
    ///
    /// `dietary_requirements` always has a value, an empty one for a guest who eats everything.
    #[must_use]
    pub fn for_guest(&self, guest: &Guest, links: &[(&str, &str)]) -> Self {
        let fixed = [("guest_name", guest.name.as_str())];
        let custom = guest.custom.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        // Links last and custom columns after fixed ones: the search is from the end.
        let mut own: Vec<(String, Value)> = custom
            .chain(fixed)
            .chain(links.iter().copied())
            .filter(|(_, value)| !value.trim().is_empty())
            .map(|(token, value)| (token.to_owned(), Value::from(value)))
            .collect();
        own.push(("dietary_requirements".to_owned(), Value::from(guest.dietary_requirements.as_str())));
        Self { values: Arc::new(Values { shared: Arc::clone(&self.values.shared), own }) }
    }

    /// Whether a token has a value.
    pub fn has(&self, token: &str) -> bool {
        self.values.get(token).is_some()
    }

    pub(super) fn value(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.values))
    }

    /// The same values, with a gap where there is none: it prints, and notes in `gaps` that it had to.
    pub(super) fn noting(&self, gaps: &Gaps) -> Value {
        Value::from_object(Noting { values: Arc::clone(&self.values), gaps: gaps.clone() })
    }
}

/// Tokens that would have been printed and have no value, in the order in which they are met.
#[derive(Debug, Clone, Default)]
pub(super) struct Gaps(Arc<Mutex<Vec<String>>>);

impl Gaps {
    /// What was noted so far.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, token: &str) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tokens.iter().any(|known| known == token) {
            tokens.push(token.to_owned());
        }
    }
}

#[derive(Debug)]
struct Noting {
    values: Arc<Values>,
    gaps: Gaps,
}

impl Object for Noting {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let token = key.as_str()?;
        let gap = || Value::from_object(Gap { token: token.to_owned(), gaps: self.gaps.clone() });
        Some(self.values.get(token).cloned().unwrap_or_else(gap))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// Where a value is missing. Asked whether there is one it says no, as what is undefined does.
#[derive(Debug)]
pub(super) struct Gap {
    token: String,
    gaps: Gaps,
}

impl Object for Gap {
    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gaps.note(&self.token);
        Ok(())
    }
}

/// What a template's filters and tests are to see: nothing where there is a gap.
pub(super) fn without_gap(value: &Value) -> Value {
    if value.downcast_object_ref::<Gap>().is_some() { Value::UNDEFINED } else { value.clone() }
}

impl Values {
    fn get(&self, token: &str) -> Option<&Value> {
        let own = self.own.iter().rev().find(|(own, _)| own == token).map(|(_, value)| value);
        own.or_else(|| self.shared.get(token))
    }
}

impl Object for Values {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
