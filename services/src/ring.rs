//! The keys under which secrets of others are kept: a ring of them, the newest first, so that a key can be changed and nothing is lost.
//!
//! A sealed text is `ec1.<key's name>.<base64url of nonce, ciphertext and tag>`: XChaCha20-Poly1305 with a random nonce, bound to the key's name and to
//! the place that it belongs to. Moved to another place, it does not open.

use std::{collections::BTreeSet, fmt, sync::Arc};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, KeyInit, Payload},
};
use secrecy::SecretString;

/// The form and the algorithm; others get another word.
const FORM: &str = "ec1";
/// The name of a key that has none.
const ONLY: &str = "k1";
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
const RULE: &str =
    "must be 32 bytes in base64, or several as in k2:BASE64,k1:BASE64; make one with: openssl rand -base64 32";

/// Keys with names, the newest first. Cheap to clone.
#[derive(Clone)]
pub struct Ring(Arc<[Key]>);

struct Key {
    name: String,
    cipher: XChaCha20Poly1305,
}

/// A sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The name of the key that opens it.
    pub key: String,
    /// What is stored; the key's name is in it, too.
    pub text: String,
}

/// Why a sealed secret does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// Its key was taken out of the ring, or never put in.
    #[error("it is sealed with the key {0}, which ENCRYPTION_KEY does not have")]
    NoKey(String),
    /// Nothing more can be said.
    #[error("it does not open: it was changed, or it belongs elsewhere, or the key of its name is another one now")]
    Wrong,
}

impl fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.names()).finish()
    }
}

impl Ring {
    /// Reads `ENCRYPTION_KEY`.
    ///
    /// # Errors
    /// What is wrong with it; completes "`ENCRYPTION_KEY` …" and quotes none of it.
    pub fn parse(keys: &str) -> Result<Self, String> {
        let keys = keys.split(',').map(|entry| {
            let (name, key) = entry.trim().split_once(':').unwrap_or((ONLY, entry.trim()));
            let is_name = (1..=8).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            let key = key.trim_end_matches('=');
            let bytes = STANDARD_NO_PAD.decode(key).or_else(|_| URL_SAFE_NO_PAD.decode(key)).ok();
            let bytes = bytes.filter(|bytes| is_name && bytes.len() == KEY_BYTES).ok_or(RULE)?;
            let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_| RULE)?;
            Ok(Key { name: name.to_owned(), cipher })
        });
        let keys = keys.collect::<Result<Vec<_>, &str>>()?;
        let names: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        if names.len() < keys.len() {
            return Err("must have each key's name once".to_owned());
        }
        Ok(Self(keys.into()))
    }

    /// The name of the key that seals.
    #[must_use]
    pub fn newest(&self) -> &str {
        self.0.first().map_or(ONLY, |key| key.name.as_str())
    }

    /// The names of all keys, the newest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.name.as_str())
    }

    /// Seals a secret of this place with the newest key.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn seal(&self, place: &str, secret: &str) -> Sealed {
        let key = &self.0[0];
        let (nonce, bound) = (XNonce::generate(), bound_to(&key.name, place));
        let payload = Payload { msg: secret.as_bytes(), aad: bound.as_bytes() };
        let sealed = key.cipher.encrypt(&nonce, payload).expect("only a text of 256 GiB cannot be sealed");
        let text = format!("{FORM}.{}.{}", key.name, URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()));
        Sealed { key: key.name.clone(), text }
    }

    /// Opens a secret that was sealed for this place.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn open(&self, place: &str, sealed: &str) -> Result<SecretString, NotOpened> {
        let [FORM, name, text] = sealed.split('.').collect::<Vec<_>>()[..] else { return Err(NotOpened::Wrong) };
        let key = self.0.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| NotOpened::NoKey(name.chars().take(8).collect()))?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotOpened::Wrong)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or(NotOpened::Wrong)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| NotOpened::Wrong)?;
        let bound = bound_to(name, place);
        let opened = key.cipher.decrypt(&nonce, Payload { msg: sealed, aad: bound.as_bytes() });
        let opened = opened.map_err(|_| NotOpened::Wrong)?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| NotOpened::Wrong)
    }
}

/// What the tag covers beside the secret.
fn bound_to(key: &str, place: &str) -> String {
    format!("{FORM}|{key}|{place}")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const OLD: &str = "k1:aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";
    const NEW: &str = "k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const PLACE: &str = "stores/acme/main/credentials";

    fn ring(keys: &[&str]) -> Ring {
        Ring::parse(&keys.join(", ")).unwrap()
    }

    #[test]
    fn a_secret_opens_where_it_was_sealed_for_and_nowhere_else() {
        let ring = ring(&[OLD]);
        let sealed = ring.seal(PLACE, "shpat_hushhush");
        assert_eq!(sealed.key, "k1");
        assert!(sealed.text.starts_with("ec1.k1.") && !sealed.text.contains("hush"), "{}", sealed.text);
        assert_eq!(ring.open(PLACE, &sealed.text).unwrap().expose_secret(), "shpat_hushhush");
        for elsewhere in ["stores/bolt/main/credentials", "stores/acme/other/credentials", "stores/acme/main/x", ""] {
            assert_eq!(ring.open(elsewhere, &sealed.text).unwrap_err(), NotOpened::Wrong, "{elsewhere}");
        }
        assert_ne!(ring.seal(PLACE, "shpat_hushhush").text, sealed.text, "each has its own nonce");
    }

    #[test]
    fn a_sealed_text_that_was_changed_does_not_open() {
        let ring = ring(&[NEW, OLD]);
        let text = ring.seal(PLACE, "ck_1").text;
        for at in "ec1.k2.".len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(ring.open(PLACE, std::str::from_utf8(&changed).unwrap()).is_err(), "at {at}");
        }
        for bad in ["", "ec1", "ec1.k2", "ec1.k2.", "ec1.k2.AAAA", "ec2.k2.AAAA", "ec1.k2.*", &text.replace("k2", "k1")]
        {
            assert_eq!(ring.open(PLACE, bad).unwrap_err(), NotOpened::Wrong, "{bad}");
        }
    }

    #[test]
    fn the_newest_key_seals_and_each_opens_what_it_sealed() {
        let (before, between, after) = (ring(&[OLD]), ring(&[NEW, OLD]), ring(&[NEW]));
        let old = before.seal(PLACE, "a").text;
        assert_eq!(between.open(PLACE, &old).unwrap().expose_secret(), "a");
        let new = between.seal(PLACE, "b");
        assert_eq!((new.key.as_str(), between.newest()), ("k2", "k2"));
        assert_eq!(after.open(PLACE, &new.text).unwrap().expose_secret(), "b");
        let lost = after.open(PLACE, &old).unwrap_err();
        assert_eq!(lost.to_string(), "it is sealed with the key k1, which ENCRYPTION_KEY does not have");
        // Another key of the same name is not taken for it.
        let other = Ring::parse(&format!("k1:{}", &NEW[3..])).unwrap();
        assert_eq!(other.open(PLACE, &old).unwrap_err(), NotOpened::Wrong);
    }

    #[test]
    fn what_cannot_be_a_ring_is_refused_and_not_quoted() {
        let plain = &OLD[3..];
        assert_eq!(ring(&[plain]).newest(), "k1");
        assert!(ring(&[plain]).open(PLACE, &ring(&[OLD]).seal(PLACE, "a").text).is_ok(), "one without a name is k1");
        assert_eq!(ring(&[NEW, OLD]).names().collect::<Vec<_>>(), ["k2", "k1"]);
        for bad in [
            "",
            ",",
            "hushhush",
            "K2:AAAA",
            &format!("toolongname:{plain}"),
            &format!("{NEW},"),
            &format!("{plain}AAAA"),
        ] {
            assert_eq!(Ring::parse(bad).unwrap_err(), RULE, "{bad}");
        }
        for twice in [format!("{OLD},{OLD}"), format!("{OLD},{plain}")] {
            assert_eq!(Ring::parse(&twice).unwrap_err(), "must have each key's name once");
        }
        assert_eq!(format!("{:?}", ring(&[NEW, OLD])), r#"{"k2", "k1"}"#);
    }
}
