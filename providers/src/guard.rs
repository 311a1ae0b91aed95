//! Keeps fetches out of private networks. The URLs come from users, so each one is checked, each redirect is, and each name is
//! resolved here: the addresses that pass are the ones that are connected to, so a name cannot change its mind in between.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why a URL is not fetched. It never will be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    /// The refusal that lies at the bottom of `error`, if one does.
    pub(crate) fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
    }
}

/// The guard. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    allow_hosts: Arc<[String]>,
    networks: Arc<[IpNet]>,
}

impl Guard {
    /// `allow_hosts` (lower case, no port) may have any address; those that are networks, as `10.0.0.0/8`, are addresses that pass.
    pub(crate) fn new(allow_hosts: &[String]) -> Self {
        let networks = allow_hosts.iter().filter_map(|host| host.parse().ok()).collect();
        Self { allow_hosts: allow_hosts.into(), networks }
    }

    /// Checks all of a URL but the addresses behind its name.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused(format!("scheme {} is refused: only http and https are fetched", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused("a URL with a user name or password is refused".to_owned()));
        }
        let address = match url.host() {
            None => return Err(Refused("a URL without host is refused".to_owned())),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
        };
        if self.allows(&address.to_string()) || self.passes(address) {
            Ok(())
        } else {
            Err(Refused(format!("address {address} is refused: it is not public")))
        }
    }

    fn passes(&self, address: IpAddr) -> bool {
        is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether a host is allowed by its name.
    pub(crate) fn allows(&self, host: &str) -> bool {
        self.allow_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    async fn addresses(self, host: String) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        // The port is filled in later from the URL.
        let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
        if self.allows(&host) {
            return Ok(found);
        }
        let public: Vec<_> = found.into_iter().filter(|address| self.passes(address.ip())).collect();
        if public.is_empty() {
            return Err(Refused(format!("host {host} is refused: it has no public address")).into());
        }
        Ok(public)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(guard.addresses(host).await?.into_iter()) as Addrs) })
    }
}

/// Whether an address belongs to the open internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    /// Network and length of its prefix.
    const CLOSED: [([u8; 4], u32); 16] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        // Carrier-grade NAT; one cloud has its metadata service in here.
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        // A public address by its number, and the inner service of one cloud by its use.
        ([168, 63, 129, 16], 32),
        // Link-local, with most clouds' metadata services.
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    let bits = address.to_bits();
    !CLOSED.iter().any(|(network, length)| (bits ^ u32::from_be_bytes(*network)) >> (32 - length) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is handed out: that leaves out loopback, unique-local, link-local, multicast and IPv4-mapped addresses.
    // Inside it, 6to4 and Teredo carry IPv4 addresses, and 2001:db8::/32 is for books.
    let handed_out = first & 0xe000 == 0x2000;
    let carries_v4 = first == 0x2002 || (first, second) == (0x2001, 0);
    handed_out && !carries_v4 && (first, second) != (0x2001, 0x0db8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        for closed in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(closed.parse().unwrap()), "{closed}");
        }
        for open in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "93.184.216.34", "192.0.1.1", "2606:4700::1111"] {
            assert!(is_public(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn urls_are_checked_for_scheme_user_and_address() {
        let guard = Guard::new(&["127.0.0.1".to_owned()]);
        let check = |url: &str| guard.check(&Url::parse(url).unwrap());
        for fine in ["https://shop.example/a", "http://127.0.0.1:8000/", "http://1.1.1.1/", "http://localhost/"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for refused in [
            "ftp://shop.example/a",
            "file:///etc/passwd",
            "https://ann:secret@shop.example/",
            "http://10.0.0.1/",
            "http://0x7f.2/",
            "http://2130706434/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(check(refused).is_err(), "{refused}");
        }
        let guard = Guard::new(&["10.1.0.0/16".to_owned()]);
        assert_eq!(guard.check(&Url::parse("http://10.1.2.3/").unwrap()), Ok(()));
        assert!(guard.check(&Url::parse("http://10.2.2.3/").unwrap()).is_err() && !guard.allows("10.1.2.3"));
        assert!(!check("https://ann:secret@shop.example/").unwrap_err().to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_name_with_private_addresses_only_is_refused_unless_it_is_allowed() {
        let refused = Guard::new(&[]).addresses("localhost".to_owned()).await.unwrap_err();
        assert!(Refused::within(refused.as_ref()).is_some(), "{refused}");
        let allowed = Guard::new(&["localhost".to_owned()]).addresses("localhost".to_owned()).await.unwrap();
        assert!(!allowed.is_empty());
    }
}
