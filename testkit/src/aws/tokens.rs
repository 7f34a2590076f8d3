//! ServiceAccount tokens: verified against the issuers the test trusts, as an IAM OIDC provider is.

use std::collections::HashMap;

use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// What a verified token says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    pub iss: String,
    pub sub: String,
    #[serde(default)]
    pub aud: Audience,
    pub exp: i64,
    #[serde(rename = "kubernetes.io", default)]
    pub kubernetes: Kubernetes,
}

/// `aud` is one text or a list (RFC 7519, 4.1.3).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    pub fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|a| a == wanted),
        }
    }
}

/// The private claims of a bound ServiceAccount token, as far as they are used.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Kubernetes {
    pub pod: Option<Named>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Named {
    pub name: String,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenProblem {
    /// Not a token, or its signature does not fit.
    Invalid,
    /// Nobody said that this issuer is to be trusted.
    UnknownIssuer(String),
    /// The issuer is known, the key is not.
    UnknownKey,
    /// Past its `exp` (seconds since the epoch).
    Expired(i64),
}

/// Trusted issuers with their public keys.
#[derive(Debug, Default)]
pub(crate) struct Issuers {
    keys: HashMap<String, JwkSet>,
}

impl Issuers {
    pub fn trust(&mut self, issuer: &str, jwks_json: &str) -> Result<(), serde_json::Error> {
        let keys = serde_json::from_str(jwks_json)?;
        self.keys.insert(issuer.to_owned(), keys);
        Ok(())
    }

    /// Checks issuer, signature and expiry. The audience is for the caller to compare.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenProblem> {
        let header = decode_header(token).map_err(|_| TokenProblem::Invalid)?;
        // Read before verified, only to choose the key; `decode` below is what counts.
        let unverified: Claims = jsonwebtoken::dangerous::insecure_decode(token)
            .map_err(|_| TokenProblem::Invalid)?
            .claims;
        let issuer = unverified.iss;
        let keys = self
            .keys
            .get(&issuer)
            .ok_or_else(|| TokenProblem::UnknownIssuer(issuer.clone()))?;
        let jwk = match &header.kid {
            Some(kid) => keys.find(kid),
            None => keys.keys.first(),
        };
        let key = DecodingKey::from_jwk(jwk.ok_or(TokenProblem::UnknownKey)?)
            .map_err(|_| TokenProblem::UnknownKey)?;
        let mut rules = Validation::new(header.alg);
        rules.set_issuer(&[issuer]);
        // Expiry is compared with the fake's clock, the audience by the caller.
        rules.validate_exp = false;
        rules.validate_aud = false;
        let claims: Claims = decode(token, &key, &rules)
            .map_err(|_| TokenProblem::Invalid)?
            .claims;
        if claims.exp <= now.as_second() {
            return Err(TokenProblem::Expired(claims.exp));
        }
        Ok(claims)
    }
}
