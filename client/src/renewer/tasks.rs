//! The two loops of a renewer: one for the token, one for all leases. Each sleeps until its next
//! renewal is due, and ends with the renewer.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    Kept, News,
    board::{Board, EXPIRED, INVALID_TOKEN, Work, news, over},
    door::{Door, Granted},
    plan::{Due, Plan, try_limit},
};
use crate::{error::Error, retry::chance};

/// Renews leases as long as it runs.
pub(super) async fn leases<D: Door>(board: Arc<Board>, mut door: D) {
    loop {
        let now = Instant::now();
        match board.work(now) {
            Work::Renew { renewals, left } => {
                let asked: Vec<_> = renewals.iter().map(|one| one.lease_id.clone()).collect();
                let answer = door.leases(renewals, try_limit(left)).await;
                board.settle(now, &asked, answer);
            }
            Work::Rest(None) => board.added.notified().await,
            Work::Rest(Some(at)) => tokio::select! {
                () = board.added.notified() => {}
                () = sleep_until(at) => {}
            },
        }
    }
}

/// Renews the token until nothing can be done for it any more.
pub(super) async fn token<D: Door>(board: Arc<Board>, mut door: D, increment: Option<Duration>) {
    let mut plan = Plan::new(Instant::now());
    loop {
        let now = Instant::now();
        match plan.due(now) {
            Due::Now => {}
            Due::Along(at) | Due::Later(Some(at)) => {
                sleep_until(at).await;
                continue;
            }
            Due::Later(None) => return,
            Due::Ended => return board.tell(Kept::Token, gone(EXPIRED)),
        }
        let news = match door.token(increment, try_limit(plan.left(now))).await {
            Ok(Granted { life: None, .. }) => {
                plan.over(None);
                Some(News::NotRenewable { ends_at: None })
            }
            Ok(Granted {
                life: Some(life),
                warnings,
            }) => news(plan.granted(now, life, chance()), &plan, warnings),
            Err(error) if error.reason() == Some(INVALID_TOKEN) => {
                return board.tell(Kept::Token, gone(INVALID_TOKEN));
            }
            Err(error) => Some(refused(&mut plan, &mut door, now, error).await),
        };
        if let Some(news) = news {
            board.tell(Kept::Token, news);
        }
    }
}

/// What a renewal means that was asked for at `now` and refused.
async fn refused<D: Door>(plan: &mut Plan, door: &mut D, now: Instant, error: Error) -> News {
    match error.reason() {
        Some(reason @ ("NOT_RENEWABLE" | "BATCH_TOKEN" | "MAX_TTL_REACHED")) => {
            let at_max = reason == "MAX_TTL_REACHED";
            let mut ends_at = plan.ends_at().filter(|_| at_max);
            if ends_at.is_none() {
                // It is told without its end where that can't be asked.
                let life = door.token_life(try_limit(None)).await.unwrap_or_default();
                ends_at = life.map(|life| now + life);
            }
            plan.over(ends_at);
            over(at_max, ends_at)
        }
        _ => {
            plan.failed(Instant::now(), chance());
            News::Failing {
                error,
                ends_at: plan.ends_at().map(Instant::into_std),
            }
        }
    }
}

fn gone(reason: &str) -> News {
    News::Gone {
        reason: reason.to_owned(),
    }
}
