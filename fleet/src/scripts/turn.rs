//! One after the other, at a distance.

use std::time::Duration;

use super::{Server, call};
use crate::{error::Error, keys, settings::ms};

/// No wait is longer.
const FAR: Duration = Duration::from_secs(10 * 60);
/// For so long beyond its time a ticket's place is kept: longer than any wait, and by what else may hold up a job.
const KEPT: Duration = Duration::from_secs(30 * 60);
/// While somebody is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Server {
    /// How long a ticket has to wait at a place; nothing: it has begun.
    pub(crate) async fn turn(
        &self,
        place: &str,
        ticket: &str,
        now_ms: u64,
        pace: Duration,
        busy: Duration,
    ) -> Result<Option<Duration>, Error> {
        let call = call!(
            turn,
            keys::turns(&self.prefix, place),
            now_ms = now_ms,
            ticket = ticket,
            pace_ms = ms(pace),
            busy_ms = ms(busy),
            kept_ms = ms(KEPT),
            far_ms = ms(FAR),
            look_again_ms = ms(LOOK_AGAIN),
        );
        let wait: u64 = self.run(&call).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }
}
