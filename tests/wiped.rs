//! Own buffers zeroize: after a value went through every buffer of ours and all were dropped, the
//! memory of the process is searched for it. Only the binary installs the allocator that overwrites
//! whatever is freed; here every type must do that for itself.
//!
//! A program of its own, because it reads all of its memory. What other crates keep (minijinja's
//! strings, unescaped JSON in serde_json) is the allocator's work: `tests/e2e/memory.rs` sees to that.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    sync::Arc,
};

use aho_corasick::AhoCorasick;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::StreamBody;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyferry::{
    cluster::{
        raw::{DEFAULT_TIMEOUT, Raw},
        secret_body::{Incoming, Outgoing},
        secrets::Secrets,
    },
    core::{
        Entry, EntryValue, Fetched, ParseSettings, Recipe, Rendered, SecretValue, change::Data,
        gate, parse, render, value::Growing, write_plan::LiveSecret,
    },
};
use keyferry_testkit::memory::writable_mapping;
use serde_json::{Value, json};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Laid over a value wherever the test itself keeps it.
const MASK: u8 = 0xA5;
/// Bytes in a row that count as a copy, and the distance of those that are looked for. The allocator's
/// own notes overwrite the beginning of what is freed.
const PIECE: usize = 16;
const STEP: usize = 48;

/// A random value of letters and digits that the test holds masked only.
struct Masked(Vec<u8>);

impl Masked {
    fn new(length: usize) -> Self {
        let letter = || rand::Rng::sample(&mut rand::rng(), rand::distr::Alphanumeric) ^ MASK;
        Self(std::iter::repeat_with(letter).take(length).collect())
    }

    /// The same in another form.
    fn formed(&self, form: impl FnOnce(&[u8]) -> Zeroizing<Vec<u8>>) -> Self {
        let formed = form(&self.within(b"", b""));
        Self(formed.iter().map(|b| b ^ MASK).collect())
    }

    /// The value between two texts, in a buffer that wipes itself.
    fn within(&self, before: &[u8], behind: &[u8]) -> Zeroizing<Vec<u8>> {
        let length = before.len() + self.0.len() + behind.len();
        let mut all = Zeroizing::new(Vec::with_capacity(length));
        all.extend_from_slice(before);
        all.extend(self.0.iter().map(|b| b ^ MASK));
        all.extend_from_slice(behind);
        all
    }

    fn value(&self, before: &str, behind: &str) -> SecretValue {
        let mut all = self.within(before.as_bytes(), behind.as_bytes());
        SecretValue::new(std::mem::take(&mut *all))
    }
}

/// A search for values, with all it needs: what it allocated later would overwrite what was freed.
struct Search {
    finder: AhoCorasick,
    part: Vec<u8>,
    maps: String,
}

impl Search {
    fn new(forms: &[&Masked]) -> Self {
        let pieces = |form: &'_ Masked| {
            form.0
                .windows(PIECE)
                .step_by(STEP)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        };
        Self {
            finder: AhoCorasick::new(forms.iter().flat_map(|form| pieces(form))).unwrap(),
            part: vec![0; 1 << 20],
            maps: String::with_capacity(1 << 20),
        }
    }

    /// How many pieces stand in this process's memory (`/proc/self/mem`, proc(5)).
    fn copies(&mut self) -> usize {
        self.maps.clear();
        let mut maps = File::open("/proc/self/maps").unwrap();
        maps.read_to_string(&mut self.maps).unwrap();
        let mut memory = File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        for (mut from, to) in self.maps.lines().filter_map(writable_mapping) {
            while from < to {
                let length = self.part.len().min(usize::try_from(to - from).unwrap());
                let part = &mut self.part[..length];
                memory.seek(SeekFrom::Start(from)).unwrap();
                if memory.read_exact(part).is_err() {
                    break;
                }
                // Masked at once, as the pieces are: this copy is none.
                part.iter_mut().for_each(|b| *b ^= MASK);
                found += self.finder.find_iter(&*part).count();
                part.zeroize();
                // Parts overlap by a piece.
                let last = from + length as u64 == to;
                from += (length - if last { 0 } else { PIECE }) as u64;
            }
        }
        found
    }
}

fn recipe(spec: Value) -> Recipe {
    let spec = serde_json::from_value(spec).unwrap();
    parse("estate", "app", &spec, &ParseSettings::default()).unwrap()
}

/// The recipe's one entry, as read.
fn fetched(recipe: &Recipe, value: SecretValue) -> Fetched {
    let ask = recipe.asks().into_iter().next().unwrap();
    let entry = Entry {
        arn: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:estate/e-AbCdEf".to_owned(),
        name: "estate/e".to_owned(),
        version_id: "v1".to_owned(),
        created: None,
        value: EntryValue::Text(value),
    };
    Fetched {
        entries: [(ask, Ok(Arc::new(entry)))].into(),
        ..Fetched::default()
    }
}

fn one_key(from: Value) -> Value {
    json!({"data": [{"key": "K", "from": from}]})
}

fn rendered(spec: Value, value: SecretValue) -> Rendered {
    let recipe = recipe(spec);
    let rendered = render(&recipe, &fetched(&recipe, value)).unwrap();
    gate::check_with_origins(&recipe.gate, &rendered.data, &rendered.origins).unwrap();
    rendered
}

/// A Secret as it is sent and as it comes.
fn body(data: &Data) -> Zeroizing<Vec<u8>> {
    let meta = ObjectMeta::default();
    let body = Outgoing {
        meta: &meta,
        type_: Some("Opaque"),
        data: Some(data),
    };
    body.encode().unwrap()
}

fn encoded(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(vec![0; plain.len().div_ceil(3) * 4]);
    STANDARD.encode_slice(plain, &mut text).unwrap();
    text
}

fn lowercased(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(plain.to_ascii_lowercase())
}

/// Text around a template's value, long enough to outlast the allocator's notes.
const BEFORE: &str = "postgresql://a-user-whose-name-has-more-signs-than-the-notes:";
const BEHIND: &str = "@a-host-with-a-long-name:5432/shop";

/// Where a value meets the text around it: only composed output looks so.
fn seams(value: &Masked) -> [Masked; 2] {
    let (half, length) = (PIECE / 2, value.0.len());
    let all = value.within(BEFORE.as_bytes(), BEHIND.as_bytes());
    [BEFORE.len(), BEFORE.len() + length].map(|seam| {
        let piece = all[seam - half..seam + half].iter();
        Masked(piece.map(|b| b ^ MASK).collect())
    })
}

/// A client whose API server answers everything with this body, in two parts that wipe themselves.
fn answering(body: Zeroizing<Vec<u8>>) -> kube::Client {
    let (one, two) = body.split_at(body.len() / 2);
    let parts = [one, two].map(|part| Bytes::from_owner(Zeroizing::new(part.to_vec())));
    let parts = std::sync::Mutex::new(Some(parts));
    kube::Client::new(
        tower::service_fn(move |_: http::Request<kube::client::Body>| {
            let parts = parts.lock().unwrap().take().into_iter().flatten();
            let frames = futures::stream::iter(parts)
                .map(|part| Ok::<_, std::io::Error>(http_body::Frame::data(part)));
            async { Ok::<_, std::io::Error>(http::Response::new(StreamBody::new(frames))) }
        }),
        "default",
    )
}

/// Runs `work` and looks for what it may have left.
fn leaves_nothing(what: &str, forms: &[&Masked], work: impl FnOnce()) {
    let mut search = Search::new(forms);
    work();
    assert_eq!(search.copies(), 0, "pieces left by {what}");
}

/// One test, because nothing else may run while memory is searched.
#[test]
fn no_buffer_of_ours_leaves_a_value_behind() {
    the_search_finds_what_is_held_and_what_is_freed();
    let value = Masked::new(4096);
    let base64 = value.formed(encoded);
    let entry = json!({"secret": "estate/e"});
    let in_json = || value.value(r#"{"a": ""#, r#"", "b": 1}"#);
    leaves_nothing(
        "a whole entry, sent and decoded",
        &[&value, &base64],
        || {
            let whole = rendered(one_key(entry.clone()), value.value("", "")).data;
            let live: LiveSecret = serde_json::from_slice::<Incoming>(&body(&whole))
                .unwrap()
                .into();
            assert!(live.data == whole);
        },
    );
    leaves_nothing("an answer of the API server", &[&value, &base64], || {
        let whole = [("K".to_owned(), value.value("", ""))].into();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let live = runtime.block_on(async {
            let raw = Raw::new(answering(body(&whole)), DEFAULT_TIMEOUT);
            Secrets::new(raw).get("estate", "app").await
        });
        assert!(live.unwrap().unwrap().data == whole);
    });
    leaves_nothing("a property", &[&value], || {
        let from = json!({"secret": "estate/e", "property": "a"});
        let data = rendered(one_key(from), in_json()).data;
        assert_eq!(data["K"].len(), 4096);
    });
    leaves_nothing("an object", &[&value], || {
        let from = json!({"secret": "estate/e", "property": "a"});
        let nested = value.value(r#"{"a": {"b" : [""#, r#"" ] } }"#);
        let data = rendered(one_key(from), nested).data;
        assert_eq!(data["K"].len(), 4096 + r#"{"b":[""]}"#.len());
    });
    leaves_nothing("all properties", &[&value], || {
        let all = json!({"dataFrom": [entry.clone()]});
        let data = rendered(all, in_json()).data;
        assert_eq!(data["a"].len(), 4096);
    });
    let from = json!({"secret": "estate/e"});
    let decoding =
        json!({"data": [{"key": "K", "from": {"secret": "estate/e", "decode": "Base64"}}]});
    leaves_nothing("decoded base64", &[&value, &base64], || {
        let data = rendered(decoding.clone(), base64.value("", "\n")).data;
        assert_eq!(data["K"].len(), 4096);
    });
    leaves_nothing("broken base64", &[&value, &base64], || {
        let recipe = recipe(decoding.clone());
        assert!(render(&recipe, &fetched(&recipe, base64.value("", "!!!!"))).is_err());
    });
    let template = json!({"data": [{"key": "k", "from": from}],
        "template": {"data": {"url": format!("{BEFORE}{{{{ k }}}}{BEHIND}")}}});
    leaves_nothing("a template's output", &seams(&value).each_ref(), || {
        let data = rendered(template, value.value("", "")).data;
        assert_eq!(data["url"].len(), BEFORE.len() + 4096 + BEHIND.len());
    });
    let template = json!({"data": [{"key": "k", "from": from}],
        "template": {"data": {"url": format!("{BEFORE}{{{{ k }}}}{BEHIND}{{{{ other }}}}")}}});
    leaves_nothing("a template that fails", &seams(&value).each_ref(), || {
        let recipe = recipe(template);
        assert!(render(&recipe, &fetched(&recipe, value.value("", ""))).is_err());
    });
    leaves_nothing("a buffer that grows", &[&value], || {
        let plain = value.within(b"", b"");
        let mut growing = Growing::default();
        plain.chunks(100).for_each(|part| growing.push(part));
        assert_eq!(growing.into_value().expose(), &plain[..]);
    });
    let short = Masked::new(500);
    leaves_nothing("the gate", &[&short, &short.formed(lowercased)], || {
        let checked = json!({"data": [{"key": "K", "from": from}],
            "validate": {"rejectPlaceholders": true, "placeholders": ["Never-This"]}});
        assert_eq!(rendered(checked, short.value("", "")).data.len(), 1);
    });
}

fn the_search_finds_what_is_held_and_what_is_freed() {
    let value = Masked::new(4096);
    let mut search = Search::new(&[&value]);
    let plain = value.within(b"", b"");
    assert!(search.copies() > 0, "what is held");
    drop(plain);
    assert_eq!(search.copies(), 0, "the test itself leaves nothing");
    drop(std::mem::take(&mut *value.within(b"", b"")));
    assert!(search.copies() > 0, "what is freed and not wiped");
}

/// The types that own a value's bytes; each is made of nothing else that could keep them.
#[test]
fn values_and_their_buffers_wipe_themselves_when_dropped() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<SecretValue>();
    wiped::<Growing>();
}
