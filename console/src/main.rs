//! Entry point of `usher`; all that it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    usher::cli::main()
}
