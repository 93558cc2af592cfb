//! `mail` of `usher_fuzz`, driven by libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| usher_fuzz::mail(input));
