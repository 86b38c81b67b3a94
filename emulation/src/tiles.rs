//! The instructions of AMX-TILE and AMX-BF16.

use std::cell::UnsafeCell;

use iced_x86::{Instruction, Mnemonic, Register};

use crate::context::Context;
use crate::fail;
use crate::pairs::{add, add_product};

const TILES: usize = 8;
const ROWS: usize = 16;
const ROW_WORDS: usize = 16;

type Tile = [[u32; ROW_WORDS]; ROWS];

/// The tile registers of a thread.
struct Tiles {
    /// Rows and words in a row, zeros until they are configured.
    shapes: [(usize, usize); TILES],
    tiles: [Tile; TILES],
}

thread_local! {
    static REGISTERS: UnsafeCell<Tiles> =
        const { UnsafeCell::new(Tiles { shapes: [(0, 0); TILES], tiles: [[[0; ROW_WORDS]; ROWS]; TILES] }) };
}

pub(crate) fn compute(instruction: &Instruction, context: &mut Context) {
    REGISTERS.with(|registers| {
        // SAFETY: a thread computes one instruction at a time, and what follows calls nothing of the program.
        let registers = unsafe { &mut *registers.get() };
        match instruction.mnemonic() {
            Mnemonic::Ldtilecfg => registers.configure(instruction, context),
            Mnemonic::Tilerelease => registers.shapes = [(0, 0); TILES],
            Mnemonic::Tilezero => {
                let tile = registers.configured(instruction.op0_register());
                registers.tiles[tile] = [[0; ROW_WORDS]; ROWS];
            }
            Mnemonic::Tileloadd => registers.load(instruction, context),
            Mnemonic::Tilestored => registers.store(instruction, context),
            _ => registers.multiply(instruction),
        }
    });
}

impl Tiles {
    /// The number of a tile register.
    fn configured(&self, register: Register) -> usize {
        let tile = register.number();
        if self.shapes[tile] == (0, 0) {
            fail(&format!("tile {tile} is used in a thread that did not configure it"));
        }
        tile
    }

    fn configure(&mut self, instruction: &Instruction, context: &Context) {
        let address = context.address(instruction);
        // SAFETY: the program reads what the instruction would have read.
        let bytes = unsafe { address.cast::<[u8; 64]>().read_unaligned() };
        if bytes[0] != 1 || bytes[1] != 0 {
            fail(&format!("tile palette {} with start row {}, known is 1 with 0", bytes[0], bytes[1]));
        }
        for (tile, shape) in self.shapes.iter_mut().enumerate() {
            let row_bytes = usize::from(u16::from_le_bytes([bytes[16 + 2 * tile], bytes[17 + 2 * tile]]));
            let rows = usize::from(bytes[48 + tile]);
            if rows > ROWS || row_bytes > 4 * ROW_WORDS || row_bytes % 4 != 0 {
                fail(&format!("tile {tile} of {rows} rows of {row_bytes} bytes"));
            }
            *shape = (rows, row_bytes / 4);
        }
        self.tiles = [[[0; ROW_WORDS]; ROWS]; TILES];
    }

    fn load(&mut self, instruction: &Instruction, context: &Context) {
        let tile = self.configured(instruction.op0_register());
        let (base, stride) = (context.base(instruction), context.index(instruction));
        let (rows, words) = self.shapes[tile];
        let mut loaded = [[0; ROW_WORDS]; ROWS];
        for (row, target) in loaded[..rows].iter_mut().enumerate() {
            let source = base.wrapping_add((row as u64).wrapping_mul(stride) as usize);
            // SAFETY: the program reads what the instruction would have read.
            unsafe {
                source.copy_to_nonoverlapping(target.as_mut_ptr().cast(), 4 * words);
            }
        }
        self.tiles[tile] = loaded;
    }

    fn store(&mut self, instruction: &Instruction, context: &Context) {
        let tile = self.configured(instruction.op1_register());
        let (base, stride) = (context.base(instruction), context.index(instruction));
        let (rows, words) = self.shapes[tile];
        for (row, source) in self.tiles[tile][..rows].iter().enumerate() {
            let target = base.wrapping_add((row as u64).wrapping_mul(stride) as usize);
            // SAFETY: the program writes what the instruction would have written.
            unsafe {
                target.copy_from_nonoverlapping(source.as_ptr().cast(), 4 * words);
            }
        }
    }

    /// `tdpbf16ps`: the sums of lower and of upper products by themselves, then both added to the target.
    fn multiply(&mut self, instruction: &Instruction) {
        let [target, left, right] =
            [0, 1, 2].map(|operand| self.configured(instruction.op_register(operand)));
        let ((rows, columns), (left_rows, depth)) = (self.shapes[target], self.shapes[left]);
        if rows != left_rows || self.shapes[right] != (depth, columns) {
            fail(&format!("a product of tiles of other sizes: {:?}", self.shapes));
        }
        let (left, right) = (self.tiles[left], self.tiles[right]);
        for (sums, left) in self.tiles[target][..rows].iter_mut().zip(&left) {
            let (mut lower, mut upper) = ([0; ROW_WORDS], [0; ROW_WORDS]);
            for (&left, right) in left[..depth].iter().zip(&right) {
                for ((lower, upper), &right) in lower.iter_mut().zip(&mut upper).zip(right) {
                    *lower = add_product(*lower, left & 0xffff, right & 0xffff);
                    *upper = add_product(*upper, left >> 16, right >> 16);
                }
            }
            for ((sum, lower), upper) in sums[..columns].iter_mut().zip(lower).zip(upper) {
                *sum = add(*sum, add(lower, upper));
            }
        }
    }
}
