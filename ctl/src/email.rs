//! `ecomctl email`: e-mails that were sent or that the mock kept, and how one would look.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use api::{EmailPreview, Timestamp};
use clap::{Args, Subcommand};
use queue::Json;
use serde::{Deserialize, Serialize};

use crate::{
    client::Api,
    options::read_json,
    table::{Align, Table, one_line, output_width, printable},
};

/// What can be done with e-mails.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show e-mails, the last enqueued first
    List(List),
    /// Show an e-mail, with its text if it was not sent
    Get {
        /// The id of its job
        id: String,
    },
    /// Show how an e-mail would look, and send nothing
    Preview {
        /// The payload of an e-mail job, such as {"to":"zoe@customer.example","template":"welcome","language":"fr","data":{}}
        #[arg(long, value_name = "JSON|@FILE|@-", value_parser = read_json)]
        payload: Json,
        /// Write the HTML into this file, to look at it in a browser
        #[arg(long, value_name = "FILE.html")]
        html: Option<PathBuf>,
    },
}

/// Which e-mails are shown.
#[derive(Debug, Args, Serialize)]
pub(crate) struct List {
    /// Only to this address
    #[arg(long)]
    to: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=200))]
    limit: u64,
    /// Go on where another list ended
    #[arg(long)]
    cursor: Option<String>,
}

/// An e-mail, as far as it is shown here.
type Email = api::Email<Sent>;
type Page = api::EmailPage<Sent>;

/// What became of an e-mail.
#[derive(Debug, Deserialize)]
struct Sent {
    status: String,
    to: String,
    subject: String,
    #[serde(default)]
    template: Option<String>,
    #[serde(default)]
    server_reply: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

pub(crate) async fn run(api: &Api, verb: &Verb, json: bool) -> Result<ExitCode> {
    let answer = match verb {
        Verb::List(list) => api.emails(list).await?,
        Verb::Get { id } => api.email(id).await?,
        Verb::Preview { payload, .. } => api.preview_email(payload).await?,
    };
    if json {
        println!("{answer:#}");
        return Ok(ExitCode::SUCCESS);
    }
    match verb {
        Verb::List(_) => {
            let page: Page = api.understand(answer)?;
            print!("{}", table(&page.items).render(output_width()));
            if let Some(cursor) = page.next_cursor {
                println!("more: --cursor {}", one_line(&cursor));
            }
        }
        Verb::Get { .. } => print!("{}", describe(&api.understand(answer)?)),
        Verb::Preview { html, .. } => {
            let preview: EmailPreview = api.understand(answer)?;
            print!("{}", show(&preview));
            write_html(&preview, html.as_ref())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_html(preview: &EmailPreview, file: Option<&PathBuf>) -> Result<()> {
    match (&preview.html, file) {
        (Some(html), Some(file)) => {
            fs::write(file, html).with_context(|| format!("{} cannot be written", file.display()))?;
            println!("\nHTML: {}", file.display());
        }
        (Some(html), None) => println!("\nHTML: {} bytes; --html FILE.html writes them into a file", html.len()),
        (None, _) => println!("\nno HTML"),
    }
    Ok(())
}

fn table(emails: &[Email]) -> Table {
    let header = ["id", "created", "status", "to", "template", "subject"];
    let mut table = Table::new(&header.map(|name| (name, Align::Left)));
    for email in emails {
        let Sent { status, to, template, subject, .. } = &email.email;
        let template = template.clone().unwrap_or_default();
        table.row([email.id.clone(), created(email.created_at), status.clone(), to.clone(), template, subject.clone()]);
    }
    table
}

fn describe(email: &Email) -> String {
    let (created, sent) = (created(email.created_at), &email.email);
    let lines = [
        ("id", Some(email.id.as_str())),
        ("created", Some(&created)),
        ("status", Some(&sent.status)),
        ("to", Some(&sent.to)),
        ("subject", Some(&sent.subject)),
        ("template", sent.template.as_deref()),
        ("server", sent.server_reply.as_deref()),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some(format!("{name:<10}{}\n", one_line(value?))));
    let text = sent.text.as_ref().map(|text| format!("\n{}\n", printable(text.trim_end()))).unwrap_or_default();
    lines.collect::<String>() + &text
}

fn created(at: Timestamp) -> String {
    at.time().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// As a mail would be printed: headers, an empty line, the text.
fn show(preview: &EmailPreview) -> String {
    let headers: String =
        preview.headers.iter().map(|(name, text)| format!("{}: {}\n", one_line(name), one_line(text))).collect();
    format!("{headers}\n{}\n", printable(preview.text.trim_end()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_email_that_was_not_sent_is_shown_with_its_text() {
        let email: Email = serde_json::from_value(json!({
            "id": "0199a1b2-0000-7000-8000-000000000001", "tenant": "acme", "provider": "mock",
            "created_at": "2026-01-02T03:04:05.000Z", "status": "mock", "links": { "self": "", "job": "" },
            "to": "zoe@customer.example", "subject": "Hello\u{1b}[2J", "server_reply": null, "text": "Hello Zoé\n", "new": 1
        }))
        .unwrap();
        let shown = describe(&email);
        assert!(shown.contains("status    mock\n") && shown.ends_with("\n\nHello Zoé\n"), "{shown}");
        assert!(!shown.contains('\u{1b}') && !shown.contains("server"), "{shown}");
        assert!(table(&[email]).render(200).contains("zoe@customer.example"));
    }

    #[test]
    fn a_preview_looks_like_a_mail() {
        let headers = json!({ "From": "Shop <shop@ecomsimply.example>", "Subject": "=?utf-8?b?VGjDqQ==?=" });
        let preview =
            serde_json::from_value(json!({ "subject": "Thé", "text": "Prêt\n", "html": null, "headers": headers }));
        let expected = "From: Shop <shop@ecomsimply.example>\nSubject: =?utf-8?b?VGjDqQ==?=\n\nPrêt\n";
        assert_eq!(show(&preview.unwrap()), expected);
    }
}
