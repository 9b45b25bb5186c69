//! A store whose answers take time or don't come.
#![allow(dead_code)] // each test uses its part

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use shibuya_ratelimit::distributed::{Answer, Backend, BackendError, Memory, Take, Verdict};
use shibuya_ratelimit::{Outage, Quota};
use tokio::time::sleep;

#[derive(Debug, Default)]
pub(crate) struct Store {
    memory: Memory,
    mode: Mutex<Mode>,
    asked: AtomicU32,
    charged: AtomicU32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Mode {
    /// It is answered at once.
    #[default]
    Quick,
    /// It arrives after half of that time, and is answered after all of it.
    Slow(Duration),
    /// It fails, after that time.
    Out(Outage, Duration),
}

impl Store {
    pub(crate) fn new(mode: Mode) -> Self {
        let mode = Mutex::new(mode);
        Self {
            mode,
            ..Self::default()
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// How often it was.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(SeqCst)
    }

    /// What it has granted.
    pub(crate) fn charged(&self) -> u32 {
        self.charged.load(SeqCst)
    }

    async fn take_now(
        &self,
        key: &[u8],
        quota: Quota,
        take: Take,
    ) -> Result<Verdict, BackendError> {
        let verdict = self.memory.take(key, quota, take).await?;
        if let Answer::Granted { n, .. } = verdict.answer {
            self.charged.fetch_add(n, SeqCst);
        }
        Ok(verdict)
    }

    /// What it has left.
    pub(crate) async fn remaining(&self, key: &str, quota: Quota) -> u32 {
        let level = self.memory.take(key.as_bytes(), quota, Take::Peek).await;
        level.unwrap().remaining
    }
}

impl Backend for Store {
    async fn take(&self, key: &[u8], quota: Quota, take: Take) -> Result<Verdict, BackendError> {
        self.asked.fetch_add(1, SeqCst);
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Quick => self.take_now(key, quota, take).await,
            Mode::Slow(time) => {
                sleep(time / 2).await;
                let verdict = self.take_now(key, quota, take).await;
                sleep(time / 2).await;
                verdict
            }
            Mode::Out(outage, time) => {
                sleep(time).await;
                Err(outage.into())
            }
        }
    }
}
