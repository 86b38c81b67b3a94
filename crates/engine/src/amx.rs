//! Products of bf16 tiles by AMX: sixteen rows of sixteen words at a time, in eight registers of a kilobyte.
//!
//! The instructions are written as assembly, since the compiler's own names for them are not stable. Linux gives a
//! process the use of the registers when it is asked, and every thread says once how large its tiles are.

#![cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    expect(dead_code, reason = "elsewhere nobody asks for the registers")
)]

use crate::isa::Isa;
use crate::precision::Precision;

/// Rows of a register, and words in a row.
pub(crate) const TILE: usize = 16;
/// Rows and columns of a block: two registers each way.
pub(crate) const BLOCK: usize = 2 * TILE;
/// Bytes of a row of a register.
pub(crate) const ROW_BYTES: usize = 4 * TILE;

/// Whether products of this kind are those of tiles.
pub(crate) const fn multiplies(isa: Isa, precision: Precision) -> bool {
    matches!((isa, precision), (Isa::Amx, Precision::Bf16))
}

/// Part of a product's depth in which the words of a row of the left side follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Run {
    /// Bytes from the block's first row.
    pub(crate) offset: isize,
    /// Number of [`TILE`] words; not 0.
    pub(crate) steps: usize,
}

/// A block of 32 rows and 32 columns: `C (=|+=) A B` in words of two bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    /// The first row of A, from which runs are counted; any alignment.
    pub(crate) left: *const u8,
    /// Bytes between two rows of A.
    pub(crate) left_stride: usize,
    /// Where the depth lies in a row of A. Not empty.
    pub(crate) runs: &'a [Run],
    /// The words of B, `[depth][32 columns]` for all runs one after another.
    pub(crate) right: *const u32,
    pub(crate) target: *mut f32,
    /// Bytes between two rows of C.
    pub(crate) target_stride: usize,
    pub(crate) accumulate: bool,
}

/// Whether this processor multiplies tiles of bf16 and the operating system lets this process do so.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn is_available() -> bool {
    use std::sync::OnceLock;
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| kernels::has_tiles() && kernels::ask_for_registers())
}

/// Elsewhere nobody asks for the registers.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) fn is_available() -> bool {
    false
}

/// Computes a block.
///
/// # Safety
/// [`is_available`] was true; A has 32 rows that reach as far as the runs say, B their depth, and C 32 rows of 32.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(unsafe_code, reason = "hands pointers to the registers")]
pub(crate) unsafe fn multiply(block: &Block<'_>) {
    use std::cell::Cell;
    thread_local! {
        static CONFIGURED: Cell<bool> = const { Cell::new(false) };
    }
    // SAFETY: the caller's promise.
    unsafe {
        if !CONFIGURED.get() {
            kernels::configure();
            CONFIGURED.set(true);
        }
        if block.accumulate { kernels::add(block) } else { kernels::replace(block) }
    }
}

/// Never reached, since [`is_available`] is false.
///
/// # Safety
/// None.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[expect(unsafe_code, reason = "the twin of a function that is unsafe")]
pub(crate) unsafe fn multiply(_block: &Block<'_>) {
    unreachable!("this processor has no tiles")
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(unsafe_code, reason = "instructions that have no stable names; tested against plain loops")]
mod kernels {
    use super::{Block, ROW_BYTES, TILE};
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    pub(super) fn has_tiles() -> bool {
        /// Bits of EDX of leaf 7: AMX-BF16 and AMX-TILE.
        const NEEDED: u32 = 1 << 22 | 1 << 24;
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & NEEDED == NEEDED
    }

    /// Asks Linux for the tile registers, for all threads of this process.
    pub(super) fn ask_for_registers() -> bool {
        /// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)` of linux/arch/x86/include/uapi/asm/prctl.h.
        const ARCH_PRCTL: i64 = 158;
        const REQUEST_PERMISSION: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        let mut result = ARCH_PRCTL;
        // SAFETY: this call reads and writes no memory of the process.
        unsafe {
            asm!(
                "syscall",
                inout("rax") result,
                in("rdi") REQUEST_PERMISSION,
                in("rsi") TILE_DATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack, nomem),
            );
        }
        result == 0
    }

    /// What `ldtilecfg` reads.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    /// Makes each of the eight registers of this thread sixteen rows of sixteen words.
    ///
    /// # Safety
    /// The process has the registers.
    pub(super) unsafe fn configure() {
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        configuration.row_bytes[..8].fill(ROW_BYTES as u16);
        configuration.rows[..8].fill(TILE as u8);
        // SAFETY: the caller's promise; the configuration is one that the architecture defines.
        unsafe {
            asm!("ldtilecfg [{0}]", in(reg) &raw const configuration, options(nostack, readonly));
        }
    }

    /// The block with `$first` before its first product: sums in tmm0 to tmm3, A in tmm4 and tmm5, B in tmm6 and tmm7.
    macro_rules! block {
        ($name:ident, [$($first:literal),*]) => {
            /// # Safety
            /// As [`super::multiply`], on a thread that is configured.
            pub(super) unsafe fn $name(block: &Block<'_>) {
                // SAFETY: the caller's promise. No other code of this program uses these registers.
                unsafe {
                    asm!(
                        "lea {a}, [{c} + 8 * {c_stride}]",
                        "lea {a}, [{a} + 8 * {c_stride}]",
                        $($first,)*
                        "2:",
                        "mov {a}, [{runs}]",
                        "mov {k}, [{runs} + 8]",
                        "add {a}, {base}",
                        "lea {lower}, [{a} + 8 * {a_stride}]",
                        "lea {lower}, [{lower} + 8 * {a_stride}]",
                        "3:",
                        "tileloadd tmm6, [{b} + {b_stride}]",
                        "tileloadd tmm4, [{a} + {a_stride}]",
                        "tileloadd tmm7, [{b} + {b_stride} + 64]",
                        "tdpbf16ps tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{lower} + {a_stride}]",
                        "tdpbf16ps tmm1, tmm4, tmm7",
                        "tdpbf16ps tmm2, tmm5, tmm6",
                        "tdpbf16ps tmm3, tmm5, tmm7",
                        "add {a}, 64",
                        "add {lower}, 64",
                        "add {b}, 2048",
                        "dec {k}",
                        "jnz 3b",
                        "add {runs}, 16",
                        "dec {n}",
                        "jnz 2b",
                        "lea {a}, [{c} + 8 * {c_stride}]",
                        "lea {a}, [{a} + 8 * {c_stride}]",
                        "tilestored [{c} + {c_stride}], tmm0",
                        "tilestored [{c} + {c_stride} + 64], tmm1",
                        "tilestored [{a} + {c_stride}], tmm2",
                        "tilestored [{a} + {c_stride} + 64], tmm3",
                        runs = inout(reg) block.runs.as_ptr() => _,
                        n = inout(reg) block.runs.len() => _,
                        base = in(reg) block.left,
                        a = out(reg) _,
                        lower = out(reg) _,
                        k = out(reg) _,
                        a_stride = in(reg) block.left_stride,
                        b = inout(reg) block.right => _,
                        b_stride = in(reg) 128usize,
                        c = in(reg) block.target,
                        c_stride = in(reg) block.target_stride,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        };
    }
    block!(replace, ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"]);
    block!(
        add,
        [
            "tileloadd tmm0, [{c} + {c_stride}]",
            "tileloadd tmm1, [{c} + {c_stride} + 64]",
            "tileloadd tmm2, [{a} + {c_stride}]",
            "tileloadd tmm3, [{a} + {c_stride} + 64]"
        ]
    );
}
