//! The schedule, against a model of the server, on a clock that stands still.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tenure_proto::v1;
use tokio::time::{Instant, advance, sleep, timeout};

use super::{
    Kept, News, Renewer,
    board::Board,
    door::{Door, Granted},
    plan::{Answer, Due, Plan, try_limit},
    tasks,
};
use crate::{call::Client, error::Error, secret::Secret};

const SECOND: Duration = Duration::from_secs(1);

/// A server: leases (and the token, under the empty id) with their ends.
#[derive(Default)]
struct Model {
    ends: BTreeMap<String, Life>,
    /// Nobody answers.
    down: bool,
    /// The reason why it refuses the token.
    refuses: Option<&'static str>,
    messages: usize,
    renewals: usize,
}

#[derive(Clone, Copy)]
struct Life {
    ttl: Duration,
    end: Instant,
    max: Instant,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Model>>);

impl Server {
    fn grant(&self, id: &str, ttl: Duration, max: Duration) {
        let now = Instant::now();
        let (end, max) = (now + ttl, now + max);
        let life = Life { ttl, end, max };
        self.0.lock().unwrap().ends.insert(id.to_owned(), life);
    }

    fn lives(&self) -> usize {
        let now = Instant::now();
        let model = self.0.lock().unwrap();
        model.ends.values().filter(|life| life.end > now).count()
    }
}

impl Model {
    fn renew(&mut self, id: &str) -> Result<Duration, &'static str> {
        let now = Instant::now();
        let life = self.ends.get_mut(id).filter(|life| life.end > now);
        let life = life.ok_or("LEASE_NOT_FOUND")?;
        life.end = (now + life.ttl).min(life.max);
        self.renewals += 1;
        // As the server has it: whole seconds, rounded down.
        Ok(Duration::from_secs((life.end - now).as_secs()))
    }
}

impl Door for Server {
    async fn leases(
        &mut self,
        renewals: Vec<v1::LeaseRenewal>,
        limit: Duration,
    ) -> Result<Vec<v1::LeaseRenewed>, Error> {
        if self.0.lock().unwrap().down {
            sleep(limit).await;
            return Err(Error::deadline(limit, "a"));
        }
        sleep(Duration::from_millis(5)).await;
        let mut model = self.0.lock().unwrap();
        model.messages += 1;
        if let Some(reason) = model.refuses {
            return Err(Error::of_reason(reason, "no"));
        }
        let results = renewals.into_iter().map(|renewal| {
            let (life, reason) = match model.renew(&renewal.lease_id) {
                Ok(life) => (prost_types::Duration::try_from(life).ok(), ""),
                Err(reason) => (None, reason),
            };
            v1::LeaseRenewed {
                lease_id: renewal.lease_id,
                lease_duration: life,
                reason: reason.to_owned(),
                ..v1::LeaseRenewed::default()
            }
        });
        Ok(results.collect())
    }

    async fn token(
        &mut self,
        _increment: Option<Duration>,
        limit: Duration,
    ) -> Result<Granted, Error> {
        if self.0.lock().unwrap().down {
            sleep(limit).await;
            return Err(Error::deadline(limit, "a"));
        }
        let mut model = self.0.lock().unwrap();
        if let Some(reason) = model.refuses {
            return Err(Error::of_reason(reason, "no"));
        }
        let life = model.renew("");
        Ok(Granted {
            life: Some(life.map_err(|_| Error::of_reason("INVALID_TOKEN", "no"))?),
            warnings: Vec::new(),
        })
    }

    async fn token_life(&mut self, _limit: Duration) -> Result<Option<Duration>, Error> {
        let model = self.0.lock().unwrap();
        Ok(model.ends.get("").map(|life| life.end - Instant::now()))
    }
}

/// The leases loop of a server, and its board.
fn keeping(server: &Server) -> (Arc<Board>, tokio::task::JoinHandle<()>) {
    let board = Arc::new(Board::default());
    let task = tokio::spawn(tasks::leases(Arc::clone(&board), server.clone()));
    (board, task)
}

async fn next(board: &Board) -> (Kept, News) {
    timeout(Duration::from_secs(86_400), board.next())
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_life_is_renewed_before_two_thirds_and_leaves_room_for_a_failover() {
    for seconds in (1..120).chain([3_600, 2_764_800]) {
        for chance in [0, 1, u64::MAX / 3, u64::MAX] {
            let (now, life) = (Instant::now(), Duration::from_secs(seconds));
            let mut plan = Plan::new(now);
            assert_eq!(plan.due(now), Due::Now);
            assert_eq!(plan.granted(now, life, chance), Answer::Renewed);
            let Due::Later(Some(at)) = plan.due(now) else {
                panic!("{seconds} s: {:?}", plan.due(now));
            };
            let wait = at - now;
            let most = life * 2 / 3 + Duration::from_nanos(1);
            assert!(wait <= most, "{seconds} s: after {wait:?}");
            assert!(wait >= life / 4, "{seconds} s: after {wait:?}");
            let room = life - wait;
            assert!(
                room >= Duration::from_secs(5).min(life * 2 / 3),
                "{seconds} s: {room:?} left"
            );
            assert_eq!(plan.due(at), Due::Now);
            // A little earlier it comes along with others.
            assert_eq!(plan.due(at - wait / 20), Due::Along(at));
            assert_eq!(plan.due(now + life), Due::Ended);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_maximum_is_told_when_an_answer_gives_less_and_taken_back_when_the_end_moves() {
    let now = Instant::now();
    let mut plan = Plan::new(now);
    let at = |seconds| now + Duration::from_secs(seconds);
    let lives = Duration::from_secs;
    assert_eq!(plan.granted(at(0), lives(60), 0), Answer::Renewed);
    assert_eq!(plan.granted(at(40), lives(60), 0), Answer::Renewed);
    assert_eq!(plan.granted(at(80), lives(40), 0), Answer::ReachedMax);
    assert_eq!(plan.granted(at(107), lives(13), 0), Answer::StillAtMax);
    // The same after a failure that was told in between.
    plan.failed(at(110), 0);
    assert_eq!(plan.granted(at(111), lives(8), 0), Answer::ReachedMax);
    assert_eq!(plan.granted(at(118), lives(1), 0), Answer::StillAtMax);
    // So near it isn't renewed again.
    assert_eq!(plan.due(at(118)), Due::Later(Some(at(119))));
    // A TTL that was made shorter looks like the maximum once, and not the next time.
    let mut plan = Plan::new(now);
    assert_eq!(plan.granted(at(0), lives(600), 0), Answer::Renewed);
    assert_eq!(plan.granted(at(400), lives(60), 0), Answer::ReachedMax);
    assert_eq!(plan.granted(at(440), lives(60), 0), Answer::Renewed);
    assert_eq!(plan.granted(at(480), lives(60), 0), Answer::Renewed);
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_ever_later_and_never_past_the_end() {
    for (life, most) in [(6, 40), (60, 40), (3_600, 140), (2_764_800, 190_000)] {
        let now = Instant::now();
        let mut plan = Plan::new(now);
        plan.granted(now, Duration::from_secs(life), 7);
        let end = plan.ends_at().unwrap();
        let (mut tries, mut at) = (0, now);
        loop {
            match plan.due(at) {
                Due::Now => {
                    tries += 1;
                    plan.failed(at, (u64::MAX / 7).wrapping_mul(tries));
                }
                Due::Later(Some(next)) | Due::Along(next) => {
                    assert!(next > at && next <= end, "{next:?} after {at:?}, {end:?}");
                    at = next;
                }
                Due::Later(None) => panic!("never"),
                Due::Ended => break,
            }
        }
        assert!(at == end && tries > 5 && tries < most, "{life} s: {tries}");
    }
    assert_eq!(try_limit(None), Duration::from_secs(10));
    assert_eq!(try_limit(Some(SECOND)), SECOND);
}

#[tokio::test(start_paused = true)]
async fn thousands_live_on_in_few_messages() {
    let server = Server::default();
    let (board, _task) = keeping(&server);
    for number in 0..2_000 {
        let id = format!("{number:04}");
        // Lives that differ, and that began at other times.
        server.grant(&id, Duration::from_secs(20 + number % 20), 86_400 * SECOND);
        board.keep(id, None).unwrap();
        advance(Duration::from_millis(1)).await;
    }
    for _ in 0..600 {
        sleep(SECOND).await;
        assert_eq!(server.lives(), 2_000);
    }
    let (messages, renewals) = {
        let model = server.0.lock().unwrap();
        (model.messages, model.renewals)
    };
    // 10 minutes of lives of 20 to 39 s, renewed after about 15 to 26.
    assert!(renewals > 2_000 * 20 && renewals < 2_000 * 50, "{renewals}");
    assert!(messages * 40 < renewals, "{renewals} by {messages}");
    // News that nobody read: the latest of each.
    let mut told = 0;
    while let Ok((_, news)) = timeout(Duration::ZERO, board.next()).await {
        assert!(matches!(news, News::Renewed { .. }), "{news:?}");
        told += 1;
    }
    assert_eq!(told, 2_000);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_and_outlived() {
    let server = Server::default();
    let (board, _task) = keeping(&server);
    server.grant("a", 9 * SECOND, 86_400 * SECOND);
    board.keep("a".into(), None).unwrap();
    assert!(matches!(next(&board).await.1, News::Renewed { .. }));
    // It begins at any moment of the life.
    for wait in 0..40 {
        sleep(Duration::from_millis(100 * wait)).await;
        server.0.lock().unwrap().down = true;
        sleep(Duration::from_millis(3_000)).await;
        server.0.lock().unwrap().down = false;
        sleep(4 * SECOND).await;
        assert_eq!(server.lives(), 1, "round {wait}");
        let (_, news) = next(&board).await;
        assert!(matches!(news, News::Renewed { .. }), "{wait}: {news:?}");
    }
    server.0.lock().unwrap().down = true;
    let began = Instant::now();
    let (_, news) = next(&board).await;
    let News::Failing { ends_at, .. } = news else {
        panic!("{news:?}");
    };
    let end = loop {
        match next(&board).await {
            (_, News::Failing { .. }) => {}
            (_, News::Gone { reason }) => {
                assert_eq!(reason, "EXPIRED");
                break Instant::now();
            }
            news => panic!("{news:?}"),
        }
    };
    let late = end.into_std() - ends_at.unwrap();
    assert!(late <= SECOND && end - began < 10 * SECOND, "{late:?}");
    assert!(end.into_std() >= ends_at.unwrap());
    // The server ends it at the same time, or a moment later.
    sleep(Duration::from_millis(10)).await;
    assert_eq!((server.lives(), board.leases()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_told_once_and_kept_no_longer() {
    let server = Server::default();
    let (board, _task) = keeping(&server);
    for id in ["a", "b", "c"] {
        server.grant(id, 30 * SECOND, 86_400 * SECOND);
        board.keep(id.into(), None).unwrap();
    }
    board.keep("never-was".into(), None).unwrap();
    sleep(SECOND).await;
    let mut told = BTreeMap::new();
    for _ in 0..4 {
        let (kept, news) = next(&board).await;
        told.insert(kept, news);
    }
    let News::Gone { reason } = &told[&Kept::Lease("never-was".into())] else {
        panic!("{told:?}");
    };
    assert_eq!(reason, "LEASE_NOT_FOUND");
    // Revoked by somebody.
    server.0.lock().unwrap().ends.remove("b");
    board.forget("c");
    let gone = loop {
        match next(&board).await {
            (kept, News::Gone { reason }) => break (kept, reason),
            (_, News::Renewed { .. }) => {}
            news => panic!("{news:?}"),
        }
    };
    let b = (Kept::Lease("b".to_owned()), "LEASE_NOT_FOUND".to_owned());
    assert_eq!(gone, b);
    assert_eq!(board.leases(), 1);
    // With the token all end; nothing is asked after.
    server.0.lock().unwrap().refuses = Some("INVALID_TOKEN");
    board.keep("d".into(), None).unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(board.leases(), 0);
    let messages = server.0.lock().unwrap().messages;
    sleep(600 * SECOND).await;
    assert_eq!(server.0.lock().unwrap().messages, messages);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_up_to_its_maximum_and_told_when_it_ends() {
    let server = Server::default();
    server.grant("", 30 * SECOND, 100 * SECOND);
    let (began, board) = (Instant::now(), Arc::new(Board::default()));
    let task = tokio::spawn(tasks::token(Arc::clone(&board), server.clone(), None));
    let mut renewed = 0;
    let ends_at = loop {
        match next(&board).await {
            (Kept::Token, News::Renewed { .. }) => renewed += 1,
            (Kept::Token, News::ReachedMax { ends_at }) => break ends_at,
            news => panic!("{news:?}"),
        }
    };
    // 30 s are given for the last time within the first 70.
    assert!(renewed >= 4, "{renewed}");
    let told = Instant::now() - began;
    assert!(told > 70 * SECOND && told < 91 * SECOND, "{told:?}");
    let far = ends_at.duration_since(began.into_std());
    assert!(far > 98 * SECOND && far <= 100 * SECOND, "{far:?}");
    let (_, news) = next(&board).await;
    assert!(matches!(&news, News::Gone { reason } if reason == "EXPIRED"));
    let end = Instant::now() - began;
    assert!(end > 98 * SECOND && end <= 101 * SECOND, "{end:?}");
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cant_be_renewed_says_so() {
    for (life, reason) in [
        (None, "NOT_RENEWABLE"),
        (Some(40), "BATCH_TOKEN"),
        // It was granted before the maximum was made shorter.
        (Some(40), "MAX_TTL_REACHED"),
    ] {
        let server = Server::default();
        server.0.lock().unwrap().refuses = Some(reason);
        if let Some(life) = life {
            server.grant("", life * SECOND, life * SECOND);
        }
        let (began, board) = (Instant::now(), Arc::new(Board::default()));
        let task = tokio::spawn(tasks::token(Arc::clone(&board), server, None));
        let (_, news) = next(&board).await;
        let ends_at = match news {
            News::NotRenewable { ends_at } => ends_at,
            News::ReachedMax { ends_at } if reason == "MAX_TTL_REACHED" => Some(ends_at),
            news => panic!("{news:?}"),
        };
        let left = ends_at.map(|end| end.duration_since(began.into_std()));
        assert_eq!(left, life.map(|life| life * SECOND));
        if life.is_some() {
            let (_, news) = next(&board).await;
            assert!(matches!(news, News::Gone { .. }), "{news:?}");
        }
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_renewer_leaves_no_task() {
    let client = Client::builder()
        .address("http://127.0.0.1:1")
        .token(Secret::new("hvs.canary"))
        .build()
        .unwrap();
    let renewer: Renewer = client.renewer().and_token(None);
    renewer.keep("a/lease", None).unwrap();
    let shown = format!("{renewer:?}");
    assert!(
        !shown.contains("canary") && shown.contains("leases: 1"),
        "{shown}"
    );
    let board = Arc::downgrade(&renewer.board);
    tokio::task::yield_now().await;
    assert!(board.strong_count() > 1);
    drop(renewer);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(board.strong_count(), 0);
}
