//! Values in the operator's memory: they do not pile up.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use keyferry_testkit::{aws::EventKinds, memory::writable_mapping};
use serde_json::{Value, json};

use crate::case::{Case, data};

crate::tests![tests:
    copies_of_a_value_in_memory_are_few_after_one_read_and_after_fifty,
];

/// Copies of one value that a settled operator may hold. None is needed once the Secret is written and the time of
/// reuse is over; but what a thread wrote on its stack stays until it writes there again, and a connection that is kept
/// open has its last reply in its buffer. There are few of either; fifty reads would leave more.
const MOST_COPIES: usize = 8;

/// Half a minute of them: values that are no longer reused are dropped every few seconds.
const LOOKS: usize = 60;

async fn copies_of_a_value_in_memory_are_few_after_one_read_and_after_fifty(case: Case) {
    let region = case.own_region();
    let queue = region.create_queue(&case.namespace);
    queue.subscribe(&region, EventKinds::native());
    let operator = case
        .operator_with_queue(&queue, &["--value-reuse=1s"])
        .await;
    let value = case.plain();
    case.put_apart("e", &value);
    case.binding("app", case.one("K", "e")).await;
    case.synced("app").await;
    let once = settled_copies(operator.pid, &value).await;
    // Each is another version with the same value, and read at once.
    for _ in 0..50 {
        let version = json!(case.put_apart("e", &value));
        let carried = |o: &Value| o["status"]["sources"][0]["versionId"] == version;
        case.until("app", "carries the version", carried).await;
    }
    assert!(case.reads("e") > 50, "{} reads", case.reads("e"));
    let often = settled_copies(operator.pid, &value).await;
    assert!(data(&case.secret("app").await)["K"] == value.as_bytes());
    assert!(
        copies(operator.pid, case.namespace.as_bytes()) > 0,
        "the search finds what is there"
    );
    println!("copies of a value in memory: {once} after one read, {often} after fifty");
    for (copies, reads) in [(once, 1), (often, 50)] {
        assert!(copies <= MOST_COPIES, "{copies} copies after {reads} reads");
    }
    operator.terminate(&case.world.channels).await;
}

/// The copies that are left once what is under way has ended and the time of reuse is over; after a while those that
/// stay for good.
async fn settled_copies(pid: u32, value: &str) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..LOOKS {
        fewest = fewest.min(copies(pid, value.as_bytes()));
        if fewest <= MOST_COPIES {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    fewest
}

/// How often the bytes stand in the writable memory of a process (`/proc/PID/mem`, proc(5)).
fn copies(pid: u32, value: &[u8]) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let finder = aho_corasick::AhoCorasick::new([value]).unwrap();
    let mut found = 0;
    for (from, to) in maps.lines().filter_map(writable_mapping) {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A mapping may go away between the two reads.
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            found += finder.find_iter(&bytes).count();
        }
    }
    found
}
