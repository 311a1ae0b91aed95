//! Whose fault a refusal is: what follows from it for the message, and for all others.
//!
//! The digits say little: providers refuse an account that has sent too much with the 550 that others have for an unknown recipient.
//! So the enhanced code (RFC 3463, and what Exchange, Gmail and Outlook made of it) and known words are looked at too, at any step; where
//! both say nothing, the step decides.

use super::{dialogue::Fault, mailer::SERVICE, reply::Reply};
use crate::ProviderError;

const KEPT: usize = 500;

/// How far a message is, which decides what a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Connect,
    Login,
    Sender,
    Recipient,
    Data,
    /// The text is under way, but its end was not told: the server has nothing to deliver.
    Text,
    /// Its end was told: the server may have it.
    End,
}

impl Step {
    pub(super) const ALL: [Self; 7] =
        [Self::Connect, Self::Login, Self::Sender, Self::Recipient, Self::Data, Self::Text, Self::End];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connection to the SMTP server",
            Self::Login => "login at the SMTP server",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Data => "DATA command",
            Self::Text | Self::End => "message text",
        }
    }

    /// Whether the server has heard of this message's recipient.
    fn is_about_this(self) -> bool {
        self as u8 >= Self::Recipient as u8
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// There is nobody at that address, or nobody who wants it.
    Recipient,
    /// This message is not wanted.
    Message,
    /// We are not allowed to send, or not as this sender: so it would be with the next message.
    Account,
    /// Nobody's: it may work later.
    Time,
}

/// What follows from what went wrong at a step.
pub(super) fn failure(step: Step, fault: Fault) -> ProviderError {
    let message = |text: String| text.chars().take(KEPT).collect::<String>();
    match fault {
        Fault::Refused(reply) => refused(step, &reply),
        Fault::Unusable(what) => ProviderError::Misconfigured {
            service: SERVICE,
            message: message(format!("{} failed: {what}", step.name())),
        },
        Fault::Lost(why) => lost(step, message(format!("{} got no answer: {why}", step.name()))),
        Fault::Unexpected(what) => lost(step, message(format!("{} was answered with {what}", step.name()))),
    }
}

/// No reply, or none that can be understood.
fn lost(step: Step, message: String) -> ProviderError {
    match step {
        Step::End => ProviderError::UnknownOutcome { service: SERVICE, message },
        _ => ProviderError::Transient { service: SERVICE, message, retry_after: None },
    }
}

fn refused(step: Step, reply: &Reply) -> ProviderError {
    let blame = blame(step, reply);
    let what = match blame {
        Blame::Account if step.is_about_this() => format!("account refused at the {}: {reply}", step.name()),
        _ => format!("{} refused: {reply}", step.name()),
    };
    let message: String = what.chars().take(KEPT).collect();
    match blame {
        // 421 is said of the server, not of a message.
        Blame::Time if step.is_about_this() && reply.code != 421 => {
            ProviderError::Deferred { service: SERVICE, message }
        }
        Blame::Time => ProviderError::Transient { service: SERVICE, message, retry_after: None },
        Blame::Account => ProviderError::Misconfigured { service: SERVICE, message },
        Blame::Recipient | Blame::Message => ProviderError::Rejected { service: SERVICE, message },
    }
}

/// Words of servers that refuse an account, however they end: they win over a word for the recipient.
const ACCOUNT: &[&str] = &[
    // Whom we may write as.
    "sender address rejected",
    "sender address is not",
    "sender rejected",
    "sender denied",
    "sender verify failed",
    "sender not allowed",
    "sender is not allowed",
    "sender unauthorized",
    "sender identity",
    "verified sender",
    "address is not verified",
    "address not verified",
    "domain is not verified",
    "domain not verified",
    "domain is unverified",
    "unverified domain",
    "unverified sender",
    "not owned by user",
    "send as this sender",
    "permissions to send as",
    "permission to send as",
    "sendasdenied",
    "bad outbound sender",
    "outboundspam",
    // Whether we may write at all.
    "not allowed to send",
    "not authorized to send",
    "not authorised to send",
    "not permitted to send",
    "relay access denied",
    "relaying denied",
    "relay denied",
    "relaying not allowed",
    "relay not permitted",
    "relaying is not",
    "not permitted to relay",
    "unable to relay",
    "authentication required",
    "authentication is required",
    "requires authentication",
    "must authenticate",
    "need to authenticate",
    "not authenticated",
    "log in first",
    "please log in",
    "please login",
    "authorized recipients",
];

/// Words for having sent too much, or not having paid for it.
const QUOTA: &[&str] = &[
    "daily limit",
    "daily quota",
    "daily message quota",
    "daily message limit",
    "daily sending",
    "daily user sending",
    "hourly limit",
    "hourly quota",
    "hourly sending",
    "monthly limit",
    "monthly quota",
    "sending limit",
    "sending quota",
    "send limit",
    "message quota exceeded",
    "messages per day",
    "messages per hour",
    "messages per month",
    "credits exceeded",
    "insufficient credit",
    "not enough credit",
    "out of credit",
    "no credits",
    "payment required",
    "unpaid",
];

/// Words that mean the account, where nothing says that they mean a recipient.
const ACCOUNT_PERHAPS: &[&str] = &[
    "your account",
    "sender account",
    "sending account",
    "not verified",
    "client host",
    "your ip",
    "your host",
    "blocked using",
    "banned send",
];

/// Words that mean our account in an answer to the text, and the recipient's in one to the recipient.
const ACCOUNT_OF_SOMEBODY: &[&str] = &[
    "account suspended",
    "account is suspended",
    "account has been suspended",
    "account disabled",
    "account is disabled",
    "account has been disabled",
    "account locked",
    "account blocked",
    "account restricted",
    "account terminated",
    "too many messages",
    "quota exceeded",
    "rate limit exceeded",
];

/// What a sender's domain lacks.
const PROOFS: &[&str] = &["spf", "dkim", "dmarc"];

/// Words for a recipient that is not open to us: others are.
const RECIPIENT: &[&str] = &[
    "recipient address rejected",
    "by recipient",
    "by the recipient",
    "resolver.rst",
    "to this recipient",
    "to this address",
    "to this group",
    "allowed to send to",
    "allowed to send mail to",
    "allowed to send messages to",
    "authorized to send to",
    "authorized to send mail to",
    "permitted to send to",
    "permitted to send mail to",
];

const RECIPIENT_PERHAPS: &[&str] = &["recipient", "mailbox"];

const LATER: &[&str] =
    &["greylist", "graylist", "grey-list", "gray-list", "try again later", "try later", "retry later", "temporarily"];

fn blame(step: Step, reply: &Reply) -> Blame {
    let words = reply.lines.join(" ").to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    let by_code = reply.enhanced.and_then(by_enhanced_code);
    let has_sent_too_much = says(QUOTA) && by_code != Some(Blame::Recipient);
    if reply.code < 500 {
        // A quota of a day outlives all retries.
        let of_account = has_sent_too_much && !says(RECIPIENT_PERHAPS);
        return if of_account { Blame::Account } else { Blame::Time };
    }
    match reply.code {
        530 | 534 | 535 | 538 => return Blame::Account,
        // RFC 5321 lets 552 to a recipient mean that there are too many of them just now.
        552 if step == Step::Recipient && !says(ACCOUNT) && !has_sent_too_much => return Blame::Time,
        _ => {}
    }
    // Before the recipient is named, only a size and the time are not held against the account.
    if !step.is_about_this() {
        return match by_code {
            Some(by_code @ (Blame::Message | Blame::Time)) => by_code,
            _ if reply.code == 552 => Blame::Message,
            _ if says(LATER) => Blame::Time,
            _ => Blame::Account,
        };
    }
    if says(RECIPIENT) && by_code != Some(Blame::Account) {
        return Blame::Recipient;
    }
    if says(ACCOUNT) || has_sent_too_much {
        return Blame::Account;
    }
    if let Some(blame) = by_code {
        return blame;
    }
    let lacks_proof =
        words.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| PROOFS.contains(&word));
    if says(LATER) {
        Blame::Time
    } else if says(RECIPIENT_PERHAPS) {
        Blame::Recipient
    } else if says(ACCOUNT_PERHAPS) || lacks_proof {
        Blame::Account
    } else if step == Step::Recipient {
        Blame::Recipient
    } else if says(ACCOUNT_OF_SOMEBODY) {
        Blame::Account
    } else {
        Blame::Message
    }
}

/// What an enhanced code says, if it says enough.
fn by_enhanced_code([class, subject, detail]: [u16; 3]) -> Option<Blame> {
    let blame = match (subject, detail) {
        _ if class == 4 => Blame::Time,
        // The sender's address: bad, of a bad system, has sent too much.
        (1, 7 | 8 | 90)
        // Sending as somebody else.
        | (2, 252)
        // Gmail: the day's messages are sent.
        | (4, 5)
        // The sender's domain or host proves too little: SPF, DKIM, DMARC, reverse DNS; or floods.
        | (7, 20..=32)
        // Exchange: relaying, anonymous mail, sending as somebody else, another tenant's domain.
        | (7, 54 | 57 | 60 | 64)
        // Exchange and Outlook: banned senders, hosts and tenants.
        | (7, 501..=503 | 506 | 508..=511 | 513..=799) => Blame::Account,
        (1, 1..=6 | 10)
        | (2, 1..=4)
        | (4, 1 | 4 | 6 | 14 | 310)
        // Lists and groups that take mail from some only.
        | (7, 2 | 100..=199)
        | (7, 504 | 505 | 507) => Blame::Recipient,
        (3, 4) | (6, _) | (7, 512) => Blame::Message,
        _ => return None,
    };
    Some(blame)
}

#[cfg(test)]
mod tests {
    use Blame::{Account, Message, Recipient, Time};

    use super::*;

    async fn reply(line: &str) -> Reply {
        Reply::read(&mut format!("{line}\r\n").as_bytes()).await.unwrap()
    }

    #[tokio::test]
    async fn a_refusal_of_the_account_is_known_at_any_step() {
        for line in [
            "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail",
            "550-5.4.5 Daily SMTP relay limit exceeded for customer.\r\n550 5.4.5 w12 - gsmtp",
            "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
            "550 5.1.8 Access denied, bad outbound sender AS(42004)",
            "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
            "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: \
             noreply@shop.example",
            "554 5.2.252 SendAsDenied; shop@shop.example not allowed to send as noreply@shop.example",
            "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException",
            "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.",
            "553 5.7.1 <noreply@shop.example>: Sender address rejected: not owned by user shop",
            "550 5.1.0 <noreply@shop.example>: Sender address rejected: User unknown in local recipient table",
            "554 5.7.1 <zoe@customer.example>: Relay access denied",
            "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
            "550 5.7.57 Client not authenticated to send mail",
            "503 This mail server requires authentication when attempting to send to a non-local e-mail address",
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            "550 5.7.26 This mail has been blocked because the sender is unauthenticated.",
            "550 5.7.515 Access denied, sending domain SHOP.EXAMPLE doesn't meet the required authentication level",
            "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
            "550 5.7.708 Recipient address rejected: Access denied, traffic not accepted from this IP",
            "550 5.7.1 Your account has been suspended for abuse",
            "550 rejected by SPF policy",
            "535 5.7.8 Authentication credentials invalid",
            "530 5.7.0 Must issue a STARTTLS command first",
            "454 Throttling failure: Daily message quota exceeded.",
            "451 Authentication failed: Maximum credits exceeded",
            "550 5.7.1 Sandbox subdomains are for test purposes only. Please add the address to authorized recipients",
        ] {
            for step in Step::ALL {
                assert_eq!(blame(step, &reply(line).await), Account, "{step:?}: {line}");
            }
        }
    }

    #[tokio::test]
    async fn a_recipient_and_a_message_are_refused_alone() {
        for (line, wanted) in [
            (
                "550 5.1.1 <zoe@customer.example>: Recipient address rejected: User unknown in virtual mailbox table",
                Recipient,
            ),
            ("550 5.7.1 <zoe@customer.example>: Recipient address rejected: Access denied", Recipient),
            ("550 5.4.1 Recipient address rejected: Access denied", Recipient),
            ("550 5.2.1 The email account that you tried to reach is disabled", Recipient),
            ("550 5.2.2 mailbox over quota exceeded", Recipient),
            ("550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", Recipient),
            ("550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", Recipient),
            ("550 5.7.1 You are not allowed to send to this group", Recipient),
            ("550 5.7.1 Sender rejected by recipient", Recipient),
            ("550 5.7.507 Access denied, rejected by recipient", Recipient),
            ("556 5.1.10 Recipient address has null MX", Recipient),
            ("550 Requested action not taken: mailbox unavailable", Recipient),
            ("552 5.3.4 Message size exceeds fixed limit", Message),
            ("550 5.6.0 Bad header", Message),
        ] {
            assert_eq!(blame(Step::End, &reply(line).await), wanted, "{line}");
            let at_recipient = blame(Step::Recipient, &reply(line).await);
            assert!(at_recipient != Account, "{line}");
        }
        // Whose account, says the step.
        assert_eq!(blame(Step::Recipient, &reply("550 Account disabled").await), Recipient);
        assert_eq!(blame(Step::End, &reply("550 Account disabled").await), Account);
        for line in [
            "554 5.7.1 looks like spam",
            "550 5.7.1 message contains a blacklisted URL",
            "554 refused",
            "554 5.7.9 policy",
        ] {
            assert_eq!(blame(Step::End, &reply(line).await), Message, "{line}");
            assert_eq!(blame(Step::Recipient, &reply(line).await), Recipient, "{line}");
        }
    }

    #[tokio::test]
    async fn an_enhanced_code_says_enough_without_a_known_word() {
        for (codes, wanted) in [
            ("1.7 1.8 1.90 2.252 4.5 7.20 7.26 7.32 7.54 7.57 7.60 7.64 7.501 7.503 7.506 7.508 7.513 7.708", Account),
            ("1.1 1.6 1.10 2.1 2.2 2.4 4.1 4.4 4.6 4.14 4.310 7.2 7.100 7.133 7.504 7.505 7.507", Recipient),
            ("3.4 6.0 6.9 7.512", Message),
        ] {
            // What a refusal that says nothing is taken for is another thing at one of these steps.
            let step = if wanted == Message { Step::Recipient } else { Step::End };
            for code in codes.split(' ') {
                assert_eq!(blame(step, &reply(&format!("550 5.{code} no")).await), wanted, "{code}");
            }
        }
        assert_eq!(blame(Step::End, &reply("550 4.2.9 no").await), Time);
        assert_eq!(blame(Step::End, &reply("550 5.9.9 no").await), Message);
    }

    #[tokio::test]
    async fn what_may_work_later_is_not_refused_for_good() {
        for line in [
            "450 4.2.1 The user you are trying to contact is receiving mail too quickly",
            "451 4.7.1 Greylisted for 5 minutes",
            "452 4.2.2 mailbox quota exceeded: recipient's daily limit",
            "432 4.3.2 Concurrent connections limit exceeded",
            "550 5.7.1 Greylisted, please try again later",
            "554 4.4.1 connection timed out",
            "550 5.3.0 temporarily unavailable",
        ] {
            for step in [Step::Recipient, Step::Data, Step::Text, Step::End] {
                assert_eq!(blame(step, &reply(line).await), Time, "{step:?}: {line}");
            }
        }
        assert_eq!(blame(Step::Recipient, &reply("552 5.2.2 too many").await), Time);
        assert_eq!(blame(Step::Sender, &reply("552 5.3.4 too large").await), Message);
        assert_eq!(blame(Step::Sender, &reply("550 5.7.1 refused").await), Account);
        assert_eq!(blame(Step::Connect, &reply("554 no SMTP service here").await), Account);
    }
}
