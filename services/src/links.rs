//! Addresses of the API that go out to people, signed: who has one has got it from us, and cannot make another.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// What the key is for: what is signed for one purpose is worth nothing for another.
const UNSUBSCRIBE: &[u8] = b"ecomsimply/unsubscribe/v1";

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
    fn without_address_or_secret_there_is_no_link() {
        assert_eq!(Links::new(None, Some("x".into())).unsubscribe(JOB), None);
        assert_eq!(Links::new(Some("https://jobs.example".to_owned()), None).unsubscribe(JOB), None);
    }
}
