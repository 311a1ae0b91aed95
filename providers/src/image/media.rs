//! Fetches the files of pictures, from the hosts that `FAL_MEDIA_HOSTS` names. The addresses come from outside, so they are guarded as those
//! of pages are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::{Client, StatusCode, redirect};
use url::{Host, Url};

use super::{Fetched, answer::NAME};
use crate::{
    ProviderError,
    guard::{Guard, Refused},
    http,
};

/// Of one file, in bytes: as much as a picture may have that is decoded.
const MOST_BYTES: usize = 24 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 3;

#[derive(Debug)]
pub(super) struct Media {
    client: Client,
    hosts: Hosts,
}

#[derive(Debug, Clone)]
struct Hosts {
    /// Lower case; `*.` stands for any name before.
    hosts: Arc<[String]>,
    guard: Guard,
}

impl Media {
    /// `hosts` are separated by commas.
    pub(super) fn new(hosts: &str) -> Result<Self, ProviderError> {
        let hosts: Vec<String> =
            hosts.split(',').map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty()).collect();
        // Whoever names an address knows where it is.
        let addresses: Vec<String> = hosts.iter().filter(|host| host.parse::<IpAddr>().is_ok()).cloned().collect();
        let hosts = Hosts { hosts: hosts.into(), guard: Guard::new(&addresses) };
        let client = http::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .no_proxy()
            .dns_resolver(Arc::new(hosts.guard.clone()))
            .redirect(redirects(hosts.clone()))
            .build()
            .map_err(|error| misconfigured(format!("no HTTP client can be built: {error}")))?;
        Ok(Self { client, hosts })
    }

    /// The bytes at an address.
    pub(super) async fn fetch(&self, address: &Url) -> Result<Fetched, ProviderError> {
        let nothing = |why: String| Ok(Fetched::Nothing(why));
        if let Err(refused) = self.hosts.check(address) {
            return nothing(refused.0);
        }
        let mut response = match self.client.get(address.clone()).send().await {
            Ok(response) => response,
            Err(error) => match Refused::within(&error) {
                Some(refused) => return nothing(format!("{address}: {refused}")),
                None => return Err(failure(address, &error)),
            },
        };
        match response.status() {
            status if status.is_success() => {}
            // An address that has expired may be any of these.
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE) => {
                return nothing(format!("the picture {address} is no longer there: {status}"));
            }
            status => return Err(transient(format!("{address} answered {status}"))),
        }
        let too_large = || nothing(format!("{address} has more than {MOST_BYTES} bytes"));
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if announced > MOST_BYTES {
            return too_large();
        }
        // It grows as it comes, whatever was announced.
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(address, &error))? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return too_large();
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Fetched::Bytes(bytes.into()))
    }
}

impl Hosts {
    fn check(&self, url: &Url) -> Result<(), Refused> {
        self.guard.check(url)?;
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let is_named = |known: &String| match known.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == *known,
        };
        if !self.hosts.iter().any(is_named) {
            return Err(Refused(format!("pictures are not fetched from {host}: FAL_MEDIA_HOSTS does not name it")));
        }
        if url.scheme() == "https" || matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) {
            Ok(())
        } else {
            Err(Refused(format!("{url} is refused: pictures are fetched by https")))
        }
    }
}

fn redirects(hosts: Hosts) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS {
            return attempt.error(Refused(format!("more than {REDIRECTS} redirects")));
        }
        match hosts.check(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

/// No answer, or only half of one.
fn failure(address: &Url, error: &reqwest::Error) -> ProviderError {
    let what = match error {
        error if error.is_timeout() => "timed out",
        error if error.is_connect() => "cannot be reached",
        _ => "broke off",
    };
    transient(format!("{address} {what}"))
}

fn transient(message: String) -> ProviderError {
    ProviderError::Transient { service: NAME, message, retry_after: None }
}

fn misconfigured(message: String) -> ProviderError {
    ProviderError::Misconfigured { service: NAME, message }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use super::*;

    async fn fetch(hosts: &str, answer: ResponseTemplate) -> Result<Fetched, ProviderError> {
        let server = MockServer::start().await;
        Mock::given(path("/cup.jpeg")).respond_with(answer).mount(&server).await;
        let address = Url::parse(&format!("{}/cup.jpeg", server.uri())).unwrap();
        Media::new(hosts).unwrap().fetch(&address).await
    }

    /// Why there is nothing to be had.
    async fn nothing(hosts: &str, answer: ResponseTemplate) -> String {
        match fetch(hosts, answer).await.unwrap() {
            Fetched::Nothing(why) => why,
            Fetched::Bytes(bytes) => panic!("{} bytes", bytes.len()),
        }
    }

    #[tokio::test]
    async fn files_come_from_the_named_hosts_alone() {
        let picture = || ResponseTemplate::new(200).set_body_bytes(b"picture".to_vec());
        let bytes = Fetched::Bytes(b"picture".to_vec().into());
        assert_eq!(fetch("*.fal.media, 127.0.0.1", picture()).await.unwrap(), bytes);
        assert!(nothing("*.fal.media", picture()).await.contains("127.0.0.1 is refused"));
        let elsewhere = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.2/");
        assert!(nothing("127.0.0.1", elsewhere).await.contains("127.0.0.2"));

        let hosts = Media::new("fal.media,*.fal.media,127.0.0.1").unwrap().hosts;
        let check = |url: &str| hosts.check(&Url::parse(url).unwrap());
        for fine in ["https://fal.media/a", "https://v3.FAL.media/files/b", "http://127.0.0.1:9/c"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for refused in [
            "http://v3.fal.media/a",
            "https://evilfal.media/a",
            "https://fal.media.evil.example/a",
            "https://ann:hush@fal.media/",
            "https://10.0.0.1/",
            "ftp://fal.media/",
        ] {
            assert!(check(refused).is_err(), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_is_gone_is_told_from_what_fails() {
        for gone in [401, 403, 404, 410] {
            assert!(nothing("127.0.0.1", ResponseTemplate::new(gone)).await.contains("no longer there"), "{gone}");
        }
        assert_eq!(fetch("127.0.0.1", ResponseTemplate::new(503)).await.unwrap_err().code(), "provider_unavailable");
        let bomb = ResponseTemplate::new(200).set_body_bytes(vec![0; MOST_BYTES + 1]);
        assert!(nothing("127.0.0.1", bomb).await.contains("more than 25165824 bytes"));
        assert_eq!(fetch("127.0.0.1", ResponseTemplate::new(200)).await.unwrap(), Fetched::Bytes(Vec::new().into()));
    }
}
