//! Rows for programs (JSON) and for people (a table).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{hub::ErrorCount, tally::Figures, workload::Outcome};

/// Cores used by others above which a row deserves no trust.
const FOREIGN_MAX: f64 = 0.2;

/// A row: medians over its runs.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    workload: &'static str,
    #[serde(skip)]
    label: String,
    params: Map<String, Value>,
    runs: usize,
    /// Measured, and nothing went wrong.
    ok: bool,
    #[serde(flatten)]
    figures: Figures,
    /// Lowest and highest of each figure, when there are several runs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    range: BTreeMap<&'static str, [f64; 2]>,
    durability: Option<&'static str>,
    errors: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    error_examples: BTreeMap<String, String>,
}

impl Row {
    /// Puts the runs of a row together.
    pub(crate) fn new(workload: &'static str, label: String, params: Map<String, Value>, outcomes: &[Outcome]) -> Self {
        let mut values: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        let mut errors: BTreeMap<String, ErrorCount> = BTreeMap::new();
        for outcome in outcomes {
            for (name, value) in &outcome.figures {
                values.entry(name).or_default().push(*value);
            }
            for (word, error) in &outcome.errors {
                let sum = errors.entry(word.clone()).or_insert_with(|| ErrorCount { count: 0, ..error.clone() });
                sum.count += error.count;
            }
        }
        let mut figures = Figures::new();
        let mut range = BTreeMap::new();
        for (name, mut values) in values {
            values.sort_by(f64::total_cmp);
            figures.insert(name, round(median(&values)));
            if let ([low, .., high], true) = (values.as_slice(), outcomes.len() > 1) {
                range.insert(name, [round(*low), round(*high)]);
            }
        }
        let measured = !outcomes.is_empty() && outcomes.iter().all(|o| measured(&o.figures));
        Self {
            workload,
            label,
            params,
            runs: outcomes.len(),
            ok: measured && errors.is_empty(),
            figures,
            range,
            durability: outcomes.iter().filter_map(|o| o.durability).min(),
            errors: errors.iter().map(|(word, e)| (word.clone(), e.count)).collect(),
            error_examples: errors.into_iter().map(|(word, e)| (word, e.example)).collect(),
        }
    }

    /// A row that could not be measured.
    pub(crate) fn failed(workload: &'static str, label: String, params: Map<String, Value>, why: &str) -> Self {
        let mut row = Self::new(workload, label, params, &[]);
        row.errors.insert("setup".into(), 1);
        row.error_examples.insert("setup".into(), why.to_owned());
        row
    }

    /// Whether it was measured without an error.
    pub(crate) fn ok(&self) -> bool {
        self.ok
    }
}

/// Whether a run has the figure that it was made for.
fn measured(figures: &Figures) -> bool {
    let positive = |name| figures.get(name).is_some_and(|v| *v > 0.0);
    positive("acks_per_s") || positive("pages_per_s") || positive("clients_reached")
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// More digits than any figure deserves, fewer than a double has.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// The table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![["row", "what", "rate", "p50 / p99 ms", "CPU-s per 1,000"].map(str::to_owned)];
    for row in rows {
        let first = lines.len();
        for (what, rate, p50, p99, cpu) in [
            ("acks/s", "acks_per_s", "ack_p50_ms", "ack_p99_ms", "cpu_s_per_1000_acks"),
            ("deliveries/s", "deliveries_per_s", "delivery_p50_ms", "delivery_p99_ms", "cpu_s_per_1000_deliveries"),
            ("pages/s", "pages_per_s", "page_p50_ms", "page_p99_ms", "cpu_s_per_1000_pages"),
            ("KiB/connection", "rss_kib_per_conn", "", "", ""),
        ] {
            if row.figures.contains_key(rate) {
                let latency =
                    if p50.is_empty() { String::new() } else { format!("{} / {}", row.cell(p50), row.cell(p99)) };
                lines.push([String::new(), what.to_owned(), row.cell(rate), latency, row.cell(cpu)]);
            }
        }
        if lines.len() == first {
            lines.push(["", "nothing measured", "", "", ""].map(str::to_owned));
        }
        lines[first][0].clone_from(&row.label);
    }
    let mut text = align(&lines);
    for row in rows {
        text.push_str(&row.notes());
    }
    text
}

impl Row {
    /// A figure, with its range if there is one.
    fn cell(&self, name: &str) -> String {
        let Some(value) = self.figures.get(name) else {
            return String::new();
        };
        match self.range.get(name) {
            Some([low, high]) => format!("{} ({}–{})", number(*value), number(*low), number(*high)),
            None => number(*value),
        }
    }

    /// What a reader must know beside the figures.
    fn notes(&self) -> String {
        let cores = |name| self.figures.get(name).map_or_else(|| "?".to_owned(), |v| format!("{v:.2}"));
        let mut text = format!(
            "{}: {}, cores: server {}, loadgen {}, others {}",
            self.label,
            self.durability.map_or_else(|| "no acks".to_owned(), |d| format!("acks {d}")),
            cores("cpu_server"),
            cores("cpu_loadgen"),
            cores("cpu_foreign"),
        );
        if self.figures.get("cpu_foreign").is_some_and(|v| *v > FOREIGN_MAX) {
            text.push_str(" (too much: measure again)");
        }
        if let (Some(before), Some(after)) = (self.figures.get("rss_before_mib"), self.figures.get("rss_after_mib")) {
            text.push_str(&format!(", server {before:.0} -> {after:.0} MiB"));
        }
        text.push('\n');
        for (word, count) in &self.errors {
            let example = self.error_examples.get(word).map_or("", String::as_str);
            text.push_str(&format!("  ERROR {word} x {count}: {example}\n"));
            if word == "rate_limited" {
                text.push_str("  start the server with --set limits.user_per_s=0 --set limits.room_per_s=0\n");
            }
        }
        text
    }
}

/// Three to four digits that count, and thousands apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 5,
    };
    let text = format!("{value:.decimals$}");
    let digits = text.find('.').unwrap_or(text.len());
    let mut spaced = String::with_capacity(text.len() + 4);
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i < digits && (digits - i) % 3 == 0 && !spaced.ends_with('-') {
            spaced.push(',');
        }
        spaced.push(c);
    }
    spaced
}

/// Columns of equal width; those with numbers to the right.
fn align(lines: &[[String; 5]]) -> String {
    let mut widths = [0; 5];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let [row, what, numbers @ ..] = line;
        text.push_str(&format!("{row:<0$}  {what:<1$}", widths[0], widths[1]));
        for (cell, width) in numbers.iter().zip(&widths[2..]) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rate: f64) -> Outcome {
        let figures = Figures::from([("acks_per_s", rate), ("ack_p50_ms", 0.5), ("ack_p99_ms", 1.0)]);
        Outcome { figures, errors: BTreeMap::new(), durability: Some("synced") }
    }

    #[test]
    fn medians_and_ranges() {
        let row = Row::new("w1", "W1".into(), Map::new(), &[outcome(3_000.0), outcome(1_000.0), outcome(36_000.0)]);
        assert!(row.ok());
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["acks_per_s"], 3_000.0);
        assert_eq!(json["range"]["acks_per_s"], serde_json::json!([1_000.0, 36_000.0]));
        assert!(table(&[row]).contains("3,000 (1,000–36,000)"));
    }

    #[test]
    fn errors_and_emptiness_are_not_ok() {
        let mut bad = outcome(5.0);
        bad.errors.insert("rate_limited".into(), ErrorCount { count: 3, example: "slow down".into() });
        let row = Row::new("w1", "W1".into(), Map::new(), &[bad]);
        assert!(!row.ok());
        assert!(table(&[row]).contains("limits.user_per_s=0"));
        assert!(!Row::new("w1", "W1".into(), Map::new(), &[outcome(0.0)]).ok());
        assert!(!Row::failed("w1", "W1".into(), Map::new(), "no server").ok());
    }

    #[test]
    fn numbers_for_people() {
        for (value, text) in [(1_234_567.0, "1,234,567"), (-123.0, "-123"), (0.002, "0.00200"), (12.34, "12.3")] {
            assert_eq!(number(value), text);
        }
    }
}
