//! `cargo xtask bench`: what the operator costs, how much memory it takes and how fast it is, at 1,000
//! or 10,000 bindings, each figure beside its limit and beside a floor measured in the same run.
//!
//! The operator is a release build and a process of its own, under the chart's rights; the control
//! plane is real, AWS is the fake with real quotas. [`phases`] is the order of things.

mod audit;
mod bed;
mod calls;
mod changes;
mod figures;
mod floor;
mod follow;
mod image;
mod machine;
mod objects;
mod offline;
mod phases;
mod plan;
mod process;
mod report;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::bed::screen::Screen;
use crate::group::Group;
use crate::signals::Stop;
use crate::tools;
use crate::workspace::Ended;
use bed::Bed;
use plan::{Plan, Scenario};
use report::Report;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// R: 1,000 bindings over 200 secrets in 10 namespaces; X: 10,000 over 2,000 in 50
    #[arg(long, value_enum, default_value_t = Scenario::R)]
    scenario: Scenario,

    /// Bindings, each with 8 keys out of one secret
    #[arg(long, value_name = "N")]
    bindings: Option<usize>,

    /// Secrets in AWS
    #[arg(long, value_name = "S")]
    secrets: Option<usize>,

    /// Namespaces
    #[arg(long, value_name = "K")]
    namespaces: Option<usize>,

    /// The bindings' refresh interval in seconds [default: 60, below 100 bindings 10]
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u64>,

    /// Secrets that are changed, one after another, to measure latency; at most S
    #[arg(long, value_name = "N", default_value_t = 200)]
    changes: usize,

    /// Where the figures are written, with the machine they were measured on
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Take the release build that is there
    #[arg(long)]
    no_build: bool,

    /// Fail when a limit is exceeded
    #[arg(long)]
    strict: bool,
}

/// Measures, prints, and stops what was started, however it ends.
pub(crate) async fn run(arguments: &Arguments) -> Ended<ExitCode> {
    let plan = Plan::of(arguments)?;
    tools::check()?;
    let mut stop = Stop::listen()?;
    let screen = Screen::start();
    if cfg!(debug_assertions) {
        return optimised(arguments.no_build, &mut stop, &screen).await;
    }
    screen.fact("bench", plan.to_string());
    let machine = machine::Machine::look()?;
    let mut bed = tokio::select! {
        bed = Bed::start(&plan, arguments.no_build, &screen) => bed?,
        () = stop.asked() => return Err("stopped".into()),
    };
    let measured = tokio::select! {
        measured = phases::measure(&mut bed, &plan, &screen) => Some(measured),
        () = stop.asked() => None,
    };
    let failed = measured.as_ref().is_some_and(Result::is_err);
    let ended = bed.end(failed).await;
    let measured = measured.unwrap_or_else(|| Err("stopped before the end".into()))?;
    ended?;
    let figures = figures::all(&plan, &measured);
    let report = Report::new(&plan, machine, figures);
    screen.fact("measured", "");
    report.print();
    if let Some(file) = &arguments.json {
        report.write(file)?;
        screen.fact("written", file.display());
    }
    Ok(match arguments.strict && report.is_over() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Goes on as a release build of this program: the bare loop and the fake AWS would otherwise be
/// slower than the operator, and flatter it.
async fn optimised(no_build: bool, stop: &mut Stop, screen: &Screen) -> Ended<ExitCode> {
    let keyferry = tokio::select! {
        binary = bed::binary(no_build, screen) => binary?,
        () = stop.asked() => return Err("stopped".into()),
    };
    let mut command = Command::new(keyferry.with_file_name("xtask"));
    command.args(std::env::args_os().skip(1));
    if !no_build {
        command.arg("--no-build");
    }
    let mut group = Group::start(command)?;
    tokio::select! {
        status = group.ended() => Ok(match status?.success() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }),
        () = stop.asked() => {
            group.stop().await;
            Err("stopped".into())
        }
    }
}
