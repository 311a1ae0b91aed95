//! What `jsonwebtoken` signs and checks with: HMAC of the `RustCrypto` crates. Its own ways bring a library in C, or all of RSA and
//! elliptic curves, for one hash.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error, Signer, Verifier},
};
use sha2::{Sha256, Sha384, Sha512};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key: &EncodingKey| {
        if key.family() != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        match algorithm {
            Algorithm::HS256 => Ok(Box::new(Keyed::<Hmac<Sha256>>::new(*algorithm, key.as_bytes())?)),
            Algorithm::HS384 => Ok(Box::new(Keyed::<Hmac<Sha384>>::new(*algorithm, key.as_bytes())?)),
            Algorithm::HS512 => Ok(Box::new(Keyed::<Hmac<Sha512>>::new(*algorithm, key.as_bytes())?)),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    },
    verifier_factory: |algorithm, key: &DecodingKey| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Keyed::<Hmac<Sha256>>::new(*algorithm, key.try_get_as_bytes()?)?)),
        Algorithm::HS384 => Ok(Box::new(Keyed::<Hmac<Sha384>>::new(*algorithm, key.try_get_as_bytes()?)?)),
        Algorithm::HS512 => Ok(Box::new(Keyed::<Hmac<Sha512>>::new(*algorithm, key.try_get_as_bytes()?)?)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` work in this process. Call it before each first use; more often does no harm.
pub(crate) fn provide() {
    let _ = PROVIDER.install_default();
}

/// A key with the hash that it is for.
struct Keyed<M> {
    algorithm: Algorithm,
    mac: M,
}

impl<M: Mac + KeyInit> Keyed<M> {
    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self> {
        let mac = <M as KeyInit>::new_from_slice(key).map_err(|_| ErrorKind::InvalidKeyFormat)?;
        Ok(Self { algorithm, mac })
    }
}

impl<M: Mac + Clone> Signer<Vec<u8>> for Keyed<M> {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.mac.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl<M: Mac + Clone> Verifier<Vec<u8>> for Keyed<M> {
    /// Takes the same time whatever is wrong with the signature.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.mac.clone().chain_update(message).verify_slice(signature).map_err(Error::from_source)
    }
}

impl<M: Mac + Clone> JwtSigner for Keyed<M> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl<M: Mac + Clone> JwtVerifier for Keyed<M> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::{sign, verify};

    use super::*;

    /// The values were computed with Python's hmac.
    #[test]
    fn signatures_are_those_of_rfc_7518_and_a_changed_one_is_none() {
        provide();
        let (signs, checks) = (EncodingKey::from_secret(b"key"), DecodingKey::from_secret(b"key"));
        for (algorithm, expected) in [
            (Algorithm::HS256, "97yD9DBThCSxMpjmqm-xQ-9NWaFJRhdZl0edvC0aPNg"),
            (Algorithm::HS384, "1_RyfiwLOa4PHkDMlvYCQtW3gBhBzqb8WSxdPhrlBwBYKpbPNeHlVJlf5OAzgcI3"),
            (
                Algorithm::HS512,
                "tCrwkFe6weLUFwjkipAuCbX_fxKrQopP6GZTxz3SSPuC-UilSfe3kaW0GRXuTR7Dk1NX5OIxclDQNyr6Lr7rOg",
            ),
        ] {
            let message = b"The quick brown fox jumps over the lazy dog";
            assert_eq!(sign(message, &signs, algorithm).unwrap(), expected);
            assert!(verify(expected, message, &checks, algorithm).unwrap());
            for (signature, message, key) in [
                (&expected[..40], &message[..], "key"),
                ("", message, "key"),
                (expected, &message[1..], "key"),
                (expected, message, "kez"),
            ] {
                let key = DecodingKey::from_secret(key.as_bytes());
                assert!(!verify(signature, message, &key, algorithm).unwrap(), "{algorithm:?} {signature}");
            }
        }
        assert!(sign(b"", &signs, Algorithm::ES256).is_err());
        assert!(verify("", b"", &checks, Algorithm::RS256).is_err());
    }
}
