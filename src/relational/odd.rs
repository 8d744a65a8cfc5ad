//! What could not be brought as it was: counted by rule, each with the first example.

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;

/// One rule that had to be applied.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Odd {
    /// What was odd, and what was done about it.
    pub rule: String,
    /// How often.
    pub times: u64,
    /// Where it was seen first.
    pub example: String,
}

/// All of them, gathered by rooms that are brought at the same time.
#[derive(Debug, Default)]
pub struct Oddities(Mutex<BTreeMap<String, (u64, String)>>);

impl Oddities {
    /// Counts one.
    pub fn add(&self, rule: impl Into<String>, example: impl fmt::Display) {
        self.add_many(rule, 1, example);
    }

    /// Counts several.
    pub fn add_many(&self, rule: impl Into<String>, times: u64, example: impl fmt::Display) {
        let mut all = self.0.lock();
        let entry = all.entry(rule.into()).or_insert_with(|| (0, example.to_string()));
        entry.0 += times;
    }

    /// What was gathered, by rule.
    #[must_use]
    pub fn list(&self) -> Vec<Odd> {
        let all = self.0.lock();
        let odd = |(rule, (times, example)): (&String, &(u64, String))| Odd {
            rule: rule.clone(),
            times: *times,
            example: example.clone(),
        };
        all.iter().map(odd).collect()
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times: {} (first: {})", self.times, self.rule, self.example)
    }
}
