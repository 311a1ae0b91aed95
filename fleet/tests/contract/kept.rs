//! Texts that replicas share for a while.

use std::time::Duration;

use servers::{PATIENCE, wait_until};

use crate::world::World;

async fn what_one_replica_keeps_all_have_until_its_time_is_over(world: World) {
    let (a, b) = (world.replica(), world.replica());
    assert_eq!(a.kept("token/{x}").await.unwrap(), None);
    a.keep("token/{x}", "first", Duration::from_secs(600)).await.unwrap();
    a.keep("token/y", "other", Duration::from_millis(20)).await.unwrap();
    b.keep("token/{x}", "second", Duration::from_secs(600)).await.unwrap();
    assert_eq!(a.kept("token/{x}").await.unwrap().as_deref(), Some("second"));
    wait_until("its time is over", PATIENCE, async || b.kept("token/y").await.unwrap().is_none()).await;
}

crate::on_both_servers!(what_one_replica_keeps_all_have_until_its_time_is_over);
