//! The fair share by itself: who waits for whom.

use tokio::sync::oneshot::{Receiver, Sender};

use super::*;

const ANA: UserId = UserId(1);
const BEN: UserId = UserId(2);

fn shares(per_user: usize, at_once: usize) -> Arc<FairShare> {
    Arc::new(FairShare::new(Bounds { per_user, at_once }))
}

/// A purse with so much in it for everybody together.
#[derive(Debug, Default)]
struct Coins {
    paid: Mutex<HashMap<UserId, u32>>,
    each: u32,
}

impl Purse for Coins {
    fn pay(&self, user: UserId, calls: u32) -> Duration {
        let mut paid = self.paid.lock();
        let paid = paid.entry(user).or_default();
        *paid = paid.saturating_add(calls);
        Duration::from_secs(u64::from(paid.saturating_sub(self.each)))
    }
}

/// A slice that has begun, and goes on until it is told to end.
struct Slice {
    end: Sender<()>,
    done: tokio::task::JoinHandle<(Call<()>, Share)>,
}

impl Slice {
    /// Begins a slice; returns it and what tells that it runs.
    fn begin(mut share: Share) -> (Self, Receiver<()>) {
        let (end, ended) = oneshot::channel::<()>();
        let (runs, running) = oneshot::channel();
        let done = tasks::spawn(TaskKind::Scan, async move {
            let slice = async move {
                let _ = runs.send(());
                let _ = ended.await;
                Ok(((), Spent::rows(1)))
            };
            (share.run(slice).await, share)
        });
        (Self { end, done }, running)
    }

    async fn finish(self) -> Share {
        self.end.send(()).unwrap();
        let (done, share) = self.done.await.unwrap();
        done.unwrap();
        share
    }
}

async fn turn_of_others() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_third_call_waits_while_anothers_first_goes() {
    let shares = shares(2, 8);
    let first = shares.enter(ANA).await.unwrap();
    let _second = shares.enter(ANA).await.unwrap();
    let third = tasks::spawn(TaskKind::Scan, {
        let shares = Arc::clone(&shares);
        async move { shares.enter(ANA).await }
    });
    turn_of_others().await;
    assert!(!third.is_finished());
    shares.enter(BEN).await.unwrap();
    drop(first);
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_full_of_one_users_work_lets_another_in() {
    let shares = shares(10, 2);
    let mut anas = Vec::new();
    for _ in 0..6 {
        anas.push(Slice::begin(shares.enter(ANA).await.unwrap()));
    }
    turn_of_others().await;
    let (ben, mut bens_turn) = Slice::begin(shares.enter(BEN).await.unwrap());
    turn_of_others().await;
    assert!(bens_turn.try_recv().is_err(), "the node is full");
    let mut anas = anas.into_iter();
    // Two turns end: the first goes to who stood first, the second to the other user, not to the fourth of Ana's.
    for _ in 0..2 {
        let (slice, runs) = anas.next().unwrap();
        runs.await.unwrap();
        slice.finish().await;
    }
    bens_turn.await.unwrap();
    ben.finish().await;
    for (slice, _) in anas {
        slice.finish().await;
    }
    assert_eq!(shares.turns.state.lock().running, 0);
    assert!(shares.turns.state.lock().waiting.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let shares = shares(2, 1);
    let (slice, runs) = Slice::begin(shares.enter(ANA).await.unwrap());
    runs.await.unwrap();
    let mut second = shares.enter(ANA).await.unwrap();
    let waited = second.run(async { Ok(((), Spent::default())) }).await;
    assert!(matches!(waited, Err(CallError::Overloaded)), "{waited:?}");
    let refused = shares.enter(ANA).await;
    assert!(matches!(refused, Err(CallError::Overloaded)), "{refused:?}");
    drop(slice.finish().await);
    second.run(async { Ok(((), Spent::default())) }).await.unwrap();
    drop(second);
    assert_eq!(shares.turns.state.lock().running, 0);
    assert!(shares.users.is_empty(), "a user without calls is forgotten");
}

#[tokio::test(start_paused = true)]
async fn one_user_can_have_so_many_wait_and_no_more() {
    let shares = shares(1, 1);
    let first = shares.enter(ANA).await.unwrap();
    let enter = |user| {
        let shares = Arc::clone(&shares);
        tasks::spawn(TaskKind::Scan, async move { shares.enter(user).await.map(drop) })
    };
    let waiting: Vec<_> = (0..WAITING_PER_USER_MAX).map(|_| enter(ANA)).collect();
    turn_of_others().await;
    let refused = shares.enter(ANA).await;
    assert!(matches!(refused, Err(CallError::Overloaded)), "{refused:?}");
    shares.enter(BEN).await.unwrap();
    drop(first);
    for waited in waiting {
        waited.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_slice_gives_its_turn_back() {
    let shares = shares(1, 1);
    let mut share = shares.enter(ANA).await.unwrap();
    let panics = tasks::spawn(TaskKind::Scan, async move {
        let panics = async {
            assert!(tokio::time::Instant::now().elapsed().as_secs() > 9, "as scripted");
            Ok(((), Spent::default()))
        };
        share.run(panics).await
    });
    assert!(panics.await.is_err());
    let mut share = shares.enter(ANA).await.unwrap();
    share.run(async { Ok(((), Spent::default())) }).await.unwrap();
}

#[tokio::test]
async fn a_call_pays_for_what_it_cost_beyond_an_ordinary_one() {
    let shares = shares(2, 2);
    let coins = Arc::new(Coins { each: 50, ..Coins::default() });
    shares.charge_to(Arc::<Coins>::clone(&coins));
    let paid = |user| coins.paid.lock().get(&user).copied().unwrap_or_default();
    let mut share = shares.enter(ANA).await.unwrap();
    share.run(async { Ok(((), Spent { rows: ROWS_PER_CALL, bytes: BYTES_PER_CALL - 1 })) }).await.unwrap();
    assert_eq!(paid(ANA), 0, "an ordinary call, which the door has counted");
    share.run(async { Ok(((), Spent { rows: 9 * ROWS_PER_CALL, bytes: 1 + 10 * BYTES_PER_CALL })) }).await.unwrap();
    assert_eq!(paid(ANA), 20);
    assert!(!share.owes());
    share.run(async { Ok(((), Spent::rows(40 * ROWS_PER_CALL))) }).await.unwrap();
    assert!(share.owes(), "and a call that can end ends here");
    let refused = shares.enter(ANA).await.unwrap_err();
    assert!(matches!(refused, CallError::RateLimited { retry_after_ms: 10_000 }), "{refused:?}");
    shares.enter(BEN).await.unwrap();
    shares.charge(UserId::SERVER, Spent::rows(1_000_000));
    assert_eq!(paid(UserId::SERVER), 0, "the server owes nobody");
}

/// On a runtime with threads a slice blocks none that serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_long_slice_does_not_hold_up_the_threads_that_serve() {
    let shares = shares(2, 2);
    let mut share = shares.enter(ANA).await.unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let long = tasks::spawn(TaskKind::Scan, async move {
        share
            .run(async move {
                // Ends only if the one worker still serves.
                wait.recv_timeout(Duration::from_secs(30)).map_err(|_| CallError::Deadline)?;
                Ok(((), Spent::default()))
            })
            .await
    });
    let served = tasks::spawn(TaskKind::Call, async move { go.send(()) });
    served.await.unwrap().unwrap();
    long.await.unwrap().unwrap();
}

#[test]
fn rows_at_once_follow_the_bytes_of_the_rows() {
    let mut rows = RowsAtOnce::new(128, 256 << 10);
    assert_eq!(rows.get(), 8);
    rows.learn(8, 8 * 100);
    assert_eq!(rows.get(), 32);
    rows.learn(32, 32 * 100);
    rows.learn(128, 128 * 100);
    assert_eq!(rows.get(), 128);
    rows.learn(128, 128 * 65_536);
    assert_eq!(rows.get(), 4);
    rows.learn(4, 4 << 30);
    assert_eq!(rows.get(), 1);
    rows.learn(0, 0);
    assert_eq!(rows.get(), 1);
}
