//! Signals of instructions that the processor refused.

use std::io;
use std::ptr;

use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic};

use crate::context::Context;
use crate::patch::{PAGE, Replaced};
use crate::{fail, features, pairs, patch, tiles};

/// Bytes of the longest instruction.
const LONGEST: usize = 15;
/// Instructions that are replaced together.
const MOST: usize = 64;
const CPUID: [u8; 2] = [0x0f, 0xa2];

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs the handlers.
pub(crate) fn catch() -> io::Result<()> {
    for (signal, handler) in [
        (libc::SIGILL, refused as Handler),
        (libc::SIGTRAP, stopped as Handler),
        (libc::SIGSEGV, faulted as Handler),
    ] {
        // SAFETY: zeros are a valid action, and the handlers have the signature of SA_SIGINFO.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(signal, &raw const action, ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// An instruction that the processor does not know: from now on it is replaced, with those after it that are known here.
extern "C" fn refused(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over the context of the thread.
    let mut context = unsafe { Context::new(context.cast()) };
    let place = context.instruction_pointer();
    let read = || {
        let mut run = Vec::new();
        let mut next = decode(place);
        while operation(&next).is_some() && run.len() < MOST {
            run.push(next);
            next = decode(next.next_ip());
        }
        run
    };
    match patch::replace(place, read) {
        Replaced::Done => {}
        Replaced::Not(instruction) => {
            compute(&instruction, &mut context);
            context.set_instruction_pointer(instruction.next_ip());
        }
        Replaced::Unknown => give_up(signal),
    }
}

/// A breakpoint: another thread is replacing the instruction, which is tried again.
extern "C" fn stopped(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over the context of the thread.
    let mut context = unsafe { Context::new(context.cast()) };
    let place = context.instruction_pointer() - 1;
    if !patch::is_replaced(place) {
        return give_up(signal);
    }
    context.set_instruction_pointer(place);
}

/// A fault: `CPUID`, or one of the program's own.
extern "C" fn faulted(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over the context of the thread. It sets no address for an instruction that may not run,
    // which therefore can be read.
    let (mut context, code) = unsafe { (Context::new(context.cast()), (*info).si_code) };
    let pointer = context.instruction_pointer();
    const SI_KERNEL: libc::c_int = 0x80;
    // SAFETY: as above.
    if code != SI_KERNEL || unsafe { ptr::read_unaligned(pointer as *const [u8; 2]) } != CPUID {
        return give_up(signal);
    }
    let leaf = [libc::REG_RAX, libc::REG_RCX].map(|register| context.general(register) as u32);
    let words = features::cpuid(leaf[0], leaf[1]).unwrap_or_else(|error| fail(&error.to_string()));
    for (register, word) in
        [libc::REG_RAX, libc::REG_RBX, libc::REG_RCX, libc::REG_RDX].into_iter().zip(words)
    {
        context.set_general(register, u64::from(word));
    }
    context.set_instruction_pointer(pointer + CPUID.len() as u64);
}

/// Lets the instruction end the process, as it does without a handler.
fn give_up(signal: libc::c_int) {
    // SAFETY: the default action is valid.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// The instruction at an address, from which the processor has read.
fn decode(pointer: u64) -> Instruction {
    let of_page = (PAGE - pointer as usize % PAGE).min(LONGEST);
    let at_most = |bytes: usize| {
        // SAFETY: instructions are readable to the end of their page, and one that goes on, on the next one.
        let bytes = unsafe { std::slice::from_raw_parts(pointer as *const u8, bytes) };
        let mut decoder = Decoder::with_ip(64, bytes, pointer, DecoderOptions::NONE);
        let instruction = decoder.decode();
        (decoder.last_error() != DecoderError::NoMoreBytes).then_some(instruction)
    };
    at_most(of_page).or_else(|| at_most(LONGEST)).unwrap_or_default()
}

/// How an instruction is computed, if it is known here.
fn operation(instruction: &Instruction) -> Option<fn(&Instruction, &mut Context)> {
    Some(match instruction.mnemonic() {
        Mnemonic::Vdpbf16ps => pairs::multiply,
        Mnemonic::Vcvtne2ps2bf16 => pairs::round_two,
        Mnemonic::Vcvtneps2bf16 => pairs::round,
        Mnemonic::Ldtilecfg
        | Mnemonic::Tilerelease
        | Mnemonic::Tilezero
        | Mnemonic::Tileloadd
        | Mnemonic::Tilestored
        | Mnemonic::Tdpbf16ps => tiles::compute,
        _ => return None,
    })
}

/// Computes an instruction that is known.
pub(crate) fn compute(instruction: &Instruction, context: &mut Context) {
    match operation(instruction) {
        Some(operation) => operation(instruction, context),
        None => fail(&format!("{:?} is not known", instruction.mnemonic())),
    }
}
