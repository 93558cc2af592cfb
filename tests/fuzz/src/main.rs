//! `usher-fuzz`: mutates a kept corpus and feeds it to the targets, in the ordinary build, for a time.
//!
//! The same seed makes the same inputs. An input that ends in a panic is kept below the folder given, and the command ends with
//! exit code 1; `usher-fuzz TARGET --input FILE` feeds it again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use usher_fuzz::{TARGETS, Target};

/// Longest input, in bytes.
const LONGEST: usize = 64 << 10;
/// An input that twice takes longer than this is a finding: somebody could keep a daemon busy with it. Once may be the machine.
const SLOW: Duration = Duration::from_secs(1);

/// Feeds mutated inputs to the fuzz targets.
#[derive(Debug, Parser)]
#[command(name = "usher-fuzz", version)]
struct Flags {
    /// webhook, mail, log_frame or console_frame; all of them, side by side, unless told
    target: Option<String>,
    /// For how long, in seconds
    #[arg(long = "for", default_value_t = 60)]
    seconds: u64,
    /// Where the dice begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Inputs to begin with: a folder with one folder a target
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))]
    corpus: PathBuf,
    /// Where an input is kept that ends in a panic
    #[arg(long, default_value = "target/fuzz-found")]
    found: PathBuf,
    /// Feed this one input only
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("usher-fuzz: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn tell(line: &str) {
    use std::io::Write as _;
    // Nobody is left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn run(flags: &Flags) -> anyhow::Result<bool> {
    let known = || TARGETS.map(|target| target.name).join(", ");
    let targets: Vec<Target> = match &flags.target {
        None => TARGETS.to_vec(),
        Some(name) => {
            let one = TARGETS.into_iter().find(|target| target.name == name);
            vec![one.with_context(|| format!("no target `{name}`: there are {}", known()))?]
        }
    };
    if let (Some(file), [target]) = (&flags.input, targets.as_slice()) {
        let input = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        (target.run)(&input);
        tell(&format!("{}: {} bytes, no panic", target.name, input.len()));
        return Ok(true);
    }
    let ended: Vec<anyhow::Result<bool>> = std::thread::scope(|scope| {
        let running: Vec<_> = targets.iter().map(|target| (target, scope.spawn(|| fuzz(target, flags)))).collect();
        running
            .into_iter()
            .map(|(target, thread)| {
                thread.join().unwrap_or_else(|_| anyhow::bail!("{}: the driver panicked", target.name))
            })
            .collect()
    });
    ended.into_iter().try_fold(true, |all, one| Ok(one? && all))
}

/// Feeds one target until its time is over; whether nothing was found.
fn fuzz(target: &Target, flags: &Flags) -> anyhow::Result<bool> {
    let mut pool = corpus(target, &flags.corpus)?;
    let (kept, mut dice) = (pool.len(), Dice(flags.seed ^ 0x9e37_79b9_7f4a_7c15));
    let begun = Instant::now();
    let (mut count, mut found, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(flags.seconds) {
        let input = mutate(&pool, &mut dice);
        let started = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let mut took = started.elapsed();
        if ended.is_ok() && took > SLOW {
            let again = Instant::now();
            (target.run)(&input);
            took = again.elapsed();
        }
        slowest = slowest.max(took);
        count += 1;
        if ended.is_err() || took > SLOW {
            found += 1;
            let what = if ended.is_err() { "panic" } else { "slow" };
            let file = keep(&flags.found, target, &input)?;
            tell(&format!("{}: {what} by {}", target.name, file.display()));
            if found >= 10 {
                break;
            }
        }
        // Without a view of the code all that can be kept is variety: some inputs live on and are mutated further.
        if dice.below(64) == 0 {
            let place = kept + dice.below(512) as usize;
            if place < pool.len() { pool[place] = input } else { pool.push(input) }
        }
    }
    let (rate, slowest) = (count as f64 / begun.elapsed().as_secs_f64().max(1e-9), slowest.as_micros());
    tell(&format!(
        "{}: {count} inputs from a corpus of {kept}, seed {}, {rate:.0} a second, the slowest {slowest} us; {found} found",
        target.name, flags.seed
    ));
    Ok(found == 0)
}

/// The kept inputs of a target, and those that its code makes.
fn corpus(target: &Target, folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut inputs = (target.seed)();
    let folder = folder.join(target.name);
    if folder.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .with_context(|| format!("listing {}", folder.display()))?;
        files.sort();
        for file in files {
            inputs.push(std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
        }
    }
    Ok(inputs)
}

fn keep(folder: &Path, target: &Target, input: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = folder.join(target.name);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join(format!("{:08x}", crc32c::crc32c(input)));
    std::fs::write(&file, input).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// One of the pool, changed in a few places.
fn mutate(pool: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    /// Values at which code counts wrongly.
    const EDGES: [u64; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0xffff_ffff, u64::MAX];
    let mut input = pool[dice.below(pool.len() as u64) as usize].clone();
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() as u64 + 1) as usize;
        match dice.below(7) {
            0 => input.insert(at, dice.next() as u8),
            1 if at < input.len() => input[at] ^= 1 << dice.below(8),
            2 if at < input.len() => input[at] = dice.next() as u8,
            3 => {
                let end = (at + 1 + dice.below(16) as usize).min(input.len());
                input.drain(at.min(end)..end);
            }
            4 => {
                let bytes = EDGES[dice.below(8) as usize].to_le_bytes();
                let bytes = &bytes[..1 << dice.below(4)];
                input.splice(at..(at + bytes.len()).min(input.len()), bytes.iter().copied());
            }
            5 => {
                let other = &pool[dice.below(pool.len() as u64) as usize];
                let from = dice.below(other.len() as u64 + 1) as usize;
                let to = (from + dice.below(256) as usize).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let end = (at + dice.below(64) as usize).min(input.len());
                let again: Vec<u8> = input[at.min(end)..end].to_vec();
                input.splice(at..at, again);
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }
}
