//! A trap takes some microseconds, so an instruction is replaced after its first one: by a jump to code that saves the
//! registers, computes it and those behind it, and goes on where they end.

use std::arch::naked_asm;
use std::collections::HashSet;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use iced_x86::Instruction;

use crate::context::{Context, GENERAL};
use crate::trap;

/// Bytes of `jmp rel32`.
const JUMP: usize = 5;
const BREAKPOINT: u8 = 0xcc;
pub(crate) const PAGE: usize = 4096;
/// Bytes of memory for stubs near the program's code, and of one.
const STUBS: usize = 1 << 20;
const STUB: usize = 48;
/// What is left free below the stack pointer for the function that was interrupted.
const RED_ZONE: u64 = 128;

/// Instructions that follow one another; at least one.
type Site = Vec<Instruction>;

struct Patches {
    /// Addresses of first instructions.
    places: Option<HashSet<u64>>,
    /// Address and bytes of memory for further stubs.
    free: u64,
    left: usize,
}

static PATCHES: Mutex<Patches> = Mutex::new(Patches { places: None, free: 0, left: 0 });

/// What became of an instruction.
pub(crate) enum Replaced {
    /// It is to be tried again.
    Done,
    /// It cannot be replaced, but computed.
    Not(Instruction),
    /// It is not known.
    Unknown,
}

/// Makes the instructions from `place` on that `read` finds there be computed without a trap from now on.
pub(crate) fn replace(place: u64, read: impl FnOnce() -> Vec<Instruction>) -> Replaced {
    let mut patches = PATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    if patches.places.get_or_insert_default().contains(&place) {
        return Replaced::Done;
    }
    // Now no other thread writes what is read.
    let run = read();
    let Some(&first) = run.first() else { return Replaced::Unknown };
    if first.len() < JUMP {
        return Replaced::Not(first);
    }
    let site = Box::leak(Box::new(run));
    let Some(stub) = patches.stub(place, site) else { return Replaced::Not(first) };
    let distance = stub.wrapping_sub(place + JUMP as u64) as i32;
    // SAFETY: the program's code, which others may run meanwhile: they meet a breakpoint until the jump is whole.
    unsafe {
        let page = place as usize / PAGE * PAGE;
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        if libc::mprotect(page as *mut libc::c_void, 2 * PAGE, all) != 0 {
            return Replaced::Not(first);
        }
        patches.places.get_or_insert_default().insert(place);
        let first = AtomicU8::from_ptr(place as *mut u8);
        first.store(BREAKPOINT, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        ptr::copy_nonoverlapping(distance.to_le_bytes().as_ptr(), (place + 1) as *mut u8, 4);
        fence(Ordering::SeqCst);
        first.store(0xe9, Ordering::SeqCst);
    }
    Replaced::Done
}

/// Whether the instruction at `place` is being replaced or was.
pub(crate) fn is_replaced(place: u64) -> bool {
    let patches = PATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    patches.places.as_ref().is_some_and(|places| places.contains(&place))
}

impl Patches {
    /// Writes a stub that a jump at `place` can reach, and says where.
    fn stub(&mut self, place: u64, site: &'static Site) -> Option<u64> {
        if self.left < STUB {
            self.free = near(place)?;
            self.left = STUBS;
        }
        let distance = self.free.wrapping_sub(place) as i64;
        i32::try_from(distance).ok()?;
        let stub = self.free;
        let mut code = [0u8; STUB];
        // lea rsp, [rsp - 128]; push the site; jump; both are read at the end of the stub.
        code[..5].copy_from_slice(&[0x48, 0x8d, 0x64, 0x24, 0x80]);
        code[5..11].copy_from_slice(&[0xff, 0x35, 21, 0, 0, 0]);
        code[11..17].copy_from_slice(&[0xff, 0x25, 23, 0, 0, 0]);
        code[32..40].copy_from_slice(&(ptr::from_ref(site) as u64).to_le_bytes());
        code[40..48].copy_from_slice(&(enter as *const () as u64).to_le_bytes());
        // SAFETY: so much is left.
        unsafe {
            (stub as *mut u8).copy_from_nonoverlapping(code.as_ptr(), STUB);
        }
        self.free += STUB as u64;
        self.left -= STUB;
        Some(stub)
    }
}

/// Memory for code within reach of `place`.
fn near(place: u64) -> Option<u64> {
    let steps = 1..64u64;
    let addresses = steps.flat_map(|step| {
        let away = step * (16 << 20);
        [place.checked_sub(away), place.checked_add(away)]
    });
    addresses.flatten().find_map(|address| {
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let wanted = (address as usize / PAGE * PAGE) as *mut libc::c_void;
        // SAFETY: new memory, where there is none.
        let memory = unsafe { libc::mmap(wanted, STUBS, all, flags, -1, 0) };
        (memory == wanted).then_some(memory as u64)
    })
}

/// What [`enter`] pushed, from the stack pointer up.
#[repr(C)]
struct Frame {
    flags: u64,
    /// In the order of `ucontext_t`: R8 first, last the stack pointer and, in the place of the instruction pointer, the site.
    general: [u64; GENERAL],
}

/// Where a stub goes: `rsp` points to the site, behind the red zone of the function that was interrupted.
#[unsafe(naked)]
extern "C" fn enter() {
    naked_asm!(
        "push rsp",
        "push rcx",
        "push rax",
        "push rdx",
        "push rbx",
        "push rbp",
        "push rsi",
        "push rdi",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "pushfq",
        "cld",
        "mov rdi, rsp",
        "mov rbp, rsp",
        "sub rsp, 4096",
        "and rsp, -64",
        // The header of the saved state.
        "xor eax, eax",
        "mov [rsp + 512], rax",
        "mov [rsp + 520], rax",
        "mov [rsp + 528], rax",
        "mov [rsp + 536], rax",
        "mov [rsp + 544], rax",
        "mov [rsp + 552], rax",
        "mov [rsp + 560], rax",
        "mov [rsp + 568], rax",
        "mov eax, {parts}",
        "xor edx, edx",
        "xsave64 [rsp]",
        "mov rsi, rsp",
        "call {compute}",
        "mov eax, {parts}",
        "xor edx, edx",
        "xrstor64 [rsp]",
        "mov rsp, rbp",
        "popfq",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "pop rdi",
        "pop rsi",
        "pop rbp",
        "pop rbx",
        "pop rdx",
        "pop rax",
        "pop rcx",
        "lea rsp, [rsp + 8]",
        "ret {red_zone}",
        // SSE, AVX and the three of AVX-512.
        parts = const 0xe6,
        red_zone = const RED_ZONE,
        compute = sym compute,
    )
}

/// Computes the instructions of a site and leaves where to go on in its place.
///
/// # Safety
/// Called by [`enter`].
unsafe extern "C" fn compute(frame: *mut Frame, vectors: *mut u8) {
    // SAFETY: the registers that were saved, which nothing else refers to; sites live for ever.
    unsafe {
        let general = &raw mut (*frame).general;
        let site = &*((*general)[libc::REG_RIP as usize] as *const Site);
        (*general)[libc::REG_RSP as usize] += size_of::<u64>() as u64 + RED_ZONE;
        let mut context = Context::of_parts(general.cast(), vectors);
        for instruction in site {
            trap::compute(instruction, &mut context);
            (*general)[libc::REG_RIP as usize] = instruction.next_ip();
        }
    }
}
