//! A heartbeat service.

use tests::standins::{
    Fault,
    heartbeat::{Beat, Heartbeat},
};

use crate::client;

#[tokio::test]
async fn beats_of_each_form_are_kept() {
    let service = Heartbeat::start(0, "f3b1").await.unwrap();
    let url = service.url();
    for request in [
        client().post(format!("{url}/start")),
        client().get(&url),
        client().head(&url),
        client().post(format!("{url}/fail")).body("no Redis"),
        client().get(format!("{url}/3")),
        client().get(format!("{url}/0?rid=1")),
    ] {
        assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    }
    assert_eq!(service.beats(), [Beat::Start, Beat::Good, Beat::Good, Beat::Failed, Beat::Failed, Beat::Good]);
    let other = url.replace("f3b1", "f3b2");
    assert_eq!(client().get(other).send().await.unwrap().status().as_u16(), 404);
    assert_eq!(client().get(format!("{url}/256")).send().await.unwrap().status().as_u16(), 400);
    service.faults().next(1, Fault::status(503));
    assert_eq!(client().get(&url).send().await.unwrap().status().as_u16(), 503);
    assert_eq!(service.beats().len(), 6);
}
