//! The programs under test, built when they are not: whoever runs a test or the demo alone gets today's daemon.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Why the programs are not there.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProgramsError {
    /// Cargo did not run.
    #[error("starting cargo to build usherd and usher: {0}")]
    Cargo(String),
    /// Cargo ran, and failed.
    #[error("building usherd and usher failed: see cargo's own words above")]
    Build,
    /// This program's own place is not known.
    #[error("finding the folder of built programs: {0}")]
    Place(String),
}

/// Where the programs stand.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The daemon.
    pub usherd: PathBuf,
    /// The console.
    pub usher: PathBuf,
}

impl Programs {
    /// Builds them in the profile that this program was built in, once a process.
    pub fn get() -> Result<Self, ProgramsError> {
        static BUILT: OnceLock<Result<Programs, ProgramsError>> = OnceLock::new();
        BUILT.get_or_init(build).clone()
    }
}

fn build() -> Result<Programs, ProgramsError> {
    let own = std::env::current_exe().map_err(|e| ProgramsError::Place(e.to_string()))?;
    let mut folder = own.parent().map(PathBuf::from).unwrap_or_default();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let programs = Programs { usherd: folder.join("usherd"), usher: folder.join("usher") };
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let fresh = |program: &Path, own: [&str; 2]| {
        let sources = ["Cargo.lock", "common/src"].into_iter().chain(own);
        let newest = sources.filter_map(|place| newest(&root.join(place))).max();
        modified(program).is_some_and(|built| Some(built) > newest)
    };
    let both = fresh(&programs.usherd, ["daemon/Cargo.toml", "daemon/src"])
        && fresh(&programs.usher, ["console/Cargo.toml", "console/src"]);
    // Whoever builds the workspace has built them already; asking cargo again would cost a build with other features.
    if both {
        return Ok(programs);
    }
    let release = folder.file_name().is_some_and(|name| name == "release");
    let target = folder.parent().map(PathBuf::from).unwrap_or_default();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        // With the demo's own package, so that the features are those it was built with and nothing is built twice.
        .args(["build", "--quiet", "--package", "usher-demo", "--package", "usherd", "--package", "usher", "--bins"])
        .args(release.then_some("--release"))
        .arg("--target-dir")
        .arg(&target)
        .current_dir(root)
        .status()
        .map_err(|e| ProgramsError::Cargo(e.to_string()))?;
    if !status.success() {
        return Err(ProgramsError::Build);
    }
    Ok(programs)
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// When anything below a path changed last, golden screens aside, which are in no program.
fn newest(path: &Path) -> Option<SystemTime> {
    if path.ends_with("snapshots") {
        return None;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| newest(&entry.path())).chain(modified(path)).max()
}
