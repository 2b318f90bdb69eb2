//! How an answer reaches a caller in C: through pointers that may be NULL and buffers that may be short.

use crate::codes::{Code, INSUFFICIENT_SIZE, INVALID_ARGUMENT, of_absence};
use model::Reading;
use nvml_wrapper_sys::bindings::nvmlReturn_t;
use std::ffi::c_char;

/// Defines an exported NVML function whose body gives `Result<(), Code>`.
#[macro_export]
macro_rules! nvml {
    ($($(#[$doc:meta])* fn $name:ident($library:ident $(, $argument:ident: $type:ty)*) $body:block)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As nvml.h has it: each pointer is NULL or points to what its type says, writable for the length given.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            let call = stringify!($name);
            let answer = || {
                let held = $crate::library::begin(call)?;
                let $library: &$crate::library::Library = &held;
                $body
            };
            let answer = answer();
            $crate::library::end(call);
            $crate::answer::returned(answer)
        }
    )*};
}

/// The return code of an answer.
#[must_use]
pub fn returned(answer: Result<(), Code>) -> nvmlReturn_t {
    match answer {
        Ok(()) => 0,
        Err(Code(code)) => code,
    }
}

/// Writes an answer through the caller's pointer.
///
/// # Errors
/// The pointer is NULL.
///
/// # Safety
/// `to` is NULL or points to memory where a `T` may be written.
pub unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Code> {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not NULL, and the caller of the C function vouches for the rest.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes a text with its NUL into the caller's buffer.
///
/// # Errors
/// The buffer is NULL or too short.
///
/// # Safety
/// `to` is NULL or points to `length` writable bytes.
pub unsafe fn put_text(to: *mut c_char, length: u32, text: &str) -> Result<(), Code> {
    if to.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    let bytes = text.as_bytes();
    if bytes.len() >= usize::try_from(length).unwrap_or(0) {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: `length` bytes are writable, and the text with its NUL is no longer than that.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        to.cast::<u8>().add(bytes.len()).write(0);
    }
    Ok(())
}

/// The value, or NVML's code for its absence.
///
/// # Errors
/// There is no value.
pub fn known<T>(reading: &Reading<T>) -> Result<&T, Code> {
    match reading {
        Reading::Known(value) => Ok(value),
        Reading::Absent(why) => Err(of_absence(why)),
    }
}

/// A whole number out of the model's floating one.
#[must_use]
pub fn whole(value: f64) -> u32 {
    format!("{value:.0}").parse().unwrap_or(0)
}
