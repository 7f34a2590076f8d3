//! Values in the operator's memory: they do not pile up.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use futures::future::join_all;

use keyferry_testkit::memory::writable_mapping;

use crate::case::{Case, data};

crate::tests![tests:
    copies_of_a_value_in_memory_are_few_after_one_refresh_and_after_fifty,
];

/// Copies of one value that a settled operator may hold. None is needed once the Secret is written and the time of
/// reuse is over; but what a thread wrote on its stack stays until it writes there again, so each of the few threads may
/// have left one. Twenty-five bindings and fifty refreshes would leave more.
const MOST_COPIES: usize = 8;

async fn copies_of_a_value_in_memory_are_few_after_one_refresh_and_after_fifty(case: Case) {
    let operator = case.operator(&["--value-reuse=1s"]).await;
    let value = case.plain();
    // An entry is read for refreshes once in ten seconds: many of them hold the value.
    let names: Vec<String> = (0..25).map(|n| format!("e{n}")).collect();
    for name in &names {
        case.put(name, &value);
        case.binding(name, case.one("K", name)).await;
    }
    for name in &names {
        case.synced(name).await;
    }
    case.refresh("e0").await;
    let once = settled_copies(operator.pid, &value).await;
    for round in 0..2 {
        // The first has been refreshed once already.
        let refreshes = names.iter().skip(usize::from(round == 0));
        join_all(refreshes.map(|name| case.refresh(name))).await;
    }
    let often = settled_copies(operator.pid, &value).await;
    for name in &names {
        assert!(data(&case.secret(name).await)["K"] == value.as_bytes());
    }
    assert!(
        copies(operator.pid, case.namespace.as_bytes()) > 0,
        "the search finds what is there"
    );
    println!("copies of a value in memory: {once} after 1 refresh, {often} after 50");
    for (copies, refreshes) in [(once, 1), (often, 50)] {
        assert!(
            copies <= MOST_COPIES,
            "{copies} copies after {refreshes} refreshes pile up"
        );
    }
    operator.terminate(&case.world.channels).await;
}

/// The fewest copies seen over a few looks: a look may meet a refresh that is under way.
async fn settled_copies(pid: u32, value: &str) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..8 {
        fewest = fewest.min(copies(pid, value.as_bytes()));
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
