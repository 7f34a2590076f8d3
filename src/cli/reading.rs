//! Reading AWS outside the operator: as whoever runs the command, once, for bindings that lie in files.
//!
//! What a verb does with it: [`Reader::new`], then [`Reader::consent`], then [`Reader::fetch`] for each binding, then
//! [`crate::core::local::candidate`]. Nothing is judged by access policies here: they are the cluster's.
//!
//! Credentials are found as other AWS tools find them: environment, profile (SSO and `credential_process` included),
//! web identity, container, instance. `AWS_ENDPOINT_URL*`, `AWS_CA_BUNDLE` and the proxies' variables hold.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    io::{self, BufRead, IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use futures::future::{BoxFuture, FutureExt, join_all};

use super::bindings::Binding;
use crate::{
    api::Reason,
    core::{
        Entry, EntryAsk, Fetched, Finding, PrefixAsk, Recipe, VersionSelector, local::consent,
        parameter::ask,
    },
    source::{
        Caller, Freshness, Hub, IdentityAsk, ReadSettings, SourceMetrics, SourceSettings, Sources,
        addressed, in_person,
    },
};

/// As whom AWS is read, and where.
#[derive(Args, Clone, Debug, Default)]
pub struct AwsArgs {
    /// Region of bindings that name none (else AWS_REGION, the profile's, the instance's)
    #[arg(long)]
    region: Option<String>,

    /// Read with the binding's spec.source.roleArn instead of as yourself
    #[arg(long)]
    assume_role: bool,

    /// Do not ask before a role or an account is used that is not the current one
    #[arg(short = 'y', long)]
    yes: bool,
}

/// Reads for one run of a verb.
pub struct Reader {
    sources: Sources,
    args: AwsArgs,
    /// All calls together; what a person needs to answer a question does not count.
    timeout: Duration,
    left: Cell<Duration>,
    /// Roles that whoever runs the command is in already: to assume one's own role takes a right that few have.
    held: RefCell<HashSet<String>>,
}

impl Reader {
    /// Finds region, proxies and certificates; no call yet, except for the region of an instance.
    ///
    /// # Errors
    /// For a CA bundle that cannot be used.
    pub async fn new(args: AwsArgs, timeout: Duration) -> Result<Self, Finding> {
        let start = Instant::now();
        Ok(Self {
            sources: sources(args.region.as_deref(), timeout).await?,
            args,
            timeout,
            left: Cell::new(timeout.saturating_sub(start.elapsed())),
            held: RefCell::default(),
        })
    }

    /// Who runs the command, as STS says.
    ///
    /// # Errors
    /// `NoCredentials`, `Throttled`, `AwsUnavailable`.
    pub async fn caller(&self, binding: &Binding) -> Result<Caller, Finding> {
        let own = IdentityAsk {
            role_arn: None,
            ..self.identity(binding)
        };
        self.within(async { self.hub(&own).await?.caller().await })
            .await
    }

    /// The region in which a binding is read.
    pub fn region<'r>(&'r self, binding: &'r Binding) -> Option<&'r str> {
        let own = binding.recipe.identity.region.as_deref();
        own.or(self.sources.own_region())
    }

    /// Asks whoever runs the command before a role or account is used that is not theirs. True: go on.
    ///
    /// # Errors
    /// Where STS does not say who they are; and where nobody is there to answer.
    pub async fn consent(&self, binding: &Binding) -> Result<bool, Finding> {
        let role = self.role(&binding.recipe);
        let unasked = self.args.yes && role.is_none();
        if unasked || !consent::is_needed(&binding.recipe, role) {
            return Ok(true);
        }
        let caller = self.caller(binding).await?;
        if let Some(role) = role.filter(|role| consent::is_in(role, &caller.arn)) {
            self.held.borrow_mut().insert(role.to_owned());
        }
        if self.args.yes {
            return Ok(true);
        }
        let Some(foreign) = consent::foreign(&binding.recipe, role, &caller.arn) else {
            return Ok(true);
        };
        let fact = format!("This reads with {foreign}; you are {}.", caller.arn);
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        match terminal.then(|| answer(&fact)) {
            Some(answer) => Ok(answer.unwrap_or(false)),
            None => Err(Finding::new(
                Reason::AccessNotAllowed,
                fact,
                "Nobody is there to ask: say --yes if that is meant.",
            )),
        }
    }

    /// Reads everything a binding names: each entry and prefix has its own result.
    pub async fn fetch(&self, binding: &Binding) -> Fetched {
        let ask = self.identity(binding);
        let told = |finding| self.told(finding, binding);
        let read = async {
            let hub = &self.hub(&ask).await?;
            let (asks, prefixes) = (binding.recipe.asks(), binding.recipe.prefixes());
            let entries = join_all(asks.iter().map(|ask| hub.read(ask, Freshness::Reuse)));
            let listings = join_all(prefixes.iter().map(|ask| members(hub, ask)));
            let (entries, listings) = futures::join!(entries, listings);
            let entries = entries.into_iter().map(|it| it.map_err(told));
            let listings = listings.into_iter().map(|it| it.map_err(told));
            Ok(Fetched {
                entries: asks.into_iter().zip(entries).collect(),
                listings: prefixes.into_iter().zip(listings).collect(),
            })
        };
        let read = self.within(read).await;
        read.unwrap_or_else(|finding| nothing(&binding.recipe, &told(finding)))
    }

    async fn hub(&self, ask: &IdentityAsk) -> Result<Arc<Hub>, Finding> {
        self.sources.hub(ask).await
    }

    /// Bounds a call by what is left of the time, and words its failure for a person.
    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Finding>>,
    ) -> Result<T, Finding> {
        let (start, allowed) = (Instant::now(), self.left.get());
        let ended = tokio::time::timeout(allowed, call).await;
        // Calls at the same time take the time of the longest.
        let left = allowed.saturating_sub(start.elapsed());
        self.left.set(left.min(self.left.get()));
        let ended = ended.unwrap_or_else(|_| Err(late(self.timeout)));
        ended.map_err(in_person)
    }

    fn role<'r>(&self, recipe: &'r Recipe) -> Option<&'r str> {
        let role = recipe.identity.role_arn.as_deref();
        role.filter(|role| self.args.assume_role && !self.held.borrow().contains(*role))
    }

    fn identity(&self, binding: &Binding) -> IdentityAsk {
        let identity = &binding.recipe.identity;
        IdentityAsk {
            namespace: binding.namespace.clone(),
            region: identity.region.clone(),
            role_arn: self.role(&binding.recipe).map(str::to_owned),
            external_id: identity.external_id.clone(),
            session_tags: identity.session_tags.clone(),
            ..IdentityAsk::default()
        }
    }

    /// A failure in the words of whoever runs the command.
    fn told(&self, finding: Finding, binding: &Binding) -> Finding {
        let mut finding = in_person(addressed(finding, &binding.namespace, &binding.name));
        let role = binding.recipe.identity.role_arn.as_ref();
        if let Some(role) = role.filter(|_| !self.args.assume_role)
            && finding.reason == Reason::AccessDenied
        {
            let hint = format!(" The operator reads it with role {role}: try --assume-role.");
            finding.cure.push_str(&hint);
        }
        finding
    }
}

/// The ways to AWS of whoever runs the command; `region` goes before the environment's.
///
/// # Errors
/// For a CA bundle that cannot be used, and for a region that is not found in time.
pub(super) async fn sources(region: Option<&str>, timeout: Duration) -> Result<Sources, Finding> {
    let tokens = Arc::new(|_: &str, _: &str| no_token().boxed() as BoxFuture<'static, _>);
    let sources = Sources::new(settings(region, timeout), SourceMetrics::default(), tokens);
    let sources = tokio::time::timeout(timeout, sources).await;
    sources.unwrap_or_else(|_| Err(late(timeout)))
}

/// One run, one person: nothing waits for others to come, and the account's quota is theirs.
fn settings(region: Option<&str>, timeout: Duration) -> SourceSettings {
    let mut settings = SourceSettings::from_env(|name| std::env::var(name).ok());
    settings.region = region.map(str::to_owned);
    settings.quota_share = 1.0;
    settings.reads = ReadSettings {
        gather: Duration::from_millis(1),
        pace: Duration::ZERO,
        burst: 0,
        parallel: 64,
        ..ReadSettings::default()
    };
    let timeouts = &mut settings.timeouts;
    for bound in [
        &mut timeouts.connect,
        &mut timeouts.read,
        &mut timeouts.attempt,
    ] {
        *bound = (*bound).min(timeout);
    }
    timeouts.operation = timeout;
    settings
}

/// Tokens of ServiceAccounts are the cluster's: [`Reader`] asks for none.
async fn no_token<T>() -> Result<T, Finding> {
    Err(Finding::new(
        Reason::AssumeRoleFailed,
        "A ServiceAccount's token can be had in the cluster only.",
        "",
    ))
}

pub(super) fn late(timeout: Duration) -> Finding {
    let timeout = timeout.as_secs_f64();
    let mut finding = Finding::new(
        Reason::AwsUnavailable,
        format!("AWS did not answer in {timeout}s."),
        "Check network, region and HTTPS_PROXY, or raise --timeout.",
    );
    finding.outage = true;
    finding
}

/// Every read failed alike.
fn nothing(recipe: &Recipe, finding: &Finding) -> Fetched {
    let failed = || finding.clone();
    Fetched {
        entries: recipe
            .asks()
            .into_iter()
            .map(|it| (it, Err(failed())))
            .collect(),
        listings: recipe
            .prefixes()
            .into_iter()
            .map(|it| (it, Err(failed())))
            .collect(),
    }
}

/// Every member under a prefix with its current value. Listings show for minutes what is gone.
async fn members(hub: &Arc<Hub>, prefix: &PrefixAsk) -> Result<Vec<Arc<Entry>>, Finding> {
    let listed = hub.list(prefix, Freshness::Reuse).await?;
    let valued = listed.iter().filter(|it| it.current_version_id.is_some());
    let asks: Vec<EntryAsk> = valued
        .filter_map(|it| ask(&it.arn, VersionSelector::Current))
        .collect();
    let mut members = Vec::new();
    for read in join_all(asks.iter().map(|ask| hub.read(ask, Freshness::Reuse))).await {
        match read {
            Ok(entry) => members.push(entry),
            Err(gone) if gone.is_gone() => {}
            Err(finding) => return Err(finding),
        }
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// A question on the terminal; anything but yes is no.
fn answer(fact: &str) -> io::Result<bool> {
    let mut stderr = io::stderr();
    write!(stderr, "{fact} Go on? [y/N] ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes" | "Yes"))
}
