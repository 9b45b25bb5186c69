//! Records the compiler that built the bench, so that a report can name it.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=RUSTC");
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC for build scripts");
    let version = Command::new(rustc).arg("--version").output();
    let version = version.expect("the compiler that runs this build tells its version");
    let version = String::from_utf8_lossy(&version.stdout);
    println!("cargo:rustc-env=BENCH_RUSTC={}", version.trim());
}
