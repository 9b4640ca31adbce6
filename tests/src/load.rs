//! Writers: clients that write new keys as fast as they are answered, follow the leader,
//! and note in a ledger what they were told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::control::{CallError, Control};
use crate::ledger::Ledger;
use crate::random::Random;

const CALL_BOUND: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A running load.
pub struct Load {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    last_ack: Arc<Mutex<Instant>>,
    threads: Vec<JoinHandle<Ledger>>,
    earlier: Ledger,
}

impl Load {
    /// Starts `clients` writers against the control ports; keys are `k/<label>/<client>/<n>`.
    pub fn start(
        controls: &[SocketAddr],
        clients: usize,
        label: &str,
        random: &mut Random,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(AtomicU64::new(0));
        let last_ack = Arc::new(Mutex::new(Instant::now()));
        let threads = (0..clients)
            .map(|client| {
                let writer = Writer {
                    target: client % controls.len(),
                    controls: controls.to_vec(),
                    connection: None,
                    prefix: format!("k/{label}/{client}"),
                    random: random.fork(),
                };
                let (stop, acked) = (Arc::clone(&stop), Arc::clone(&acked));
                let last_ack = Arc::clone(&last_ack);
                thread::spawn(move || writer.run(&stop, &acked, &last_ack))
            })
            .collect();
        Self {
            stop,
            acked,
            last_ack,
            threads,
            earlier: Ledger::default(),
        }
    }

    /// Acknowledged writes so far.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Waits until `more` further writes were acknowledged.
    pub fn wait_acked(&self, more: u64, bound: Duration) {
        let goal = self.acked() + more;
        crate::wait::eventually("acknowledged writes", bound, || {
            let now = self.acked();
            if now >= goal {
                Ok(())
            } else {
                Err(format!("{now} of {goal}"))
            }
        });
    }

    /// Time since a write was last acknowledged.
    pub fn silence(&self) -> Duration {
        self.last_ack.lock().expect("time").elapsed()
    }

    /// Takes over the ledger of an earlier load on the same cluster.
    pub fn continue_from(&mut self, earlier: Ledger) {
        self.earlier.merge(earlier);
    }

    /// Ends the load and gives its ledger.
    pub fn finish(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledger = std::mem::take(&mut self.earlier);
        for thread in self.threads.drain(..) {
            ledger.merge(thread.join().expect("a writer"));
        }
        ledger
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Writer {
    controls: Vec<SocketAddr>,
    target: usize,
    connection: Option<Control>,
    prefix: String,
    random: Random,
}

impl Writer {
    fn run(mut self, stop: &AtomicBool, acked: &AtomicU64, last_ack: &Mutex<Instant>) -> Ledger {
        let mut ledger = Ledger::default();
        let mut count = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let key = format!("{}/{count}", self.prefix);
            let len = self.random.between(8, 400) as usize;
            let value = self.random.text(len);
            let Some(outcome) = self.put(&key, &value) else {
                thread::sleep(RETRY_PAUSE);
                continue;
            };
            count += 1;
            match &outcome {
                Ok(_) => {
                    acked.fetch_add(1, Ordering::Relaxed);
                    *last_ack.lock().expect("time") = Instant::now();
                }
                Err(error) => self.react(error),
            }
            ledger.note(key, value, &outcome);
        }
        ledger
    }

    /// `None`: nothing was sent.
    fn put(&mut self, key: &str, value: &str) -> Option<Result<u64, CallError>> {
        if self.connection.is_none() {
            self.connection = Control::connect(self.controls[self.target], CALL_BOUND).ok();
        }
        match &mut self.connection {
            Some(connection) => Some(connection.put(key, value)),
            None => {
                self.next();
                None
            }
        }
    }

    fn react(&mut self, error: &CallError) {
        match error {
            CallError::Conflict(_) => {}
            CallError::Refused(text) if text.starts_with("overloaded") => {
                thread::sleep(RETRY_PAUSE)
            }
            _ => {
                self.next();
                thread::sleep(RETRY_PAUSE);
            }
        }
    }

    fn next(&mut self) {
        self.connection = None;
        self.target = (self.target + 1) % self.controls.len();
    }
}
