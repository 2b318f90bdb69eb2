//! Frames on a stream: four bytes of little-endian length, then that many bytes of JSON, each within a deadline.

use protocol::hand::FRAME_MAX_BYTES;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Room that is taken before the first byte of a body came; a length that lies costs no more than this.
const FIRST_ROOM_BYTES: usize = 64 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is beyond what the protocol allows.
    #[error("a frame of {bytes} bytes; at most {FRAME_MAX_BYTES} are allowed")]
    TooLong {
        /// The length as announced or as encoded.
        bytes: u64,
    },
    /// The other side closed the connection inside a frame.
    #[error("the connection was closed in the middle of a frame")]
    CutShort,
    /// A frame that was begun was not finished in time, or the other side does not read.
    #[error("a frame was not complete within {} ms", .within.as_millis())]
    Slow {
        /// The time that it had.
        within: Duration,
    },
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[source] io::Error),
}

/// Waits for the first byte of a frame without taking it; `false` where the other side has closed the connection, be it with
/// an answer unread.
///
/// # Errors
/// The socket failed.
pub async fn begins(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<bool, FrameError> {
    match reader.fill_buf().await {
        Ok(bytes) => Ok(!bytes.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
        Err(error) => Err(FrameError::Socket(error)),
    }
}

/// Reads one frame, whole, within the time.
///
/// # Errors
/// The frame is too long, cut short or slow, or the socket failed. The stream is of no use afterwards.
pub async fn read(reader: &mut (impl AsyncRead + Unpin), within: Duration) -> Result<Vec<u8>, FrameError> {
    timeout(within, read_unhurried(reader)).await.unwrap_or(Err(FrameError::Slow { within }))
}

async fn read_unhurried(reader: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, FrameError> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await.map_err(cut_or_failed)?;
    let length = u32::from_le_bytes(prefix);
    if length > FRAME_MAX_BYTES {
        return Err(FrameError::TooLong { bytes: length.into() });
    }
    let whole = usize::try_from(length).unwrap_or(usize::MAX);
    let mut body = Vec::with_capacity(whole.min(FIRST_ROOM_BYTES));
    reader.take(length.into()).read_to_end(&mut body).await.map_err(FrameError::Socket)?;
    if body.len() == whole { Ok(body) } else { Err(FrameError::CutShort) }
}

fn cut_or_failed(error: io::Error) -> FrameError {
    if error.kind() == io::ErrorKind::UnexpectedEof { FrameError::CutShort } else { FrameError::Socket(error) }
}

/// Writes one frame, whole, within the time.
///
/// # Errors
/// The body is too long (then nothing was written), the other side does not read, or the socket failed.
pub async fn write(writer: &mut (impl AsyncWrite + Unpin), body: &[u8], within: Duration) -> Result<(), FrameError> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= FRAME_MAX_BYTES);
    let Some(length) = length else {
        return Err(FrameError::TooLong { bytes: u64::try_from(body.len()).unwrap_or(u64::MAX) });
    };
    // One write, so that a small frame also arrives as one.
    let frame = [length.to_le_bytes().as_slice(), body].concat();
    let send = async {
        writer.write_all(&frame).await?;
        writer.flush().await
    };
    match timeout(within, send).await {
        Ok(sent) => sent.map_err(FrameError::Socket),
        Err(_) => Err(FrameError::Slow { within }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOON: Duration = Duration::from_millis(200);

    fn now<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_frame_that_never_ends_is_given_up() {
        now(async {
            let (mut near, mut far) = tokio::io::duplex(64);
            far.write_all(&[9, 0, 0, 0, b'{']).await.unwrap();
            assert!(matches!(read(&mut near, SOON).await, Err(FrameError::Slow { .. })));
        });
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        now(async {
            let (mut near, _far) = tokio::io::duplex(64);
            assert!(matches!(write(&mut near, &[b' '; 1000], SOON).await, Err(FrameError::Slow { .. })));
        });
    }

    #[test]
    fn the_largest_frame_passes_and_one_byte_more_does_not() {
        now(async {
            let most = usize::try_from(FRAME_MAX_BYTES).unwrap();
            let mut wire = Vec::new();
            write(&mut wire, &vec![b'x'; most], SOON * 50).await.unwrap();
            assert_eq!(read(&mut wire.as_slice(), SOON * 50).await.unwrap().len(), most);
            let mut empty = Vec::new();
            let refused = write(&mut empty, &vec![b'x'; most + 1], SOON).await;
            assert!(matches!(refused, Err(FrameError::TooLong { bytes }) if bytes == u64::from(FRAME_MAX_BYTES) + 1));
            assert!(empty.is_empty(), "half a frame was left on the wire");
        });
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5)) {
            now(async {
                let mut wire = Vec::new();
                for body in &bodies {
                    write(&mut wire, body, SOON).await.unwrap();
                }
                let mut reader = wire.as_slice();
                for body in &bodies {
                    assert!(begins(&mut reader).await.unwrap());
                    assert_eq!(&read(&mut reader, SOON).await.unwrap(), body);
                }
                assert!(!begins(&mut reader).await.unwrap());
            });
        }

        #[test]
        fn any_length_before_any_bytes_gives_a_frame_or_a_fault(
            announced in prop_oneof![0u32..700, any::<u32>()],
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let wire = [announced.to_le_bytes().as_slice(), &bytes].concat();
            let whole = usize::try_from(announced).unwrap();
            match now(read(&mut wire.as_slice(), SOON)) {
                Ok(body) => prop_assert_eq!(body.as_slice(), &bytes[..whole]),
                Err(FrameError::CutShort) => prop_assert!(bytes.len() < whole && announced <= FRAME_MAX_BYTES),
                Err(FrameError::TooLong { bytes }) => {
                    prop_assert!(bytes == u64::from(announced) && announced > FRAME_MAX_BYTES);
                }
                Err(fault) => prop_assert!(false, "{}", fault),
            }
        }

        #[test]
        fn a_frame_cut_anywhere_is_cut_short(body in proptest::collection::vec(any::<u8>(), 1..200), cut in 0usize..200) {
            let mut wire = Vec::new();
            now(write(&mut wire, &body, SOON)).unwrap();
            let cut = cut % wire.len();
            prop_assert!(matches!(now(read(&mut &wire[..cut], SOON)), Err(FrameError::CutShort)));
        }
    }
}
