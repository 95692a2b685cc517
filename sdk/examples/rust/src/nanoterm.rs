// SPDX-License-Identifier: Apache-2.0
//! What this plugin uses of the C headers (`nanoterm/plugin.h`, `nanoterm/host.h`) of ABI 1.0, written down by hand.
//! `bindgen` makes the same from the headers where it is installed. Members after those of 1.0 are left out: the sizes say so.
#![allow(dead_code)]

use std::mem::size_of;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr::null;

pub const TEXT: u32 = 0;
pub const INT: u32 = 2;
pub const MANY: u32 = 0x1;
pub const RESULT_LIST: u32 = 2;
pub const E_INVALID: u32 = 15;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Table {
    pub rows: *const c_void,
    pub count: u32,
    pub stride: u32,
}

pub const NONE: Table = Table { rows: null(), count: 0, stride: 0 };

pub const fn table<T, const N: usize>(rows: &'static [T; N]) -> Table {
    Table { rows: rows as *const [T; N] as *const c_void, count: N as u32, stride: size_of::<T>() as u32 }
}

#[repr(C)]
pub struct Error {
    pub size: u32,
    pub code: u32,
    pub retryable: u8,
    pub request_sent: u8,
    pub status: u16,
    pub attempt: u32,
    pub sys: i32,
    pub reserved: u32,
    pub message: [u8; 256],
    pub server_code: [u8; 64],
    pub upstream: [u8; 64],
    pub request_id: [u8; 64],
    pub hint: [u8; 256],
}

#[repr(C)]
pub struct Arg {
    pub name: *const c_char,
    pub help: *const c_char,
    pub complete: *const c_char,
    pub kind: u32,
    pub flags: u32,
}

#[repr(C)]
pub struct Example {
    pub command: *const c_char,
    pub note: *const c_char,
}

#[repr(C)]
pub struct Column {
    pub name: *const c_char,
    pub title: *const c_char,
    pub path: *const c_char,
    pub help: *const c_char,
    pub kind: u32,
    pub flags: u32,
}

#[repr(C)]
pub struct Value {
    pub kind: u32,
    pub is_null: u32,
    pub text: *const c_char,
    pub number: i64,
    pub real: f64,
}

#[repr(C)]
pub struct Call {
    pub size: u32,
    pub personality: u32,
    pub host: *const Host,
    pub command: *const Command,
    pub flags: u32,
    pub reserved: u32,
}

/// Up to `emit`, which is all that is used.
#[repr(C)]
pub struct Host {
    pub size: u32,
    pub abi: u32,
    pub text: extern "C" fn(*mut Call, *const c_char) -> *const c_char,
    pub number: extern "C" fn(*mut Call, *const c_char) -> i64,
    pub count: extern "C" fn(*mut Call, *const c_char) -> u32,
    pub text_at: extern "C" fn(*mut Call, *const c_char, u32) -> *const c_char,
    pub is_given: extern "C" fn(*mut Call, *const c_char) -> c_int,
    /// request, header, open, upgrade_local, loop, wait, left_ms
    between: [*const c_void; 7],
    pub emit: extern "C" fn(*mut Call, *const Value, u32, *mut Error) -> c_int,
}

#[repr(C)]
pub struct Command {
    pub path: *const c_char,
    pub summary: *const c_char,
    pub description: *const c_char,
    pub run: extern "C" fn(*mut Call, *mut Error) -> c_int,
    pub args: Table,
    pub opts: Table,
    pub examples: Table,
    pub columns: Table,
    pub errors: Table,
    pub aliases: Table,
    pub effects: u64,
    pub result: u32,
    pub flags: u32,
    pub timeout_ms: i64,
}

#[repr(C)]
pub struct Group {
    pub name: *const c_char,
    pub summary: *const c_char,
    pub flags: u32,
    pub reserved: u32,
}

#[repr(C)]
pub struct Plugin {
    pub size: u32,
    pub abi: u32,
    pub name: *const c_char,
    pub version: *const c_char,
    pub summary: *const c_char,
    pub vendor: *const c_char,
    pub groups: Table,
    pub commands: Table,
    pub errors: Table,
    pub services: Table,
    pub start: Option<extern "C" fn(*const Host, *mut Error) -> c_int>,
}

// The sizes that the headers pin.
const _: () = assert!(size_of::<Error>() == 728 && size_of::<Arg>() == 32 && size_of::<Column>() == 40);
const _: () = assert!(size_of::<Value>() == 32 && size_of::<Call>() == 32 && size_of::<Host>() == 112);
const _: () = assert!(size_of::<Command>() == 152 && size_of::<Group>() == 24 && size_of::<Plugin>() == 112);

/// Tables are constants that nobody writes, of pointers to constants.
#[repr(transparent)]
pub struct Fixed<T>(pub T);
unsafe impl<T> Sync for Fixed<T> {}
