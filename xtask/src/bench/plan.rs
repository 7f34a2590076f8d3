//! How much of what, and what it is called. Pure.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::Arguments;
use crate::workspace::Ended;

/// Keys of each binding.
const KEYS: usize = 8;

/// Entries that one BatchGetSecretValue takes (source: Secrets Manager API reference).
pub(crate) const BATCH: usize = 20;

/// A size with limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
pub(crate) enum Scenario {
    /// 1,000 bindings over 200 secrets in 10 namespaces
    #[value(name = "R")]
    R,
    /// 10,000 bindings over 2,000 secrets in 50 namespaces
    #[value(name = "X")]
    X,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    pub(crate) bindings: usize,
    pub(crate) secrets: usize,
    pub(crate) namespaces: usize,
    /// Seconds.
    pub(crate) interval: u64,
    pub(crate) changes: usize,
}

/// A binding: where it stands, and the secret it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) binding: usize,
    pub(crate) secret: usize,
    pub(crate) namespace: usize,
}

impl Plan {
    /// The scenario, with what was asked to be different.
    ///
    /// # Errors
    /// A sentence when the numbers do not fit together.
    pub(crate) fn of(arguments: &Arguments) -> Ended<Self> {
        let (bindings, secrets, namespaces) = match arguments.scenario {
            Scenario::R => (1_000, 200, 10),
            Scenario::X => (10_000, 2_000, 50),
        };
        let bindings = arguments.bindings.unwrap_or(bindings);
        let plan = Self {
            bindings,
            secrets: arguments.secrets.unwrap_or(secrets),
            namespaces: arguments.namespaces.unwrap_or(namespaces),
            interval: arguments
                .interval
                .unwrap_or(if bindings < 100 { 10 } else { 60 }),
            changes: arguments.changes,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(self) -> Result<(), &'static str> {
        if self.namespaces == 0 || self.secrets == 0 || self.changes == 0 {
            return Err("--secrets, --namespaces and --changes must be at least 1");
        }
        if self.secrets < self.namespaces || self.bindings < self.secrets {
            return Err(
                "there must be a secret for each namespace, and a binding for each secret: \
                 --bindings >= --secrets >= --namespaces",
            );
        }
        if self.changes > self.secrets {
            return Err("each change is of another secret: --changes must be at most --secrets");
        }
        if !(10..=86_400).contains(&self.interval) {
            return Err("--interval must be between 10 s, the shortest there is, and 24 h");
        }
        Ok(())
    }

    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(self.interval)
    }

    /// The fewest calls that read every secret.
    pub(crate) fn batches(self) -> usize {
        self.secrets.div_ceil(BATCH)
    }

    pub(crate) fn places(self) -> impl Iterator<Item = Place> {
        (0..self.bindings).map(move |binding| {
            let secret = binding % self.secrets;
            Place {
                binding,
                secret,
                namespace: self.home(secret),
            }
        })
    }

    /// The namespace of a secret and of the bindings that read it.
    pub(crate) fn home(self, secret: usize) -> usize {
        secret % self.namespaces
    }

    /// The name of a secret in AWS.
    pub(crate) fn entry(self, secret: usize) -> String {
        format!("bench-{}/s{secret}", self.home(secret))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bindings with {KEYS} keys, {} secrets, {} namespaces, every {} s, {} changes",
            self.bindings, self.secrets, self.namespaces, self.interval, self.changes
        )
    }
}

impl Place {
    /// Name of the binding, and of its Secret.
    pub(crate) fn name(self) -> String {
        format!("b{}", self.binding)
    }

    /// Its namespace, in one of several sets of them.
    pub(crate) fn namespace(self, set: &str) -> String {
        format!("{set}-{}", self.namespace)
    }

    /// The binding.
    pub(crate) fn object(self, plan: Plan, set: &str) -> Value {
        let secret = plan.entry(self.secret);
        let data: Vec<Value> = (0..KEYS)
            .map(|n| {
                let from = json!({"secret": secret, "property": format!("key_{n}")});
                json!({"key": format!("KEY_{n}"), "from": from})
            })
            .collect();
        json!({
            "apiVersion": "keyferry.dev/v1alpha1",
            "kind": "ExternalSecretBinding",
            "metadata": {"name": self.name(), "namespace": self.namespace(set)},
            "spec": {"refreshInterval": format!("{}s", plan.interval), "data": data},
        })
    }
}

/// The value of a secret: a JSON object. Nothing in it is worth hiding.
pub(crate) fn value(secret: usize, version: &str) -> String {
    let property = |n| {
        (
            format!("key_{n}"),
            json!(format!("{version}-of-secret-{secret}-property-{n}")),
        )
    };
    let properties: serde_json::Map<String, Value> = (0..KEYS).map(property).collect();
    Value::Object(properties).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Plan = Plan {
        bindings: 20,
        secrets: 5,
        namespaces: 2,
        interval: 10,
        changes: 3,
    };

    #[test]
    fn every_binding_stands_where_its_secret_may_be_read() {
        for place in SMALL.places() {
            let object = place.object(SMALL, "bench");
            let entry = object.pointer("/spec/data/7/from/secret");
            let namespace = object.pointer("/metadata/namespace");
            let (Some(Value::String(entry)), Some(Value::String(namespace))) = (entry, namespace)
            else {
                panic!("{object}");
            };
            assert!(entry.starts_with(&format!("{namespace}/")), "{entry}");
        }
        let secrets: std::collections::BTreeSet<_> = SMALL.places().map(|p| p.secret).collect();
        assert_eq!(secrets.len(), 5, "every secret is read");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert_eq!(SMALL.check(), Ok(()));
        for (plan, word) in [
            (
                Plan {
                    namespaces: 0,
                    ..SMALL
                },
                "at least 1",
            ),
            (
                Plan {
                    namespaces: 6,
                    ..SMALL
                },
                "for each namespace",
            ),
            (
                Plan {
                    bindings: 4,
                    ..SMALL
                },
                "for each namespace",
            ),
            (
                Plan {
                    changes: 6,
                    ..SMALL
                },
                "at most --secrets",
            ),
            (
                Plan {
                    interval: 9,
                    ..SMALL
                },
                "--interval",
            ),
        ] {
            let refused = plan.check();
            assert!(refused.is_err_and(|why| why.contains(word)), "{plan:?}");
        }
    }

    #[test]
    fn a_batch_takes_twenty() {
        assert_eq!(SMALL.batches(), 1);
        assert_eq!(
            Plan {
                secrets: 21,
                ..SMALL
            }
            .batches(),
            2
        );
    }
}
