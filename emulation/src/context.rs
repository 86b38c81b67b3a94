//! The registers of a thread as they were saved for a signal.

use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use iced_x86::{Instruction, Register};

/// Words of 32 bits in the widest register.
pub(crate) const WORDS: usize = 16;
/// A vector register, or what stands in its place.
pub(crate) type Words = [u32; WORDS];

/// General registers that [`Context::of_parts`] takes, the last of them the instruction pointer.
pub(crate) const GENERAL: usize = libc::REG_RIP as usize + 1;

/// Parts of the saved state, by their number in XCR0 (volume 1, 13.1).
const SSE: u32 = 1;
const AVX: u32 = 2;
const MASKS: u32 = 5;
const UPPER_HALVES: u32 = 6;
const UPPER_REGISTERS: u32 = 7;
/// Offset of the XMM registers, and of the bits that say which parts were in use.
const XMM: usize = 160;
const USED: usize = 512;

/// Offset and bytes of a part of the saved state.
#[derive(Clone, Copy)]
struct Part {
    offset: usize,
    bytes: usize,
}

/// Parts [`AVX`] to [`UPPER_REGISTERS`]; volume 1, 13.4.2 says where.
fn part(number: u32) -> Part {
    static PARTS: OnceLock<[Part; 8]> = OnceLock::new();
    PARTS.get_or_init(|| {
        std::array::from_fn(|number| match number as u32 {
            SSE => Part { offset: XMM, bytes: 16 * 16 },
            AVX | MASKS | UPPER_HALVES | UPPER_REGISTERS => {
                let leaf = __cpuid_count(0xd, number as u32);
                Part { offset: leaf.ebx as usize, bytes: leaf.eax as usize }
            }
            _ => Part { offset: 0, bytes: 0 },
        })
    })[number as usize]
}

/// The saved registers of the thread that a signal interrupted.
pub(crate) struct Context {
    general: *mut libc::greg_t,
    vectors: *mut u8,
}

impl Context {
    /// Finds where the parts of the saved state lie: while `CPUID` does not yet fault.
    pub(crate) fn prepare() {
        part(SSE);
    }

    /// # Safety
    /// `context` is what the kernel handed to a signal's handler, on a processor with AVX-512, and outlives the result.
    pub(crate) unsafe fn new(context: *mut libc::ucontext_t) -> Context {
        // SAFETY: the caller's promise.
        unsafe {
            let machine = &mut (*context).uc_mcontext;
            Context::of_parts(machine.gregs.as_mut_ptr().cast(), machine.fpregs.cast())
        }
    }

    /// That of general registers in the order of `ucontext_t` and of what `XSAVE` saved.
    ///
    /// # Safety
    /// Both outlive the result, and nothing else refers to them meanwhile.
    pub(crate) unsafe fn of_parts(general: *mut u64, vectors: *mut u8) -> Context {
        Context { general: general.cast(), vectors }
    }

    pub(crate) fn general(&self, register: libc::c_int) -> u64 {
        // SAFETY: a register of the saved state.
        unsafe { *self.general.add(register as usize) as u64 }
    }

    pub(crate) fn set_general(&mut self, register: libc::c_int, value: u64) {
        // SAFETY: a register of the saved state.
        unsafe { *self.general.add(register as usize) = value as libc::greg_t }
    }

    pub(crate) fn instruction_pointer(&self) -> u64 {
        self.general(libc::REG_RIP)
    }

    pub(crate) fn set_instruction_pointer(&mut self, value: u64) {
        self.set_general(libc::REG_RIP, value);
    }

    /// The value of a general register by its name, 0 for none.
    fn named(&self, register: Register) -> u64 {
        let index = match register {
            Register::None => return 0,
            Register::RAX => libc::REG_RAX,
            Register::RBX => libc::REG_RBX,
            Register::RCX => libc::REG_RCX,
            Register::RDX => libc::REG_RDX,
            Register::RSI => libc::REG_RSI,
            Register::RDI => libc::REG_RDI,
            Register::RBP => libc::REG_RBP,
            Register::RSP => libc::REG_RSP,
            Register::R8 => libc::REG_R8,
            Register::R9 => libc::REG_R9,
            Register::R10 => libc::REG_R10,
            Register::R11 => libc::REG_R11,
            Register::R12 => libc::REG_R12,
            Register::R13 => libc::REG_R13,
            Register::R14 => libc::REG_R14,
            Register::R15 => libc::REG_R15,
            other => crate::fail(&format!("an address by the register {other:?}")),
        };
        self.general(index)
    }

    /// Where the memory operand of an instruction lies, without its index register.
    pub(crate) fn base(&self, instruction: &Instruction) -> *mut u8 {
        let base = match instruction.memory_base() {
            // Its displacement is the address itself.
            Register::RIP => 0,
            register => self.named(register),
        };
        base.wrapping_add(instruction.memory_displacement64()) as *mut u8
    }

    /// The index register of the memory operand of an instruction, scaled.
    pub(crate) fn index(&self, instruction: &Instruction) -> u64 {
        self.named(instruction.memory_index()).wrapping_mul(u64::from(instruction.memory_index_scale()))
    }

    /// Where the memory operand of an instruction lies.
    pub(crate) fn address(&self, instruction: &Instruction) -> *mut u8 {
        self.base(instruction).wrapping_add(self.index(instruction) as usize)
    }

    /// Whether a part of the saved state was in use; one that was not is zero, whatever lies there.
    fn is_used(&self, number: u32) -> bool {
        // SAFETY: the header of the saved state.
        unsafe { self.vectors.add(USED).cast::<u64>().read() >> number & 1 == 1 }
    }

    /// Words from an offset of a part, zeros where it was not in use.
    fn read<const N: usize>(&self, number: u32, offset: usize) -> [u32; N] {
        if !self.is_used(number) {
            return [0; N];
        }
        // SAFETY: a register of the saved state.
        unsafe { self.vectors.add(part(number).offset + offset).cast::<[u32; N]>().read_unaligned() }
    }

    fn write(&mut self, number: u32, offset: usize, words: &[u32]) {
        let Part { offset: start, bytes } = part(number);
        // SAFETY: a register of the saved state and its header.
        unsafe {
            if !self.is_used(number) {
                self.vectors.add(start).write_bytes(0, bytes);
                *self.vectors.add(USED).cast::<u64>() |= 1 << number;
            }
            let target = self.vectors.add(start + offset).cast::<u32>();
            target.copy_from_nonoverlapping(words.as_ptr(), words.len());
        }
    }

    /// The whole of vector register `number`.
    pub(crate) fn vector(&self, number: usize) -> Words {
        if number >= 16 {
            return self.read(UPPER_REGISTERS, (number - 16) * 64);
        }
        let mut words = [0; WORDS];
        words[..4].copy_from_slice(&self.read::<4>(SSE, number * 16));
        words[4..8].copy_from_slice(&self.read::<4>(AVX, number * 16));
        words[8..].copy_from_slice(&self.read::<8>(UPPER_HALVES, number * 32));
        words
    }

    pub(crate) fn set_vector(&mut self, number: usize, words: &Words) {
        if number >= 16 {
            return self.write(UPPER_REGISTERS, (number - 16) * 64, words);
        }
        self.write(SSE, number * 16, &words[..4]);
        self.write(AVX, number * 16, &words[4..8]);
        self.write(UPPER_HALVES, number * 32, &words[8..]);
    }

    /// The bits of mask register `number`.
    pub(crate) fn mask(&self, number: usize) -> u64 {
        let [lower, upper] = self.read(MASKS, number * 8);
        u64::from(upper) << 32 | u64::from(lower)
    }
}
