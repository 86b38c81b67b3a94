//! Instruction sets, chosen at run time.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// What [`Isa::force`] set.
static FORCED: OnceLock<Isa> = OnceLock::new();

/// An instruction set that the kernels are compiled for. Ordered: a processor that has one has all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What every processor of the target architecture can run.
    Portable,
    /// 256-bit vectors with fused multiply-add (x86-64-v3).
    Avx2,
    /// 512-bit vectors (the F, BW, DQ and VL subsets).
    Avx512,
    /// The same with products of bf16 pairs (`vdpbf16ps`).
    Avx512Bf16,
    /// The same with products of bf16 tiles (`tdpbf16ps`).
    Amx,
}

impl Isa {
    /// Every instruction set, the plainest first.
    pub const ALL: [Isa; 5] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16, Isa::Amx];

    /// The best instruction set of this processor, or the one that was forced.
    #[must_use]
    pub fn detect() -> Isa {
        FORCED.get().copied().unwrap_or_else(Isa::best)
    }

    /// Makes [`Isa::detect`] answer `isa` in the whole process, so that everything is computed by it.
    ///
    /// # Errors
    /// When the processor lacks it.
    pub fn force(isa: Isa) -> Result<(), IsaError> {
        if !isa.is_available() {
            return Err(IsaError::Unavailable(isa));
        }
        let forced = *FORCED.get_or_init(|| isa);
        if forced == isa { Ok(()) } else { Err(IsaError::Forced(forced)) }
    }

    /// The best instruction set of this processor.
    #[must_use]
    pub fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    /// Whether this processor can execute it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512Bf16.is_available() && crate::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => false,
        }
    }

    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Amx => "amx",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is no instruction set, or one that this processor lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// No instruction set has this name.
    #[error("unknown instruction set, expected portable, avx2, avx512, avx512bf16 or amx: {0}")]
    Unknown(String),
    /// Another one was forced before.
    #[error("another instruction set was forced before: {0}")]
    Forced(Isa),
    /// The processor cannot execute it.
    #[error("this processor cannot execute the instruction set: {0}")]
    Unavailable(Isa),
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        let isa = Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown(name.to_owned()))?;
        if isa.is_available() { Ok(isa) } else { Err(IsaError::Unavailable(isa)) }
    }
}

/// Calls `$body`, an `#[inline(always)]` function, compiled for the instruction set `$isa`.
///
/// The loops of `$body` are vectorised by the compiler once for each instruction set; `Avx512Bf16` and `Amx`, whose
/// products no compiler finds in a loop, take the code of `Avx512`. An `Isa` other than
/// `Portable` reaches a kernel only through [`Isa::detect`] or `Isa::from_str`, which ask the processor.
macro_rules! by_isa {
    ($isa:expr, $body:path, ($($argument:ident : $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
        fn avx2($($argument: $type),*) {
            $body($($argument),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512($($argument: $type),*) {
            $body($($argument),*)
        }
        #[expect(unsafe_code, reason = "calls a function compiled for an instruction set that was asked for")]
        #[cfg_attr(not(target_arch = "x86_64"), allow(unfulfilled_lint_expectations))]
        let () = match $isa {
            $crate::isa::Isa::Portable => $body($($argument),*),
            // SAFETY: an Isa value beyond Portable exists only where the processor was asked for it.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx2 => unsafe { avx2($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx512 | $crate::isa::Isa::Avx512Bf16 | $crate::isa::Isa::Amx => unsafe {
                avx512($($argument),*)
            },
            #[cfg(not(target_arch = "x86_64"))]
            _ => $body($($argument),*),
        };
    }};
}
pub(crate) use by_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_set_is_available_and_every_plainer_one_too() {
        let best = Isa::best();
        for isa in Isa::ALL {
            assert_eq!(isa.is_available(), isa <= best, "{isa} against {best}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = "sse9".parse::<Isa>().unwrap_err();
        assert_eq!(error, IsaError::Unknown("sse9".to_owned()));
        assert!(error.to_string().contains("avx512bf16"));
    }

    #[test]
    fn every_name_leads_back_to_its_set_where_the_processor_has_it() {
        for isa in Isa::ALL {
            let expected = if isa.is_available() { Ok(isa) } else { Err(IsaError::Unavailable(isa)) };
            assert_eq!(isa.name().parse(), expected);
        }
    }
}
