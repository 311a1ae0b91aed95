//! The scripted SMTP server.

use serde_json::{Value, json};
use tests::standins::smtp::{Act, Smtp, Step};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::client;

struct Peer {
    replies: Lines<BufReader<OwnedReadHalf>>,
    commands: OwnedWriteHalf,
}

impl Peer {
    async fn connect(server: &Smtp) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        let (replies, commands) = stream.into_split();
        Self { replies: BufReader::new(replies).lines(), commands }
    }

    /// The last line of the reply; empty when the connection was closed.
    async fn reply(&mut self) -> String {
        loop {
            match self.replies.next_line().await.unwrap_or_default() {
                Some(line) if line.as_bytes().get(3) == Some(&b'-') => {}
                line => return line.unwrap_or_default(),
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.commands.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    /// The replies to a whole message, in order, until one is bad.
    async fn send(&mut self, to: &str) -> Vec<String> {
        let mut replies = vec![self.reply().await];
        let text = "Subject: Hello\r\n\r\nHello,\r\n..\r\n.";
        for line in ["EHLO shop.example", "MAIL FROM:<shop@shop.example>", &format!("RCPT TO:<{to}>"), "DATA", text] {
            if !replies.last().unwrap().starts_with(['2', '3']) {
                break;
            }
            replies.push(self.say(line).await);
        }
        replies
    }
}

async fn last_reply(server: &Smtp) -> String {
    Peer::connect(server).await.send("zoe@customer.example").await.pop().unwrap()
}

#[tokio::test]
async fn a_message_is_taken_as_it_was_sent() {
    let server = Smtp::start(None).await.unwrap();
    assert_eq!(last_reply(&server).await, "250 2.0.0 queued as 1");
    let received = server.received().remove(0);
    assert_eq!(
        (received.sender.as_str(), received.recipients.as_slice()),
        ("shop@shop.example", &["zoe@customer.example".to_owned()][..])
    );
    assert_eq!(received.text, "Subject: Hello\r\n\r\nHello,\r\n.\r\n");
}

#[tokio::test]
async fn each_step_can_refuse() {
    let server = Smtp::start(None).await.unwrap();
    let steps = [
        (Step::Greeting, 1),
        (Step::Hello, 2),
        (Step::Sender, 3),
        (Step::Recipient, 4),
        (Step::Data, 5),
        (Step::Text, 6),
    ];
    for (step, n_replies) in steps {
        server.next(1, step, Act::Reply("451 4.7.1 try later".to_owned()));
        let replies = Peer::connect(&server).await.send("zoe@customer.example").await;
        assert_eq!((replies.len(), replies.last().unwrap().as_str()), (n_replies, "451 4.7.1 try later"), "{step:?}");
    }
    assert!(server.received().is_empty());
    server.always(Step::Recipient, Act::Reply("550 5.1.1 unknown".to_owned()));
    assert_eq!(
        (last_reply(&server).await, last_reply(&server).await),
        ("550 5.1.1 unknown".to_owned(), "550 5.1.1 unknown".to_owned())
    );
    server.recover();
    assert!(last_reply(&server).await.starts_with("250"));
    assert_eq!((server.n_asked(Step::Greeting), server.n_asked(Step::Text)), (9, 2));
}

#[tokio::test]
async fn a_text_whose_reply_is_lost_was_taken() {
    let server = Smtp::start(None).await.unwrap();
    server.next(1, Step::Text, Act::Drop);
    assert_eq!(last_reply(&server).await, "");
    assert_eq!(server.received().len(), 1);
    server.next(1, Step::Text, Act::Hang);
    let mut peer = Peer::connect(&server).await;
    let sent = tokio::time::timeout(std::time::Duration::from_millis(300), peer.send("zoe@customer.example")).await;
    assert!(sent.is_err(), "{sent:?}");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_login_is_checked_and_the_order_of_commands_too() {
    let server = Smtp::start(Some(("anna", "secret"))).await.unwrap();
    let mut peer = Peer::connect(&server).await;
    peer.reply().await;
    assert_eq!(peer.say("MAIL FROM:<a@shop.example>").await, "503 5.5.1 not now");
    peer.say("EHLO shop.example").await;
    assert_eq!(peer.say("MAIL FROM:<a@shop.example>").await, "530 5.7.0 log in first");
    assert_eq!(peer.say("AUTH PLAIN AGFubmEAd3Jvbmc=").await, "535 5.7.8 wrong user or password");
    assert_eq!(peer.say("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    assert_eq!(peer.say("YW5uYQ==").await, "334 UGFzc3dvcmQ6");
    assert_eq!(peer.say("c2VjcmV0").await, "235 2.7.0 welcome");
    assert_eq!(peer.say("DATA").await, "503 5.5.1 not now");
    assert_eq!(peer.say("MAIL FROM:<a@shop.example>").await, "250 2.1.0 ok");
    assert_eq!(peer.say("RCPT TO:zoe").await, "501 5.5.4 RCPT TO:<address>");
    assert_eq!(peer.say("FETCH").await, "500 5.5.2 unknown command");
    assert_eq!(peer.say("QUIT").await, "221 2.0.0 bye");
}

#[tokio::test]
async fn a_person_breaks_and_mends_it_over_http() {
    let server = Smtp::start(None).await.unwrap();
    let fault = format!("{}/_fault", server.control_url());
    let put = async |order: Value| client().put(&fault).json(&order).send().await.unwrap().status().as_u16();
    assert_eq!(put(json!({ "at": "recipient", "reply": "450 4.2.0 greylisted", "times": 1 })).await, 200);
    assert_eq!(put(json!({ "at": "text", "act": "drop" })).await, 200);
    for bad in [json!({ "at": "text" }), json!({ "at": "x", "act": "drop" }), json!({ "at": "text", "reply": "later" })]
    {
        assert_eq!(put(bad.clone()).await, 400, "{bad}");
    }
    assert_eq!(last_reply(&server).await, "450 4.2.0 greylisted");
    assert_eq!(last_reply(&server).await, "");
    client().delete(&fault).send().await.unwrap();
    assert!(last_reply(&server).await.starts_with("250"));
    let requests = client().get(format!("{}/_requests", server.control_url())).send().await.unwrap();
    let requests: Value = requests.json().await.unwrap();
    assert_eq!((&requests["messages"], &requests["counts"]["recipient"]), (&json!(2), &json!(3)));
}
