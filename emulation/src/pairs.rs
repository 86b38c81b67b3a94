//! The instructions of AVX512_BF16.

use iced_x86::{Instruction, OpKind, Register};

use crate::context::{Context, WORDS, Words};

/// `vdpbf16ps`: adds the two products of each pair, the upper one first.
pub(crate) fn multiply(instruction: &Instruction, context: &mut Context) {
    let target = instruction.op0_register().number();
    let mut sums = context.vector(target);
    let left = context.vector(instruction.op1_register().number());
    let right = source(instruction, 2, context);
    for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
        *sum = add_product(add_product(*sum, left >> 16, right >> 16), left & 0xffff, right & 0xffff);
    }
    put(instruction, context, &sums, u32::BITS);
}

/// `vcvtne2ps2bf16`: the second operand's values in the upper half of the result, the third's in the lower.
pub(crate) fn round_two(instruction: &Instruction, context: &mut Context) {
    let upper = context.vector(instruction.op1_register().number());
    let lower = source(instruction, 2, context);
    let words = lanes(instruction.op0_register());
    let mut result = [0; WORDS];
    for (index, word) in result[..words].iter_mut().enumerate() {
        let value = |half: usize| {
            let element = 2 * index + half;
            rounded(if element < words { lower[element] } else { upper[element - words] })
        };
        *word = value(1) << 16 | value(0);
    }
    put(instruction, context, &result, u16::BITS);
}

/// `vcvtneps2bf16`: the values of a register in half of one.
pub(crate) fn round(instruction: &Instruction, context: &mut Context) {
    let values = source(instruction, 1, context);
    let mut result = [0; WORDS];
    for (word, pair) in result.iter_mut().zip(values.chunks_exact(2)) {
        *word = rounded(pair[1]) << 16 | rounded(pair[0]);
    }
    put(instruction, context, &result, u16::BITS);
}

/// `sum + left * right` for bf16, a number too small for its full precision taken as zero; the product is exact.
pub(crate) fn add_product(sum: u32, left: u32, right: u32) -> u32 {
    let product = float(left << 16) * float(right << 16);
    normal((float(sum) + product).to_bits())
}

/// The sum of two floats, zero where it is too small for its full precision.
pub(crate) fn add(left: u32, right: u32) -> u32 {
    normal((float(left) + float(right)).to_bits())
}

/// A float, zero where it is too small for its full precision.
fn float(bits: u32) -> f32 {
    f32::from_bits(normal(bits))
}

fn normal(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// A float in bf16, to nearest, ties to even.
fn rounded(bits: u32) -> u32 {
    let bits = normal(bits);
    if f32::from_bits(bits).is_nan() {
        return bits >> 16 | 0x40;
    }
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// Words of a register.
fn lanes(register: Register) -> usize {
    register.size() / size_of::<u32>()
}

/// Operand `index`, a register or memory.
fn source(instruction: &Instruction, index: u32, context: &Context) -> Words {
    if instruction.op_kind(index) == OpKind::Register {
        return context.vector(instruction.op_register(index).number());
    }
    let address = context.address(instruction).cast::<u32>();
    let mut words = [0; WORDS];
    // SAFETY: the program reads what the instruction would have read.
    unsafe {
        if instruction.is_broadcast() {
            words.fill(address.read_unaligned());
        } else {
            let count = instruction.memory_size().size() / size_of::<u32>();
            for (index, word) in words[..count].iter_mut().enumerate() {
                *word = address.add(index).read_unaligned();
            }
        }
    }
    words
}

/// Writes the first operand, elements of so many bits, under its mask; what is above the register becomes zero.
fn put(instruction: &Instruction, context: &mut Context, result: &Words, bits: u32) {
    let register = instruction.op0_register();
    let before = context.vector(register.number());
    let mask = match instruction.op_mask() {
        Register::None => u64::MAX,
        register => context.mask(register.number()),
    };
    let mut words = [0; WORDS];
    for (index, word) in words[..lanes(register)].iter_mut().enumerate() {
        let chosen = (0..32 / bits).fold(0, |chosen, part| {
            let element = index as u32 * (32 / bits) + part;
            let whole = if bits == 32 { u32::MAX } else { (1 << bits) - 1 };
            if mask >> element & 1 == 1 { chosen | whole << (part * bits) } else { chosen }
        });
        let kept = if instruction.zeroing_masking() { 0 } else { before[index] };
        *word = result[index] & chosen | kept & !chosen;
    }
    context.set_vector(register.number(), &words);
}
