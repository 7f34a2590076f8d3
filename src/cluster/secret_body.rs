//! Secrets as bytes on the wire: our own encoder and decoder, so that values pass through no type that
//! could print or log them, and through no buffer that is not zeroed.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use zeroize::Zeroizing;

use super::ClusterError;
use crate::core::{SecretValue, change::Data, ownership::SecretHead, write_plan::LiveSecret};

/// A Secret to be sent.
pub struct Outgoing<'a> {
    /// Complete for POST and PUT; only our part for an apply.
    pub meta: &'a ObjectMeta,
    /// None for an apply: the type stays what it is.
    pub type_: Option<&'a str>,
    /// The bytes; None for an apply that gives all of them up.
    pub data: Option<&'a Data>,
}

impl Outgoing<'_> {
    /// The JSON body, in a buffer that is zeroed and was never moved while it grew.
    ///
    /// # Errors
    /// None in practice: these types always serialize.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, ClusterError> {
        let values: usize = self
            .data
            .into_iter()
            .flatten()
            .map(|(key, value)| key.len() + value.len() * 4 / 3 + 16)
            .sum();
        let meta = serde_json::to_vec(self.meta).map_err(unencodable)?;
        let mut body = Zeroizing::new(Vec::with_capacity(values + meta.len() + 512));
        let wire = Wire {
            api_version: "v1",
            kind: "Secret",
            metadata: self.meta,
            type_: self.type_,
            data: self.data.map(Encoded),
        };
        serde_json::to_writer(&mut *body, &wire).map_err(unencodable)?;
        Ok(body)
    }
}

fn unencodable(_: serde_json::Error) -> ClusterError {
    ClusterError::Unavailable("a Secret of ours could not be encoded")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: &'a ObjectMeta,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    type_: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Encoded<'a>>,
}

struct Encoded<'a>(&'a Data);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Base64(value))))
    }
}

struct Base64<'a>(&'a SecretValue);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // base64's own writers leave the last kilobyte on the stack.
        let bytes = self.0.expose();
        let mut text = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
        let encoded = STANDARD.encode_slice(bytes, &mut text);
        encoded.map_err(|_| ser::Error::custom("no base64"))?;
        let text = std::str::from_utf8(&text);
        serializer.serialize_str(text.map_err(|_| ser::Error::custom("no base64"))?)
    }
}

/// A Secret as it came.
#[derive(Deserialize)]
pub struct Incoming {
    metadata: ObjectMeta,
    #[serde(default, rename = "type")]
    type_: String,
    #[serde(default)]
    immutable: Option<bool>,
    #[serde(default)]
    data: Option<BTreeMap<String, Decoded>>,
}

impl From<Incoming> for LiveSecret {
    fn from(came: Incoming) -> Self {
        let head = SecretHead {
            meta: came.metadata,
            type_: came.type_,
            immutable: came.immutable == Some(true),
        };
        let data = came
            .data
            .into_iter()
            .flatten()
            .map(|(key, value)| (key, value.0))
            .collect();
        Self { head, data }
    }
}

struct Decoded(SecretValue);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecodedVisitor)
    }
}

struct DecodedVisitor;

impl de::Visitor<'_> for DecodedVisitor {
    type Value = Decoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Decoded, E> {
        // The decoder's own error quotes the offending byte.
        let value = SecretValue::decoded(&STANDARD, text.as_bytes());
        value.map(Decoded).ok_or_else(|| E::custom("no base64"))
    }

    /// An empty value may come as null.
    fn visit_unit<E: de::Error>(self) -> Result<Decoded, E> {
        Ok(Decoded(SecretValue::new(Vec::new())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_byte_survives_the_way_out_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        let data = Data::from([
            ("all.bytes".to_owned(), SecretValue::new(all)),
            ("empty".to_owned(), SecretValue::new(Vec::new())),
            ("text".to_owned(), SecretValue::from("line\n".to_owned())),
        ]);
        let meta = ObjectMeta {
            name: Some("s".into()),
            ..ObjectMeta::default()
        };
        let body = Outgoing {
            meta: &meta,
            type_: Some("Opaque"),
            data: Some(&data),
        }
        .encode()
        .unwrap();
        let back: LiveSecret = serde_json::from_slice::<Incoming>(&body).unwrap().into();
        assert_eq!(back.data, data);
        assert_eq!(back.head.type_, "Opaque");
        assert_eq!(back.head.meta, meta);
    }

    #[test]
    fn the_buffer_never_grew() {
        let data: Data = (0..50)
            .map(|n| (format!("KEY_{n}"), SecretValue::new(vec![7; n * 31])))
            .collect();
        let meta = ObjectMeta::default();
        let out = Outgoing {
            meta: &meta,
            type_: Some("Opaque"),
            data: Some(&data),
        };
        let body = out.encode().unwrap();
        assert!(body.len() <= body.capacity());
        let values: usize = data
            .iter()
            .map(|(key, value)| key.len() + value.len() * 4 / 3 + 16)
            .sum();
        assert!(body.len() <= values + serde_json::to_vec(&meta).unwrap().len() + 512);
    }

    #[test]
    fn an_apply_names_no_type() {
        let (meta, data) = (ObjectMeta::default(), Data::new());
        let body = Outgoing {
            meta: &meta,
            type_: None,
            data: Some(&data),
        }
        .encode()
        .unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("\"type\"") && text.contains("\"data\":{}"));
    }

    #[test]
    fn a_decoding_error_quotes_nothing() {
        let error = serde_json::from_str::<Incoming>(r#"{"metadata":{},"data":{"A":"hunter2!"}}"#)
            .err()
            .unwrap();
        assert!(!error.to_string().contains("hunter2"));
    }
}
