//! A reader of Python pickles that runs nothing.
//!
//! A pickle is a program for a small stack machine (docs.python.org/3/library/pickletools). Only the instructions
//! that build plain data are known here; a call or a global becomes a node of the result, for the caller to
//! interpret, and nothing outside this file is ever looked up or run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use thiserror::Error;

/// Most instructions of one pickle. Each makes one object at most, which takes up to 100 bytes with its places on the
/// stack and in the memo; InsightFace's packs have some hundred thousand.
const INSTRUCTIONS_AT_MOST: usize = 1 << 21;

/// Index of an object in its [`Pickle`].
pub(crate) type Id = usize;

/// The objects of one pickle. Memory is bounded by the number of instructions and, for texts, the pickle's length.
#[derive(Debug)]
pub(crate) struct Pickle {
    objects: Vec<Object>,
    /// What a call's result is then filled with, by the call.
    states: BTreeMap<Id, Id>,
    root: Id,
}

/// A piece of data, with the ids of its parts. Parts can be shared and even cyclic.
#[derive(Debug)]
pub(crate) enum Object {
    None,
    Bool(bool),
    Integer(i128),
    /// A floating point number, which no caller needs.
    Float,
    Text(Rc<str>),
    /// Bytes, as a range of the pickle's own.
    Bytes(Range<usize>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name in a Python module.
    Global {
        module: Rc<str>,
        name: Rc<str>,
    },
    /// A call of a global with a tuple of arguments.
    Call {
        function: Id,
        arguments: Id,
    },
    /// A reference to something outside the pickle.
    Persistent(Id),
}

/// What is wrong with a pickle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PickleError {
    /// The bytes end inside an instruction or before the last one.
    #[error("pickle is truncated at byte {offset}")]
    Truncated {
        /// Where.
        offset: usize,
    },
    /// An instruction that this reader refuses.
    #[error("pickle has an instruction at byte {offset} that this reader refuses: {code:#04x}")]
    Instruction {
        /// Where.
        offset: usize,
        /// The instruction.
        code: u8,
    },
    /// An instruction that does not fit what stands before it.
    #[error("pickle has an instruction at byte {offset} that does not fit the ones before it: {code:#04x}")]
    Misplaced {
        /// Where.
        offset: usize,
        /// The instruction.
        code: u8,
    },
    /// Text that is not UTF-8.
    #[error("pickle has text that is not UTF-8 at byte {offset}")]
    Text {
        /// Where.
        offset: usize,
    },
    /// More instructions than any file of weights or faces needs.
    #[error("pickle has more than {INSTRUCTIONS_AT_MOST} instructions")]
    TooLong,
    /// An integer of more than 128 bits.
    #[error("pickle has an integer of more than 16 bytes at byte {offset}")]
    Integer {
        /// Where.
        offset: usize,
    },
}

impl Pickle {
    /// Reads one pickle from `bytes` at `*position`, which then points behind it.
    pub(crate) fn read(bytes: &[u8], position: &mut usize) -> Result<Pickle, PickleError> {
        let mut machine = Machine {
            bytes,
            position: *position,
            objects: Vec::new(),
            states: BTreeMap::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        let root = machine.run()?;
        *position = machine.position;
        Ok(Pickle { objects: machine.objects, states: machine.states, root })
    }

    pub(crate) fn root(&self) -> Id {
        self.root
    }

    /// Every object of the pickle.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        0..self.objects.len()
    }

    pub(crate) fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, id: Id) -> Option<i128> {
        match self.get(id) {
            Object::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(parts) => Some(parts),
            _ => None,
        }
    }

    /// What the result of a call is filled with.
    pub(crate) fn state(&self, call: Id) -> Option<Id> {
        self.states.get(&call).copied()
    }

    /// Module and name of a global.
    pub(crate) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Object::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }
}

struct Machine<'b> {
    bytes: &'b [u8],
    position: usize,
    objects: Vec<Object>,
    states: BTreeMap<Id, Id>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

mod code {
    pub(super) const PROTOCOL: u8 = 0x80;
    pub(super) const STOP: u8 = b'.';
    pub(super) const MARK: u8 = b'(';
    pub(super) const NONE: u8 = b'N';
    pub(super) const TRUE: u8 = 0x88;
    pub(super) const FALSE: u8 = 0x89;
    pub(super) const INTEGER_4: u8 = b'J';
    pub(super) const INTEGER_1: u8 = b'K';
    pub(super) const INTEGER_2: u8 = b'M';
    pub(super) const INTEGER_LONG: u8 = 0x8a;
    pub(super) const FLOAT: u8 = b'G';
    pub(super) const TEXT: u8 = b'X';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const TUPLE_1: u8 = 0x85;
    pub(super) const TUPLE_2: u8 = 0x86;
    pub(super) const TUPLE_3: u8 = 0x87;
    pub(super) const TUPLE: u8 = b't';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const SET_ITEM: u8 = b's';
    pub(super) const SET_ITEMS: u8 = b'u';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BUILD: u8 = b'b';
    pub(super) const PERSISTENT: u8 = b'Q';
    pub(super) const PUT_1: u8 = b'q';
    pub(super) const PUT_4: u8 = b'r';
    pub(super) const GET_1: u8 = b'h';
    pub(super) const GET_4: u8 = b'j';
    pub(super) const MEMOIZE: u8 = 0x94;
    pub(super) const FRAME: u8 = 0x95;
    pub(super) const STACK_GLOBAL: u8 = 0x93;
    pub(super) const SHORT_TEXT: u8 = 0x8c;
    pub(super) const BYTES_1: u8 = b'C';
    pub(super) const BYTES_4: u8 = b'B';
    pub(super) const BYTES_8: u8 = 0x8e;
    /// Text of Python 2, which is bytes.
    pub(super) const STRING_1: u8 = b'U';
    pub(super) const STRING_4: u8 = b'T';
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, PickleError> {
        for _ in 0..INSTRUCTIONS_AT_MOST {
            let offset = self.position;
            let [code] = self.take()?;
            let misplaced = PickleError::Misplaced { offset, code };
            match code {
                code::STOP => return self.stack.pop().filter(|_| self.stack.is_empty()).ok_or(misplaced),
                code::PROTOCOL => {
                    let [_version] = self.take()?;
                }
                code::FRAME => {
                    let [..]: [u8; 8] = self.take()?;
                }
                code::MEMOIZE => {
                    let top = self.reachable().last().copied().ok_or(misplaced)?;
                    let key = u32::try_from(self.memo.len())
                        .map_err(|_| PickleError::Misplaced { offset, code })?;
                    self.memo.insert(key, top);
                }
                code::MARK => self.marks.push(self.stack.len()),
                code::PUT_1 | code::PUT_4 | code::GET_1 | code::GET_4 => {
                    let key = match code {
                        code::PUT_1 | code::GET_1 => u32::from(u8::from_le_bytes(self.take()?)),
                        _ => u32::from_le_bytes(self.take()?),
                    };
                    if matches!(code, code::PUT_1 | code::PUT_4) {
                        let top = self.reachable().last().copied().ok_or(misplaced)?;
                        self.memo.insert(key, top);
                    } else {
                        let id = self.memo.get(&key).copied().ok_or(misplaced)?;
                        self.stack.push(id);
                    }
                }
                code::APPEND | code::APPENDS | code::SET_ITEM | code::SET_ITEMS | code::BUILD => {
                    self.change_container(code).ok_or(misplaced)?;
                }
                _ => {
                    let object = match self.plain(offset, code)? {
                        Some(object) => object,
                        None => self.composed(code).ok_or(misplaced)?,
                    };
                    self.objects.push(object);
                    self.stack.push(self.objects.len() - 1);
                }
            }
        }
        Err(PickleError::TooLong)
    }

    /// Objects made of the bytes of the instruction itself; `None` for the instructions of [`Machine::composed`].
    fn plain(&mut self, offset: usize, code: u8) -> Result<Option<Object>, PickleError> {
        Ok(Some(match code {
            code::NONE => Object::None,
            code::TRUE => Object::Bool(true),
            code::FALSE => Object::Bool(false),
            code::INTEGER_1 => Object::Integer(i128::from(u8::from_le_bytes(self.take()?))),
            code::INTEGER_2 => Object::Integer(i128::from(u16::from_le_bytes(self.take()?))),
            code::INTEGER_4 => Object::Integer(i128::from(i32::from_le_bytes(self.take()?))),
            code::INTEGER_LONG => {
                let [length] = self.take()?;
                let bytes = self.take_slice(usize::from(length))?;
                Object::Integer(signed(bytes).ok_or(PickleError::Integer { offset })?)
            }
            code::FLOAT => {
                let [..]: [u8; 8] = self.take()?;
                Object::Float
            }
            code::TEXT => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                Object::Text(text(self.take_slice(length)?, offset)?)
            }
            code::SHORT_TEXT => {
                let [length] = self.take()?;
                Object::Text(text(self.take_slice(usize::from(length))?, offset)?)
            }
            code::BYTES_1 | code::STRING_1 => {
                let [length] = self.take()?;
                Object::Bytes(self.take_range(u64::from(length))?)
            }
            code::BYTES_4 | code::STRING_4 => {
                let length = u64::from(u32::from_le_bytes(self.take()?));
                Object::Bytes(self.take_range(length)?)
            }
            code::BYTES_8 => {
                let length = u64::from_le_bytes(self.take()?);
                Object::Bytes(self.take_range(length)?)
            }
            code::GLOBAL => Object::Global { module: self.line(offset)?, name: self.line(offset)? },
            code::EMPTY_TUPLE => Object::Tuple(Vec::new()),
            code::EMPTY_LIST => Object::List(Vec::new()),
            code::EMPTY_DICT => Object::Dict(Vec::new()),
            code::TUPLE_1
            | code::TUPLE_2
            | code::TUPLE_3
            | code::TUPLE
            | code::REDUCE
            | code::PERSISTENT
            | code::STACK_GLOBAL => return Ok(None),
            _ => return Err(PickleError::Instruction { offset, code }),
        }))
    }

    /// Objects made of what is on the stack.
    fn composed(&mut self, code: u8) -> Option<Object> {
        match code {
            code::TUPLE => Some(Object::Tuple(self.pop_to_mark()?)),
            code::REDUCE => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)
            }
            code::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.objects[module], &self.objects[name]) {
                    (Object::Text(module), Object::Text(name)) => {
                        Some(Object::Global { module: Rc::clone(module), name: Rc::clone(name) })
                    }
                    _ => None,
                }
            }
            code::PERSISTENT => Some(Object::Persistent(self.pop()?)),
            _ => {
                let count = usize::from(code - code::TUPLE_1) + 1;
                let mut parts: Vec<Id> = (0..count).map(|_| self.pop()).collect::<Option<_>>()?;
                parts.reverse();
                Some(Object::Tuple(parts))
            }
        }
    }

    /// An ordered dictionary is a dictionary, so that later instructions can fill it; other calls stay calls.
    fn call(&self, function: Id, arguments: Id) -> Option<Object> {
        let Object::Global { module, name } = &self.objects[function] else { return None };
        let Object::Tuple(parts) = &self.objects[arguments] else { return None };
        if (&**module, &**name) == ("collections", "OrderedDict") && parts.is_empty() {
            return Some(Object::Dict(Vec::new()));
        }
        Some(Object::Call { function, arguments })
    }

    fn change_container(&mut self, code: u8) -> Option<()> {
        let parts = match code {
            code::APPEND | code::BUILD => vec![self.pop()?],
            code::SET_ITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            _ => self.pop_to_mark()?,
        };
        let container = *self.reachable().last()?;
        if code == code::BUILD && self.makes_array(container) {
            self.states.insert(container, parts[0]);
            return Some(());
        }
        match (&mut self.objects[container], code) {
            (Object::List(list), code::APPEND | code::APPENDS) => list.extend(parts),
            (Object::Dict(entries), code::SET_ITEM | code::SET_ITEMS) => {
                let (pairs, []) = parts.as_chunks::<2>() else { return None };
                entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            // Attributes of an ordered dictionary, such as PyTorch's versions of layers, carry no weights.
            (Object::Dict(_), code::BUILD) => {}
            _ => return None,
        }
        Some(())
    }

    /// Whether an object is a call that makes a NumPy array or element type: its state is kept for the caller to read.
    fn makes_array(&self, id: Id) -> bool {
        let Object::Call { function, .. } = &self.objects[id] else { return false };
        let Object::Global { module, name } = &self.objects[*function] else { return false };
        module.starts_with("numpy") && matches!(&**name, "_reconstruct" | "dtype")
    }

    /// The part of the stack above the last mark.
    fn reachable(&self) -> &[Id] {
        &self.stack[self.marks.last().copied().unwrap_or(0)..]
    }

    fn pop(&mut self) -> Option<Id> {
        if self.reachable().is_empty() {
            return None;
        }
        self.stack.pop()
    }

    fn pop_to_mark(&mut self) -> Option<Vec<Id>> {
        let mark = self.marks.pop()?;
        Some(self.stack.split_off(mark))
    }

    fn take_slice(&mut self, length: usize) -> Result<&[u8], PickleError> {
        let offset = self.position;
        let slice = self.bytes.get(offset..).and_then(|rest| rest.get(..length));
        let slice = slice.ok_or(PickleError::Truncated { offset })?;
        self.position += length;
        Ok(slice)
    }

    fn take_range(&mut self, length: u64) -> Result<Range<usize>, PickleError> {
        let start = self.position;
        let length = usize::try_from(length).map_err(|_| PickleError::Truncated { offset: start })?;
        self.take_slice(length)?;
        Ok(start..self.position)
    }

    fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], PickleError> {
        let offset = self.position;
        self.take_slice(LENGTH)?.try_into().map_err(|_| PickleError::Truncated { offset })
    }

    /// Text up to the next line feed.
    fn line(&mut self, offset: usize) -> Result<Rc<str>, PickleError> {
        let rest = self.bytes.get(self.position..).unwrap_or(&[]);
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            return Err(PickleError::Truncated { offset });
        };
        let line = text(&rest[..length], offset)?;
        self.position += length + 1;
        Ok(line)
    }
}

fn text(bytes: &[u8], offset: usize) -> Result<Rc<str>, PickleError> {
    std::str::from_utf8(bytes).map(Rc::from).map_err(|_| PickleError::Text { offset })
}

/// A little-endian two's complement integer of up to 16 bytes.
fn signed(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
    let mut all = [fill; 16];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(all))
}
