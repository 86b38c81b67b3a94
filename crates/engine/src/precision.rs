//! The format of the operands of a matrix product.

use std::fmt;

use crate::isa::Isa;

/// What the operands of a product are rounded to and, in training, some of what lies in memory between two steps (see
/// [`Precision::of_products`]). Sums,
/// statistics, losses and stored parameters are always f32 or wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 24 significant bits: operands as they are.
    F32,
    /// bf16: 8 significant bits and the exponents of f32, rounded to nearest, ties to even.
    Bf16,
}

impl Precision {
    /// The fastest precision of an instruction set: `Bf16` where it multiplies that format itself.
    #[must_use]
    pub fn fastest(isa: Isa) -> Precision {
        if isa >= Isa::Avx512Bf16 { Precision::Bf16 } else { Precision::F32 }
    }

    /// The precision of a training step's products where it rounds to this one: `Bf16` where the instruction set multiplies
    /// that format itself, else `F32`, in which what was rounded in memory is exact.
    #[must_use]
    pub fn of_products(self, isa: Isa) -> Precision {
        match self {
            Precision::F32 => Precision::F32,
            Precision::Bf16 => Precision::fastest(isa),
        }
    }

    /// The name used on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_by_processors_that_multiply_what_was_rounded() {
        for isa in Isa::ALL {
            assert_eq!(Precision::F32.of_products(isa), Precision::F32);
            let rounded = matches!(isa, Isa::Avx512Bf16 | Isa::Amx);
            let expected = if rounded { Precision::Bf16 } else { Precision::F32 };
            assert_eq!(Precision::Bf16.of_products(isa), expected, "{isa}");
        }
    }
}
