//! What a renewer and its tasks share: the leases with their plans, and the news. Of each lease
//! it holds one plan and the latest news at most.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tenure_proto::v1;
use tokio::{sync::Notify, time::Instant};

use super::{
    Kept, News,
    door::life,
    plan::{Answer, Due, Plan},
};
use crate::{
    error::Error,
    limits::{KEEP_ALIVE_LEASES_MAX, RENEWER_LEASES_MAX},
    retry::chance,
};

/// The reason of what ended by its time.
pub(super) const EXPIRED: &str = "EXPIRED";
/// The reason of a token that is no more, and its leases with it.
pub(super) const INVALID_TOKEN: &str = "INVALID_TOKEN";

#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    /// Leases were added.
    pub(super) added: Notify,
    /// There is news.
    told: Notify,
}

#[derive(Default)]
struct State {
    leases: BTreeMap<String, Lease>,
    news: BTreeMap<Kept, News>,
    /// Of what there is news, the oldest first.
    order: VecDeque<Kept>,
}

struct Lease {
    /// Answers to what was sent before are of an earlier keeping.
    kept_at: Instant,
    increment: Option<prost_types::Duration>,
    plan: Plan,
}

/// What is to be done for the leases.
pub(super) enum Work {
    /// To be renewed in one message; the first of them to end has so long.
    Renew {
        renewals: Vec<v1::LeaseRenewal>,
        left: Option<Duration>,
    },
    /// Nothing before then. `None`: before a lease is added.
    Rest(Option<Instant>),
}

impl Board {
    pub(super) fn keep(
        &self,
        id: String,
        increment: Option<prost_types::Duration>,
    ) -> Result<(), Error> {
        let mut state = self.state();
        let full = state.leases.len() >= RENEWER_LEASES_MAX && !state.leases.contains_key(&id);
        if full || state.news.len() > RENEWER_LEASES_MAX {
            return Err(Error::config(format!(
                "a renewer keeps at most {RENEWER_LEASES_MAX} leases, and its news must be read"
            )));
        }
        let kept_at = Instant::now();
        let lease = Lease {
            kept_at,
            increment,
            plan: Plan::new(kept_at),
        };
        state.leases.insert(id, lease);
        drop(state);
        self.added.notify_one();
        Ok(())
    }

    pub(super) fn forget(&self, id: &str) {
        let mut state = self.state();
        state.leases.remove(id);
        let kept = Kept::Lease(id.to_owned());
        if state.news.remove(&kept).is_some() {
            state.order.retain(|other| *other != kept);
        }
    }

    pub(super) fn leases(&self) -> usize {
        self.state().leases.len()
    }

    pub(super) async fn next(&self) -> (Kept, News) {
        loop {
            let told = self.told.notified();
            tokio::pin!(told);
            // From here on nothing that is told is missed.
            told.as_mut().enable();
            if let Some(news) = self.state().take() {
                return news;
            }
            told.await;
        }
    }

    pub(super) fn tell(&self, kept: Kept, news: News) {
        self.state().tell(kept, news);
        self.told.notify_waiters();
    }

    /// What is to be done now. When one lease is due, those that will be soon come along: what was
    /// granted together stays together, and few messages carry many.
    pub(super) fn work(&self, now: Instant) -> Work {
        let mut state = self.state();
        let (mut wake, mut due, mut ended) = (None::<Instant>, false, Vec::new());
        let mut along = Vec::new();
        for (id, lease) in &state.leases {
            match lease.plan.due(now) {
                Due::Ended => ended.push(id.clone()),
                Due::Now => {
                    due = true;
                    along.push((lease.plan.left(now), id.as_str()));
                }
                Due::Along(at) => {
                    along.push((lease.plan.left(now), id.as_str()));
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                }
                Due::Later(Some(at)) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                Due::Later(None) => {}
            }
        }
        let work = if due {
            // What was never renewed may end at any time: it comes first.
            if along.len() > KEEP_ALIVE_LEASES_MAX {
                along.select_nth_unstable(KEEP_ALIVE_LEASES_MAX);
                along.truncate(KEEP_ALIVE_LEASES_MAX);
            }
            let left = along.iter().filter_map(|(left, _)| *left).min();
            let renewal = |(_, id): (_, &str)| v1::LeaseRenewal {
                increment: state.leases.get(id).and_then(|lease| lease.increment),
                lease_id: id.to_owned(),
            };
            Work::Renew {
                renewals: along.into_iter().map(renewal).collect(),
                left,
            }
        } else {
            Work::Rest(wake)
        };
        let told = !ended.is_empty();
        for id in ended {
            state.gone(id, EXPIRED);
        }
        drop(state);
        if told {
            self.told.notify_waiters();
        }
        work
    }

    /// Takes in what came of a message that was sent at this time.
    pub(super) fn settle(
        &self,
        sent: Instant,
        asked: &[String],
        answer: Result<Vec<v1::LeaseRenewed>, Error>,
    ) {
        let mut state = self.state();
        match answer {
            Ok(results) => {
                for result in results {
                    state.settle(sent, result);
                }
            }
            // They end with their token: all of them.
            Err(error) if error.reason() == Some(INVALID_TOKEN) => {
                for id in std::mem::take(&mut state.leases).into_keys() {
                    state.gone(id, INVALID_TOKEN);
                }
            }
            Err(error) => {
                for id in asked {
                    state.failing(sent, id, &error);
                }
            }
        }
        drop(state);
        self.told.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<(Kept, News)> {
        let kept = self.order.pop_front()?;
        let news = self.news.remove(&kept)?;
        Some((kept, news))
    }

    fn tell(&mut self, kept: Kept, news: News) {
        if self.news.insert(kept.clone(), news).is_none() {
            self.order.push_back(kept);
        }
    }

    fn gone(&mut self, id: String, reason: &str) {
        self.leases.remove(&id);
        let reason = reason.to_owned();
        self.tell(Kept::Lease(id), News::Gone { reason });
    }

    /// The lease that was kept when this was sent. It may have been forgotten, or kept anew, meanwhile.
    fn asked(&mut self, sent: Instant, id: &str) -> Option<&mut Lease> {
        let lease = self.leases.get_mut(id)?;
        (lease.kept_at <= sent).then_some(lease)
    }

    fn failing(&mut self, sent: Instant, id: &str, error: &Error) {
        let Some(lease) = self.asked(sent, id) else {
            return;
        };
        lease.plan.failed(Instant::now(), chance());
        let news = News::Failing {
            error: error.clone(),
            ends_at: lease.plan.ends_at().map(Instant::into_std),
        };
        self.tell(Kept::Lease(id.to_owned()), news);
    }

    fn settle(&mut self, sent: Instant, result: v1::LeaseRenewed) {
        let id = result.lease_id;
        let Some(lease) = self.asked(sent, &id) else {
            return;
        };
        let news = match result.reason.as_str() {
            "" => {
                let life = result.lease_duration.map(life).unwrap_or_default();
                let answer = lease.plan.granted(sent, life, chance());
                match news(answer, &lease.plan, result.warnings) {
                    Some(news) => news,
                    None => return,
                }
            }
            reason @ ("LEASE_NOT_RENEWABLE" | "LEASE_MAX_TTL_REACHED") => {
                let ends_at = lease.plan.ends_at();
                lease.plan.over(ends_at);
                if ends_at.is_none() {
                    self.leases.remove(&id);
                }
                over(reason == "LEASE_MAX_TTL_REACHED", ends_at)
            }
            reason @ ("LEASE_NOT_FOUND" | "INVALID_ARGUMENT") => {
                return self.gone(id, reason);
            }
            reason => {
                let error = Error::of_reason(reason, &result.message);
                return self.failing(sent, &id, &error);
            }
        };
        self.tell(Kept::Lease(id), news);
    }
}

/// What is told of what can't be renewed any more. One that was granted before its maximum was made
/// shorter may live on beyond that, and where its end isn't known nothing is told of it.
pub(super) fn over(at_max: bool, ends_at: Option<Instant>) -> News {
    let ends_at = ends_at.map(Instant::into_std);
    match ends_at {
        Some(ends_at) if at_max => News::ReachedMax { ends_at },
        _ => News::NotRenewable { ends_at },
    }
}

/// What is told of an answer.
pub(super) fn news(answer: Answer, plan: &Plan, warnings: Vec<String>) -> Option<News> {
    let ends_at = plan.ends_at()?.into_std();
    match answer {
        Answer::Renewed => Some(News::Renewed { ends_at, warnings }),
        Answer::ReachedMax => Some(News::ReachedMax { ends_at }),
        Answer::StillAtMax => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(reason: &str) -> Result<Vec<v1::LeaseRenewed>, Error> {
        Ok(vec![v1::LeaseRenewed {
            lease_id: "a".to_owned(),
            reason: reason.to_owned(),
            ..v1::LeaseRenewed::default()
        }])
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_what_was_sent_before_it_was_kept_anew_is_not_its_own() {
        let (board, asked) = (Board::default(), ["a".to_owned()]);
        board.keep("a".into(), None).unwrap();
        let sent = Instant::now();
        advance(SECOND).await;
        board.keep("a".into(), None).unwrap();
        let late = Err(Error::deadline(SECOND, "a"));
        for answer in [refused("LEASE_NOT_FOUND"), late] {
            board.settle(sent, &asked, answer);
            assert!(board.state().take().is_none());
            assert!(matches!(board.work(Instant::now()), Work::Renew { .. }));
        }
        board.settle(Instant::now(), &asked, refused("LEASE_NOT_FOUND"));
        assert_eq!(board.leases(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_beyond_its_maximum_and_was_never_renewed_is_not_gone() {
        let board = Board::default();
        board.keep("a".into(), None).unwrap();
        let answer = refused("LEASE_MAX_TTL_REACHED");
        board.settle(Instant::now(), &["a".to_owned()], answer);
        let (_, news) = board.next().await;
        assert!(matches!(news, News::NotRenewable { ends_at: None }));
        advance(SECOND).await;
        assert!(matches!(board.work(Instant::now()), Work::Rest(None)));
        assert!(board.state().take().is_none());
    }
}
