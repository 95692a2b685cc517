// SPDX-License-Identifier: Apache-2.0
//! words: a command group in Rust, through the C headers. `nanoterm words count WORD…` tells how long each word is.
mod nanoterm;

use nanoterm::*;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int};
use std::ptr::null;

macro_rules! text {
    ($text:expr) => {
        concat!($text, "\0").as_ptr() as *const c_char
    };
}

fn fail(error: &mut Error, code: u32, why: &str) -> c_int {
    error.code = code;
    let size = why.len().min(error.message.len() - 1);
    error.message[..size].copy_from_slice(&why.as_bytes()[..size]);
    error.message[size] = 0;
    -1
}

/// The core gives a call, and an error to fill; both are valid until this returns.
extern "C" fn count(call: *mut Call, error: *mut Error) -> c_int {
    let host = unsafe { &*(*call).host };
    for index in 0..(host.count)(call, text!("words")) {
        let word = (host.text_at)(call, text!("words"), index);
        let text = match unsafe { CStr::from_ptr(word) }.to_str() {
            Ok(text) => text,
            Err(_) => return fail(unsafe { &mut *error }, E_INVALID, "a word is not UTF-8"),
        };
        let row = [
            Value { kind: TEXT, is_null: 0, text: word, number: 0, real: 0.0 },
            Value { kind: INT, is_null: 0, text: null(), number: text.chars().count() as i64, real: 0.0 },
        ];
        if (host.emit)(call, row.as_ptr(), row.len() as u32, error) < 0 {
            return -1;
        }
    }
    0
}

static ARGS: Fixed<[Arg; 1]> = Fixed([Arg {
    name: text!("words"), help: text!("What is measured"), complete: null(), kind: TEXT, flags: MANY,
}]);
static EXAMPLES: Fixed<[Example; 1]> = Fixed([Example {
    command: text!("words count one three"), note: text!("Two words"),
}]);
static COLUMNS: Fixed<[Column; 2]> = Fixed([
    Column { name: text!("word"), title: null(), path: null(), help: text!("The word"), kind: TEXT, flags: 0 },
    Column { name: text!("letters"), title: null(), path: null(), help: text!("Its characters"), kind: INT, flags: 0 },
]);
static ERRORS: [u32; 1] = [E_INVALID];
static COMMANDS: Fixed<[Command; 1]> = Fixed([Command {
    path: text!("words count"),
    summary: text!("Tell how long each word is"),
    description: null(),
    run: count,
    args: table(&ARGS.0),
    opts: NONE,
    examples: table(&EXAMPLES.0),
    columns: table(&COLUMNS.0),
    errors: table(&ERRORS),
    aliases: NONE,
    effects: 0,
    result: RESULT_LIST,
    flags: 0,
    timeout_ms: 0,
}]);
static GROUPS: Fixed<[Group; 1]> = Fixed([Group { name: text!("words"), summary: text!("Words"), flags: 0, reserved: 0 }]);
static PLUGIN: Fixed<Plugin> = Fixed(Plugin {
    size: std::mem::size_of::<Plugin>() as u32,
    abi: 1,
    name: text!("words"),
    version: text!("1.0.0"),
    summary: text!("An example in Rust"),
    vendor: null(),
    groups: table(&GROUPS.0),
    commands: table(&COMMANDS.0),
    errors: NONE,
    services: NONE,
    start: None,
});

#[no_mangle]
pub extern "C" fn nt_plugin_v1() -> *const Plugin {
    &PLUGIN.0
}
