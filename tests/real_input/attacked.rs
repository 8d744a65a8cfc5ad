//! The hours once more, on a server with limits, with an attacker of every kind beside senders and readers. Nobody is
//! killed: the server has to live through it, and nobody else may notice more than that it is busy.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use attack::{Good, Prepared, Profile, Record, Scale, Span, Target};
use clap::ValueEnum as _;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Backing, Ledger, Reading, STAGE_MAX, TestServer, UNHURT, assert_clean, carry,
    data::{Logs, make_rooms},
    judge, judge_conditions, read_all,
    server::Address,
};

/// Hours carried: as many as leave the test about two minutes.
const HOURS: usize = 6;
/// The import has an owner who does all that nobody does; an attacker keeps to the default rate by itself.
const SETTINGS: &[&str] = &["limits.user_per_s=1000", "limits.user_burst=2000", "streams.queue_bytes_max=65536"];
/// Calls a second of each attacking user: the default limit.
const CALLS_PER_S: u32 = 100;
/// Users of the first attacker.
const ATTACKERS: i64 = 50_000_000;
/// The attack goes on at least so long,
const ATTACK_MIN: Duration = Duration::from_secs(15);
/// and at most so long.
const ATTACK_MAX: Duration = Duration::from_secs(150);
/// What a good client waits, 99 times of 100: a debug build on two cores, with readers, senders and attackers on the
/// same ones. The bound of a release build is the tool's.
const P99_MS_MAX: f64 = 5_000.0;

/// Attackers and good clients, ready to begin.
struct Beside {
    prepared: Vec<Prepared>,
    good: Vec<Good>,
}

impl Beside {
    async fn prepare(at: &Address) -> Self {
        let addr: SocketAddr = at.url.trim_start_matches("http://").parse().expect("an address of the loopback");
        let target = |index: i64| Target {
            addr,
            mint: at.mint(),
            user_base: ATTACKERS + index * 100_000,
            calls_per_s: CALLS_PER_S,
        };
        let mut good = Vec::new();
        for index in 0..2 {
            good.push(Good::prepare(&target(index)).await.expect("a good client's room"));
        }
        let victim = good[0].room.clone();
        let mut preparing = JoinSet::new();
        for (index, profile) in (2..).zip(Profile::value_variants()) {
            let (target, victim) = (target(index), victim.clone());
            preparing.spawn(async move { (*profile, profile.prepare(&target, Scale::Small, &victim).await) });
        }
        let mut prepared = Vec::new();
        for (profile, made) in preparing.join_all().await {
            prepared.push(made.unwrap_or_else(|error| panic!("{profile:?} cannot be prepared: {error:#}")));
        }
        Self { prepared, good }
    }

    fn begin(self, span: &Span) -> Fight {
        let mut fight = Fight { attackers: JoinSet::new(), good: JoinSet::new() };
        for prepared in self.prepared {
            let span = span.clone();
            fight.attackers.spawn(async move { prepared.attack(&span).await });
        }
        for good in self.good {
            let span = span.clone();
            fight.good.spawn(async move { good.live(&span).await });
        }
        fight
    }
}

/// Attackers and good clients at work.
struct Fight {
    attackers: JoinSet<anyhow::Result<attack::Seen>>,
    good: JoinSet<anyhow::Result<Record>>,
}

impl Fight {
    /// Waits for all; what was wrong.
    async fn end(self) -> Vec<String> {
        let mut found = Vec::new();
        for attack in self.attackers.join_all().await {
            let seen = attack.expect("an attack is carried out");
            seen.lines.iter().for_each(|line| eprintln!("          {line}"));
            found.extend(seen.exceeded);
        }
        for record in self.good.join_all().await {
            let record = record.expect("a good client reads its room");
            eprintln!("          {record:?}");
            let Record { acked, p99_ms, errors, by_reason, not_once, .. } = record;
            if acked == 0 || errors > 0 || not_once > 0 || p99_ms > P99_MS_MAX {
                found.push(format!(
                    "a good client: {acked} acknowledged, p99 {p99_ms:.0} ms, {errors} errors ({by_reason}), {not_once} not in history once"
                ));
            }
        }
        found
    }
}

pub(crate) async fn live_beside_attackers() {
    let began = Instant::now();
    let stage = |what: &str| eprintln!("{:6.1} s  {what}", began.elapsed().as_secs_f64());
    let logs = Arc::new(Logs::find(HOURS));
    let mut server = TestServer::start_with(Vec::new(), SETTINGS).await;
    let rooms = make_rooms(&server.at, &logs.plan).await;
    stage(if logs.are_real() { "real logs" } else { "made-up logs" });
    let beside = Beside::prepare(&server.at).await;
    stage("attackers are ready");

    let (ledger, reading) = (Arc::new(Ledger::default()), Reading::start(&server, &rooms));
    let span = Span::of(ATTACK_MAX);
    let (fight, fighting) = (beside.begin(&span), Instant::now());
    carry(&mut server, &mut Backing::Embedded, UNHURT, (&logs, &rooms, &ledger)).await;
    stage("imported");
    tokio::time::sleep_until(fighting + ATTACK_MIN).await;
    span.stop();
    let mut found = tokio::time::timeout(STAGE_MAX, fight.end()).await.expect("attacks end");
    stage("attacked");
    let readers = reading.finish(&server, &rooms).await;
    stage("read");

    found.extend(ledger.take_wrong());
    found.extend(judge_conditions(&readers, 0));
    let truths = read_all(&server, &rooms).await;
    found.extend(judge(&server, &logs, &rooms, &ledger, &truths, &readers).await);
    stage("compared");
    assert_clean(found);
    let status = server.terminate().await;
    assert!(status.success(), "after SIGTERM: {status:?}");
    assert!(!server.log().contains("panicked at"), "a panic in the server");
    stage("ended in order");
}
