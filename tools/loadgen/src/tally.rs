//! What one run counted in its window.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest latency kept, 10 minutes.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// Figures of a row by name.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// Counts and latencies.
#[derive(Debug)]
pub(crate) struct Tally {
    acks: Histogram<u64>,
    deliveries: Histogram<u64>,
    pages: Histogram<u64>,
    durability: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are valid");
        Self { acks: histogram(), deliveries: histogram(), pages: histogram(), durability: 0 }
    }
}

impl Tally {
    /// An answer to a send.
    pub(crate) fn ack(&mut self, latency_ns: u64) {
        self.acks.saturating_record(latency_ns);
    }

    /// A message at a receiver.
    pub(crate) fn delivery(&mut self, latency_ns: u64) {
        self.deliveries.saturating_record(latency_ns);
    }

    /// A page.
    pub(crate) fn page(&mut self, latency_ns: u64) {
        self.pages.saturating_record(latency_ns);
    }

    /// What an answer said about durability; the weakest is kept.
    pub(crate) fn durability(&mut self, value: u64) {
        self.durability = if self.durability == 0 { value } else { self.durability.min(value) };
    }

    /// The weakest durability seen.
    pub(crate) fn durability_name(&self) -> Option<&'static str> {
        match self.durability {
            0 => None,
            1 => Some("buffered"),
            2 => Some("synced"),
            _ => Some("unknown"),
        }
    }

    /// Rates, percentiles and the server's processor seconds (`None`: not known) for each thousand.
    pub(crate) fn figures(&self, seconds: f64, cpu_s: Option<f64>) -> Figures {
        let mut figures = Figures::new();
        let kinds: [(&Histogram<u64>, [&'static str; 4]); 3] = [
            (&self.acks, ["acks_per_s", "ack_p50_ms", "ack_p99_ms", "cpu_s_per_1000_acks"]),
            (&self.deliveries, ["deliveries_per_s", "delivery_p50_ms", "delivery_p99_ms", "cpu_s_per_1000_deliveries"]),
            (&self.pages, ["pages_per_s", "page_p50_ms", "page_p99_ms", "cpu_s_per_1000_pages"]),
        ];
        for (histogram, [rate, p50, p99, cpu]) in kinds {
            if histogram.is_empty() {
                continue;
            }
            let count = histogram.len() as f64;
            figures.insert(rate, count / seconds);
            figures.insert(p50, histogram.value_at_quantile(0.50) as f64 / 1e6);
            figures.insert(p99, histogram.value_at_quantile(0.99) as f64 / 1e6);
            if let Some(cpu_s) = cpu_s {
                figures.insert(cpu, cpu_s * 1_000.0 / count);
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_window() {
        let mut tally = Tally::default();
        for i in 1..=100 {
            tally.ack(i * 1_000_000);
        }
        tally.durability(2);
        tally.durability(1);
        let figures = tally.figures(2.0, Some(0.5));
        assert_eq!(figures["acks_per_s"], 50.0);
        assert!((figures["ack_p50_ms"] - 50.0).abs() < 0.1);
        assert!((figures["ack_p99_ms"] - 99.0).abs() < 0.1);
        assert_eq!(figures["cpu_s_per_1000_acks"], 5.0);
        assert!(!figures.contains_key("pages_per_s"));
        assert_eq!(tally.durability_name(), Some("buffered"));
    }
}
