//! The whole sequence with a crash before and after every write: same end, at most one change of
//! the marker for each revision.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use super::{testing::*, *};
use crate::api::status::{RolloutState, RolloutStatus};

/// What the API server holds, and a journal of template writes.
#[derive(Clone)]
struct World {
    status: Vec<RolloutStatus>,
    secret: Option<String>,
    replaced_at: Option<i64>,
    workload: Workload,
    templates: Vec<Option<String>>,
    now: i64,
    writes: usize,
    crash: Option<(usize, bool)>,
}

/// The operator ended here.
struct Crash;

impl World {
    fn new(crash: Option<(usize, bool)>) -> Self {
        Self {
            status: vec![],
            secret: None,
            replaced_at: None,
            workload: deployment(),
            templates: vec![],
            now: 0,
            writes: 0,
            crash,
        }
    }

    /// Every write passes here: before it or after it (reply lost) the operator may end.
    fn write(&mut self, effect: impl FnOnce(&mut Self)) -> Result<(), Crash> {
        let (number, crash) = (self.writes, self.crash);
        self.writes += 1;
        if crash == Some((number, false)) {
            return Err(Crash);
        }
        effect(self);
        if crash == Some((number, true)) {
            return Err(Crash);
        }
        Ok(())
    }

    fn status(&mut self, status: Vec<RolloutStatus>) -> Result<(), Crash> {
        if status == self.status {
            return Ok(());
        }
        self.write(|world| world.status = status)
    }

    /// The binding loop: intent, then Secret.
    fn sync(&mut self, next: &str) -> Result<(), Crash> {
        let live = self.secret.clone();
        let change = Change {
            live: live.as_deref(),
            next,
            replaced_at: self.replaced_at.map(at),
            next_left_at: None,
        };
        let workload = self.workload.clone();
        let consumers = [Consumer::Rolled(&workload)];
        let planned = plan_intent(&self.status, &consumers, KEY, &change, &Pods::new());
        self.status(planned)?;
        if live.as_deref() != Some(next) {
            let next = next.to_owned();
            self.write(|world| {
                world.replaced_at = live.map(|_| world.now);
                world.secret = Some(next);
            })?;
        }
        Ok(())
    }

    /// The workload loop, until nothing is left to do for now.
    fn roll(&mut self) -> Result<(), Crash> {
        for _ in 0..6 {
            self.now += 4;
            let entry = self.status[0].clone();
            let live = self.secret.as_deref().unwrap_or_default();
            let claim = Claim {
                secret_holds_wanted: marker::revision_of(&entry.wanted) == live,
                seen_at: at(self.now - 4),
                ..claim(&entry)
            };
            let step = step(
                Some(&self.workload.clone()),
                &[claim],
                Look::default(),
                at(self.now),
            );
            if let Some(markers) = step.apply {
                self.write(|world| {
                    world.templates.push(markers.get(KEY).cloned());
                    world.workload = rolling(world.workload.clone());
                    world.workload.markers = markers;
                })?;
            }
            let mut status = self.status.clone();
            record(&mut status, &entry, step.entries[0].1.as_ref());
            self.status(status)?;
        }
        Ok(())
    }

    /// Kubernetes finishes the rollout.
    fn settle(&mut self) {
        let markers = std::mem::take(&mut self.workload.markers);
        let generation = self.workload.generation;
        self.workload = deployment();
        self.workload.markers = markers;
        self.workload.generation = generation;
        self.workload.numbers.observed_generation = generation;
    }

    fn end(&self) -> (Option<String>, BTreeMap<String, String>, Vec<RolloutStatus>) {
        let timeless = |e: &RolloutStatus| RolloutStatus {
            started_at: None,
            ..e.clone()
        };
        (
            self.secret.clone(),
            self.workload.markers.clone(),
            self.status.iter().map(timeless).collect(),
        )
    }
}

/// One operator's life over the revisions AWS shows; `in_the_middle`: Kubernetes finishes only in
/// the end. After a crash the next life begins with what AWS shows then.
fn run(revisions: &[&str], in_the_middle: bool, crash: Option<(usize, bool)>) -> World {
    let mut world = World::new(crash);
    for revision in revisions {
        let life = |world: &mut World| -> Result<(), Crash> {
            world.sync(revision)?;
            world.roll()?;
            if !in_the_middle {
                world.settle();
            }
            world.roll()
        };
        if life(&mut world).is_err() {
            assert!(life(&mut world).is_ok(), "one crash only");
        }
    }
    world.settle();
    if world.roll().is_err() {
        assert!(world.roll().is_ok(), "one crash only");
    }
    world
}

#[test]
fn crashes_change_neither_the_end_nor_the_number_of_restarts() {
    let stories: [(&[&str], Vec<Option<&str>>); 4] = [
        (&["a"], vec![]),
        (&["a", "b"], vec![Some("b")]),
        (&["a", "b", "c"], vec![Some("b"), Some("c")]),
        (&["a", "b", "a"], vec![Some("b"), None]),
    ];
    for (revisions, templates) in stories {
        for in_the_middle in [false, true] {
            let reference = run(revisions, in_the_middle, None);
            let own: Vec<_> = templates.iter().map(|t| t.map(str::to_owned)).collect();
            assert_eq!(reference.templates, own, "{revisions:?}");
            let last = reference.status[0].clone();
            assert_eq!(last.state, RolloutState::Healthy);
            assert_eq!(last.delivered, *revisions.last().unwrap());
            for number in 0..reference.writes {
                for after in [false, true] {
                    let world = run(revisions, in_the_middle, Some((number, after)));
                    let story = format!("{revisions:?} {in_the_middle} {number} {after}");
                    assert_eq!(world.end(), reference.end(), "{story}");
                    assert_eq!(world.templates, reference.templates, "{story}");
                }
            }
        }
    }
}

#[test]
fn aws_moving_on_during_the_crash_restarts_at_most_once_for_each_revision() {
    for number in 0..8 {
        for after in [false, true] {
            let mut world = World::new(Some((number, after)));
            assert!(world.create_first());
            // The life with b ends somewhere; the next one sees a again.
            let _ = world.sync("b").and_then(|()| world.roll());
            world.crash = None;
            assert!(world.sync("a").is_ok() && world.roll().is_ok());
            world.settle();
            assert!(world.roll().is_ok());
            let story = format!("{number} {after}: {:?}", world.templates);
            assert_eq!(world.secret.as_deref(), Some("a"), "{story}");
            assert!(world.workload.markers.is_empty(), "{story}");
            assert_eq!(world.status[0].state, RolloutState::Healthy, "{story}");
            assert_eq!(world.status[0].delivered, "a", "{story}");
            let went_out = [Some("b".to_owned()), None];
            assert!(
                world.templates.is_empty() || world.templates == went_out,
                "{story}"
            );
        }
    }
}

impl World {
    /// The first creation, unharmed and not counted.
    fn create_first(&mut self) -> bool {
        let crash = self.crash.take();
        let done = self.sync("a").is_ok() && self.roll().is_ok();
        self.crash = crash;
        self.writes = 0;
        done && self.templates.is_empty()
    }
}
