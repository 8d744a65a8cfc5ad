//! The circuit by its clock.

use std::sync::Arc;

use super::*;

const OPTIONS: CircuitOptions = CircuitOptions {
    window: Duration::from_secs(10),
    failures_min: 3,
    failure_share: 0.5,
    in_a_row: 6,
    open_min: Duration::from_secs(1),
    open_max: Duration::from_secs(3),
    trials: 2,
    hung_after: Duration::from_secs(1),
};

use Verdict::{Bad, Good, Refused, Unclear};

struct Bench {
    circuit: Arc<Circuit>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { circuit: Arc::new(Circuit::new("bench", OPTIONS)), now: Instant::now() }
    }

    fn calls(&mut self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            self.circuit.enter(self.now).expect("the circuit lets calls through").end(*verdict, self.now);
        }
    }

    fn wait(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }
}

#[tokio::test]
async fn it_opens_at_enough_failures_of_a_great_enough_share() {
    let mut few = Bench::new();
    few.calls(&[Bad, Bad]);
    assert_eq!(few.circuit.state(), CircuitState::Closed);
    few.calls(&[Unclear, Unclear, Bad]);
    assert_eq!(few.circuit.state(), CircuitState::Open);

    let mut diluted = Bench::new();
    diluted.calls(&[Good, Good, Good, Good, Bad, Bad, Bad]);
    assert_eq!(diluted.circuit.state(), CircuitState::Closed, "three of seven are less than half");
    diluted.calls(&[Bad]);
    assert_eq!(diluted.circuit.state(), CircuitState::Open);

    let mut busy = Bench::new();
    busy.calls(&[Good; 1_000]);
    busy.calls(&[Bad, Bad, Bad, Bad, Bad, Good, Bad, Bad, Bad, Bad, Bad]);
    assert_eq!(busy.circuit.state(), CircuitState::Closed);
    busy.calls(&[Unclear, Bad]);
    assert_eq!(busy.circuit.state(), CircuitState::Open, "six in a row are enough whatever came before");
}

#[tokio::test]
async fn old_failures_are_forgotten() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad]);
    bench.wait(25.0).calls(&[Good, Bad]);
    assert_eq!(bench.circuit.state(), CircuitState::Closed);
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad]);
    bench.wait(11.0).calls(&[Bad]);
    assert_eq!(bench.circuit.state(), CircuitState::Open, "the window before this one counts");
}

#[tokio::test]
async fn an_open_circuit_says_when_it_will_try_and_closes_after_good_trials() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad, Bad]);
    bench.wait(0.25);
    let open = bench.circuit.enter(bench.now).unwrap_err();
    assert_eq!(open.retry_after, Duration::from_millis(750));
    bench.wait(0.75);
    let circuit = Arc::clone(&bench.circuit);
    let (first, second) = (circuit.enter(bench.now).unwrap(), circuit.enter(bench.now).unwrap());
    assert_eq!(bench.circuit.state(), CircuitState::HalfOpen);
    assert!(bench.circuit.enter(bench.now).is_err(), "a few at a time");
    first.end(Good, bench.now);
    second.end(Good, bench.now);
    assert_eq!(bench.circuit.state(), CircuitState::Closed);
    assert_eq!(bench.circuit.opened(), 1);
}

#[tokio::test]
async fn each_failed_trial_doubles_the_time_up_to_a_bound() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad, Bad]);
    for open in [1.0, 2.0, 3.0, 3.0] {
        bench.wait(open - 0.01);
        assert!(bench.circuit.enter(bench.now).is_err(), "{open}");
        bench.wait(0.01).calls(&[Bad]);
    }
    assert_eq!(bench.circuit.opened(), 5);
    bench.wait(3.0).calls(&[Good, Good, Bad, Bad, Bad]);
    bench.wait(1.0).calls(&[Good]);
}

#[tokio::test]
async fn a_trial_without_a_verdict_gives_its_place_back() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad, Bad]);
    bench.wait(1.0);
    for _ in 0..5 {
        drop(bench.circuit.enter(bench.now).unwrap());
    }
    bench.calls(&[Unclear, Unclear, Unclear, Good, Good]);
    assert_eq!(bench.circuit.state(), CircuitState::Closed);
}

#[tokio::test]
async fn a_late_answer_of_an_earlier_phase_says_nothing() {
    let mut bench = Bench::new();
    let circuit = Arc::clone(&bench.circuit);
    let late = circuit.enter(bench.now).unwrap();
    bench.calls(&[Bad, Bad, Bad]);
    bench.wait(1.0).calls(&[Good]);
    late.end(Bad, bench.now);
    assert_eq!(bench.circuit.state(), CircuitState::HalfOpen);
}

#[tokio::test]
async fn one_refusal_opens_and_says_why_until_the_service_serves_again() {
    let mut bench = Bench::new();
    bench.calls(&[Good; 1_000]);
    assert_eq!(bench.circuit.trouble(), None);
    bench.calls(&[Refused("has no time")]);
    assert_eq!((bench.circuit.state(), bench.circuit.trouble()), (CircuitState::Open, Some("has no time")));
    bench.wait(1.0).calls(&[Good]);
    assert_eq!(bench.circuit.trouble(), Some("has no time"), "one good call is not enough");
    bench.calls(&[Refused("has lost its key")]);
    assert_eq!(bench.circuit.trouble(), Some("has lost its key"));
    bench.wait(2.0).calls(&[Bad]);
    assert_eq!(bench.circuit.trouble(), Some("does not answer; circuit open"), "it refuses no more, it is gone");
    bench.wait(3.0).calls(&[Good, Good]);
    assert_eq!(bench.circuit.trouble(), None);
    bench.calls(&[Bad, Bad]);
    let leave = bench.circuit.enter(bench.now).unwrap();
    assert!(!bench.circuit.is_tried_by(&leave));
    leave.end(Refused("again"), bench.now);
    bench.wait(1.0);
    let leave = bench.circuit.enter(bench.now).unwrap();
    assert!(bench.circuit.is_tried_by(&leave));
}
