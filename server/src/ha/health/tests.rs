//! Check and Watch, with disks that answer, fail and hang.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio_stream::StreamExt;
use tonic_types::StatusExt;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers as told; counts its questions.
struct Told {
    asked: AtomicUsize,
    answer: Mutex<Result<(), String>>,
}

impl DiskProbe for Told {
    fn probe(&self) -> Result<(), String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answer.lock().unwrap().clone()
    }
}

/// Hangs until it is let go.
struct Hangs(Mutex<Receiver<()>>, AtomicUsize);

impl DiskProbe for Hangs {
    fn probe(&self) -> Result<(), String> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let _ = self.0.lock().unwrap().recv();
        Ok(())
    }
}

struct Setup {
    health: HealthService,
    state: watch::Sender<HealthState>,
    stop: CancellationToken,
}

fn setup(probe: Arc<dyn DiskProbe>) -> Setup {
    let (state, receiver) = watch::channel(HealthState::default());
    let stop = CancellationToken::new();
    let health = HealthService::new(receiver, probe, stop.clone()).unwrap();
    Setup {
        health,
        state,
        stop,
    }
}

fn told() -> Arc<Told> {
    Arc::new(Told {
        asked: AtomicUsize::new(0),
        answer: Mutex::new(Ok(())),
    })
}

async fn check(health: &HealthService, service: &str) -> Result<ServingStatus, Status> {
    let request = Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    Ok(health.check(request).await?.into_inner().status())
}

#[tokio::test]
async fn each_service_tells_its_own_thing() {
    let disk = told();
    let Setup {
        health,
        state,
        stop,
    } = setup(disk.clone());
    use ServingStatus::{NotServing, Serving};
    for (now, ready, active) in [
        (
            HealthState {
                ready: false,
                active: false,
            },
            NotServing,
            NotServing,
        ),
        (
            HealthState {
                ready: true,
                active: false,
            },
            Serving,
            NotServing,
        ),
        (
            HealthState {
                ready: true,
                active: true,
            },
            Serving,
            Serving,
        ),
    ] {
        state.send_replace(now);
        assert_eq!(check(&health, SERVICE_READY).await.unwrap(), ready);
        assert_eq!(check(&health, SERVICE_ACTIVE).await.unwrap(), active);
        assert_eq!(
            check(&health, SERVICE_LIVE).await.unwrap(),
            Serving,
            "sealed or not"
        );
    }
    let unknown = check(&health, "tenure.v1.TokenService").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(
        unknown.get_details_error_info().unwrap().reason,
        "SERVICE_UNKNOWN"
    );
    stop.cancel();
    assert_eq!(check(&health, SERVICE_READY).await.unwrap(), NotServing);
    assert_eq!(
        check(&health, SERVICE_LIVE).await.unwrap(),
        Serving,
        "alive while it drains"
    );
}

#[tokio::test]
async fn a_failing_disk_is_told_and_checks_do_not_load_it() {
    let disk = told();
    let Setup { health, .. } = setup(disk.clone());
    for _ in 0..100 {
        assert_eq!(
            check(&health, SERVICE_LIVE).await.unwrap(),
            ServingStatus::Serving
        );
    }
    assert!(
        disk.asked.load(Ordering::SeqCst) <= 10,
        "answers are cached"
    );
    *disk.answer.lock().unwrap() = Err("input/output error".into());
    let by = Instant::now() + PATIENCE;
    while check(&health, SERVICE_LIVE).await.unwrap() != ServingStatus::NotServing {
        assert!(Instant::now() < by, "never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_hanging_disk_is_told_in_time_and_asked_once() {
    let (go, wait): (Sender<()>, _) = channel();
    let disk = Arc::new(Hangs(Mutex::new(wait), AtomicUsize::new(0)));
    let Setup { health, .. } = setup(disk.clone());
    let began = Instant::now();
    let checks = (0..50).map(|_| check(&health, SERVICE_LIVE));
    for result in futures_util::future::join_all(checks).await {
        assert_eq!(result.unwrap(), ServingStatus::NotServing);
    }
    let took = began.elapsed();
    assert!(
        took < Duration::from_millis(DISK_PROBE_MS_MAX) + PATIENCE / 2,
        "{took:?}"
    );
    // While it hangs, the answer is there at once.
    let began = Instant::now();
    assert_eq!(
        check(&health, SERVICE_LIVE).await.unwrap(),
        ServingStatus::NotServing
    );
    assert!(began.elapsed() < Duration::from_millis(DISK_PROBE_MS_MAX));
    assert_eq!(disk.1.load(Ordering::SeqCst), 1);
    drop(go);
    let by = Instant::now() + PATIENCE;
    while check(&health, SERVICE_LIVE).await.unwrap() != ServingStatus::Serving {
        assert!(Instant::now() < by, "never came back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn watch_of(health: &HealthService, service: &str) -> <HealthService as Health>::WatchStream {
    let request = Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    health.watch(request).await.unwrap().into_inner()
}

async fn next(stream: &mut <HealthService as Health>::WatchStream) -> Option<ServingStatus> {
    let next = tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("an event in time");
    next.map(|item| item.unwrap().status())
}

#[tokio::test]
async fn watches_follow_and_end_on_shutdown() {
    let disk = told();
    let Setup {
        health,
        state,
        stop,
    } = setup(disk.clone());
    let mut ready = watch_of(&health, SERVICE_READY).await;
    let mut live = watch_of(&health, SERVICE_LIVE).await;
    let mut unknown = watch_of(&health, "nobody").await;
    assert_eq!(next(&mut ready).await, Some(ServingStatus::NotServing));
    assert_eq!(next(&mut live).await, Some(ServingStatus::Serving));
    assert_eq!(
        next(&mut unknown).await,
        Some(ServingStatus::ServiceUnknown)
    );
    state.send_replace(HealthState {
        ready: true,
        active: false,
    });
    assert_eq!(next(&mut ready).await, Some(ServingStatus::Serving));
    *disk.answer.lock().unwrap() = Err("gone".into());
    assert_eq!(next(&mut live).await, Some(ServingStatus::NotServing));
    stop.cancel();
    assert_eq!(next(&mut ready).await, Some(ServingStatus::NotServing));
    for stream in [&mut ready, &mut live, &mut unknown] {
        assert_eq!(next(stream).await, None);
    }
}

#[tokio::test]
async fn watches_are_bounded_and_given_back() {
    let Setup { health, .. } = setup(told());
    let mut streams = Vec::new();
    for _ in 0..HEALTH_WATCHES_MAX {
        streams.push(watch_of(&health, SERVICE_READY).await);
    }
    let request = || {
        Request::new(HealthCheckRequest {
            service: SERVICE_READY.to_owned(),
        })
    };
    let Err(error) = health.watch(request()).await else {
        panic!("one too many")
    };
    assert_eq!(error.code(), Code::ResourceExhausted);
    streams.pop();
    let by = Instant::now() + PATIENCE;
    while health.watch(request()).await.is_err() {
        assert!(Instant::now() < by, "a slot never came back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
