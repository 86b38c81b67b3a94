//! A library to be preloaded: code for AMX (`tdpbf16ps`) and for products of bf16 pairs (`vdpbf16ps`) then runs on an
//! x86-64 Linux machine whose processor has AVX-512 but neither of these, so that their tests can run there.
//!
//! The processor refuses an instruction that it lacks, Linux reports that to the process (`SIGILL`), and the handler here
//! has it computed, in the registers that were saved for the process: the first time there, then by a jump in its place.
//! `CPUID` is made to fault (`SIGSEGV`) and answered with the missing features, and the request for the tile registers is
//! answered with a yes. Operations: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
//!
//! This is for tests, no measure of speed.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod context;
mod features;
mod pairs;
mod patch;
mod tiles;
mod trap;

/// Run by the loader before the program.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    context::Context::prepare();
    if let Err(error) = trap::catch().and_then(|()| features::pretend()) {
        fail(&error.to_string());
    }
}

/// Ends the process with a message: nothing here can be reported to the program.
fn fail(message: &str) -> ! {
    eprintln!("emulation: {message}");
    std::process::abort();
}
