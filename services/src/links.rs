//! Addresses of the API that go out to people, signed: who has one has got it from us, and cannot make another.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// What the key is for: what is signed for one purpose is worth nothing for another.
const UNSUBSCRIBE: &[u8] = b"ecomsimply/unsubscribe/v1";
const IMAGE: &[u8] = b"ecomsimply/image/v1";
const FAL_WEBHOOK: &[u8] = b"ecomsimply/fal-webhook/v1";
const SUBSCRIBE: &[u8] = b"ecomsimply/subscribe/v1";
const MOCK: &[u8] = b"ecomsimply/mock-payments/v1";
/// So long the page of plans is open to whoever has its address.
const SUBSCRIBE_S: u64 = 3600;
/// An address of a picture is good for at least so long.
const IMAGE_DAYS: u64 = 30;
const DAY_S: u64 = 24 * 3600;

/// Makes and checks signed addresses. Without `PUBLIC_URL` and `JWT_SECRET` it makes none, and without the latter it trusts none.
#[derive(Clone, Default)]
pub struct Links {
    public_url: Option<String>,
    secret: Option<SecretString>,
}

impl fmt::Debug for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Links").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Links {
    /// `public_url` is where the API is reached from outside, without a slash at its end; keys are made of `secret`.
    #[must_use]
    pub fn new(public_url: Option<String>, secret: Option<SecretString>) -> Self {
        Self { public_url, secret }
    }

    /// Where the recipient of the reminder that this job sends asks for no more of them.
    #[must_use]
    pub fn unsubscribe(&self, job_id: &str) -> Option<String> {
        let base = self.public_url.as_ref()?;
        let signature = self.mac(UNSUBSCRIBE, job_id)?.finalize().into_bytes();
        Some(format!("{base}/api/emails/{job_id}/unsubscribe?sig={}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether [`Self::unsubscribe`] has made an address for this job with this `sig`.
    #[must_use]
    pub fn is_unsubscribe(&self, job_id: &str, sig: &str) -> bool {
        let (Some(mac), Ok(sig)) = (self.mac(UNSUBSCRIBE, job_id), URL_SAFE_NO_PAD.decode(sig)) else { return false };
        // In constant time.
        mac.verify_slice(&sig).is_ok()
    }

    /// The same links, made with another secret.
    #[must_use]
    pub fn with_secret(&self, secret: SecretString) -> Self {
        Self { public_url: self.public_url.clone(), secret: Some(secret) }
    }

    /// What stands before the addresses of pictures: nothing where it is not known how the API is reached.
    #[must_use]
    pub fn before_images(&self) -> &str {
        self.public_url.as_deref().unwrap_or_default()
    }

    /// What comes behind the addresses of all sizes of this picture, so that whoever has one needs no token: the time at which they
    /// expire, 30 to 31 days after `now_s`, and the signature. The same all day, so that an address that is shown twice is the same.
    #[must_use]
    pub fn behind_image(&self, id: &str, now_s: u64) -> Option<String> {
        let exp = (now_s / DAY_S + IMAGE_DAYS + 1) * DAY_S;
        let signature = self.mac(IMAGE, &format!("{id}?exp={exp}"))?.finalize().into_bytes();
        Some(format!("?exp={exp}&sig={}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether [`Self::behind_image`] has signed this picture with this `exp`, and that has not passed.
    #[must_use]
    pub fn is_image(&self, id: &str, exp: &str, sig: &str, now_s: u64) -> bool {
        let (Some(mac), Ok(sig)) = (self.mac(IMAGE, &format!("{id}?exp={exp}")), URL_SAFE_NO_PAD.decode(sig)) else {
            return false;
        };
        let has_passed = exp.parse::<u64>().map_or(true, |exp| exp <= now_s);
        // In constant time.
        mac.verify_slice(&sig).is_ok() && !has_passed
    }

    /// Where fal calls when it is done with what this job asked for. It calls nothing but https.
    ///
    /// Whoever has an account at fal can have it sign a call to any address. That this address is of this job is what `sig` says.
    #[must_use]
    pub fn fal_webhook(&self, job_id: &str) -> Option<String> {
        let base = self.public_url.as_ref().filter(|url| url.starts_with("https://"))?;
        let signature = self.mac(FAL_WEBHOOK, job_id)?.finalize().into_bytes();
        Some(format!("{base}/api/webhooks/fal?job={job_id}&sig={}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whether [`Self::fal_webhook`] has made an address for this job with this `sig`.
    #[must_use]
    pub fn is_fal_webhook(&self, job_id: &str, sig: &str) -> bool {
        let (Some(mac), Ok(sig)) = (self.mac(FAL_WEBHOOK, job_id), URL_SAFE_NO_PAD.decode(sig)) else { return false };
        // In constant time.
        mac.verify_slice(&sig).is_ok()
    }

    /// Where the API is reached from outside, without a slash at its end, if that is known.
    #[must_use]
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// Where this tenant subscribes to a plan, and until when that is good, in Unix seconds: an hour. Without `PUBLIC_URL` the address
    /// begins with its path.
    #[must_use]
    pub fn subscribe(&self, tenant: &str, now_s: u64) -> Option<(String, u64)> {
        let exp = now_s + SUBSCRIBE_S;
        let signature = self.mac(SUBSCRIBE, &format!("{exp}.{tenant}"))?.finalize().into_bytes();
        let (tenant, signature) = (URL_SAFE_NO_PAD.encode(tenant), URL_SAFE_NO_PAD.encode(signature));
        let base = self.public_url.as_deref().unwrap_or_default();
        Some((format!("{base}/subscribe?t={tenant}.{exp}.{signature}"), exp))
    }

    /// The tenant for whom [`Self::subscribe`] has made an address with this `t`, if its hour has not passed.
    #[must_use]
    pub fn is_subscribe(&self, t: &str, now_s: u64) -> Option<String> {
        let (named, signature) = t.rsplit_once('.')?;
        let (tenant, exp) = named.split_once('.')?;
        let tenant = String::from_utf8(URL_SAFE_NO_PAD.decode(tenant).ok()?).ok()?;
        let mac = self.mac(SUBSCRIBE, &format!("{exp}.{tenant}"))?;
        // In constant time.
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        (now_s < exp.parse().ok()?).then_some(tenant)
    }

    /// What stands in the addresses of a customer of the mock of payments, in hexadecimal: of the same key the same, and nobody else can tell it.
    #[must_use]
    pub fn mock_customer(&self, key: &str) -> Option<String> {
        Some(self.mac(MOCK, key)?.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn mac(&self, purpose: &[u8], text: &str) -> Option<Hmac<Sha256>> {
        let mut key = [0; 32];
        let secret = self.secret.as_ref()?.expose_secret().as_bytes();
        Hkdf::<Sha256>::new(None, secret).expand(purpose, &mut key).ok()?;
        Some(Hmac::new_from_slice(&key).ok()?.chain_update(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "0199a1b2-0000-7000-8000-000000000000";

    fn links(secret: &str) -> Links {
        Links::new(Some("https://jobs.example".to_owned()), Some(secret.into()))
    }

    fn sig(links: &Links, job_id: &str) -> String {
        links.unsubscribe(job_id).unwrap().split_once("?sig=").unwrap().1.to_owned()
    }

    #[test]
    fn a_link_is_good_for_its_own_mail_and_secret_alone() {
        let ours = links("a secret that is long enough for all");
        let good = sig(&ours, JOB);
        assert!(ours.is_unsubscribe(JOB, &good));
        assert_eq!(good.len(), 43);
        let other = "0199a1b2-0000-7000-8000-000000000001";
        let tail = if good.ends_with('A') { "E" } else { "A" };
        let (one_less, changed) = (&good[..42], format!("{}{tail}", &good[..42]));
        for (job_id, sig) in
            [(other, good.as_str()), (JOB, ""), (JOB, one_less), (JOB, &changed), (JOB, "é"), (JOB, &sig(&ours, other))]
        {
            assert!(!ours.is_unsubscribe(job_id, sig), "{sig}");
        }
        assert!(!links("another secret that is long enough").is_unsubscribe(JOB, &good));
        assert!(!Links::default().is_unsubscribe(JOB, &good));
        assert!(!format!("{ours:?}").contains("enough"));
    }

    #[test]
    fn the_key_is_not_the_secret_itself() {
        let secret = "a secret that is long enough for all";
        let bare = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(JOB).finalize();
        assert!(!links(secret).is_unsubscribe(JOB, &URL_SAFE_NO_PAD.encode(bare.into_bytes())));
    }

    #[test]
    fn an_address_of_a_picture_is_good_for_all_its_sizes_for_a_month_and_for_no_other() {
        const NOW: u64 = 1_800_000_123;
        let ours = links("a secret that is long enough for all");
        let behind = ours.behind_image("a-0", NOW).unwrap();
        assert_eq!(behind, ours.behind_image("a-0", NOW - 3600).unwrap(), "it is the same all day");
        let (exp, sig) = behind.strip_prefix("?exp=").unwrap().split_once("&sig=").unwrap();
        let last = exp.parse::<u64>().unwrap();
        assert!((30 * DAY_S..=31 * DAY_S).contains(&(last - NOW)));
        assert!(ours.is_image("a-0", exp, sig, NOW) && ours.is_image("a-0", exp, sig, last - 1));
        assert!(!ours.is_image("a-0", exp, sig, last));
        let later = (last + DAY_S).to_string();
        for (id, exp, sig) in
            [("a-1", exp, sig), ("a-0", &later, sig), ("a-0", exp, ""), ("a-0", "", sig), ("a-0", exp, &sig[1..])]
        {
            assert!(!ours.is_image(id, exp, sig, NOW), "{id} {exp} {sig}");
        }
        assert!(!links("another secret that is long enough").is_image("a-0", exp, sig, NOW));
        assert!(!Links::default().is_image("a-0", exp, sig, NOW));
        // What is signed for one purpose is worth nothing for another.
        assert!(!ours.is_unsubscribe(&format!("a-0?exp={exp}"), sig));
        assert_eq!((ours.before_images(), Links::default().before_images()), ("https://jobs.example", ""));
    }

    #[test]
    fn an_address_that_fal_calls_is_good_for_its_own_job_and_secret_alone() {
        let ours = links("a secret that is long enough for all");
        let address = ours.fal_webhook(JOB).unwrap();
        let (path, sig) = address.split_once("&sig=").unwrap();
        assert_eq!(path, format!("https://jobs.example/api/webhooks/fal?job={JOB}"));
        assert!(ours.is_fal_webhook(JOB, sig));
        for (job_id, sig) in [("another", sig), (JOB, ""), (JOB, &sig[1..]), (JOB, "é")] {
            assert!(!ours.is_fal_webhook(job_id, sig), "{sig}");
        }
        assert!(!links("another secret that is long enough").is_fal_webhook(JOB, sig));
        assert!(!Links::default().is_fal_webhook(JOB, sig));
        // What is signed for one purpose is worth nothing for another.
        assert!(!ours.is_unsubscribe(JOB, sig) && !ours.is_fal_webhook(JOB, &self::sig(&ours, JOB)));
        let plain = Links::new(Some("http://jobs.example".to_owned()), Some("x".into()));
        assert_eq!(plain.fal_webhook(JOB), None, "fal calls https alone");
    }

    #[test]
    fn the_page_of_plans_is_open_to_its_own_tenant_for_an_hour() {
        const NOW: u64 = 1_800_000_123;
        let ours = links("a secret that is long enough for all");
        let (address, exp) = ours.subscribe("acme", NOW).unwrap();
        let t = address.strip_prefix("https://jobs.example/subscribe?t=").unwrap();
        assert_eq!((exp, ours.is_subscribe(t, exp - 1).as_deref()), (NOW + 3600, Some("acme")));
        assert_eq!(ours.is_subscribe(t, exp), None);
        let parts: Vec<&str> = t.split('.').collect();
        let other = URL_SAFE_NO_PAD.encode("acme2");
        let later = (exp + 1).to_string();
        let (bolt, _) = ours.subscribe("bolt", NOW).unwrap();
        let of_bolt = bolt.rsplit_once('.').unwrap().1;
        let made = |tenant: &str, exp: &str, signature: &str| format!("{tenant}.{exp}.{signature}");
        for bad in [
            String::new(),
            "..".to_owned(),
            made(&other, parts[1], parts[2]),
            made(parts[0], &later, parts[2]),
            made(parts[0], parts[1], of_bolt),
            made(parts[0], parts[1], &parts[2][1..]),
            made(parts[0], parts[1], ""),
            made("é", parts[1], parts[2]),
        ] {
            assert_eq!(ours.is_subscribe(&bad, NOW), None, "{bad}");
        }
        assert_eq!(links("another secret that is long enough").is_subscribe(t, NOW), None);
        assert_eq!(Links::default().is_subscribe(t, NOW), None);
        // What is signed for one purpose is worth nothing for another.
        assert!(!ours.is_unsubscribe(&format!("{exp}.acme"), parts[2]));
        let relative = Links::new(None, Some("x".into())).subscribe("acme", NOW).unwrap().0;
        assert!(relative.starts_with("/subscribe?t="), "{relative}");
    }

    #[test]
    fn a_customer_of_the_mock_has_a_place_that_only_the_secret_tells() {
        let ours = links("a secret that is long enough for all");
        let place = ours.mock_customer("api:acme").unwrap();
        assert_eq!((place.len(), Some(&place)), (64, ours.mock_customer("api:acme").as_ref()));
        assert_ne!(Some(&place), ours.mock_customer("api:bolt").as_ref());
        assert_ne!(Some(&place), links("another secret that is long enough").mock_customer("api:acme").as_ref());
        assert_eq!(Links::default().mock_customer("api:acme"), None);
    }

    #[test]
    fn without_address_or_secret_there_is_no_link() {
        assert_eq!(Links::new(None, Some("x".into())).fal_webhook(JOB), None);
        assert_eq!(Links::new(Some("https://jobs.example".to_owned()), None).fal_webhook(JOB), None);
        assert_eq!(Links::new(None, Some("x".into())).unsubscribe(JOB), None);
        assert_eq!(Links::new(Some("https://jobs.example".to_owned()), None).unsubscribe(JOB), None);
    }
}
