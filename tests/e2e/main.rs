//! keyferry end to end: the real binary under the chart's own rights, against a real API server and
//! the fake AWS.
//!
//! One program with three runs, because a world is dear and the leak scan must come last:
//! 1. `shared`: tests side by side in namespaces of their own, served by one operator;
//! 2. `own`: tests that start, kill or configure an operator, which sees their namespaces alone;
//! 3. `alone`: tests that need the whole cluster to themselves, one at a time.
//!
//! Then everything that any operator said, anywhere, is searched for every value of the run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod asked;
mod audit;
mod batches;
mod blameless;
mod budgets;
mod carried;
mod case;
mod counted;
mod credentials;
mod deletion;
mod diff;
mod failover;
mod held;
mod iam;
mod identity;
mod killpoints;
mod leaks;
mod members;
mod memory;
mod merge;
mod midway;
mod not_the_value;
mod operators;
mod outage;
mod ownership;
mod pace;
mod parameters;
mod policy;
mod preflight;
mod reapply;
mod reasons;
mod reasons_cases;
mod reasons_more;
mod reasons_rollouts;
mod replicas;
mod restarts;
mod rollback;
mod rollouts;
mod rotating;
mod rotation;
mod secret;
mod seen;
mod stages;
mod stale;
mod stalls;
mod steady;
mod sweeps;
mod systems;
mod templates;
mod throttled;
mod told;
mod values;
mod windows;
mod workload;
mod world;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use tokio::runtime::Runtime;

use case::{Case, Test};
use world::World;

/// Tests wait for others most of the time.
const THREADS: usize = 8;

/// Tests that run together.
struct Phase {
    name: &'static str,
    tests: Vec<Test>,
    threads: usize,
    shared_operator: bool,
}

fn phases(threads: usize) -> Vec<Phase> {
    let shared = [
        not_the_value::tests(),
        values::tests(),
        batches::tests(),
        rotation::tests(),
        reapply::tests(),
        rollouts::tests(),
        ownership::tests(),
        merge::tests(),
        deletion::tests(),
        diff::tests(),
        reasons::tests(),
        reasons_more::tests(),
        reasons_rollouts::tests(),
        leaks::tests(),
        iam::tests(),
        identity::tests(),
        policy::tests(),
        templates::tests(),
        carried::tests(),
        steady::tests(),
        windows::tests(),
        pace::tests(),
        stages::tests(),
        parameters::tests(),
        midway::tests(),
        asked::tests(),
    ];
    // The longest first: the phase ends with its last test.
    let own = [
        killpoints::own(),
        rollback::own(),
        held::own(),
        midway::own(),
        preflight::own(),
        systems::own(),
        members::own(),
        throttled::own(),
        batches::own(),
        restarts::tests(),
        credentials::own(),
        failover::own(),
        identity::own(),
        policy::own(),
        stalls::tests(),
        memory::tests(),
        accounts::own(),
        stale::own(),
        outage::own(),
        sweeps::own(),
        told::own(),
    ];
    let alone = [policy::alone(), stalls::alone(), budgets::alone()];
    let phase = |name, tests, threads, shared_operator| Phase {
        name,
        tests,
        threads,
        shared_operator,
    };
    vec![
        phase(
            "shared",
            shared.into_iter().flatten().collect(),
            threads,
            true,
        ),
        phase("own", own.into_iter().flatten().collect(), threads, false),
        phase("alone", alone.into_iter().flatten().collect(), 1, false),
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut phases = phases(arguments.test_threads.unwrap_or(THREADS));
    if arguments.list {
        let all = phases.drain(..).flat_map(|phase| phase.tests);
        let nothing = |test: Test| Trial::test(test.name, || Ok(()));
        libtest_mimic::run(&arguments, all.map(nothing).collect()).exit();
    }
    for phase in &mut phases {
        phase.tests.retain(|test| wanted(&arguments, &test.name));
    }
    phases.retain(|phase| !phase.tests.is_empty());
    if phases.is_empty() {
        libtest_mimic::run(&arguments, Vec::new()).exit();
    }
    let runtime = Runtime::new().unwrap();
    match runtime.block_on(World::start()) {
        Ok(world) => run(&runtime, Arc::new(world), &arguments, phases),
        Err(why) => {
            eprintln!("the test bed did not start: {why}");
            ExitCode::FAILURE
        }
    }
}

/// As libtest's own filters decide, so that a run without any match starts nothing.
fn wanted(arguments: &Arguments, name: &str) -> bool {
    let fits = |filter: &String| match arguments.exact {
        true => name == filter,
        false => name.contains(filter.as_str()),
    };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

fn run(
    runtime: &Runtime,
    world: Arc<World>,
    arguments: &Arguments,
    phases: Vec<Phase>,
) -> ExitCode {
    let complete = arguments.filter.is_none() && arguments.skip.is_empty();
    let mut failed = false;
    for phase in phases {
        println!("\nphase {}", phase.name);
        failed |= run_phase(runtime, &world, arguments, phase).num_failed > 0;
    }
    let scanned = runtime.block_on(async {
        world.stop_operators().await;
        leaks::scan(&world, complete)
    });
    if let Err(why) = &scanned {
        eprintln!("{why}");
    }
    runtime.block_on(async {
        if let Some(world) = Arc::into_inner(world) {
            world.stop().await;
        }
    });
    match failed || scanned.is_err() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn run_phase(
    runtime: &Runtime,
    world: &Arc<World>,
    arguments: &Arguments,
    phase: Phase,
) -> Conclusion {
    let arguments = Arguments {
        test_threads: Some(phase.threads),
        ..arguments.clone()
    };
    if phase.shared_operator
        && let Err(why) = runtime.block_on(world.start_shared())
    {
        let broken = move || Err(Failed::from(why.to_string()));
        return libtest_mimic::run(
            &Arguments::default(),
            vec![Trial::test("the shared operator starts", broken)],
        );
    }
    let trials = phase
        .tests
        .into_iter()
        .map(|test| trial(runtime, world, test));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if phase.shared_operator {
        runtime.block_on(world.stop_operators());
    }
    conclusion
}

fn trial(runtime: &Runtime, world: &Arc<World>, test: Test) -> Trial {
    let (handle, world) = (runtime.handle().clone(), Arc::clone(world));
    let Test { name, run } = test;
    Trial::test(name.clone(), move || {
        handle.block_on(async move {
            let case = Case::new(world, &name).await?;
            let guard = case.clone();
            run(case).await;
            guard.finish().await;
            Ok(())
        })
    })
}
