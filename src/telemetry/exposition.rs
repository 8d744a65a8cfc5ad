//! The two text formats of metrics: OpenMetrics, in which they are written, and the older one of Prometheus.
//!
//! They differ in a counter's name: OpenMetrics documents `x` and counts in `x_total`, the older one says `x_total` in
//! both places, and a tool that reads it finds no help for a counter otherwise.

use std::collections::HashSet;

/// Content type of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of the older format.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics in OpenMetrics as the older format has them.
#[must_use]
pub fn to_prometheus(open_metrics: &str) -> String {
    let counters: HashSet<&str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    for line in open_metrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let about = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
        match about.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            Some((kind, (name, rest))) if counters.contains(name) => {
                text.extend([kind, name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_documented_by_the_name_they_count_in() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total{x=\"y\"} 1\n# HELP b Others.\n# TYPE b gauge\n# UNIT b s\nb 2\n# EOF\n";
        let old = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n# HELP b Others.\n# TYPE b gauge\nb 2\n";
        assert_eq!(to_prometheus(open), old);
    }
}
