//! A laptop: a folder, a fake AWS, and the binary run in between with nothing inherited.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use keyferry_testkit::{
    aws::{FakeAws, Options, Region, Statement},
    canary::Canaries,
};

pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "ap-northeast-2";
/// Access key of a user who may do everything in the account.
pub const USER: &str = "AKIALAPTOP";

/// A person's machine.
pub struct Laptop {
    pub aws: FakeAws,
    pub dir: tempfile::TempDir,
    pub canaries: Canaries,
    secret_key: String,
}

/// What a run has ended with.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Laptop {
    pub async fn new() -> Self {
        let options = Options {
            region: REGION.to_owned(),
            quota_scale: None,
            ..Options::default()
        };
        let aws = FakeAws::start(options).await.unwrap();
        let secret_key = aws.user_with(USER, ACCOUNT, vec![Statement::allow(&["*"], &["*"])]);
        Self {
            aws,
            dir: tempfile::tempdir().unwrap(),
            canaries: Canaries::default(),
            secret_key,
        }
    }

    pub fn region(&self) -> Region {
        self.aws.account(ACCOUNT).region(REGION)
    }

    /// Writes a file below the folder and gives its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `keyferry` with these arguments, in the folder, as [`USER`].
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .envs(self.aws.env())
            .env("AWS_ACCESS_KEY_ID", USER)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs [`Self::command`] to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        ended(self.command(args)).await
    }

    /// Fails when a piece of a value of this laptop stands in what was printed.
    pub fn says_nothing(&self, ran: &Ran) {
        let scanner = self.canaries.scanner().unwrap();
        for (name, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            assert_eq!(scanner.scan(name, text.as_bytes()), None);
        }
    }
}

/// Runs a command to its end without holding up the fake AWS.
pub async fn ended(mut command: Command) -> Ran {
    let output = tokio::task::spawn_blocking(move || command.output());
    Ran::from(output.await.unwrap().unwrap())
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
