// SPDX-License-Identifier: Apache-2.0
//! The core knows a plugin again by its build id.
fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,--build-id=sha1");
}
