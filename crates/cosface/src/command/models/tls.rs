//! HTTPS by Rustls with Graviola's cryptography, which cargo alone builds.

use anyhow::ensure;
use ureq::tls::TlsConfig;

/// How servers are spoken to over HTTPS: by Mozilla's roots, which are part of the program. Without it, only HTTP.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn config() -> Option<TlsConfig> {
    missing().is_empty().then(|| {
        let provider = std::sync::Arc::new(rustls_graviola::default_provider());
        TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build()
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn config() -> Option<TlsConfig> {
    None
}

/// Refuses an HTTPS address that this processor cannot serve; `place` is where the file may be put by other means.
pub(super) fn check(url: &str, place: &std::path::Path) -> anyhow::Result<()> {
    if !url.starts_with("https:") {
        return Ok(());
    }
    let missing = missing();
    ensure!(
        missing.is_empty(),
        "HTTPS needs what this processor lacks ({}), download the file to {} by other means, where it is verified: {url}",
        missing.join(", "),
        place.display()
    );
    Ok(())
}

/// What Graviola asks of a processor and this one has not.
fn missing() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let needed = [
        ("aes", std::is_x86_feature_detected!("aes")),
        ("pclmulqdq", std::is_x86_feature_detected!("pclmulqdq")),
        ("bmi1", std::is_x86_feature_detected!("bmi1")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("adx", std::is_x86_feature_detected!("adx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
    ];
    #[cfg(target_arch = "aarch64")]
    let needed = [
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let needed = [("x86-64 or AArch64", false)];
    needed.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}
