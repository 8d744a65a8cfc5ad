//! Steps, run in order until one fails, each with a heading and its time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// One thing to do.
pub(crate) struct Step {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it does, for the heading.
    pub(crate) what: &'static str,
    /// Does it.
    pub(crate) run: Box<dyn Fn() -> Result<()>>,
}

/// Runs `steps` (or those named in `only`) and prints what each took.
///
/// # Errors
/// The first step that fails, or a name in `only` that no step has.
pub(crate) fn run_all(command: &str, steps: Vec<Step>, only: &[String]) -> Result<()> {
    for name in only {
        if !steps.iter().any(|step| step.name == name) {
            bail!("{command} has no step {name:?}; `cargo xtask list` lists them");
        }
    }
    let chosen: Vec<Step> =
        steps.into_iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect();
    let begin = now();
    let mut times = Vec::with_capacity(chosen.len());
    for (index, step) in chosen.iter().enumerate() {
        println!("\n==> [{}/{}] {}: {}", index + 1, chosen.len(), step.name, step.what);
        let start = now();
        let result = (step.run)();
        let took = start.elapsed();
        times.push((step.name, took));
        if let Err(error) = result {
            summary(command, &times, begin.elapsed());
            return Err(error).with_context(|| format!("step {} failed", step.name));
        }
        println!("    {} passed in {}", step.name, seconds(took));
    }
    summary(command, &times, begin.elapsed());
    println!("{command} passed");
    Ok(())
}

fn summary(command: &str, times: &[(&str, Duration)], total: Duration) {
    println!("\n{command}: {} steps in {}", times.len(), seconds(total));
    for (name, took) in times {
        println!("  {name:<12} {:>9}", seconds(*took));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "a command line tool measures real time and has no runtime to ask")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    fn steps(seen: &Rc<RefCell<Vec<&'static str>>>) -> Vec<Step> {
        ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let seen = Rc::clone(seen);
                let run = move || {
                    seen.borrow_mut().push(name);
                    if name == "b" { bail!("b is broken") } else { Ok(()) }
                };
                Step { name, what: "made up", run: Box::new(run) }
            })
            .collect()
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let seen = Rc::default();
        let error = run_all("made-up", steps(&seen), &[]).unwrap_err();
        assert_eq!(format!("{error:#}"), "step b failed: b is broken");
        assert_eq!(*seen.borrow(), ["a", "b"]);
    }

    #[test]
    fn named_steps_run_in_the_plans_order() {
        let seen = Rc::default();
        run_all("made-up", steps(&seen), &["c".into(), "a".into()]).unwrap();
        assert_eq!(*seen.borrow(), ["a", "c"]);
    }

    #[test]
    fn an_unknown_name_runs_nothing() {
        let seen = Rc::default();
        assert!(run_all("made-up", steps(&seen), &["d".into()]).is_err());
        assert!(seen.borrow().is_empty());
    }
}
