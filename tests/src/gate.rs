//! Holds answers back until a test says so.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// A gate that requests wait at. Clones are the same gate. Once open, it stays open.
#[derive(Debug, Clone)]
pub struct Gate {
    permits: Arc<Semaphore>,
}

impl Gate {
    /// Nobody waits at it.
    #[must_use]
    pub fn opened() -> Self {
        let gate = Self::closed();
        gate.open();
        gate
    }

    /// Everybody waits at it.
    #[must_use]
    pub fn closed() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)) }
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.permits.close();
    }

    /// Lets so many through, now or when they come.
    pub fn let_through(&self, n: usize) {
        self.permits.add_permits(n);
    }

    /// Waits until it is this caller's turn.
    pub async fn pass(&self) {
        // Closed for the semaphore means open for us.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}
