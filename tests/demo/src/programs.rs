//! The programs under test, built when they are not: whoever runs a test or the demo alone gets today's daemon.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

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
    let release = folder.file_name().is_some_and(|name| name == "release");
    let target = folder.parent().map(PathBuf::from).unwrap_or_default();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", "usherd", "--package", "usher", "--bins"])
        .args(release.then_some("--release"))
        .arg("--target-dir")
        .arg(&target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let status = command.status().map_err(|e| ProgramsError::Cargo(e.to_string()))?;
    if !status.success() {
        return Err(ProgramsError::Build);
    }
    Ok(Programs { usherd: folder.join("usherd"), usher: folder.join("usher") })
}
