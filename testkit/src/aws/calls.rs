//! What was asked of the fake: every call, and how often each entry was read. Holds no values.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Which AWS service a call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Secrets Manager.
    SecretsManager,
    /// Parameter Store (Systems Manager).
    Ssm,
    /// Security Token Service.
    Sts,
    /// Simple Queue Service.
    Sqs,
    /// The EKS Pod Identity agent.
    PodIdentity,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not answered yet: it hangs or is being delayed.
    Pending,
    /// Answered with success.
    Ok,
    /// Answered with this status and error code.
    Failed {
        /// HTTP status.
        status: u16,
        /// AWS error code; empty when the body was not an AWS error.
        code: String,
    },
    /// The reply was cut or made unreadable on purpose.
    Broken,
    /// The client went away before an answer.
    Abandoned,
}

/// One call. Never holds a secret value or a token.
#[derive(Debug, Clone)]
pub struct Call {
    /// Position among all calls since the start, from 1.
    pub seq: u64,
    /// When it came in.
    pub at: Instant,
    /// The service asked.
    pub service: Service,
    /// Operation name, such as `GetSecretValue`.
    pub operation: String,
    /// Region of the credential scope; empty for unsigned calls.
    pub region: String,
    /// Account of the caller; empty when unknown.
    pub account: String,
    /// `Host` header as sent, which shows FIPS and dual-stack names.
    pub host: String,
    /// ARN of the caller (`...:assumed-role/ROLE/SESSION` or a user); for STS calls that assume a
    /// role, the role asked for stands in `ids`.
    pub principal: String,
    /// Session name asked for (STS) or used (others).
    pub session_name: String,
    /// Access key id used; empty for unsigned calls.
    pub access_key_id: String,
    /// Secret ids asked; the role ARN for STS; the queue name and, when a receipt names them, the
    /// message ids for SQS.
    pub ids: Vec<String>,
    /// Version ids and stages asked.
    pub versions: Vec<String>,
    /// Entries of a batch that failed, with their code.
    pub entry_errors: Vec<(String, String)>,
    /// Session tags sent to STS.
    pub tags: BTreeMap<String, String>,
    /// `ExternalId` sent to STS.
    pub external_id: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The log with its counters. Counters go on when old calls are dropped from the log.
#[derive(Debug)]
pub struct CallLog {
    capacity: usize,
    calls: VecDeque<Call>,
    seq: u64,
    by_operation: BTreeMap<String, u64>,
    reads: HashMap<String, HashMap<(String, String), u64>>,
}

impl CallLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            calls: VecDeque::new(),
            seq: 0,
            by_operation: BTreeMap::new(),
            reads: HashMap::new(),
        }
    }

    /// Calls still remembered, oldest first.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = &Call> {
        self.calls.iter()
    }

    /// Calls of one operation since the start or the last reset, answered or not.
    pub fn count(&self, operation: &str) -> u64 {
        self.by_operation.get(operation).copied().unwrap_or(0)
    }

    /// Calls of each operation that was called at all.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.by_operation
    }

    /// The most calls of this kind within any second, among those still remembered; a call is
    /// counted when it comes in.
    pub fn peak(&self, which: impl Fn(&Call) -> bool) -> usize {
        let times = self.calls.iter().filter(|call| which(call));
        busiest_second(times.map(|call| call.at))
    }

    /// The ids of each remembered call of an operation, oldest first: one list per batch.
    pub fn ids_of(&self, operation: &str) -> Vec<Vec<String>> {
        let calls = self.calls.iter().filter(|c| c.operation == operation);
        calls.map(|call| call.ids.clone()).collect()
    }

    /// Calls of all operations.
    pub fn total(&self) -> u64 {
        self.by_operation.values().sum()
    }

    /// How often an entry of this name was asked for, in any account and region, by
    /// GetSecretValue or as a member of a batch.
    pub fn reads_of(&self, name: &str) -> u64 {
        self.reads.get(name).map_or(0, |at| at.values().sum())
    }

    /// The same in one account and region.
    pub fn reads_in(&self, account: &str, region: &str, name: &str) -> u64 {
        let key = (account.to_owned(), region.to_owned());
        let at = self.reads.get(name);
        at.and_then(|at| at.get(&key)).copied().unwrap_or(0)
    }

    pub(crate) fn begin(&mut self, mut call: Call) -> u64 {
        self.seq += 1;
        call.seq = self.seq;
        match self.by_operation.get_mut(&call.operation) {
            Some(count) => *count += 1,
            None => {
                self.by_operation.insert(call.operation.clone(), 1);
            }
        }
        if self.calls.len() >= self.capacity {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
        self.seq
    }

    /// The call with this number, if still remembered.
    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut Call> {
        let first = self.calls.front()?.seq;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.calls.get_mut(index)
    }

    pub(crate) fn read(&mut self, account: &str, region: &str, name: &str) {
        let key = (account.to_owned(), region.to_owned());
        match self.reads.get_mut(name) {
            Some(at) => *at.entry(key).or_default() += 1,
            None => {
                self.reads
                    .insert(name.to_owned(), HashMap::from([(key, 1)]));
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        self.calls.clear();
        self.by_operation.clear();
        self.reads.clear();
    }
}

/// The most points of an ascending sequence in any window of one second, its end not included.
fn busiest_second(times: impl Iterator<Item = Instant>) -> usize {
    let mut window = VecDeque::new();
    let mut most = 0;
    for at in times {
        let over = |first: &Instant| at.duration_since(*first) >= Duration::from_secs(1);
        while window.front().is_some_and(over) {
            window.pop_front();
        }
        window.push_back(at);
        most = most.max(window.len());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_is_found() {
        let start = Instant::now();
        let busiest = |millis: &[u64]| {
            let at = |ms: &u64| start + Duration::from_millis(*ms);
            busiest_second(millis.iter().map(at))
        };
        for (millis, most) in [
            (&[][..], 0),
            (&[0], 1),
            (&[0, 1_000, 2_000], 1),
            (&[0, 999, 1_000], 2),
            // Across the bounds of whole seconds.
            (&[0, 900, 950, 1_050, 1_100, 2_200], 4),
        ] {
            assert_eq!(busiest(millis), most, "{millis:?}");
        }
    }
}
