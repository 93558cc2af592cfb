//! The one clock: wall time for calendars, monotonic time for intervals. Tests hold one that they move themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use usher_common::model::Timestamp;

/// A clock. Cheap to clone; clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { start: Instant, wall: i64 },
    Manual { wall: i64, passed_ms: Arc<AtomicU64> },
    Runtime { wall: i64, start: tokio::time::Instant },
}

impl Clock {
    /// The machine's clock; monotonic time counts from now.
    pub fn system() -> Self {
        Self(Source::System { start: Instant::now(), wall: machine() })
    }

    /// A clock that stands at `wall` until it is moved.
    pub fn manual(wall: Timestamp) -> Self {
        Self(Source::Manual { wall: wall.0, passed_ms: Arc::default() })
    }

    /// A clock that shows `wall` now and goes as the timers of the runtime do: where their time is simulated, so is its.
    pub fn of_runtime(wall: Timestamp) -> Self {
        Self(Source::Runtime { wall: wall.0, start: tokio::time::Instant::now() })
    }

    /// Wall time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => Timestamp(machine()),
            Source::Manual { wall, passed_ms } => {
                Timestamp(wall.saturating_add(passed_ms.load(Ordering::Relaxed) as i64))
            }
            Source::Runtime { .. } => self.at(self.mono()),
        }
    }

    /// Monotonic time since the clock was made.
    pub fn mono(&self) -> Duration {
        match &self.0 {
            Source::System { start, .. } => start.elapsed(),
            Source::Manual { passed_ms, .. } => Duration::from_millis(passed_ms.load(Ordering::Relaxed)),
            Source::Runtime { start, .. } => start.elapsed(),
        }
    }

    /// The wall time of a moment of monotonic time, by the wall clock as it stood when this clock was made: the same
    /// moment always has the same time, also after the wall clock was set.
    pub fn at(&self, mono: Duration) -> Timestamp {
        let (Source::System { wall, .. } | Source::Manual { wall, .. } | Source::Runtime { wall, .. }) = &self.0;
        Timestamp(wall.saturating_add(mono.as_millis() as i64))
    }

    /// Days since 1970, UTC.
    pub fn day(&self) -> i64 {
        self.now().0.div_euclid(86_400_000)
    }

    /// Moves a manual clock on; a system clock is not moved by anybody.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { passed_ms, .. } = &self.0 {
            passed_ms.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
        }
    }
}

/// A time as a line tells it: the hour alone where it is today's at `now`, in UTC.
pub fn utc(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.0.div_euclid(86_400_000);
    let format = if day(at) == day(now) { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M UTC" };
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::MAX);
    instant.strftime(format).to_string()
}

fn machine() -> i64 {
    // A clock before 1970 is a broken clock; the store's commit times never go back all the same.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
