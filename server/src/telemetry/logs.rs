//! Logs: lines to standard error or output, written by a thread of their own. Logging never blocks:
//! a slow output loses lines, which are counted. Other crates are heard at WARN (INFO when ours is
//! at DEBUG or TRACE) and no lower: below that they write down headers and frames.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::Metrics;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::limits::{LOG_FLUSH_MS_MAX, LOG_QUEUE_LINES_MAX};

/// Our own crates' targets begin so.
const OURS: &str = "tenure";

/// Where lines go.
pub enum LogTarget {
    /// Standard error: the default, where service managers look.
    Stderr,
    /// Standard output.
    Stdout,
    /// Any other writer.
    Writer(Box<dyn Write + Send>),
}

impl std::fmt::Debug for LogTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stderr => "Stderr",
            Self::Stdout => "Stdout",
            Self::Writer(_) => "Writer",
        })
    }
}

/// Changes the level while running, and writes out what waits at the end.
#[derive(Debug)]
pub struct LogHandle {
    level: reload::Handle<Targets, Registry>,
    queue: Arc<Queue>,
}

/// The lines that wait for the writing thread.
#[derive(Debug)]
struct Queue {
    sender: SyncSender<Box<[u8]>>,
    queued: AtomicU64,
    written: Arc<AtomicU64>,
    dropped: Counter,
}

impl LogHandle {
    /// Sets the level.
    pub fn set_level(&self, level: LogLevel) {
        if let Err(error) = self.level.reload(filter(level)) {
            tracing::error!(%error, "the log level can't be changed");
        }
    }

    /// Lines lost so far.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.get()
    }

    /// Waits, with a bound, until the lines of now are written. Blocks: for the end of the process.
    pub fn flush(&self) {
        let goal = self.queue.queued.load(Ordering::Acquire);
        let by = Instant::now() + Duration::from_millis(LOG_FLUSH_MS_MAX);
        while self.queue.written.load(Ordering::Acquire) < goal && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Makes the subscriber and its writing thread. The caller installs it:
/// `tracing::subscriber::set_global_default(subscriber)`.
pub fn start_logs(
    config: LogConfig,
    target: LogTarget,
    metrics: &Metrics,
) -> io::Result<(Box<dyn tracing::Subscriber + Send + Sync>, LogHandle)> {
    let (sender, receiver) = mpsc::sync_channel(LOG_QUEUE_LINES_MAX);
    let written = Arc::new(AtomicU64::new(0));
    let queue = Arc::new(Queue {
        sender,
        queued: AtomicU64::new(0),
        written: written.clone(),
        dropped: metrics.log_lines_dropped(),
    });
    let output: Box<dyn Write + Send> = match target {
        LogTarget::Stderr => Box::new(io::stderr()),
        LogTarget::Stdout => Box::new(io::stdout()),
        LogTarget::Writer(writer) => writer,
    };
    std::thread::Builder::new()
        .name("logs".into())
        .spawn(move || write_lines(&receiver, output, &written))?;
    let (filter, level) = reload::Layer::new(filter(config.level));
    let lines = Lines(queue.clone());
    let format = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(lines);
    let format = match config.format {
        LogFormat::Json => format
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Standard => format.boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(format.with_filter(filter));
    Ok((Box::new(subscriber), LogHandle { level, queue }))
}

fn filter(level: LogLevel) -> Targets {
    let (ours, others) = match level {
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::INFO),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
    };
    Targets::new()
        .with_default(others)
        // It tells every option at each start, as a warning.
        .with_target("rocksdb", LevelFilter::ERROR)
        .with_target(OURS, ours)
}

fn write_lines(
    lines: &Receiver<Box<[u8]>>,
    mut output: Box<dyn Write + Send>,
    written: &AtomicU64,
) {
    // An output that fails (a closed pipe) must not end the process or the thread.
    loop {
        match lines.recv_timeout(Duration::from_secs(3600)) {
            Ok(line) => {
                let _ = output.write_all(&line).and_then(|()| output.flush());
                written.fetch_add(1, Ordering::AcqRel);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Makes a writer for each event.
#[derive(Clone, Debug)]
struct Lines(Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            queue: self.0.clone(),
            bytes: Vec::new(),
        }
    }
}

/// One event on its way; queued when dropped.
struct Line {
    queue: Arc<Queue>,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        match self
            .queue
            .sender
            .try_send(std::mem::take(&mut self.bytes).into())
        {
            Ok(()) => {
                self.queue.queued.fetch_add(1, Ordering::AcqRel);
            }
            Err(_) => {
                self.queue.dropped.inc();
            }
        }
    }
}

/// Sends panics to the log instead of standard error. A formatted message is left out: it may show
/// a value; a literal can't.
pub fn install_panic_hook() {
    static ONCE: Mutex<bool> = Mutex::new(false);
    let mut done = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::replace(&mut *done, true) {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload().downcast_ref::<&'static str>().copied();
        let message = message.unwrap_or("(message withheld)");
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .to_owned();
        tracing::error!(at, thread, message, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that blocks until it is let go, and keeps what was written.
    struct Stuck(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_output_loses_lines_and_blocks_nobody() {
        let metrics = Metrics::new();
        let (release, stuck) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let config = LogConfig {
            level: LogLevel::Info,
            format: LogFormat::Json,
        };
        let target = LogTarget::Writer(Box::new(Stuck(stuck, seen.clone())));
        let (subscriber, handle) = start_logs(config, target, &metrics).unwrap();
        let extra = 100;
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..LOG_QUEUE_LINES_MAX + extra {
                tracing::info!(target: "tenure_test", n, "line");
            }
        });
        // One line may be with the writer.
        assert!(
            (extra as u64 - 1..=extra as u64).contains(&handle.dropped()),
            "{}",
            handle.dropped()
        );
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("tenure_log_lines_dropped_total")
        );
        drop(release);
        handle.flush();
        let text = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["level"], "INFO");
        assert_eq!(first["message"], "line");
    }

    #[test]
    fn the_level_changes_while_running_and_others_stay_quiet() {
        let metrics = Metrics::new();
        let (release, go) = mpsc::channel();
        drop(release);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let config = LogConfig {
            level: LogLevel::Info,
            format: LogFormat::Standard,
        };
        let target = LogTarget::Writer(Box::new(Stuck(go, seen.clone())));
        let (subscriber, handle) = start_logs(config, target, &metrics).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "tenure_x", "one");
            handle.set_level(LogLevel::Trace);
            tracing::trace!(target: "tenure_x", "two");
            tracing::debug!(target: "h2", "three");
            handle.set_level(LogLevel::Error);
            tracing::warn!(target: "tenure_x", "four");
        });
        handle.flush();
        let text = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        assert!(text.contains("two"), "{text}");
        for absent in ["one", "three", "four"] {
            assert!(!text.contains(absent), "{text}");
        }
    }
}
