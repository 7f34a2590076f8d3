//! The scan at the end of a run: every channel, for every piece of every value.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use keyferry_testkit::canary::{Canaries, Scanner};

use crate::{case::Case, world::World};

crate::tests![tests:
    a_planted_leak_in_any_channel_and_encoding_fails_the_scan,
    a_channel_that_was_not_captured_fails_the_scan,
];

/// Every way in which the operator speaks.
const NAMES: [&str; 5] = ["logs", "statuses", "events", "metrics", "errors"];

/// A channel and everything that went through it.
struct Channel {
    name: &'static str,
    bytes: Vec<u8>,
}

/// Searches everything that was said; `complete` when all tests ran, so that silence is a fault.
///
/// # Errors
/// The first leak, a channel that was not captured, or nothing to search for.
pub fn scan(world: &World, complete: bool) -> Result<(), String> {
    for (name, output) in world.channels.logs() {
        if output.bytes().is_empty() {
            return Err(format!(
                "leak scan: nothing was captured of operator {name}"
            ));
        }
    }
    let lines = scan_channels(&world.canaries, &channels_of(world), complete)?;
    println!(
        "
{}",
        lines.join(
            "
"
        )
    );
    Ok(())
}

fn channels_of(world: &World) -> Vec<Channel> {
    let logs = world.channels.logs();
    let all: [Vec<u8>; NAMES.len()] = [
        logs.iter().flat_map(|(_, output)| output.bytes()).collect(),
        world.bindings.bytes(),
        world.events.bytes(),
        world.channels.metrics(),
        world.channels.errors(),
    ];
    let channel = |(name, bytes)| Channel { name, bytes };
    NAMES.into_iter().zip(all).map(channel).collect()
}

/// One line for each clean channel.
fn scan_channels(
    canaries: &Canaries,
    channels: &[Channel],
    complete: bool,
) -> Result<Vec<String>, String> {
    let scanner = match canaries.scanner() {
        Ok(scanner) => scanner,
        Err(_) if !complete => return Ok(Vec::new()),
        Err(why) => return Err(format!("leak scan: {why}")),
    };
    channels
        .iter()
        .map(|channel| scan_one(&scanner, channel, complete))
        .collect()
}

fn scan_one(scanner: &Scanner, channel: &Channel, complete: bool) -> Result<String, String> {
    let Channel { name, bytes } = channel;
    if bytes.is_empty() && complete {
        return Err(format!("leak scan: channel {name} was not captured"));
    }
    if let Some(leak) = scanner.scan(name, bytes) {
        let (offset, before) = (leak.offset, leak.before);
        return Err(format!(
            "leak scan  {name}  LEAK at byte {offset}, after: {before}"
        ));
    }
    let values = scanner.values();
    Ok(format!(
        "leak scan  {name:<9} {:>10} bytes  {values} values  clean",
        bytes.len()
    ))
}

fn clean() -> Vec<Channel> {
    let channel = |name| Channel {
        name,
        bytes: b"Secret app holds 1 key at revision k3v9q2.".to_vec(),
    };
    NAMES.into_iter().map(channel).collect()
}

/// A value as it could slip out.
fn disguises(value: &str) -> [String; 6] {
    let hex = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url = form_urlencoded::byte_serialize(value.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    [
        value[9..17].to_owned(),
        STANDARD.encode(value),
        URL_SAFE.encode(value),
        hex,
        url,
        serde_json::Value::from(value).to_string(),
    ]
}

async fn a_planted_leak_in_any_channel_and_encoding_fails_the_scan(_: Case) {
    let canaries = Canaries::default();
    let value = canaries.value();
    assert!(scan_channels(&canaries, &clean(), true).is_ok());
    for (at, name) in NAMES.into_iter().enumerate() {
        for disguise in disguises(&value) {
            let mut channels = clean();
            channels[at].bytes.extend_from_slice(disguise.as_bytes());
            let told = scan_channels(&canaries, &channels, true);
            assert!(
                told.is_err_and(|why| why.contains(name)),
                "a leak in {name} was not found"
            );
        }
    }
}

async fn a_channel_that_was_not_captured_fails_the_scan(_: Case) {
    let canaries = Canaries::default();
    assert!(
        scan_channels(&canaries, &clean(), true).is_err(),
        "nothing to search for"
    );
    canaries.value();
    for (at, name) in NAMES.into_iter().enumerate() {
        let mut channels = clean();
        channels[at].bytes.clear();
        let told = scan_channels(&canaries, &channels, true);
        assert!(
            told.is_err_and(|why| why.contains(name)),
            "{name} was empty"
        );
    }
}
