//! What the process is told about the processor and the operating system.

use std::arch::x86_64::__cpuid_count;
use std::io;

const ARCH_SET_CPUID: libc::c_int = 0x1012;
const ARCH_REQ_XCOMP_PERM: u32 = 0x1023;

/// Makes `CPUID` fault in this thread and those that it starts, and answers the request for the tile registers.
pub(crate) fn pretend() -> io::Result<()> {
    allow_tiles()?;
    let_cpuid_fault(true)
}

fn let_cpuid_fault(faults: bool) -> io::Result<()> {
    // SAFETY: this call reads and writes no memory of the process.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, libc::c_ulong::from(!faults)) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(io::Error::new(error.kind(), format!("this machine does not let CPUID fault: {error}")))
}

/// Has the kernel answer `arch_prctl(ARCH_REQ_XCOMP_PERM, ..)` with success and do nothing.
fn allow_tiles() -> io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
    let statement = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    // Offsets in `struct seccomp_data`: the number of the call, the lower half of its first argument.
    let (number, argument) = (0, 16);
    let mut filter = [
        statement(BPF_LD | BPF_W | BPF_ABS, 0, 0, number),
        statement(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, libc::SYS_arch_prctl as u32),
        statement(BPF_LD | BPF_W | BPF_ABS, 0, 0, argument),
        statement(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ARCH_REQ_XCOMP_PERM),
        // The error 0.
        statement(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO),
        statement(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives until the kernel has copied it.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
        ]
    };
    if results == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What `CPUID` says of a leaf: EAX, EBX, ECX and EDX, with the features that are emulated.
pub(crate) fn cpuid(leaf: u32, part: u32) -> io::Result<[u32; 4]> {
    const AVX512_BF16: u32 = 1 << 5;
    const AMX_BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    let_cpuid_fault(false)?;
    let result = __cpuid_count(leaf, part);
    let_cpuid_fault(true)?;
    let mut words = [result.eax, result.ebx, result.ecx, result.edx];
    match (leaf, part) {
        (7, 0) => {
            words[0] = words[0].max(1);
            words[3] |= AMX_BF16_AND_TILE;
        }
        (7, 1) => words[0] |= AVX512_BF16,
        _ => {}
    }
    Ok(words)
}
