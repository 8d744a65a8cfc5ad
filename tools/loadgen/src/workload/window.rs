//! The measured window: warm-up, two samples of the machine, and the wait for what is still under way.

use std::{future::pending, time::Duration};

use tokio::{
    select,
    time::{MissedTickBehavior, interval},
};

use crate::{
    bench::Bench,
    procfs::{self, Cpu},
    tally::Figures,
    world::World,
};

/// The machine at one moment.
struct Sample {
    at_ns: u64,
    server: Cpu,
    own: Cpu,
    machine: Option<(f64, f64)>,
}

impl Sample {
    fn take(bench: &Bench, world: &World) -> Self {
        let server = Cpu::of(&bench.pids);
        let own = Cpu::of(&[std::process::id()]);
        let machine = procfs::machine();
        Self { at_ns: world.hub.borrow().clock().now_ns(), server, own, machine }
    }
}

/// Measures the window over the work that goes on, and waits until that is done. `rate` sends a second are started
/// if it is given.
pub(super) async fn measure(bench: &Bench, world: &World, rate: Option<f64>) -> Figures {
    let window = async {
        world.until(bench.args.warmup, |_| false).await;
        let before = Sample::take(bench, world);
        world.hub.borrow_mut().measuring = true;
        world.until(bench.args.measure, |_| false).await;
        world.hub.borrow_mut().measuring = false;
        (before, Sample::take(bench, world))
    };
    let (before, after) = select! {
        samples = window => samples,
        () = pace(world, rate) => unreachable!("pacing does not end"),
    };
    world.hub.borrow_mut().running = false;
    drain(bench, world).await;
    figures(bench, world, &before, &after)
}

/// Waits until all is answered and delivered; what is not is an error.
pub(super) async fn drain(bench: &Bench, world: &World) {
    if world.until(bench.args.drain, |hub| hub.unacked == 0 && hub.undelivered == 0).await {
        return;
    }
    let mut hub = world.hub.borrow_mut();
    let example = format!("{} sends unanswered, {} deliveries missing", hub.unacked, hub.undelivered);
    hub.error("unfinished", example);
}

async fn pace(world: &World, rate: Option<f64>) {
    let Some(rate) = rate else {
        return pending().await;
    };
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        world.hub.borrow_mut().launch();
        world.dispatch();
    }
}

fn figures(bench: &Bench, world: &World, before: &Sample, after: &Sample) -> Figures {
    let seconds = (after.at_ns - before.at_ns) as f64 / 1e9;
    let server_s = (!bench.pids.is_empty()).then(|| after.server.since(&before.server));
    let own_s = after.own.since(&before.own);
    let mut figures = world.hub.borrow().tally.figures(seconds, server_s);
    figures.insert("window_s", seconds);
    figures.insert("cpu_loadgen", own_s / seconds);
    if let Some(server_s) = server_s {
        figures.insert("cpu_server", server_s / seconds);
    }
    if let (Some((used, stolen)), Some((used_before, stolen_before)), Some(server_s)) =
        (after.machine, before.machine, server_s)
    {
        // The kernel's accounts are kept in different ways and do not add up to the last tick.
        figures.insert("cpu_foreign", ((used - used_before - server_s - own_s) / seconds).max(0.0));
        figures.insert("cpu_steal", (stolen - stolen_before) / seconds);
    }
    figures
}
