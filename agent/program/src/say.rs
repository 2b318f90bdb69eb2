//! Prints to standard output and standard error. A reader that has gone ends it quietly, as it ends other tools; anything else that
//! keeps the text from being written is an error.

use std::io::{self, ErrorKind, Write};

/// Writes a text to standard output.
///
/// # Errors
/// It could not be written (a full disk). That the reader has gone is none.
pub fn out(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// Writes bytes to standard output.
///
/// # Errors
/// As [`out`].
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    to(&mut io::stdout().lock(), bytes)
}

/// Writes a line to standard error. Where that cannot be written there is no other place to report it.
pub fn error(line: &str) {
    let _nobody_listens = to(&mut io::stderr().lock(), format!("{line}\n").as_bytes());
}

fn to(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match writer.write_all(bytes).and_then(|()| writer.flush()) {
        Err(fault) if fault.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(fault) => Err(io::Error::new(fault.kind(), format!("cannot write the output: {fault}"))),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
        assert!(to(&mut Failing(ErrorKind::BrokenPipe), b"x").is_ok());
        let fault = to(&mut Failing(ErrorKind::StorageFull), b"x").unwrap_err();
        assert!(fault.to_string().starts_with("cannot write the output: "), "{fault}");
    }
}
