#![no_main]

use cosface_fuzz::{Target, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    run(Target::Photograph, bytes);
});
